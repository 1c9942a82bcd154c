"""Does a preceding offset tell the memory that was needed? Numbers over events, from tables alone (no torch).

An event's offset says how long its gate had been open when its channel contributed; `needed` how many earlier steps the
channel's contribution at that step depended on (`truncation`). Neither can exceed the steps gone by since the episode
began, and both differ from channel to channel, so they may rise together without meaning the same: the correlation is
given raw, among the events of one moment (ring and elapsed time alike) and within each channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from maze_introspection.config import NeededConfig
from maze_introspection.validity.rank import Statistic, bootstrap, shuffled_within, spearman, spearman_within
from maze_policy.policy import GATE_NAMES

Int64 = npt.NDArray[np.int64]
EDGES = (0, 1, 2, 3, 5, 9, 17, 33, 65)  # of the offsets that the calibration takes together, steps
LEAST = 10  # events from which a channel, a ring or a bin is judged


def compare(table: pd.DataFrame, config: NeededConfig) -> dict[str, Any]:
    """Offset against needed memory, by gate.

    Args:
        table: observed events with `needed`, `needed_others` and, for each further tolerance, `needed_TOLERANCE`.
        config: seed and number of resamples.
    """
    found: dict[str, Any] = {}
    for gate in GATE_NAMES.values():
        own = table[table['gate'] == gate]
        if own.empty:
            continue
        found[gate] = {
            **relation(own, 'needed', config),
            'others': relation(own, 'needed_others', config),
            'tolerances': {
                f'{tolerance:g}': relation(own, f'needed_{tolerance:g}', config)
                for tolerance in config.other_tolerances
            },
            'rings': {
                str(ring): relation(rows, 'needed', config) for ring, rows in own.groupby('ring') if len(rows) >= LEAST
            },
            'calibration': calibration(own['offset'].to_numpy(), own['needed'].to_numpy()),
            'channels': by_channel(own),
        }
    return found


def relation(rows: pd.DataFrame, needed_name: str, config: NeededConfig) -> dict[str, Any]:
    """How the offsets of these events go with what they needed.

    Returns:
        `rho`: Spearman's; `rho_moment`: among events of one ring and elapsed time; `rho_channel`: within each channel;
        `rho_chance`: the mean of `rho` when offsets change places among the events of one moment;
        `covered`: share of events whose gate opened at or before the step they needed (needed <= offset);
        `covered_chance`: the same with those offsets; `skill`: 1 - mean |needed - offset| / mean |needed - median|, 1
        where the offset is the needed memory, 0 where one number for all would do as well, negative where it is worse.
    """
    offset, needed = rows['offset'].to_numpy(), rows[needed_name].to_numpy()
    moment, channel, unit = moments(rows, config.moment_steps), codes(rows['channel']), units(rows)
    rng = np.random.default_rng(config.seed)
    chance = [offset[shuffled_within(moment, rng)] for _ in range(20)]

    def over(statistic: Statistic) -> dict[str, Any]:
        return bootstrap(statistic, unit, config.resamples, config.seed)

    return {
        'events': len(rows),
        'episodes': len(np.unique(unit)),
        'offset': _quartiles(offset),
        'needed': _quartiles(needed),
        'rho': over(lambda at: spearman(offset[at], needed[at])),
        'rho_moment': over(lambda at: spearman_within(offset[at], needed[at], moment[at])),
        'rho_channel': over(lambda at: spearman_within(offset[at], needed[at], channel[at])),
        'rho_chance': float(np.mean([spearman(other, needed) for other in chance])),
        'covered': over(lambda at: float((needed[at] <= offset[at]).mean())),
        'covered_chance': float(np.mean([(needed <= other).mean() for other in chance])),
        'skill': over(lambda at: skill(offset[at], needed[at])),
    }


def skill(offset: npt.NDArray[Any], needed: npt.NDArray[Any]) -> float:
    """1 - mean |needed - offset| / mean |needed - its median|; NaN where all needed the same."""
    constant = np.abs(needed - np.median(needed)).mean()
    return float(1 - np.abs(needed - offset).mean() / constant) if constant > 0 else float('nan')


def calibration(offset: npt.NDArray[Any], needed: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """Quartiles of what was needed, for the events of each range of offsets with enough of them."""
    found = []
    for low, high in zip(EDGES, (*EDGES[1:], np.inf)):
        here = (offset >= low) & (offset < high)
        if here.sum() >= LEAST:
            found.append(
                {
                    'from': int(low),
                    'to': int(offset[here].max()),
                    'events': int(here.sum()),
                    'offset': float(offset[here].mean()),
                    'needed': _quartiles(needed[here]),
                    'covered': float((needed[here] <= offset[here]).mean()),
                }
            )
    return found


def by_channel(rows: pd.DataFrame) -> dict[str, Any]:
    """Medians of each channel with enough events, how they rank, and where they disagree most, both ways."""
    table = rows.groupby('channel').agg(
        events=('offset', 'size'), offset=('offset', 'median'), needed=('needed', 'median')
    )
    table = table[table['events'] >= LEAST]
    table['more'] = table['needed'] - table['offset']
    order = table.sort_values('more', kind='stable')

    def listed(part: pd.DataFrame) -> list[dict[str, Any]]:
        return [{str(name): value for name, value in row.items()} for row in part.reset_index().to_dict('records')]

    return {
        'judged': len(table),
        'rho': spearman(table['offset'].to_numpy(), table['needed'].to_numpy()),
        'needs_most_beyond_offset': listed(order.iloc[::-1].head(5)),
        'needs_least_of_offset': listed(order.head(5)),
    }


def actions(steps: pd.DataFrame, config: NeededConfig) -> dict[str, Any]:
    """What the actions needed, and whether the longest offset among a step's salient channels tells it.

    Args:
        steps: one row per step with `needed`, `needed_others`, `longest_GATE` (NaN without one), `ring`, `elapsed`.
    """
    found: dict[str, Any] = {
        'steps': len(steps),
        'needed': _quartiles(steps['needed'].to_numpy()),
        'needed_others': _quartiles(steps['needed_others'].to_numpy()),
        'nothing_needed': float((steps['needed'] == 0).mean()),
        'rings': {str(ring): _quartiles(rows['needed'].to_numpy()) for ring, rows in steps.groupby('ring')},
    }
    for gate in GATE_NAMES.values():
        rows = steps[steps[f'longest_{gate}'].notna()]
        offset, needed = rows[f'longest_{gate}'].to_numpy(), rows['needed'].to_numpy()
        moment = moments(rows, config.moment_steps)

        def raw(at: Int64, x: npt.NDArray[Any] = offset, y: npt.NDArray[Any] = needed) -> float:
            return spearman(x[at], y[at])

        def within(
            at: Int64, x: npt.NDArray[Any] = offset, y: npt.NDArray[Any] = needed, group: Int64 = moment
        ) -> float:
            return spearman_within(x[at], y[at], group[at])

        found[gate] = {
            'steps': len(rows),
            'rho': bootstrap(raw, units(rows), config.resamples, config.seed),
            'rho_moment': bootstrap(within, units(rows), config.resamples, config.seed),
        }
    return found


def units(rows: pd.DataFrame) -> Int64:
    """A number for each episode of each source: what is drawn anew."""
    return np.asarray(rows.groupby(['source', 'episode']).ngroup(), dtype=np.int64)


def moments(rows: pd.DataFrame, width_steps: int) -> Int64:
    """A number for each ring and span of elapsed time, over all episodes."""
    return np.asarray(rows.groupby(['ring', rows['elapsed'] // width_steps]).ngroup(), dtype=np.int64)


def codes(values: pd.Series) -> Int64:
    """Numbers from 0 on for the values of a column."""
    return np.asarray(pd.factorize(values)[0], dtype=np.int64)


def _quartiles(values: npt.NDArray[Any]) -> list[float]:
    """Lower quartile, median and upper quartile; NaN where there is nothing."""
    return np.percentile(values, [25, 50, 75]).tolist() if len(values) else [float('nan')] * 3
