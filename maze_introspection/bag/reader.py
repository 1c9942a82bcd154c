"""Bag -> Recording."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader

from maze_introspection.bag.decode import cdr_stamp_ns, introspection_parameters, matrix, pixels, stamp_ns
from maze_introspection.bag.writer import TYPES, BagError
from maze_introspection.config import IntrospectionConfig
from maze_introspection.recording import LIVE_OFFSET, Live, Recording
from maze_policy import topics
from maze_policy.maze import Maze
from maze_policy.topics import Topic

Float32 = npt.NDArray[np.float32]

# What makes a Recording; pictures are read one by one when a figure asks for them.
_READ = (
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
    with _opened(path) as reader:
        namespace = _namespace(path, reader, namespace)
        connections = _connections(path, reader, namespace, _READ)
        count = {topic: connection.msgcount for topic, connection in connections.items()}
        gates, state, scores, share = (
            _Matrices(path, topic, rows, count.get(topic, 0))
            for topic, rows in (
                (topics.LSTM_GATES, 4),
                (topics.LSTM_STATE, 2),
                (topics.ACTION_SCORES, 1),
                (topics.CONTRIBUTION, 1),
            )
        )
        collectors = {matrices.topic: matrices for matrices in (gates, state, scores, share)}
        readouts: list[Float32] = []
        episodes: dict[int, str] = {}
        tilt: dict[int, tuple[float, float]] = {}
        ball: dict[int, tuple[float, float]] = {}
        offsets: dict[int, Float32] = {}
        thresholds: dict[str, float] = {}
        for topic, message in _messages(path, reader, connections):
            if topic is topics.EPISODE:
                episodes[stamp_ns(message)] = message.frame_id
                continue
            stamp = stamp_ns(message.header)
            if topic in collectors:
                collectors[topic].add(stamp, matrix(path, topic, message))
            elif topic is topics.READOUT:
                readouts.append(matrix(path, topic, message))
            elif topic is topics.TILT_COMMAND:
                tilt[stamp] = (message.vector.x, message.vector.y)
            elif topic is topics.BALL:
                ball[stamp] = (message.point.x, message.point.y)
            elif topic is topics.PRECEDING_OFFSET:
                offsets[stamp] = matrix(path, topic, message)
            elif topic is topics.DIAGNOSTICS:
                thresholds |= introspection_parameters(message, namespace)
        maze = _maze(path, reader.storage.metadata.custom)

    if not readouts:
        raise BagError(f'{path} holds no message on {topics.READOUT.name}; want [W_a | b] to explain the scores')
    readout = readouts[0]
    if any(not np.array_equal(other, readout) for other in readouts):
        raise BagError(f'{path} holds different readouts; want one policy per bag')
    channels = gates.columns
    for name, got, want in (
        (topics.LSTM_STATE.name, state.columns, channels),
        (topics.READOUT.name, readout.shape[1], channels + 1),
        (topics.ACTION_SCORES.name, scores.columns, readout.shape[0]),
        (topics.CONTRIBUTION.name, share.columns if share.stamps else channels, channels),
    ):
        if got != want:
            raise BagError(f'{path}: want {want} columns in {name} to match lstm_gates and readout, got {got}')
    stamps = np.intersect1d(np.intersect1d(gates.stamps, state.stamps), scores.stamps)
    hidden_cell = state.at(stamps)
    episode, episode_ids = _episodes(episodes, stamps)
    try:
        return Recording(
            stamp_ns=stamps,
            gates=gates.at(stamps),
            hidden=hidden_cell[:, 0],
            cell=hidden_cell[:, 1],
            scores=scores.at(stamps)[:, 0],
            readout=readout,
            episode=episode,
            episode_ids=episode_ids,
            tilt_rad=_aligned(tilt, stamps),
            ball_m=_aligned(ball, stamps),
            maze=maze,
            live=_live(path, share, offsets, stamps, thresholds) if share.stamps else None,
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
    path, wanted = Path(path), {int(stamp) for stamp in stamps_ns}
    with _opened(path) as reader:
        connections = _connections(path, reader, _namespace(path, reader, namespace), (topic,))
        return {
            stamp_ns(message.header): pixels(path, topic, message)
            for _, message in _messages(path, reader, connections, wanted)
        }


@contextmanager
def _opened(path: Path) -> Iterator[Reader]:
    if not path.exists():
        raise BagError(f'there is no bag {path}')
    if path.is_dir() and not (path / 'metadata.yaml').exists():
        raise BagError(f'{path} is no finished bag: want a rosbag2 folder with metadata.yaml in it')
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # a damaged file shows as whatever its decoder stumbles over
        raise BagError(f'{path} is truncated, damaged or no rosbag2 folder: {error}') from error
    try:
        yield reader
    finally:
        reader.close()


def _namespace(path: Path, reader: Reader, wanted: str | None) -> str:
    """The one namespace that has a policy, or the wanted one, without a trailing slash."""
    names = [connection.topic for connection in reader.connections]
    suffix = '/' + topics.LSTM_GATES.name
    found = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
    if not found:
        raise BagError(f'{path} has no topic {topics.LSTM_GATES.name}; it has: {", ".join(names) or "none"}')
    if wanted is None and len(found) > 1:
        raise BagError(f'{path} holds more than one policy; name the namespace of one: {", ".join(found)}')
    if wanted is not None and wanted.rstrip('/') not in found:
        raise BagError(f'{path} has no policy in namespace {wanted}; it has one in: {", ".join(found)}')
    return found[0] if wanted is None else wanted.rstrip('/')


def _connections(path: Path, reader: Reader, namespace: str, wanted: Iterable[Topic]) -> dict[Topic, Connection]:
    """Those of the wanted topics that the bag has."""
    names = {connection.topic: connection for connection in reader.connections}
    found = {}
    for topic in wanted:
        connection = names.get(topic.name if topic.name.startswith('/') else f'{namespace}/{topic.name}')
        if connection is None:
            continue
        if connection.msgtype != topic.type:
            raise BagError(f'{path}: want {topic.type} on {connection.topic}, got {connection.msgtype}')
        found[topic] = connection
    return found


def _messages(
    path: Path, reader: Reader, connections: Mapping[Topic, Connection], stamps: set[int] | None = None
) -> Iterator[tuple[Topic, Any]]:
    """Each message of these topics, decoded; with `stamps` only those that have one of them."""
    topic_of = {connection.topic: topic for topic, connection in connections.items()}
    if not topic_of:  # rosbags takes an empty list for all
        return
    try:
        for connection, _, cdr in reader.messages(list(connections.values())):
            if stamps is None or cdr_stamp_ns(cdr) in stamps:
                yield topic_of[connection.topic], TYPES.deserialize_cdr(cdr, connection.msgtype)
    except Exception as error:  # a damaged file shows as whatever its decoder stumbles over
        raise BagError(f'{path} is truncated or damaged: {error}') from error


class _Matrices:
    """The matrices of one topic, filled into one array as they come: an hour is in memory only once."""

    def __init__(self, path: Path, topic: Topic, rows: int, count: int) -> None:
        self.path, self.topic, self.rows, self.count = path, topic, rows, count
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


def _episodes(began: dict[int, str], stamps: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Episode of each step: the last one that began at or before it."""
    known = sorted(began.items())
    if len(stamps) and (not known or stamps[0] < known[0][0]):
        known.insert(0, (int(stamps[0]), 'unnamed'))
    index = np.searchsorted(np.array([stamp for stamp, _ in known], dtype=np.int64), stamps, side='right') - 1
    present = np.unique(index)
    return np.searchsorted(present, index), tuple(known[which][1] for which in present)


