"""The two checksums of an MCAP file, and a footer that is one; of a file that carries both they cover every byte."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from mcap.opcode import Opcode

from maze_introspection.bag.mcap_file import ENDING, MAGIC

END_BYTES = ENDING.size + 4 + len(MAGIC)  # footer and magic
_DATA_END = bytes([Opcode.DATA_END]) + (4).to_bytes(8, 'little')
_PIECE = 2**20


def summary_problem(stream: BinaryIO) -> str | None:
    """What is wrong from the summary on to the end of the file."""
    size = stream.seek(0, 2)
    ending = read_at(stream, max(size - END_BYTES, 0), END_BYTES)
    if len(ending) < END_BYTES or ending[-len(MAGIC) :] != MAGIC:
        return 'it is cut short: want the magic of an MCAP file at its end'
    opcode, length, start, _ = ENDING.unpack(ending[: ENDING.size])
    crc = int.from_bytes(ending[ENDING.size :][:4], 'little')
    if (opcode, length) != (Opcode.FOOTER, 20) or start > size - END_BYTES:
        return 'its footer is damaged'
    if crc and crc != _crc32(stream, start, size - len(MAGIC) - 4):
        return 'the checksum of its summary does not fit'
    return None


def summary_start(stream: BinaryIO) -> int:
    """Where the summary of a file with a good footer begins."""
    size = stream.seek(0, 2)
    start = int(ENDING.unpack(read_at(stream, size - END_BYTES, ENDING.size))[2])
    return start or size - END_BYTES


def data_problem(stream: BinaryIO) -> str | None:
    """What is wrong before the summary, in a file whose summary is right."""
    crc, end = _data_end(stream)
    if read_at(stream, 0, len(MAGIC)) != MAGIC:
        return 'it does not begin as an MCAP file does'
    if end[:9] != _DATA_END:
        return 'its data does not end where its summary begins'
    if crc and crc != _crc32(stream, 0, summary_start(stream) - len(end)):
        return 'the checksum of its data does not fit'
    return None


def has_data_checksum(stream: BinaryIO) -> bool:
    """Whether a file with a good footer carries a checksum of its data."""
    return bool(_data_end(stream)[0])


def _data_end(stream: BinaryIO) -> tuple[int, bytes]:
    end = read_at(stream, max(summary_start(stream) - 13, 0), 13)
    return int.from_bytes(end[9:], 'little'), end


def read_at(stream: BinaryIO, at: int, length: int) -> bytes:
    """Bytes of a file; fewer where it ends."""
    stream.seek(at)
    return stream.read(length)


def _crc32(stream: BinaryIO, begin: int, end: int) -> int:
    crc = 0
    for at in range(begin, end, _PIECE):
        crc = zlib.crc32(read_at(stream, at, min(_PIECE, end - at)), crc)
    return crc
