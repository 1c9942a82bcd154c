import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Graph
from mcap.reader import make_reader
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader

from maze_introspection.bag import BagError, read_recording
from maze_introspection.bag.check import check
from maze_introspection.recorder_node import RecorderNode
from maze_introspection.repair import repair
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


class Nothing(Exception):
    """Not one message could be recovered."""


class Recording:
    """A recorder in a process of its own, and this process, which talks and knows what it said when."""

    def __init__(self, domain, log, bag, *arguments, begin=None):
        self.bag, self.graph = bag, Graph(domain)  # of its own: nobody here knows of a recorder killed before
        self.probe, self.ended = self.graph.probe(), False
        self.said = {topic: [] for topic in topics.RECORDED}  # monotonic ns and stamp
        for topic in topics.RECORDED:
            self.probe.publisher(topic)
        self.probe.hear(topics.DIAGNOSTICS)
        self.log = log
        given = [word for value in (f'bag:={bag}', *arguments) for word in ('-p', value)]
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'maze_introspection.recorder_node', '--ros-args', '-r', '__ns:=/maze', *given],
            env={**os.environ, 'ROS_DOMAIN_ID': str(domain)},
            stderr=self.log.open('w'),
            preexec_fn=begin,
            cwd=Path(__file__).parent.parent,
        )

    def ready(self):
        """Once both sides know of each other: before, a queue of one may forget what it was told first."""
        self.graph.until(lambda: self.probe.matched(*topics.RECORDED) and 'matched: ready' in self.log.read_text())
        return self

    def talk(self, condition, deadline_s=60.0):
        """Say what a maze run says, 30 times a second and the seldom ones seldom, until something holds."""
        noise = np.random.default_rng(0)
        every = {topics.EPISODE: 60, topics.READOUT: 90, topics.DIAGNOSTICS: 15, topics.PRECEDING_OFFSET: 7}
        began_s = due_s = time.monotonic()
        tick, slowest_s = 0, 0.0
        while not condition():
            assert time.monotonic() < began_s + deadline_s
            for topic in topics.RECORDED:
                if tick % every.get(topic, 1) == 0:
                    stamp = len(self.said[topic]) + 1
                    message = example(topic, stamp)
                    if topic is topics.OBSERVATION:
                        picture = noise.integers(0, 256, (160, 160), dtype=np.uint8)
                        message = messages.picture_message(messages.header_at(stamp), picture)
                    said_s = time.monotonic()
                    self._say(topic, message)
                    slowest_s = max(slowest_s, time.monotonic() - said_s)
            tick += 1
            self.graph.executor.spin_once(timeout_sec=0)
            due_s = max(due_s + 1 / 30, time.monotonic())
            while time.monotonic() < due_s:
                self.graph.executor.spin_once(timeout_sec=max(due_s - time.monotonic(), 0))
        return slowest_s

    def _say(self, topic, message):
        self.said[topic].append((time.monotonic_ns(), len(self.said[topic]) + 1))
        self.probe.say(topic, message)

    def errors(self):
        """What it says on /diagnostics that is wrong."""
        return [
            status.message
            for message in self.probe.heard[topics.DIAGNOSTICS]
            for status in message.status
            if status.name == '/maze/recorder' and status.level == b'\x02'
        ]

    def end(self, number=signal.SIGTERM):
        """Its exit code and what it wrote to stderr."""
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.ended = True
        self.graph.close()
        return code, self.log.read_text()

    def repaired(self, out):
        """What is in the repaired bag."""
        try:
            repair(self.bag, out)
        except BagError as error:
            raise (Nothing if 'no message could be recovered' in str(error) else error) from error
        return self.heard_in(out)

    def heard_in(self, bag):
        """Stamps by topic, in order, of what we said; some have no stamp, their order tells it."""
        found = {topic: [] for topic in topics.RECORDED}
        by_name = {absolute(topic.name): topic for topic in topics.RECORDED}
        with AnyReader([bag]) as reader:
            for connection, _, cdr in reader.messages():
                topic = by_name[connection.topic]
                message = deserialize_message(bytes(cdr), messages.message_class(topic.type))
                if topic is topics.WATCHED:
                    found[topic].append(len(found[topic]) + 1)
                elif not (topic is topics.DIAGNOSTICS and message.status):  # its own
                    header = message if topic is topics.EPISODE else message.header
                    found[topic].append(header.stamp.sec * 1_000_000_000 + header.stamp.nanosec)
        return found


