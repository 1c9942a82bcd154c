import os
import re
import shutil
import sqlite3
import struct

import numpy as np
import pytest
import yaml
import zstandard
from made import keeping, made_recording
from mcap.records import Chunk
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import CompressionType, Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
from test_bag import make_recording

from maze_introspection.bag import BagError, BagWriter, mcap_file, read_recording, write_recording
from maze_introspection.bag.check import check, problem_of
from maze_introspection.bag.mcap_file import MAGIC
from maze_introspection.bag.salvage import Damage, salvage
from maze_introspection.bag.writer import TYPES
from maze_introspection.cli import main
from maze_introspection.repair import recurrence_says, repair
from maze_introspection.verify import verify
from maze_policy import topics
from maze_policy.maze import load_maze


def messages(file):
    """All messages of an MCAP file in the order in which they were written, to the last bit."""
    names, found = {}, []
    with file.open('rb') as stream:
        for record in StreamReader(stream, validate_crcs=True).records:
            kind = type(record).__name__
            if kind == 'Channel':
                names[record.id] = record.topic
            elif kind == 'Message':
                found.append(
                    (names[record.channel_id], record.sequence, record.log_time, record.publish_time, record.data)
                )
    return found


class Whole:
    """A bag of many chunks, and where each lies in its file."""

    def __init__(self, path):
        self.path, self.file = path, path / f'{path.name}_0.mcap'
        self.bytes = self.file.read_bytes()
        self.about = (path / 'metadata.yaml').read_bytes()
        self.messages = messages(self.file)
        self.chunks = []  # offset, end, messages
        with self.file.open('rb') as stream:
            at, first = len(MAGIC), 0
            for record in StreamReader(stream, emit_chunks=True).records:
                length = 9 + struct.unpack_from('<Q', self.bytes, at + 1)[0]
                if isinstance(record, Chunk):
                    count = sum(type(inside).__name__ == 'Message' for inside in breakup_chunk(record))
                    self.chunks.append((at, at + length, self.messages[first : first + count]))
                    first += count
                at += length

    def broken(self, folder, data, about):
        """A copy that holds this instead."""
        folder.mkdir()
        (folder / self.file.name).write_bytes(data)
        (folder / 'metadata.yaml').write_bytes(about)
        return folder


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp('whole') / 'bag'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mcap_file, 'CHUNK_BYTES', 4000)
        write_recording(path, make_recording(steps=60))
    made = Whole(path)
    assert len(made.chunks) > 6
    return made


def assert_refused_and_repaired(whole, broken, expected, out):
    """Reading says that it is damaged and what to do; repair keeps exactly what was expected, and touches nothing.

    It may keep all where the damage has no meaning, such as one of zstd's unused bits. Returns how many were lost.
    """
    before = {path: path.read_bytes() for path in broken.iterdir()}
    with pytest.raises(BagError, match='maze-introspection repair'):
        read_recording(broken)
    if expected:
        done = repair(broken, out)
        check(out)
        found = messages(out / f'{out.name}_0.mcap')
        assert found in (expected, whole.messages)
        lost = len(whole.messages) - len(found)
        assert sum(kept.missing for kept in done.topics.values()) == lost or not done.complete
        assert done.complete <= (lost == 0), 'it must not say that all is there where it is not'
    else:
        with pytest.raises(BagError, match='no message could be recovered'):
            repair(broken, out)
        assert not out.exists(), 'no empty success'
        lost = len(whole.messages)
    assert {path: path.read_bytes() for path in broken.iterdir()} == before
    return lost


