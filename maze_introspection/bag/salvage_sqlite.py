"""Everything that a SQLite file of rosbag2's tells, also one that was never closed; it carries no checksums."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mcap import records

from maze_introspection.bag.salvage import Damage
from maze_introspection.bag.writer import TYPES
from maze_policy.parameters import shown

CDR = b'\0'  # how a serialized message begins; one that was compressed does not


def salvage_sqlite(path: Path) -> Iterator[records.McapRecord | Damage]:
    """Its topics and messages as records of an MCAP file, up to the first page that cannot be read.

    What is still in its journal counts as written. To find out, SQLite writes; so a copy is read.
    """
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.glob(f'{path.name}*'):  # the journal too
            shutil.copy(file, folder)
        try:
            with closing(sqlite3.connect(Path(folder) / path.name)) as database:
                database.execute('PRAGMA writable_schema=ON')  # else a database that was cut is not read at all
                yield from _topics(database)
                rows = database.execute('SELECT topic_id, timestamp, data FROM messages ORDER BY id')
                odd: list[object] = []
                for topic, stamp_ns, data in rows:
                    if isinstance(stamp_ns, int) and stamp_ns >= 0 and isinstance(data, bytes) and data[:1] == CDR:
                        yield records.Message(topic, stamp_ns, data, stamp_ns, 0)
                    else:
                        odd.append((stamp_ns, data) if not odd else None)
                if odd:
                    first = shown(odd[0])
                    yield Damage(0, 0, f'{len(odd):,} rows left out: want a time and CDR in each, got {first} first')
        except (sqlite3.Error, ValueError, TypeError) as error:
            yield Damage(0, 0, f'SQLite reads no further: {error}')


def _topics(database: sqlite3.Connection) -> Iterator[records.McapRecord]:
    columns = {row[1] for row in database.execute('PRAGMA table_info(topics)')}
    wanted = [name if name in columns else "''" for name in ('offered_qos_profiles', 'type_description_hash')]
    known = {row[1] for row in database.execute('PRAGMA table_list')}
    told = 'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
    definitions = {row[0]: row[1:] for row in database.execute(told)} if 'message_definitions' in known else {}
    for number, name, kind, qos, type_hash in database.execute(
        f'SELECT id, name, type, {", ".join(wanted)} FROM topics'
    ):
        if kind not in definitions:  # before Iron the bag does not say
            text = TYPES.generate_msgdef(kind, ros_version=2)[0] if kind in TYPES.types else ''
            definitions[kind] = ('ros2msg' if text else '', text)
        encoding, text = definitions[kind]
        yield records.Schema(id=number, name=kind, encoding=encoding, data=text.encode())
        yield records.Channel(number, name, 'cdr', {'offered_qos_profiles': qos, 'topic_type_hash': type_hash}, number)
