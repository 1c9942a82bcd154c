"""Write a rosbag2 folder (metadata.yaml and one MCAP file) from serialized messages.

After a kill, what is missing is the open chunk, see `flush`, and metadata.yaml; `maze-introspection repair` brings it
back. `ros2 bag info` and `ros2 bag play`, `rosbags` and `mcap` read the result. Metadata version 8 is the newest that
Humble accepts too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import yaml
from rosbags.typesys import Stores, get_typestore

from maze_introspection.bag.mcap_file import McapFile
from maze_policy.topics import Topic

METADATA_VERSION = 8
CUSTOM_DATA, METADATA = 'custom_data', 'metadata.yaml'  # texts in the MCAP file
FOREVER = {'sec': 9223372036, 'nsec': 854775807}
TYPES = get_typestore(Stores.LATEST)


class BagError(ValueError):
    """A bag that cannot be read or written, and why."""


class DiskFullError(BagError):
    """The disk has less free space than was to be left."""


class Described(NamedTuple):
    """A topic of any kind: what a bag says of it."""

    type: str
    encoding: str  # of the definition: ros2msg or ros2idl
    definition: bytes
    qos: str
    type_hash: str


class BagWriter:
    """Write one bag; use it as a context manager or call `close`, else metadata.yaml is missing.

    Args:
        path: folder to make.
        custom_data: what the recording says about itself, kept in metadata.yaml; may grow until the end.
        min_free_bytes: once the disk has less free space than this, nothing more is written but the end.

    Raises:
        BagError: if the folder exists already or cannot be made.
        DiskFullError: if there is too little space to begin with.
    """

    def __init__(self, path: Path | str, custom_data: Mapping[str, str] | None = None, min_free_bytes: int = 0) -> None:
        self.path = Path(path)
        self.custom_data = dict(custom_data or {})
        self._min_free_bytes = min_free_bytes
        self._file = f'{self.path.name}_0.mcap'
        self._closed = False
        try:
            self.path.mkdir(parents=True)
            self._check_space()
            self._mcap = McapFile(self.path / self._file)
            self._mcap.add_text(CUSTOM_DATA, json.dumps(self.custom_data))
        except FileExistsError:
            raise BagError(
                f'{self.path} exists already; a bag is never overwritten: remove it or name another'
            ) from None
        except DiskFullError:
            self.path.rmdir()
            raise
        except OSError as error:
            raise BagError(f'cannot make the bag {self.path}: {error.strerror}') from error
        self._schema: dict[str, int] = {}
        self._channel: dict[str, int] = {}
        self._topic: dict[str, Described] = {}

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def count(self) -> Mapping[str, int]:
        """Messages written so far, by topic name."""
        return {name: self._mcap.count[channel] for name, channel in self._channel.items()}

    def add_topic(self, name: str, topic: Topic) -> None:
        """Announce a topic under its absolute name; also one that never gets a message is listed.

        Raises:
            BagError: if the disk refuses.
        """
        definition, _ = TYPES.generate_msgdef(topic.type, ros_version=2)
        type_hash = TYPES.hash_rihs01(topic.type)
        self.add_described(name, Described(topic.type, 'ros2msg', definition.encode(), _qos(topic), type_hash))

    def add_described(self, name: str, topic: Described) -> None:
        """`add_topic` for any other topic."""
        try:
            if topic.type not in self._schema:
                self._schema[topic.type] = self._mcap.add_schema(topic.type, topic.encoding, topic.definition)
            about = {'offered_qos_profiles': topic.qos, 'topic_type_hash': topic.type_hash}
            self._channel[name] = self._mcap.add_channel(name, 'cdr', self._schema[topic.type], about)
        except OSError as error:
            raise self._refused(error) from error
        self._topic[name] = topic

    def write(
        self, name: str, cdr: bytes | memoryview, log_time_ns: int, publish_time_ns: int, sequence: int | None = None
    ) -> None:
        """Append one serialized message; `sequence` counts those of a topic, and does so by itself.

        Raises:
            BagError: if the topic was not announced or the disk refuses.
            DiskFullError: if the disk is as full as it may get; the message is written.
        """
        if name not in self._channel:
            raise BagError(f'{self.path} has no topic {name}; it has: {", ".join(self._channel)}')
        channel = self._channel[name]
        if sequence is None:
            sequence = self._mcap.count[channel]
        try:
            written = self._mcap.write(channel, sequence, log_time_ns, publish_time_ns, bytes(cdr))
        except OSError as error:
            raise self._refused(error) from error
        if written:
            self._check_space()

    def flush(self) -> None:
        """Close the open chunk: a kill cannot take it any more. Called often it makes small chunks.

        Raises:
            BagError: if the disk refuses.
            DiskFullError: if the disk is as full as it may get; the chunk is written.
        """
        try:
            written = self._mcap.close_chunk()
        except OSError as error:
            raise self._refused(error) from error
        if written:
            self._check_space()

    def close(self) -> None:
        """Finish the MCAP file and write metadata.yaml; a second call does nothing.

        Raises:
            BagError: if the disk refuses; what was written before can be repaired.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._mcap.close_chunk()
            text = yaml.dump({'rosbag2_bagfile_information': self._metadata()}, Dumper=_NoAliases, sort_keys=False)
            self._mcap.add_text(METADATA, text)
            self._mcap.finish()
            unfinished = self.path / f'{METADATA}.part'
            unfinished.write_text(text)
            unfinished.replace(self.path / METADATA)
        except OSError as error:
            self._mcap.close()
            raise BagError(
                f'cannot finish the bag {self.path}: {error.strerror}; all but its last chunk is there: '
                f'`maze-introspection repair {self.path}`'
            ) from error

    def _check_space(self) -> None:
        if not self._min_free_bytes:
            return
        try:
            disk = os.statvfs(self.path)
        except OSError as error:  # the folder has gone, or what it was on
            raise self._refused(error) from error
        free = disk.f_bavail * disk.f_frsize
        if free < self._min_free_bytes:
            raise DiskFullError(
                f'the disk of {self.path} is full: {free / 1e6:.1f} MB are free, '
                f'{self._min_free_bytes / 1e6:g} MB are to stay so'
            )

    def _refused(self, error: OSError) -> BagError:
        return BagError(f'cannot write to the bag {self.path}: {error.strerror}')

    def _metadata(self) -> dict[str, object]:
        messages = self._mcap.count.total()
        start = {'nanoseconds_since_epoch': self._mcap.start_ns}
        duration = {'nanoseconds': self._mcap.end_ns - self._mcap.start_ns}
        return {
            'version': METADATA_VERSION,
            'storage_identifier': 'mcap',
            'duration': duration,
            'starting_time': start,
            'message_count': messages,
            'topics_with_message_count': [
                {
                    'topic_metadata': {
                        'name': name,
                        'type': topic.type,
                        'serialization_format': 'cdr',
                        'offered_qos_profiles': topic.qos,
                        'type_description_hash': topic.type_hash,
                    },
                    'message_count': self.count[name],
                }
                for name, topic in self._topic.items()
            ],
            'compression_format': '',
            'compression_mode': '',
            'relative_file_paths': [self._file],
            'files': [
                {
                    'path': self._file,
                    'starting_time': dict(start),
                    'duration': dict(duration),
                    'message_count': messages,
                }
            ],
            'custom_data': self.custom_data,
            'ros_distro': os.environ.get('ROS_DISTRO', 'rosbags'),
        }


def _qos(topic: Topic) -> str:
    """The topic's QoS as metadata up to version 8 holds it: YAML in a string, rmw's enum numbers."""
    keep_last, reliable, automatic = 1, 1, 1
    transient_local, volatile = 1, 2
    profile = {
        'history': keep_last,
        'depth': topic.depth,
        'reliability': reliable,
        'durability': transient_local if topic.latched else volatile,
        'deadline': FOREVER,
        'lifespan': FOREVER,
        'liveliness': automatic,
        'liveliness_lease_duration': FOREVER,
        'avoid_ros_namespace_conventions': False,
    }
    return yaml.dump([profile], Dumper=_NoAliases, sort_keys=False)


class _NoAliases(yaml.SafeDumper):
    """rosbag2's reader knows no YAML anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True
