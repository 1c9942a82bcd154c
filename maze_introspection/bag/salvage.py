"""Everything good that a damaged MCAP file holds, and where what is not good lies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import zstandard
from mcap import records
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.stream_reader import breakup_chunk

from maze_introspection.bag.checksums import data_problem, read_at, summary_problem, summary_start
from maze_introspection.bag.mcap_file import LIBRARY, MAGIC

RECORD: dict[int, Any] = {
    Opcode.HEADER: records.Header,
    Opcode.FOOTER: records.Footer,
    Opcode.SCHEMA: records.Schema,
    Opcode.CHANNEL: records.Channel,
    Opcode.CHUNK: records.Chunk,
    Opcode.MESSAGE_INDEX: records.MessageIndex,
    Opcode.CHUNK_INDEX: records.ChunkIndex,
    Opcode.ATTACHMENT: records.Attachment,
    Opcode.ATTACHMENT_INDEX: records.AttachmentIndex,
    Opcode.STATISTICS: records.Statistics,
    Opcode.METADATA: records.Metadata,
    Opcode.METADATA_INDEX: records.MetadataIndex,
    Opcode.SUMMARY_OFFSET: records.SummaryOffset,
    Opcode.DATA_END: records.DataEnd,
}
MAX_BYTES = 2**30  # a damaged size must not ask for more memory than there is
# Opcode and a length below 2^40; times, size and checksum; the compression. It looks ahead: beginnings may overlap.
_CHUNK_BEGINS = re.compile(rb'\x06(?=.{5}\0{3}.{28}(?:\0{4}|\x04\0{3}zstd|\x03\0{3}lz4))', re.DOTALL)
_CHUNK_BEGINS_B = 45  # what that looks at, at most
_WINDOW = 2**20


class Damage(NamedTuple):
    """Bytes of a file that are missing or not what was written; `length` 0: nothing had to be dropped for it."""

    offset: int
    length: int
    why: str

    def __str__(self) -> str:
        where = f'{self.length:,} bytes at {self.offset:,} dropped' if self.length else f'at {self.offset:,}'
        return f'{where}: {self.why}'


def salvage(path: Path) -> Iterator[records.McapRecord | Damage]:
    """All records of a file in their order, chunks opened, and what had to be dropped between them.

    A chunk is given whole or, if its checksum is not that of its content, not at all; after damage it goes on with the
    next good chunk. No damage is told of a file only if all checksums that it carries are right.
    """
    with path.open('rb') as stream:
        size = stream.seek(0, 2)
        at, damaged, ended, chunked = len(MAGIC), False, False, False
        if read_at(stream, 0, at) != MAGIC:
            damaged = True
            yield Damage(0, 0, 'it does not begin as an MCAP file does')
        while at < size and not ended:
            try:
                record, after = _record(stream, at, size)
                inside = _opened(record) if isinstance(record, records.Chunk) else [record]
                chunked |= isinstance(record, records.Chunk) or getattr(record, 'library', None) == LIBRARY
                if chunked and isinstance(record, records.Message):  # else it would go unchecked
                    raise ValueError('want messages in chunks, got one outside')
            except Exception as error:  # whatever a decoder stumbles over
                after, damaged, inside = _resume(stream, at, size), True, []
                yield Damage(at, after - at, str(error) or type(error).__name__)
            yield from inside
            at, ended = after, bool(inside) and isinstance(inside[-1], records.Footer)
        if not ended:
            yield Damage(size, 0, 'it ends without an index: it was cut, or its writer was killed')
        elif not damaged and (problem := summary_problem(stream) or data_problem(stream)):
            yield Damage(0, 0, problem)


def record_at(stream: BinaryIO, at: int) -> records.McapRecord:
    """The record at an offset.

    Raises:
        ValueError: if there is none, or it is cut short or damaged.
    """
    return _record(stream, at, stream.seek(0, 2))[0]


def _record(stream: BinaryIO, at: int, size: int) -> tuple[records.McapRecord, int]:
    head = read_at(stream, at, 9)
    length = int.from_bytes(head[1:], 'little')
    if len(head) < 9 or length > size - at - 9:
        raise ValueError('a record is cut short')
    after = at + 9 + length
    if length > MAX_BYTES:
        raise ValueError(f'want a record of at most {MAX_BYTES:,} bytes, got {length:,}')
    body = ReadDataStream(BytesIO(read_at(stream, at + 9, length)))
    if head[0] == Opcode.MESSAGE:
        return records.Message.read(body, length), after
    if head[0] not in RECORD:
        raise ValueError(f'want a record, got opcode {head[0]}')
    opcode = Opcode(head[0])
    name = opcode.name.lower().replace('_', ' ')
    try:
        record = RECORD[opcode].read(body)
    except Exception as error:
        raise ValueError(f'a {name} is damaged') from error
    if body.count != length:
        raise ValueError(f'want a {name} of {body.count} bytes, got {length}')
    return record, after


def _opened(chunk: records.Chunk) -> list[records.McapRecord]:
    """The records of a chunk.

    Raises:
        Exception: of many kinds, if it is damaged.
    """
    if chunk.uncompressed_size > MAX_BYTES:
        raise ValueError(f'want a chunk of at most {MAX_BYTES:,} bytes, got {chunk.uncompressed_size:,}')
    if chunk.compression == 'zstd' and zstandard.frame_content_size(chunk.data) not in (-1, chunk.uncompressed_size):
        raise ValueError('a chunk says a size that is not that of its content')
    return list(breakup_chunk(chunk, validate_crc=True))


def _resume(stream: BinaryIO, at: int, size: int) -> int:
    """Where it goes on after a damaged record: behind it, or at the next good chunk, or where the summary begins."""
    behind = at + 9 + int.from_bytes(read_at(stream, at, 9)[1:], 'little')
    for begin in chain([behind], _chunks(stream, at + 1, size)):
        try:
            record, _ = _record(stream, begin, size)
            if not isinstance(record, records.Chunk) or _opened(record):
                return begin
        except Exception:  # it only looked like one
            continue
    start = size if summary_problem(stream) else summary_start(stream)
    return start if start > at else size  # what is damaged is the summary itself


def _chunks(stream: BinaryIO, at: int, size: int) -> Iterator[int]:
    """Offsets at which a chunk may begin."""
    for begin in range(at, size, _WINDOW):
        for found in _CHUNK_BEGINS.finditer(read_at(stream, begin, _WINDOW + _CHUNK_BEGINS_B - 1)):
            if found.start() < _WINDOW:  # else it is the next window's
                yield begin + found.start()
