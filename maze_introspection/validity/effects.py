"""What interventions did: paired differences per intervention, and channels ranked by effect and by contribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from maze_introspection.config import InterveneConfig
from maze_introspection.validity.rank import spearman
from maze_introspection.validity.resample import estimate, interval, resamples

Float64 = npt.NDArray[np.float64]
NOTHING, ONE, TOP, RANDOM = 'none', 'one', 'top', 'random'
SHOWN = 10  # channels listed, and of the overlap of both rankings


def effects(lines: Sequence[Mapping[str, Any]], mean_share: Float64, config: InterveneConfig) -> pd.DataFrame:
    """One row for each intervention: differences to the same trials without, each with its 95 % interval over trials.

    `longer_s` is the mean of the time with less the time without (a failed trial counts with the time at which it was
    ended); `success` the share solved and `lost` how much less that is; `share` the mean contribution, without
    intervention, of the held channels together; `ring_R_s` the mean time in each ring.
    """
    without, weights = _trials(lines), _weights(lines, config)
    rows = []
    for line in lines:
        now = np.array([line['time_s'], line['solved']], dtype=np.float64)
        longer_s, lost = now[0] - without[0], without[1] - now[1]
        low, high = interval(weights @ np.stack([longer_s, lost], axis=1))
        rows.append(
            {
                **{name: line[name] for name in ('name', 'gate', 'kind', 'group', 'draw', 'channels')},
                'size': len(line['channels']),
                'share': float(mean_share[line['channels']].sum()),
                'longer_s': float(longer_s.mean()),
                'longer_low_s': float(low[0]),
                'longer_high_s': float(high[0]),
                'success': float(now[1].mean()),
                'lost': float(lost.mean()),
                'lost_low': float(low[1]),
                'lost_high': float(high[1]),
                **{f'ring_{ring}_s': float(spent) for ring, spent in enumerate(np.mean(line['ring_s'], axis=0))},
            }
        )
    return pd.DataFrame(rows)


def summarised(
    lines: Sequence[Mapping[str, Any]], table: pd.DataFrame, mean_share: Float64, config: InterveneConfig
) -> dict[str, Any]:
    """Baseline, and for each gate and kind how channels rank by effect and by contribution, and what groups do."""
    baseline = table[table['group'] == NOTHING].iloc[0]
    rings = [name for name in table.columns if name.startswith('ring_')]
    held = table[table['group'] != NOTHING]
    return {
        'baseline': {'success': baseline['success'], 'time_s': float(_trials(lines)[0].mean()), **baseline[rings]},
        'interventions': len(held),
        'held': {
            f'{gate} {kind}': {
                'channels': ranked(lines, part[part['group'] == ONE], mean_share, config),
                'groups': grouped(lines, part, config),
            }
            for (gate, kind), part in held.groupby(['gate', 'kind'], sort=False)
        },
    }


def ranked(
    lines: Sequence[Mapping[str, Any]], singles: pd.DataFrame, mean_share: Float64, config: InterveneConfig
) -> dict[str, Any]:
    """Single channels by effect against by contribution.

    Returns:
        `rho`: Spearman's correlation of `longer_s` and mean contribution, its interval from drawing trials anew;
        `reliability`: correlation of `longer_s` between random halves of the trials, after Spearman and Brown, without
        which no correlation can be high; `common`: how many of the `SHOWN` channels that cost most are among the
        `SHOWN` that contribute most, and `common_chance` how many would be by chance; `slower`, `faster`: channels
        whose interval lies above or below 0; `most`: the channels that cost most.
    """
    if len(singles) < 3:
        return {'judged': len(singles)}
    channel = np.array([channels[0] for channels in singles['channels']])
    share, without = mean_share[channel], _trials(lines)[0]
    times = {line['name']: line['time_s'] for line in lines}
    longer_s = np.array([times[name] for name in singles['name']]) - without
    weights = _weights(lines, config)
    by_effect = np.argsort(-longer_s.mean(axis=1), kind='stable')[:SHOWN]
    by_share = np.argsort(-share, kind='stable')[:SHOWN]
    shown = singles.iloc[by_effect]
    return {
        'judged': len(singles),
        'rho': estimate(
            spearman(longer_s.mean(axis=1), share), np.array([spearman(row, share) for row in weights @ longer_s.T])
        ),
        'reliability': reliability(longer_s, config.seed),
        'common': len(set(by_effect.tolist()) & set(by_share.tolist())),
        'common_chance': SHOWN * SHOWN / len(singles),
        'slower': int((singles['longer_low_s'] > 0).sum()),
        'faster': int((singles['longer_high_s'] < 0).sum()),
        'failing': int((singles['lost_low'] > 0).sum()),
        'most': [
            {'channel': int(row['channels'][0]), **{name: row[name] for name in ('share', 'longer_s', 'lost')}}
            for row in shown.to_dict('records')
        ],
    }


def reliability(effect: Float64, seed: int, draws: int = 100) -> float:
    """How far the ranking of effects, shape (channels, trials), repeats itself: 1 always, 0 not at all.

    The mean Spearman correlation r between two random halves of the trials, lengthened to all of them by 2 r / (1 + r)
    (Spearman 1910, Brown 1910). NaN with fewer than two trials.
    """
    rng, half = np.random.default_rng(seed), effect.shape[1] // 2
    if not half:
        return float('nan')
    found = []
    for _ in range(draws):
        order = rng.permutation(effect.shape[1])
        found.append(spearman(effect[:, order[:half]].mean(axis=1), effect[:, order[half:]].mean(axis=1)))
    mean = float(np.mean(found))
    return 2 * mean / (1 + mean) if mean > -1 else float('nan')


def grouped(lines: Sequence[Mapping[str, Any]], part: pd.DataFrame, config: InterveneConfig) -> list[dict[str, Any]]:
    """For each size: the channels of the largest contribution against the random groups, on the same trials.

    `more_longer_s` and `more_lost` are top less the mean of the random groups, with their intervals over trials.
    """
    weights, by_name = _weights(lines, config), {line['name']: line for line in lines}
    found = []
    groups = part[part['group'].isin((TOP, RANDOM))]
    for size in sorted(set(groups['size'].tolist())):
        rows = groups[groups['size'] == size]
        top, random = rows[rows['group'] == TOP], rows[rows['group'] == RANDOM]
        if top.empty or random.empty:
            continue

        def trials(names: pd.Series, what: str) -> Float64:
            every = np.array([by_name[name][what] for name in names], dtype=np.float64)
            return np.asarray(every.mean(axis=0))

        apart = {
            'more_longer_s': trials(top['name'], 'time_s') - trials(random['name'], 'time_s'),
            'more_lost': trials(random['name'], 'solved') - trials(top['name'], 'solved'),
        }
        found.append(
            {
                'size': size,
                'draws': len(random),
                **{
                    name: {column: float(of[column].mean()) for column in ('share', 'longer_s', 'success')}
                    for name, of in ((TOP, top), (RANDOM, random))
                },
                'random_success': [float(random['success'].min()), float(random['success'].max())],
                'random_longer_s': [float(random['longer_s'].min()), float(random['longer_s'].max())],
                **{name: estimate(float(values.mean()), weights @ values) for name, values in apart.items()},
            }
        )
    return found


def effects_text(numbers: Mapping[str, Any]) -> str:
    """The summary for a person."""

    def shown(of: Mapping[str, Any]) -> str:
        return ' '.join('undefined' if part is None else f'{part:.2f}' for part in of.values())

    baseline = numbers['baseline']
    lines = [f'without intervention: solved {baseline["success"]:.1%}, mean {baseline["time_s"]:.2f} s']
    for what, found in numbers['held'].items():
        channels = found['channels']
        if 'rho' in channels:
            lines.append(
                f'{what}, {channels["judged"]} channels one by one: effect against contribution, rank correlation '
                f'(low, high) {shown(channels["rho"])}, of its own halves {channels["reliability"] or 0:.2f}; '
                f'{channels["slower"]} slower, {channels["faster"]} faster; {channels["common"]} of the {SHOWN} that '
                f'cost most contribute most (by chance {channels["common_chance"]:.1f})'
            )
        lines += [
            f'{what}, {group["size"]} channels: solved {group[TOP]["success"]:.0%} without those that contribute most, '
            f'{group[RANDOM]["success"]:.0%} without random ones; seconds more than random (low, high) '
            f'{shown(group["more_longer_s"])}'
            for group in found['groups']
        ]
    return '\n'.join(lines)


def _trials(lines: Sequence[Mapping[str, Any]]) -> Float64:
    """Times and whether solved without intervention, shape (2, trials)."""
    (without,) = (line for line in lines if line['group'] == NOTHING)
    return np.array([without['time_s'], without['solved']], dtype=np.float64)


def _weights(lines: Sequence[Mapping[str, Any]], config: InterveneConfig) -> Float64:
    """What each trial weighs in each resample, shape (draws, trials); rows sum to 1."""
    count = _trials(lines).shape[1]
    return resamples(count, config.resamples, config.seed) / count