@pytest.fixture
def recording(domain, tmp_path):
    """Start recorders; none outlives the test."""
    made = []

    def start(bag=tmp_path / 'bag', *arguments, **more):
        made.append(Recording(domain, tmp_path / f'log{len(made)}', bag, *arguments, **more))
        return made[-1]

    yield start
    for each in made:
        if not each.ended:
            each.end(signal.SIGKILL)


@pytest.mark.promise(
    'Recordings',
    'recorder killed (-9) at any moment: all but the last 0.5 s of each topic is recovered',
    quick=2,
    full=100,
)
def test_a_killed_recorder_loses_half_a_second_at_most(promise, recording, tmp_path):
    for seed in promise.times():
        bag, out = tmp_path / f'bag{seed}', tmp_path / f'out{seed}'
        kill_s = np.random.default_rng(seed).uniform(0.1, 4.0)
        run = recording(bag).ready()
        began_s = time.monotonic()
        run.talk(lambda: time.monotonic() - began_s > kill_s)  # noqa: B023
        killed_ns = time.monotonic_ns()
        run.end(signal.SIGKILL)
        with pytest.raises(BagError, match='maze-introspection repair'):
            read_recording(bag)
        found = {topic: [] for topic in topics.RECORDED}
        with contextlib.suppress(Nothing):  # on the disk yet
            found = run.repaired(out)
        for topic, said in run.said.items():
            stamps = [stamp for _, stamp in said]
            kept = len(found[topic])
            assert found[topic] == stamps[:kept], f'{topic.name}: the first ones, each once'
            lost_s = (killed_ns - said[kept][0]) / 1e9 if kept < len(said) else 0.0
            promise.saw('s lost of a topic', lost_s)
            assert lost_s <= 0.5, topic.name


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 6 MB; who may not mount one checks the same with numbers alone, in test_bag.py."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', str(disk)], capture_output=True).returncode:
        pytest.skip('want the right to mount a tmpfs')
    yield disk
    subprocess.run(['umount', '-l', str(disk)], check=True)


def assert_kept_up_to_then(run, bag, limit=60):
    """The bag holds the first of what was said, of each topic."""
    found = run.heard_in(bag)
    assert len(found[topics.OBSERVATION]) > limit
    for topic, said in run.said.items():
        assert found[topic] == [stamp for _, stamp in said][: len(found[topic])], topic.name


@pytest.mark.promise(
    'Recordings',
    'disk nearly full: a closed, readable bag, an error on /diagnostics; who talks goes on',
    quick=1,
    full=20,
)
def test_a_disk_that_fills_up_ends_the_recording_and_nothing_else(promise, recording, small_disk):
    for seed in promise.times():
        bag = small_disk / f'bag{seed}'
        run = recording(bag, 'min_free_mb:=4.0').ready()
        run.talk(run.errors)
        assert 'recording ended: the disk' in run.errors()[0]
        assert run.process.poll() is None, 'it goes on, for those who talk to it'
        check(bag)
        assert_kept_up_to_then(run, bag)
        size = sum(path.stat().st_size for path in bag.iterdir())
        told, now_s = len(run.errors()), time.monotonic()
        slowest_s = run.talk(lambda: time.monotonic() > now_s + 1.0 and len(run.errors()) > told)  # noqa: B023
        promise.saw('ms to publish afterwards, at most', 1e3 * slowest_s)
        assert slowest_s < 0.1
        assert size == sum(path.stat().st_size for path in bag.iterdir())
        promise.saw('MB left free', shutil.disk_usage(small_disk).free / 1e6)
        assert shutil.disk_usage(small_disk).free > 3e6
        code, error = run.end()
        assert code == 1
        assert 'recorder: recording ended early: the disk of' in error
        assert 'Traceback' not in error
        shutil.rmtree(bag)


