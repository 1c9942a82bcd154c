"""Env steps per second of both engines and with images, side by side: `python bench/simulator.py`.

One thread; processor time, the best of several rounds that take turns, because whatever else the machine does only ever
adds time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

from maze_policy.boards import Boards
from maze_policy.config import PhysicsConfig
from maze_policy.maze import load_maze
from maze_policy.mujoco_simulator import MujocoSimulator
from maze_policy.simulator import Simulator
from maze_policy.world import load_world

LEAST_PLANAR, LEAST_PICTURED = 1e6, 20e3  # env steps/s


def seconds(*actions: Callable[[], object], rounds: int = 10, least_s: float = 0.05) -> list[float]:
    """Processor seconds per call of each action."""
    best = [float('inf')] * len(actions)
    for _ in range(rounds):
        for index, action in enumerate(actions):
            calls, start = 0, time.process_time()
            while (taken := time.process_time() - start) < least_s:
                action()
                calls += 1
            best[index] = min(best[index], taken / calls)
    return best


def engine(kind: type[Simulator], count: int) -> Callable[[], object]:
    """One control period of `count` boards under commands that turn."""
    simulator = kind(load_maze(), PhysicsConfig(), count, 0)
    commands = np.random.default_rng(0).uniform(-0.05, 0.05, (30, count, 2))
    turn = iter(range(1 << 62))

    def step() -> None:
        simulator.step(commands[next(turn) // 8 % len(commands)])

    step()
    return step


def pictured(profile: str, count: int, **changes: object) -> Callable[[], object]:
    """The same through `Boards` with one observation per step, everything that the world disturbs included."""
    boards = Boards(load_maze(), load_world(profile, changes), count, 0)
    every = np.arange(count)
    actions = np.random.default_rng(0).integers(0, 5, (30, count))
    turn = iter(range(1 << 62))

    def step() -> None:
        boards.observations(every)
        boards.step(actions[next(turn) % len(actions)], every)

    step()
    return step


def main() -> int:
    """Print the table; exit code 1 below a limit."""
    cv2.setNumThreads(1)
    many, some = 1000, 100
    actions = {
        'planar': (engine(Simulator, many), many, LEAST_PLANAR),
        'planar, flat 84 x 84': (pictured('nominal', some), some, None),
        'planar, perspective 84 x 84': (pictured('nominal', some, view='perspective'), some, LEAST_PICTURED),
        'planar, randomised world': (pictured('randomised', some), some, None),
        'mujoco': (engine(MujocoSimulator, some), some, None),
        'mujoco, real_like world': (pictured('real_like', some), some, None),
    }
    taken = seconds(*(action for action, _, _ in actions.values()))
    rate = {name: count / s for (name, (_, count, _)), s in zip(actions.items(), taken)}
    within = True
    print(f'{"what":28}{"env steps/s":>13}{"planar is":>14}{"limit":>13}')
    for name, (_, _, least) in actions.items():
        limit = f'{least:,.0f}' if least else ''
        print(f'{name:28}{rate[name]:13,.0f}{rate["planar"] / rate[name]:11.1f} x{limit:>14}')
        within &= least is None or rate[name] >= least
    return int(not within)


if __name__ == '__main__':
    sys.exit(main())
