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
from maze_policy.boards import Boards
from maze_policy.checkpoint import load_policy
from maze_policy.maze import Maze, load_maze
from maze_policy.policy import RecurrentPolicy, choose
from maze_policy.share import checkpoint_path
from maze_policy.topics import OBSERVATION
from maze_policy.world import WorldConfig

Image = npt.NDArray[np.uint8]
APART_NS = 3_600_000_000_000  # stamps of one trial and the next are an hour apart, so that they never meet
SETTINGS = 'trials.json'


def play(
    config: TrialsConfig,
    world: WorldConfig,
    out: Path,
    checkpoint: str | Path | None = None,
    maze_file: Path | None = None,
) -> tuple[Recording, Callable[[Sequence[int]], tuple[Mapping[int, Image], str]]]:
    """Play the trials that are not in `out` yet, one bag each, and read all of them as episodes of one recording.

    Returns:
        The recording, and what gives the observations at stamps, ns.

    Raises:
        ValueError: if the checkpoint cannot be used, or `out` holds trials played under other settings.
    """
    policy = load_policy(checkpoint)
    maze = load_maze(maze_file)
    rings = config.start_rings or (maze.rings,)
    if max(rings) > maze.rings:
        raise ValueError(f'want start_rings up to {maze.rings}, got {list(rings)}')
    _same_settings(out / SETTINGS, config, world, checkpoint, maze)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # rounding must not depend on the machine's number of cores
    paths = [out / f'trial_{index:03}' for index in range(config.count)]
    boards = None
    for index, path in enumerate(tqdm(paths, desc='trials', unit='trial', disable=None)):
        if not path.exists():
            boards = boards or Boards(maze, world, 1, config.seed)
            recording, observations = play_one(policy, boards, maze, config, index, rings[index % len(rings)])
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


def _same_settings(
    path: Path, config: TrialsConfig, world: WorldConfig, checkpoint: str | Path | None, maze: Maze
) -> None:
    """Refuse to mix trials of different settings in one folder; `count`, window and null may change."""
    trials = config.as_dict()
    settings = {
        **{name: trials[name] for name in ('seed', 'time_limit_s', 'memory', 'start_rings')},
        **world.as_dict(),
        'maze': maze.as_dict(),
        'policy': hashlib.sha256(checkpoint_path(checkpoint).read_bytes()).hexdigest(),
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
