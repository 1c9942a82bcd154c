"""Messages gone wrong, off the wire and out of a bag: refused or taken, never a crash."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from fuzzing import promised
from mutate import mutated

DATA = Path(__file__).parent / 'data' / 'live_run'
MANY = 25_000  # per process


@pytest.mark.promise('Bad input', 'mutated CDR payloads, read as a node reads them', quick=2000, full=1_000_000)
def test_payloads_off_the_wire(promise):
    promised(promise, 'test_fuzz_cdr', 'off_the_wire', MANY)
    assert most_is_refused(promise)


@pytest.mark.promise('Bad input', 'mutated CDR payloads, read as out of a bag', quick=2000, full=1_000_000)
def test_payloads_out_of_a_bag(promise):
    promised(promise, 'test_fuzz_cdr', 'out_of_a_bag', MANY)
    assert most_is_refused(promise)


def most_is_refused(promise):
    """What is only another number cannot be; but a decoder that takes all, or nothing, is put to no test here."""
    return all(40 < percent < 95 for percent in promise.seen['refused, %'])


def payloads():
    """Good ones, as (topic, CDR): recorded, and made where the recording has none."""
    from rclpy.serialization import serialize_message
    from rosbags.rosbag2 import Reader

    from maze_policy import messages, topics
    from maze_policy.config import CameraConfig
    from maze_policy.topics import Topic

    by_name = {f'{topics.NAMESPACE}/{topic.name}': topic for topic in topics.ALL}
    found = {}
    with Reader(DATA) as reader:
        for connection, _, cdr in reader.messages():
            found.setdefault(by_name[connection.topic], []).append(bytes(cdr))
    random = np.random.default_rng(0)
    header = messages.header_at(1_700_000_000_000_000_000, 'camera')
    joints = messages.message_class('sensor_msgs/msg/JointState')(name=['tilt_x', 'tilt_y'], position=[0.0, 0.1])
    made = {
        topics.CAMERA_IMAGE: messages.picture_message(header, random.integers(0, 256, (84, 96, 3), np.uint8)),
        topics.OBSERVATION: messages.picture_message(header, random.integers(0, 256, (84, 84), np.uint8)),
        topics.CAMERA_INFO: messages.camera_info_message(header, CameraConfig(), 0.2),
        topics.DIAGNOSTICS: messages.diagnostics_message(
            header,
            f'{topics.NAMESPACE}/introspection',
            0,
            'ok',
            {f'{topics.PARAMETER_KEY}theta_g': 0.5, topics.PARAMETERS_SINCE_KEY: 1_700_000_000_000_000_000},
        ),
        Topic('/joint_states', 'sensor_msgs/msg/JointState', 1): joints,
    }
    for topic, message in made.items():
        found.setdefault(topic, []).append(serialize_message(message))
    return [(topic, cdr) for topic, all_ in found.items() for cdr in all_[:: max(len(all_) // 20, 1)]]


def one_of(good, take):
    """`one(seed)`: a payload of these, mutated, taken as one of its topic."""

    def one(seed):
        random = Random(seed)
        topic, cdr = random.choice(good)
        take(topic, mutated(random, cdr, random.choice(good)[1]))

    return one


def off_the_wire():
    from rclpy.serialization import deserialize_message

    from maze_introspection.bag import read_recording
    from maze_introspection.config import IntrospectionConfig
    from maze_introspection.introspection import Introspection
    from maze_policy import messages, topics
    from maze_policy.board import BoardConfig
    from maze_policy.observation import observe

    recording, board = read_recording(DATA), BoardConfig()
    t = 50
    state = np.stack([recording.hidden[t], recording.cell[t]])
    parts = {
        topics.LSTM_GATES: recording.gates[t],
        topics.LSTM_STATE: state,
        topics.ACTION_SCORES: recording.scores[t][None],
    }

    def look(parts, readout=recording.readout):
        introspection = Introspection(IntrospectionConfig())
        introspection.set_readout(readout)
        gates, (hidden, cell), (scored,) = parts.values()
        introspection.step(gates, hidden, cell, scored)

    def take(topic, cdr):
        kind = messages.message_class(topic.type)
        try:
            message = deserialize_message(cdr, kind)
        except Exception as error:  # rclpy's own; its executor's business
            raise ValueError(f'undecodable: {error}') from error
        if topic is topics.EPISODE:
            messages.stamp_ns(message)
        elif hasattr(message, 'header'):
            messages.stamp_ns(message.header)
        if topic is topics.CAMERA_IMAGE:
            observe(messages.picture(message, 'rgb8'), board)
        elif topic is topics.OBSERVATION:
            messages.picture(message, 'mono8', (84, 84))
        elif topic in parts:
            look({**parts, topic: messages.matrix(message, (len(parts[topic]), None))})
        elif topic is topics.READOUT:
            look(parts, messages.matrix(message))
        elif topic.type == topics.IMAGE:
            messages.matrix(message)
        elif topic is topics.TILT_COMMAND:
            messages.tilt(message)
        elif topic is topics.BALL:
            np.hypot(*messages.ball(message))
        elif topic.name == '/joint_states':
            messages.joint_positions(message, ['tilt_x', 'tilt_y'])

    return one_of(payloads(), take)


def out_of_a_bag():
    from maze_introspection.bag import decode
    from maze_introspection.bag.writer import TYPES, BagError
    from maze_policy import topics

    def take(topic, cdr):
        try:  # as access.OpenBag.messages does
            decode.cdr_stamp_ns(cdr)
            message = TYPES.deserialize_cdr(cdr, topic.type)
        except Exception as error:
            raise BagError(f'undecodable: {error}') from error
        decode.stamp_ns(message if topic is topics.EPISODE else message.header)
        if topic in (topics.CAMERA_IMAGE, topics.OBSERVATION):
            decode.pixels(DATA, topic, message)
        elif topic.type == topics.IMAGE:
            decode.matrix(DATA, topic, message)
        elif topic is topics.DIAGNOSTICS:
            decode.introspection_parameters(message, topics.NAMESPACE)

    return one_of(payloads(), take)