@pytest.mark.promise(
    'Recordings', 'a bag cut anywhere: refused, and repaired to all before the cut, byte for byte', quick=20, full=1000
)
def test_every_cut_is_seen_and_what_is_before_it_kept(promise, whole, tmp_path):
    for seed in promise.times():
        cut = int(np.random.default_rng(seed).integers(0, len(whole.bytes) + len(whole.about)))
        data, about = whole.bytes[:cut], whole.about
        if cut >= len(whole.bytes):  # then it is metadata.yaml that is cut
            data, about = whole.bytes, whole.about[: cut - len(whole.bytes)]
        broken = whole.broken(tmp_path / f'cut{seed}', data, about)
        expected = [message for _, end, inside in whole.chunks if end <= cut for message in inside]
        lost = assert_refused_and_repaired(whole, broken, expected, tmp_path / f'out{seed}')
        promise.saw('messages lost', lost)


@pytest.mark.promise(
    'Recordings',
    'one bit flipped anywhere: refused, and repaired to all but the chunk it is in, byte for byte',
    quick=20,
    full=1000,
)
def test_every_flipped_bit_is_seen_and_all_but_its_chunk_kept(promise, whole, tmp_path):
    for seed in promise.times():
        at, bit = divmod(int(np.random.default_rng(seed).integers(0, 8 * (len(whole.bytes) + len(whole.about)))), 8)
        both = bytearray(whole.bytes + whole.about)
        both[at] ^= 1 << bit
        broken = whole.broken(tmp_path / f'flip{seed}', both[: len(whole.bytes)], both[len(whole.bytes) :])
        expected = [message for begin, end, inside in whole.chunks if not begin <= at < end for message in inside]
        lost = assert_refused_and_repaired(whole, broken, expected, tmp_path / f'out{seed}')
        promise.saw('messages lost', lost)


