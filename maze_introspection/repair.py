"""A readable bag from one without an end, cut short or damaged, and what is missing from it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mcap import records
from mcap.summary import Summary
from rosbags.rosbag2.metadata import dump_qos_v8, parse_qos

from maze_introspection.analysis import beginnings
from maze_introspection.bag import BagError, BagWriter, read_recording
from maze_introspection.bag.check import described, good_text, problem_of, storage_files, summary_of
from maze_introspection.bag.salvage import Damage, salvage
from maze_introspection.bag.salvage_sqlite import salvage_sqlite
from maze_introspection.bag.writer import CUSTOM_DATA, Described
from maze_introspection.config import IntrospectionConfig
from maze_introspection.recurrence import CORRUPT, GAP


@dataclass
class Kept:
    """What was recovered of one topic; `told` is how many messages there were, None where nobody says."""

    count: int = 0
    last_ns: int = 0
    expected: int = 0  # by the numbers that the writer gave them
    told: int | None = None

    @property
    def missing(self) -> int:
        """Messages that are missing for certain."""
        return max(self.expected if self.told is None else self.told, self.count) - self.count


@dataclass
class Repair:
    """What was found and done; `out` is None where the bag was whole and nothing had to be made."""

    bag: Path
    out: Path | None = None
    problem: str = ''
    damages: list[tuple[str, Damage]] = field(default_factory=list)
    topics: dict[str, Kept] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all that was ever recorded is known to be there."""
        return not self.notes and all(kept.told == kept.count for kept in self.topics.values())

    def lines(self) -> Iterator[str]:
        """For a person."""
        if self.out is None:
            yield f'{self.bag} is whole: nothing to repair'
            return
        yield self.problem
        total = sum(kept.count for kept in self.topics.values())
        yield f'{total:,} messages recovered into {self.out}; {self.bag} is as it was'
        end_ns = max(kept.last_ns for kept in self.topics.values())
        for name, kept in self.topics.items():
            missing = f'{kept.missing:,} missing' if kept.missing else 'none missing'
            if kept.told is None:
                missing += ' before its last one, afterwards nobody knows' if kept.count else ' that is known of'
            last = f', the last {(end_ns - kept.last_ns) / 1e9:.3f} s before the end' if kept.count else ''
            yield f'  {name}: {kept.count:,} messages{last}; {missing}'
        for file, damage in self.damages:
            yield f'  {file}: {damage}'
        for note in self.notes:
            yield f'  {note}'


def repair(bag: Path, out: Path) -> Repair:
    """Write what is good of a bag to the folder `out`, which must not exist; the bag itself is never touched.

    Raises:
        BagError: if there is no bag, nothing could be recovered, or `out` cannot be written.
    """
    if not bag.exists():
        raise BagError(f'there is no bag {bag}')
    files = storage_files(bag)
    if not files:
        raise BagError(f'{bag} is no bag: there is no .mcap or .db3 file in it')
    done = Repair(bag, problem=problem_of(bag) or '')
    if not done.problem:
        return done
    copy = _Copy(out, done, _custom_data(bag))
    told = _told(bag, files)
    try:
        for file in files:
            copy.add(file)
        for name, kept in done.topics.items():
            kept.told = None if told is None else told.get(name, 0)
        copy.finish()
    except BaseException:
        if copy.writer:
            shutil.rmtree(out)  # ours, and no bag
        raise
    done.out = out
    return done


def recurrence_says(bag: Path, namespace: str | None = None) -> str:
    """Where the LSTM's memory does not continue in a bag; only what fell out between two steps shows so."""
    try:
        recording = read_recording(bag, namespace)
    except BagError as error:
        return f'recurrence: cannot be asked: {error}'
    relation, _ = beginnings(recording, IntrospectionConfig())
    late = bool(recording.steps) and relation[0] == GAP and recording.begins_late
    bad = np.flatnonzero((relation == GAP) | (relation == CORRUPT))[int(late) :]
    if not len(bad):
        return f'recurrence: no step is missing between the first and the last of {recording.steps:,}'
    places = ', '.join(f'{step:,} (stamp {recording.stamp_ns[step]})' for step in bad[:10])
    more = f' and {len(bad) - 10:,} more' if len(bad) > 10 else ''
    return f'recurrence: steps are missing before {places}{more} of {recording.steps:,}'


