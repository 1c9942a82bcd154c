"""A pinhole camera with lens distortion above the board: from points to pixels and back. OpenCV's conventions."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

LEVEL = np.eye(3)


@dataclass(frozen=True)
class Pinhole:
    """A camera and its pose over the level board.

    The middle of the first pixel is (0, 0); x is to the right, y down, z into the picture.

    Attributes:
        matrix: camera matrix, px, shape (3, 3).
        distortion: lens coefficients k1, k2, p1, p2, k3, ... as in OpenCV and `camera_info`; zeros for none.
        rotation: turns a direction of the maze frame into the camera's, shape (3, 3).
        translation_m: the maze centre in the camera's frame, m, shape (3,).
    """

    matrix: Float64
    distortion: Float64
    rotation: Float64
    translation_m: Float64

    @property
    def place_m(self) -> Float64:
        """Where the camera is in the frame of the level board, m, shape (3,)."""
        place: Float64 = -self.rotation.T @ self.translation_m
        return place

    def pixels(self, points_m: Float64, board: Float64 = LEVEL) -> Float64:
        """Where points of the board are in the picture, shape (n, 2).

        Args:
            points_m: in the maze frame, z up from the floor, m, shape (n, 3).
            board: axes of the tilted board (`tilted_axes`), shape (3, 3).
        """
        turn, _ = cv2.Rodrigues(self.rotation @ board)
        pixels, _ = cv2.projectPoints(points_m, turn, self.translation_m, self.matrix, self.distortion)
        return np.asarray(pixels, dtype=np.float64).reshape(-1, 2)

    def points(self, pixels: Float64, height_m: float, board: Float64 = LEVEL) -> Float64:
        """Where the rays of pixels meet the plane `height_m` above the floor, maze frame, m, shape (n, 2)."""
        flat = cv2.undistortPoints(pixels.reshape(-1, 1, 2), self.matrix, self.distortion).reshape(-1, 2)
        turn = self.rotation @ board
        rays = np.column_stack([flat, np.ones(len(flat))]) @ turn
        eye = -turn.T @ self.translation_m
        points: Float64 = eye[:2] + (height_m - eye[2]) * rays[:, :2] / rays[:, 2:]
        return points


def tilted_axes(tilt_rad: Float64) -> Float64:
    """The tilted board's axes in the room, as columns: about x, then about the board's own y.

    The order of the hinges in `maze_policy.mujoco_model`.

    Args:
        tilt_rad: tilts about x and y, rad, shape (..., 2).

    Returns:
        Shape (..., 3, 3).
    """
    cos_x, cos_y = np.moveaxis(np.cos(tilt_rad), -1, 0)
    sin_x, sin_y = np.moveaxis(np.sin(tilt_rad), -1, 0)
    zero = np.zeros_like(cos_x)
    rows = [
        [cos_y, zero, sin_y],
        [sin_x * sin_y, cos_x, -sin_x * cos_y],
        [-cos_x * sin_y, sin_x, cos_x * cos_y],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
