"""The commands `chance`, `sensitivity` and `compare`: what is asked of them, and what they leave in their folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from maze_introspection.analysis import Analysis
from maze_introspection.config import ChanceConfig, CompareConfig, IntrospectionConfig, SensitivityConfig
from maze_introspection.results import prepare
from maze_introspection.statistics import plain
from maze_introspection.verify.digest import ARRAYS, digest
from maze_policy.parameters import Config, add_options, from_options


def add_chance(commands: Any) -> None:
    """Add the command `chance` to an argparse subparsers object."""
    command = commands.add_parser(
        'chance',
        help='preceding offsets against two nulls, elapsed time and hidden beginnings, with intervals',
        description='What of preceding offsets, and of their growth towards the centre, is more than chance and '
        'elapsed time? Two nulls: each gate with the contribution of another channel, and with its own moved in time. '
        'Then the same elapsed time in both rings, and survival analysis for offsets whose beginning nobody saw. For '
        'equal windows give trials that began in each ring (trials --start-rings 1 2 3 4) and --window-steps.',
        epilog='writes chance.parquet (a row per run of a gate), chance.json, .png and .svg. exit code: 0 all is well; '
        '2 bad input. docs/validity.md says what the numbers mean',
        allow_abbrev=False,
    )
    _asks_for_bags(command, ChanceConfig)
    command.set_defaults(run=_chance)


def add_sensitivity(commands: Any) -> None:
    """Add the command `sensitivity` to an argparse subparsers object."""
    command = commands.add_parser(
        'sensitivity',
        help='every published number over a grid of theta_g, theta_c and fraction, and where each conclusion holds',
        description='No threshold is given by nature. At every point of a grid this measures what docs/results.md '
        'reports: offsets in each ring with their null, whether they grow towards the centre and by more than chance, '
        'channels for a fraction of the score, channels with a single role. Then it says how wide the region around '
        'the thresholds in use is in which each conclusion stays the same.',
        epilog='writes sensitivity.parquet (a row per point, gate and ring), sensitivity.json, .png and .svg. exit '
        'code: 0 all is well; 2 bad input',
        allow_abbrev=False,
    )
    _asks_for_bags(command, SensitivityConfig)
    command.set_defaults(run=_sensitivity)


def add_compare(commands: Any) -> None:
    """Add the command `compare` to an argparse subparsers object."""
    command = commands.add_parser(
        'compare',
        help='which channels behave differently in two sets of recordings',
        description='Two worlds, two checkpoints, before and after fine-tuning: how often each channel is salient, how '
        'much it contributes, how purely it serves one action, and its preceding offsets, in A and in B, as if both '
        'had spent the same time in each ring. With intervals over episodes, and the share of false ones among the '
        'differences held down. Random halves of each set are compared too: they must hardly differ. Channels of '
        'policies that were trained apart have nothing in common but their number.',
        epilog='writes compare.parquet (a row per channel and measure), compare.json, .png and .svg. exit code: 0 all '
        'is well; 2 bad input',
        allow_abbrev=False,
    )
    command.add_argument('a', type=Path, metavar='A', help='rosbag2 folder, or a folder of them, such as of trials')
    command.add_argument('b', type=Path, metavar='B', help='the same, to compare with')
    _asks_for_more(command, CompareConfig)
    command.set_defaults(run=_compare)


def _asks_for_bags(command: argparse.ArgumentParser, config: type[Config]) -> None:
    command.add_argument('bags', type=Path, nargs='+', metavar='BAG|DIR', help='rosbag2 folder, or a folder of them')
    _asks_for_more(command, config)


def _asks_for_more(command: argparse.ArgumentParser, config: type[Config]) -> None:
    command.add_argument('--out', type=Path, required=True, help='folder for the results')
    command.add_argument('--namespace', help='of the policy; needed only where a bag holds more than one')
    add_options(command, config)
    add_options(command, IntrospectionConfig)


def _chance(options: argparse.Namespace) -> int:
    from maze_introspection.figures.chance import chance_figure
    from maze_introspection.validity.chance import chance, text
    from maze_introspection.validity.events import write_events

    config, analysis = from_options(ChanceConfig, options), read_set(options.bags, options)
    numbers, table = chance(analysis, config)
    found = {**about(analysis), 'chance': config.as_dict(), 'gates': numbers}
    leave(options.out, 'chance', found, lambda: chance_figure(found))
    write_events(table, options.out / 'chance.parquet')
    print(text(found))
    return 0


def _sensitivity(options: argparse.Namespace) -> int:
    from maze_introspection.figures.sensitivity import sensitivity_figure
    from maze_introspection.validity.sensitivity import sensitivity, text

    config, analysis = from_options(SensitivityConfig, options), read_set(options.bags, options)
    numbers, table = sensitivity(analysis, config)
    found = {**about(analysis), 'sensitivity': config.as_dict(), **numbers}
    leave(options.out, 'sensitivity', found, lambda: sensitivity_figure(table, found))
    table.to_parquet(options.out / 'sensitivity.parquet', index=False)
    print(text(found))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from maze_introspection.figures.compare import compare_figure
    from maze_introspection.validity.compare import compare, text

    config = from_options(CompareConfig, options)
    one, other = read_set([options.a], options), read_set([options.b], options)
    numbers, table = compare(one, other, config)
    found = {'a': about(one), 'b': about(other), 'compare': config.as_dict(), **numbers}
    leave(options.out, 'compare', found, lambda: compare_figure(table, found))
    table.to_parquet(options.out / 'compare.parquet', index=False)
    print(text(found))
    return 0


def read_set(paths: Sequence[Path], options: argparse.Namespace) -> Analysis:
    """All bags in the given folders as the episodes of one analysis.

    Raises:
        ValueError: if one of them cannot be read: a conclusion is of all of them, or of none.
    """
    from maze_introspection.explore.collect import collect

    prepare(options.out)
    found = collect(paths, from_options(IntrospectionConfig, options), options.namespace)
    if found.problems or found.analysis is None:
        raise ValueError('; '.join(found.problems))
    recording = replace(found.analysis.recording, source=found.label)
    return replace(found.analysis, recording=recording)


def about(analysis: Analysis) -> dict[str, Any]:
    """What was analysed, and with which parameters; the digest is of every number that was recorded."""
    recording = analysis.recording
    return {
        'source': recording.source,
        'episodes': len(recording.episode_ids),
        'steps': recording.steps,
        'channels': recording.channels,
        'digest': digest({name: getattr(recording, name) for name in ARRAYS}),
        'complete': analysis.complete,
        'parameters': analysis.config.as_dict(),
    }


def leave(out: Path, name: str, found: dict[str, Any], draw: Callable[[], Any]) -> None:
    """Write `name`.json, .png and .svg."""
    from maze_introspection.figures.style import write

    out.mkdir(parents=True, exist_ok=True)
    (out / f'{name}.json').write_text(json.dumps(plain(found), indent=1, allow_nan=False) + '\n')
    write(draw, out, name)
