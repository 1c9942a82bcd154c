"""An open bag and the one namespace in it that we look at; everything that can be wrong with a file as a BagError."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader

from maze_introspection.bag.check import check, metadata_text
from maze_introspection.bag.decode import cdr_stamp_ns
from maze_introspection.bag.writer import TYPES, BagError
from maze_policy import topics
from maze_policy.parameters import shown
from maze_policy.topics import Topic


@contextmanager
def open_bag(path: Path, namespace: str | None) -> Iterator[OpenBag]:
    """Open a rosbag2 folder; `namespace` is needed where it holds more than one policy.

    Raises:
        BagError: if it is missing, unfinished or damaged, or holds no policy or more than one.
    """
    check(path)
    try:
        if path.is_dir():
            metadata_text(path)
        reader = Reader(path)
        reader.open()
        _check_description(reader)
    except Exception as error:  # a damaged file shows as whatever its decoder stumbles over
        raise BagError(f'{path} is truncated, damaged or no rosbag2 folder: {error}') from error
    try:
        yield OpenBag(path, reader, namespace)
    finally:
        reader.close()


class OpenBag:
    """The topics of one namespace of an open bag."""

    def __init__(self, path: Path, reader: Reader, namespace: str | None) -> None:
        self.path = path
        self._reader = reader
        self._connections = {connection.topic: connection for connection in reader.connections}
        self.namespace = self._one_namespace(namespace)

    @property
    def custom_data(self) -> Mapping[str, str]:
        """What the recording says about itself."""
        return self._reader.storage.metadata.custom or {}

    def lists(self, topic: Topic) -> bool:
        """Whether it was recorded, with or without a message."""
        return self._connection(topic) is not None

    def count(self, topic: Topic) -> int:
        """Number of messages of a topic."""
        found = self._connection(topic)
        return sum(other.msgcount for other in self._reader.connections if found and other.topic == found.topic)

    def messages(self, wanted: tuple[Topic, ...], stamps: set[int] | None = None) -> Iterator[tuple[Topic, Any]]:
        """Each message of these topics, decoded; with `stamps` only those whose header has one of them.

        Raises:
            BagError: where the bag turns out to be damaged.
        """
        for topic, cdr in self.raw(wanted):
            try:
                message = self.decode(topic, cdr) if stamps is None or cdr_stamp_ns(cdr) in stamps else None
            except Exception as error:  # a damaged message shows as whatever its decoder stumbles over
                raise BagError(f'{self.path} is truncated or damaged: {error}') from error
            if message is not None:
                yield topic, message

    def raw(self, wanted: tuple[Topic, ...]) -> Iterator[tuple[Topic, bytes]]:
        """Each message of these topics as it was recorded, in the order of its time.

        Raises:
            BagError: where the bag turns out to be damaged.
        """
        found = {topic: self._connection(topic) for topic in wanted}
        topic_of = {connection.topic: topic for topic, connection in found.items() if connection}
        if not topic_of:  # rosbags takes an empty list for all
            return
        mine = [connection for connection in self._reader.connections if connection.topic in topic_of]
        left = Counter[str]()
        for connection in mine:
            left[connection.topic] += connection.msgcount
        try:
            for connection, _, cdr in self._reader.messages(mine):
                left[connection.topic] -= 1
                yield topic_of[connection.topic], cdr
        except Exception as error:  # a damaged file shows as whatever its decoder stumbles over
            raise BagError(f'{self.path} is truncated or damaged: {error}') from error
        for name, count in left.items():  # rosbags passes over what does not fit its metadata
            if count:
                what = f'{abs(count):,} messages {"fewer" if count > 0 else "more"} on {name} than it says'
                raise BagError(f'{self.path} is damaged: there are {what}')

    @staticmethod
    def decode(topic: Topic, cdr: bytes) -> Any:
        """The message; on a damaged one whatever its decoder stumbles over."""
        return TYPES.deserialize_cdr(cdr, topic.type)

    def _connection(self, topic: Topic) -> Connection | None:
        name = topic.name if topic.name.startswith('/') else f'{self.namespace}/{topic.name}'
        connection = self._connections.get(name)
        if connection and connection.msgtype != topic.type:
            raise BagError(f'{self.path}: want {topic.type} on {name}, got {connection.msgtype}')
        return connection

    def _one_namespace(self, wanted: str | None) -> str:
        """The one namespace that has a policy, or the wanted one, without a trailing slash."""
        suffix = '/' + topics.LSTM_GATES.name
        found = [name.removesuffix(suffix) for name in self._connections if name.endswith(suffix)]
        if not found:
            names = ', '.join(self._connections) or 'none'
            raise BagError(f'{self.path} has no topic {topics.LSTM_GATES.name}; it has: {names}')
        if wanted is None and len(found) > 1:
            raise BagError(f'{self.path} holds more than one policy; name the namespace of one: {", ".join(found)}')
        if wanted is not None and wanted.rstrip('/') not in found:
            raise BagError(f'{self.path} has no policy in namespace {wanted}; it has one in: {", ".join(found)}')
        return found[0] if wanted is None else wanted.rstrip('/')


def _check_description(reader: Reader) -> None:
    """Refuse what metadata.yaml cannot mean; rosbags takes it as it is."""
    for connection in reader.connections:
        told = connection.topic, connection.msgtype, connection.msgcount
        if [type(part) for part in told] != [str, str, int] or connection.msgcount < 0:
            raise ValueError(f'want topics by name, type and number of messages, got {shown(told)}')
    custom = reader.storage.metadata.custom or {}
    if not isinstance(custom, dict) or not all(isinstance(part, str) for pair in custom.items() for part in pair):
        raise ValueError(f'want names and texts as custom_data, got {shown(custom)}')