@pytest.mark.promise(
    'Recordings', 'disk full in the middle of a write: all but the last 0.5 s is there or repaired', quick=1, full=20
)
def test_a_disk_that_is_full_in_mid_write(promise, recording, small_disk, tmp_path):
    """Nobody kept watch: what is there is a closed bag, or one that `repair` makes whole on another disk."""
    for seed in promise.times():
        bag, out = small_disk / f'bag{seed}', tmp_path / f'out{seed}'
        filler = small_disk / 'filler'
        filler.write_bytes(bytes(4_000_000 + 1000 * seed))
        run = recording(bag, 'min_free_mb:=0.0').ready()
        run.talk(run.errors)
        refused_ns = time.monotonic_ns()
        assert 'No space left on device' in run.errors()[0]
        code, error = run.end()
        assert code == 1
        assert 'No space left on device' in error
        assert 'Traceback' not in error
        done = repair(bag, out)
        where = done.out or bag
        assert_kept_up_to_then(run, where)
        found = run.heard_in(where)
        first_lost = [said[len(found[topic])][0] for topic, said in run.said.items() if len(found[topic]) < len(said)]
        promise.saw('s lost of a topic', (refused_ns - min(first_lost)) / 1e9)
        assert refused_ns - min(first_lost) < 0.5e9 + 0.5e9, 'and half a second until it is told'
        shutil.rmtree(bag)
        filler.unlink()


def test_a_file_that_may_not_grow_ends_the_recording_too(recording):
    """No disk is full, but the system refuses."""

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    run = recording(begin=small_files).ready()
    run.talk(run.errors)
    assert 'cannot write to the bag' in run.errors()[0]
    code, error = run.end()
    assert code == 1
    assert 'File too large' in error
    assert 'Traceback' not in error


def test_too_little_space_to_begin_with(recording, tmp_path):
    run = recording(tmp_path / 'bag', 'min_free_mb:=1000000.0')
    assert run.process.wait(30) == 1
    assert 'recorder_node: the disk of' in run.log.read_text()
    assert not (tmp_path / 'bag').exists()


@pytest.mark.promise('Recordings', 'nothing was recorded: said, with exit code 1', quick=1, full=20)
def test_an_empty_bag_is_no_success(promise, recording, tmp_path):
    for seed in promise.times():
        run = recording(tmp_path / f'bag{seed}')
        run.graph.until(lambda: run.probe.matched(*topics.RECORDED))  # noqa: B023
        code, error = run.end()
        assert code == 1
        assert 'recorder: nothing was recorded: no message on ' in error


@pytest.mark.parametrize('sent_ns', [None, 0, -1, -(2**63), 2**63 - 1])
def test_a_message_whose_sender_has_an_impossible_clock_is_recorded_too(graph, tmp_path, sent_ns):
    recorder = graph.add(RecorderNode, bag=str(tmp_path / 'bag'), topics=['ball'])
    graph.until(lambda: '/maze/ball' in recorder._bag.count)
    recorder._writer('/maze/ball')(bytes(20), {'source_timestamp': sent_ns})
    recorder.finish()
    assert recorder._bag.count['/maze/ball'] == 1


def test_a_folder_that_goes_ends_the_recording_and_nothing_else(graph, tmp_path):
    recorder = graph.add(RecorderNode, bag=str(tmp_path / 'bag'), topics=['ball'])
    graph.until(lambda: '/maze/ball' in recorder._bag.count)
    shutil.rmtree(tmp_path / 'bag')
    recorder._writer('/maze/ball')(bytes(20), {})
    graph.until(lambda: recorder._stopped)
    assert 'No such file or directory' in recorder._stopped
    with pytest.raises(BagError, match='recording ended early'):
        recorder.finish()


def test_what_gets_lost_on_the_way_is_counted(graph, tmp_path):
    """By the numbers that the middleware gives; here two publishers on one topic, and three lost messages."""
    probe, other = graph.probe(), graph.probe()
    recorder = graph.add(RecorderNode, bag=str(tmp_path / 'bag'), topics=['ball'])
    graph.until(lambda: probe.matched(topics.BALL) and other.matched(topics.BALL))
    for stamp in (1, 2, 3):
        probe.say(topics.BALL, example(topics.BALL, stamp))
        other.say(topics.BALL, example(topics.BALL, stamp))
    graph.until(lambda: recorder.health.counted('messages') == 6)
    assert len(recorder._number) == 2
    assert recorder._lost.total() == 0
    recorder._number = {key: number - 3 for key, number in recorder._number.items()}
    probe.say(topics.BALL, example(topics.BALL, 4))
    graph.until(lambda: recorder.health.counted('messages') == 7)
    assert recorder._lost == {'/maze/ball': 3}
    recorder.finish()
    content = yaml.safe_load((tmp_path / 'bag' / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert json.loads(content['custom_data']['lost']) == {'/maze/ball': 3}
