"""Trials from different ball positions, in process and faster than real time; each becomes a bag like any other."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from maze_introspection.analysis import analyze
from maze_introspection.bag import read_images, read_recording, write_recording
from maze_introspection.config import BackendConfig, IntrospectionConfig, TrialsConfig
from maze_introspection.recording import Recording, join
from maze_introspection.validity.backends import run
from maze_introspection.validity.events import events, write_events
from maze_introspection.validity.resume import clear, same_settings, whole
from maze_policy.boards import Boards
from maze_policy.checkpoint import load_policy
from maze_policy.maze import Maze, load_maze
from maze_policy.policy import RecurrentPolicy, choose
from maze_policy.share import checkpoint_path
from maze_policy.topics import OBSERVATION
from maze_policy.world import WorldConfig

Image = npt.NDArray[np.uint8]
# Stamps, ns -> images by stamp, and what they are.
Look = Callable[[Sequence[int]], tuple[Mapping[int, Image], str]]
APART_NS = 3_600_000_000_000  # stamps of one trial and the next are an hour apart, so that they never meet
SETTINGS = 'trials.json'
EVENTS, PARAMETERS = 'events', 'parameters.json'


@dataclass(frozen=True)
class Stage:
    """All that a trial depends on but its index: equal stages play equal trials, in whatever process.

    Attributes:
        config: how many, how long, from where, with which seed.
        world: where.
        checkpoint: which policy; None is the nominal one.
        maze_file: parameter file with the maze; None is the shipped one.
    """

    config: TrialsConfig
    world: WorldConfig
    checkpoint: str | Path | None = None
    maze_file: Path | None = None

    def settings(self) -> dict[str, Any]:
        """What must be equal for trials to lie in one folder; `count`, window and null may change."""
        trials = self.config.as_dict()
        return {
            **{name: trials[name] for name in ('seed', 'time_limit_s', 'memory', 'start_rings')},
            **self.world.as_dict(),
            'maze': load_maze(self.maze_file).as_dict(),
            'policy': hashlib.sha256(checkpoint_path(self.checkpoint).read_bytes()).hexdigest(),
        }

    def check(self) -> None:
        """Prove before any work that this can be played.

        Raises:
            ValueError: if the checkpoint cannot be used, or there is no such ring to start in.
        """
        load_policy(self.checkpoint)
        rings = load_maze(self.maze_file).rings
        if max(self.config.start_rings, default=0) > rings:
            raise ValueError(f'want start_rings up to {rings}, got {list(self.config.start_rings)}')

    def play(self, index: int) -> tuple[Recording, Image]:
        """One trial, see `play_one`."""
        policy, boards, maze = _scene(self, json.dumps(self.settings()))
        rings = self.config.start_rings or (maze.rings,)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # rounding must not depend on the machine's number of cores
        try:
            return play_one(policy, boards, maze, self.config, index, rings[index % len(rings)])
        finally:
            torch.set_num_threads(threads)


@lru_cache(maxsize=1)  # a process plays many trials on one stage; its settings tell a changed file from the one before
def _scene(stage: Stage, settings: str) -> tuple[RecurrentPolicy, Boards, Maze]:
    maze = load_maze(stage.maze_file)
    return load_policy(stage.checkpoint), Boards(maze, stage.world, 1, stage.config.seed), maze


def play(
    config: TrialsConfig,
    world: WorldConfig,
    out: Path,
    checkpoint: str | Path | None = None,
    maze_file: Path | None = None,
) -> tuple[Recording, Look]:
    """Play the trials that are not in `out` yet, in this process, and read all of them; see `play_missing`, `read`."""
    return read(play_missing(Stage(config, world, checkpoint, maze_file), out, BackendConfig(jobs=1)), str(out))


def play_missing(
    stage: Stage, out: Path, backend: BackendConfig, introspection: IntrospectionConfig | None = None
) -> list[Path]:
    """Play the trials that are not in `out` yet, one bag each; with parameters of introspection, one events file each.

    Events are made from the bags, and made anew where those there are of other parameters.

    Returns:
        The bags, in the order of the trials.

    Raises:
        ValueError: if the checkpoint cannot be used, or `out` holds trials played under other settings.
    """
    stage.check()
    same_settings(out / SETTINGS, stage.settings(), 'trials played')
    clear(out)
    if introspection is not None:
        try:
            same_settings(out / EVENTS / PARAMETERS, introspection.as_dict(), 'events')
        except ValueError:
            shutil.rmtree(out / EVENTS)
            same_settings(out / EVENTS / PARAMETERS, introspection.as_dict(), 'events')

    def done(index: int) -> bool:
        return all(path.exists() for path in _paths(out, index)[: 1 if introspection is None else 2])

    run(partial(_leave, stage, out, introspection), range(stage.config.count), done, backend, 'trial')
    clear(out)
    return [_paths(out, index)[0] for index in range(stage.config.count)]


def read(paths: Sequence[Path], source: str) -> tuple[Recording, Look]:
    """All trials as episodes of one recording, and what gives the observations at stamps, ns."""
    recordings = [read_recording(path) for path in tqdm(paths, desc='reading', unit='trial', leave=False, disable=None)]

    def look(stamps_ns: Sequence[int]) -> tuple[Mapping[int, Image], str]:
        images: dict[int, Image] = {}
        for trial in sorted({(stamp - 1) // APART_NS for stamp in stamps_ns}):
            images |= read_images(paths[trial], OBSERVATION, stamps_ns)
        return images, 'what the policy saw (84 x 84)'

    return join(recordings, source), look


def _paths(out: Path, index: int) -> tuple[Path, Path]:
    """A trial's bag and its events."""
    name = f'trial_{index:03}'
    return out / name, out / EVENTS / f'{name}.parquet'