class _Copy:
    """Writes what is recovered, as it comes."""

    def __init__(self, out: Path, done: Repair, custom_data: dict[str, str]) -> None:
        self._out, self._done, self._custom_data = out, done, custom_data
        self.writer: BagWriter | None = None
        self._added: set[str] = set()

    def add(self, file: Path) -> None:
        """Everything good of one file."""
        summary = _summary(file)
        channels = dict(summary.channels) if summary else {}
        schemas = dict(summary.schemas) if summary else {}
        for channel in channels.values():
            self._done.topics.setdefault(channel.topic, Kept())
        numbered, strangers = False, 0
        for record in salvage(file) if file.suffix == '.mcap' else salvage_sqlite(file):
            if isinstance(record, Damage):
                self._done.damages.append((file.name, record))
            elif isinstance(record, records.Header):
                numbered = record.library.startswith('maze_introspection')
            elif isinstance(record, records.Metadata) and record.name == CUSTOM_DATA:
                self._custom_data |= _texts(record)
            elif isinstance(record, records.Schema):
                schemas[record.id] = record
            elif isinstance(record, records.Channel):
                channels[record.id] = record
                self._done.topics.setdefault(record.topic, Kept())
            elif isinstance(record, records.Message):
                told = channels.get(record.channel_id)
                schema = schemas.get(told.schema_id) if told else None
                if told and schema and schema.data:
                    self._write(told, schema, record, numbered)
                else:
                    strangers += 1
        if strangers:
            self._done.notes.append(f'{file.name}: {strangers:,} messages left out whose topic or type is not known')

    def finish(self) -> None:
        """Close it, with a word on what was done."""
        if self.writer is None:
            found = '; '.join(f'{file}: {damage}' for file, damage in self._done.damages)
            raise BagError(f'{self._done.problem}; no message could be recovered ({found or "there is none"})')
        missing = {name: kept.missing for name, kept in self._done.topics.items() if kept.missing}
        self.writer.custom_data |= self._custom_data
        self.writer.custom_data['repaired'] = json.dumps({'problem': self._done.problem, 'missing': missing})
        self.writer.close()

    def _write(
        self, channel: records.Channel, schema: records.Schema, message: records.Message, numbered: bool
    ) -> None:
        if self.writer is None:
            self.writer = BagWriter(self._out, self._custom_data)
        if channel.topic not in self._added:
            self._added.add(channel.topic)
            qos = _qos(channel.metadata.get('offered_qos_profiles', ''))
            type_hash = channel.metadata.get('topic_type_hash', '')
            self.writer.add_described(
                channel.topic, Described(schema.name, schema.encoding, schema.data, qos, type_hash)
            )
        sequence = message.sequence if numbered else None
        self.writer.write(channel.topic, message.data, message.log_time, message.publish_time, sequence)
        kept = self._done.topics[channel.topic]
        kept.count += 1
        kept.last_ns = max(kept.last_ns, message.log_time)
        kept.expected = message.sequence + 1 if numbered else kept.count


def _texts(record: records.Metadata) -> dict[str, str]:
    """What a file says of the recording."""
    try:
        told = json.loads(good_text(record) or '{}')
    except (ValueError, RecursionError):
        return {}
    return {key: str(value) for key, value in told.items()} if isinstance(told, dict) else {}


def _qos(told: str) -> str:
    """How it was offered, as metadata up to version 8 says it; nothing where that makes no sense."""
    try:
        return dump_qos_v8(parse_qos(told))
    except Exception:  # rosbags stumbles in many ways
        return ''


def _summary(file: Path) -> Summary | None:
    try:
        return summary_of(file) if file.suffix == '.mcap' else None
    except ValueError:
        return None


def _told(bag: Path, files: list[Path]) -> dict[str, int] | None:
    """How many messages the bag says that it holds, by topic; None where nothing good says so."""
    counts = Counter[str]()
    for file in files:
        summary = _summary(file)
        if summary is None or summary.statistics is None:
            break
        for number, channel in summary.channels.items():
            counts[channel.topic] += summary.statistics.channel_message_counts.get(number, 0)
    else:
        return dict(counts)
    try:
        topics = _metadata(bag)['topics_with_message_count']
        return {topic['topic_metadata']['name']: int(topic['message_count']) for topic in topics}
    except (KeyError, TypeError, ValueError, OverflowError):  # OverflowError: .inf
        return None


def _custom_data(bag: Path) -> dict[str, str]:
    """What metadata.yaml says of the recording, where it is still good for that."""
    custom = _metadata(bag).get('custom_data')
    return {str(key): str(value) for key, value in custom.items()} if isinstance(custom, dict) else {}


def _metadata(bag: Path) -> dict[str, Any]:
    """What metadata.yaml says, if anything; it may be damaged, so what the files say themselves goes before it."""
    try:
        return described(bag)
    except (OSError, ValueError):
        return {}