class TestWhatIsSaid:
    def test_a_whole_bag_is_left_alone(self, whole, tmp_path, capsys):
        assert main(['repair', str(whole.path), '--out', str(tmp_path / 'out')]) == 0
        assert 'is whole: nothing to repair' in capsys.readouterr().out
        assert not (tmp_path / 'out').exists()

    def test_a_bag_whose_recorder_was_killed(self, whole, tmp_path, capsys):
        """The chunks are there, no index and no metadata.yaml; how much came after, nobody knows: exit code 1."""
        broken = whole.broken(tmp_path / 'bag', whole.bytes[: whole.chunks[-1][1]], b'')
        (broken / 'metadata.yaml').unlink()
        assert main(['repair', str(broken)]) == 1
        said = capsys.readouterr().out
        assert f'{len(whole.messages)} messages recovered into {tmp_path / "bag_repaired"}' in said
        assert '/maze/policy/lstm_gates: 60 messages, the last 0.000 s before the end; none missing' in said
        assert 'afterwards nobody knows' in said
        assert f'at {whole.chunks[-1][1]:,}: it ends without an index' in said
        assert 'recurrence: steps are missing before 0' in said  # random numbers keep no recurrence
        again, truth = read_recording(tmp_path / 'bag_repaired'), read_recording(whole.path)
        np.testing.assert_array_equal(again.gates, truth.gates)
        assert again.maze == load_maze(), 'the geometry survives the crash'
        about = yaml.safe_load((tmp_path / 'bag_repaired' / 'metadata.yaml').read_text())
        assert 'repaired' in about['rosbag2_bagfile_information']['custom_data']

    def test_metadata_alone_is_damaged(self, whole, tmp_path, capsys):
        """All is there: exit code 0; and what only metadata.yaml says wrongly is not believed."""
        broken = whole.broken(tmp_path / 'bag', whole.bytes, whole.about.replace(b'0.096', b'0.196'))
        with pytest.raises(BagError, match=r'metadata.yaml is not the one that was recorded'):
            read_recording(broken)
        assert main(['repair', str(broken)]) == 0
        assert 'missing;' not in capsys.readouterr().out
        assert read_recording(tmp_path / 'bag_repaired').maze == load_maze()

    def test_a_chunk_from_the_middle(self, whole, tmp_path, capsys):
        begin, end, inside = whole.chunks[3]
        data = bytearray(whole.bytes)
        data[end - 5] ^= 0xFF
        broken = whole.broken(tmp_path / 'bag', data, whole.about)
        assert main(['repair', str(broken)]) == 1
        said = capsys.readouterr().out
        lost = [name for name, *_ in inside].count('/maze/policy/lstm_gates')
        assert f'{lost} missing' in next(line for line in said.splitlines() if 'lstm_gates' in line)
        assert f'bytes at {begin:,} dropped' in said

    def test_nothing_is_left(self, whole, tmp_path, capsys):
        broken = whole.broken(tmp_path / 'bag', whole.bytes[:100], whole.about)
        assert main(['repair', str(broken)]) == 2
        assert 'no message could be recovered' in capsys.readouterr().err

    @pytest.mark.parametrize('about', ['[' * 5000, '{a: ' * 2000, "a: '" + 'x' * 1_000_000, '[1]', 'a: !!float x'])
    def test_metadata_that_hurts_its_reader(self, whole, tmp_path, about):
        broken = whole.broken(tmp_path / 'bag', whole.bytes[: whole.chunks[-1][1]], about.encode())
        with pytest.raises(BagError, match=r'metadata.yaml is damaged'):
            verify(broken)
        done = repair(broken, tmp_path / 'out')
        assert sum(kept.count for kept in done.topics.values()) == len(whole.messages)

    @pytest.mark.parametrize('count', ['.inf', '.nan', '1e400', 'x', '[1]'])
    def test_metadata_that_counts_nonsense(self, whole, tmp_path, count):
        about = re.sub(rb'message_count: \d+', f'message_count: {count}'.encode(), whole.about)
        broken = whole.broken(tmp_path / 'bag', whole.bytes[: whole.chunks[-1][1]], about)
        assert {kept.told for kept in repair(broken, tmp_path / 'out').topics.values()} == {None}

    @pytest.mark.parametrize('there', ['nowhere', 'folder', 'file'])
    def test_no_bag(self, tmp_path, capsys, there):
        (tmp_path / 'folder').mkdir()
        (tmp_path / 'file').write_text('hello')
        assert main(['repair', str(tmp_path / there)]) == 2
        assert capsys.readouterr().err.startswith('maze-introspection: ')

    def test_an_existing_folder_is_never_overwritten(self, whole, tmp_path):
        broken = whole.broken(tmp_path / 'bag', whole.bytes[:-1], whole.about)
        (tmp_path / 'out').mkdir()
        (tmp_path / 'out' / 'precious').write_text('data')
        with pytest.raises(BagError, match='exists already'):
            repair(broken, tmp_path / 'out')
        assert (tmp_path / 'out' / 'precious').read_text() == 'data'

    def test_a_step_that_fell_out_shows_in_the_recurrence(self, tmp_path):
        recording = made_recording(steps=30)
        write_recording(tmp_path / 'all', recording)
        assert recurrence_says(tmp_path / 'all').endswith('no step is missing between the first and the last of 30')
        write_recording(tmp_path / 'fewer', keeping(recording, np.arange(30) != 17))
        stamp = recording.stamp_ns[18]
        assert recurrence_says(tmp_path / 'fewer').endswith(f'steps are missing before 17 (stamp {stamp}) of 29')


