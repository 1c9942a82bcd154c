"""The last steps of a policy, in memory taken once; parts of a step come on topics of their own, by stamp."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.config import IntrospectionConfig
from maze_introspection.introspection import clock_jumped
from maze_introspection.recurrence import CONTINUES, continuity
from maze_policy import topics
from maze_policy.topics import Topic

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

CAPACITY = 1800  # steps kept: a minute at 30 Hz
SET_BACK_NS = 1_000_000_000  # a step this much older than the newest: the clock was set back
MOST_CHANNELS, MOST_ACTIONS = 8192, 254  # of a policy that is shown: 0.5 GB, and what fits into a byte
MOVES_AT = 10  # a channel moves to the rows of an action seen so often, and twice as often as that of its rows
PARTS = (topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES, topics.CONTRIBUTION, topics.SALIENT)


class Steps:
    """A ring of `CAPACITY` steps of n_l channels and n_a actions; NaN where a part of a step has not come.

    Attributes:
        config: what the introspection node works with: which steps memory and clock continue to.
        count: steps since the beginning.
        home: the action in whose rows of the heat map a channel is, shape (n_l,); -1 for one that was never salient.
        rank: the order in which channels came to be salient, shape (n_l,).
    """

    def __init__(self, channels: int = 0, actions: int = 0) -> None:
        self.channels, self.actions = channels, actions
        self.config = IntrospectionConfig()
        self._begin()

    def _begin(self) -> None:
        channels = self.channels
        self.count, self._row_of = 0, dict[int, int]()  # place in the ring, by stamp
        self._stamp = np.zeros(CAPACITY, dtype=np.int64)
        self.gates = np.full((CAPACITY, 4, channels), np.nan, dtype=np.float32)
        self.share = np.full((CAPACITY, channels), np.nan, dtype=np.float32)
        self.salient = np.zeros((CAPACITY, channels), dtype=np.uint8)  # 0, or 1 + action
        self.broken = np.ones(CAPACITY, dtype=np.bool_)  # memory or clock did not continue, or nobody knows
        self._state = np.full((CAPACITY, 2, channels), np.nan, dtype=np.float32)
        self.home = np.full(channels, -1, dtype=np.int64)
        self.rank = np.zeros(channels, dtype=np.int64)
        self._begin_actions()

    def _begin_actions(self) -> None:
        self.scores = np.full((CAPACITY, self.actions), np.nan, dtype=np.float32)
        self._often = np.zeros((self.channels, max(self.actions, 1)), dtype=np.int64)  # salient for each, in all

    def add(self, topic: Topic, stamp_ns: int, matrix: Float32) -> None:
        """Take one part of a step; another number of channels or actions begins anew.

        Raises:
            ValueError: if it does not fit the others, is not finite, or comes too late or twice; it then was not taken.
        """
        if not np.isfinite(matrix).all():
            raise ValueError('want finite numbers, got a NaN or infinity')
        set_back = self.count > 0 and stamp_ns < self._newest() - SET_BACK_NS
        self._fit(topic, matrix, may_begin=set_back or stamp_ns not in self._row_of)
        row = self._row(topic, stamp_ns, set_back)
        if topic is topics.SALIENT:
            self._take_salient(row, matrix[:, 0].astype(np.int64), matrix[:, 2].astype(np.int64))
        else:
            self._ring(topic)[row] = matrix
        if topic in (topics.LSTM_GATES, topics.LSTM_STATE):
            self._judge(row)
            self._judge((row + 1) % CAPACITY)  # parts may come late

    def last(self, ring: npt.NDArray[Any], window: int, missing: Any = np.nan) -> npt.NDArray[Any]:
        """The last `window` steps of one of the rings, oldest first; `missing` where there were not so many."""
        there = min(self.count, window, CAPACITY)
        found: npt.NDArray[Any] = ring[np.arange(self.count - there, self.count) % CAPACITY]
        if there == window:
            return found
        before = np.full((window - there, *ring.shape[1:]), missing, dtype=ring.dtype)
        return np.concatenate([before, found])

    def breaks(self, window: int) -> Int64:
        """Columns of a window before which memory or clock did not continue."""
        there = min(self.count, window)
        return np.flatnonzero(self.last(self.broken, there)) + window - there

    def _ring(self, topic: Topic) -> npt.NDArray[Any]:
        """Where the parts of this topic are kept."""
        rings: dict[Topic, npt.NDArray[Any]] = {
            topics.LSTM_GATES: self.gates,
            topics.LSTM_STATE: self._state,
            topics.ACTION_SCORES: self.scores,
            topics.CONTRIBUTION: self.share,
            topics.SALIENT: self.salient,
        }
        return rings[topic]

    def _newest(self) -> int:
        return int(self._stamp[(self.count - 1) % CAPACITY])

    def _fit(self, topic: Topic, matrix: Float32, *, may_begin: bool) -> None:
        """Refuse what does not fit; another policy begins anew, but not in the middle of a step."""
        width = matrix.shape[1]
        if topic is topics.SALIENT:
            self._fit_salient(matrix)
        elif topic in (topics.LSTM_STATE, topics.CONTRIBUTION):
            if width != self.channels:
                raise ValueError(f'want {self.channels} channels as in {topics.LSTM_GATES.name}, got {width}')
        else:
            gates = topic is topics.LSTM_GATES
            known, most = (self.channels, MOST_CHANNELS) if gates else (self.actions, MOST_ACTIONS)
            if width > most:
                raise ValueError(f'want at most {most} columns, got {width}')
            if width != known and known and not may_begin:
                raise ValueError(f'want {known} columns as before, got {width} for the same step: two policies?')
            if width != known:
                self.channels, self.actions = (width, self.actions) if gates else (self.channels, width)
                self._begin() if gates or known else self._begin_actions()  # scores that come first: the rest holds

    def _fit_salient(self, matrix: Float32) -> None:
        if matrix.shape[1] != 3:
            raise ValueError(f'want 3 columns, got {matrix.shape[1]}')
        channel, action = matrix[:, 0], matrix[:, 2]
        if not (0 <= channel.min() <= channel.max() < self.channels and 0 <= action.min() <= action.max()):
            raise ValueError(f'want channels 0 to {self.channels - 1}, got {channel.min():g} to {channel.max():g}')
        if action.max() >= self.actions:
            raise ValueError(f'want actions below {self.actions} as in {topics.ACTION_SCORES.name}')

    def _row(self, topic: Topic, stamp_ns: int, set_back: bool) -> int:
        """The place of a step; a new one takes that of the oldest."""
        row = self._row_of.get(stamp_ns)
        if row is not None and not self._is_there(topic, row):
            return row
        if set_back:  # or a bag that is played in a loop
            self._begin()
        elif row is not None:
            raise ValueError('a part of a step came twice')
        elif self.count and stamp_ns < self._newest():
            raise ValueError('a part of a step came after the next step')
        row = self.count % CAPACITY
        if self.count >= CAPACITY:
            del self._row_of[int(self._stamp[row])]
        self._stamp[row], self._row_of[stamp_ns] = stamp_ns, row
        self.gates[row], self.share[row], self.scores[row], self._state[row] = np.nan, np.nan, np.nan, np.nan
        self.salient[row], self.broken[row] = 0, True
        self.count += 1
        return row

    def _is_there(self, topic: Topic, row: int) -> bool:
        """Whether this part of a step has come."""
        part = self._ring(topic)[row]
        return bool(part.any() if topic is topics.SALIENT else np.isfinite(part).all())

    def _judge(self, row: int) -> None:
        """Whether memory and clock continued, once gates and state of a step and of the one before are there."""
        before, parts = row - 1, (topics.LSTM_GATES, topics.LSTM_STATE)
        passed_ns = int(self._stamp[row] - self._stamp[before])
        if clock_jumped(passed_ns, self.config.clock_jump_s):
            return
        if all(self._is_there(part, each) for each in (row, before) for part in parts):
            step = slice(row, row + 1)
            hidden, cell = self._state[step, 0], self._state[step, 1]
            tolerance, first_cell = self.config.recurrence_tolerance, self._state[before, 1]
            relation = continuity(self.gates[step], hidden, cell, tolerance, first_cell=first_cell)
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
