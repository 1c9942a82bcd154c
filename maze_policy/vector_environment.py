"""All boards at once as one vectorised environment of stable-baselines3: no copies of the maze, no processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from maze_policy.actions import ACTIONS
from maze_policy.boards import Boards, starting_rings
from maze_policy.environment import reward
from maze_policy.expert import Route
from maze_policy.maze import Maze

Seen = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


class Episode(NamedTuple):
    """One that ended: sum of its rewards, its length in simulated seconds, and whether the ball got to the centre."""

    reward: float
    time_s: float
    solved: bool


class BoardsVecEnv(VecEnv):
    """`Boards` with the reward of `maze_policy.environment` and a new episode as soon as one ends.

    Observation, action and reward are those of `CircularMazeEnv`. An episode that is given up after `episode_s` says so
    in its info (`TimeLimit.truncated`), so that the value of what would have come is not lost.

    Attributes:
        boards: what is played.
        ended: the episodes that ended since the caller last emptied this list.
    """

    def __init__(
        self,
        boards: Boards,
        maze: Maze,
        *,
        seed: int,
        episode_s: float,
        any_ring: float,
        look: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]] | None = None,
    ) -> None:
        """Make the environment.

        Args:
            boards: to be played from now on.
            maze: theirs.
            seed: of the rings that episodes start in.
            episode_s: an episode that takes longer is given up, s.
            any_ring: share of the episodes that start in any ring, not in the outer one.
            look: what turns images (n, 84, 84) into the features (n, f) to observe; without it, the images.
        """
        self.boards, self.maze = boards, maze
        self.ended: list[Episode] = []
        self._everyone = np.arange(boards.simulator.count)
        self._route = Route(maze)
        self._random = np.random.default_rng(seed)
        self._episode_s, self._any_ring = episode_s, any_ring
        self._reward = np.zeros(self._everyone.size)  # of the episode so far
        self._actions: npt.NDArray[np.int64] = np.zeros(self._everyone.size, np.int64)
        self._look = look
        seen = self._seen(self._everyone[:1])[0]
        low, high = (0, 255) if seen.dtype == np.uint8 else (-np.inf, np.inf)
        view = spaces.Box(low, high, seen.shape, seen.dtype.type)
        super().__init__(self._everyone.size, view, spaces.Discrete(len(ACTIONS)))

    def reset(self) -> Seen:
        """New episodes on all boards; observations of shape (count, 84, 84), or features (count, f)."""
        self._start(self._everyone)
        return self._seen(self._everyone)

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        """Take the actions, shape (count,)."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[Seen, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Play them; observations after it (of the new episode where one ended), rewards, ends, infos."""
        boards, simulator = self.boards, self.boards.simulator
        before_m = self._route.to_go_m(simulator.position_m)
        boards.step(self._actions, self._everyone)
        solved = simulator.solved.copy()
        earned = reward(before_m, self._route.to_go_m(simulator.position_m), solved, self.maze)
        self._reward += earned
        late = ~solved & boards.late(self._episode_s)
        ends = solved | late
        infos: list[dict[str, Any]] = [{} for _ in self._everyone]
        if late.any():
            for board, last in zip(np.flatnonzero(late), self._seen(np.flatnonzero(late))):
                infos[board] = {'terminal_observation': last, 'TimeLimit.truncated': True}
        ended = np.flatnonzero(ends)
        self.ended += [
            Episode(float(self._reward[board]), float(boards.elapsed_s[board]), bool(solved[board])) for board in ended
        ]
        self._start(ended)
        return self._seen(self._everyone), earned.astype(np.float32), ends, infos

    def _seen(self, which: npt.NDArray[np.int64]) -> Seen:
        images = self.boards.observations(which)
        return images if self._look is None else self._look(images)

    def _start(self, which: npt.NDArray[np.int64]) -> None:
        self.boards.reset(which, starting_rings(self.maze, which.size, self._any_ring, self._random))
        self._reward[which] = 0.0

    def close(self) -> None:
        """Nothing to free."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The same for every board; the library asks for `render_mode`."""
        if attr_name != 'render_mode':
            raise AttributeError(attr_name)
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Boards have no settings to change."""
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Boards are no environments of their own."""
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No wrappers."""
        return [False] * self.num_envs
