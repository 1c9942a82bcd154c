"""What chance alone would show: nulls for the offsets and for the number of channels that make up half of the score.

What would offsets be if gates had nothing to do with contributions? An offset cannot exceed the time elapsed, and the
inner rings come later, so offsets may grow towards the centre with no meaning in it. The permutation pairs the gate of
each channel with the contribution of another one, drawn at random: time, rings, runs of the gates and bursts of
contribution stay, only what links a channel's gate to its own contribution goes. The circular shift leaves each gate
with its own channel's contribution and moves the contributions of an episode in time, all by the same random number of
steps, what leaves at the end coming in at the beginning: how often a channel contributes stays, and in what bursts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from maze_introspection.analysis import Analysis, gated_offsets
from maze_introspection.offset import Steps, next_hit, open_runs
from maze_introspection.statistics import Spread, plain, spread
from maze_policy.policy import GATE_NAMES

Bool = npt.NDArray[np.bool_]

PERMUTATION, SHIFT = NULLS = ('permutation', 'shift')


def counting_steps(analysis: Analysis, window_steps: int) -> Bool:
    """The steps whose offsets count: all, or with a window only the first ones of an episode, in the ring begun in.

    Trials that begin in one ring each, with equal windows, give every ring the same time to have an offset in.
    """
    recording = analysis.recording
    if not window_steps:
        return np.ones(recording.steps, dtype=np.bool_)
    first = np.searchsorted(recording.episode, recording.episode)
    early: Bool = np.arange(recording.steps) - first < window_steps
    at_home: Bool = analysis.ring == analysis.ring[first]
    return early & at_home


def ring_means(offset: npt.NDArray[Any], ring: npt.NDArray[Any], rings: int) -> npt.NDArray[np.float64]:
    """Mean offset in each ring, centre first; NaN where there is none."""
    inside = ring >= 0
    count = np.bincount(ring[inside], minlength=rings)
    total = np.bincount(ring[inside], offset[inside], minlength=rings)
    means = np.full(rings, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means


def null_hits(analysis: Analysis, draws: int, seed: int, kind: str) -> Iterator[tuple[Steps, Steps]]:
    """Of each draw: the next contribution from each step on, as `next_hit`, and whose is paired with each gate.

    `kind` is one of `NULLS`.
    """
    recording = analysis.recording
    rng = np.random.default_rng(seed)
    hit = analysis.contribution.share > analysis.config.theta_c
    if kind == PERMUTATION:
        contributes = next_hit(hit)
        for _ in range(draws):
            yield contributes, rng.permutation(recording.channels)
    elif kind == SHIFT:
        first = np.searchsorted(recording.episode, recording.episode)
        length = np.bincount(recording.episode)[recording.episode]
        since = np.arange(recording.steps) - first
        for _ in range(draws):
            shift = 1 + (rng.random(len(recording.episode_ids))[recording.episode] * (length - 1)).astype(np.int64)
            yield next_hit(hit[first + (since - shift) % length]), np.arange(recording.channels)
    else:
        raise ValueError(f'want one of {", ".join(NULLS)}, got {kind!r}')


def null_rows(
    analysis: Analysis, draws: int, seed: int, counts: Bool, kind: str = PERMUTATION
) -> Iterator[tuple[int, int, Steps, Steps]]:
    """Each draw's offsets under a null, without the censored ones and where `counts`: (draw, gate, t, offset)."""
    recording, config = analysis.recording, analysis.config
    runs = {}
    for gate in GATE_NAMES:
        channel, t0, end = open_runs(recording.gates[:, gate] > config.theta_g, analysis.begins)
        observed = ~((t0 == 0) | analysis.begins[t0])
        runs[gate] = channel[observed], t0[observed], end[observed]
    for draw, (contributes, pairing) in enumerate(null_hits(analysis, draws, seed, kind)):
        for gate, (channel, t0, end) in runs.items():
            t = contributes[t0, pairing[channel]]
            inside = np.flatnonzero(t < end)
            inside = inside[counts[t[inside]]]
            yield draw, gate, t[inside], (t - t0)[inside]


