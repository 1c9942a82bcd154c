"""What a sweep of the loop's timing says, from what its trials left: success, offsets, and the channels that react."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from maze_introspection.config import SweepConfig
from maze_introspection.validity.discovery import false_discovery_rates
from maze_introspection.validity.events import observed, read_events
from maze_introspection.validity.reaction import changes, moved, resemblance, sign_flips, trends
from maze_introspection.validity.resample import drawn, estimate, interval, median, resamples, tally
from maze_introspection.validity.suspects import SUSPECT, UNCHANGED, Setting
from maze_introspection.validity.swept import EVENTS, TRIALS, paths
from maze_policy.policy import GATE_NAMES

Float64 = npt.NDArray[np.float64]
Z95 = 1.959964
SHOWN = 8  # reacting channels named of each suspect


def summarise(out: Path, found: Sequence[Setting], config: SweepConfig) -> tuple[dict[str, Any], pd.DataFrame]:
    """What JSON and figure say, and a row for each (suspect, value, ring, channel).

    Files are read one by one; of a trial stay its contributions in each ring, and of its events their counts.
    """
    names = list(dict.fromkeys([UNCHANGED, *(setting.name for setting in found)]))
    measured = {name: _setting(out, name, config) for name in names}
    share = {name: _shares(out, name, config.count) for name in names}
    numbers: dict[str, Any] = {}
    tables, slowest = [], {}
    for suspect in config.suspects:
        swept = [setting for setting in found if setting.suspect == suspect]
        channels, table, change = _reacting(swept, share, config)
        numbers[suspect] = {
            'label': SUSPECT[suspect].label,
            'here': next(setting.value for setting in swept if setting.name == UNCHANGED),
            'settings': [
                {
                    'value': setting.value,
                    'name': setting.name,
                    **measured[setting.name],
                    'moved': _moved(share[UNCHANGED], share[setting.name], config),
                    'reacting': reacting,
                }
                for setting, reacting in zip(swept, channels.pop('at_each'))
            ],
            'trend': channels,
        }
        tables.append(table)
        at = _slowest(numbers[suspect]['settings'])
        if at is not None:
            slowest[suspect] = {'value': swept[at].value, 'change': change[at]}
    reacting = [set(of['trend']['channels']) for of in numbers.values()]
    numbers = {
        'suspects': numbers,
        'react_to_all': sorted(set.intersection(*reacting)),
        'react_to_any': sorted(set.union(*reacting)),
        'resemblance': {
            'values': {suspect: of['value'] for suspect, of in slowest.items()},
            **estimate(
                *resemblance(
                    np.stack([of['change'] for of in slowest.values()]),
                    resamples(config.count, config.resamples, config.seed),
                )
            ),
        }
        if len(slowest) > 1
        else None,
    }
    return numbers, pd.concat(tables, ignore_index=True)


def text(found: Mapping[str, Any]) -> str:
    """A line for each setting."""
    count, gate = found['sweep']['count'], found['sweep']['gate']
    lines = [f'{count} trials of each setting; median offsets of the {gate} gate in rings 1 to the outermost, steps']
    for suspect in found['suspects'].values():
        trend = suspect['trend']
        lines.append(f'{suspect["label"]}: {len(trend["channels"])} of {trend["judged"]} channels react')
        for setting in suspect['settings']:
            offsets = [f'{steps:.0f}' for steps in setting['offsets'][gate]['steps']['value'][1:]]
            lines.append(
                f'  {setting["value"]:g}{" (as it is)" if setting["name"] == UNCHANGED else ""}: '
                f'{setting["success"]["solved"]} solved, {setting["seconds"]["value"]:.1f} s, '
                f'offsets {" ".join(offsets)}, {setting["reacting"]} channels changed'
            )
    return '\n'.join(lines)


def wilson(successes: int, count: int) -> dict[str, Any]:
    """A proportion with its 95 % interval after Wilson 1927 (https://doi.org/10.1080/01621459.1927.10502953).

    Unlike a bootstrap it is not of width 0 where all or none succeed. NaN of none.
    """
    if not count:
        return {'value': float('nan'), 'low': float('nan'), 'high': float('nan')}
    share, z2 = successes / count, Z95**2 / count
    middle, half = (share + z2 / 2) / (1 + z2), np.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return {'value': share, 'low': float(max(middle - half, 0.0)), 'high': float(min(middle + half, 1.0))}


def _setting(out: Path, name: str, config: SweepConfig) -> dict[str, Any]:
    """Success, time and offsets of one setting."""
    columns = ['trial', 'solved', 'seconds', 'steps', 'ring', 'ring_s', 'ring_steps']
    rows = pd.concat(
        [
            pd.read_parquet(file, columns=columns).drop_duplicates('ring')
            for file in paths(out, TRIALS, [name], config.count)
        ]
    )
    trials = rows.drop_duplicates('trial')
    weights = resamples(config.count, config.resamples, config.seed) / config.count
    solved = int(trials['solved'].sum())
    been = rows.pivot(index='trial', columns='ring', values='ring_steps').to_numpy() > 0
    inward = np.array([been[:, :ring].any(axis=1) for ring in range(been.shape[1])]).T
    seconds, ring_s = (
        trials['seconds'].to_numpy(),
        rows.pivot(index='trial', columns='ring', values='ring_s').to_numpy(),
    )
    return {
        'success': {'solved': solved, 'trials': config.count, **wilson(solved, config.count)},
        'seconds': estimate(seconds.mean(), weights @ seconds),
        'ring_s': estimate(ring_s.mean(axis=0), weights @ ring_s),
        'been_in': been.sum(axis=0).tolist(),
        'left_inwards': _columns(
            [wilson(int((been & inward)[:, ring].sum()), int(been[:, ring].sum())) for ring in range(been.shape[1])]
        ),
        'steps': int(trials['steps'].sum()),
        'offsets': _offsets(out, name, been.shape[1], config),
    }


def _offsets(out: Path, name: str, rings: int, config: SweepConfig) -> dict[str, dict[str, Any]]:
    """Medians of the offsets of each gate in each ring, in steps and in s; those with hidden beginnings left out."""
    kept = ['gate', 'ring', 'offset', 'offset_s', 'censored', 'ended']
    parts = []
    for trial, file in enumerate(paths(out, EVENTS, [name], config.count)):
        part = read_events(file, kept)
        parts.append(part.assign(trial=trial, gate=part['gate'].astype('category')))
    table = pd.concat(parts, ignore_index=True)
    weights = resamples(config.count, config.resamples, config.seed)
    offsets: dict[str, dict[str, Any]] = {}
    for gate in GATE_NAMES.values():
        seen, every = observed(table, gate), table[table['gate'] == gate]
        of_ring = [seen[seen['ring'] == ring] for ring in range(rings)]
        offsets[gate] = {
            'n': [len(rows) for rows in of_ring],
            'censored': [int((every['censored'] & (every['ring'] == ring)).sum()) for ring in range(rings)],
            'steps': _columns([median_over_trials(rows['trial'], rows['offset'], weights) for rows in of_ring]),
            'seconds': _columns(
                [median_over_trials(rows['trial'], rows['offset_s'].round(4), weights) for rows in of_ring]
            ),
        }
    return offsets


def median_over_trials(trial: Any, values: Any, weights: Float64) -> dict[str, Any]:
    """The median of all values with its interval from drawing trials; `weights` as `resamples` makes them."""
    if not len(values):
        return {'value': float('nan'), 'low': float('nan'), 'high': float('nan')}
    distinct, which = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)
    counts = tally(np.asarray(trial), np.zeros(len(which), dtype=np.int64), which, (weights.shape[1], 1, len(distinct)))
    places = [median(drawn(weight, counts)[:, 0]) for weight in (np.ones((1, len(counts))), weights)]
    one, many = (np.where(np.isfinite(at), distinct[np.nan_to_num(at).astype(np.int64)], np.nan) for at in places)
    return estimate(one[0], many)


def _shares(out: Path, name: str, count: int) -> Float64:
    """Mean contributions in each ring of each trial, shape (I, R, C)."""
    found = []
    for file in paths(out, TRIALS, [name], count):
        rows = pd.read_parquet(file, columns=['ring', 'share'])
        found.append(rows['share'].to_numpy(dtype=np.float64).reshape(rows['ring'].max() + 1, -1))
    return np.stack(found)


def _moved(unchanged: Float64, changed: Float64, config: SweepConfig) -> dict[str, list[float]]:
    found = moved(unchanged, changed, config.flips // 10, config.seed)
    return {name: values.tolist() for name, values in zip(('value', 'chance', 'chance_high'), found)}


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """A list of numbers of one kind as lists of each: rings are the same everywhere."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def _reacting(
    swept: Sequence[Setting], share: Mapping[str, Float64], config: SweepConfig
) -> tuple[dict[str, Any], pd.DataFrame, Float64]:
    """The channels that react to one suspect, its rows of the table, and the changes of each trial, see `changes`."""
    stacked = np.stack([share[setting.name] for setting in swept])
    here = next(index for index, setting in enumerate(swept) if setting.name == UNCHANGED)
    change, rise = changes(stacked, here), trends(stacked)
    judged: npt.NDArray[np.bool_] = np.asarray(np.nan_to_num(stacked).any(axis=(0, 1, 2)))
    weights = resamples(config.count, config.resamples, config.seed) / config.count

    def rates(values: Float64) -> tuple[Float64, Float64]:
        p, q = sign_flips(values, config.flips, config.seed), np.ones(len(judged))
        q[judged] = false_discovery_rates(p[judged])
        return p, q

    p, q = rates(rise)
    limits = [interval(np.tensordot(weights, each, axes=1)) for each in change]
    q_each = [rates(each)[1] for each in change]
    reacts = np.flatnonzero(q <= config.false_discovery_rate)
    most = reacts[np.argsort(-np.abs(change.mean(axis=1)).max(axis=0)[reacts], kind='stable')][:SHOWN]
    numbers = {
        'judged': int(judged.sum()),
        'channels': reacts.tolist(),
        'at_each': [int((each <= config.false_discovery_rate).sum()) for each in q_each],
        'most': [
            {
                'channel': int(channel),
                'tau': float(rise[:, channel].mean()),
                'q': float(q[channel]),
                'change': [
                    {'value': float(each[:, channel].mean()), 'low': float(low[channel]), 'high': float(high[channel])}
                    for each, (low, high) in zip(change, limits)
                ],
            }
            for channel in most
        ],
    }
    _, _, rings, channels = stacked.shape
    tables = [
        pd.DataFrame(
            {
                'suspect': setting.suspect,
                'value': setting.value,
                'ring': np.repeat(np.arange(rings), channels),
                'channel': np.tile(np.arange(channels), rings),
                'trials': np.isfinite(each).sum(axis=0).ravel(),
                'share': _mean_known(each).ravel(),
                **{
                    name: np.tile(column, rings)
                    for name, column in (
                        ('change', each_change.mean(axis=0)),
                        ('change_low', low),
                        ('change_high', high),
                        ('change_q', each_q),
                        ('trend_tau', rise.mean(axis=0)),
                        ('trend_p', p),
                        ('trend_q', q),
                    )
                },
            }
        )
        for setting, each, each_change, (low, high), each_q in zip(swept, stacked, change, limits, q_each)
    ]
    return numbers, pd.concat(tables, ignore_index=True), change


def _slowest(found: Sequence[Mapping[str, Any]]) -> int | None:
    """Which changed setting takes longest of those in which at least half of the trials succeed."""
    slow = [
        (setting['seconds']['value'], index)
        for index, setting in enumerate(found)
        if setting['name'] != UNCHANGED and 2 * setting['success']['solved'] >= setting['success']['trials']
    ]
    return max(slow)[1] if slow else None


def _mean_known(share: Float64) -> Float64:
    known = np.isfinite(share)
    total: Float64 = np.where(known, share, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
