"""The files themselves: every checksum and count in them, and the sequence numbers that our recorder gives."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mcap.records import Channel, Chunk, Header, Message

from maze_introspection.bag.check import described, storage_files, summary_of, text_of
from maze_introspection.bag.checksums import has_data_checksum
from maze_introspection.bag.decode import STAMP_BYTES, cdr_stamp_ns
from maze_introspection.bag.mcap_file import LIBRARY
from maze_introspection.bag.salvage import Damage, record_at, salvage
from maze_introspection.bag.writer import METADATA, BagError
from maze_introspection.verify.verdict import Check, Finding, seconds
from maze_policy import topics
from maze_policy.parameters import shown

OURS = LIBRARY.split('/')[0]


def check_file(path: Path) -> Check:
    """Checksums, counts and sequence numbers of a bag's files.

    Raises:
        BagError: if there is no bag, or its metadata.yaml is none.
    """
    counts = _counts(path / METADATA)
    files = storage_files(path)
    bare = [file.name for file in files if file.suffix != '.mcap']
    scans = [_Scan(file) for file in files if file.suffix == '.mcap']
    findings = [finding for scan in scans for finding in scan.findings]
    for scan in scans:
        told = None if findings else text_of(scan.path, METADATA)
        if told is not None and told.encode() != (path / METADATA).read_bytes():
            findings.append(Finding(f'{METADATA} is not the one that was recorded'))
    found: Counter[str] = sum((scan.count for scan in scans), Counter())
    if not bare and not any(scan.damaged for scan in scans):
        findings += [
            Finding(f'{METADATA} counts {counts[name]} messages, the file holds {found[name]}', name)
            for name in sorted(found.keys() | counts.keys())
            if found[name] != counts[name]
        ]
    numbered = bool(scans) and not bare and all(scan.ours for scan in scans)
    bare += [scan.path.name for scan in scans if not scan.damaged and not _has_checksums(scan.path)]
    says = f'{found.total()} messages: checksums, counts' if scans else ''
    says += ', sequence numbers' if numbered else ' (no sequence numbers: not of our recorder)' if scans else ''
    return Check('file', says, tuple(findings), f'{", ".join(bare)} has no checksums' if bare else '')


class _Scan:
    """One MCAP file from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self.ours = self.damaged = False
        self.count: Counter[str] = Counter()
        sequence: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        names: dict[int, str] = {}
        for record in salvage(path):
            if isinstance(record, Damage):
                self.damaged = True
                self.findings.append(Finding(f'{path.name}: {record}'))
            elif isinstance(record, Header):
                self.ours = record.library.split('/')[0] == OURS
            elif isinstance(record, Channel):
                names[record.id] = record.topic
            elif isinstance(record, Message):
                topic = names.get(record.channel_id, f'channel {record.channel_id}')
                self.count[topic] += 1
                sequence[topic].append((record.sequence, _stamp_ns(topic, record)))
        if self.ours:
            for topic, numbers in sequence.items():
                self.findings += _sequence_findings(topic, numbers)


def _counts(path: Path) -> Counter[str]:
    """Messages of each topic as metadata.yaml counts them."""
    try:
        listed = described(path.parent)['topics_with_message_count']
        told = {topic['topic_metadata']['name']: topic['message_count'] for topic in listed}
        for pair in told.items():
            if [type(part) for part in pair] != [str, int]:
                raise ValueError(f'want topics by name and number of messages, got {shown(pair)}')
        return Counter(told)
    except OSError as error:
        raise BagError(
            f'{path.parent} is no finished bag: want a rosbag2 folder with {METADATA} in it ({error.strerror}); '
            f'after a crash: `maze-introspection repair {path.parent}`'
        ) from error
    except Exception as error:  # a damaged file shows as whatever its decoder stumbles over
        raise BagError(f'{path} is damaged: {error}') from error


def _stamp_ns(topic: str, message: Message) -> int:
    """The stamp of a message's header, or where it has none the time at which it was recorded."""
    if topic.endswith(topics.WATCHED.name) or len(message.data) < STAMP_BYTES:
        return int(message.log_time)
    return cdr_stamp_ns(message.data)


def _has_checksums(file: Path) -> bool:
    """Whether all its messages are under a checksum."""
    with file.open('rb') as stream:
        if has_data_checksum(stream):
            return True
        summary = summary_of(file)
        chunks: Iterator[object] = (
            (record_at(stream, index.chunk_start_offset) for index in summary.chunk_indexes) if (summary) else iter(())
        )
        crcs = [chunk.uncompressed_crc for chunk in chunks if isinstance(chunk, Chunk)]
        return bool(crcs) and all(crcs)


def _sequence_findings(topic: str, numbers: list[tuple[int, int]]) -> list[Finding]:
    """Numbers that are missing or out of their place."""
    sequence, stamps = (np.array(column, dtype=np.int64) for column in zip(*numbers))
    ordered = np.sort(sequence)
    findings = [
        Finding(f'out of its place: number {sequence[at]} where {ordered[at]} belongs', topic, stamp_ns=int(stamps[at]))
        for at in np.flatnonzero(sequence != ordered)
    ]
    step = np.diff(ordered, prepend=-1)
    findings += [
        Finding(f'number {ordered[at]} comes more than once', topic, stamp_ns=int(stamps[sequence == ordered[at]][-1]))
        for at in np.flatnonzero(step == 0)
    ]
    for at in np.flatnonzero(step > 1):
        first, last = ordered[at] - step[at] + 1, ordered[at] - 1
        after = int(stamps[np.argmax(sequence > last)])
        many = f'messages {first} to {last} are' if last > first else f'message {first} is'
        findings.append(Finding(f'{many} missing, just before stamp {seconds(after)}', topic, stamp_ns=after))
    return findings
