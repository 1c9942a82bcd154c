"""Try a policy out: many trials at once, faster than real time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from maze_policy.boards import Boards
from maze_policy.config import EvaluateConfig
from maze_policy.maze import Maze
from maze_policy.network import CnnLstm
from maze_policy.world import WorldConfig

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """What came of the trials.

    Attributes:
        solved: whether the ball reached the centre in time, shape (count,).
        time_s: simulated time of each trial until it was solved or given up, shape (count,), s.
        ring_s: time spent in each ring, 0 = centre, shape (count, rings + 1), s.
    """

    solved: npt.NDArray[np.bool_]
    time_s: Float64
    ring_s: Float64

    def summary(self) -> dict[str, Any]:
        """For JSON: success, time, and time per ring over the trials that got there (failed ones included)."""
        rings = {ring: self.ring_s[:, ring] for ring in range(1, self.ring_s.shape[1])}
        return {
            'count': int(self.solved.size),
            'success': float(self.solved.mean()),
            'time_s': _spread(self.time_s),
            'ring_s': {str(ring): _spread(spent[spent > 0]) for ring, spent in rings.items() if spent.any()},
        }

    def text(self) -> str:
        """The summary for a person."""
        summary = self.summary()
        time = summary['time_s']
        lines = [
            f'solved {summary["success"]:.1%} of {summary["count"]} trials ({int(self.solved.sum())})',
            f'time   mean {time["mean"]:.2f} s, median {time["median"]:.2f} s, '
            f'quartiles {time["quartiles"][0]:.2f} to {time["quartiles"][1]:.2f} s, longest {time["max"]:.2f} s',
        ]
        for ring, spent in reversed(summary['ring_s'].items()):
            low, high = spent['quartiles']
            lines.append(f'ring {ring} median {spent["median"]:.2f} s, quartiles {low:.2f} to {high:.2f} s')
        return '\n'.join(lines)


def evaluate(
    network: CnnLstm | None,
    config: EvaluateConfig,
    maze: Maze,
    world: WorldConfig = WorldConfig(),  # noqa: B008 (frozen)
    *,
    progress: bool = False,
) -> Evaluation:
    """Play `config.count` trials with the network, or with the expert; the same config gives the same trials."""
    boards = Boards(maze, world, config.count, config.seed)
    hidden, cell = (torch.zeros(config.count, network.n_l if network else 0) for _ in range(2))
    ring_s = np.zeros((config.count, maze.rings + 1))
    playing = np.arange(config.count)
    with torch.no_grad(), tqdm(total=config.count, unit='trial', disable=not progress) as bar:
        while playing.size:
            if network:
                images = torch.from_numpy(boards.observations(playing))[None]
                memory = (hidden[playing], cell[playing]) if config.memory else None
                scores, _, (hidden[playing], cell[playing]) = network.sequence(images, memory)
                action = scores[0].argmax(dim=1).numpy()
            else:
                action = boards.expert_actions()[playing]
            before_s = boards.elapsed_s[playing]
            boards.step(action, playing)
            distance_m = np.hypot(*boards.simulator.position_m[playing].T)
            ring_s[playing, maze.ring(distance_m)] += boards.elapsed_s[playing] - before_s
            left = playing[~(boards.simulator.solved | boards.late(config.time_limit_s))[playing]]
            bar.update(playing.size - left.size)
            playing = left
    return Evaluation(boards.simulator.solved.copy(), boards.elapsed_s.copy(), ring_s)


def _spread(values: Float64) -> dict[str, Any]:
    low, median, high = np.percentile(values, [25, 50, 75])
    return {
        'mean': float(values.mean()),
        'median': float(median),
        'quartiles': [float(low), float(high)],
        'max': float(values.max()),
    }
