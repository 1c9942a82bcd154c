"""The command `sweep`: the timing of the loop, one suspect at a time, and what changes with it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from maze_introspection.config import BackendConfig, IntrospectionConfig, SweepConfig, TrialsConfig
from maze_introspection.results import prepare
from maze_introspection.validity.commands import leave
from maze_policy.parameters import add_options, from_options
from maze_policy.world import add_world_options, world_from_options


def add_sweep(commands: Any) -> None:
    """Add the command `sweep` to an argparse subparsers object."""
    command = commands.add_parser(
        'sweep',
        help='play under other camera delays, frame rates, dropped frames, tilt lags and inference times, and see what '
        'changes',
        description="Is it the timing? The same trials are played with one of the paper's suspects at other values, "
        'everything else as the profile says: success and time, preceding offsets and contributions in each ring, and '
        'the channels that react. A camera delay is the time from a frame to the board following it, in frames, '
        'wherever it is lost; an inference of n frame periods also hides n - 1 of n frames from the policy.',
        epilog='writes events/SETTING/trial_N.parquet (a row per run of a gate) and trials/SETTING/trial_N.parquet (a '
        'row per ring and channel), which DuckDB, Polars or Spark read as they are; sweep.parquet (a row per suspect, '
        'value, ring and channel), sweep.json, .png and .svg. Started again with the same --out it plays only what is '
        'missing; values, suspects and --count may be added. exit code: 0 all is well; 2 bad input',
        allow_abbrev=False,
    )
    command.add_argument('--out', type=Path, required=True, help='folder for trials and results; resumes there')
    command.add_argument('--checkpoint', help='NAME.safetensors, or the name of a shipped policy (default: nominal)')
    command.add_argument(
        '--maze', type=Path, help='parameter file with the maze (default: the shipped config/maze.yaml)'
    )
    command.add_argument(
        '--beside', type=Path, metavar='JSON', help='sweep.json of another sweep, shown in the figure too'
    )
    for config in (SweepConfig, BackendConfig, IntrospectionConfig):
        add_options(command, config)
    add_world_options(command, 'nominal')
    command.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> int:
    from maze_introspection.figures.sweep import sweep_figure
    from maze_introspection.trials import Stage  # needs torch and the simulator
    from maze_introspection.validity.suspects import settings, worlds
    from maze_introspection.validity.swept import play_settings
    from maze_introspection.validity.timing import summarise, text

    config, world = from_options(SweepConfig, options), world_from_options(options)
    introspection, backend = from_options(IntrospectionConfig, options), from_options(BackendConfig, options)
    prepare(options.out)
    beside = [json.loads(options.beside.read_text())] if options.beside else []
    trials = TrialsConfig(count=config.count, seed=config.seed, time_limit_s=config.time_limit_s)
    stage = Stage(trials, world, options.checkpoint, options.maze)
    found = settings(config, world)
    played = play_settings(stage, worlds(found), options.out, introspection, backend)
    numbers, table = summarise(options.out, found, config)
    about = {
        'source': f'{options.checkpoint or "nominal"} in {options.profile}',
        'policy': stage.settings()['policy'],
        'world': world.as_dict(),
        'parameters': introspection.as_dict(),
        'sweep': config.as_dict(),
    }
    numbers = about | numbers
    table.to_parquet(options.out / 'sweep.parquet', index=False)
    leave(options.out, 'sweep', numbers, lambda: sweep_figure([*beside, numbers]))
    print(text(numbers))
    print(f'{played} trials played now, {config.count} of each of {len(worlds(found))} settings are in {options.out}')
    return 0
