"""Trials from different ball positions, in process and faster than real time; each becomes a bag like any other."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from maze_introspection.bag import read_images, read_recording, write_recording
from maze_introspection.config import TrialsConfig
from maze_introspection.recording import Recording, join
from maze_policy.actions import next_tilt
from maze_policy.checkpoint import NOMINAL, load_policy
from maze_policy.config import PhysicsConfig
from maze_policy.maze import Maze, load_maze
from maze_policy.policy import RecurrentPolicy, choose
from maze_policy.render import Renderer
from maze_policy.simulator import Simulator
from maze_policy.topics import OBSERVATION

Image = npt.NDArray[np.uint8]
APART_NS = 3_600_000_000_000  # stamps of one trial and the next are an hour apart, so that they never meet
SETTINGS = 'trials.json'


def play(
    config: TrialsConfig, out: Path, checkpoint: Path | None = None, maze_file: Path | None = None
) -> tuple[Recording, Callable[[Sequence[int]], tuple[Mapping[int, Image], str]]]:
    """Play the trials that are not in `out` yet, one bag each, and read all of them as episodes of one recording.

    Returns:
        The recording, and what gives the observations at stamps, ns.

    Raises:
        ValueError: if the checkpoint cannot be used, or `out` holds trials played under other settings.
    """
    policy = load_policy(checkpoint)
    maze = load_maze(maze_file)
    ring = maze.rings if config.start_ring == -1 else config.start_ring
    if ring > maze.rings:
        raise ValueError(f'want a start_ring up to {maze.rings}, got {config.start_ring}')
    _same_settings(out / SETTINGS, config, checkpoint, maze)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # rounding must not depend on the machine's number of cores
    paths = [out / f'trial_{index:03}' for index in range(config.count)]
    for index, path in enumerate(tqdm(paths, desc='trials', unit='trial', disable=None)):
        if not path.exists():
            recording, observations = play_one(policy, maze, config, index, ring)
            partial = out / 'partial' / path.name
            shutil.rmtree(partial.parent, ignore_errors=True)
            write_recording(partial, recording, observations=observations)
            partial.rename(path)
            partial.parent.rmdir()
    torch.set_num_threads(threads)
    recordings = [read_recording(path) for path in tqdm(paths, desc='reading', unit='trial', leave=False, disable=None)]

    def look(stamps_ns: Sequence[int]) -> tuple[Mapping[int, Image], str]:
        images: dict[int, Image] = {}
        for trial in sorted({(stamp - 1) // APART_NS for stamp in stamps_ns}):
            images |= read_images(paths[trial], OBSERVATION, stamps_ns)
        return images, 'what the policy saw (84 x 84)'

    return join(recordings, str(out)), look


def play_one(
    policy: RecurrentPolicy, maze: Maze, config: TrialsConfig, index: int, ring: int
) -> tuple[Recording, Image]:
    """One trial, from the first observation to the one in which the ball is in the centre; and the observations."""
    physics = PhysicsConfig()
    simulator = Simulator(maze, physics, 1, seed=int(np.random.SeedSequence((config.seed, index)).generate_state(1)[0]))
    simulator.reset(ring=ring)
    renderer = Renderer(maze)
    memory = policy.initial_memory()
    tilt_rad: npt.NDArray[np.float64] = np.zeros(2)
    steps, observations, ball_m, tilts = [], [], [], []
    for _ in range(int(config.time_limit_s * physics.rate_hz) + 1):
        ball_m.append(simulator.position_m[0].copy())
        observations.append(renderer.observation(simulator.position_m[0], simulator.tilt_rad[0]))
        step = policy.step(observations[-1], memory if config.memory else policy.initial_memory())
        memory = step.memory
        tilt_rad = next_tilt(
            tilt_rad, choose(step.scores), np.radians(physics.tilt_step_deg), np.radians(physics.tilt_limit_deg)
        )
        steps.append(step)
        tilts.append(tilt_rad)
        if simulator.solved[0]:
            break
        simulator.step(tilt_rad[None])
    period_ns = round(1e9 / physics.rate_hz)
    recording = Recording(
        stamp_ns=1 + index * APART_NS + period_ns * np.arange(len(steps), dtype=np.int64),
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


def _same_settings(path: Path, config: TrialsConfig, checkpoint: Path | None, maze: Maze) -> None:
    """Refuse to mix trials of different settings in one folder; `count`, window and null may change."""
    settings = {
        **{name: getattr(config, name) for name in ('seed', 'time_limit_s', 'memory', 'start_ring')},
        'maze': maze.as_dict(),
        'policy': hashlib.sha256((checkpoint or NOMINAL).read_bytes()).hexdigest(),
    }
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings, indent=2) + '\n')
        return
    before = json.loads(path.read_text())
    different = [name for name in settings if before.get(name) != settings[name]]
    if different:
        said = ', '.join(f'{name} {before.get(name)} (now {settings[name]})' for name in different)
        raise ValueError(f'{path.parent} holds trials played with other settings: {said}; name another --out')
