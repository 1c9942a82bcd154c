"""`maze-introspection validate`: the recovered offset against the true delay, where the truth is known."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from maze_introspection.config import IntrospectionConfig, ValidateConfig
from maze_introspection.figures.recovered import failure, recalled, recovered
from maze_introspection.figures.style import write
from maze_introspection.results import prepare
from maze_introspection.statistics import plain
from maze_introspection.validity.ground_truth import BAR, NEAR, read, run
from maze_policy.parameters import add_options, from_options
from maze_policy.policy import GATE_NAMES

CLEAN, NOISY = 'clean', 'noisy'
# What is varied in the failure maps, one at a time from where there is no noise, and how far.
AXES: dict[str, tuple[float, ...]] = {
    'period': (2, 5, 10, 20, 30, 45, 60, 90, 130),
    'input_noise': (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
    'weight_noise': (0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2),
    'gain': (1, 2, 3, 4, 5, 6, 8, 10, 15),
    'gate_bias': (-1.5, -1.1, -0.9, -0.5, 0, 0.5, 0.9, 1.1, 1.5),
    'distractor_weight': (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1, 2, 5),
}
MAP_DELAYS = (0, 1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 50, 60)


class Point(NamedTuple):
    """One setting: `condition` is CLEAN, NOISY or what is varied, to `level`."""

    condition: str
    level: float
    delay: int
    copies: int
    config: ValidateConfig


def points(config: ValidateConfig) -> Iterator[Point]:
    """Every setting that is tried: all delays without noise and with it, and the maps."""
    clean = replace(config, input_noise=0.0, weight_noise=0.0)
    for name, setting in ((CLEAN, clean), (NOISY, config)):
        for delay in range(config.longest + 1):
            yield Point(name, np.nan, delay, config.copies, setting)
    for (axis, levels), delay in product(AXES.items(), MAP_DELAYS):
        if delay <= config.longest and config.map_copies:
            for level in levels:
                value = type(getattr(clean, axis))(level)
                yield Point(axis, level, delay, config.map_copies, replace(clean, **{axis: value}))


def measure(config: ValidateConfig, introspection: IntrospectionConfig) -> pd.DataFrame:
    """One row per measured channel and gate: the columns of `ground_truth.read`, `condition`, `level` and `copy`.

    Every copy has weights, inputs and cues of its own, drawn from the seed, the delay and its number alone.
    """
    work = [(point, copy) for point in points(config) for copy in range(point.copies)]
    rows = []
    for point, copy in tqdm(work, desc='hand-built LSTMs', unit='LSTM', disable=None):
        about = {'condition': point.condition, 'level': point.level, 'copy': copy}
        trial = run(point.delay, point.config, [config.seed, point.delay, copy], introspection)
        rows += [{**about, **row} for row in read(trial)]
    table = pd.DataFrame(rows)
    table['recovered'] = (table['median'] - table['delay']).abs() <= NEAR
    return table


def train_and_read(config: ValidateConfig, introspection: IntrospectionConfig) -> pd.DataFrame:
    """The rows of `recall.read` of every trained LSTM."""
    import torch

    from maze_introspection.validity import recall

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # rounding must not depend on the machine's number of cores
    work = list(product(config.recall_delays, range(config.seed, config.seed + config.recall_seeds)))
    rows = []
    for delay, seed in tqdm(work, desc='trained LSTMs', unit='LSTM', disable=None):
        rows += recall.read(delay, seed, introspection)
    torch.set_num_threads(threads)
    return pd.DataFrame(rows)


def summarise(table: pd.DataFrame) -> dict[str, Any]:
    """What `validate.json` says of the hand-built LSTMs.

    Of CLEAN and NOISY for each gate: how many channels are recovered, overall and at the worst delay. What each gate
    says of the channels built for the others. And of the maps, over all delays: the share of channels recovered and of
    cues found, and the median error of a channel's median offset per salient step (the paper's figure 5).
    """
    own = table[table['built'] == table['gate']]
    said: dict[str, Any] = {}
    for condition in (CLEAN, NOISY):
        here = own[own['condition'] == condition]
        said[condition] = {gate: _gate(here[here['gate'] == gate]) for gate in GATE_NAMES.values()}
    clean = table[(table['condition'] == CLEAN) & (table['delay'] > NEAR)]
    said['read_by_another_gate'] = [
        {
            'built': built,
            'gate': gate,
            'cues': int(rows['cues'].sum()),
            'at_the_delay': int(rows['near'].sum()),
            'elsewhere': int((rows['offsets'] - rows['near']).sum()),
            'censored': int(rows['censored'].sum()),
            'medians': sorted({float(median) for median in rows['median'].dropna()})[:3],
        }
        for (built, gate), rows in clean.groupby(['built', 'gate'], sort=False)
        if built != gate
    ]
    maps = own[own['condition'].isin(list(AXES))]
    said['maps'] = {
        axis: [
            {
                'level': level,
                **{
                    gate: {
                        'recovered': float(rows['recovered'].mean()),
                        'cues_found': float(rows['found'].sum() / max(rows['cues'].sum(), 1)),
                        'salient_step_error': float((rows['step_median'] - rows['delay']).dropna().median()),
                    }
                    for gate, rows in at.groupby('gate', sort=False)
                },
            }
            for level, at in maps[maps['condition'] == axis].groupby('level')
        ]
        for axis in AXES
        if (maps['condition'] == axis).any()
    }
    return said


def _gate(rows: pd.DataFrame) -> dict[str, Any]:
    by_delay = rows.groupby('delay')['recovered'].mean().sort_index()
    worst = by_delay.sort_values(kind='stable')
    error = (rows['median'] - rows['delay']).dropna()
    return {
        'delays': len(by_delay),
        'channels': len(rows),
        'recovered': int(rows['recovered'].sum()),
        'worst_delay': int(worst.index[0]),
        'recovered_at_worst_delay': float(worst.iloc[0]),
        'delays_below_bar': by_delay.index[by_delay < BAR].tolist(),
        'error_of_median': {name: float(error.quantile(q)) for name, q in (('q1', 0.25), ('q3', 0.75))}
        | {'least': float(error.min()), 'most': float(error.max())},
        'cues': int(rows['cues'].sum()),
        'cues_found': int(rows['found'].sum()),
        'offsets': int(rows['offsets'].sum()),
        'offsets_exact': int(rows['exact'].sum()),
        'censored': int(rows['censored'].sum()),
    }


def bar_met(said: dict[str, Any]) -> bool:
    """Without noise every offset is the delay and every cue has one; with noise the medians are as `BAR` says."""
    exact = all(
        gate['offsets'] == gate['offsets_exact'] and gate['cues'] == gate['cues_found'] for gate in said[CLEAN].values()
    )
    return exact and not any(gate['delays_below_bar'] for gate in said[NOISY].values())


def summarise_recall(table: pd.DataFrame) -> list[dict[str, Any]]:
    """For each delay and gate, over the seeds: what the salient channels' offsets say at the recall."""
    found = []
    for (_, gate), rows in table.groupby(['delay', 'gate'], sort=False):
        shares = rows['near'] / rows['events']
        found.append(
            {
                'delay': int(rows['delay'].iloc[0]),
                'gate': gate,
                'seeds': rows['seed'].tolist(),
                'right_least': float(rows['right'].min()),
                'needed': rows['needed'].tolist(),
                **{name: int(rows[name].sum()) for name in ('events', 'shut', 'censored', 'shorter', 'near', 'longer')},
                'near_share': shares.round(4).tolist(),
                'chance_near': rows['chance_near'].round(4).tolist(),
                'median': rows['median'].tolist(),
            }
        )
    return found


