import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader

from maze_introspection.bag import BagError
from maze_introspection.recorder_node import RecorderNode
from maze_policy import messages, topics
from maze_policy.maze import load_maze

CONTENT = {topics.TILT_COMMAND: messages.tilt_message, topics.BALL: messages.ball_message}


def example(topic, stamp_ns):
    """A message of a topic's type that carries this stamp."""
    header = messages.header_at(stamp_ns, 'camera')
    if topic.type == topics.IMAGE:
        return messages.matrix_message(header, np.full((2, 3), stamp_ns % 97))
    if topic in CONTENT:
        return CONTENT[topic](header, np.array([stamp_ns % 97, 0.5]))
    made = messages.message_class(topic.type)()
    if topic is topics.EPISODE:
        return header
    if hasattr(made, 'header'):
        made.header = header
    return made


@pytest.fixture
def recorded(graph, tmp_path):
    """A bag of three messages on every recorded topic, the first said as soon as the recorder is matched."""
    bag = tmp_path / 'bag'
    probe = graph.probe()
    for topic in topics.RECORDED:
        probe.publisher(topic)
    recorder = graph.add(RecorderNode, bag=str(bag), maze__ball_radius_m=0.005)
    graph.until(lambda: probe.matched(*topics.RECORDED))
    said = {topic.name: [example(topic, stamp) for stamp in (1, 2, 3)] for topic in topics.RECORDED}
    for topic in topics.RECORDED:
        for index, message in enumerate(said[topic.name]):
            probe.say(topic, message)
            want = 3 * topics.RECORDED.index(topic) + index + 1
            graph.until(lambda want=want: recorder.health.counted('messages') >= want)
    graph.until(lambda: not recorder._unmatched)
    recorder.finish()
    return bag, said


def absolute(name):
    return name if name.startswith('/') else f'/maze/{name}'


def test_every_message_is_there_unchanged_from_the_first_on(recorded):
    bag, said = recorded
    with AnyReader([bag]) as reader:
        heard = {absolute(name): [] for name in said}
        for connection, _, raw in reader.messages():
            kind = messages.message_class(connection.msgtype)
            heard[connection.topic].append(deserialize_message(bytes(raw), kind))
    for topic in topics.RECORDED:
        got = heard[absolute(topic.name)]
        if topic is topics.DIAGNOSTICS:  # the recorder says something there itself
            got = [message for message in got if not message.status]
        assert got == said[topic.name], topic.name


def test_mcap_reads_it_and_knows_when_each_message_was_sent_and_received(recorded):
    bag, _ = recorded
    with open(bag / 'bag_0.mcap', 'rb') as stream:
        count = 0
        for schema, channel, message in make_reader(stream, validate_crcs=True).iter_messages():
            assert channel.message_encoding == 'cdr'
            assert schema.encoding == 'ros2msg'
            assert 0 < message.log_time - message.publish_time < 60e9
            count += 1
    assert count >= 3 * len(topics.RECORDED)


def test_metadata_names_types_and_counts_and_the_recordings_own_geometry(recorded):
    bag, said = recorded
    content = yaml.safe_load((bag / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    counts = {
        entry['topic_metadata']['name']: (entry['topic_metadata']['type'], entry['message_count'])
        for entry in content['topics_with_message_count']
    }
    for topic in topics.RECORDED:
        kind, count = counts[absolute(topic.name)]
        assert kind == topic.type
        assert count >= 3 if topic is topics.DIAGNOSTICS else count == 3
    assert set(counts) == {absolute(name) for name in said}
    assert json.loads(content['custom_data']['maze']) == load_maze().as_dict() | {'ball_radius_m': 0.005}


def test_an_existing_folder_is_never_overwritten(graph, tmp_path):
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag/precious').write_text('data')
    with pytest.raises(BagError, match='exists already; a bag is never overwritten'):
        graph.add(RecorderNode, bag=str(tmp_path / 'bag'))
    assert (tmp_path / 'bag/precious').read_text() == 'data'


def test_a_misspelt_parameter_makes_no_bag(graph, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'bag'"):
        graph.add(RecorderNode, bag=str(tmp_path / 'bag'), bga='x')
    assert not (tmp_path / 'bag').exists()


def test_only_the_named_topics_are_recorded(graph, tmp_path):
    probe = graph.probe()
    recorder = graph.add(RecorderNode, bag=str(tmp_path / 'bag'), topics=['ball'])
    graph.until(lambda: probe.matched(topics.BALL))
    probe.say(topics.BALL, example(topics.BALL, 1))
    graph.until(lambda: recorder.health.counted('messages') == 1)
    recorder.finish()
    with AnyReader([tmp_path / 'bag']) as reader:
        assert {connection.topic for connection in reader.connections} == {'/maze/ball'}


def test_a_best_effort_camera_is_heard_when_asked_for(graph, tmp_path):
    from maze_policy.qos import qos

    probe = graph.probe()
    camera = probe.node.create_publisher(
        messages.message_class(topics.IMAGE), topics.CAMERA_IMAGE.name, qos(topics.CAMERA_IMAGE, reliable=False)
    )
    recorder = graph.add(
        RecorderNode, bag=str(tmp_path / 'bag'), topics=[topics.CAMERA_IMAGE.name], camera_reliable=False
    )

    def heard():
        camera.publish(example(topics.CAMERA_IMAGE, 1))
        return recorder.health.counted('messages')

    graph.until(heard)


def test_a_full_disk_ends_with_one_clear_line_and_an_error_code(graph, domain, tmp_path):
    bag = tmp_path / 'bag'

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    probe = graph.probe()
    arguments = ['--ros-args', '-r', '__ns:=/maze', '-p', f'bag:={bag}']
    recorder = subprocess.Popen(
        [sys.executable, '-m', 'maze_introspection.recorder_node', *arguments],
        env={**os.environ, 'ROS_DOMAIN_ID': str(domain)},
        stderr=subprocess.PIPE,
        preexec_fn=small_disk,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    noise = np.random.default_rng(0).integers(0, 256, (84, 84), dtype=np.uint8)
    probe.publisher(topics.OBSERVATION)
    graph.until(lambda: probe.publisher(topics.OBSERVATION).get_subscription_count())

    def ended():
        probe.say(topics.OBSERVATION, messages.picture_message(messages.header_at(1), noise))
        return recorder.poll() is not None

    graph.until(ended)
    error = recorder.stderr.read()
    assert recorder.returncode == 1
    assert 'recorder: cannot write to the bag' in error
    assert 'File too large' in error
    assert 'Traceback' not in error
