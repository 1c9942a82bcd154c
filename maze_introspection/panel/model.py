"""What the panel shows, from what was heard. No Qt, no ROS.

Messages are added by one thread and views asked for by another, under one lock. Nothing grows while a policy plays. A
view that cannot be is a sentence that says why.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maze_introspection.config import IntrospectionConfig, told_parameters
from maze_introspection.offset import Rows, step_offsets
from maze_introspection.panel.steps import CAPACITY, Steps
from maze_policy import topics
from maze_policy.policy import GATE_NAMES
from maze_policy.topics import Topic

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]

Project = Callable[[Float64, tuple[int, ...]], tuple[float, float]]

BALLS = 60  # balls kept until their picture comes
BIN_MM, FAR_BIN, LONG = 2, 125, 600  # bins of the histogram; what is further or longer goes into the last one
INTROSPECTION = 'introspection'  # the node's name
RECENT = 10  # steps in which a part must have come to be shown as the present


class HeatMap(NamedTuple):
    """Figure 2, live. `pixels` is 0 where a channel is not salient, else 1 + action, shape (rows, window)."""

    pixels: UInt8
    channels: Int64  # of each row
    home: Int64  # the action that each row stands with
    breaks: Int64  # columns before which memory did not continue
    actions: int


class ChannelView(NamedTuple):
    """Figure 5, live: one channel over the window; NaN where a step has not come."""

    gates: Float32  # (window, 4)
    share: Float32  # (window,)
    salient: npt.NDArray[np.bool_]  # (window,)
    offsets: Rows  # dtype `OFFSET`, observed ones; t0 and t in columns of the window, t0 may lie before it
    breaks: Int64
    theta_g: float


class Histogram(NamedTuple):
    """Figure 6, live: counts by (offset in steps, distance in bins of `BIN_MM`)."""

    counts: Int64
    censored: int
    unplaced: int  # observed ones without a ball position


class Scores(NamedTuple):
    """The action scores of one step, and the largest absolute one of all that are kept."""

    scores: Float32  # (actions,)
    largest: float


class Picture(NamedTuple):
    """A camera image, and where the ball is in it, px; None where that is not known."""

    image: UInt8
    ball_px: tuple[float, float] | None


class Said(NamedTuple):
    """What a node last said on /diagnostics."""

    level: int
    summary: str
    values: dict[str, str]


class PanelModel:
    """Everything that was heard, as far as it is shown.

    Attributes:
        nodes: what each node last said, by its name in the namespace.
        version: grows with every message.
        heard: messages taken, by topic.
        refused: why the last message of a topic was not taken.
        ball_m: where the ball was last, in the maze frame.
        project: from a place in the maze, m, and the height and width of an image to the pixel x, y; None: not known.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.nodes: dict[str, Said] = {}
        self.version = 0
        self.heard: Counter[str] = Counter()
        self.refused: dict[str, str] = {}
        self.episode = ''
        self.ball_m: Float64 | None = None
        self.project: Project | None = None
        self._steps = Steps()
        self._since: int | None = None  # the step from which on the histogram's thresholds hold
        self._pictures: deque[tuple[int, UInt8]] = deque(maxlen=2)
        self._balls: dict[int, Float64] = {}
        self._begin_histogram()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != 'lock'}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.RLock())

    def snapshot(self) -> PanelModel:
        """A copy that stands still."""
        with self.lock:
            return copy.deepcopy(self)

    # What is heard.

    def hear(self, topic: Topic) -> None:
        """Count a message that was taken."""
        with self.lock:
            self.version += 1
            self.heard[topic.name] += 1
            self.refused.pop(topic.name, None)

    def refuse(self, topic: Topic, why: str) -> None:
        """Note why a message was not taken."""
        with self.lock:
            self.version += 1
            self.refused[topic.name] = why

    def add(self, topic: Topic, stamp_ns: int, matrix: Float32) -> None:
        """Take one part of a step, or offsets.

        Raises:
            ValueError: if it does not fit the others, is not finite or comes too late; it then was not taken.
        """
        with self.lock:
            if topic is topics.PRECEDING_OFFSET:
                self._add_offsets(matrix)
                return
            channels = self._steps.channels
            self._steps.add(topic, stamp_ns, matrix)
            if self._steps.channels != channels:  # another policy
                self._begin_histogram()

    def add_ball(self, stamp_ns: int, ball_m: Float64) -> None:
        """Take the ball's place in the maze frame, m."""
        with self.lock:
            self.ball_m = self._balls[stamp_ns] = ball_m
            while len(self._balls) > BALLS:
                del self._balls[next(iter(self._balls))]

    def add_picture(self, stamp_ns: int, image: UInt8) -> None:
        """Take a camera image, rgb8."""
        with self.lock:
            self._pictures.append((stamp_ns, image))

    def add_node(self, name: str, said: Said) -> None:
        """Take what a node says; where the introspection node has other thresholds, the histogram begins anew.

        Raises:
            ValueError: if what it says of its parameters cannot be; it then was not taken.
        """
        since, told = told_parameters(said.values if name == INTROSPECTION else {})
        config = IntrospectionConfig.from_dict(told)
        with self.lock:
            self.nodes[name] = said
            if told:
                self._steps.config = config
            if since not in (None, self._since):
                self._since = since
                self._begin_histogram()

    # What is shown.

    @property
    def channels(self) -> int:
        """Channels of the policy; 0 before it was heard."""
        return self._steps.channels

    @property
    def config(self) -> IntrospectionConfig:
        """What the introspection node works with; the defaults before it was heard."""
        return self._steps.config

    def heat_map(self, window: int) -> HeatMap | str:
        """Salient channels of the last `window` steps; rows keep their order, new ones come last in their group."""
        with self.lock:
            steps = self._steps
            if why := self._nothing(topics.LSTM_GATES) or self._nothing(topics.CONTRIBUTION):
                return why
            rows = np.lexsort((steps.rank, steps.home))
            rows = rows[steps.home[rows] >= 0]
            if not len(rows):
                return f'No channel has been salient in {steps.count} steps.'
            pixels = np.ascontiguousarray(steps.last(steps.salient, window, 0)[:, rows].T)
            return HeatMap(pixels, rows, steps.home[rows], steps.breaks(window), steps.actions)

    def channel(self, which: int, gate: int, window: int) -> ChannelView | str:
        """One channel of the last `window` steps, with the offsets of one gate per salient step."""
        with self.lock:
            steps, kept = self._steps, min(self._steps.count, CAPACITY)
            if why := self._nothing(topics.LSTM_GATES):
                return why
            if not 0 <= which < steps.channels:
                return f'There is no channel {which}: the policy has channels 0 to {steps.channels - 1}.'
            if steps.count == 1:
                return 'One step so far; a curve needs two.'
            of_gate = steps.last(steps.gates[:, gate, which], kept)
            salient = steps.last(steps.salient[:, which], kept) > 0
            begins = steps.last(steps.broken, kept)
            gate_or_0 = np.nan_to_num(of_gate)[:, None]
            offsets = step_offsets(gate_or_0, salient[:, None], self.config.theta_g, begins=begins)
            offsets = offsets[~offsets['censored'] & (offsets['t'] >= kept - window)]
            offsets['t'] += window - kept
            offsets['t0'] += window - kept
            return ChannelView(
                steps.last(steps.gates[:, :, which], window),
                steps.last(steps.share[:, which], window),
                steps.last(steps.salient[:, which], window, 0) > 0,
                offsets,
                steps.breaks(window),
                self.config.theta_g,
            )

    def histogram(self, gate: int) -> Histogram | str:
        """Offsets of one gate against the ball's distance, since the thresholds came to hold."""
        with self.lock:
            found = Histogram(self._counts[gate], int(self._censored[gate]), int(self._unplaced[gate]))
            if not found.counts.any():
                if why := self._nothing(topics.LSTM_GATES) or self._nothing(topics.CONTRIBUTION):
                    return why
                if found.unplaced:
                    return f'{found.unplaced} offsets, but no ball on {topics.BALL.name} at any of them.'
                return f'No preceding offset of the {GATE_NAMES[gate]} gate yet ({found.censored} censored).'
            long, far = (int(np.flatnonzero(found.counts.any(axis=axis))[-1]) + 1 for axis in (1, 0))
            return found._replace(counts=found.counts[: max(long, 10), : max(far, 50)].copy())

    def scores(self) -> Scores | str:
        """Action scores of the last step that has them."""
        with self.lock:
            if why := self._nothing(topics.ACTION_SCORES):
                return why
            scores = self._steps.scores
            last = self._steps.last(scores, min(self._steps.count, RECENT))
            there = np.flatnonzero(np.isfinite(last).all(axis=1))
            if not len(there):
                return f'No {topics.ACTION_SCORES.name} for {RECENT} steps.'
            return Scores(last[there[-1]], float(np.fmax.reduce(np.abs(scores), axis=None)))

    def picture(self) -> Picture | str:
        """The newest camera image; the one before, if that alone has its ball already."""
        with self.lock:
            if not self._pictures:
                return self._nothing(topics.CAMERA_IMAGE)
            with_ball = [found for found in reversed(self._pictures) if found[0] in self._balls]
            stamp_ns, image = (with_ball or [self._pictures[-1]])[0]
            ball_m = self._balls.get(stamp_ns)
            if ball_m is None or self.project is None or not np.isfinite(ball_m).all():
                return Picture(image, None)
            return Picture(image, self.project(ball_m, image.shape[:2]))

    def _nothing(self, topic: Topic) -> str:
        """Why a topic has nothing to show yet; empty if it has."""
        if self.heard[topic.name]:
            return ''
        if topic.name in self.refused:
            return f'{topic.name} is refused: {self.refused[topic.name]}.'
        speakers = ' or '.join(name for name, given in topics.GIVEN_BY.items() if topic in given)
        return f'Nothing on {topic.name} yet; it comes from {speakers}.'

    def _begin_histogram(self) -> None:
        self._counts = np.zeros((4, LONG + 1, FAR_BIN + 1), dtype=np.int64)
        self._censored, self._unplaced = np.zeros((2, 4), dtype=np.int64)

    def _add_offsets(self, matrix: Float32) -> None:
        if matrix.shape[1] != len(topics.OFFSET_COLUMNS):
            raise ValueError(f'want {len(topics.OFFSET_COLUMNS)} columns, got {matrix.shape[1]}')
        gate, offset, distance_m, censored = (
            matrix[:, topics.OFFSET_COLUMNS.index(name)] for name in ('gate', 'offset', 'distance_m', 'censored')
        )
        wrong = ~np.isin(gate, list(GATE_NAMES)) | ~(offset >= 0) | (distance_m < 0)  # a distance may be NaN
        if wrong.any():
            got = matrix[wrong][0].tolist()
            raise ValueError(f'want gates {list(GATE_NAMES)}, offsets and distances from 0, got {got}')
        which, placed = gate.astype(np.int64), np.isfinite(distance_m)
        np.add.at(self._censored, which[censored != 0], 1)
        np.add.at(self._unplaced, which[(censored == 0) & ~placed], 1)
        keep = (censored == 0) & placed
        where = np.minimum(distance_m[keep] * 1000 / BIN_MM, FAR_BIN).astype(np.int64)
        np.add.at(self._counts, (which[keep], np.minimum(offset[keep], LONG).astype(np.int64), where), 1)
