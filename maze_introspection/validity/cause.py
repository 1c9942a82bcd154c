"""The commands `needed-memory` and `intervene`: what is asked of them, and what they leave in their folder."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from maze_introspection.config import InterveneConfig, IntrospectionConfig, NeededConfig
from maze_introspection.results import prepare
from maze_introspection.statistics import plain
from maze_policy.maze import load_maze
from maze_policy.parameters import add_options, from_options
from maze_policy.world import add_world_options, world_from_options


def add_needed_memory(commands: Any) -> None:
    """Add the command `needed-memory` to an argparse subparsers object."""
    needed = commands.add_parser(
        'needed-memory',
        help='replay a recording with truncated memory: how many earlier steps did each contribution need, and do '
        'preceding offsets tell it?',
        description='For each step the memory is reset k steps before and the observations since are replayed, for '
        'every k. The smallest k from which on the action (and each contribution) is what it was is the memory that '
        'it needed. Wants recordings with what the policy saw, such as `maze-introspection trials` makes.',
        epilog='writes needed_memory.parquet (a row per offset), needed_steps.parquet (a row per step), '
        'needed_memory.json, .png and .svg. exit code: 0 all is well; 1 some steps could not be replayed and were left '
        'out; 2 bad input',
        allow_abbrev=False,
    )
    needed.add_argument('bags', type=Path, nargs='+', metavar='BAG|DIR', help='rosbag2 folder, or a folder of them')
    needed.add_argument('--out', type=Path, required=True, help='folder for the results')
    needed.add_argument(
        '--checkpoint',
        help='of the policy that played: NAME.safetensors, or the name of a shipped one (default: nominal)',
    )
    needed.add_argument('--namespace', help='of the policy; needed only where a bag holds more than one')
    add_options(needed, NeededConfig)
    add_options(needed, IntrospectionConfig)
    needed.set_defaults(run=_needed_memory)


def add_intervene(commands: Any) -> None:
    """Add the command `intervene` to an argparse subparsers object."""
    intervening = commands.add_parser(
        'intervene',
        help='hold gates of chosen channels while the policy plays: do the channels that contribute most matter most?',
        description='Every intervention holds one gate of one channel, or of a group, at 0, at its mean or at 1, and '
        'plays the same trials (same balls, same worlds) as without. Channels are ranked by what holding them costs '
        'and by what they contribute.',
        epilog='writes intervene.jsonl (a line per intervention; started again, it goes on from there), '
        'intervene.parquet (a row per trial), intervene_effects.parquet (a row per intervention), intervene.json, .png '
        'and .svg. exit code: 0 all is well; 2 bad input',
        allow_abbrev=False,
    )
    intervening.add_argument('--out', type=Path, required=True, help='folder for the results; resumes there')
    intervening.add_argument(
        '--checkpoint', help='NAME.safetensors, or the name of a shipped policy (default: nominal)'
    )
    intervening.add_argument(
        '--maze', type=Path, help='parameter file with the maze (default: the shipped config/maze.yaml)'
    )
    add_options(intervening, InterveneConfig)
    add_world_options(intervening, 'nominal')
    intervening.set_defaults(run=_intervene)


def _intervene(options: argparse.Namespace) -> int:
    import pandas as pd

    from maze_introspection.figures.interventions import interventions_figure
    from maze_introspection.figures.style import write
    from maze_introspection.validity.effects import effects, effects_text, summarised
    from maze_introspection.validity.interventions import intervene, rows
    from maze_policy.checkpoint import load_policy, provenance

    config, world, maze = from_options(InterveneConfig, options), world_from_options(options), load_maze(options.maze)
    prepare(options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    about = provenance(options.checkpoint)
    settings = {
        **{name: getattr(config, name) for name in ('count', 'seed', 'time_limit_s')},
        **world.as_dict(),
        'maze': maze.as_dict(),
        'policy': about['sha256'],
    }
    network = load_policy(options.checkpoint, threads=1)
    lines, mean_share = intervene(network, config, maze, world, options.out, settings)
    table = effects(lines, mean_share, config)
    numbers = plain(
        {
            'checkpoint': {name: about[name] for name in ('name', 'sha256')},
            'parameters': config.as_dict(),
            'world': world.as_dict(),
            **summarised(lines, table, mean_share, config),
        }
    )
    pd.DataFrame(rows(lines)).to_parquet(options.out / 'intervene.parquet', index=False)
    table.to_parquet(options.out / 'intervene_effects.parquet', index=False)
    (options.out / 'intervene.json').write_text(json.dumps(numbers, indent=2, allow_nan=False) + '\n')
    write(lambda: interventions_figure(table, numbers), options.out, 'intervene')
    print(effects_text(numbers))
    return 0


def _needed_memory(options: argparse.Namespace) -> int:
    from maze_introspection.figures.needed_memory import needed_memory_figure
    from maze_introspection.figures.style import write
    from maze_introspection.validity.measure import measure
    from maze_introspection.validity.needed import actions, compare

    config, introspection = from_options(NeededConfig, options), from_options(IntrospectionConfig, options)
    prepare(options.out)
    measured = measure(options.bags, options.checkpoint, config, introspection, options.namespace)
    numbers = plain(
        {
            'source': [path.name for path in options.bags],
            **measured.about,
            'parameters': {**config.as_dict(), **introspection.as_dict()},
            'offsets': compare(measured.events, config),
            'actions': actions(measured.steps, config),
            'agreement': measured.agreement,
        }
    )
    options.out.mkdir(parents=True, exist_ok=True)
    measured.events.to_parquet(options.out / 'needed_memory.parquet', index=False)
    measured.steps.to_parquet(options.out / 'needed_steps.parquet', index=False)
    (options.out / 'needed_memory.json').write_text(json.dumps(numbers, indent=2, allow_nan=False) + '\n')
    write(lambda: needed_memory_figure(measured.events, numbers), options.out, 'needed_memory')
    print(needed_text(numbers))
    left_out = numbers['steps_left_out']
    if left_out:
        print(f'maze-introspection: {left_out} steps could not be replayed and were left out', file=sys.stderr)
    return 1 if left_out else 0


def needed_text(numbers: dict[str, Any]) -> str:
    """The summary for a person."""

    def of(number: float | None) -> str:
        return 'undefined' if number is None else f'{number:.2f}'

    def shown(interval: dict[str, float | None]) -> str:
        return f'{of(interval["value"])} [{of(interval["low"])}, {of(interval["high"])}]'

    lines = [
        f'{numbers["steps"]} steps of {numbers["episodes"]} episodes, largest deviation of the replay with all memory '
        f'{numbers["largest_deviation"]:g} ({numbers["identical_episodes"]} to the last bit)'
    ]
    q1, median, q3 = numbers['actions']['needed']
    lines.append(f'actions needed {median:g} steps (quartiles {q1:g} to {q3:g})')
    for gate, found in numbers['offsets'].items():
        needed, offset = found['needed'], found['offset']
        lines += [
            f'{gate} gate: {found["events"]} offsets, median {offset[1]:g}; contributions needed {needed[1]:g} '
            f'(quartiles {needed[0]:g} to {needed[2]:g})',
            f'  rank correlation {shown(found["rho"])}, among events of one moment {shown(found["rho_moment"])}, '
            f'within channels {shown(found["rho_channel"])}; moment alone {of(found["rho_chance"])}',
            f'  gate opened before all that was needed: {shown(found["covered"])} of events, by chance '
            f'{of(found["covered_chance"])}; skill of the offset as a number of steps {shown(found["skill"])}',
        ]
    return '\n'.join(lines)
