"""Is the board in view, and where it was when it was calibrated? Asked before the arm may move, and while it does."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.board import CALIBRATE, BoardConfig
from maze_policy.maze import Maze
from maze_policy.wall_fit import LEAST_SHARE, WallFit

UInt8 = npt.NDArray[np.uint8]

# How far the board may be from its calibrated place to be found there at all: turns, rad, and shifts, m.
LOOSE = (0.06, 0.06, 0.1, 0.01, 0.01, 0.01)


class BoardWatch:
    """Is the board in view, and where it was when it was calibrated? A tilt is no reason to object.

    Args:
        board: the calibration.
        maze: what to look for.
    """

    def __init__(self, board: BoardConfig, maze: Maze) -> None:
        self.board, self._camera = board, board.camera
        self._walls = WallFit(maze, board.wall_height_m)

    def objection(self, image: UInt8) -> str | None:
        """What is wrong and what to do, or None.

        Args:
            image: rgb8 (height, width, 3) or mono8 (height, width).

        Raises:
            ValueError: if the image is of another size than the calibration.
        """
        board = self.board
        board.require_size(image)
        grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        seen = self._walls.fit(grey, self._camera, LOOSE)
        if seen.share < LEAST_SHARE:
            return (
                f'the board is not where it was calibrated: want its walls on {LEAST_SHARE:.0%} of the lines across '
                f'them, got {seen.share:.0%}. Is it in view, lit and uncovered? If camera or board stand elsewhere '
                f'now, run {CALIBRATE} again'
            )
        tilt_x, tilt_y, turn = seen.motion[:3]
        shift_m = float(np.hypot(*seen.motion[3:5]))
        allowed_m = board.moved_m + board.pivot_m * float(np.hypot(tilt_x, tilt_y))
        turned_deg = abs(float(np.degrees(turn)))
        if shift_m > allowed_m or turned_deg > board.turned_deg:
            return (
                f'camera or board moved since the calibration: want the middle within {allowed_m * 1e3:.1f} mm and the '
                f'turn within {board.turned_deg:g} deg, got {shift_m * 1e3:.1f} mm and {turned_deg:.1f} deg. Set it '
                f'back or run {CALIBRATE} again'
            )
        return None
