"""The commands `needed-memory` and `intervene`: what is asked of them, and what they leave in their folder."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from maze_introspection.config import IntrospectionConfig, NeededConfig
from maze_introspection.results import prepare
from maze_introspection.statistics import plain
from maze_policy.parameters import add_options, from_options


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
            'source': [str(path) for path in options.bags],
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
