"""Planar dynamics of the ball on the tilting board: many boards at once, compiled, with nothing to draw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from maze_policy.config import PhysicsConfig
from maze_policy.maze import Maze

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

ROLLING = 5.0 / 7.0  # a solid ball that rolls without slipping gets this share of the downhill acceleration
TURN = 2.0 * math.pi
# Columns of `Simulator.coefficients`, what a board's physics may differ in.
COEFFICIENTS = (
    'gravity_m_s2',
    'rolling_resistance',
    'viscous_per_s',
    'restitution',
    'wall_friction',
    'tilt_lag_s',
    'ball_radius_m',
    'period_s',
)
ROUNDING_S = 1e-6  # of a minute added up from thirtieths of a second
BALL_RADIUS, PERIOD = COEFFICIENTS.index('ball_radius_m'), COEFFICIENTS.index('period_s')


class Simulator:
    """`count` boards with one ball each, advanced together by one control period each per `step`.

    The ball rolls without slipping (5/7 of gravity along the board), with rolling resistance and viscous damping; a
    wall returns a share of the normal speed and rubs along the tangent. A wall is everything within half its
    thickness of its mid-line, so its ends at an opening are round (our choice) and the ball bounces off them too. The
    board follows its command with a first-order lag. Turning of the ball about the vertical is left out (ours).

    Attributes:
        position_m: ball centres in the maze frame, shape (count, 2), m.
        velocity_m_s: their velocities, shape (count, 2), m/s.
        tilt_rad: true tilt of each board about x and y, shape (count, 2), rad; signs as in `maze_policy.actions`.
        solved: whether the ball has been in the centre at the end of a step since the last reset, shape (count,).
        coefficients: physics of each board, columns `COEFFICIENTS`, shape (count, 8); `physics` and the maze's ball
            until somebody writes something else there. `period_s` is how long one step lasts.
    """

    def __init__(self, maze: Maze, physics: PhysicsConfig, count: int = 1, seed: int = 0) -> None:
        self.maze = maze
        self.physics = physics
        self.count = count
        self.position_m = np.zeros((count, 2))
        self.velocity_m_s = np.zeros((count, 2))
        self.tilt_rad = np.zeros((count, 2))
        self.solved = np.zeros(count, dtype=np.bool_)
        self._random = np.random.default_rng(seed)
        nominal = physics.as_dict() | {'ball_radius_m': maze.ball_radius_m, 'period_s': 1 / physics.rate_hz}
        self.coefficients = np.tile([float(nominal[name]) for name in COEFFICIENTS], (count, 1))
        self._all = np.arange(count)
        radius_m = np.array([*maze.wall_radius_m, maze.rim_radius_m])
        first = np.concatenate([[0], np.cumsum([*maze.openings_per_wall, 0])])
        half_rad = half_gap_rad(maze)
        self._walls = (
            radius_m,
            first,
            np.radians(np.array(maze.opening_deg)),
            np.repeat(half_rad, maze.openings_per_wall),
        )
        self.reset()

    def reseed(self, seed: int) -> None:
        """Draw from here on as a new simulator of this seed would."""
        self._random = np.random.default_rng(seed)

    def reset(self, which: npt.ArrayLike | None = None, ring: npt.ArrayLike | None = None) -> None:
        """Level the boards `which` (indices; all without) and rest each ball anywhere in a ring.

        Args:
            which: indices of boards, shape (n,).
            ring: 0 (centre) to `maze.rings` (outermost, which it is without), one for all or one each, shape (n,).
        """
        boards = self._all if which is None else np.atleast_1d(np.asarray(which, dtype=np.int64))
        rings = np.broadcast_to(self.maze.rings if ring is None else np.asarray(ring), boards.shape)
        if np.any((rings < 0) | (rings > self.maze.rings)):
            raise ValueError(f'want a ring 0 to {self.maze.rings}, got {rings.tolist()}')
        lanes = np.array([self.maze.lane_m(index) for index in range(self.maze.rings + 1)])[rings]
        share = self._random.random(boards.size)  # uniform over the area of the lane
        distance = np.sqrt(lanes[:, 0] ** 2 + share * (lanes[:, 1] ** 2 - lanes[:, 0] ** 2))
        angle = self._random.uniform(-math.pi, math.pi, boards.size)
        self.position_m[boards] = np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1)
        self.velocity_m_s[boards] = 0.0
        self.tilt_rad[boards] = 0.0
        self.solved[boards] = False
        self._place(boards)

    def step(self, command_rad: npt.ArrayLike, which: npt.ArrayLike | None = None) -> None:
        """Advance the boards `which` (indices; all without) by one control period.

        Args:
            command_rad: commanded tilt about x and y, absolute, shape (count, 2) whatever `which` is, rad.
            which: indices of boards, shape (n,).

        Raises:
            ValueError: if the commands have another shape or are not finite.
        """
        command = np.ascontiguousarray(command_rad, dtype=np.float64)
        if command.shape != (self.count, 2) or not np.isfinite(command).all():
            raise ValueError(f'want finite commands of shape {(self.count, 2)}, got shape {command.shape}')
        boards = self._all if which is None else np.asarray(which, dtype=np.int64)
        self._advance(boards, command)
        distance = np.hypot(self.position_m[boards, 0], self.position_m[boards, 1])
        self.solved[boards] |= distance < self.maze.solved_radius_m

    def _place(self, boards: Int64) -> None:
        """For an engine that keeps more of a board than position, velocity and tilt: they were just set."""

    def _advance(self, boards: Int64, command: Float64) -> None:
        _advance(
            boards,
            command,
            self.position_m,
            self.velocity_m_s,
            self.tilt_rad,
            self.coefficients,
            self._walls,
            self.maze.wall_thickness_m / 2,
            self.physics.substeps,
        )


def half_gap_rad(maze: Maze) -> Float64:
    """Half the angle missing from each wall's mid-line at an opening, shape (rings,): the round ends lie within it."""
    half_width_m = (maze.opening_clear_m + maze.wall_thickness_m) / 2
    return np.arcsin(half_width_m / np.array(maze.wall_radius_m))


