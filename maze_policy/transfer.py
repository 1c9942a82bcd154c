"""From one world to another, after van Baar et al. 2018: zero-shot, then fine-tuned there, from several starts."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path

from maze_policy import checkpoint
from maze_policy.config import RlConfig
from maze_policy.maze import Maze
from maze_policy.rl import PpoTrainer
from maze_policy.world import WorldConfig

COLUMNS = ('start', 'seed', 'iteration', 'episodes', 'frames', 'success', 'mean_s', 'median_s')


def transfer(
    starts: Mapping[str, Path],
    config: RlConfig,
    seeds: int,
    maze: Maze,
    world: WorldConfig,
    out: Path,
    *,
    progress: bool = False,
) -> Path:
    """Fine-tune every start in `world` with every seed; each run has a folder of its own and goes on where it was.

    Args:
        starts: checkpoints to begin with, by name.
        config: of the fine-tuning; seeds count from `config.seed`.
        seeds: how many.
        maze: to play.
        world: to fine-tune and to evaluate in.
        out: folder for the runs and for `transfer.csv`.
        progress: whether to show it.

    Returns:
        The CSV: success and time of every evaluation by start, seed and episodes of fine-tuning; 0 is zero-shot.
    """
    rows: list[dict[str, object]] = []
    path = out / 'transfer.csv'
    for seed in range(config.seed, config.seed + seeds):
        for name, start in starts.items():
            if progress:
                print(f'{name}, seed {seed}', flush=True)
            trainer = PpoTrainer(
                dataclasses.replace(config, seed=seed),
                checkpoint.load_policy(start),
                maze,
                world,
                out / f'{name}_{seed}',
                begun_with=checkpoint.provenance(start),
            )
            trainer.run(progress=progress)
            rows += [{'start': name, 'seed': seed} | row for row in trainer.log if 'success' in row]
            with path.open('w', newline='') as file:
                writer = csv.DictWriter(file, COLUMNS, extrasaction='ignore')
                writer.writeheader()
                writer.writerows(rows)
    return path
