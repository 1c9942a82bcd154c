"""Which channels behave differently in two sets of recordings: two worlds, two checkpoints, before and after tuning.

Per channel: how often it is salient, its mean contribution, how purely it serves one action, and its preceding offsets.
Where the ball is decides much of what channels do, so every step counts with the weight that gives both sets the same
time in each ring. Errors are those of whole episodes, and as there are hundreds of comparisons, the share of false ones
among those called different is held down (Benjamini and Hochberg 1995, https://doi.org/10.1111/j.2517-6161.1995.tb02031.x).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from maze_introspection.analysis import Analysis
from maze_introspection.config import CompareConfig
from maze_introspection.validity.discovery import false_discovery_rates, two_sided
from maze_introspection.validity.resample import Float, Ints, drawn, interval, ratio, resamples
from maze_policy.policy import GATE_NAMES

# What is compared of each channel; every one is a ratio of two sums over steps (or offsets) in rings of episodes.
MEASURES = {
    'usage': 'share of the steps at which the channel is salient',
    'contribution': 'mean contribution',
    'purity': 'share of its salient steps that go to the action it is salient for most often in both sets together',
    **{f'{name}_offset': f'mean preceding offset of the {name} gate, steps' for name in GATE_NAMES.values()},
}

RATES = 2  # the first measures are over all steps, the others over the steps or offsets that a channel has


class Sums(NamedTuple):
    """What the measures of one set are made of.

    Attributes:
        above: numerators, shape (M, E, R, C): measures, episodes, rings, channels.
        below: denominators, of the same shape.
        steps: number of defined steps, shape (E, R).
    """

    above: Float
    below: Float
    steps: Float

    def of(self, episodes: Ints) -> Sums:
        """Only some of the episodes."""
        return Sums(self.above[:, episodes], self.below[:, episodes], self.steps[episodes])


def served_action(*analyses: Analysis) -> Ints:
    """The action that each channel is salient for most often in all of them together, shape (C,)."""
    first = analyses[0].recording
    count = np.zeros((first.channels, len(first.readout)))
    for analysis in analyses:
        step, channel = np.nonzero(analysis.salient)
        np.add.at(count, (channel, analysis.contribution.action[step]), 1)
    return np.asarray(count.argmax(axis=1))


def sums(analysis: Analysis, action: Ints) -> Sums:
    """The sums behind the measures of one set; `action` is the one that purity is about, shape (C,).

    Raises:
        ValueError: if no ball or maze is recorded, without which there are no rings.
    """
    recording = analysis.recording
    if recording.maze is None or not (analysis.ring >= 0).any():
        raise ValueError(f'{recording.source}: want a recorded ball and maze, got none, and so no rings')
    shape = (len(recording.episode_ids), recording.maze.rings + 1, recording.channels)
    place = recording.episode * shape[1] + analysis.ring
    seen = analysis.contribution.defined & (analysis.ring >= 0)

    def total(step: Ints, channel: Ints, values: Ints | None = None) -> Float:
        inside = seen[step]
        weights = None if values is None else values[inside].astype(np.float64)
        flat = place[step[inside]] * shape[2] + channel[inside]
        return np.bincount(flat, weights, int(np.prod(shape))).astype(np.float64).reshape(shape)

    steps = np.bincount(place[seen], minlength=shape[0] * shape[1]).astype(np.float64).reshape(shape[:2])
    each = np.broadcast_to(steps[..., None], shape)
    step, channel = np.nonzero(analysis.salient)
    salient = total(step, channel)
    fits = analysis.contribution.action[step] == action[channel]
    share = analysis.contribution.share
    at, by = np.nonzero(share)
    pairs = [(salient, each), (total(at, by, share[at, by]), each), (total(step[fits], channel[fits]), salient)]
    for gate in GATE_NAMES:
        rows = analysis.of_gate(gate)
        rows = rows[~rows['censored']]
        pairs.append((total(rows['t'], rows['channel'], rows['offset']), total(rows['t'], rows['channel'])))
    return Sums(np.stack([above for above, _ in pairs]), np.stack([below for _, below in pairs]), steps)


def ring_weights(one: Sums, other: Sums, least_episodes: int) -> Float:
    """Share of the time that both sets are given in each ring, shape (R,): the mean of their own.

    Rings that fewer than `least_episodes` of either have entered get none.
    """
    entered = ((one.steps > 0).sum(axis=0) >= least_episodes) & ((other.steps > 0).sum(axis=0) >= least_episodes)
    if not entered.any():
        raise ValueError(f'want a ring that {least_episodes} episodes of both sets have entered, got none')
    time = sum(np.where(entered, each.steps.sum(axis=0), 0.0) / each.steps[:, entered].sum() for each in (one, other))
    return np.asarray(time / 2)


def measures(of: Sums, weights: Float, time: Float) -> Float:
    """Every measure of every resample: (B, E) episodes, (R,) time in the rings -> (B, M, C); NaN where undefined."""
    per_step = time * ratio(np.ones(()), weights @ of.steps)  # weight of a step in each ring, (B, R)
    per_step = np.where(np.isfinite(per_step), per_step, 0.0)
    found = [
        ratio(*(np.einsum('br,brc->bc', per_step, drawn(weights, part)) for part in (above, below)))
        for above, below in zip(of.above, of.below)
    ]
    return np.stack(found, axis=1)


def differences(one: Sums, other: Sums, config: CompareConfig) -> pd.DataFrame:
    """One row per channel and measure: its value in both sets, how far apart they are, and how sure that is.

    Columns: `measure`, `channel`; `a`, `a_low`, `a_high`, `b`, `b_low`, `b_high` with 95 % intervals; `difference`,
    b - a, with `low`, `high`; `t`, the difference in its standard errors; `p`, of a difference this large by chance
    (Welch's test, with the errors that resampling episodes gives and the number of episodes in which the channel has
    something to compare); `q`, the smallest false discovery rate at which it is a discovery; `different`. Channels seen
    in too few episodes are not `judged`, and their p and q are NaN.
    """
    time = ring_weights(one, other, config.least_episodes)
    columns: dict[str, npt.NDArray[Any]] = {}
    again, variance, episodes = [], [], []
    for index, (name, of) in enumerate(zip('ab', (one, other))):
        weights = resamples(len(of.steps), config.resamples, config.seed + index)
        value = measures(of, np.ones((1, len(of.steps))), time)[0]
        again.append(measures(of, weights, time))
        low, high = interval(again[-1])
        columns |= {name: value, f'{name}_low': low, f'{name}_high': high}
        has_some = np.concatenate([of.above[:RATES], of.below[RATES:]]).sum(axis=2) > 0
        episodes.append(has_some.sum(axis=1))
        spread = np.where(np.isfinite(again[-1]), again[-1] - np.where(np.isfinite(value), value, 0.0), 0.0)
        variance.append(spread.var(axis=0) * ratio(episodes[-1], np.maximum(episodes[-1] - 1.0, 1.0)))
    low, high = interval(again[1] - again[0])
    difference, error = columns['b'] - columns['a'], variance[0] + variance[1]
    enough = [each >= config.least_episodes for each in episodes]
    judged = enough[0] & enough[1]
    judged[:RATES] = (enough[0] | enough[1])[:RATES]  # never used is a finding of its own
    judged &= np.isfinite(difference) & (error > 0)
    t = ratio(difference, np.sqrt(error))
    freedom = ratio(error**2, sum(v**2 / np.maximum(n - 1.0, 1.0) for v, n in zip(variance, episodes)))
    p, q = np.full(t.shape, np.nan), np.full(t.shape, np.nan)
    p[judged] = two_sided(t[judged], freedom[judged])
    q[judged] = false_discovery_rates(p[judged])
    columns |= {'difference': difference, 'low': low, 'high': high, 't': t, 'p': p, 'q': q, 'judged': judged}
    table = pd.DataFrame({name: column.ravel() for name, column in columns.items()})
    channels = one.above.shape[-1]
    table.insert(0, 'measure', [name for name in MEASURES for _ in range(channels)])
    table.insert(1, 'channel', list(range(channels)) * len(MEASURES))
    table['different'] = table['q'] <= config.false_discovery_rate
    return table


def compare(one: Analysis, other: Analysis, config: CompareConfig) -> tuple[dict[str, Any], pd.DataFrame]:
    """Numbers for the summary, and the rows of `differences`, those called different first, the surest of them on top.

    Raises:
        ValueError: if the policies have other numbers of channels or actions, the mazes other numbers of rings, or no
            ring was entered often enough by both.
    """
    shapes = [(of.recording.readout.shape, of.recording.maze and of.recording.maze.rings) for of in (one, other)]
    if shapes[0] != shapes[1]:
        said = ' and '.join(f'readout {readout} with {rings} rings' for readout, rings in shapes)
        raise ValueError(f'want the same channels, actions and rings in both sets, got {said}')
    action = served_action(one, other)
    both = sums(one, action), sums(other, action)
    table = differences(*both, config)
    table['served_action'] = action[table['channel']]
    table = table.sort_values('p', kind='stable', ignore_index=True)
    measured = table.groupby('measure', sort=False)
    different = table[table['different']]
    numbers = {
        'time_in_rings': {name: ratio(of.steps.sum(axis=0), of.steps.sum()).tolist() for name, of in zip('ab', both)},
        'matched_time_in_rings': ring_weights(*both, config.least_episodes).tolist(),
        'measures': {
            name: {
                'says': MEASURES[name],
                'judged': int(rows['judged'].sum()),
                'different': int(rows['different'].sum()),
                'median_change': float(rows.loc[rows['judged'], 'difference'].abs().median()),
            }
            for name, rows in ((name, measured.get_group(name)) for name in MEASURES)
        },
        'channels_different': different['channel'].drop_duplicates().tolist(),
        'most_changed': ranked(table, config.shown).to_dict('records'),
        'halves': {name: halves(of, config) for name, of in zip('ab', both)},
    }
    return numbers, table


def ranked(table: pd.DataFrame, shown: int) -> pd.DataFrame:
    """Of each measure the channels called different that changed the most, at most `shown`, largest change first."""
    different = table[table['different']]
    order = different['difference'].abs().sort_values(ascending=False).index
    most = different.loc[order].groupby('measure', sort=False).head(shown)
    return most.sort_values('measure', key=lambda names: names.map(list(MEASURES).index), kind='stable')


def text(found: dict[str, Any]) -> str:
    """What was found, for the terminal."""
    a, b = found['a'], found['b']
    lines = [f'a: {a["source"]}, {a["episodes"]} episodes; b: {b["source"]}, {b["episodes"]} episodes']
    rings = [f'{ring or "centre"}: {share:.0%}' for ring, share in enumerate(found['matched_time_in_rings'])]
    lines.append(f'same time in each ring ({", ".join(rings)})')
    judged = sum(of['judged'] for of in found['measures'].values())
    lines.append(
        f'{len(found["channels_different"])} of {a["channels"]} channels behave differently in something; '
        f'{judged} comparisons, at most {found["compare"]["false_discovery_rate"]:.0%} of the differences may be false'
    )
    for name, of in found['measures'].items():
        lines.append(f'{name}: {of["different"]} of {of["judged"]} judged channels differ')
        for row in [row for row in found['most_changed'] if row['measure'] == name][:3]:
            lines.append(
                f'  channel {row["channel"]}: {row["a"]:.3g} -> {row["b"]:.3g}, '
                f'by {row["difference"]:+.3g} [{row["low"]:+.3g}, {row["high"]:+.3g}], q {row["q"]:.2g}'
            )
    for name, checks in found['halves'].items():
        if checks:
            said = ', '.join(str(check['different']) for check in checks)
            lines.append(f'check, differences between random halves of {name} (chance alone): {said}')
    return '\n'.join(lines)


def halves(of: Sums, config: CompareConfig) -> list[dict[str, int]]:
    """How many channels differ between random halves of one set: by chance, so about none should."""
    found = []
    for index in range(config.halves):
        order = np.random.default_rng((config.seed, index)).permutation(len(of.steps))
        middle = len(order) // 2
        table = differences(of.of(order[:middle]), of.of(order[middle:]), config)
        found.append({'judged': int(table['judged'].sum()), 'different': int(table['different'].sum())})
    return found
