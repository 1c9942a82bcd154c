"""The steps that the messages of a bag make, every topic with its own gaps, as arrays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.verify.heard import Heard
from maze_introspection.verify.verdict import Finding, in_rows
from maze_policy import topics
from maze_policy.topics import Topic

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# What the policy tells of every step. Two of these under one stamp make a step; one alone is a message gone astray.
PARTS = (topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES, topics.OBSERVATION)


@dataclass
class Steps:
    """T steps of n_l channels and n_a actions; NaN where a message is missing.

    Attributes:
        stamp_ns: of each step, shape (T,), increasing.
        has: whether each step has a message of a topic, shape (T,); only of topics that were recorded at all.
        gates: shape (T, 4, n_l).
        hidden, cell: shape (T, n_l).
        scores: shape (T, n_a).
        readout: [W_a | b], shape (n_a, n_l + 1); None where it was not recorded or fits nothing.
        tilt_rad, ball_m: as recorded, with z, shape (T, 3).
        share: contributions as recorded, shape (T, n_l).
        begins: whether `policy/episode` names the step, shape (T,).
        episode: index of each step's episode, shape (T,).
        episode_ids: their names.
        begins_late: whether the first episode began before the first step recorded.
        doubtful: steps in whose gates, state or scores something was found, shape (T,): what follows from these is
            not judged.
    """

    stamp_ns: npt.NDArray[np.int64]
    has: dict[Topic, Bool]
    gates: Float32
    hidden: Float32
    cell: Float32
    scores: Float32
    readout: Float32 | None
    tilt_rad: Float64
    ball_m: Float64
    share: Float32
    begins: Bool
    episode: npt.NDArray[np.int64]
    episode_ids: tuple[str, ...]
    begins_late: bool
    doubtful: Bool = field(init=False)

    def __post_init__(self) -> None:
        self.doubtful = np.zeros(len(self.stamp_ns), dtype=np.bool_)

    def __len__(self) -> int:
        return len(self.stamp_ns)

    @property
    def channels(self) -> int:
        """n_l."""
        return self.hidden.shape[1]

    @property
    def whole(self) -> Bool:
        """Steps with gates, state and scores, all finite, shape (T,)."""
        parts = (self.gates.reshape(len(self), -1), self.hidden, self.cell, self.scores)
        whole: Bool = np.logical_and.reduce([np.isfinite(part).all(axis=1) for part in parts])
        return whole

    def at(self, says: str, topic: Topic | str, step: int, through: int | None = None) -> Finding:
        """A finding in a step, or in several in a row."""
        last = step if through is None else through
        name = topic if isinstance(topic, str) else topic.name
        if any(part.name in name for part in PARTS[:3]):
            self.doubtful[step : last + 1] = True
        stamp, episode = int(self.stamp_ns[step]), int(self.episode[step])
        return Finding(says, name, step, None if last == step else last, stamp, episode)

    def rows(self, says: str, topic: Topic, where: npt.NDArray[np.int64]) -> list[Finding]:
        """A finding for each stretch of these steps."""
        return [self.at(says, topic, first, last) for first, last in in_rows(where.tolist())]

    def near(self, says: str, topic: Topic, stamp_ns: int) -> Finding:
        """A finding about a message that is of no step, in the episode of the last step before it."""
        step = max(int(np.searchsorted(self.stamp_ns, stamp_ns, side='right')) - 1, 0)
        return Finding(says, topic.name, stamp_ns=stamp_ns, episode=int(self.episode[step]))


def make_steps(heard: Heard) -> Steps | None:
    """The steps, or None where gates, state or scores were not recorded or do not fit each other."""
    series = heard.series
    gates, state, scores = (series[topic].values for topic in PARTS[:3])
    if not (gates and state and scores) or gates[0].shape[1] != state[0].shape[1]:
        return None
    recorded = [topic for topic in PARTS if len(series[topic])]
    seen = Counter(stamp for topic in recorded for stamp in set(series[topic].stamps))
    stamp_ns = np.array(sorted(stamp for stamp, count in seen.items() if count > 1), dtype=np.int64)
    if not len(stamp_ns):
        return None
    aligned = _Aligned(heard, stamp_ns)
    channels, actions = gates[0].shape[1], scores[0].shape[1]
    readout = heard.readout()
    if readout is not None and readout.shape != (actions, channels + 1):
        readout = None
    both = aligned.of(topics.LSTM_STATE, (2, channels))
    share = series[topics.CONTRIBUTION].values
    fits = bool(share) and share[0].shape[1] == channels
    episodes = series[topics.EPISODE]
    named = sorted(zip(episodes.stamps, episodes.values))
    began = np.array([stamp for stamp, _ in named], dtype=np.int64)
    if not named or stamp_ns[0] < began[0]:
        named.insert(0, (int(stamp_ns[0]), 'unnamed'))
    index = np.searchsorted(np.array([stamp for stamp, _ in named]), stamp_ns, side='right') - 1
    present = np.unique(index)
    return Steps(
        stamp_ns=stamp_ns,
        has={
            topic: np.isin(stamp_ns, heard.series[topic].stamps)
            for topic in series
            if len(series[topic]) and topic is not topics.WATCHED
        },
        gates=aligned.of(topics.LSTM_GATES, (4, channels)),
        hidden=both[:, 0],
        cell=both[:, 1],
        scores=aligned.of(topics.ACTION_SCORES, (1, actions))[:, 0],
        readout=readout,
        tilt_rad=aligned.of(topics.TILT_COMMAND, (3,), np.float64),
        ball_m=aligned.of(topics.BALL, (3,), np.float64),
        share=aligned.of(topics.CONTRIBUTION, (1, channels), empty=not fits)[:, 0],
        begins=np.isin(stamp_ns, began),
        episode=np.searchsorted(present, index),
        episode_ids=tuple(named[which][1] for which in present),
        begins_late=bool(len(began)) and bool(began[0] < stamp_ns[0]),
    )


class _Aligned:
    """The values of a topic, step by step; each is let go once it is in its place, so that they are held once."""

    def __init__(self, heard: Heard, stamp_ns: npt.NDArray[np.int64]) -> None:
        self._heard = heard
        self._step = {stamp: step for step, stamp in enumerate(stamp_ns.tolist())}

    def of(self, topic: Topic, shape: tuple[int, ...], dtype: Any = np.float32, *, empty: bool = False) -> Any:
        values = np.full((len(self._step), *shape), np.nan, dtype=dtype)
        series = self._heard.series[topic]
        for stamp, index in series.first_of_each().items():
            if stamp in self._step and not empty:
                values[self._step[stamp]] = series.values[index]
                if topic is not topics.TILT_COMMAND:  # whose order, levelling between the steps, is looked at later
                    series.values[index] = None
        return values
