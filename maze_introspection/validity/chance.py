"""How far preceding offsets are from chance, and what of their growth towards the centre survives each control.

Controls, from the weakest to the strongest: the nulls (`null.py`), the same elapsed time (`elapsed.py`), both, offsets
with hidden beginnings estimated instead of left out (`survival.py`), and, with recordings that begin in each ring,
equal windows (`null.counting_steps`). All intervals resample whole episodes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from maze_introspection.analysis import Analysis
from maze_introspection.config import ChanceConfig
from maze_introspection.null import NULLS, Bool, counting_steps, null_rows, ring_means
from maze_introspection.statistics import plain
from maze_introspection.validity import elapsed
from maze_introspection.validity.events import CONTRIBUTED, events
from maze_introspection.validity.resample import Float, cliff_delta, drawn, estimate, mean, resamples, tally
from maze_introspection.validity.survival import inward_hazard, median_offset, product_limit
from maze_policy.policy import GATE_NAMES

LONGEST = (
    30  # means with hidden beginnings are of min(offset, this), steps: of longer ones too few were seen to the end
)


class Sample(NamedTuple):
    """Offsets of one gate, measured or under a null, as counts.

    Attributes:
        counts: how often each offset occurs in each episode and ring, shape (E, R, K); of a null, over all draws.
        sums: number and sum of the offsets by elapsed time, shape (E, R, S, 2), see `elapsed.strata`.
        growth: mean offset in ring 1 less that in the outermost, steps; of a null, of each draw, shape (draws,).
    """

    counts: Float
    sums: Float
    growth: Float


def chance(
    analysis: Analysis,
    config: ChanceConfig = ChanceConfig(),  # noqa: B008
) -> tuple[dict[str, Any], pd.DataFrame]:
    """All comparisons for each gate, and the events that they rest on.

    Raises:
        ValueError: if the recording has no maze or no ball, without which there are no rings.
    """
    recording = analysis.recording
    if recording.maze is None or not (analysis.ring >= 0).any():
        raise ValueError(
            f'{recording.source}: want a recorded ball and maze, got none: without them there are no rings'
        )
    counting = counting_steps(analysis, config.window_steps)
    table = events(analysis, silent=True)
    table = table[counting[table['t']]].reset_index(drop=True)
    weights = resamples(len(recording.episode_ids), config.resamples, config.seed)
    nulls = {kind: _null(analysis, config, counting, kind) for kind in NULLS}
    found = {}
    for gate, name in tqdm(GATE_NAMES.items(), desc='gates', leave=False, disable=None):
        rows = table[table['gate'] == name]
        sample = _measured(rows, config, nulls[NULLS[0]][gate])
        found[name] = {
            'offsets': int(sample.counts.sum()),
            'against': {kind: _against(sample, of[gate], weights) for kind, of in nulls.items()},
            'growth': _growths(sample, {kind: of[gate] for kind, of in nulls.items()}, weights),
            'matched_share': elapsed.matched_share(sample.sums.sum(axis=0)).tolist(),
            'hidden': _hidden(rows, sample.counts, weights),
            'hazard_ratio_per_ring': {
                'ring_alone': inward_hazard(rows, recording.maze.rings, elapsed=False),
                'elapsed_held': inward_hazard(rows, recording.maze.rings, elapsed=True),
            },
        }
    return plain(found), table


def _measured(rows: pd.DataFrame, config: ChanceConfig, null: Sample) -> Sample:
    """The offsets of which nothing is hidden, counted in the shapes of the null's."""
    rows = rows[(rows['ended'] == CONTRIBUTED) & ~rows['censored']]
    episode, ring, since, offset = (rows[name].to_numpy() for name in ('episode', 'ring', 'elapsed', 'offset'))
    counts = tally(episode, ring, offset, null.counts.shape)
    sums = elapsed.strata(episode, ring, since, offset, config.stratum_steps, null.sums.shape[:-1])
    return Sample(counts, sums, growth_of(mean(counts.sum(axis=0))))


def _null(analysis: Analysis, config: ChanceConfig, counting: Bool, kind: str) -> dict[int, Sample]:
    """Every gate's offsets under one null."""
    recording = analysis.recording
    episodes, longest = len(recording.episode_ids), int(np.bincount(recording.episode).max())
    rings = recording.maze.rings + 1 if recording.maze else 0
    shape, spans = (episodes, rings, longest), (episodes, rings, 1 + longest // config.stratum_steps)
    of = {gate: Sample(np.zeros(shape), np.zeros((*spans, 2)), np.full(config.draws, np.nan)) for gate in GATE_NAMES}
    since = np.arange(recording.steps) - np.searchsorted(recording.episode, recording.episode)
    drawn_rows = null_rows(analysis, config.draws, config.seed, counting, kind)
    for draw, gate, t, offset in tqdm(drawn_rows, kind, len(of) * config.draws, leave=False, disable=None):
        episode, ring, sample = recording.episode[t], analysis.ring[t], of[gate]
        sample.counts[:] += tally(episode, ring, offset, shape)
        sample.sums[:] += elapsed.strata(episode, ring, since[t], offset, config.stratum_steps, spans)
        sample.growth[draw] = growth_of(ring_means(offset, ring, rings))
    return of


def _against(sample: Sample, null: Sample, weights: Float) -> dict[str, Any]:
    """Measured offsets beside a null's: means, their difference and Cliff's delta, in each ring and over all."""

    def with_all(counts: Float) -> Float:
        return np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)

    measured, chance = with_all(sample.counts), with_all(null.counts)
    again, again_null = drawn(weights, measured), drawn(weights, chance)
    once, once_null = measured.sum(axis=0), chance.sum(axis=0)
    both = {
        'mean': (mean(once), mean(again)),
        'null_mean': (mean(once_null), mean(again_null)),
        'above': (mean(once) - mean(once_null), mean(again) - mean(again_null)),
        'delta': (cliff_delta(once, once_null), cliff_delta(again, again_null)),
    }
    rings = {name: estimate(value[:-1], resampled[:, :-1]) for name, (value, resampled) in both.items()}
    whole = {name: estimate(value[-1], resampled[:, -1]) for name, (value, resampled) in both.items()}
    return {'n': once.sum(axis=-1)[:-1].astype(int).tolist(), 'rings': rings, 'all_rings': whole}