def _leave(stage: Stage, out: Path, introspection: IntrospectionConfig | None, index: int) -> None:
    """What is missing of one trial: its bag, and its events from it."""
    bag, table = _paths(out, index)
    if not bag.exists():
        recording, observations = stage.play(index)
        with whole(bag, out) as unfinished:
            write_recording(unfinished, recording, observations=observations)
    if introspection is not None and not table.exists():
        analysis = analyze(read_recording(bag), introspection)
        with whole(table, out) as unfinished:
            write_events(events(analysis, source=bag.name), unfinished)


def play_one(
    policy: RecurrentPolicy, boards: Boards, maze: Maze, config: TrialsConfig, index: int, ring: int
) -> tuple[Recording, Image]:
    """One trial on the only board, from the first observation to the one in which the ball is in the centre.

    It depends on the seed and the index alone, not on what was played before. What the world hides from the policy
    (a missed frame) is no step: the stamps, simulated time, are then further apart and the memory goes on.

    Returns:
        The recording, and the observations, shape (T, 84, 84).
    """
    board = np.zeros(1, dtype=np.int64)
    boards.reseed(int(np.random.SeedSequence((config.seed, index)).generate_state(1)[0]))
    boards.reset(board, ring)
    memory = policy.initial_memory()
    steps, observations, ball_m, tilts, elapsed_ns = [], [], [], [], []
    while True:
        elapsed_ns.append(round(1e9 * boards.elapsed_s[0]))
        late = boards.late(config.time_limit_s)[0]
        ball_m.append(boards.simulator.position_m[0].copy())
        observations.append(boards.observations(board)[0])
        step = policy.step(observations[-1], memory if config.memory else policy.initial_memory())
        memory = step.memory
        steps.append(step)
        boards.step(np.array([choose(step.scores)]), board)
        tilts.append(boards.command_rad[0].copy())
        if np.hypot(*ball_m[-1]) < maze.solved_radius_m or late:
            break
    recording = Recording(
        stamp_ns=1 + index * APART_NS + np.array(elapsed_ns, dtype=np.int64),
        gates=np.stack([step.gates for step in steps]),
        hidden=np.stack([step.hidden for step in steps]),
        cell=np.stack([step.cell for step in steps]),
        scores=np.stack([step.scores for step in steps]),
        readout=policy.readout,
        episode=np.zeros(len(steps), dtype=np.int64),
        episode_ids=(f'trial-{index:03}',),
        tilt_rad=np.array(tilts),
        ball_m=np.array(ball_m),
        maze=maze,
        source=f'trial {index}',
    )
    return recording, np.stack(observations)
