"""Is a bag whole? Asked before anything is read from it: what is damaged must not look like what was short."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from mcap.reader import SeekingReader
from mcap.records import Header, Message, Metadata
from mcap.summary import Summary

from maze_introspection.bag.checksums import data_problem, has_data_checksum, summary_problem
from maze_introspection.bag.mcap_file import LIBRARY, MAGIC, digest
from maze_introspection.bag.salvage import Damage, record_at, salvage
from maze_introspection.bag.writer import METADATA, BagError
from maze_policy.parameters import shown
from maze_policy.yaml_file import refuse_deep

METADATA_MOST_B = 200_000  # of a hundred topics 70,000


def check(path: Path) -> None:
    """Check all checksums of a rosbag2 folder or of one of its files.

    Of a bag that `BagWriter` wrote, each byte is checked, those of metadata.yaml against the copy in the MCAP file. One
    without a checksum of its data (rosbag2's) is read through instead. SQLite has no checksums: its pages are checked.

    Raises:
        BagError: if it is missing, unfinished or damaged; it names the first problem and what to do.
    """
    if not path.exists():
        raise BagError(f'there is no bag {path}')
    if packed := sorted(file.name for file in path.glob('*.zstd')):
        raise BagError(
            f'{path}: want files with the messages, got {packed[0]}, compressed as a whole: rewrite the bag without '
            'compression_mode file (`ros2 bag convert`)'
        )
    problem = problem_of(path)
    if problem:
        raise BagError(f'{problem}; see what can be had: `maze-introspection repair {path}`')


def problem_of(path: Path) -> str | None:
    """What is wrong with a bag, None where nothing is."""
    about = path / METADATA
    if path.is_dir() and not about.exists():
        return f'{path} is no finished bag: want a rosbag2 folder with {METADATA} in it'
    for file in storage_files(path):
        journal = file.with_name(f'{file.name}-wal')
        if journal.exists() and journal.stat().st_size:
            return f'{path} is no finished bag: part of it is still in {journal.name}'
        told = None
        try:
            if file.suffix == '.mcap':
                problem = _file_problem(file)
                told = None if problem else text_of(file, METADATA)
            else:
                problem = _database_problem(file)
        except (ValueError, sqlite3.Error) as error:
            problem = str(error)
        if problem:
            return f'{path} is truncated or damaged: {file.name}: {problem}'
        if told is not None and path.is_dir() and about.read_bytes() != told.encode():
            return f'{path} is damaged: {METADATA} is not the one that was recorded'
    return None


def metadata_text(path: Path) -> bytes:
    """The metadata.yaml of a bag.

    Raises:
        ValueError: if it would take its reader for ever.
        OSError: if it cannot be read.
    """
    with (path / METADATA).open('rb') as file:
        text = file.read(METADATA_MOST_B + 1)
    if len(text) > METADATA_MOST_B:
        raise ValueError(f'want {METADATA} of at most {METADATA_MOST_B} B, got more')
    refuse_deep(path / METADATA, text)
    return text


def described(path: Path) -> dict[str, Any]:
    """What the metadata.yaml of a bag says.

    Raises:
        ValueError: if it says nothing, or would take its reader for ever.
        OSError: if it cannot be read.
    """
    text = metadata_text(path)
    try:
        about = yaml.safe_load(text.decode())['rosbag2_bagfile_information']
    except Exception as error:  # PyYAML stumbles in many ways
        raise ValueError(f'want {METADATA} of a bag, got {type(error).__name__}: {error}') from error
    if not isinstance(about, dict):
        raise ValueError(f'want names and values in {METADATA}, got {shown(about)}')
    return about


def storage_files(path: Path) -> list[Path]:
    """The files with the messages, in their order."""
    found = [file for file in (path.iterdir() if path.is_dir() else [path]) if file.suffix in ('.mcap', '.db3')]
    return sorted(found, key=lambda file: (len(file.name), file.name))  # NAME_9 before NAME_10


def text_of(file: Path, name: str) -> str | None:
    """A text that `McapFile.add_text` put into a file with a good summary; the last one of that name.

    Raises:
        ValueError: if the file is damaged there.
    """
    summary = summary_of(file)
    places = [index.offset for index in summary.metadata_indexes if index.name == name] if summary else []
    with file.open('rb') as stream:
        texts = [good_text(record) for place in places if isinstance(record := record_at(stream, place), Metadata)]
    return texts[-1] if texts else None


def good_text(record: Metadata) -> str | None:
    """The text in it, if there is one and it is as it was written."""
    text = record.metadata.get('text')
    return text if text is not None and record.metadata.get('sha256') == digest(text) else None


def summary_of(file: Path) -> Summary | None:
    """Counts, topics and places, if what the file says of them is good.

    Raises:
        ValueError: if it has the right checksum, or none, and yet is none.
    """
    with file.open('rb') as stream:
        if summary_problem(stream):
            return None
        try:
            stream.seek(0)
            return SeekingReader(stream).get_summary()
        except Exception as error:  # without a checksum of its own it may hold anything
            raise ValueError(f'its summary is damaged: {error}') from error


def _file_problem(file: Path) -> str | None:
    with file.open('rb') as stream:
        problem = summary_problem(stream) or data_problem(stream)
        if problem or has_data_checksum(stream):
            return problem
        header = record_at(stream, len(MAGIC))
    if isinstance(header, Header) and header.library == LIBRARY:
        return 'the checksum of its data is missing'
    count = 0
    for record in salvage(file):
        if isinstance(record, Damage):
            return str(record)
        count += isinstance(record, Message)
    summary = summary_of(file)
    if summary and summary.statistics and summary.statistics.message_count != count:
        return f'want {summary.statistics.message_count:,} messages, got {count:,}'
    return None


def _database_problem(file: Path) -> str | None:
    with closing(sqlite3.connect(f'{file.resolve().as_uri()}?immutable=1', uri=True)) as database:
        (said,) = database.execute('PRAGMA quick_check(1)').fetchone()
    return None if said == 'ok' else str(said)
