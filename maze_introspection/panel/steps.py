"""The last steps of a policy, in memory taken once; parts of a step come on topics of their own, by stamp."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.recurrence import CONTINUES, continuity
from maze_policy import topics
from maze_policy.topics import Topic

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

CAPACITY = 1800  # steps kept: a minute at 30 Hz
SET_BACK_NS = 1_000_000_000  # a step this much older than the newest: the clock was set back
MOVES_AT = 10  # a channel moves to the rows of an action seen so often, and twice as often as that of its rows
PARTS = (topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES, topics.CONTRIBUTION, topics.SALIENT)


class Steps:
    """A ring of `CAPACITY` steps of n_l channels and n_a actions; NaN where a part of a step has not come.

    Attributes:
        count: steps since the beginning.
        home: the action in whose rows of the heat map a channel is, shape (n_l,); -1 for one that was never salient.
        rank: the order in which channels came to be salient, shape (n_l,).
    """

    def __init__(self, channels: int = 0, actions: int = 0) -> None:
        self.channels, self.actions = channels, actions
        self._begin()

    def _begin(self) -> None:
        channels = self.channels
        self.count, self._row_of = 0, dict[int, int]()  # place in the ring, by stamp
        self._stamp = np.zeros(CAPACITY, dtype=np.int64)
        self.gates = np.full((CAPACITY, 4, channels), np.nan, dtype=np.float32)
        self.share = np.full((CAPACITY, channels), np.nan, dtype=np.float32)
        self.salient = np.zeros((CAPACITY, channels), dtype=np.uint8)  # 0, or 1 + action
        self.broken = np.ones(CAPACITY, dtype=np.bool_)  # memory did not continue, or nobody knows
        self._states = np.full((2, 2, channels), np.nan, dtype=np.float32)  # of the last two steps
        self.home = np.full(channels, -1, dtype=np.int64)
        self.rank = np.zeros(channels, dtype=np.int64)
        self._begin_actions()

    def _begin_actions(self) -> None:
        self.scores = np.full((CAPACITY, self.actions), np.nan, dtype=np.float32)
        self._often = np.zeros((self.channels, max(self.actions, 1)), dtype=np.int64)  # salient for each, in all

    def add(self, topic: Topic, stamp_ns: int, matrix: Float32) -> None:
        """Take one part of a step; another number of channels or actions begins anew.

        Raises:
            ValueError: if it does not fit the others, is not finite or comes too late; it then was not taken.
        """
        if not np.isfinite(matrix).all():
            raise ValueError('want finite numbers, got a NaN or infinity')
        self._fit(topic, matrix)
        row = self._row(stamp_ns)
        if topic is topics.LSTM_GATES:
            self.gates[row] = matrix
        elif topic is topics.ACTION_SCORES:
            self.scores[row] = matrix[0]
        elif topic is topics.CONTRIBUTION:
            self.share[row] = matrix[0]
        elif topic is topics.SALIENT:
            self._take_salient(row, matrix[:, 0].astype(np.int64), matrix[:, 2].astype(np.int64))
        if topic in (topics.LSTM_GATES, topics.LSTM_STATE) and row == (self.count - 1) % CAPACITY:
            if topic is topics.LSTM_STATE:
                self._states[1] = matrix
            self._judge(row)

    def last(self, ring: npt.NDArray[Any], window: int, missing: Any = np.nan) -> npt.NDArray[Any]:
        """The last `window` steps of one of the rings, oldest first; `missing` where there were not so many."""
        there = min(self.count, window, CAPACITY)
        found: npt.NDArray[Any] = ring[np.arange(self.count - there, self.count) % CAPACITY]
        if there == window:
            return found
        before = np.full((window - there, *ring.shape[1:]), missing, dtype=ring.dtype)
        return np.concatenate([before, found])

    def breaks(self, window: int) -> Int64:
        """Columns of a window before which memory did not continue."""
        there = min(self.count, window)
        return np.flatnonzero(self.last(self.broken, there)) + window - there

    def _fit(self, topic: Topic, matrix: Float32) -> None:
        width = matrix.shape[1]
        if topic is topics.LSTM_GATES and width != self.channels:
            self.channels = width
            self._begin()
        elif topic is topics.ACTION_SCORES and width != self.actions:
            first, self.actions = not self.actions, width
            if first:  # what came before still holds
                self._begin_actions()
            else:
                self._begin()
        elif topic in (topics.LSTM_STATE, topics.CONTRIBUTION) and width != self.channels:
            raise ValueError(f'want {self.channels} channels as in {topics.LSTM_GATES.name}, got {width}')
        elif topic is topics.SALIENT:
            channel, action = matrix[:, 0], matrix[:, 2]
            if not (0 <= channel.min() <= channel.max() < self.channels and 0 <= action.min() <= action.max()):
                raise ValueError(f'want channels 0 to {self.channels - 1}, got {channel.tolist()}')
            if action.max() >= self.actions:
                raise ValueError(f'want actions below {self.actions} as in {topics.ACTION_SCORES.name}')

    def _row(self, stamp_ns: int) -> int:
        """The place of a step; a new one takes that of the oldest."""
        if stamp_ns in self._row_of:
            return self._row_of[stamp_ns]
        newest = int(self._stamp[(self.count - 1) % CAPACITY]) if self.count else stamp_ns
        if stamp_ns < newest - SET_BACK_NS:
            self._begin()
        elif stamp_ns < newest:
            raise ValueError('a part of a step came after the next step')
        row = self.count % CAPACITY
        if self.count >= CAPACITY:
            del self._row_of[int(self._stamp[row])]
        self._stamp[row], self._row_of[stamp_ns] = stamp_ns, row
        self.gates[row], self.share[row], self.scores[row] = np.nan, np.nan, np.nan
        self.salient[row], self.broken[row] = 0, True
        self._states[0], self._states[1] = self._states[1].copy(), np.nan
        self.count += 1
        return row

    def _judge(self, row: int) -> None:
        """Whether memory continued, once gates and state of a step are there."""
        gates, (hidden, cell), before = self.gates[row], self._states[1], self._states[0, 1]
        if all(np.isfinite(values).all() for values in (gates, hidden, cell, before)):
            relation = continuity(gates[None], hidden[None], cell[None], first_cell=before)
            self.broken[row] = relation[0] != CONTINUES

    def _take_salient(self, row: int, channel: Int64, action: Int64) -> None:
        self.salient[row, channel] = action + 1
        new = channel[self.home[channel] < 0]
        self.rank[new] = self.rank.max(initial=0) + 1 + np.arange(len(new))
        self._often[channel, action] += 1
        often, home = self._often[channel], self.home[channel]
        most, at = often.argmax(axis=1), np.arange(len(channel))
        moves = (often[at, most] >= MOVES_AT) & (often[at, most] > 2 * often[at, np.maximum(home, 0)])
        moves |= home < 0
        self.home[channel[moves]] = most[moves]
