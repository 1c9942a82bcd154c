"""`maze-policy`: train a policy, and try one out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from maze_policy.config import EvaluateConfig, NetworkConfig, TrainConfig
from maze_policy.maze import load_maze
from maze_policy.parameters import MISSING_EXTRA, add_options, from_options
from maze_policy.world import add_world_options, world_from_options


def main(arguments: list[str] | None = None) -> int:
    """Run `maze-policy`; exit code 0, or 2 with a message on bad input."""
    parser = argparse.ArgumentParser('maze-policy', description=__doc__, allow_abbrev=False)
    parser.add_argument(
        '--maze', type=Path, help='parameter file with the maze (default: the shipped config/maze.yaml)'
    )
    commands = parser.add_subparsers(required=True)

    train = commands.add_parser(
        'train', help='distil the expert into a CNN-LSTM; started again, it goes on', allow_abbrev=False
    )
    train.add_argument('--out', type=Path, required=True, help='folder for the checkpoint, the log and the state')
    train.add_argument('--init', type=Path, help='checkpoint (NAME.safetensors) whose weights the training begins with')
    add_options(train, TrainConfig)
    add_options(train, NetworkConfig)
    add_world_options(train, 'varied')
    train.set_defaults(run=_train)

    trial = commands.add_parser('evaluate', help='success and times over many trials', allow_abbrev=False)
    trial.add_argument('--checkpoint', type=Path, help='NAME.safetensors (default: the shipped nominal policy)')
    trial.add_argument('--expert', action='store_true', help='try the expert out, which sees the true state, instead')
    trial.add_argument('--out', type=Path, help='write the summary to this JSON file too')
    add_options(trial, EvaluateConfig)
    add_world_options(trial, 'nominal')
    trial.set_defaults(run=_evaluate)

    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except ImportError as error:
        print(f'maze-policy: {error}\n{MISSING_EXTRA}', file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:  # a CheckpointError is a ValueError
        print(f'maze-policy: {error}', file=sys.stderr)
        return 2
    return 0


def _train(options: argparse.Namespace) -> None:
    from maze_policy.train import Trainer  # torch takes seconds to import: not for --help

    config, network = from_options(TrainConfig, options), from_options(NetworkConfig, options)
    world = world_from_options(options)
    trainer = Trainer(config, network, load_maze(options.maze), world, options.out, init=options.init)
    trainer.run(progress=True)
    print(f'{options.out / "policy.safetensors"} after {trainer.chunk} chunks: {json.dumps(trainer.results)}')


def _evaluate(options: argparse.Namespace) -> None:
    from maze_policy.checkpoint import load_policy
    from maze_policy.evaluate import evaluate

    config, world = from_options(EvaluateConfig, options), world_from_options(options)
    if options.out:
        options.out.touch()  # not to be found out after the trials
    network = None if options.expert else load_policy(options.checkpoint)
    evaluation = evaluate(network, config, load_maze(options.maze), world, progress=True)
    print(evaluation.text())
    if options.out:
        summary = {'config': config.as_dict(), 'world': world.as_dict(), **evaluation.summary()}
        options.out.write_text(json.dumps(summary, indent=2) + '\n')


if __name__ == '__main__':
    sys.exit(main())