def add_validate(commands: Any) -> None:
    """The command, for `maze-introspection`'s parser."""
    command = commands.add_parser(
        'validate',
        help='hold preceding offsets against LSTMs whose delay is known: built by hand, and trained to recall',
        description='Builds LSTMs whose channels open a gate at a cue and contribute a known number of steps later, '
        'runs them, analyses them as any recording, and compares; maps where that fails (cues that overlap, noise, '
        'gates that hardly shut or stay open, loud distractors); trains small LSTMs to recall a symbol after a known '
        'delay. Writes validate.parquet, validate_recall.parquet, validate.json and three figures. docs/validity.md '
        'says what to make of them. A quick look: --longest 10 --copies 2 --map-copies 0 --recall-delays 2 10 '
        '--recall-seeds 1',
        epilog=f'exit code: 0 without noise every offset is exact, and with noise the median is within {NEAR} step of '
        f'the delay for {BAR:.0%} of the channels at every delay; 1 not so; 2 bad input'.replace('%', '%%'),
        allow_abbrev=False,
    )
    command.add_argument('--out', type=Path, required=True, help='folder for the results')
    add_options(command, ValidateConfig)
    add_options(command, IntrospectionConfig)
    command.set_defaults(run=validate)


def validate(options: argparse.Namespace) -> int:
    """Run the command."""
    config, introspection = from_options(ValidateConfig, options), from_options(IntrospectionConfig, options)
    prepare(options.out)
    table = measure(config, introspection)
    said: dict[str, Any] = {'config': config.as_dict(), 'introspection': introspection.as_dict(), **summarise(table)}
    met = said['bar_met'] = bar_met(said)
    drawings = {'validate_recovered': lambda: recovered(table)}
    if config.map_copies:
        drawings['validate_failure'] = lambda: failure(table, {axis: list(levels) for axis, levels in AXES.items()})
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_parquet(options.out / 'validate.parquet', index=False)
    if config.recall_delays:
        trained = train_and_read(config, introspection)
        trained.to_parquet(options.out / 'validate_recall.parquet', index=False)
        said['recall'] = summarise_recall(trained)
        drawings['validate_recall'] = lambda: recalled(trained)
    (options.out / 'validate.json').write_text(json.dumps(plain(said), indent=2, allow_nan=False) + '\n')
    for name, draw in drawings.items():
        write(draw, options.out, name)
    print(text(said))
    return 0 if met else 1


def text(said: dict[str, Any]) -> str:
    """What was found, for the terminal."""
    lines = []
    for condition in (CLEAN, NOISY):
        for gate, found in said[condition].items():
            lines.append(
                f'{condition}, {gate} gate: {found["recovered"]} of {found["channels"]} channels within {NEAR} step, '
                f'at the worst delay ({found["worst_delay"]}) {found["recovered_at_worst_delay"]:.0%}; '
                f'{found["offsets_exact"]} of {found["offsets"]} offsets exact; {found["cues_found"]} of '
                f'{found["cues"]} cues found'
            )
    for row in said.get('recall', []):
        lines.append(
            f'trained, delay {row["delay"]}, {row["gate"]} gate: of {row["events"]} salient at the recall '
            + ', '.join(f'{row[name]} {name}' for name in ('shut', 'censored', 'shorter', 'near', 'longer'))
        )
    return '\n'.join([*lines, 'as it must be' if said['bar_met'] else 'NOT as it must be'])
