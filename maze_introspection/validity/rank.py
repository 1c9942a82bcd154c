"""Rank correlation, raw and within groups, and what resampling whole episodes (or trials) leaves of a number.

Steps of one episode are not independent of each other, so an interval comes from drawing episodes anew, never steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.validity.resample import estimate

Array = npt.NDArray[Any]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Statistic = Callable[[Int64], float]  # of the rows with these indices; a row may come several times


def spearman(x: Array, y: Array) -> float:
    """Spearman's rank correlation, ties by their mean rank; NaN where a side is constant or there are under 3 rows."""
    return _pearson(_ranks(x), _ranks(y)) if len(x) > 2 else float('nan')


def spearman_within(x: Array, y: Array, group: Int64) -> float:
    """The same after each group's mean rank is taken off both sides: what is left when the group is known.

    Args:
        x: shape (n,).
        y: shape (n,).
        group: shape (n,), small numbers from 0 on.
    """
    if len(x) < 3:
        return float('nan')
    return _pearson(_centred(_ranks(x), group), _centred(_ranks(y), group))


def bootstrap(statistic: Statistic, unit: Int64, draws: int, seed: int) -> dict[str, Any]:
    """A statistic over rows, and its 95 % percentile interval over units (episodes) drawn with replacement.

    Args:
        statistic: of row indices.
        unit: the unit that each row belongs to, shape (n,).
        draws: number of resamples.
        seed: of the resamples.

    Returns:
        `value`, `low` and `high`; NaN where not defined.
    """
    rows = units_rows(unit)
    value = statistic(np.arange(len(unit)))
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([rows[which] for which in rng.integers(len(rows), size=len(rows))]))
        for _ in range(draws if len(rows) > 1 else 0)
    ]
    return estimate(value, np.array(drawn or [np.nan]))


def units_rows(unit: Int64) -> list[Int64]:
    """The rows of each unit."""
    order = np.argsort(unit, kind='stable')
    return np.split(order, 1 + np.flatnonzero(np.diff(unit[order])))


def shuffled_within(group: Int64, rng: np.random.Generator) -> Int64:
    """A random order of the rows that leaves every row in its group."""
    order = np.lexsort((rng.random(len(group)), group))
    shuffled = np.empty(len(group), dtype=np.int64)
    shuffled[np.argsort(group, kind='stable')] = order
    return shuffled


def _ranks(values: Array) -> Float64:
    """Mean rank of each value, counted rather than sorted: steps are small whole numbers."""
    values = np.asarray(values)
    if values.dtype.kind not in 'iu' or not 0 <= values.min() <= values.max() <= 10 * len(values):
        values = np.unique(values, return_inverse=True)[1]
    count = np.bincount(values)
    rank: Float64 = count.cumsum() - (count - 1) / 2
    return rank[values]


def _centred(ranks: Float64, group: Int64) -> Float64:
    count = np.bincount(group)
    mean = np.bincount(group, ranks) / np.maximum(count, 1)
    return np.asarray(ranks - mean[group], dtype=np.float64)


def _pearson(x: Float64, y: Float64) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 1e-9 * len(x) else float('nan')
