"""From a tilt of the board to positions of the arm's joints, never beyond the limits. Pure; `arm_node` sends it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maze_policy.node_config import ArmNodeConfig

Array = npt.NDArray[np.float64]

REST_RAD = 1e-6  # nearer than this is there
LEAST_GAP_S = 1e-5  # controllers refuse points that are not one after the other


class Waypoint(NamedTuple):
    """Where the joints shall be, and how fast, a time after the message; rad, rad/s, one value per joint."""

    after_s: float
    position_rad: Array
    rate_rad_s: Array


class Follower:
    """Follows a target on every axis within limits on angle, rate and acceleration, whatever the target does.

    Why it never exceeds them: a step ends with x + v^2 / 2a short of the target, which is inside the angle limit, so
    braking at a from there stops in time, whatever the lengths of the steps to come (steps of length dt that brake by
    a dt each go less far than v^2 / 2a). Braking is always within reach of the next step, so the clips below never
    contradict each other.

    Args:
        position_rad: where it starts, at rest, shape (n,).
        limit_rad: largest angle on either side of 0; infinite for none.
        rate_rad_s: largest rate.
        acceleration_rad_s2: largest acceleration.
    """

    def __init__(self, position_rad: Array, limit_rad: float, rate_rad_s: float, acceleration_rad_s2: float) -> None:
        self.position_rad = np.array(position_rad, dtype=np.float64)
        self.rate_rad_s = np.zeros_like(self.position_rad)
        self._limit, self._fastest, self._hardest = limit_rad, rate_rad_s, acceleration_rad_s2

    def step(self, target_rad: Array, dt_s: float) -> None:
        """Move towards the target for `dt_s`."""
        away = np.clip(target_rad, -self._limit, self._limit) - self.position_rad
        change = self._hardest * dt_s
        wanted = np.sign(away) * (np.sqrt(change**2 + 2.0 * self._hardest * np.abs(away)) - change)
        rate = np.clip(wanted, self.rate_rad_s - change, self.rate_rad_s + change)
        self.rate_rad_s = np.clip(rate, -self._fastest, self._fastest)
        position = self.position_rad + self.rate_rad_s * dt_s
        self.position_rad = np.clip(position, -self._limit, self._limit)  # rounding alone

    @property
    def stop_rad(self) -> Array:
        """Where it comes to rest when it brakes from now on."""
        stop: Array = self.position_rad + self.rate_rad_s * np.abs(self.rate_rad_s) / (2.0 * self._hardest)
        return stop

    def rests_at(self, target_rad: Array) -> bool:
        """Whether it has arrived and stands still."""
        away = np.abs(np.clip(target_rad, -self._limit, self._limit) - self.position_rad).max()
        return bool(away < REST_RAD and np.abs(self.rate_rad_s).max() < REST_RAD)

    def ahead(self, after_s: float, hold_s: float, end_rad: Array | None = None) -> list[Waypoint]:
        """What to do when no more is said: be here after `after_s`, brake, and after `hold_s` go to the end.

        A cubic through these waypoints keeps the limits too; the last has rate 0.

        Args:
            after_s: when to be where the follower is now, s.
            hold_s: how long after that to leave for the end, s.
            end_rad: where to go at last; None: stay where it stops.
        """
        way = [Waypoint(after_s, self.position_rad, self.rate_rad_s)]
        stop_s = np.abs(self.rate_rad_s) / self._hardest
        for time_s in _spaced(np.sort(stop_s)):
            braked_s = np.minimum(time_s, stop_s)
            lost = np.sign(self.rate_rad_s) * self._hardest * braked_s
            position = self.position_rad + (self.rate_rad_s - lost / 2.0) * braked_s
            way.append(Waypoint(after_s + time_s, position, self.rate_rad_s - lost))
        rest = np.zeros_like(self.rate_rad_s)
        way[-1] = way[-1]._replace(rate_rad_s=rest)
        if end_rad is None or self.rests_at(end_rad):
            return way
        stop = way[-1]
        leave_s = max(stop.after_s, after_s + hold_s)
        if leave_s - stop.after_s > LEAST_GAP_S:
            way.append(Waypoint(leave_s, stop.position_rad, rest))
        distance = float(np.abs(end_rad - stop.position_rad).max())
        # a cubic from rest to rest: at most 1.5 d / T fast and 6 d / T^2 hard
        duration_s = max(1.5 * distance / self._fastest, float(np.sqrt(6.0 * distance / self._hardest)), LEAST_GAP_S)
        return [*way, Waypoint(way[-1].after_s + duration_s, end_rad, rest)]

    def go_on(self, for_s: float, hold_s: float, end_rad: Array | None = None) -> None:
        """Be where `ahead` leads within `for_s`, as a controller is that has heard no more meanwhile."""
        way = self.ahead(0.0, hold_s, end_rad)
        self.position_rad, self.rate_rad_s = way[-1].position_rad, way[-1].rate_rad_s
        for first, second in pairwise(way):
            if for_s < second.after_s:
                self.position_rad, self.rate_rad_s = _between(first, second, for_s - first.after_s)
                return


class Motion(NamedTuple):
    """A follower and what its axes mean: joints = neutral_rad + per_axis @ axes, shapes (joints,), (joints, n)."""

    follower: Follower
    neutral_rad: Array
    per_axis: Array
    end_rad: Array | None  # where its axes go by themselves when nobody says more; None: they stop

    def joints_rad(self) -> Array:
        """Where the joints shall be now, rad."""
        joints: Array = self.neutral_rad + self.per_axis @ self.follower.position_rad
        return joints

    def ahead(self, after_s: float, hold_s: float) -> list[Waypoint]:
        """`Follower.ahead`, for the joints."""
        return [
            Waypoint(time_s, self.neutral_rad + self.per_axis @ position, self.per_axis @ rate)
            for time_s, position, rate in self.follower.ahead(after_s, hold_s, self.end_rad)
        ]

    def go_on(self, for_s: float, hold_s: float) -> None:
        """`Follower.go_on`, to the end of this motion."""
        self.follower.go_on(for_s, hold_s, self.end_rad)


def neutral_rad(config: ArmNodeConfig) -> Array:
    """The joints when the board is level, rad."""
    return np.array(config.neutral_rad)


def approach(config: ArmNodeConfig, start_rad: Array) -> Motion:
    """The slow way of the joints from where they are to the neutral pose, joint by joint; full speed after 0.5 s."""
    rate = float(np.radians(config.approach_deg_s))
    count = len(config.joint_names)
    return Motion(Follower(start_rad, np.inf, rate, 2.0 * rate), np.zeros(count), np.eye(count), None)


def tilting(config: ArmNodeConfig) -> Motion:
    """The board's two tilts, level at first; left alone it ends level."""
    limits = np.radians([config.angle_limit_deg, config.rate_limit_deg_s, config.acceleration_limit_deg_s2])
    per_tilt = np.array(config.tilt_to_joints).reshape(-1, 2)
    return Motion(Follower(np.zeros(2), *map(float, limits)), neutral_rad(config), per_tilt, np.zeros(2))


def _between(first: Waypoint, second: Waypoint, for_s: float) -> tuple[Array, Array]:
    """Position and rate on the cubic through two waypoints, `for_s` after the first."""
    all_s, way = second.after_s - first.after_s, second.position_rad - first.position_rad
    s, a, b = for_s / all_s, first.rate_rad_s * all_s, second.rate_rad_s * all_s
    position: Array = first.position_rad + (3 - 2 * s) * s**2 * way + (1 - s) ** 2 * s * a - (1 - s) * s**2 * b
    rate: Array = (6 * (1 - s) * s * way + (1 - s) * (1 - 3 * s) * a + (3 * s - 2) * s * b) / all_s
    return position, rate


def _spaced(times_s: Array) -> list[float]:
    """The times, without those too near to 0 or to the next; the last stays unless it is near to 0."""
    kept: list[float] = []
    for time_s in map(float, times_s):
        if time_s < LEAST_GAP_S:
            continue
        if kept and time_s - kept[-1] < LEAST_GAP_S:
            kept.pop()
        kept.append(time_s)
    return kept
