"""Is the board in view, and where it was when it was calibrated? Asked before the arm may move, and while it does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.board import CALIBRATE, BoardConfig
from maze_policy.maze import Maze
from maze_policy.wall_fit import LEAST_SHARE, WallFit

UInt8 = npt.NDArray[np.uint8]

# How far the board may be from its calibrated place to be found there at all: turns, rad, and shifts, m.
LOOSE = (0.06, 0.06, 0.1, 0.01, 0.01, 0.01)
PATIENCE = 3  # objections in a row that end the play
LATE_S = 5.0  # an answer that takes longer is none
NOT_YET = 'the board has not been looked for yet'


def no_board(share: float) -> str:
    """What to say and what to do when walls are seen on this share of the lines alone."""
    return (
        f'the board is not where it was calibrated: want its walls on {LEAST_SHARE:.0%} of the lines across them, got '
        f'{share:.0%}. Is it in view, lit and uncovered? If camera or board stand elsewhere now, run {CALIBRATE} again'
    )


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
            return no_board(seen.share)
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


class BoardGuard:
    """Says whether to play: asks a `BoardWatch` now and then, in a thread of its own, since an answer takes longer than
    a frame may wait.

    Before the first answer there is no reason to play. One objection, as to a hand in the picture, is asked again with
    the next pictures; only several in a row count. No answer for long is an objection too.

    Args:
        objection: `BoardWatch.objection`.
        every_s: how often to ask while all is well, s.
    """

    def __init__(self, objection: Callable[[UInt8], str | None], every_s: float) -> None:
        self._objection, self._every_s = objection, every_s
        self._thread = ThreadPoolExecutor(1, 'board')
        self._asked: Future[str | None] | None = None
        self.forget()

    def forget(self) -> None:
        """Ask anew before anything is played."""
        self._asked = None
        self._asked_s, self._in_a_row, self.trouble = -float('inf'), PATIENCE, NOT_YET

    def look(self, image: UInt8, now_s: float) -> None:
        """Take in the last answer, and ask again when it is time; does not wait.

        Args:
            image: rgb8 or mono8, of the size of the calibration.
            now_s: the steady clock, s.
        """
        if self._asked and self._asked.done():
            objection, self._asked = self._asked.result(), None
            self._in_a_row = self._in_a_row + 1 if objection else 0
            if not objection or self._in_a_row >= PATIENCE:
                self.trouble = objection or ''
        elif self._asked and now_s - self._asked_s > LATE_S:
            self._in_a_row = PATIENCE
            self.trouble = f'the look at the board has not ended after {LATE_S:g} s: is this computer overloaded?'
        if self._asked is None and (self._in_a_row or now_s - self._asked_s >= self._every_s):
            self._asked, self._asked_s = self._thread.submit(self._objection, image), now_s

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)