class TestDamage:
    """Whole stretches, not single bits."""

    @pytest.mark.parametrize('chunk', [0, 2])
    def test_a_stretch_of_zeros(self, whole, tmp_path, chunk):
        """As after a power failure; the first chunk holds the types too, which stand before it once more."""
        begin, end, _ = whole.chunks[chunk]
        data = whole.bytes[: begin + 3] + bytes(end - begin) + whole.bytes[end + 3 :]
        broken = whole.broken(tmp_path / 'bag', data, whole.about)
        expected = [message for at, _, inside in whole.chunks if at != begin for message in inside]
        assert_refused_and_repaired(whole, broken, expected, tmp_path / 'out')

    def test_a_message_index_that_turns_into_a_message(self, whole, tmp_path):
        """One bit of its opcode; nothing would vouch for such a message."""
        end = whole.chunks[1][1]
        assert whole.bytes[end] == 7
        data = bytearray(whole.bytes)
        data[end] = 5
        broken = whole.broken(tmp_path / 'bag', data, whole.about)
        assert_refused_and_repaired(whole, broken, whole.messages, tmp_path / 'out')

    def test_a_size_that_asks_for_all_memory(self, whole, tmp_path):
        begin = whole.chunks[1][0]
        data = bytearray(whole.bytes)
        struct.pack_into('<Q', data, begin + 25, 2**62)
        broken = whole.broken(tmp_path / 'bag', data, whole.about)
        found = [record for record in salvage(broken / whole.file.name) if isinstance(record, Damage)]
        assert [damage.offset for damage in found] == [begin]
        assert 'want a chunk of at most' in found[0].why

    def test_a_byte_that_looks_like_the_beginning_of_the_chunk_behind_it(self, whole, tmp_path):
        data = bytearray(whole.bytes)
        data[whole.chunks[1][0]] = 99  # where it ends, it says no more
        data[whole.chunks[1][0] + 1 : whole.chunks[1][0] + 9] = b'\xff' * 8
        data[whole.chunks[2][0] - 1] = 6
        broken = whole.broken(tmp_path / 'bag', data, whole.about)
        expected = [message for at, _, inside in whole.chunks if at != whole.chunks[1][0] for message in inside]
        assert_refused_and_repaired(whole, broken, expected, tmp_path / 'out')

    def test_a_damaged_chunk_whose_end_is_known_needs_no_search(self, whole, tmp_path, monkeypatch):
        """A search of the rest of the file for every damaged chunk takes hours on a large one."""
        data = bytearray(whole.bytes)
        for _, end, _ in whole.chunks[1:3]:
            data[end - 5] ^= 0xFF
        (tmp_path / 'bag.mcap').write_bytes(data)
        monkeypatch.setattr('maze_introspection.bag.salvage._CHUNK_BEGINS', None)
        damages = [record for record in salvage(tmp_path / 'bag.mcap') if isinstance(record, Damage)]
        assert [damage.offset for damage in damages] == [begin for begin, _, _ in whole.chunks[1:3]]

    def test_something_behind_the_end(self, whole, tmp_path):
        broken = whole.broken(tmp_path / 'bag', whole.bytes + b'x', whole.about)
        assert_refused_and_repaired(whole, broken, whole.messages, tmp_path / 'out')


