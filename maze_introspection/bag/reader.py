"""Bag -> Recording."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.bag.access import OpenBag, open_bag
from maze_introspection.bag.decode import introspection_parameters, matrix, pixels, stamp_ns
from maze_introspection.bag.writer import BagError
from maze_introspection.config import IntrospectionConfig
from maze_introspection.recording import LIVE_OFFSET, Live, Recording
from maze_policy import topics
from maze_policy.maze import Maze
from maze_policy.topics import Topic

Float32 = npt.NDArray[np.float32]
Stamps = npt.NDArray[np.int64]
Pairs = dict[int, tuple[float, float]]


def read_recording(path: Path | str, namespace: str | None = None) -> Recording:
    """Read all policy steps of a bag in one pass; pictures stay on disk, see `read_images`.

    A step counts when its gates, state and scores are all there under one stamp; the gap that a missing part leaves is
    found by the LSTM recurrence later.

    Args:
        path: rosbag2 folder (MCAP or SQLite).
        namespace: of the policy, such as `/maze`; needed only where the bag holds more than one.

    Raises:
        BagError: if it is no readable bag, lacks our topics, or its matrices do not fit each other.
    """
    path = Path(path)
    with open_bag(path, namespace) as bag:
        said = _Said(bag)
        for topic, message in bag.messages(_Said.TOPICS):
            said.take(topic, message)
        maze = _maze(path, bag.custom_data)
    readout = said.checked_readout()
    stamps = said.stamps()
    hidden_cell = said.state.at(stamps)
    episode, episode_ids = _episodes(said.episodes, stamps)
    try:
        return Recording(
            stamp_ns=stamps,
            gates=said.gates.at(stamps),
            hidden=hidden_cell[:, 0],
            cell=hidden_cell[:, 1],
            scores=said.scores.at(stamps)[:, 0],
            readout=readout,
            episode=episode,
            episode_ids=episode_ids,
            tilt_rad=_aligned(said.tilt_rad, stamps),
            ball_m=_aligned(said.ball_m, stamps),
            maze=maze,
            begins_late=said.begins_late(),
            live=_live(said, stamps) if said.share.stamps else None,
            source=str(path),
        )
    except ValueError as error:
        raise BagError(str(error)) from error


def read_images(
    path: Path | str, topic: Topic, stamps_ns: Iterable[int], namespace: str | None = None
) -> dict[int, npt.NDArray[np.uint8]]:
    """The 8-bit images of a topic at these stamps: mono8 (H, W) or rgb8 (H, W, 3); a stamp without one is left out.

    Raises:
        BagError: if it is no readable bag.
    """
    return dict(images(path, topic, stamps_ns, namespace))


def images(
    path: Path | str, topic: Topic, stamps_ns: Iterable[int], namespace: str | None = None
) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """The images of `read_images` one by one, as (stamp, image): a long recording's do not fit into memory together."""
    path, wanted = Path(path), {int(stamp) for stamp in stamps_ns}
    with open_bag(path, namespace) as bag:
        for _, message in bag.messages((topic,), wanted):
            yield stamp_ns(message.header), pixels(path, topic, message)


class _Said:
    """What the messages of a bag say, gathered as they come."""

    TOPICS = (
        topics.LSTM_GATES,
        topics.LSTM_STATE,
        topics.ACTION_SCORES,
        topics.READOUT,
        topics.EPISODE,
        topics.TILT_COMMAND,
        topics.BALL,
        topics.CONTRIBUTION,
        topics.PRECEDING_OFFSET,
        topics.DIAGNOSTICS,
    )

    def __init__(self, bag: OpenBag) -> None:
        self.path, self._namespace = bag.path, bag.namespace
        self.gates = _Matrices(bag, topics.LSTM_GATES, rows=4)
        self.state = _Matrices(bag, topics.LSTM_STATE, rows=2)
        self.scores = _Matrices(bag, topics.ACTION_SCORES, rows=1)
        self.share = _Matrices(bag, topics.CONTRIBUTION, rows=1)
        self._matrices = {matrices.topic: matrices for matrices in (self.gates, self.state, self.scores, self.share)}
        self.offsets: dict[int, Float32] = {}
        self.readouts: list[Float32] = []
        self.episodes: dict[int, str] = {}
        self.tilt_rad: Pairs = {}
        self.ball_m: Pairs = {}
        self.parameters: dict[int, dict[str, float]] = {}  # by the stamp since which they hold; 0: the node did not say

    def take(self, topic: Topic, message: Any) -> None:
        if topic is topics.EPISODE:
            self.episodes[stamp_ns(message)] = message.frame_id
            return
        stamp = stamp_ns(message.header)
        if topic in self._matrices:
            self._matrices[topic].add(stamp, matrix(self.path, topic, message))
        elif topic is topics.READOUT:
            self.readouts.append(matrix(self.path, topic, message))
        elif topic is topics.PRECEDING_OFFSET:
            self.offsets[stamp] = matrix(self.path, topic, message)
        elif topic is topics.TILT_COMMAND:
            self.tilt_rad[stamp] = (message.vector.x, message.vector.y)
        elif topic is topics.BALL:
            self.ball_m[stamp] = (message.point.x, message.point.y)
        elif topic is topics.DIAGNOSTICS:
            since, told = introspection_parameters(message, self._namespace)
            if told and since is None:
                self.parameters.setdefault(0, told)
            elif told:
                self.parameters[int(since or 0)] = told

    def stamps(self) -> Stamps:
        """Stamps of the steps of which all that is required is there."""
        return np.intersect1d(np.intersect1d(self.gates.stamps, self.state.stamps), self.scores.stamps)

    def begins_late(self) -> bool:
        """Whether the first episode began before anything of it was recorded, or nobody knows when."""
        parts = (self.gates.stamps, self.state.stamps, self.scores.stamps, self.tilt_rad, self.ball_m)
        heard_since = min((min(stamps) for stamps in parts if stamps), default=0)
        return min(self.episodes, default=-1) < heard_since

    def checked_readout(self) -> Float32:
        """The one readout, if everything else has as many channels and actions."""
        if not self.readouts:
            raise BagError(
                f'{self.path} holds no message on {topics.READOUT.name}; want [W_a | b] to explain the scores'
            )
        readout = self.readouts[0]
        if any(not np.array_equal(other, readout) for other in self.readouts):
            raise BagError(f'{self.path} holds different readouts; want one policy per bag')
        channels = self.gates.columns
        for name, got, want in (
            (topics.LSTM_STATE.name, self.state.columns, channels),
            (topics.READOUT.name, readout.shape[1], channels + 1),
            (topics.ACTION_SCORES.name, self.scores.columns, readout.shape[0]),
            (topics.CONTRIBUTION.name, self.share.columns if self.share.stamps else channels, channels),
        ):
            if got != want:
                raise BagError(f'{self.path}: want {want} columns in {name} to match lstm_gates and readout, got {got}')
        return readout


