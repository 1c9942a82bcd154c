"""The maze as a Gymnasium environment: `gymnasium.make('maze_introspection/CircularMaze-v0')`.

Since version 1.0 Gymnasium no longer looks for plugins by itself: import this module first, or have it imported with
`gymnasium.make('maze_policy.environment:maze_introspection/CircularMaze-v0')`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from maze_policy.actions import ACTIONS
from maze_policy.boards import Boards
from maze_policy.config import OBSERVATION_PX, CameraConfig
from maze_policy.expert import Route
from maze_policy.maze import Maze, load_maze
from maze_policy.render import Renderer
from maze_policy.world import WorldConfig

ENVIRONMENT = 'maze_introspection/CircularMaze-v0'
TIME_LIMIT_S = 60.0
STEP_REWARD = -0.01
SOLVED_REWARD = 5.0

_BOARD = np.arange(1)

Float64 = npt.NDArray[np.float64]


def reward(before_m: Float64, after_m: Float64, solved: npt.NDArray[np.bool_], maze: Maze) -> Float64:
    """What one step earns each board, shape (count,), from its way to the centre before and after, m."""
    return (before_m - after_m) / maze.rim_radius_m + STEP_REWARD + SOLVED_REWARD * solved


class CircularMazeEnv(gymnasium.Env[npt.NDArray[np.uint8], np.int64]):
    """Roll the ball from the outer ring to the centre by tilting the board.

    Observation: one overhead image, mono8, 84 x 84. There is no frame stack: velocity must come from memory.
    Action: 0 to 4, see `maze_policy.actions`; the commanded tilt changes by one step about one axis, or stays.
    Reward: how much shorter the way to the centre became, in rim radii, minus 0.01 per step, plus 5 when solved.
    Terminated when the ball reaches the centre, truncated after 60 s. An episode starts level, the ball at rest
    anywhere in the outer ring, or in the ring of `reset(options={'ring': k})`.
    """

    metadata = {'render_modes': ['rgb_array'], 'render_fps': 30}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        render_mode: str | None = None,
        maze: Maze | None = None,
        world: WorldConfig = WorldConfig(),  # noqa: B008
    ) -> None:
        if render_mode not in (None, *self.metadata['render_modes']):
            raise ValueError(f'render_mode wants None or one of {self.metadata["render_modes"]}, got {render_mode!r}')
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (OBSERVATION_PX, OBSERVATION_PX), np.uint8)
        self.action_space = spaces.Discrete(len(ACTIONS))
        self._maze = maze or load_maze()
        self._route = Route(self._maze)
        self._camera = Renderer(self._maze, CameraConfig())
        self._boards = Boards(self._maze, world, 1, 0)
        self._seeded = False  # without a seed every environment plays starts of its own

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        """Start an episode; `options` may hold `ring`, 1 to the outermost."""
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            self._boards.reseed(int(self.np_random.integers(2**32)))
            self._seeded = True
        self._boards.reset(_BOARD, (options or {}).get('ring'))
        return self._observation(), self._info()

    def step(self, action: np.int64) -> tuple[npt.NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Play one action for one control period."""
        before_m = self._to_go_m()
        self._boards.step(np.array([action]), _BOARD)
        earned = reward(before_m, self._to_go_m(), self._boards.simulator.solved, self._maze)
        solved = bool(self._boards.simulator.solved[0])
        late = bool(self._boards.late(TIME_LIMIT_S)[0])
        return self._observation(), float(earned[0]), solved, late and not solved, self._info()

    def render(self) -> npt.NDArray[np.uint8] | None:
        """What the overhead camera sees: rgb8, 480 x 640; None without a render mode."""
        if self.render_mode is None:
            return None
        simulator = self._boards.simulator
        return self._camera.camera_image(simulator.position_m[0], simulator.tilt_rad[0])

    def _observation(self) -> npt.NDArray[np.uint8]:
        observation: npt.NDArray[np.uint8] = self._boards.observations(_BOARD)[0]
        return observation

    def _to_go_m(self) -> Float64:
        return self._route.to_go_m(self._boards.simulator.position_m)

    def _info(self) -> dict[str, Any]:
        simulator = self._boards.simulator
        distance_m = float(np.hypot(*simulator.position_m[0]))
        return {
            'ball_m': simulator.position_m[0].copy(),
            'tilt_rad': simulator.tilt_rad[0].copy(),
            'distance_m': distance_m,
            'ring': int(self._maze.ring(distance_m)),
        }


def register() -> None:
    """Make the environment known to Gymnasium; importing this module has done it."""
    if ENVIRONMENT not in gymnasium.registry:
        gymnasium.register(ENVIRONMENT, entry_point='maze_policy.environment:CircularMazeEnv')


register()
