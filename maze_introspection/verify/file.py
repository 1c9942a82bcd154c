"""The file itself: every checksum and count that an MCAP file holds, and the sequence numbers that our recorder gives.

Records are framed by hand, because a damaged one must be found, placed and stepped over; mcap's own reader stops there.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import yaml
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, DataEnd, Footer, Header, Message, MessageIndex, Statistics
from mcap.stream_reader import breakup_chunk

from maze_introspection.bag.decode import cdr_stamp_ns
from maze_introspection.bag.writer import BagError
from maze_introspection.verify.verdict import Check, Finding, in_rows, seconds
from maze_policy import topics

MAGIC = b'\x89MCAP0\r\n'
OURS = 'maze_introspection'  # the library that our recorder writes into a file's header
UNSTAMPED = (topics.WATCHED.name,)


def check_file(path: Path) -> Check:
    """Checksums, counts and sequence numbers of a bag's files.

    Raises:
        BagError: if metadata.yaml does not name the files.
    """
    try:
        about = yaml.safe_load((path / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
        files = [path / name for name in about['relative_file_paths']]
        counts = {
            topic['topic_metadata']['name']: topic['message_count'] for topic in about['topics_with_message_count']
        }
        counts = {name: int(count) for name, count in counts.items() if count}
    except Exception as error:  # a damaged file shows as whatever its decoder stumbles over
        raise BagError(f'{path / "metadata.yaml"} is damaged: {error}') from error
    scans = [_Scan(file) for file in files if file.suffix == '.mcap']
    others = [file.name for file in files if file.suffix != '.mcap']
    findings = [finding for scan in scans for finding in scan.findings]
    unchecked = [f'{", ".join(others)} has no checksums'] if others else []
    bare = sum(scan.bare for scan in scans)
    if bare:
        unchecked.append(f'{bare} chunks have no CRC')
    found = sum((scan.count for scan in scans), Counter())  # type: Counter[str]
    if not others and not findings and dict(found) != counts:
        wrong = sorted(name for name in found.keys() | counts.keys() if found[name] != counts.get(name, 0))
        findings += [
            Finding(f'metadata.yaml counts {counts.get(name, 0)} messages, the file holds {found[name]}', name)
            for name in wrong
        ]
    numbered = all(scan.ours for scan in scans) and not others
    says = f'{sum(scan.chunks for scan in scans)} chunks, {found.total()} messages: CRC-32, counts'
    says += ', sequence numbers' if numbered else ' (no sequence numbers, it was not written by our recorder)'
    return Check('file', says, tuple(findings), '; '.join(unchecked))


class _Scan:
    """One MCAP file from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self.chunks = self.bare = 0
        self.ours = False
        self.count: Counter[str] = Counter()
        self._channels: dict[int, str] = {}
        self._sequence: dict[str, list[tuple[int, int]]] = {}  # numbers and stamps
        self._broken: tuple[str, Counter[str]] | None = None  # a chunk that waits for its index
        try:
            with path.open('rb') as file:
                self._read(file)
        except OSError as error:
            raise BagError(f'cannot read {path}: {error.strerror}') from error
        self._tell_broken()
        if self.ours and not self.findings:
            for topic, numbers in self._sequence.items():
                self.findings += _sequence_findings(topic, numbers)

    def _read(self, file: BinaryIO) -> None:
        if file.read(len(MAGIC)) != MAGIC:
            self.findings.append(Finding(f'{self.path.name}: want an MCAP file, got one that does not begin as one'))
            return
        data_crc, summary_crc, statistics = zlib.crc32(MAGIC), 0, None
        in_summary = False
        for at, opcode, head, body in _records(file):
            try:
                stream = ReadDataStream(BytesIO(body))
                if opcode == Opcode.CHUNK:
                    self._chunk(at, Chunk.read(stream))
                elif opcode == Opcode.MESSAGE_INDEX:
                    self._index(MessageIndex.read(stream))
                elif opcode == Opcode.HEADER:
                    self.ours = Header.read(stream).library == OURS
                elif opcode == Opcode.CHANNEL:
                    self._channel(Channel.read(stream))
                elif opcode == Opcode.MESSAGE:  # outside of a chunk there is no checksum
                    self.bare += 1
                    self._message(Message.read(stream, len(body)))
                elif opcode == Opcode.ATTACHMENT:
                    self._want_crc(at, 'attachment', int.from_bytes(body[-4:], 'little'), zlib.crc32(body[:-4]))
                elif opcode == Opcode.STATISTICS:
                    statistics = Statistics.read(stream)
                elif opcode == Opcode.DATA_END:
                    self._want_crc(at, 'data', DataEnd.read(stream).data_section_crc, data_crc)
                elif opcode == Opcode.FOOTER:
                    crc = zlib.crc32(head + body[:-4], summary_crc)
                    self._want_crc(at, 'summary', Footer.read(stream).summary_crc, crc)
            except Exception as error:  # a damaged record shows as whatever its decoder stumbles over
                self._damaged(at, f'record of type {opcode} does not decode: {error}')
            data_crc = zlib.crc32(body, zlib.crc32(head, data_crc))
            if in_summary:
                summary_crc = zlib.crc32(body, zlib.crc32(head, summary_crc))
            in_summary |= opcode == Opcode.DATA_END
            if opcode == Opcode.FOOTER:
                break
        else:
            self.findings.append(Finding(f'{self.path.name}: it ends before its footer'))
            return
        if file.read() != MAGIC:
            self.findings.append(Finding(f'{self.path.name}: it does not end as an MCAP file'))
        if statistics is not None and statistics.message_count != self.count.total() and not self._is_damaged:
            said = f'its statistics count {statistics.message_count} messages, it holds {self.count.total()}'
            self.findings.append(Finding(f'{self.path.name}: {said}'))

    @property
    def _is_damaged(self) -> bool:
        return bool(self.findings or self._broken)

    def _chunk(self, at: int, chunk: Chunk) -> None:
        self._tell_broken()
        self.chunks += 1
        self.bare += not chunk.uncompressed_crc
        try:
            records = breakup_chunk(chunk, validate_crc=True)
        except Exception as error:
            said = f'{self.path.name}, chunk {self.chunks - 1} at byte {at}: {error}'
            self._broken = said, Counter()
            return
        times = []
        for record in records:
            if isinstance(record, Channel):
                self._channel(record)
            elif isinstance(record, Message):
                self._message(record)
                times.append(record.log_time)
        span = (chunk.message_start_time, chunk.message_end_time)
        if times and span != (min(times), max(times)):
            self._damaged(at, f'chunk wants messages from {span[0]} to {span[1]}, has {min(times)} to {max(times)}')

    def _index(self, index: MessageIndex) -> None:
        if self._broken:
            self._broken[1][self._channels.get(index.channel_id, f'channel {index.channel_id}')] += len(index.records)

    def _tell_broken(self) -> None:
        if self._broken:
            said, held = self._broken
            what = ', '.join(f'{count} of {topic}' for topic, count in held.items()) or 'messages unknown'
            self.findings.append(Finding(f'{said}; it holds {what}'))
            self._broken = None

    def _channel(self, channel: Channel) -> None:
        self._channels[channel.id] = channel.topic

    def _message(self, message: Message) -> None:
        topic = self._channels[message.channel_id]
        self.count[topic] += 1
        stamped = not topic.endswith(UNSTAMPED)
        stamp = cdr_stamp_ns(message.data) if stamped and len(message.data) >= 12 else message.log_time
        self._sequence.setdefault(topic, []).append((message.sequence, stamp))

    def _want_crc(self, at: int, what: str, want: int, got: int) -> None:
        if want and want != got:  # 0: not given
            self._damaged(at, f'CRC-32 of the {what} does not hold: want {want}, got {got}')

    def _damaged(self, at: int, says: str) -> None:
        self.findings.append(Finding(f'{self.path.name}, at byte {at}: {says}'))


def _records(file: BinaryIO) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Byte, type, head (type and length) and body of each record, as far as they go."""
    left = file.seek(0, 2) - len(MAGIC)
    file.seek(len(MAGIC))
    while len(head := file.read(9)) == 9:
        left -= 9
        length = int.from_bytes(head[1:], 'little')
        if length > left:
            return
        left -= length
        yield file.tell() - 9, head[0], head, file.read(length)


def _sequence_findings(topic: str, numbers: list[tuple[int, int]]) -> list[Finding]:
    """Numbers that are missing or out of their place."""
    sequence, stamps = (np.array(column, dtype=np.int64) for column in zip(*numbers))
    ordered = np.sort(sequence)
    findings = [
        Finding(f'out of its place: number {sequence[at]} of the topic where {ordered[at]} belongs', topic)
        for at in np.flatnonzero(sequence != ordered)
    ]
    for first, last in in_rows(sorted(set(range(int(ordered[-1]) + 1)) - set(sequence.tolist()))):
        after = int(stamps[np.argmax(sequence > last)])
        many = f'messages {first} to {last} of the topic are' if last > first else f'message {first} of the topic is'
        findings.append(Finding(f'{many} missing, just before stamp {seconds(after)}', topic, stamp_ns=after))
    return findings
