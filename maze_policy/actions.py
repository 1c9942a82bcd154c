"""The five tilt actions: a fixed step of the board's tilt about the x or y axis, or nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ACTIONS = ('tilt +x', 'tilt -x', 'tilt +y', 'tilt -y', 'no-op')
# About the axes of the maze frame (right-handed, z up): a positive tilt about x rolls the ball to -y, a positive
# tilt about y rolls it to +x.
_TILT_ABOUT_XY = np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [0, 0]], dtype=np.float64)


def next_tilt(
    tilt_rad: npt.NDArray[np.float64],
    action: npt.ArrayLike,
    step_rad: float | npt.NDArray[np.float64],
    limit_rad: float,
) -> npt.NDArray[np.float64]:
    """The tilt command after an action: about x and y, rad, shape (..., 2), inside +-limit_rad.

    Raises:
        ValueError: if an action is not one of the five.
    """
    chosen = np.asarray(action)
    if np.any((chosen < 0) | (chosen >= len(ACTIONS))):
        raise ValueError(f'want an action 0 to {len(ACTIONS) - 1}, got {chosen}')
    command: npt.NDArray[np.float64] = np.clip(tilt_rad + step_rad * _TILT_ABOUT_XY[chosen], -limit_rad, limit_rad)
    return command
