"""The board before the camera, as `maze-policy calibrate` found it: a parameter group that the nodes read."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.maze import WALL_HEIGHT_M, Maze
from maze_policy.parameters import Config, parameter
from maze_policy.pinhole import Pinhole

UInt8 = npt.NDArray[np.uint8]

CALIBRATE = 'maze-policy calibrate'


@dataclass(frozen=True)
class BoardConfig(Config):
    """The camera over the level board. Written by `maze-policy calibrate`; empty is no calibration."""

    width_px: int = parameter('width of the pictures that this is for, px; 0: not calibrated', 0, low=0)
    height_px: int = parameter('height of the pictures that this is for, px', 0, low=0)
    camera_matrix: tuple[float, ...] = parameter('focal lengths and principal point: fx, fy, cx, cy, px', ())
    distortion: tuple[float, ...] = parameter('lens coefficients k1, k2, p1, p2, k3, ... of OpenCV', ())
    rotation_rad: tuple[float, ...] = parameter(
        'rotation vector that turns the maze frame (x right, y up, z towards the camera) into that of the camera '
        '(x right, y down, z forward), rad',
        (),
    )
    translation_m: tuple[float, ...] = parameter("maze centre in the camera's frame, m", ())
    view_m: float = parameter('side of the square top view that the policy sees, m', 0.2, low=0.01, high=10.0)
    wall_height_m: float = parameter('height of the walls above the floor, m', WALL_HEIGHT_M, low=0.001, high=0.1)
    moved_m: float = parameter(
        'the board (or the camera) has moved when its middle is further than this from its place, m',
        0.0025,
        low=0.0005,
        high=0.1,
    )
    turned_deg: float = parameter('it has moved when it is turned by more than this, deg', 1.5, low=0.1, high=90.0)
    pivot_m: float = parameter(
        'distance of the middle of the floor from the axes that tilt it, m: a tilt shifts it by this times the angle',
        0.0,
        low=0.0,
        high=1.0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.calibrated:
            return
        for name, count in (('camera_matrix', 4), ('rotation_rad', 3), ('translation_m', 3)):
            if len(getattr(self, name)) != count:
                raise ValueError(
                    f'{name} wants {count} numbers, got {len(getattr(self, name))}; {CALIBRATE} writes them all'
                )
        if len(self.distortion) not in (0, 4, 5, 8, 12, 14):
            raise ValueError(f'distortion wants 0, 4, 5, 8, 12 or 14 numbers, got {len(self.distortion)}')
        if min(self.camera_matrix[:2]) <= 0 or self.translation_m[2] <= 0 or self.height_px == 0:
            raise ValueError(
                'want a picture with a height, positive focal lengths and a board before the camera, got '
                f'{self.height_px} px, {self.camera_matrix[:2]} px and {self.translation_m[2]} m'
            )

    @property
    def calibrated(self) -> bool:
        """Whether this is a calibration at all."""
        return self.width_px > 0

    @property
    def camera(self) -> Pinhole:
        """The camera over the level board.

        Raises:
            ValueError: if there is no calibration.
        """
        if not self.calibrated:
            raise ValueError(f'want a calibration of the board: run {CALIBRATE} and give its file as parameters')
        fx, fy, cx, cy = self.camera_matrix
        rotation, _ = cv2.Rodrigues(np.array(self.rotation_rad))
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        distortion = np.array(self.distortion or (0.0,) * 5)
        return Pinhole(matrix, distortion, np.asarray(rotation, dtype=float), np.array(self.translation_m))

    def require_size(self, image: npt.NDArray[np.uint8]) -> None:
        """Refuse a picture of another size than that of the calibration.

        Raises:
            ValueError: quoting both.
        """
        height, width = image.shape[:2]
        if (width, height) != (self.width_px, self.height_px):
            raise ValueError(
                f'want pictures of {self.width_px} x {self.height_px} px as calibrated, got {width} x {height} px; '
                f'set the camera back or run {CALIBRATE} again'
            )


def board_of(camera: Pinhole, width_px: int, height_px: int, maze: Maze, wall_height_m: float) -> BoardConfig:
    """The parameters that say all this."""
    turn, _ = cv2.Rodrigues(camera.rotation)
    return BoardConfig(
        width_px=width_px,
        height_px=height_px,
        camera_matrix=tuple(float(camera.matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2))),
        distortion=tuple(map(float, np.ravel(camera.distortion))),
        rotation_rad=tuple(map(float, np.ravel(turn))),
        translation_m=tuple(map(float, camera.translation_m)),
        view_m=maze.view_m,
        wall_height_m=wall_height_m,
    )
