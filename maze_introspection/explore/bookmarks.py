"""Moments worth a look: the action flips, the ball enters another ring, the ball is stuck."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maze_introspection.analysis import Analysis
from maze_introspection.config import ReportConfig
from maze_policy.actions import ACTIONS

Int64 = npt.NDArray[np.int64]


def flips(analysis: Analysis) -> Int64:
    """Steps whose action tilts back what the step before tilted; any change of action for a policy of other actions."""
    action = analysis.contribution.action
    changed = (action[1:] != action[:-1]) & _same_episode(analysis)
    if analysis.recording.readout.shape[0] == len(ACTIONS):
        tilts = action < len(ACTIONS) - 1
        changed &= tilts[1:] & tilts[:-1] & (action[1:] // 2 == action[:-1] // 2)  # the two directions about one axis
    return np.flatnonzero(changed) + 1


def crossings(analysis: Analysis) -> Int64:
    """Steps at which the ball is in another ring than the step before; none where ball or maze are not known."""
    ring = analysis.ring
    moved = (ring[1:] != ring[:-1]) & (ring[1:] >= 0) & (ring[:-1] >= 0) & _same_episode(analysis)
    return np.flatnonzero(moved) + 1


def stalls(analysis: Analysis, config: ReportConfig) -> list[tuple[int, int]]:
    """First and last step of each stay of at least `stall_s` within `stall_m` of the place where it began.

    A stay begins at the first step that is not part of the one before, and ends when the ball is further away.
    """
    recording, found = analysis.recording, []
    for episode in range(len(recording.episode_ids)):
        steps = np.flatnonzero(recording.episode == episode)
        time_s, ball_m = recording.stamp_ns[steps] / 1e9, recording.ball_m[steps]
        begin = 0
        while begin < len(steps):
            least = int(np.searchsorted(time_s, time_s[begin] + config.stall_s))
            if least < len(steps) and _stays(ball_m[begin : least + 1], config.stall_m) == least + 1 - begin:
                end = begin + _stays(ball_m[begin:], config.stall_m)
                found.append((int(steps[begin]), int(steps[end - 1])))
                begin = end
            else:
                begin += 1
    return found


def _stays(ball_m: npt.NDArray[np.float64], within_m: float) -> int:
    """For how many steps the ball stays where it is at the first; one that is not seen does not."""
    away = ~(np.hypot(*(ball_m - ball_m[0]).T) < within_m)
    return int(away.argmax()) if away.any() else len(away)


def _same_episode(analysis: Analysis) -> npt.NDArray[np.bool_]:
    """Whether each step but the first is in the episode of the step before."""
    same: npt.NDArray[np.bool_] = np.diff(analysis.recording.episode) == 0
    return same
