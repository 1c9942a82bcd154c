"""Which rows, moments and channels the figures show: every rule is written here, and none is the eye of an author."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maze_introspection.analysis import Analysis
from maze_introspection.statistics import Channels

Int64 = npt.NDArray[np.int64]

AHEAD_STEPS = 3


def rows_by_action(table: Channels) -> Int64:
    """Figure 2: the channels that are ever salient, sorted by the action they contribute to, the purest first."""
    order = np.lexsort((-table.salient_steps, -np.nan_to_num(table.action_share), table.action))
    rows: Int64 = order[table.salient_steps[order] > 0]
    return rows


def ring_moments(analysis: Analysis, count: int = 4) -> Int64:
    """Figure 3: the middle of the longest stay in each ring, in the order of time; the outer `count` rings visited."""
    ring = analysis.ring
    starts = np.flatnonzero(np.diff(ring, prepend=ring[0] - 1))
    lengths = np.diff(starts, append=len(ring))
    moments = []
    for which in sorted(set(ring[ring >= 0].tolist()), reverse=True)[:count]:
        longest = max(np.flatnonzero(ring[starts] == which), key=lambda stay: lengths[stay])
        moments.append(starts[longest] + lengths[longest] // 2)
    return np.sort(np.array(moments, dtype=np.int64))


def enough_steps(analysis: Analysis) -> int:
    """Figure 4: salient steps that a channel needs: `least_steps`, or 1 % of all steps where that is more."""
    return max(analysis.config.least_steps, analysis.recording.steps // 100)


def confined_channels(table: Channels, least_steps: int) -> tuple[list[int], list[int]]:
    """Figure 4: two channels confined in space and two confined to a ring, as far as there are any.

    Among channels with at least `least_steps` salient steps: in space, those with the smallest spread of the ball's
    position. To a ring (not the centre), the one with the largest share of its salient steps in one ring, then the one
    with the largest share in another ring; among equals the one that reaches furthest around the centre.
    """
    judged = np.flatnonzero((table.salient_steps >= least_steps) & np.isfinite(table.spread_m))
    in_space = judged[np.argsort(table.spread_m[judged], kind='stable')][:2].tolist()
    confined = [int(c) for c in judged if table.ring[c] > 0 and c not in in_space]
    confined.sort(key=lambda c: (-table.ring_share[c], -table.turn[c]))
    to_ring = confined[:1]
    to_ring += [c for c in confined[1:] if table.ring[c] != table.ring[to_ring[0]]][:1]
    return in_space, to_ring


def telling_channel(analysis: Analysis, gate: int) -> int:
    """Figure 5: the channel in which the gate most often opens well ahead: chosen to show offsets, not as typical.

    Counted are the runs of the gate whose first salient step comes 3 or more steps after the run began, censored ones
    apart; among equals, the channel that is salient most often.
    """
    rows = analysis.step_offsets(gate)
    rows = rows[~rows['censored']]
    _, first = np.unique(np.stack([rows['channel'], rows['t0']], axis=1), axis=0, return_index=True)
    ahead = rows['channel'][first][rows['offset'][first] >= AHEAD_STEPS]
    count = np.bincount(ahead, minlength=analysis.recording.channels)
    return int(np.lexsort((-analysis.salient.sum(axis=0), -count))[0])


def of_episode(analysis: Analysis, episode: int) -> Analysis:
    """The steps of one episode, offsets included, as an analysis of its own.

    Raises:
        IndexError: naming the episodes that there are.
    """
    recording = analysis.recording.only(episode)
    keep = analysis.recording.episode == episode
    first = int(np.argmax(keep))
    offsets = analysis.offsets[keep[analysis.offsets['t']]].copy()
    offsets['t'] -= first
    offsets['t0'] -= first
    begins = analysis.begins[keep]
    begins[0] = True
    return Analysis(
        recording=recording,
        config=analysis.config,
        contribution=type(analysis.contribution)(*(part[keep] for part in analysis.contribution)),
        salient=analysis.salient[keep],
        continuity=analysis.continuity[keep],
        begins=begins,
        offsets=offsets,
    )
