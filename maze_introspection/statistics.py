"""Numbers about an analysis: sparsity, single-action and single-ring channels, time and offsets per ring, success."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maze_introspection.analysis import Analysis
from maze_policy.policy import GATE_NAMES

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


class Spread(NamedTuple):
    """A sample of size n in five numbers; they are NaN where it is empty."""

    n: int
    mean: float
    median: float
    q1: float
    q3: float
    most: float


def spread(values: npt.ArrayLike) -> Spread:
    """Size, mean, median, quartiles and the largest."""
    sample = np.asarray(values, dtype=np.float64)
    if not sample.size:
        return Spread(0, *[float('nan')] * 5)
    q1, median, q3 = np.percentile(sample, [25, 50, 75]).tolist()
    return Spread(sample.size, float(sample.mean()), median, q1, q3, float(sample.max()))


class Episode(NamedTuple):
    """One episode: its id, number of steps, whether and when the ball reached the centre, s after the first step.

    `whole` is False where its beginning, the ball or the maze was not recorded; its times then count nowhere.
    """

    id: str
    steps: int
    seconds: float
    solved: bool
    solved_s: float
    ring_s: tuple[float, ...]  # time in each ring, centre first
    whole: bool


def episodes(analysis: Analysis) -> list[Episode]:
    """Each episode; a step lasts until the next one of its episode, so the last step lasts no time.

    `solved` is False and `ring_s` empty where the recording carries no maze or no ball.
    """
    recording = analysis.recording
    maze = recording.maze
    found = []
    for index, name in enumerate(recording.episode_ids):
        steps = np.flatnonzero(recording.episode == index)
        if not steps.size:
            continue
        time_s = (recording.stamp_ns[steps] - recording.stamp_ns[steps[0]]) / 1e9
        lasts_s = np.diff(time_s, append=time_s[-1])
        reached = np.flatnonzero(recording.distance_m[steps] < maze.solved_radius_m) if maze else np.empty(0, dtype=int)
        ring_s = [float(lasts_s[analysis.ring[steps] == ring].sum()) for ring in range(maze.rings + 1)] if maze else []
        solved_s = float(time_s[reached[0]]) if reached.size else float('nan')
        seen = maze is not None and bool(np.isfinite(recording.distance_m[steps]).any())
        whole = seen and not (index == 0 and analysis.starts_midway)
        found.append(Episode(name, steps.size, float(time_s[-1]), bool(reached.size), solved_s, tuple(ring_s), whole))
    return found


def channels_needed(analysis: Analysis) -> Spread:
    """Share of all channels that it takes to make up `fraction` of the score, over the defined steps."""
    return spread(analysis.salient[analysis.contribution.defined].mean(axis=1))


class Channels(NamedTuple):
    """What each of the n_l channels is salient for; -1 and NaN where it never is.

    Attributes:
        salient_steps: number of steps at which the channel is salient.
        action: the action it contributes to most often, lowest index among equals.
        action_share: share of its salient steps with that action.
        ring: the ring in which it is salient most often.
        ring_share: share of its salient steps in that ring.
        spread_m: root mean square distance of the ball from its mean position over the salient steps, m.
        turn: 1 - length of the mean direction of the ball from the centre: 0 at one angle, 1 all around.
        mean_share: mean contribution over all defined steps.
    """

    salient_steps: Int64
    action: Int64
    action_share: Float64
    ring: Int64
    ring_share: Float64
    spread_m: Float64
    turn: Float64
    mean_share: Float64


def channels(analysis: Analysis) -> Channels:
    """What each channel is salient for; rings and places only from steps at which the ball was recorded."""
    recording, n_l = analysis.recording, analysis.recording.channels
    step, channel = np.nonzero(analysis.salient)
    action, action_share = _commonest(channel, analysis.contribution.action[step], n_l, recording.readout.shape[0])
    rings = recording.maze.rings + 1 if recording.maze else 0
    ring, ring_share = _commonest(channel, analysis.ring[step], n_l, rings)

    distance_m = recording.distance_m[step]
    seen = np.isfinite(distance_m)
    ball_m, owner = recording.ball_m[step[seen]], channel[seen]

    def mean(values: Float64) -> Float64:
        return np.bincount(owner, values, n_l) / np.bincount(owner, minlength=n_l)

    with np.errstate(invalid='ignore', divide='ignore'):
        x, y = ball_m.T
        square = mean(x**2 + y**2) - mean(x) ** 2 - mean(y) ** 2
        away = np.maximum(distance_m[seen], 1e-9)
        turn = 1 - np.hypot(mean(x / away), mean(y / away))
    share = analysis.contribution.share.sum(axis=0, dtype=np.float64)
    return Channels(
        salient_steps=np.bincount(channel, minlength=n_l),
        action=action,
        action_share=action_share,
        ring=ring,
        ring_share=ring_share,
        spread_m=np.sqrt(np.maximum(square, 0)),
        turn=turn,
        mean_share=share / max(int(analysis.contribution.defined.sum()), 1),
    )


def _commonest(channel: Int64, label: Int64, n_l: int, labels: int) -> tuple[Int64, Float64]:
    """Each channel's commonest label 0 to `labels` - 1, and its share among those; -1 and NaN where it has none."""
    known = (label >= 0) & (label < labels)
    flat = np.bincount(channel[known] * labels + label[known], minlength=n_l * labels)
    count = flat.reshape(n_l, labels) if labels else np.zeros((n_l, 1), dtype=np.int64)
    total = count.sum(axis=1)
    share = np.full(n_l, np.nan)
    np.divide(count.max(axis=1), total, out=share, where=total > 0)
    return np.where(total > 0, count.argmax(axis=1), -1), share