def _growths(sample: Sample, nulls: dict[str, Sample], weights: Float) -> dict[str, Any]:
    """Growth of the mean offset from the outermost ring to ring 1, steps, as it is and after each control."""

    def raw(of: Sample) -> tuple[Float, Float]:
        return growth_of(mean(of.counts.sum(axis=0))), growth_of(mean(drawn(weights, of.counts)))

    def matched(of: Sample) -> tuple[Float, Float]:
        return elapsed.growth(of.sums.sum(axis=0)), elapsed.resampled(weights, of.sums)

    found = {}
    for name, control in (('raw', raw), ('matched', matched)):
        value, resampled = control(sample)
        found[name] = estimate(value, resampled)
        for kind, null in nulls.items():
            by_chance, resampled_null = control(null)
            found[f'{name}_of_{kind}'] = estimate(by_chance, resampled_null)
            found[f'{name}_above_{kind}'] = estimate(value - by_chance, resampled - resampled_null)
    for kind, null in nulls.items():
        draws = null.growth[np.isfinite(null.growth)]
        likely = (1 + (draws >= sample.growth).sum()) / (1 + len(draws)) if np.isfinite(sample.growth) else np.nan
        found[f'raw_above_{kind}']['p'] = float(likely)
    return found


def _hidden(rows: pd.DataFrame, counts: Float, weights: Float) -> dict[str, Any]:
    """Offsets whose beginning is hidden: left out, taken as they were seen, and estimated; see `survival`.

    The mean is that of min(offset, `LONGEST`), the sum of P(offset > k) over k < `LONGEST`.
    """
    rows = rows[(rows['ended'] == CONTRIBUTED) & rows['censored']]
    episode, ring, offset = (rows[name].to_numpy() for name in ('episode', 'ring', 'offset'))
    hidden = tally(episode, ring, offset, counts.shape)
    known, unknown, nothing = drawn(weights, counts), drawn(weights, hidden), np.zeros_like(counts[0])
    once, once_hidden = counts.sum(axis=0), hidden.sum(axis=0)
    ways = {
        'left_out': ((once, nothing), (known, nothing)),
        'as_seen': ((once + once_hidden, nothing), (known + unknown, nothing)),
        'estimated': ((once, once_hidden), (known, unknown)),
    }
    found: dict[str, Any] = {
        'known': once.sum(axis=-1).astype(int).tolist(),
        'hidden': once_hidden.sum(axis=-1).astype(int).tolist(),
    }
    for name, (value, resampled) in ways.items():
        means, again = (product_limit(*each)[..., :LONGEST].sum(axis=-1) for each in (value, resampled))
        found[name] = {
            'median': estimate(median_offset(*value), median_offset(*resampled)),
            'mean': estimate(means, again),
            'growth': estimate(growth_of(means), growth_of(again)),
        }
    found['survival'] = product_limit(once, once_hidden)[:, : LONGEST + 1].tolist()
    return found


def growth_of(means: Float) -> Float:
    """Mean in ring 1 less that in the outermost ring; (..., R) -> (...)."""
    return np.asarray(means[..., 1] - means[..., -1])


def text(found: dict[str, Any]) -> str:
    """What was found, for the terminal: means beside chance, and growth after each control."""

    def with_interval(value: dict[str, Any]) -> str:
        if value['value'] is None:
            return 'not to be had'
        if value['low'] is None:
            return f'{value["value"]:.2f}'
        return f'{value["value"]:.2f} [{value["low"]:.2f}, {value["high"]:.2f}]'

    lines = [f'{found["source"]}: {found["episodes"]} episodes, {found["steps"]} steps; 95 % intervals over episodes']
    for gate, numbers in found['gates'].items():
        lines.append(f'{gate} gate, {numbers["offsets"]} offsets')
        for kind, against in numbers['against'].items():
            lines.append(
                f'  mean above {kind}, steps: {with_interval(against["all_rings"]["above"])}; '
                f'delta {with_interval(against["all_rings"]["delta"])}'
            )
        growth = numbers['growth']
        for name in (
            'raw',
            *(f'raw_above_{kind}' for kind in NULLS),
            'matched',
            *(f'matched_above_{kind}' for kind in NULLS),
        ):
            lines.append(f'  growth, {name.replace("_", " ")}, steps: {with_interval(growth[name])}')
        for name in ('left_out', 'as_seen', 'estimated'):
            lines.append(
                f'  growth of min(offset, {LONGEST}), hidden beginnings {name.replace("_", " ")}: '
                f'{with_interval(numbers["hidden"][name]["growth"])}'
            )
        for name, ratio in numbers['hazard_ratio_per_ring'].items():
            lines.append(f'  hazard ratio per ring inwards, {name.replace("_", " ")}: {with_interval(ratio)}')
    return '\n'.join(lines)
