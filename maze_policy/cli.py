"""`maze-policy`: train a policy, try one out, and make the world it plays in."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path

from maze_policy.calibrate_config import TURN_HELP, CalibrateConfig, MarkerConfig
from maze_policy.config import (
    TRANSFER,
    CameraConfig,
    EvaluateConfig,
    NetworkConfig,
    PhysicsConfig,
    RlConfig,
    TrainConfig,
)
from maze_policy.import_checkpoint import ImportConfig, import_checkpoint
from maze_policy.maze import load_maze
from maze_policy.parameters import MISSING_EXTRA, Config, add_options, from_options
from maze_policy.share import checkpoint_path, policy_name
from maze_policy.world import add_world_options, world_from_options

FLAVOURS = ('fortress', 'harmonic')  # of Gazebo
STAGES: dict[str, type[Config]] = {'distil': TrainConfig, 'rl': RlConfig}
CHECKPOINT = 'NAME.safetensors, or the name of a shipped policy'


def main(arguments: list[str] | None = None) -> int:
    """Run `maze-policy`; exit code 0, or 2 with a message on bad input."""
    parser = argparse.ArgumentParser('maze-policy', description=__doc__, allow_abbrev=False)
    parser.add_argument(
        '--maze', type=Path, help='parameter file with the maze (default: the shipped config/maze.yaml)'
    )
    commands = parser.add_subparsers(required=True)

    stage = _stage(arguments)
    train = commands.add_parser(
        'train',
        help='distil the expert into a CNN-LSTM, or fine-tune one by reinforcement learning; started again, it goes on',
        description=f'Train a policy. These are the options of --stage {stage}; --stage '
        f'{next(other for other in STAGES if other != stage)} --help shows those of the other.',
        allow_abbrev=False,
    )
    train.add_argument(
        '--stage',
        choices=STAGES,
        default=stage,
        help='distil: DAgger from the privileged expert; rl: recurrent PPO from a trained policy (default: distil)',
    )
    train.add_argument('--out', type=Path, required=True, help='folder for the checkpoint, the log and the state')
    train.add_argument(
        '--init',
        help=f'weights to begin with: {CHECKPOINT} '
        '(default: distil begins with random ones, rl with the shipped nominal policy)',
    )
    add_options(train, STAGES[stage])
    if stage == 'distil':
        add_options(train, NetworkConfig)
    add_world_options(train, 'varied')
    train.set_defaults(run=_distil if stage == 'distil' else _fine_tune)

    moved = commands.add_parser(
        'transfer',
        help='fine-tune several policies in another world with several seeds: success against episodes',
        description='Fine-tune every policy of --init with every seed in the world of --profile, by recurrent PPO, and '
        'write success and time against episodes of experience to transfer.csv. Started again, it goes on.',
        allow_abbrev=False,
    )
    moved.add_argument('--out', type=Path, required=True, help='folder for the runs and transfer.csv')
    moved.add_argument(
        '--init',
        nargs='+',
        default=['nominal', 'robust'],
        help=f'policies to begin with, each {CHECKPOINT} (default: nominal robust)',
    )
    moved.add_argument('--seeds', type=int, default=3, help='how many, counting from --seed (default: %(default)s)')
    add_options(moved, RlConfig)
    add_world_options(moved, 'real_like')
    moved.set_defaults(run=_transfer, **vars(TRANSFER))

    trial = commands.add_parser(
        'evaluate',
        help='success and times over many trials',
        description='Play many trials at once, each from anywhere in the outer ring, and print how many were solved, '
        'in what time, and how long the ball was in each ring. The same options give the same trials.',
        allow_abbrev=False,
    )
    player = trial.add_mutually_exclusive_group()
    player.add_argument('--checkpoint', help=f'{CHECKPOINT} (default: nominal)')
    player.add_argument('--expert', action='store_true', help='try the expert out, which sees the true state, instead')
    trial.add_argument('--out', type=Path, help='write the summary to this JSON file too')
    add_options(trial, EvaluateConfig)
    add_world_options(trial, 'nominal')
    trial.set_defaults(run=_evaluate)

    taken = commands.add_parser(
        'import',
        help="take in somebody else's pickled checkpoint: its weights alone, tried out",
        description='Read the weights, and nothing else, of a checkpoint that torch.save wrote, in a process with '
        'limits; play with them; write them as NAME.safetensors and NAME.json. See docs/checkpoints.md.',
        allow_abbrev=False,
    )
    taken.add_argument('file', type=Path, help='.pt, .pth or whatever it is called; .safetensors too')
    taken.add_argument('--out', type=Path, required=True, help='NAME.safetensors to write')
    add_options(taken, ImportConfig)
    taken.set_defaults(run=_import)

    gazebo = commands.add_parser(
        'gazebo',
        help='make the Gazebo world of the maze, and what ros_gz_bridge and our nodes want to know of it',
        description='Write maze.sdf, bridge.yaml and nodes.yaml, as in gazebo/; docs/gazebo.md says how to go on.',
        allow_abbrev=False,
    )
    gazebo.add_argument('--flavour', choices=FLAVOURS, required=True, help='generation of Gazebo')
    gazebo.add_argument('--out', type=Path, required=True, help='folder for the three files')
    add_options(gazebo, PhysicsConfig)
    add_options(gazebo, CameraConfig)
    gazebo.set_defaults(run=_gazebo)

    again = commands.add_parser(
        'gazebo-reset',
        help='put the ball of a running Gazebo at rest anywhere in the outer ring',
        description='Put the ball of a running Gazebo at rest in the outer ring, and say where and by which seed.',
        allow_abbrev=False,
    )
    again.add_argument('--flavour', choices=FLAVOURS, required=True, help='generation of Gazebo')
    again.add_argument('--seed', type=int, help='seed of the place (default: another one every time)')
    again.set_defaults(run=_gazebo_reset)

    found = commands.add_parser(
        'calibrate',
        help='find the level board in the picture of a camera and write where it is as a parameter file',
        description='Find the level board in what the camera shows, draw it over the picture, and write the parameters '
        'that policy and ball_tracker need to see it from straight above. See docs/calibration.md.',
        allow_abbrev=False,
    )
    found.add_argument('source', help='image file, or anything that camera_node reads: a device, URL, video or folder')
    found.add_argument('--out', type=Path, required=True, help='parameter file to write, such as board.yaml')
    found.add_argument('--picture', type=Path, help='image to write: what was found, drawn over what was seen')
    found.add_argument('--camera-info', type=Path, help="the camera's own calibration, a camera_info YAML")
    found.add_argument('--turn-deg', type=float, help=TURN_HELP)
    add_options(found, CalibrateConfig)
    add_options(found.add_argument_group('the markers'), MarkerConfig)
    found.set_defaults(run=_calibrate)

    printed = commands.add_parser(
        'markers', help='write the four markers in true size, to be printed', allow_abbrev=False
    )
    printed.add_argument('--out', type=Path, required=True, help='markers.pdf or markers.png, A4')
    add_options(printed, MarkerConfig)
    printed.set_defaults(run=_markers)

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


def _stage(arguments: list[str] | None) -> str:
    """The stage of training that the command line asks for: which options there are depends on it."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument('--stage', choices=STAGES, default='distil')
    try:
        stage: str = first.parse_known_args(arguments)[0].stage
    except argparse.ArgumentError:
        return 'distil'  # the real parser says what is wrong
    return stage


