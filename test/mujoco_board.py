"""One board and its ball in MuJoCo, commanded like the planar simulator."""

import math

import mujoco
import numpy as np
import numpy.typing as npt

from maze_policy.config import PhysicsConfig
from maze_policy.maze import Maze
from maze_policy.mujoco_model import BALL_KG, SUBSTEPS_PER_CONTROL, mjcf
from maze_policy.simulator import ROLLING

STILL_M_S = 1e-3  # below this speed the rolling resistance fades out instead of changing its sign


class MujocoBoard:
    """One board and its ball in MuJoCo, commanded like the planar simulator.

    The board's angles are prescribed (command and lag as in the planar simulator), not driven by a motor. Rolling
    resistance is a force on the ball: MuJoCo's own rolling friction hardly brakes at a coefficient this small.
    """

    def __init__(self, maze: Maze, physics: PhysicsConfig) -> None:
        self.tilt_rad: npt.NDArray[np.float64] = np.zeros(2)
        self._physics = physics
        self._radius_m = maze.ball_radius_m
        self._model = mujoco.MjModel.from_xml_string(mjcf(maze, physics))
        self._data = mujoco.MjData(self._model)
        self._board, self._ball = (self._model.body(name).id for name in ('board', 'ball'))

    def reset(self, position_m: npt.ArrayLike) -> None:
        """Level board, ball at rest at (x, y), m."""
        mujoco.mj_resetData(self._model, self._data)
        self.tilt_rad[:] = 0.0
        self._data.qpos[2:5] = [*np.asarray(position_m, dtype=float), self._radius_m]
        mujoco.mj_forward(self._model, self._data)

    @property
    def position_m(self) -> npt.NDArray[np.float64]:
        """Ball centre in the maze frame, which tilts with the board, shape (2,), m."""
        rotation = self._data.xmat[self._board].reshape(3, 3)
        position: npt.NDArray[np.float64] = (rotation.T @ self._data.xpos[self._ball])[:2]
        return position

    def step(self, command_rad: npt.ArrayLike) -> None:
        """Advance by one control period with this absolute command about x and y, rad."""
        data, step_s = self._data, self._model.opt.timestep
        lag_s = self._physics.tilt_lag_s
        follow = 1 - math.exp(-step_s / lag_s) if lag_s else 1.0
        drag = self._physics.viscous_per_s * BALL_KG / ROLLING
        resistance = self._physics.rolling_resistance * BALL_KG * self._physics.gravity_m_s2
        for _ in range(SUBSTEPS_PER_CONTROL):
            change = follow * (np.asarray(command_rad) - self.tilt_rad)
            data.qpos[:2], data.qvel[:2] = self.tilt_rad, change / step_s
            velocity = data.qvel[2:5]
            speed = max(float(np.linalg.norm(velocity)), STILL_M_S)
            data.xfrc_applied[self._ball, :3] = -(drag + resistance / speed) * velocity
            mujoco.mj_step(self._model, data)
            self.tilt_rad += change
        data.qpos[:2] = self.tilt_rad
        mujoco.mj_forward(self._model, data)
