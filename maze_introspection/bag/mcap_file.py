"""An MCAP file of which all that is on the disk stays whole, whatever happens later.

As `mcap.writer.Writer` would write it, but a chunk can be closed at any time; a chunk that the disk refuses leaves
nothing behind; and the index is kept packed, or ten minutes of camera images would take 24 MB of memory. Every byte
is under a checksum: chunks each by their own, all up to DataEnd by its data_section_crc, the rest by the footer's
summary_crc. Topics and types stand in the first chunk and before it, so that either can be lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

MAGIC = b'\x89MCAP0\r\n'
LIBRARY = 'maze_introspection/2'  # whose files carry all checksums; those of the first one lack that of the data
CHUNK_BYTES = 2**22  # four camera images fit, so that time, not size, closes chunks: fewer stand in the index
ENDING = struct.Struct('<BQQQ')  # of the footer, up to its checksum
_MESSAGE = struct.Struct('<BQHIQQ')


class McapFile:
    """Write one file.

    Attributes:
        count: messages by channel, also those of the open chunk.
        start_ns: least log time, of closed chunks; 0 where there is none.
        end_ns: greatest log time, of closed chunks.

    Raises:
        OSError: where the disk refuses; what was closed before is still there.
    """

    def __init__(self, path: Path) -> None:
        self.count: Counter[int] = Counter()
        self.start_ns = self.end_ns = 0
        self._file = path.open('xb', buffering=0)
        self._end = self._crc = 0
        self._compressor = zstandard.ZstdCompressor()
        self._chunk = bytearray()
        self._index: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self._groups: dict[Opcode, bytearray] = {}  # the summary, as it grows
        self._records: Counter[Opcode] = Counter()
        self._append(MAGIC + packed(Header('ros2', LIBRARY)))

    def add_schema(self, name: str, encoding: str, definition: bytes) -> int:
        """Add a message type; its id."""
        number = self._records[Opcode.SCHEMA] + 1
        self._tell(Opcode.SCHEMA, Schema(id=number, name=name, encoding=encoding, data=definition))
        return number

    def add_channel(self, topic: str, encoding: str, schema: int, metadata: dict[str, str]) -> int:
        """Add a topic; its id."""
        number = self._records[Opcode.CHANNEL] + 1
        self._tell(Opcode.CHANNEL, Channel(number, topic, encoding, metadata, schema))
        self.count[number] = 0
        return number

    def add_text(self, name: str, text: str) -> None:
        """Add a named text, with a digest of its own."""
        record = packed(Metadata(name, {'text': text, 'sha256': digest(text)}))
        offset = self._end
        self._append(record)
        self._sum_up(Opcode.METADATA_INDEX, MetadataIndex(offset, len(record), name))

    def write(self, channel: int, sequence: int, log_time_ns: int, publish_time_ns: int, data: bytes) -> int:
        """Put a message into the open chunk; what that made the disk take, bytes."""
        self._index[channel].append((log_time_ns, len(self._chunk)))
        self._chunk += _MESSAGE.pack(
            Opcode.MESSAGE, _MESSAGE.size - 9 + len(data), channel, sequence, log_time_ns, publish_time_ns
        )
        self._chunk += data
        self.count[channel] += 1
        return self.close_chunk() if len(self._chunk) >= CHUNK_BYTES else 0

    def close_chunk(self) -> int:
        """Write the open chunk, if a message is in it; what the disk took, bytes."""
        if not self._index:
            return 0
        plain, index = bytes(self._chunk), dict(self._index)
        self._chunk.clear()
        self._index.clear()
        times = [time for entries in index.values() for time, _ in entries]
        start_ns, end_ns = min(times), max(times)
        data = self._compressor.compress(plain)
        record = packed(Chunk('zstd', data, end_ns, start_ns, zlib.crc32(plain), len(plain)))
        begin, offsets, tail = self._end, {}, b''
        for channel, entries in index.items():
            offsets[channel] = begin + len(record) + len(tail)
            tail += packed(MessageIndex(channel, entries))
        try:
            self._append(record + tail)
        except OSError:
            self.count.subtract({channel: len(entries) for channel, entries in index.items()})
            raise
        self.start_ns = min(start_ns, self.start_ns) if self._records[Opcode.CHUNK_INDEX] else start_ns
        self.end_ns = max(end_ns, self.end_ns)
        self._sum_up(
            Opcode.CHUNK_INDEX,
            ChunkIndex(len(record), begin, 'zstd', len(data), end_ns, len(tail), offsets, start_ns, len(plain)),
        )
        return len(record) + len(tail)

    def finish(self) -> None:
        """Write the summary and close the file."""
        self.close_chunk()
        statistics = Statistics(
            attachment_count=0,
            channel_count=self._records[Opcode.CHANNEL],
            channel_message_counts=dict(self.count),
            chunk_count=self._records[Opcode.CHUNK_INDEX],
            message_count=self.count.total(),
            message_end_time=self.end_ns,
            message_start_time=self.start_ns,
            metadata_count=self._records[Opcode.METADATA_INDEX],
            schema_count=self._records[Opcode.SCHEMA],
        )
        self._sum_up(Opcode.STATISTICS, statistics)
        data_end = packed(DataEnd(self._crc))
        start = self._end + len(data_end)
        summary, offsets = b'', b''
        for opcode, group in sorted(self._groups.items()):
            offsets += packed(SummaryOffset(opcode, start + len(summary), len(group)))
            summary += group
        ending = ENDING.pack(Opcode.FOOTER, 20, start, start + len(summary))
        crc = zlib.crc32(summary + offsets + ending)
        self._append(data_end + summary + offsets + packed(Footer(start, start + len(summary), crc)) + MAGIC)
        os.fsync(self._file.fileno())
        self.close()

    def close(self) -> None:
        """Let go of the file as it is."""
        self._file.close()

    def _tell(self, opcode: Opcode, record: Schema | Channel) -> None:
        data = packed(record)
        self._append(data)
        self._chunk += data
        self._sum_up(opcode, record)

    def _sum_up(self, opcode: Opcode, record: McapRecord) -> None:
        self._groups.setdefault(opcode, bytearray()).extend(packed(record))
        self._records[opcode] += 1

    def _append(self, data: bytes) -> None:
        """All of it or, where the disk refuses, nothing."""
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
                self._file.seek(self._end)
            raise
        self._end += len(data)
        self._crc = zlib.crc32(data, self._crc)


def packed(record: McapRecord) -> bytes:
    """A record as it stands in a file."""
    builder = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())  # type: ignore[no-untyped-call]


def digest(text: str) -> str:
    """What `add_text` puts beside a text."""
    return hashlib.sha256(text.encode()).hexdigest()