def ring_offsets(
    analysis: Analysis, gate: int, counts: npt.NDArray[np.bool_] | None = None
) -> list[tuple[Spread, int]]:
    """Offsets of a gate in each ring, centre first: the spread of the uncensored, and how many were censored.

    `counts` says which steps count, shape (T,); all without.
    """
    maze = analysis.recording.maze
    rows = analysis.of_gate(gate)
    if counts is not None:
        rows = rows[counts[rows['t']]]
    ring = analysis.ring[rows['t']]
    return [
        (spread(rows['offset'][(ring == which) & ~rows['censored']]), int(((ring == which) & rows['censored']).sum()))
        for which in range(maze.rings + 1 if maze else 0)
    ]


class Agreement(NamedTuple):
    """How well `share > theta_c` finds the salient channels of each step."""

    theta_c: float
    precision: float
    recall: float
    f1: float


def threshold_agreement(analysis: Analysis, thresholds: Iterable[float]) -> list[Agreement]:
    """For each theta_c: of the (step, channel) above it, the share that is salient; of the salient, the share above it.

    The default of theta_c is where both agree best (highest F1, their harmonic mean) over 40 trials.
    """
    wanted = int(analysis.salient.sum())
    found = []
    for theta_c in thresholds:
        above = analysis.contribution.share > theta_c
        both, taken = int((above & analysis.salient).sum()), int(above.sum())
        found.append(Agreement(theta_c, both / max(taken, 1), both / max(wanted, 1), 2 * both / max(taken + wanted, 1)))
    return found


def summary(analysis: Analysis, counts: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """All of it as plain values for `summary.json`, NaN as None; offsets of the steps that count only."""
    recording, config = analysis.recording, analysis.config
    played = episodes(analysis)
    table = channels(analysis)
    judged = table.salient_steps >= config.least_steps
    whole = [episode for episode in played if episode.whole]
    ring_s = np.array([episode.ring_s for episode in whole])
    values = {
        'source': recording.source,
        'steps': recording.steps,
        'channels': recording.channels,
        'actions': int(recording.readout.shape[0]),
        'parameters': config.as_dict(),
        'completeness': {
            'complete': analysis.complete,
            'starts_midway': analysis.starts_midway,
            'missing_before_step': analysis.gaps.tolist(),
            'corrupt_steps': analysis.corrupt.tolist(),
            'memory_resets': len(analysis.resets),
        },
        'success': {
            'episodes': len(played),
            'whole': len(whole),
            'solved': sum(episode.solved for episode in whole),
            'solved_s': spread([episode.solved_s for episode in whole if episode.solved])._asdict(),
        },
        'time_per_ring_s': [spread(column)._asdict() for column in ring_s.T],
        'undefined_steps': int((~analysis.contribution.defined).sum()),
        'channels_needed': channels_needed(analysis)._asdict(),
        'ever_salient_channels': int((table.salient_steps > 0).sum()),
        'judged_channels': int(judged.sum()),
        'single_action_channels': np.flatnonzero(judged & (table.action_share == 1)).tolist(),
        'single_ring_channels': np.flatnonzero(judged & (table.ring_share == 1)).tolist(),
        'offsets_per_ring': {
            name: [
                {**offsets._asdict(), 'censored': censored}
                for offsets, censored in ring_offsets(analysis, gate, counts)
            ]
            for gate, name in GATE_NAMES.items()
        },
        'episodes': [episode._asdict() for episode in played],
    }
    return plain(values)


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """The same with None for NaN, which strict JSON does not know."""
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