def _distil(options: argparse.Namespace) -> None:
    from maze_policy.train import Trainer  # torch takes seconds to import: not for --help

    config, network = from_options(TrainConfig, options), from_options(NetworkConfig, options)
    world = world_from_options(options)
    trainer = Trainer(config, network, load_maze(options.maze), world, options.out, init=options.init)
    trainer.run(progress=True)
    print(f'{options.out / "policy.safetensors"} after {trainer.chunk} chunks: {json.dumps(trainer.results)}')


def _fine_tune(options: argparse.Namespace) -> None:
    from maze_policy.checkpoint import load_policy, provenance
    from maze_policy.rl import PpoTrainer

    config, world = from_options(RlConfig, options), world_from_options(options)
    policy, begun_with = load_policy(options.init), provenance(options.init)
    trainer = PpoTrainer(config, policy, load_maze(options.maze), world, options.out, begun_with=begun_with)
    trainer.run(progress=True)
    print(f'{options.out / "policy.safetensors"} after {trainer.episodes} episodes: {json.dumps(trainer.results)}')


def _transfer(options: argparse.Namespace) -> None:
    from maze_policy.transfer import transfer

    starts = {policy_name(start): start for start in map(checkpoint_path, options.init)}
    if len(starts) < len(options.init):
        raise ValueError(f'--init wants policies of different names, got {", ".join(options.init)}')
    if options.seeds < 1:
        raise ValueError(f'--seeds wants 1 or more, got {options.seeds}')
    config, world = from_options(RlConfig, options), world_from_options(options)
    print(transfer(starts, config, options.seeds, load_maze(options.maze), world, options.out, progress=True))


