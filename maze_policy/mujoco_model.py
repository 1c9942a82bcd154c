"""The same maze as a MuJoCo model, with a board that really tilts and a ball that really rolls."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from numba import njit

from maze_policy.maze import WALL_HEIGHT_M, Maze
from maze_policy.simulator import TURN, half_gap_rad

Float64 = npt.NDArray[np.float64]

BOX_M = 0.004  # walls are straight boxes no longer than this: 0.1 mm off the arc in the innermost wall
FLOOR_M = 0.01  # thickness of the board
BALL_KG = 0.0054  # steel; nothing depends on it
# Plenty for rolling. With more the floor, which is solved together with the wall, takes part in a bounce.
FLOOR_FRICTION = 0.2


def wall_pieces(maze: Maze) -> Float64:
    """Straight boxes along every wall, their outer corners touching, and a round post at every end of a wall.

    Returns:
        Rows (x, y, angle of the piece's outward axis, half its thickness, half its length), m and rad, shape (n, 5);
        a post has length 0.
    """
    return np.array(list(_pieces(maze)))


@njit(cache=True)
def contact_restitution(restitution: float, friction: float) -> float:
    """What the bare contact with a wall must return so that `restitution` is left once the ball rolls again.

    While it bounces the ball keeps the spin that the wall's friction m leaves it, 1 - 5/2 m (1 + e'), and that takes
    up to 2/7 of the speed back into the wall; so for e the bare contact must return e' = (7 e + 2 - 5 m) / (5 + 5 m).
    """
    return min((7.0 * restitution + 2.0 - 5.0 * friction) / (5.0 + 5.0 * friction), 1.0)


def mjcf(maze: Maze, pieces: Float64) -> str:
    """The model as MJCF: a board on two hinges (x, then y) with these pieces of wall, and a free ball.

    The ball meets nothing but the pairs named here. A wall's restitution and friction depend on the time step and are
    the simulator's to set; the floor is as stiff as the time step allows.
    """
    walls = '\n'.join(f'      <geom name="wall {index}" {_shape(*piece)}/>' for index, piece in enumerate(pieces))
    pairs = '\n'.join(f'    <pair geom1="ball" geom2="wall {index}" class="wall"/>' for index in range(len(pieces)))
    radius = maze.ball_radius_m
    return f"""
<mujoco model="circular maze">
  <option solver="Newton" cone="elliptic" impratio="10">
    <flag equality="disable" frictionloss="disable" limit="disable" actuation="disable" sensor="disable"
          island="disable" warmstart="disable"/>
  </option>
  <default>
    <geom contype="0" conaffinity="0"/>
    <pair condim="3"/>
    <default class="wall">
      <pair solimp="0.9999 0.9999 0.001"/>
    </default>
  </default>
  <worldbody>
    <body name="board">
      <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
      <joint name="tilt_x" type="hinge" axis="1 0 0"/>
      <joint name="tilt_y" type="hinge" axis="0 1 0"/>
      <geom name="floor" type="cylinder" pos="0 0 {-FLOOR_M / 2}" size="{maze.rim_radius_m} {FLOOR_M / 2}"/>
{walls}
    </body>
    <body name="ball" pos="0 0 {radius}">
      <freejoint/>
      <geom name="ball" type="sphere" size="{radius}" mass="{BALL_KG}"/>
    </body>
  </worldbody>
  <contact>
    <pair geom1="ball" geom2="floor" friction="{FLOOR_FRICTION} {FLOOR_FRICTION} 0 0 0" solref="1e-6 1"/>
{pairs}
  </contact>
</mujoco>"""


def _shape(x: float, y: float, angle: float, half_t: float, half_length: float) -> str:
    half_h = WALL_HEIGHT_M / 2
    place = f'pos="{x} {y} {half_h}" euler="0 0 {math.degrees(angle)}"'
    if half_length:
        return f'type="box" {place} size="{half_t} {half_length} {half_h}"'
    return f'type="cylinder" {place} size="{half_t} {half_h}"'


def _pieces(maze: Maze) -> Iterator[tuple[float, float, float, float, float]]:
    half_t = maze.wall_thickness_m / 2
    for radius, openings, gap in zip(maze.wall_radius_m, maze.openings_rad, half_gap_rad(maze)):
        opening = np.sort(openings % TURN)
        for start, end in zip(opening + gap, np.append(opening[1:], opening[0] + TURN) - gap):
            yield from _boxes(radius, half_t, start, end)
            for angle in (start, end):
                yield radius * math.cos(angle), radius * math.sin(angle), angle, half_t, 0.0
    yield from _boxes(maze.rim_radius_m, half_t, 0.0, TURN)


def _boxes(
    radius: float, half_t: float, start: float, end: float
) -> Iterator[tuple[float, float, float, float, float]]:
    count = math.ceil((end - start) * radius / BOX_M)
    half_rad = (end - start) / count / 2
    for index in range(count):
        angle = start + (2 * index + 1) * half_rad
        yield radius * math.cos(angle), radius * math.sin(angle), angle, half_t, radius * math.tan(half_rad)
