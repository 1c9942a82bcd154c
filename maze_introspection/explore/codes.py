"""Numbers as codes: a byte or two that say exactly which thresholds of a grid a value exceeds.

The report recomputes offsets in the browser while a reader moves theta_g or theta_c. A code is the number of grid
points below the value, so `value > grid[k]` if and only if `code > k`: the browser compares bit for bit as Python does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]

GATE_STEPS = 200  # theta_g in steps of 0.005: a code fits one byte
SHARE_STEPS = 10_000  # theta_c in steps of 0.0001: two bytes


def grid(steps: int, configured: float) -> Float64:
    """0 to 1 in equal steps, with the configured threshold among them even where it lies between two."""
    points: Float64 = np.union1d(np.arange(steps + 1) / steps, [configured])
    return points


def codes(values: Float, points: Float64) -> npt.NDArray[np.unsignedinteger[Any]]:
    """For each value the number of grid points below it, in the smallest unsigned type that holds them.

    The grid is rounded to the type of the values first, as numpy rounds a Python number that it compares with them.
    """
    found = np.searchsorted(points.astype(values.dtype), values, side='left')
    return found.astype(np.min_scalar_type(len(points)))


def choosable(points: Float64, every: float, most: float, configured: float) -> list[tuple[int, float]]:
    """What a slider offers, as (code, threshold): multiples of `every` up to `most`, and the configured threshold."""
    scaled = points / every
    offered = (np.abs(scaled - np.rint(scaled)) < 1e-6) & (points <= most) | (points == configured)
    return [(int(index), float(points[index])) for index in np.flatnonzero(offered)]
