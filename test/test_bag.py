import errno
import json
import os

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from maze_introspection.bag import BagError, BagWriter, mcap_file, read_images, read_recording, write_recording
from maze_introspection.bag.check import check
from maze_introspection.bag.writer import DiskFullError
from maze_introspection.config import IntrospectionConfig
from maze_introspection.recording import LIVE_OFFSET, Live, Recording
from maze_policy import topics
from maze_policy.maze import load_maze

CHANNELS, ACTIONS = 6, 5
HEADER_HASH = 'RIHS01_f49fb3ae2cf070f793645ff749683ac6b06203e41c891e17701b1cb597ce6a01'


def make_recording(steps=40, *, seed=0, live=True) -> Recording:
    """Random but well-formed: nothing here is checked against the recurrence."""
    rng = np.random.default_rng(seed)
    offsets = np.zeros(3, dtype=LIVE_OFFSET)
    offsets['step'], offsets['gate'], offsets['channel'], offsets['offset'] = [2, 2, 9], [0, 3, 1], [1, 2, 5], [0, 1, 7]
    offsets['distance_m'] = rng.random(3)
    offsets['censored'] = [True, False, False]
    return Recording(
        stamp_ns=1_700_000_000_000_000_000 + 33_333_333 * np.arange(steps, dtype=np.int64),
        gates=rng.random((steps, 4, CHANNELS), dtype=np.float32),
        hidden=rng.random((steps, CHANNELS), dtype=np.float32),
        cell=rng.random((steps, CHANNELS), dtype=np.float32),
        scores=rng.random((steps, ACTIONS), dtype=np.float32),
        readout=rng.random((ACTIONS, CHANNELS + 1), dtype=np.float32),
        episode=(np.arange(steps) >= steps // 2).astype(np.int64),
        episode_ids=('episode-0001', 'episode-0002'),
        tilt_rad=rng.random((steps, 2)),
        ball_m=rng.random((steps, 2)),
        maze=load_maze(),
        live=Live(
            rng.random((steps, CHANNELS), dtype=np.float32),
            offsets,
            (IntrospectionConfig(), IntrospectionConfig(theta_c=0.07)),
            (np.arange(steps) >= 11).astype(np.int64),
        )
        if live
        else None,
    )


@pytest.fixture
def bag(tmp_path):
    path = tmp_path / 'bag'
    write_recording(path, make_recording())
    return path


def test_a_recording_survives_the_bag_bit_for_bit(tmp_path):
    recording = make_recording()
    observations = np.random.default_rng(1).integers(0, 256, (recording.steps, 84, 84), dtype=np.uint8)
    write_recording(tmp_path / 'bag', recording, observations)
    again = read_recording(tmp_path / 'bag')
    for name in ('stamp_ns', 'gates', 'hidden', 'cell', 'scores', 'readout', 'episode', 'tilt_rad', 'ball_m'):
        np.testing.assert_array_equal(getattr(again, name), getattr(recording, name), err_msg=name)
    assert again.episode_ids == recording.episode_ids
    assert again.maze == recording.maze
    np.testing.assert_array_equal(again.live.share, recording.live.share)
    np.testing.assert_array_equal(again.live.offsets, recording.live.offsets)
    assert again.live.spans() == recording.live.spans()
    assert [first for first, _, _ in again.live.spans()] == [0, 11]
    stamps = recording.stamp_ns[[3, 17]]
    images = read_images(tmp_path / 'bag', topics.OBSERVATION, stamps)
    assert sorted(images) == stamps.tolist()
    np.testing.assert_array_equal(images[int(stamps[1])], observations[17])


def test_rosbags_and_mcap_read_every_message(bag):
    with AnyReader([bag]) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        decoded = [reader.deserialize(cdr, connection.msgtype) for connection, _, cdr in reader.messages()]
    assert counts['/maze/policy/lstm_gates'] == 40
    assert counts['/maze/policy/episode'] == 2
    assert len(decoded) == sum(counts.values())
    with open(next(bag.glob('*.mcap')), 'rb') as stream:
        reader = make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        assert sum(1 for _ in reader.iter_messages()) == len(decoded)
    assert {schema.encoding for schema in summary.schemas.values()} == {'ros2msg'}
    assert {channel.message_encoding for channel in summary.channels.values()} == {'cdr'}


def test_metadata_is_what_rosbag2_wants(bag):
    about = yaml.safe_load((bag / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert about['version'] == 8
    assert about['storage_identifier'] == 'mcap'
    assert (bag / about['relative_file_paths'][0]).exists()
    assert about['message_count'] == sum(topic['message_count'] for topic in about['topics_with_message_count'])
    assert about['starting_time']['nanoseconds_since_epoch'] == 1_700_000_000_000_000_000
    assert about['duration']['nanoseconds'] == 39 * 33_333_333
    assert json.loads(about['custom_data']['maze']) == load_maze().as_dict()
    qos = {
        topic['topic_metadata']['name']: yaml.safe_load(topic['topic_metadata']['offered_qos_profiles'])[0]
        for topic in about['topics_with_message_count']
    }
    assert qos['/maze/policy/readout']['durability'] == 1  # transient local
    assert qos['/maze/policy/lstm_gates']['durability'] == 2  # volatile
    assert qos['/maze/policy/lstm_gates']['depth'] == 50
    assert {profile['reliability'] for profile in qos.values()} == {1}  # reliable
    hashes = {
        topic['topic_metadata']['type']: topic['topic_metadata']['type_description_hash']
        for topic in about['topics_with_message_count']
    }
    # as `ros2 topic info --verbose` tells it for std_msgs/msg/Header
    assert hashes['std_msgs/msg/Header'] == HEADER_HASH
    assert '&' not in (bag / 'metadata.yaml').read_text()  # rosbag2 reads no anchors


def test_one_episode_keeps_its_own_live_rows():
    recording = make_recording()
    second = recording.only(1)
    assert second.steps == 20
    assert second.episode_ids == ('episode-0002',)
    assert len(second.live.offsets) == 0
    np.testing.assert_array_equal(recording.only(0).live.offsets, recording.live.offsets)
    with pytest.raises(IndexError, match='0 to 1, got 2'):
        recording.only(2)


def test_a_step_with_a_missing_part_is_left_out(tmp_path):
    whole, part = make_recording(live=False), tmp_path / 'part'
    write_recording(tmp_path / 'whole', whole)
    dropped = int(whole.stamp_ns[5])

    def keep(topic, stamp):
        return not (topic == '/maze/policy/lstm_state' and stamp == dropped)

    _copy(tmp_path / 'whole', part, keep)
    again = read_recording(part)
    np.testing.assert_array_equal(again.stamp_ns, np.delete(whole.stamp_ns, 5))
    np.testing.assert_array_equal(again.gates, np.delete(whole.gates, 5, axis=0))


def test_steps_before_the_first_known_episode_are_kept(tmp_path):
    write_recording(tmp_path / 'whole', make_recording(live=False))
    _copy(tmp_path / 'whole', tmp_path / 'part', lambda topic, stamp: topic != '/maze/policy/episode')
    again = read_recording(tmp_path / 'part')
    assert again.steps == 40
    assert again.episode_ids == ('unnamed',)


def _copy(source, target, keep):
    by_name = {f'{topics.NAMESPACE}/{topic.name}': topic for topic in topics.ALL}
    with AnyReader([source]) as reader, BagWriter(target) as writer:
        for connection in reader.connections:
            writer.add_topic(connection.topic, by_name[connection.topic])
        for connection, stamp, cdr in reader.messages():
            if keep(connection.topic, stamp):
                writer.write(connection.topic, cdr, stamp, stamp)


class TestBadBags:
    def test_missing(self, tmp_path):
        with pytest.raises(BagError, match='there is no bag'):
            read_recording(tmp_path / 'nowhere')

    def test_a_folder_that_is_no_bag(self, tmp_path):
        with pytest.raises(BagError, match='no finished bag'):
            read_recording(tmp_path)

    def test_a_file_compressed_as_a_whole(self, bag):
        [file] = bag.glob('*.mcap')
        file.rename(file.with_name(f'{file.name}.zstd'))
        with pytest.raises(BagError, match=r'got .*\.mcap\.zstd, compressed as a whole'):
            read_recording(bag)

    @pytest.mark.parametrize('kept', [0.0, 0.001, 0.3, 0.9, 0.999])
    def test_truncated(self, bag, kept):
        path = next(bag.glob('*.mcap'))
        os.truncate(path, int(path.stat().st_size * kept))
        with pytest.raises(BagError, match=r'truncated|want'):
            read_recording(bag)

    def test_without_our_topics(self, tmp_path):
        with BagWriter(tmp_path / 'bag') as writer:
            writer.add_topic('/other', topics.BALL)
        with pytest.raises(BagError, match=r'no topic policy/lstm_gates; it has: /other'):
            read_recording(tmp_path / 'bag')

    @pytest.mark.parametrize(
        ('name', 'shape', 'message'),
        [
            ('hidden', (40, 4), 'lstm_state'),
            ('readout', (ACTIONS, CHANNELS), 'want 7 columns in policy/readout'),
            ('scores', (40, 3), 'want 5 columns in policy/action_scores'),
        ],
    )
    def test_wrong_channel_counts(self, tmp_path, name, shape, message):
        recording = make_recording(live=False)
        object.__setattr__(recording, name, np.zeros(shape, dtype=np.float32))
        if name == 'hidden':
            object.__setattr__(recording, 'cell', np.zeros(shape, dtype=np.float32))
        write_recording(tmp_path / 'bag', recording)
        with pytest.raises(BagError, match=message):
            read_recording(tmp_path / 'bag')

    def test_nan_in_a_gate(self, tmp_path):
        recording = make_recording(live=False)
        recording.gates[7, 2, 3] = 1.2345678
        write_recording(tmp_path / 'whole', recording)
        # the writer leaves out what is not finite, so the NaN goes into the serialized message
        known, nan = np.float32(1.2345678).tobytes(), np.float32(np.nan).tobytes()
        by_name = {f'{topics.NAMESPACE}/{topic.name}': topic for topic in topics.ALL}
        with AnyReader([tmp_path / 'whole']) as reader, BagWriter(tmp_path / 'bag') as writer:
            for connection in reader.connections:
                writer.add_topic(connection.topic, by_name[connection.topic])
            for connection, stamp, cdr in reader.messages():
                writer.write(connection.topic, bytes(cdr).replace(known, nan), stamp, stamp)
        with pytest.raises(BagError, match=r'finite gates, got a NaN or infinity at \(7, 2, 3\)'):
            read_recording(tmp_path / 'bag')

    def test_a_stamp_that_comes_twice(self, tmp_path):
        recording = make_recording(live=False)
        recording.stamp_ns[11] = recording.stamp_ns[10]
        write_recording(tmp_path / 'bag', recording)
        with pytest.raises(BagError, match='comes twice'):
            read_recording(tmp_path / 'bag')

    def test_two_policies(self, tmp_path):
        write_recording(tmp_path / 'one', make_recording(live=False))
        by_name = {f'{topics.NAMESPACE}/{topic.name}': topic for topic in topics.ALL}
        with AnyReader([tmp_path / 'one']) as reader, BagWriter(tmp_path / 'two') as writer:
            for connection in reader.connections:
                writer.add_topic(connection.topic, by_name[connection.topic])
                writer.add_topic('/other' + connection.topic, by_name[connection.topic])
            for connection, stamp, cdr in reader.messages():
                writer.write(connection.topic, cdr, stamp, stamp)
                writer.write('/other' + connection.topic, cdr, stamp, stamp)
        with pytest.raises(BagError, match='more than one policy'):
            read_recording(tmp_path / 'two')
        assert read_recording(tmp_path / 'two', '/other/maze').steps == 40


class TestWriter:
    def test_never_overwrites(self, bag):
        with pytest.raises(BagError, match='exists already'):
            BagWriter(bag)

    def test_unwritable_folder(self, tmp_path):
        (tmp_path / 'file').write_text('')
        with pytest.raises(BagError, match='cannot make the bag'):
            BagWriter(tmp_path / 'file' / 'bag')

    def test_unknown_topic(self, tmp_path):
        with BagWriter(tmp_path / 'bag') as writer, pytest.raises(BagError, match='has no topic /nowhere'):
            writer.write('/nowhere', b'', 0, 0)

    def test_an_empty_bag_is_readable(self, tmp_path):
        with BagWriter(tmp_path / 'bag') as writer:
            writer.add_topic('/maze/ball', topics.BALL)
        with AnyReader([tmp_path / 'bag']) as reader:
            assert [connection.topic for connection in reader.connections] == ['/maze/ball']


class TestFullDisk:
    """What the recorder does then, on a real full disk, is in test_recorder_node.py."""

    def free(self, monkeypatch, *megabytes):
        left = [os.statvfs_result((1, 1_000_000, 0, 0, free, 0, 0, 0, 0, 255)) for free in megabytes]
        monkeypatch.setattr(os, 'statvfs', lambda path: left.pop(0) if len(left) > 1 else left[0])

    def test_too_little_space_to_begin_with(self, tmp_path, monkeypatch):
        self.free(monkeypatch, 99)
        with pytest.raises(DiskFullError, match=r'is full: 99\.0 MB are free, 100 MB are to stay so'):
            BagWriter(tmp_path / 'bag', min_free_bytes=100_000_000)
        assert not (tmp_path / 'bag').exists()

    @pytest.mark.parametrize('how', ['flush', 'write'])
    def test_what_made_it_full_is_still_written(self, tmp_path, monkeypatch, how):
        monkeypatch.setattr(mcap_file, 'CHUNK_BYTES', 500)
        self.free(monkeypatch, 101, 100, 99)
        with BagWriter(tmp_path / 'bag', min_free_bytes=100_000_000) as writer:
            writer.add_topic('/maze/ball', topics.BALL)
            writer.write('/maze/ball', b'first', 0, 0)
            writer.flush()
            if how == 'write':
                with pytest.raises(DiskFullError):
                    writer.write('/maze/ball', bytes(1000), 1, 1)
            else:
                writer.write('/maze/ball', b'second', 1, 1)
                with pytest.raises(DiskFullError):
                    writer.flush()
        check(tmp_path / 'bag')
        with AnyReader([tmp_path / 'bag']) as reader:
            assert [stamp for _, stamp, _ in reader.messages()] == [0, 1]

    def test_a_chunk_that_the_disk_refuses_leaves_nothing_behind(self, tmp_path):
        """Half of it was written already: that half goes, and the end is written where the next chunk would be."""
        writer = BagWriter(tmp_path / 'bag')
        writer.add_topic('/maze/ball', topics.BALL)
        writer.write('/maze/ball', b'kept', 0, 0)
        writer.flush()
        file = writer._mcap._file

        class Full:
            def __getattr__(self, name):
                return getattr(file, name)

            def write(self, data):
                if len(data) > 50:
                    return file.write(data[:50])
                raise OSError(errno.ENOSPC, 'No space left on device')

        writer._mcap._file = Full()
        writer.write('/maze/ball', b'refused', 1, 1)
        with pytest.raises(BagError, match='No space left on device'):
            writer.flush()
        writer._mcap._file = file
        assert writer.count == {'/maze/ball': 1}
        writer.close()
        check(tmp_path / 'bag')
        with AnyReader([tmp_path / 'bag']) as reader:
            assert [bytes(cdr) for _, _, cdr in reader.messages()] == [b'kept']
