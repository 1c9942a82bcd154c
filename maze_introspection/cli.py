"""`maze-introspection`: explain a recorded policy, play and explain the paper's trials, or do all its experiments."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.analysis import Analysis, analyze, compare_live
from maze_introspection.bag import BagError, read_images, read_recording
from maze_introspection.bag.find import find_bags
from maze_introspection.config import (
    BackendConfig,
    IntrospectionConfig,
    ReportConfig,
    ResultsConfig,
    TrialsConfig,
    VerifyConfig,
)
from maze_introspection.null import against_null, counting_steps, gaussian_channels_needed, over_grid
from maze_introspection.report import text
from maze_introspection.results import prepare, write_results
from maze_introspection.statistics import summary, threshold_agreement
from maze_introspection.validity.cause import add_intervene, add_needed_memory
from maze_introspection.validity.commands import add_chance, add_compare, add_sensitivity
from maze_introspection.validity.sweep import add_sweep
from maze_introspection.validity.validate import add_validate
from maze_policy.config import TiltConfig
from maze_policy.maze import load_maze
from maze_policy.parameters import MISSING_EXTRA, add_options, from_options
from maze_policy.policy import GATE_NAMES
from maze_policy.topics import CAMERA_IMAGE, OBSERVATION
from maze_policy.world import add_world_options, world_from_options

GRID_G, GRID_C = (0.3, 0.4, 0.5, 0.6, 0.7), (0.01, 0.02, 0.03, 0.04, 0.05)
EXIT_CODES = (
    'exit code: 0 all is well; 1 steps are missing between the first and the last recorded one, or the recorded live '
    'contributions and offsets are not those of the replay; 2 bad input'
)

REPAIR_EXIT_CODES = (
    '0 the bag is whole, or all that was recorded could be had; 1 something is missing or, after a crash, may be; '
    '2 nothing could be recovered, or bad input'
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `maze-introspection`; see `EXIT_CODES`."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except ImportError as error:
        print(f'maze-introspection: {error}\n{MISSING_EXTRA}', file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f'maze-introspection: {error}', file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser('maze-introspection', description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    bag = commands.add_parser(
        'analyze', help='figures 2 to 6, tables and a summary of a bag', epilog=EXIT_CODES, allow_abbrev=False
    )
    bag.add_argument('bag', type=Path, metavar='BAG', help='rosbag2 folder (MCAP or SQLite)')
    bag.add_argument('--out', type=Path, help='folder for the results (default: BAG_analysis beside the bag)')
    bag.set_defaults(run=_analyze)

    trials = commands.add_parser(
        'trials',
        help='play trials from different ball positions and analyze all of them',
        epilog=EXIT_CODES,
        allow_abbrev=False,
    )
    trials.add_argument('--out', type=Path, required=True, help='folder for the bags and the results; resumes there')
    trials.add_argument('--checkpoint', help='NAME.safetensors, or the name of a shipped policy (default: nominal)')
    trials.add_argument(
        '--maze', type=Path, help='parameter file with the maze (default: the shipped config/maze.yaml)'
    )
    add_options(trials, TrialsConfig)
    add_options(trials, BackendConfig)
    add_world_options(trials, 'nominal')
    trials.set_defaults(run=_trials)

    proof = commands.add_parser(
        'verify',
        help='prove that a recording is whole and that its numbers are what it says',
        epilog='exit code: 0 all is proven; 1 something is false or missing; 3 nothing is false, but not all could be '
        'checked; 2 a bag could not be read, or bad input. docs/verify.md says what is proven, and how',
        allow_abbrev=False,
    )
    proof.add_argument('bags', type=Path, nargs='+', metavar='BAG|DIR', help='rosbag2 folder, or a folder of them')
    proof.add_argument(
        '--checkpoint',
        help='of the policy that played: NAME.safetensors, or the name of a shipped one (default: what the bag names)',
    )
    proof.add_argument('--json', type=Path, metavar='FILE', help='write everything there too, also every finding')
    proof.add_argument('--namespace', help='of the policy; needed only where a bag holds more than one')
    add_options(proof, VerifyConfig)
    add_options(proof, TiltConfig, defaults=False)
    proof.set_defaults(run=_verify)

    repairing = commands.add_parser(
        'repair',
        help='make a readable bag from one that was not finished, or is damaged, and say what is missing from it',
        epilog=f'exit code: {REPAIR_EXIT_CODES}. docs/recordings.md tells what a crash costs',
        allow_abbrev=False,
    )
    repairing.add_argument('bag', type=Path, metavar='BAG', help='rosbag2 folder, or one .mcap or .db3 file')
    repairing.add_argument('--out', type=Path, help='folder to make (default: BAG_repaired beside the bag)')
    repairing.add_argument('--namespace', help='of the policy; needed only where a bag holds more than one')
    repairing.set_defaults(run=_repair)

    explore = commands.add_parser(
        'report',
        help='one HTML file to explore a recording, or many trials, in a browser',
        epilog='exit code: 0 all is well; 1 a bag could not be read and was left out; 2 bad input, or nothing left',
        allow_abbrev=False,
    )
    explore.add_argument(
        'bags', type=Path, nargs='+', metavar='BAG|DIR', help='rosbag2 folder, or a folder of them, such as of trials'
    )
    explore.add_argument('--compare', type=Path, nargs='+', metavar='BAG|DIR', help='show these beside the others')
    explore.add_argument('--out', type=Path, required=True, metavar='FILE', help='the HTML file to write')
    explore.set_defaults(run=_report)

    results = commands.add_parser(
        'results',
        help="do the paper's experiments that are not done yet and bring docs/results.md up to date; run it in the "
        'repository',
        epilog='exit code: 0 all is done; 1 a checkpoint is missing, and what needs it was left out; 2 failed',
        allow_abbrev=False,
    )
    results.add_argument('--out', type=Path, default='runs/results', help='folder to work in (default: %(default)s)')
    results.add_argument('--docs', type=Path, default='docs', help='the documentation (default: %(default)s)')
    results.add_argument(
        '--transfer',
        type=Path,
        default='runs/transfer/transfer.csv',
        help='what `maze-policy transfer` left (default: %(default)s)',
    )
    add_options(results, ResultsConfig)
    results.set_defaults(run=_results)

    add_needed_memory(commands)
    add_intervene(commands)
    add_chance(commands)
    add_sensitivity(commands)
    add_compare(commands)
    add_sweep(commands)

    add_validate(commands)

    for command in (bag, explore):
        command.add_argument('--namespace', help='of the policy; needed only where a bag holds more than one')
        command.add_argument('--maze', type=Path, help='parameter file with the maze, for a bag without its own')
    add_options(explore, IntrospectionConfig)
    add_options(explore, ReportConfig)
    for command in (bag, trials):
        command.add_argument('--episode', type=int, help='of figures 2, 3 and 5 (default: the first solved one)')
        command.add_argument(
            '--channel', type=int, help='of figure 5 (default: the one whose gate most often opens well ahead)'
        )
        command.add_argument(
            '--gate', choices=list(GATE_NAMES.values()), default='output', help='of figures 5 and 6 (default: output)'
        )
        add_options(command, IntrospectionConfig)
    return parser


def _analyze(options: argparse.Namespace) -> int:
    config = from_options(IntrospectionConfig, options)
    out = options.out or options.bag.resolve().with_name(options.bag.resolve().name + '_analysis')
    prepare(out)
    recording = read_recording(options.bag, options.namespace)
    if options.maze:
        recording = replace(recording, maze=load_maze(options.maze))
    analysis = analyze(recording, config)
    live = compare_live(analysis)

    def look(stamps_ns: Sequence[int]) -> tuple[Mapping[int, npt.NDArray[np.uint8]], str]:
        for topic, what in ((CAMERA_IMAGE, 'camera images'), (OBSERVATION, 'no camera recorded: what the policy saw')):
            images = read_images(options.bag, topic, stamps_ns, options.namespace)
            if images:
                return images, what
        return {}, 'no image recorded: outline from the recorded maze and ball'

    numbers = summary(analysis)
    says = str(live) if live else 'no introspection node was recorded, nothing to compare'
    numbers['live'] = {'compared': live is not None, 'identical': live.identical if live else None, 'says': says}
    _write(analysis, numbers, out, look, options)
    print(f'live: {says}')
    return 0 if analysis.complete and (live is None or live.identical) else 1


def _trials(options: argparse.Namespace) -> int:
    from maze_introspection.trials import Stage, play_missing, read  # needs torch and the simulator

    config, trials = from_options(IntrospectionConfig, options), from_options(TrialsConfig, options)
    world = world_from_options(options)
    prepare(options.out)
    stage = Stage(trials, world, options.checkpoint, options.maze)
    bags = play_missing(stage, options.out, from_options(BackendConfig, options), config)
    if not trials.summary:
        print(f'{len(bags)} bags in {options.out}, the events of each in {options.out / "events"}')
        return 0
    recording, look = read(bags, str(options.out))
    analysis = analyze(recording, config)
    counts = counting_steps(analysis, trials.window_steps)
    numbers: dict[str, Any] = {
        **summary(analysis, counts),
        'trials': trials.as_dict(),
        'world': world.as_dict(),
        'theta_c_agreement': [
            row._asdict() for row in threshold_agreement(analysis, [step / 1000 for step in range(4, 62, 2)])
        ],
        'gaussian_channels_needed': gaussian_channels_needed(
            recording.channels, len(recording.readout), config.fraction
        )._asdict(),
        'against_null': against_null(analysis, trials.null_draws, trials.seed, counts),
    }
    if trials.grid:
        numbers['grid'] = over_grid(analysis, GRID_G, GRID_C, trials.null_draws, trials.seed, counts)
    _write(analysis, numbers, options.out, look, options)
    return 0 if analysis.complete else 1


def _report(options: argparse.Namespace) -> int:
    from maze_introspection.explore import collect, write_page  # Plotly is wanted here alone

    config = from_options(IntrospectionConfig, options)
    if options.out.is_dir():
        raise ValueError(f'want a file to write for --out, got the folder {options.out}')
    prepare(options.out.parent)
    maze = load_maze(options.maze) if options.maze else None
    sets = [options.bags, *([options.compare] if options.compare else [])]
    sides = [collect(paths, config, options.namespace, maze) for paths in sets]
    if len({side.label for side in sides}) < len(sides):  # such as a/trials and b/trials
        sides = [replace(side, label=', '.join(map(str, paths))) for side, paths in zip(sides, sets)]
    limits = from_options(ReportConfig, options)
    size = write_page(sides, options.out, limits)
    problems = [problem for side in sides for problem in side.problems]
    for problem in problems:
        print(f'maze-introspection: {problem}', file=sys.stderr)
    for side in sides:
        steps = side.analysis.recording.steps if side.analysis else 0
        print(f'{side.label}: {len(side.bags)} bag(s), {steps} steps')
    print(f'{options.out}: {size / 1e6:.1f} MB')
    if size > 1e6 * limits.limit_mb:
        print(f'maze-introspection: the numbers alone are more than --limit-mb {limits.limit_mb:g}', file=sys.stderr)
    return 2 if any(side.analysis is None for side in sides) else int(bool(problems))


def _verify(options: argparse.Namespace) -> int:
    from maze_introspection.verify import Verdict, verify

    config = from_options(VerifyConfig, options)
    tilt = {name: getattr(options, name) for name in ('tilt_step_deg', 'tilt_limit_deg')}
    tilt = {name: value for name, value in tilt.items() if value is not None}
    verdicts: list[Verdict] = []
    unread: list[str] = []
    for bag in [bag for path in options.bags for bag in find_bags(path)]:
        try:
            verdict = verify(bag, config, checkpoint=options.checkpoint, namespace=options.namespace, tilt=tilt)
        except BagError as error:
            print(f'maze-introspection: {error}', file=sys.stderr)
            unread.append(str(bag))
            continue
        verdicts.append(verdict)
        print(verdict.text(config.shown))
    if options.json:
        options.json.write_text(
            json.dumps({'bags': [verdict.as_dict() for verdict in verdicts], 'unread': unread}, indent=2) + '\n'
        )
    codes = {verdict.exit_code for verdict in verdicts}
    return 2 if unread else next((code for code in (1, 3) if code in codes), 0)


def _repair(options: argparse.Namespace) -> int:
    from maze_introspection.repair import recurrence_says, repair

    bag = options.bag.resolve()
    name = bag.name if bag.is_dir() else bag.stem
    done = repair(options.bag, options.out or bag.with_name(f'{name}_repaired'))
    print(*done.lines(), sep='\n')
    if done.out:
        print(recurrence_says(done.out, options.namespace))
    return 0 if done.complete else 1


def _results(options: argparse.Namespace) -> int:
    from maze_introspection.paper.experiments import FAMILIES, experiments
    from maze_introspection.paper.report import report
    from maze_introspection.paper.run import run

    config = from_options(ResultsConfig, options)
    if not (options.docs / 'results.md').exists():
        raise ValueError(f'want to be run in the repository, got a folder without {options.docs / "results.md"}')
    prepare(options.out)
    wanted = [each for each in experiments() if any(fnmatch(each.name, pattern) for pattern in config.only)]
    if not wanted:
        names = [experiment.name for experiment in experiments()]
        raise ValueError(f'want --only to match some of {names[0]} ... {names[-1]}, got {list(config.only)}')
    absent = {each.checkpoint for each in wanted if each.checkpoint and not each.checkpoint.exists()}
    possible = [each for each in wanted if each.checkpoint not in absent]
    new = run(possible, options.out, config.jobs)
    report(FAMILIES, possible, options.out, options.transfer, options.docs)
    print(f'{new} experiments done now, {len(possible) - new} were done; {options.docs / "results.md"} is up to date')
    for path in sorted(filter(None, absent)):
        count = sum(each.checkpoint == path for each in wanted)
        print(f'maze-introspection: {count} experiments left out: there is no {path}', file=sys.stderr)
    return 1 if absent else 0


def _write(analysis: Analysis, numbers: dict[str, Any], out: Path, look: Any, options: argparse.Namespace) -> None:
    paths = write_results(
        analysis, numbers, out, look, episode=options.episode, channel=options.channel, gate=options.gate
    )
    print(text(numbers))
    print(f'{len(paths)} files in {out}: {", ".join(sorted({path.stem for path in paths}))}')


if __name__ == '__main__':
    sys.exit(main())
