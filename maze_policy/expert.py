"""The privileged expert: it knows where the ball is and how fast, and rolls it the shortest way to the centre."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from maze_policy.config import ExpertConfig, PhysicsConfig
from maze_policy.maze import Maze
from maze_policy.simulator import ROLLING, TURN

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


class Route:
    """The shortest way from anywhere in the maze to its centre: along the rings, through one opening of each wall."""

    def __init__(self, maze: Maze) -> None:
        walls = np.array(maze.wall_radius_m)
        lanes = np.array([sum(maze.lane_m(ring)) / 2 for ring in range(maze.rings + 1)])
        first = np.concatenate([[0], np.cumsum(maze.openings_per_wall)])
        angle = np.radians(np.array(maze.opening_deg))
        to_go = np.zeros(angle.size)  # from the middle of each opening
        to_go[: first[1]] = walls[0]
        for wall in range(1, maze.rings):
            inner = slice(first[wall - 1], first[wall])
            for opening in range(first[wall], first[wall + 1]):
                arcs = np.abs((angle[inner] - angle[opening] + math.pi) % TURN - math.pi) * lanes[wall]
                to_go[opening] = np.min(arcs + to_go[inner]) + walls[wall] - walls[wall - 1]
        self.geometry = (walls, lanes, first, angle, to_go)

    def to_go_m(self, position_m: npt.ArrayLike) -> Float64:
        """Length of the way to the centre from ball centres of shape (count, 2), m, shape (count,)."""
        return _to_go(np.ascontiguousarray(position_m, dtype=np.float64), self.geometry)


class Expert:
    """Chooses the action that brings the tilt nearest to what the ball needs.

    Position gives a desired velocity (along the ring to the best opening, then through it), the velocity an
    acceleration, that a tilt; the action steps the axis whose commanded tilt is further off. Tuned for our maze.
    """

    def __init__(self, maze: Maze, physics: PhysicsConfig, config: ExpertConfig = ExpertConfig()) -> None:  # noqa: B008
        self.route = Route(maze)
        self._numbers = (
            config.ahead_s,
            config.approach_per_s,
            config.speed_m_s,
            config.inward_m_s,
            config.aligned_m,
            config.response_s,
            ROLLING * physics.gravity_m_s2,
            math.radians(physics.tilt_limit_deg),
        )
        self._step_rad = math.radians(physics.tilt_step_deg)

    def act(
        self,
        position_m: Float64,
        velocity_m_s: Float64,
        command_rad: Float64,
        step_rad: Float64 | None = None,
    ) -> Int64:
        """Action for each ball, shape (count,): the first of those that it prefers; see `preferences`."""
        action: Int64 = self.preferences(position_m, velocity_m_s, command_rad, step_rad).argmax(axis=1)
        return action

    def preferences(
        self,
        position_m: Float64,
        velocity_m_s: Float64,
        command_rad: Float64,
        step_rad: Float64 | None = None,
    ) -> Float64:
        """How much each action is wanted: what the tilt lacks in its direction, in tilt steps; half a step for no-op.

        Args:
            position_m: of the balls, shape (count, 2), m.
            velocity_m_s: of the balls, shape (count, 2), m/s.
            command_rad: commanded tilts, shape (count, 2), rad.
            step_rad: by how much an action tilts each board, shape (count,), rad; the nominal step without.

        Returns:
            Shape (count, 5).
        """
        steps = np.full(len(position_m), self._step_rad) if step_rad is None else step_rad
        off = _lacking_tilt(position_m, velocity_m_s, command_rad, self.route.geometry, self._numbers)
        x, y = (off / steps[:, np.newaxis]).T
        return np.stack([x, -x, y, -y, np.full_like(x, 0.5)], axis=1)


@njit(cache=True)
def _wrap(angle: float) -> float:
    return angle - TURN * math.floor(angle / TURN + 0.5)


@njit(cache=True)
def _ring(walls: Float64, r: float) -> int:
    ring = 0
    while ring < walls.size and r >= walls[ring]:
        ring += 1
    return ring


@njit(cache=True)
def _best_opening(ring: int, angle: float, geometry: Any) -> tuple[int, float]:
    """The opening inwards of this ring with the shortest way, and that way from the ring's wall on."""
    _, lanes, first, angles, to_go = geometry
    best, way = -1, math.inf
    for opening in range(first[ring - 1], first[ring]):
        length = abs(_wrap(angles[opening] - angle)) * lanes[ring] + to_go[opening]
        if length < way:
            best, way = opening, length
    return best, way


@njit(cache=True)
def _to_go(position: Float64, geometry: Any) -> Float64:
    walls = geometry[0]
    length = np.empty(len(position))
    for ball in range(len(position)):
        x, y = position[ball]
        r = math.hypot(x, y)
        ring = _ring(walls, r)
        length[ball] = r
        if ring > 0:
            length[ball] = r - walls[ring - 1] + _best_opening(ring, math.atan2(y, x), geometry)[1]
    return length


@njit(cache=True)
def _lacking_tilt(position: Float64, velocity: Float64, command: Float64, geometry: Any, numbers: Any) -> Float64:
    walls, lanes, _, angles, _ = geometry
    ahead, approach, top_speed, inward, aligned, response, per_rad, limit = numbers
    lacking = np.empty((len(position), 2))
    for ball in range(len(position)):
        x, y = position[ball]
        vx, vy = velocity[ball]
        r = max(math.hypot(x, y), 1e-9)
        out_x, out_y = x / r, y / r
        v_out = vx * out_x + vy * out_y
        v_along = -vx * out_y + vy * out_x
        ring = _ring(walls, r)
        if ring == 0:  # to the centre, and stay
            want_out, want_along, turn = -approach * r, 0.0, 0.0
        else:
            angle = math.atan2(y, x)
            opening, _ = _best_opening(ring, angle + ahead * v_along / r, geometry)
            arc = _wrap(angles[opening] - angle) * r
            want_along = min(max(approach * arc, -top_speed), top_speed)
            turn = v_along * v_along / r
            near = abs(arc) < aligned and abs(arc - ahead * v_along) < aligned
            want_out = -inward if near else approach * (lanes[ring] - r)
        a_out = (want_out - v_out) / response - turn
        a_along = (want_along - v_along) / response
        a_x = a_out * out_x - a_along * out_y
        a_y = a_out * out_y + a_along * out_x
        lacking[ball, 0] = min(max(-a_y / per_rad, -limit), limit) - command[ball, 0]
        lacking[ball, 1] = min(max(a_x / per_rad, -limit), limit) - command[ball, 1]
    return lacking