def null_means(
    analysis: Analysis, draws: int, seed: int, counts: Bool, kind: str = PERMUTATION
) -> dict[int, npt.NDArray[np.float64]]:
    """Mean offset per ring of each draw, by gate, shape (draws, rings + 1); only offsets of steps that `counts`."""
    rings = analysis.recording.maze.rings + 1 if analysis.recording.maze else 0
    means: dict[int, npt.NDArray[np.float64]] = {gate: np.full((draws, rings), np.nan) for gate in GATE_NAMES}
    for draw, gate, t, offset in null_rows(analysis, draws, seed, counts, kind):
        means[gate][draw] = ring_means(offset, analysis.ring[t], rings)
    return means


def gaussian_channels_needed(
    channels: int, actions: int, fraction: float, steps: int = 10_000, seed: int = 0
) -> Spread:
    """Share of the channels that `fraction` of the score takes in a layer where every weighted activation is chance.

    The weighted activations W_a[i, j] h_t[j] of all actions and channels are independent standard normal numbers, and
    the action is the one with the highest sum, as in a policy. (For one action and many channels the share tends to
    1 - Phi(sqrt(-2 ln fraction)): 12.0 % for a half.)
    """
    rng = np.random.default_rng(seed)
    needed = []
    for _ in range(steps):
        weighted = rng.standard_normal((actions, channels))
        pull = np.sort(np.maximum(weighted[weighted.sum(axis=1).argmax()], 0))[::-1].cumsum()
        needed.append(1 + int(np.searchsorted(pull, fraction * pull[-1], side='right')))
    return spread(np.array(needed) / channels)


def against_null(analysis: Analysis, draws: int, seed: int, counts: Bool) -> dict[str, Any]:
    """For each gate: mean offset per ring as measured and under the null, and the growth from the outer ring to ring 1.

    `growth` is the mean in ring 1 less that in the outermost ring, steps; `p` is the share of draws (and the
    measurement itself) that grow at least as much. The null's range holds 95 % of the draws.
    """
    found: dict[str, Any] = {}
    means = null_means(analysis, draws, seed, counts)
    rows = analysis.offsets[~analysis.offsets['censored'] & counts[analysis.offsets['t']]]
    for gate, name in GATE_NAMES.items():
        own = rows[rows['gate'] == gate]
        measured = ring_means(own['offset'], analysis.ring[own['t']], means[gate].shape[1])
        low, middle, high = np.percentile(means[gate], [2.5, 50, 97.5], axis=0)
        growth, chance = measured[1] - measured[-1], means[gate][:, 1] - means[gate][:, -1]
        chance = chance[np.isfinite(chance)]
        likely = (1 + (chance >= growth).sum()) / (1 + len(chance)) if np.isfinite(growth) else np.nan
        found[name] = {
            'mean': measured.tolist(),
            'null_mean': middle.tolist(),
            'null_low': low.tolist(),
            'null_high': high.tolist(),
            'growth': float(growth),
            'null_growth': float(np.median(chance)) if len(chance) else None,
            'p': float(likely),
        }
    return plain(found)


def over_grid(
    analysis: Analysis, theta_gs: Sequence[float], theta_cs: Sequence[float], draws: int, seed: int, counts: Bool
) -> list[dict[str, Any]]:
    """`against_null` at every pair of thresholds, so that no conclusion hangs on one of them."""
    recording, found = analysis.recording, []
    for theta_g, theta_c in tqdm(list(product(theta_gs, theta_cs)), desc='grid', leave=False, disable=None):
        config = replace(analysis.config, theta_g=theta_g, theta_c=theta_c)
        offsets = gated_offsets(recording.gates, analysis.contribution.share, analysis.begins, config)
        moved = replace(analysis, config=config, offsets=offsets)
        found.append({'theta_g': theta_g, 'theta_c': theta_c, 'gates': against_null(moved, draws, seed, counts)})
    return found
