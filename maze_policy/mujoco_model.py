"""The same maze in MuJoCo, with a board that really tilts and a ball that really rolls: a check on the simulator."""

from __future__ import annotations

import math
from collections.abc import Iterator

import mujoco
import numpy as np
import numpy.typing as npt

from maze_policy.config import PhysicsConfig
from maze_policy.maze import Maze
from maze_policy.simulator import ROLLING, TURN, half_gap_rad

BOX_M = 0.004  # walls are straight boxes no longer than this: 0.1 mm off the arc in the innermost wall
WALL_HEIGHT_M = 0.01
BALL_KG = 0.0054  # steel; nothing depends on it
WALL_STIFFNESS = 4e5  # per s^2: a bounce lasts 5 ms
SUBSTEPS_PER_CONTROL = 64
STILL_M_S = 1e-3  # below this speed the rolling resistance fades out instead of changing its sign


def mjcf(maze: Maze, physics: PhysicsConfig) -> str:
    """The model as MJCF: a board on two hinges (x, then y) with walls of boxes and round ends, and a free ball.

    The planar simulator's restitution e is what is left once the ball rolls again. While it bounces, the ball keeps the
    spin that the wall's friction m leaves it, 1 - 5/2 m (1 + e'), and that takes up to 2/7 of the speed back into the
    wall; so the bare contact must return e' = (7 e + 2 - 5 m) / (5 + 5 m).
    """
    friction = physics.wall_friction
    bounce = min((7 * physics.restitution + 2 - 5 * friction) / (5 + 5 * friction), 1.0)
    damping = 2 * math.sqrt(WALL_STIFFNESS) * _damping_ratio(bounce)
    walls = '\n'.join(_walls(maze))
    radius = maze.ball_radius_m
    return f"""
<mujoco model="circular maze">
  <option timestep="{1 / (physics.rate_hz * SUBSTEPS_PER_CONTROL)}" gravity="0 0 {-physics.gravity_m_s2}"
          integrator="implicitfast" solver="Newton" cone="elliptic" impratio="10"/>
  <default>
    <default class="wall">
      <geom condim="3" friction="{friction} 0 0" priority="1"
            solref="{-WALL_STIFFNESS} {-damping}" solimp="0.99 0.99 0.001"/>
    </default>
  </default>
  <worldbody>
    <body name="board">
      <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
      <joint name="tilt_x" type="hinge" axis="1 0 0"/>
      <joint name="tilt_y" type="hinge" axis="0 1 0"/>
      <geom type="cylinder" pos="0 0 -0.005" size="{maze.rim_radius_m} 0.005" condim="3"
            friction="1 0 0" solref="0.004 1"/>
{walls}
    </body>
    <body name="ball" pos="0 0 {radius}">
      <freejoint/>
      <geom type="sphere" size="{radius}" mass="{BALL_KG}" condim="3" friction="0 0 0"/>
    </body>
  </worldbody>
</mujoco>"""


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


def _damping_ratio(restitution: float) -> float:
    """Of a spring and damper that returns this share of the speed."""
    loss = -math.log(max(restitution, 1e-6))
    return loss / math.hypot(math.pi, loss)


def _walls(maze: Maze) -> Iterator[str]:
    half_t, half_h = maze.wall_thickness_m / 2, WALL_HEIGHT_M / 2
    for radius, openings, gap in zip(maze.wall_radius_m, maze.openings_rad, half_gap_rad(maze)):
        opening = np.sort(openings % TURN)
        for start, end in zip(opening + gap, np.append(opening[1:], opening[0] + TURN) - gap):
            yield from _boxes(radius, half_t, start, end)
            for angle in (start, end):
                x, y = radius * math.cos(angle), radius * math.sin(angle)
                yield f'      <geom class="wall" type="cylinder" pos="{x} {y} {half_h}" size="{half_t} {half_h}"/>'
    yield from _boxes(maze.rim_radius_m, half_t, 0.0, TURN)


def _boxes(radius: float, half_t: float, start: float, end: float) -> Iterator[str]:
    """Boxes along an arc of the mid-line, their outer corners touching."""
    count = math.ceil((end - start) * radius / BOX_M)
    half_rad = (end - start) / count / 2
    half_length = radius * math.tan(half_rad)
    for index in range(count):
        angle = start + (2 * index + 1) * half_rad
        x, y = radius * math.cos(angle), radius * math.sin(angle)
        yield (
            f'      <geom class="wall" type="box" pos="{x} {y} {WALL_HEIGHT_M / 2}" euler="0 0 {math.degrees(angle)}" '
            f'size="{half_t} {half_length} {WALL_HEIGHT_M / 2}"/>'
        )
