"""The overhead image of the board, drawn with OpenCV: as the camera sees it, and directly as the observation."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.config import OBSERVATION_PX, TILT_CUE_PER_RAD, CameraConfig
from maze_policy.maze import Maze
from maze_policy.simulator import half_gap_rad

UInt8 = npt.NDArray[np.uint8]

# The scene in rgb8, bright enough to see and dark enough that the tilt cue never saturates.
TABLE, FLOOR, WALL, BALL = (72, 76, 80), (148, 124, 90), (48, 40, 36), (196, 206, 208)
SUPERSAMPLE = 4  # everything is drawn this much larger and shrunk by area: exact coverage at every edge
SUBPIXEL_BITS = 8  # of OpenCV's fixed-point coordinates


class Renderer:
    """Images of one maze from straight above; x to the right, y up, `maze.view_m` over the image height.

    The tilt is visible as a brightness gradient: the side of the board that is raised is brighter. This is our choice.
    It stands for what a real overhead camera sees of a tilt (the sheen of a lamp, the side walls that come into view),
    at a strength that survives 84 x 84 pixels; a true perspective image would cost four times as much to draw.
    """

    def __init__(self, maze: Maze, camera: CameraConfig = CameraConfig()) -> None:  # noqa: B008 (frozen)
        self._maze = maze
        self._camera_view = _View(maze, _board(maze, camera.width_px, camera.height_px))
        square = _board(maze, OBSERVATION_PX, OBSERVATION_PX)
        grey = np.asarray(cv2.cvtColor(square, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        self._observation_view = _View(maze, grey)

    def camera_image(self, position_m: npt.ArrayLike, tilt_rad: npt.ArrayLike) -> UInt8:
        """What the camera sees of a ball at (x, y), m, and a tilt about (x, y), rad: rgb8, shape (height, width, 3)."""
        return self._camera_view.image(np.asarray(position_m), np.asarray(tilt_rad))

    def observation(self, position_m: npt.ArrayLike, tilt_rad: npt.ArrayLike) -> UInt8:
        """What `observe` makes of the camera image, drawn directly and 50 times faster: mono8, shape (84, 84)."""
        return self._observation_view.image(np.asarray(position_m), np.asarray(tilt_rad))


class _View:
    """A board at some resolution, and how to add the ball and the tilt cue to it."""

    def __init__(self, maze: Maze, fine: UInt8) -> None:
        """`fine`: the board without a ball, `SUPERSAMPLE` times as large as the view."""
        height, width = fine.shape[0] // SUPERSAMPLE, fine.shape[1] // SUPERSAMPLE
        self._fine = fine
        self._background = _shrink(fine)
        self._px_per_m = height / maze.view_m
        self._radius_px = maze.ball_radius_m * self._px_per_m
        self._ball = BALL if fine.ndim == 3 else grey(BALL)
        # Where a pixel lies, in halves of the view height.
        self._x = ((np.arange(width, dtype=np.float32) + 0.5) * 2 - width) / height
        self._y = (1 - (np.arange(height, dtype=np.float32) + 0.5) * 2 / height)[:, np.newaxis]

    def image(self, position_m: npt.NDArray[np.float64], tilt_rad: npt.NDArray[np.float64]) -> UInt8:
        board = self._background.copy()
        self._add_ball(board, position_m)
        # A positive tilt about x lowers the -y side, one about y the +x side; the raised side is brighter.
        along_x, along_y = np.float32(-TILT_CUE_PER_RAD * tilt_rad[1]), np.float32(TILT_CUE_PER_RAD * tilt_rad[0])
        light = (1 + along_x * self._x) + along_y * self._y
        if board.ndim == 3:
            light = np.asarray(cv2.merge((light, light, light)), dtype=np.float32)
        return np.asarray(cv2.multiply(board, light, dtype=cv2.CV_8U), dtype=np.uint8)

    def _add_ball(self, board: UInt8, position_m: npt.NDArray[np.float64]) -> None:
        """Draw the ball into a piece of the fine board and shrink that: exact where ball and wall share a pixel."""
        height, width = board.shape[:2]
        x = width / 2 + self._px_per_m * position_m[0]
        y = height / 2 - self._px_per_m * position_m[1]
        margin = self._radius_px + 1
        left, right = max(int(x - margin), 0), min(int(x + margin) + 1, width)
        top, bottom = max(int(y - margin), 0), min(int(y + margin) + 1, height)
        if left >= right or top >= bottom:
            return
        fine = self._fine[top * SUPERSAMPLE : bottom * SUPERSAMPLE, left * SUPERSAMPLE : right * SUPERSAMPLE].copy()
        _fill_disc(fine, (x - left) * SUPERSAMPLE, (y - top) * SUPERSAMPLE, self._radius_px * SUPERSAMPLE, self._ball)
        board[top:bottom, left:right] = _shrink(fine)


def _shrink(fine: UInt8) -> UInt8:
    size = (fine.shape[1] // SUPERSAMPLE, fine.shape[0] // SUPERSAMPLE)
    return np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _fill_disc(image: UInt8, x: float, y: float, radius: float, color: int | tuple[int, ...]) -> None:
    """Anti-aliased disc, its centre in pixels from the image's corner."""
    scale = 1 << SUBPIXEL_BITS
    centre = (round((x - 0.5) * scale), round((y - 0.5) * scale))  # OpenCV counts from the first pixel's middle,
    # and its soft edge adds half a pixel
    cv2.circle(image, centre, round((radius - 0.5) * scale), color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)


def _board(maze: Maze, width_px: int, height_px: int) -> UInt8:
    """The level board without a ball for a view of this size: rgb8, `SUPERSAMPLE` times as large."""
    fine = np.full((height_px * SUPERSAMPLE, width_px * SUPERSAMPLE, 3), TABLE, np.uint8)
    px_per_m = height_px * SUPERSAMPLE / maze.view_m
    centre = np.array([width_px, height_px]) * SUPERSAMPLE / 2
    half = maze.wall_thickness_m / 2

    def disc(x_m: float, y_m: float, radius_m: float, color: tuple[int, ...]) -> None:
        x, y = centre + px_per_m * np.array([x_m, -y_m])
        _fill_disc(fine, x, y, radius_m * px_per_m, color)

    disc(0, 0, maze.rim_radius_m + half, WALL)
    disc(0, 0, maze.rim_radius_m - half, FLOOR)
    for radius_m, openings, gap in reversed(list(zip(maze.wall_radius_m, maze.openings_rad, half_gap_rad(maze)))):
        disc(0, 0, radius_m + half, WALL)
        disc(0, 0, radius_m - half, FLOOR)
        for opening in openings:
            arc = np.linspace(opening - gap, opening + gap, 64)
            edge = np.concatenate(
                [(radius_m + 1.5 * half) * np.exp(1j * arc), (radius_m - 1.5 * half) * np.exp(1j * arc[::-1])]
            )
            edge_px = centre + px_per_m * np.stack([edge.real, -edge.imag], axis=1) - 0.5
            cv2.fillPoly(
                fine, [np.round(edge_px * (1 << SUBPIXEL_BITS)).astype(np.int32)], FLOOR, cv2.LINE_AA, SUBPIXEL_BITS
            )
            for end in (arc[0], arc[-1]):
                disc(radius_m * np.cos(end), radius_m * np.sin(end), half, WALL)
    return fine


def grey(color: tuple[int, int, int]) -> int:
    """The grey level of an rgb8 color."""
    return int(cv2.cvtColor(np.array([[color]], np.uint8), cv2.COLOR_RGB2GRAY)[0, 0])
