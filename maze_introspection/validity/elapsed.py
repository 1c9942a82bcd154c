"""Offsets at the same elapsed time: what is left of a difference between rings when time is no longer one between them.

An offset cannot exceed the time that has gone by in its episode, and a ball that comes from outside is in the inner
rings later. So offsets are compared only within strata of elapsed steps in which both rings have some.
"""

from __future__ import annotations

import numpy as np

from maze_introspection.validity.resample import Float, Ints, drawn, ratio


def strata(episode: Ints, ring: Ints, elapsed: Ints, offset: Ints, width: int, shape: tuple[int, ...]) -> Float:
    """Number and sum of the offsets in each episode, ring and stratum of `width` elapsed steps, shape (E, R, S, 2).

    `shape` is (E, R, S); rows of an unknown ring, -1, are left out.
    """
    inside = ring >= 0
    flat = np.ravel_multi_index((episode[inside], ring[inside], elapsed[inside] // width), shape)
    size = int(np.prod(shape))
    both = np.stack([np.bincount(flat, minlength=size), np.bincount(flat, offset[inside], size)], axis=-1)
    sums: Float = both.reshape(*shape, 2).astype(np.float64)
    return sums


def steps_inwards(sums: Float) -> Float:
    """Mean offset in each ring less the next one outwards, at the same elapsed time; (..., R, S, 2) -> (..., R).

    Within a stratum it is the difference of the means; over the strata these are averaged with the weight
    n m / (n + m) of n and m offsets in both rings, which is what the precision of a difference is proportional to
    (Cochran 1954, https://doi.org/10.2307/3001616). Two neighbours at a time (ours), because ring 1 and the outermost
    one hardly ever have an elapsed time in common. NaN in the outermost, and where no stratum has both.
    """
    count, total = sums[..., 0], sums[..., 1]
    mean = ratio(total, count)
    inner, outer = slice(None, -1), slice(1, None)
    n, m = count[..., inner, :], count[..., outer, :]
    weight = ratio(n * m, n + m)
    weight = np.where(np.isfinite(weight), weight, 0.0)
    gap = np.where(weight > 0, mean[..., inner, :] - mean[..., outer, :], 0.0)
    found = np.full(count.shape[:-1], np.nan)
    found[..., :-1] = ratio((weight * gap).sum(axis=-1), weight.sum(axis=-1))
    return found


def growth(sums: Float) -> Float:
    """From the outermost ring to ring 1, one step inwards after the other; NaN where one of them is not known."""
    total: Float = steps_inwards(sums)[..., 1:-1].sum(axis=-1)
    return total


def matched_share(sums: Float) -> Float:
    """Share of each ring's offsets at an elapsed time at which the next ring outwards has some too, shape (..., R)."""
    count = sums[..., 0]
    shared = np.where(count[..., 1:, :] > 0, count[..., :-1, :], 0.0).sum(axis=-1)
    found = np.full(count.shape[:-1], np.nan)
    found[..., :-1] = ratio(shared, count[..., :-1, :].sum(axis=-1))
    return found


def resampled(weights: Float, sums: Float) -> Float:
    """`growth` of each resample of episodes, shape (B,); the sums of all strata of one resample at a time."""
    return np.array([growth(drawn(weight[None], sums)[0]) for weight in weights])
