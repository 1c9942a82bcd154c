import json
import os

import numpy as np
import pytest
import yaml
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader

from maze_introspection.bag import BagError, BagWriter, read_images, read_recording, write_recording
from maze_introspection.bag.writer import TYPES
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

    @pytest.mark.parametrize('kept', [0.0, 0.001, 0.3, 0.9, 0.999])
    def test_truncated(self, bag, kept):
        path = next(bag.glob('*.mcap'))
        os.truncate(path, int(path.stat().st_size * kept))
        with pytest.raises(BagError, match=r'truncated|want'):
            read_recording(bag)

    def test_every_flipped_byte_of_the_data_is_seen(self, bag):
        """Each in turn: what is read is either refused or not touched by it, never silently different."""
        path = next(bag.glob('*.mcap'))
        whole = path.read_bytes()
        truth = read_recording(bag)
        refused = 0
        for position in np.random.default_rng(0).integers(0, len(whole), 150):
            broken = bytearray(whole)
            broken[position] ^= 0x10
            path.write_bytes(broken)
            try:
                again = read_recording(bag)
            except BagError:
                refused += 1
                continue
            for name in ('stamp_ns', 'gates', 'hidden', 'cell', 'scores', 'readout'):
                np.testing.assert_array_equal(getattr(again, name), getattr(truth, name), err_msg=f'byte {position}')
        assert refused > 50

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

    def test_a_killed_recording_lacks_only_its_last_chunk(self, tmp_path):
        """Without close: what is on the disk is what a kill -9 would leave."""
        writer = BagWriter(tmp_path / 'bag')
        writer.add_topic('/maze/ball', topics.BALL)
        cdr = TYPES.serialize_cdr(
            TYPES.types['geometry_msgs/msg/PointStamped'](
                header=TYPES.types['std_msgs/msg/Header'](
                    stamp=TYPES.types['builtin_interfaces/msg/Time'](sec=1, nanosec=2), frame_id='x' * 1000
                ),
                point=TYPES.types['geometry_msgs/msg/Point'](x=1.0, y=2.0, z=0.0),
            ),
            topics.BALL.type,
        )
        for step in range(1000):
            writer.write('/maze/ball', cdr, step, step)
        found = 0
        with open(tmp_path / 'bag' / 'bag_0.mcap', 'rb') as stream:
            try:
                for record in StreamReader(stream, validate_crcs=True).records:
                    found += type(record).__name__ == 'Message'
            except EndOfFile:
                pass
        writer.close()
        assert 1000 - found <= 64 * 1024 // len(cdr) + 1