def _live(
    path: Path,
    share: _Matrices,
    offsets: Mapping[int, Float32],
    stamps: npt.NDArray[np.int64],
    thresholds: Mapping[str, float],
) -> Live:
    """What the introspection node said, on the steps that are there."""
    both = np.intersect1d(np.array(share.stamps), stamps)
    aligned = np.full((len(stamps), share.columns), np.nan, dtype=np.float32)
    aligned[np.searchsorted(stamps, both)] = share.at(both)[:, 0]
    parts = [np.empty(0, dtype=LIVE_OFFSET)]
    for stamp, rows in sorted(offsets.items()):
        if rows.shape[1] != len(topics.OFFSET_COLUMNS):
            want = len(topics.OFFSET_COLUMNS)
            raise BagError(f'{path}: want {want} columns in {topics.PRECEDING_OFFSET.name}, got {rows.shape[1]}')
        step = int(np.searchsorted(stamps, stamp))
        if step < len(stamps) and stamps[step] == stamp:
            part = np.empty(len(rows), dtype=LIVE_OFFSET)
            part['step'] = step
            for column, name in enumerate(topics.OFFSET_COLUMNS):
                part[name] = rows[:, column]
            parts.append(part)
    try:
        config = IntrospectionConfig.from_dict(thresholds)
    except ValueError as error:
        raise BagError(f'{path}: the introspection node says of its parameters: {error}') from error
    return Live(aligned, np.concatenate(parts), config)


def _maze(path: Path, custom: dict[str, str] | None) -> Maze | None:
    text = (custom or {}).get('maze')
    try:
        return Maze.from_dict(json.loads(text)) if text else None
    except ValueError as error:
        raise BagError(f'{path}: the maze in its metadata is wrong: {error}') from error


def _aligned(values: dict[int, tuple[float, float]], stamps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    pairs = [values.get(stamp, (np.nan, np.nan)) for stamp in stamps.tolist()]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)