@njit(cache=True)
def _advance(
    boards: Int64,
    command: Float64,
    position: Float64,
    velocity: Float64,
    tilt: Float64,
    coefficients: Float64,
    walls: Any,
    half_wall: float,
    substeps: int,
) -> None:
    radius, first, angle, half = walls
    for board in boards:
        gravity, resistance, viscous, restitution, friction, lag, ball_radius, period = coefficients[board]
        reach = ball_radius + half_wall
        dt = period / substeps
        follow = 1.0 - math.exp(-dt / lag) if lag > 0.0 else 1.0
        x, y = position[board]
        vx, vy = velocity[board]
        tilt_x, tilt_y = tilt[board]
        brake = dt * ROLLING * gravity * resistance
        for _ in range(substeps):
            tilt_x += follow * (command[board, 0] - tilt_x)
            tilt_y += follow * (command[board, 1] - tilt_y)
            vx += dt * (ROLLING * gravity * math.sin(tilt_y) - viscous * vx)
            vy += dt * (-ROLLING * gravity * math.sin(tilt_x) - viscous * vy)
            speed = math.sqrt(vx * vx + vy * vy)
            keep = 1.0 - brake / speed if speed > brake else 0.0
            vx *= keep
            vy *= keep
            x += dt * vx
            y += dt * vy
            r = math.sqrt(x * x + y * y)
            for wall in range(radius.size):
                if abs(r - radius[wall]) >= reach or r == 0.0:
                    continue
                # The nearest point of the mid-line: straight out, or the end of the wall when in an opening.
                near_x, near_y = x / r * radius[wall], y / r * radius[wall]
                bearing = math.atan2(y, x) if first[wall] < first[wall + 1] else 0.0
                for opening in range(first[wall], first[wall + 1]):
                    off = bearing - angle[opening]
                    off -= TURN * math.floor(off / TURN + 0.5)
                    if abs(off) < half[opening]:
                        end = angle[opening] + math.copysign(half[opening], off)
                        near_x, near_y = radius[wall] * math.cos(end), radius[wall] * math.sin(end)
                nx, ny = x - near_x, y - near_y
                gap = math.sqrt(nx * nx + ny * ny)
                if gap >= reach or gap == 0.0:
                    continue
                nx /= gap
                ny /= gap
                x += nx * (reach - gap)
                y += ny * (reach - gap)
                normal = vx * nx + vy * ny
                if normal < 0.0:
                    along = -vx * ny + vy * nx
                    impulse = -(1.0 + restitution) * normal
                    rub = min(friction * impulse, abs(along))
                    along -= math.copysign(rub, along)
                    normal *= -restitution
                    vx, vy = normal * nx - along * ny, normal * ny + along * nx
        position[board, 0], position[board, 1] = x, y
        velocity[board, 0], velocity[board, 1] = vx, vy
        tilt[board, 0], tilt[board, 1] = tilt_x, tilt_y
