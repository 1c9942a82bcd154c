"""One maze run, watched live, recorded, replayed and explained: `python -m maze_introspection.demo --out out/demo`.

Starts the same nodes with the same parameters as `sim.launch.py`, as processes of their own over real DDS, with no
launch system. Exit code 0 only if the maze was solved, live and replayed results are identical, and everything that was
recorded is proven (docs/verify.md).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from maze_policy.share import share_path
from maze_policy.topics import NAMESPACE, listeners

NODES = {  # in the order of their start
    'recorder': 'maze_introspection.recorder_node',
    'introspection': 'maze_introspection.introspection_node',
    'policy': 'maze_policy.policy_node',
    'simulator': 'maze_policy.simulator_node',
}
END_ORDER = ('policy', 'introspection', 'recorder')  # so that each still hears the last of the one before
START_S, EPISODE_S, END_S = 180.0, 120.0, 15.0  # deadlines, generous for a busy machine
LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None  # loaded before there are threads
FIGURES = ('figure2', 'figure3', 'figure4', 'figure5', 'figure6')


class DemoError(Exception):
    """Why the demo failed."""


class Child:
    """A process of ours; what it prints appears line by line under its name."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            start_new_session=True,  # Ctrl-C reaches the children through us, in order
            preexec_fn=_die_with_parent,
        )
        self._printer = threading.Thread(target=self._print, daemon=True)
        self._printer.start()

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        return self._process.poll()

    def wait(self, limit_s: float) -> int:
        """Exit code.

        Raises:
            DemoError: if it has not ended after `limit_s`.
        """
        try:
            code = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise DemoError(f'{self.name} has not ended after {limit_s:g} s') from None
        self._printer.join(5.0)
        return code

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def interrupt(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGINT)

    def clear_away(self) -> None:
        """End it, whatever it takes: SIGINT, SIGTERM, SIGKILL to its process group."""
        for number, patience_s in ((signal.SIGINT, 5.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0)):
            if self.poll() is not None:
                break
            self._send(number)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
        self._printer.join(1.0)

    def _send(self, number: int) -> None:
        if self.poll() is None:
            os.killpg(self._process.pid, number)

    def _print(self) -> None:
        for line in self._process.stdout or ():
            print(f'{self.name:>13}  {line.rstrip().removeprefix("INFO: ")}', flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser('maze_introspection.demo', description=__doc__, allow_abbrev=False)
    parser.add_argument(
        '--out', type=Path, default=Path('out/demo'), help='folder to make; a number is added if it exists'
    )
    parser.add_argument('--seed', type=int, default=1, help='of the starting positions')
    parser.add_argument('--episodes', type=int, default=1, help='mazes to solve')
    parser.add_argument(
        '--checkpoint',
        default='',
        help='policy to play: NAME.safetensors, or the name of a shipped one (default: nominal)',
    )
    parser.add_argument('--domain-id', type=int, default=1 + os.getpid() % 100, help='ROS_DOMAIN_ID, 0 to 101')
    options = parser.parse_args(arguments)
    if options.episodes < 1:
        parser.error(f'--episodes wants at least 1, got {options.episodes}')
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    try:
        demo(options)
    except (DemoError, OSError) as error:
        print(f'demo failed: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('demo interrupted', file=sys.stderr)
        return 130
    return 0


def demo(options: argparse.Namespace) -> None:
    """Play, record, analyze, check, verify.

    Raises:
        DemoError: saying which part failed.
    """
    out = new_folder(options.out)
    bag, results = out / 'bag', out / 'analysis'
    print(
        f'maze run over ROS 2, domain {options.domain_id}: {" + ".join(NODES)}, each a process of its own', flush=True
    )
    play(bag, environment(options.domain_id, out), options)
    print(f'analyzing {bag}, without ROS', flush=True)
    if code := subprocess.run(cli('analyze', bag, '--out', results), check=False).returncode:
        raise DemoError(f'the analysis of {bag} ended with exit code {code}')
    check(results)
    print(f'verifying {bag}, with the checkpoint that it names', flush=True)
    if code := subprocess.run(cli('verify', bag), check=False).returncode:
        raise DemoError(f'not everything in {bag} is proven: exit code {code}')
    print(f'\nfigures: {results}/figure*.png\nbag:     {bag}')


def play(bag: Path, environment: dict[str, str], options: argparse.Namespace) -> None:
    """Run the nodes until the simulator ends, then end the others in order."""
    parameters = {
        'recorder': {'bag': bag},
        'policy': {'checkpoint': options.checkpoint} if options.checkpoint else {},
        'simulator': {'seed': options.seed, 'episodes': options.episodes},
    }
    children: dict[str, Child] = {}
    try:
        for name, module in NODES.items():
            given = {'wait_for': listeners(name, NODES)} | parameters.get(name, {})
            children[name] = Child(name, node_command(module, given), environment)
        simulator = children['simulator']
        end_s = time.monotonic() + START_S + EPISODE_S * options.episodes
        while simulator.poll() is None:
            for name in END_ORDER:
                if children[name].poll() is not None:
                    raise DemoError(f'{name} ended with exit code {children[name].poll()} while the maze was played')
            if time.monotonic() > end_s:
                raise DemoError('the simulator does not end')
            time.sleep(0.05)
        for name in END_ORDER:
            children[name].interrupt()
            code = children[name].wait(END_S)
            if code:
                raise DemoError(f'{name} ended with exit code {code}')
        if code := simulator.wait(END_S):
            raise DemoError(
                f'the simulator ended with exit code {code}: the maze was not solved, or never began (see above)'
            )
    finally:
        for child in children.values():
            child.interrupt()
        for child in children.values():
            child.clear_away()


def check(results: Path) -> None:
    """Raise DemoError unless every figure is there, so is the first step, and live and replay are identical."""
    missing = [name for name in FIGURES if not list(results.glob(f'{name}*.png'))]
    if missing:
        raise DemoError(
            f'want {", ".join(missing)} in {results}, got {sorted(path.name for path in results.iterdir())}'
        )
    summary = json.loads((results / 'summary.json').read_text())
    if summary['completeness']['starts_midway']:
        raise DemoError('the first step of the run is not in the bag')
    live = summary['live']
    if not live['identical']:
        raise DemoError(f'live and replayed results differ: {live["says"]}')


def cli(*arguments: object) -> list[str]:
    """Command line of `maze-introspection`."""
    return [sys.executable, '-m', 'maze_introspection.cli', *map(str, arguments)]


def node_command(module: str, parameters: dict[str, Any]) -> list[str]:
    """Command line of a node with the shipped geometry and these parameters on top."""
    command = [sys.executable, '-m', module, '--ros-args', '-r', f'__ns:={NAMESPACE}']
    command += ['--params-file', str(share_path('config/maze.yaml'))]
    for name, value in parameters.items():
        if value != []:  # ROS has no way to say an empty list on the command line
            command += ['-p', f'{name}:={value}']
    return command


def environment(domain_id: int, out: Path) -> dict[str, str]:
    """A ROS graph of our own on this machine, over Fast DDS with room for camera images."""
    return os.environ | {
        'ROS_DOMAIN_ID': str(domain_id),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp',
        'FASTDDS_DEFAULT_PROFILES_FILE': str(share_path('config/fastdds.xml')),
        'ROS_LOG_DIR': str(out / 'log'),
        'RCUTILS_CONSOLE_OUTPUT_FORMAT': '{severity}: {message}',
        'RCUTILS_COLORIZED_OUTPUT': '0',
        'PYTHONUNBUFFERED': '1',
    }


def new_folder(path: Path) -> Path:
    """Make `path`, or where it exists path-2, path-3 and so on: an earlier run's results are kept."""
    for number in range(1, 10_000):
        folder = path if number == 1 else path.with_name(f'{path.name}-{number}')
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise DemoError(f'{path} and its numbered followers all exist')


def _die_with_parent() -> None:
    """On Linux a child gets SIGTERM even when we are killed and cannot send it any more."""
    if LIBC:
        set_parent_death_signal = 1
        LIBC.prctl(set_parent_death_signal, signal.SIGTERM)


if __name__ == '__main__':
    sys.exit(main())