class _Matrices:
    """The matrices of one topic, filled into one array as they come: an hour is in memory only once."""

    def __init__(self, bag: OpenBag, topic: Topic, rows: int) -> None:
        self.path, self.topic, self.rows, self.count = bag.path, topic, rows, bag.count(topic)
        self.stamps: list[int] = []
        self.values: Float32 = np.empty((0, rows, 0), dtype=np.float32)

    @property
    def columns(self) -> int:
        if not self.stamps:
            raise BagError(f'{self.path} holds no message on {self.topic.name}')
        return int(self.values.shape[2])

    def add(self, stamp: int, values: Float32) -> None:
        if not self.stamps:
            if values.shape[0] != self.rows:
                raise BagError(f'{self.path}: want {self.rows} rows in {self.topic.name}, got {values.shape[0]}')
            self.values = np.empty((self.count, *values.shape), dtype=np.float32)
        if values.shape != self.values.shape[1:] or len(self.stamps) == len(self.values):
            raise BagError(
                f'{self.path}: want {len(self.values)} matrices of {self.values.shape[1:]} on {self.topic.name}, '
                f'got number {len(self.stamps) + 1} of {values.shape}'
            )
        self.values[len(self.stamps)] = values
        self.stamps.append(stamp)

    def at(self, stamps: npt.NDArray[np.int64]) -> Float32:
        """Those with these stamps, in their order; without a copy where that is all of them already."""
        mine = np.array(self.stamps)
        if len(np.unique(mine)) < len(mine):
            raise BagError(f'{self.path}: a stamp comes twice on {self.topic.name}; want one policy per namespace')
        if np.array_equal(mine, stamps):
            return self.values[: len(mine)]
        order = np.argsort(mine)
        return self.values[order[np.searchsorted(mine, stamps, sorter=order)]]


def _episodes(began: dict[int, str], stamps: npt.NDArray[np.int64]) -> tuple[Stamps, tuple[str, ...]]:
    """Episode of each step: the last one that began at or before it."""
    known = sorted(began.items())
    if len(stamps) and (not known or stamps[0] < known[0][0]):
        known.insert(0, (int(stamps[0]), 'unnamed'))
    index = np.searchsorted(np.array([stamp for stamp, _ in known], dtype=np.int64), stamps, side='right') - 1
    present = np.unique(index)
    return np.searchsorted(present, index), tuple(known[which][1] for which in present)


def _live(said: _Said, stamps: Stamps) -> Live:
    """What the introspection node said, on the steps that are there."""
    both = np.intersect1d(np.array(said.share.stamps), stamps)
    share = np.full((len(stamps), said.share.columns), np.nan, dtype=np.float32)
    share[np.searchsorted(stamps, both)] = said.share.at(both)[:, 0]
    parts = [np.empty(0, dtype=LIVE_OFFSET)]
    for stamp, rows in sorted(said.offsets.items()):
        if rows.shape[1] != len(topics.OFFSET_COLUMNS):
            want = len(topics.OFFSET_COLUMNS)
            raise BagError(f'{said.path}: want {want} columns in {topics.PRECEDING_OFFSET.name}, got {rows.shape[1]}')
        step = int(np.searchsorted(stamps, stamp))
        if step < len(stamps) and stamps[step] == stamp:
            part = np.empty(len(rows), dtype=LIVE_OFFSET)
            part['step'] = step
            for column, name in enumerate(topics.OFFSET_COLUMNS):
                part[name] = rows[:, column]
            parts.append(part)
    since = sorted({0, *said.parameters})
    try:
        configs = tuple(IntrospectionConfig.from_dict(said.parameters.get(stamp, {})) for stamp in since)
    except ValueError as error:
        raise BagError(f'{said.path}: the introspection node says of its parameters: {error}') from error
    config_of = np.searchsorted(np.array(since), stamps, side='right') - 1
    return Live(share, np.concatenate(parts), configs, config_of)


def _maze(path: Path, custom: Mapping[str, str]) -> Maze | None:
    text = custom.get('maze')
    try:
        return Maze.from_dict(json.loads(text)) if text else None
    except (ValueError, TypeError, RecursionError) as error:
        raise BagError(f'{path}: the maze in its metadata is wrong: {error}') from error


def _aligned(values: dict[int, tuple[float, float]], stamps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    pairs = [values.get(stamp, (np.nan, np.nan)) for stamp in stamps.tolist()]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)