def _evaluate(options: argparse.Namespace) -> None:
    from maze_policy.checkpoint import load_policy
    from maze_policy.evaluate import evaluate

    config, world = from_options(EvaluateConfig, options), world_from_options(options)
    if options.expert and not config.memory:
        raise ValueError('--expert has no memory to take away; leave out --no-memory')
    if options.out:
        options.out.touch()  # not to be found out after the trials
    network = None if options.expert else load_policy(options.checkpoint, threads=1)
    evaluation = evaluate(network, config, load_maze(options.maze), world, progress=True)
    print(evaluation.text())
    if options.out:
        summary = {'config': config.as_dict(), 'world': world.as_dict(), **evaluation.summary()}
        options.out.write_text(json.dumps(summary, indent=2) + '\n')


def _import(options: argparse.Namespace) -> None:
    network = import_checkpoint(options.file, options.out, from_options(ImportConfig, options))
    print(f'{options.out}: {json.dumps(network.config.as_dict())}, as played by torch.nn.LSTM')


def _gazebo(options: argparse.Namespace) -> None:
    from maze_policy.gazebo import write

    physics, camera = from_options(PhysicsConfig, options), from_options(CameraConfig, options)
    write(options.out, options.flavour, physics, camera, options.maze)
    print(f'maze.sdf, bridge.yaml and nodes.yaml for Gazebo {options.flavour.capitalize()} in {options.out}')


def _calibrate(options: argparse.Namespace) -> None:
    from maze_policy.calibrate import as_parameter_file, calibrate, drawn, save_picture

    maze = load_maze(options.maze)
    config, markers = from_options(CalibrateConfig, options), from_options(MarkerConfig, options)
    calibrated = calibrate(options.source, maze, config, markers, options.camera_info, options.turn_deg)
    print(calibrated.text)
    options.out.write_text(as_parameter_file(calibrated))
    if options.picture:
        save_picture(options.picture, drawn(calibrated, maze, markers))


def _markers(options: argparse.Namespace) -> None:
    from maze_policy.marker_sheet import save_markers

    save_markers(options.out, from_options(MarkerConfig, options))


def _gazebo_reset(options: argparse.Namespace) -> None:
    from maze_policy.gazebo import reset

    seed = secrets.randbits(32) if options.seed is None else options.seed
    x, y = reset(options.flavour, load_maze(options.maze), seed)
    print(f'ball at {x:.4f}, {y:.4f} m, seed {seed}')


if __name__ == '__main__':
    sys.exit(main())
