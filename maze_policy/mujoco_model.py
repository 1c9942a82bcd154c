"""The same maze as a MuJoCo model, with a board that really tilts and a ball that really rolls.

Writing it takes no MuJoCo; `test/mujoco_board.py` plays it beside the planar simulator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from maze_policy.config import PhysicsConfig
from maze_policy.maze import Maze
from maze_policy.simulator import TURN, half_gap_rad

BOX_M = 0.004  # walls are straight boxes no longer than this: 0.1 mm off the arc in the innermost wall
WALL_HEIGHT_M = 0.01
BALL_KG = 0.0054  # steel; nothing depends on it
WALL_STIFFNESS = 4e5  # per s^2: a bounce lasts 5 ms
SUBSTEPS_PER_CONTROL = 64


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
