"""Every published number over a grid of theta_g, theta_c and fraction, and where in it each conclusion holds.

No threshold of the method is given by nature, and the paper leaves theta_c open. So a conclusion is worth as much as
the region of thresholds around the default ones is wide in which it is the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from maze_introspection.analysis import Analysis, gated_offsets
from maze_introspection.config import SensitivityConfig
from maze_introspection.contribution import salient
from maze_introspection.null import against_null, counting_steps, gaussian_channels_needed
from maze_introspection.statistics import channels, channels_needed, plain, ring_offsets, threshold_agreement
from maze_introspection.validity.resample import Float, drawn, interval, ratio, resamples
from maze_policy.policy import GATE_NAMES

Bool = npt.NDArray[np.bool_]

LIKELY = 0.05
# What is concluded of each gate at a point of the grid, and how.
CONCLUSIONS = {
    'precedes': 'in most rings (not the centre) the mean offset is above 97.5 % of the null',
    'grows': 'the mean offset grows from the outermost ring to ring 1, the 95 % interval being above 0',
    'grows_every_ring': 'it grows at every ring on the way',
    'beyond_chance': f'it grows by more than the null, p < {LIKELY:g}',
}


def thresholds(analysis: Analysis, config: SensitivityConfig) -> pd.DataFrame:
    """One row per (theta_g, theta_c, gate, ring): what results.md says of offsets, and what is concluded of the gate.

    Columns: `mean`, `median`, `q1`, `q3` and number `n` of the offsets with nothing hidden, the number `censored`, the
    null's `null_mean` with its 95 % range `null_low`, `null_high`; and of the whole gate, the same in each of its
    rings, `growth` with its interval, `null_growth`, `p` and the `CONCLUSIONS`. Steps all.
    """
    recording = analysis.recording
    counting = counting_steps(analysis, config.window_steps)
    weights = resamples(len(recording.episode_ids), config.resamples, config.seed)
    grid = [(theta_g, theta_c) for theta_g in sorted(config.theta_gs) for theta_c in sorted(config.theta_cs)]
    rows = []
    for theta_g, theta_c in tqdm(grid, desc='thresholds', unit='point', disable=None):
        moved = replace(analysis.config, theta_g=theta_g, theta_c=theta_c)
        offsets = gated_offsets(recording.gates, analysis.contribution.share, analysis.begins, moved)
        there = replace(analysis, config=moved, offsets=offsets)
        null = against_null(there, config.draws, config.seed, counting)
        for gate, name in GATE_NAMES.items():
            of = null[name]
            low, high = interval(_growth(there, gate, counting, weights))
            whole = {'growth': of['growth'], 'growth_low': float(low), 'growth_high': float(high)}
            whole |= {'null_growth': of['null_growth'], 'p': of['p'], **concluded(of, float(low))}
            for ring, (spread, censored) in enumerate(ring_offsets(there, gate, counting)):
                own = {key: of[key][ring] for key in ('null_mean', 'null_low', 'null_high')}
                values = {name: getattr(spread, name) for name in ('n', 'mean', 'median', 'q1', 'q3')}
                at = {'theta_g': theta_g, 'theta_c': theta_c, 'gate': name, 'ring': ring}
                rows.append({**at, **values, 'censored': censored, **own, **whole})
    return pd.DataFrame(rows).astype({'null_growth': np.float64, 'p': np.float64, 'growth': np.float64})


def concluded(null: dict[str, Any], growth_low: float) -> dict[str, bool]:
    """The `CONCLUSIONS` about one gate, from its `against_null` and the lower end of the interval of its growth."""
    mean, high = (np.array(null[name], dtype=np.float64)[1:] for name in ('mean', 'null_high'))
    return {
        'precedes': bool(2 * (mean > high).sum() > len(mean)),
        'grows': bool(growth_low > 0),
        'grows_every_ring': bool((np.diff(mean[::-1]) > 0).all()),
        'beyond_chance': null['p'] is not None and null['p'] < LIKELY,
    }


def _growth(analysis: Analysis, gate: int, counting: Bool, weights: Float) -> Float:
    """Mean offset in ring 1 less that in the outermost ring, of each resample of the episodes."""
    rows = analysis.of_gate(gate)
    rows = rows[~rows['censored'] & counting[rows['t']]]
    rings = analysis.recording.maze.rings + 1 if analysis.recording.maze else 2
    ring, episode = analysis.ring[rows['t']], analysis.recording.episode[rows['t']]
    inside, size = ring >= 0, weights.shape[1] * rings
    flat = episode[inside] * rings + ring[inside]
    number = np.bincount(flat, minlength=size).astype(np.float64).reshape(-1, rings)
    total = np.bincount(flat, rows['offset'][inside].astype(np.float64), size).astype(np.float64).reshape(-1, rings)
    means = ratio(drawn(weights, total), drawn(weights, number))
    return np.asarray(means[:, 1] - means[:, -1])


def fractions(analysis: Analysis, config: SensitivityConfig) -> list[dict[str, Any]]:
    """For each fraction: the share of channels it takes, that of a Gaussian layer, and channels with a single role."""
    recording, found = analysis.recording, []
    for fraction in tqdm(sorted(config.fractions), desc='fractions', leave=False, disable=None):
        mask = salient(analysis.contribution.share, fraction)
        there = replace(analysis, config=replace(analysis.config, fraction=fraction), salient=mask)
        table = channels(there)
        judged = table.salient_steps >= analysis.config.least_steps
        best = max(threshold_agreement(there, np.arange(4, 82, 2) / 1000), key=lambda point: point.f1)
        gaussian = gaussian_channels_needed(recording.channels, len(recording.readout), fraction, seed=config.seed)
        found.append(
            {
                'fraction': fraction,
                'channels_needed': channels_needed(there)._asdict(),
                'gaussian_channels_needed': gaussian._asdict(),
                'ever_salient': int((table.salient_steps > 0).sum()),
                'judged': int(judged.sum()),
                'single_action': int((judged & (table.action_share == 1)).sum()),
                'single_ring': int((judged & (table.ring_share == 1)).sum()),
                'theta_c_that_agrees_best': float(best.theta_c),
                'f1': best.f1,
            }
        )
    return found


def regions(table: pd.DataFrame, theta_g: float, theta_c: float) -> dict[str, dict[str, Any]]:
    """For each gate and conclusion: where on the grid it is what it is nearest to the given thresholds.

    Returns:
        By gate and conclusion `holds` (there), `share` of the grid's points where it is the same, `holds_share` of
        those where it holds, and the connected region (neighbours in either threshold) around there: `points`, and the
        `theta_g` and `theta_c` it reaches from and to.
    """
    found: dict[str, dict[str, Any]] = {}
    for gate, rows in table[table['ring'] == 0].groupby('gate', sort=False):
        found[str(gate)] = {}
        for name in CONCLUSIONS:
            truth = rows.pivot(index='theta_g', columns='theta_c', values=name)
            axes = truth.index.to_numpy(), truth.columns.to_numpy()
            here = (int(np.abs(axes[0] - theta_g).argmin()), int(np.abs(axes[1] - theta_c).argmin()))
            holds = truth.to_numpy(dtype=bool)
            same = holds == holds[here]
            at_g, at_c = np.nonzero(connected(same, here))
            found[str(gate)][name] = {
                'holds': bool(holds[here]),
                'share': float(same.mean()),
                'holds_share': float(holds.mean()),
                'points': len(at_g),
                'theta_g': [float(axes[0][at_g.min()]), float(axes[0][at_g.max()])],
                'theta_c': [float(axes[1][at_c.min()]), float(axes[1][at_c.max()])],
            }
    return found


def connected(cells: Bool, start: tuple[int, int]) -> Bool:
    """The cells that can be reached from one of them along rows and columns."""
    reached = np.zeros_like(cells)
    reached[start] = cells[start]
    while True:
        wider = np.pad(reached, 1)
        spread = wider[:-2, 1:-1] | wider[2:, 1:-1] | wider[1:-1, :-2] | wider[1:-1, 2:] | reached
        spread &= cells
        if (spread == reached).all():
            return reached
        reached = spread


def sensitivity(analysis: Analysis, config: SensitivityConfig) -> tuple[dict[str, Any], pd.DataFrame]:
    """Numbers for the summary, and the rows of `thresholds`.

    Raises:
        ValueError: if the recording has no maze or no ball, without which there are no rings.
    """
    if analysis.recording.maze is None or not (analysis.ring >= 0).any():
        raise ValueError(f'{analysis.recording.source}: want a recorded ball and maze, got none, and so no rings')
    table = thresholds(analysis, config)
    numbers = {
        'conclusions': CONCLUSIONS,
        'regions': regions(table, analysis.config.theta_g, analysis.config.theta_c),
        'ranges': ranges(table),
        'fractions': fractions(analysis, config),
    }
    return plain(numbers), table


def ranges(table: pd.DataFrame) -> dict[str, Any]:
    """Lowest and highest value on the grid of each gate's numbers: offsets in each ring, and their growth."""
    found: dict[str, Any] = {}
    for gate, rows in table.groupby('gate', sort=False):
        rings = rows.groupby('ring')
        found[str(gate)] = {
            name: {'low': rings[name].min().tolist(), 'high': rings[name].max().tolist()} for name in ('mean', 'median')
        }
        for name in ('growth', 'null_growth', 'p'):
            found[str(gate)][name] = {'low': float(rows[name].min()), 'high': float(rows[name].max())}
    return found


def text(found: dict[str, Any]) -> str:
    """What was found, for the terminal."""
    at = found['parameters']
    lines = [f'{found["source"]}: {found["episodes"]} episodes, {found["steps"]} steps']
    for gate, conclusions in found['regions'].items():
        lines.append(f'{gate} gate, at theta_g {at["theta_g"]:g} and theta_c {at["theta_c"]:g}')
        for name, region in conclusions.items():
            lines.append(
                f'  {"yes" if region["holds"] else "no"}: {CONCLUSIONS[name]}; the same at {region["share"]:.0%} of '
                f'the grid, and without a break for theta_g {region["theta_g"][0]:g} to {region["theta_g"][1]:g}, '
                f'theta_c {region["theta_c"][0]:g} to {region["theta_c"][1]:g} ({region["points"]} points)'
            )
    for row in found['fractions']:
        lines.append(
            f'{row["fraction"]:.0%} of the score: {row["channels_needed"]["median"]:.1%} of the channels (Gaussian '
            f'layer {row["gaussian_channels_needed"]["median"]:.1%}), {row["single_action"]} of {row["judged"]} '
            f'judged channels with a single action, {row["single_ring"]} with a single ring'
        )
    return '\n'.join(lines)
