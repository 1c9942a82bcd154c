"""Offsets as counts per episode, and intervals from resampling whole episodes.

Steps of one episode are not independent of each other, and neither are its offsets: an interval that drew rows would be
far too narrow. So whole episodes are drawn, with replacement. Every statistic here is a function of how often each
offset occurs, and the counts of a resample are a sum of the counts of the episodes in it: a thousand resamples are one
matrix product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Ints = npt.NDArray[Any]

LEVEL = 95.0  # of every interval, %


def tally(episode: Ints, group: Ints, offset: Ints, shape: tuple[int, ...]) -> Float:
    """How often each offset occurs in each group of each episode, shape (E, G, K); a negative group is left out.

    Args:
        episode: of each row, 0 to E - 1.
        group: such as the ring, 0 to G - 1.
        offset: steps, 0 to K - 1.
        shape: (E, G, K).
    """
    inside = group >= 0
    flat = np.ravel_multi_index((episode[inside], group[inside], offset[inside]), shape)
    counts: Float = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
    return counts


def resamples(episodes: int, draws: int, seed: int) -> Float:
    """How often each episode is in each resample, shape (draws, episodes); each row sums to `episodes`."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(episodes, np.full(episodes, 1 / episodes), size=draws).astype(np.float64)


def drawn(weights: Float, counts: Float) -> Float:
    """Counts of each resample: (B, E) and (E, ...) give (B, ...)."""
    flat: Float = weights @ counts.reshape(len(counts), -1)
    return flat.reshape(len(weights), *counts.shape[1:])


def mean(counts: Float) -> Float:
    """Mean of the offsets that are counted on the last axis; NaN where there are none."""
    return ratio(counts @ np.arange(counts.shape[-1], dtype=np.float64), counts.sum(axis=-1))


def median(counts: Float) -> Float:
    """Their median: the smallest offset that at least half of them do not exceed; NaN where there are none."""
    below = counts.cumsum(axis=-1)
    reached = 2 * below >= below[..., -1:]
    return np.where(below[..., -1] > 0, reached.argmax(axis=-1), np.nan)


def cliff_delta(counts: Float, other: Float) -> Float:
    """P(offset > other offset) - P(offset < other offset), -1 to 1 (Cliff 1993); 0 if either is as often the longer.

    https://doi.org/10.1037/0033-2909.114.3.494. Heavy tails and the scale of offsets do not matter to it.
    """
    shorter = other.cumsum(axis=-1)
    longer = shorter[..., -1:] - shorter
    return ratio((counts * (shorter - other - longer)).sum(axis=-1), counts.sum(axis=-1) * other.sum(axis=-1))


def ratio(above: Float, below: Float) -> Float:
    """Their quotient; NaN where the divisor is 0."""
    quotient = np.full(np.broadcast_shapes(np.shape(above), np.shape(below)), np.nan)
    np.divide(above, below, out=quotient, where=np.asarray(below) != 0)
    return quotient


def interval(values: Float) -> tuple[Float, Float]:
    """Percentile interval (95 %) over the first axis, the resamples; NaN where fewer than half of them have a value."""
    finite = np.isfinite(values)
    enough = 2 * finite.sum(axis=0) > len(values)
    filled = np.where(enough, values, 0.0)
    low, high = np.nanpercentile(filled, [50 - LEVEL / 2, 50 + LEVEL / 2], axis=0)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def estimate(measured: Any, resampled: Float) -> dict[str, Any]:
    """A value (or a list of them) with its interval, for JSON."""
    low, high = interval(resampled)
    return {'value': np.asarray(measured).tolist(), 'low': low.tolist(), 'high': high.tolist()}