class TestBagsOfOthers:
    def test_an_mcap_file_without_chunks_or_checksums_and_an_unknown_type(self, tmp_path):
        """As `ros2 bag record` can be told to write it; killed, it has no end."""
        (tmp_path / 'bag').mkdir()
        with (tmp_path / 'bag' / 'bag_0.mcap').open('wb') as stream:
            writer = Writer(stream, compression=CompressionType.NONE, use_chunking=False, enable_crcs=False)
            writer.start(profile='ros2')
            kind = writer.register_schema('their_msgs/msg/Own', 'ros2msg', b'int32 number\n')
            channel = writer.register_channel('/theirs', 'cdr', kind, {'offered_qos_profiles': ''})
            for number in range(5):
                writer.add_message(channel, number, struct.pack('<Ii', 256, number), number, 7)
            stream.write(b'\x05\x20')  # the beginning of one more
        done = repair(tmp_path / 'bag', tmp_path / 'out')
        assert not done.complete
        found = messages(tmp_path / 'out' / 'out_0.mcap')
        assert [(name, time, data) for name, _, time, _, data in found] == [
            ('/theirs', number, struct.pack('<Ii', 256, number)) for number in range(5)
        ]
        assert [sequence for _, sequence, *_ in found] == list(range(5))

    def test_a_checksum_of_a_chunk_is_enough_to_see_damage(self, whole, tmp_path):
        """mcap writes no checksum of the data by default."""
        with (tmp_path / 'bag.mcap').open('wb') as stream:
            writer = Writer(stream, chunk_size=500)
            writer.start(profile='ros2')
            kind = writer.register_schema('std_msgs/msg/Header', 'ros2msg', b'')
            channel = writer.register_channel('/theirs', 'cdr', kind)
            for number in range(100):
                writer.add_message(channel, number, np.random.default_rng(number).bytes(50), number)
            writer.finish()
        assert problem_of(tmp_path / 'bag.mcap') is None
        data = bytearray((tmp_path / 'bag.mcap').read_bytes())
        data[len(data) // 3] ^= 1
        (tmp_path / 'bag.mcap').write_bytes(data)
        assert 'truncated or damaged' in problem_of(tmp_path / 'bag.mcap')

    def test_a_summary_without_a_checksum_that_is_damaged(self, tmp_path):
        """Where it begins there is no good record; there is an end all the same."""
        with (tmp_path / 'bag.mcap').open('wb') as stream:
            writer = Writer(stream, enable_crcs=False)
            writer.start(profile='ros2')
            kind = writer.register_schema('std_msgs/msg/Header', 'ros2msg', b'string frame_id\n')
            writer.add_message(writer.register_channel('/theirs', 'cdr', kind), 0, bytes(20), 0)
            writer.finish()
        data = bytearray((tmp_path / 'bag.mcap').read_bytes())
        (start,) = struct.unpack_from('<Q', data, len(data) - 28)
        data[start] = 99
        data[start + 1 : start + 9] = b'\xff' * 8
        (tmp_path / 'bag.mcap').write_bytes(data)
        done = repair(tmp_path / 'bag.mcap', tmp_path / 'out')
        assert [damage.offset for _, damage in done.damages] == [start, len(data)]
        assert done.topics['/theirs'].count == 1

    @pytest.fixture
    def sqlite(self, whole, tmp_path):
        """The same messages in a SQLite bag without metadata.yaml."""
        kinds = {f'{topics.NAMESPACE}/{topic.name}': topic.type for topic in topics.ALL if topic.name[0] != '/'}
        with RosbagsWriter(tmp_path / 'db', version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
            added = {}
            for name, _, time, _, data in whole.messages:
                if name in kinds:
                    if name not in added:
                        added[name] = writer.add_connection(name, kinds[name], typestore=TYPES)
                    writer.write(added[name], time, data)
        (tmp_path / 'db' / 'metadata.yaml').unlink()
        return tmp_path / 'db'

    def test_sqlite_without_metadata(self, whole, sqlite, tmp_path):
        with pytest.raises(BagError, match='maze-introspection repair'):
            read_recording(sqlite)
        done = repair(sqlite, tmp_path / 'out')
        assert not done.damages
        found = messages(tmp_path / 'out' / 'out_0.mcap')
        want = [message for message in whole.messages if message[0] != '/diagnostics']
        assert [(name, time, data) for name, _, time, _, data in found] == [
            (name, time, data) for name, _, time, _, data in want
        ]
        np.testing.assert_array_equal(read_recording(tmp_path / 'out').gates, read_recording(whole.path).gates)

    def test_sqlite_whose_last_messages_are_still_in_its_journal(self, sqlite, tmp_path):
        file = next(sqlite.glob('*.db3'))
        database = sqlite3.connect(file)
        database.execute('PRAGMA journal_mode=WAL')
        database.execute('PRAGMA wal_autocheckpoint=0')
        database.execute('INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 99, ?)', (b'\0late',))
        database.commit()
        broken = tmp_path / 'broken'
        shutil.copytree(sqlite, broken)  # as a kill would leave it: the journal is merged at a close
        database.close()
        (broken / 'metadata.yaml').write_text('')
        assert 'still in' in problem_of(broken)
        repair(broken, tmp_path / 'out')
        assert (99, b'\0late') in [(time, data) for _, _, time, _, data in messages(tmp_path / 'out' / 'out_0.mcap')]

    @pytest.mark.parametrize('column', ['data = 500000', "data = 'text'", "timestamp = 'now'", 'timestamp = -5'])
    def test_sqlite_rows_that_hold_something_else(self, whole, sqlite, tmp_path, column):
        """SQLite takes any type in any column; a number as data is no message of as many zeros."""
        with sqlite3.connect(next(sqlite.glob('*.db3'))) as database:
            (there,) = database.execute('SELECT COUNT(*) FROM messages').fetchone()
            database.execute(f'UPDATE messages SET {column} WHERE id = 20')
        done = repair(sqlite, tmp_path / 'out')
        assert sum(kept.count for kept in done.topics.values()) == there - 1
        assert '1 rows left out: want a time and CDR in each' in str(done.damages[0][1])
        assert not done.complete

    def test_sqlite_whose_messages_are_compressed_one_by_one(self, sqlite, tmp_path):
        """What was to decompress them stood in metadata.yaml; as they are they are no messages."""
        with sqlite3.connect(next(sqlite.glob('*.db3'))) as database:
            database.execute('UPDATE messages SET data = ?', (zstandard.compress(b'message'),))
        with pytest.raises(BagError, match=r'no message could be recovered .*want a time and CDR'):
            repair(sqlite, tmp_path / 'out')

    def test_how_a_topic_was_offered_may_be_nonsense(self, sqlite, tmp_path):
        with sqlite3.connect(next(sqlite.glob('*.db3'))) as database:
            database.execute("UPDATE topics SET offered_qos_profiles = '- x: ['")
        repair(sqlite, tmp_path / 'out')
        assert read_recording(tmp_path / 'out').steps

    def test_sqlite_that_is_cut(self, whole, sqlite, tmp_path):
        file = next(sqlite.glob('*.db3'))
        os.truncate(file, file.stat().st_size // 2)
        done = repair(sqlite, tmp_path / 'out')
        assert done.damages
        assert not done.complete
        found = [(name, time, data) for name, _, time, _, data in messages(tmp_path / 'out' / 'out_0.mcap')]
        want = [(name, time, data) for name, _, time, _, data in whole.messages if name != '/diagnostics']
        assert found == want[: len(found)]
        assert found


def test_a_bag_that_says_more_than_its_file_holds_is_refused(tmp_path):
    """rosbags passes over a topic whose QoS is another in the file; also in a bag of others, without our copy."""
    write_recording(tmp_path / 'ours', make_recording(live=False))
    with RosbagsWriter(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        added = {}
        kinds = {f'{topics.NAMESPACE}/{topic.name}': topic.type for topic in topics.ALL}
        for name, _, time, _, data in messages(tmp_path / 'ours' / 'ours_0.mcap'):
            if name not in added:
                added[name] = writer.add_connection(name, kinds[name], typestore=TYPES)
            writer.write(added[name], time, data)
    assert read_recording(tmp_path / 'bag').steps == 40
    about = tmp_path / 'bag' / 'metadata.yaml'
    text = about.read_text()
    changed = text.replace('message_count: 40', 'message_count: 41', 1)
    assert changed != text
    about.write_text(changed)
    with pytest.raises(BagError, match='1 messages fewer on'):
        read_recording(tmp_path / 'bag')


def test_a_writer_that_is_never_closed_leaves_all_that_was_flushed(tmp_path):
    """Also of topics that came long ago and seldom."""
    writer = BagWriter(tmp_path / 'bag', {'maze': 'mine'})
    for name in ('/seldom', '/often'):
        writer.add_topic(name, topics.BALL)
    writer.write('/seldom', b'first', 0, 0)
    writer.flush()
    for number in range(20):
        writer.write('/often', b'some', number, number)
    writer.flush()
    writer.write('/often', b'lost', 20, 20)
    done = repair(tmp_path / 'bag', tmp_path / 'out')
    assert {name: kept.count for name, kept in done.topics.items()} == {'/seldom': 1, '/often': 20}
    about = yaml.safe_load((tmp_path / 'out' / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert about['custom_data']['maze'] == 'mine'
