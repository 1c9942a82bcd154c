"""Write a rosbag2 folder (metadata.yaml and one MCAP file) from serialized messages.

Small chunks with a CRC each, flushed one by one: after a kill, what is missing is the last chunk. `ros2 bag info` and
`ros2 bag play`, `rosbags` and `mcap` read the result. Metadata version 8 is the newest that Humble accepts too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import yaml
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_typestore

from maze_policy.topics import Topic

METADATA_VERSION = 8
CHUNK_BYTES = 64 * 1024
FOREVER = {'sec': 9223372036, 'nsec': 854775807}
TYPES = get_typestore(Stores.LATEST)


class BagError(ValueError):
    """A bag that cannot be read or written, and why."""


class BagWriter:
    """Write one bag; use it as a context manager or call `close`, else metadata.yaml is missing.

    Args:
        path: folder to make.
        custom_data: what the recording says about itself, kept in metadata.yaml.

    Raises:
        BagError: if the folder exists already or cannot be made.
    """

    def __init__(self, path: Path | str, custom_data: Mapping[str, str] | None = None) -> None:
        self.path = Path(path)
        self._custom_data = dict(custom_data or {})
        self._file = f'{self.path.name}_0.mcap'
        try:
            self.path.mkdir(parents=True)
            self._stream = (self.path / self._file).open('wb')
        except FileExistsError:
            raise BagError(
                f'{self.path} exists already; a bag is never overwritten: remove it or name another'
            ) from None
        except OSError as error:
            raise BagError(f'cannot make the bag {self.path}: {error.strerror}') from error
        self._mcap = Writer(self._stream, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._mcap.start(profile='ros2', library='maze_introspection')
        self._schema: dict[str, int] = {}
        self._channel: dict[str, int] = {}
        self._topic: dict[str, Topic] = {}
        self._count: dict[str, int] = {}
        self._start_ns, self._end_ns = 2**63 - 1, 0

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def count(self) -> Mapping[str, int]:
        """Messages written so far, by topic name."""
        return self._count

    def add_topic(self, name: str, topic: Topic) -> None:
        """Announce a topic under its absolute name; also one that never gets a message is listed."""
        if topic.type not in self._schema:
            definition, _ = TYPES.generate_msgdef(topic.type, ros_version=2)
            self._schema[topic.type] = self._mcap.register_schema(topic.type, 'ros2msg', definition.encode())
        metadata = {
            'offered_qos_profiles': _qos(topic),
            'topic_type_hash': TYPES.hash_rihs01(topic.type),
        }
        self._channel[name] = self._mcap.register_channel(name, 'cdr', self._schema[topic.type], metadata)
        self._topic[name] = topic
        self._count[name] = 0

    def write(self, name: str, cdr: bytes | memoryview, log_time_ns: int, publish_time_ns: int) -> None:
        """Append one serialized message.

        Raises:
            BagError: if the topic was not announced or the disk refuses.
        """
        if name not in self._channel:
            raise BagError(f'{self.path} has no topic {name}; it has: {", ".join(self._channel)}')
        try:
            self._mcap.add_message(
                self._channel[name], log_time_ns, bytes(cdr), publish_time_ns, sequence=self._count[name]
            )
            self._stream.flush()
        except OSError as error:
            raise BagError(f'cannot write to the bag {self.path}: {error.strerror}') from error
        self._count[name] += 1
        self._start_ns = min(self._start_ns, log_time_ns)
        self._end_ns = max(self._end_ns, log_time_ns)

    def close(self) -> None:
        """Finish the MCAP file and write metadata.yaml; a second call does nothing."""
        if self._stream.closed:
            return
        try:
            with self._stream:
                self._mcap.finish()  # type: ignore[no-untyped-call]
                os.fsync(self._stream.fileno())
            text = yaml.dump({'rosbag2_bagfile_information': self._metadata()}, Dumper=_NoAliases, sort_keys=False)
            (self.path / 'metadata.yaml').write_text(text)
        except OSError as error:
            raise BagError(f'cannot finish the bag {self.path}: {error.strerror}') from error

    def _metadata(self) -> dict[str, object]:
        messages = sum(self._count.values())
        start = {'nanoseconds_since_epoch': self._start_ns if messages else 0}
        duration = {'nanoseconds': self._end_ns - self._start_ns if messages else 0}
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
                        'offered_qos_profiles': _qos(topic),
                        'type_description_hash': TYPES.hash_rihs01(topic.type),
                    },
                    'message_count': self._count[name],
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
            'custom_data': self._custom_data,
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
