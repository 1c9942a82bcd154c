"""Bags as a live run leaves them, with every topic, made in process; and the same with one message gone wrong."""

from __future__ import annotations

import json

import numpy as np

from maze_introspection.bag import BagWriter
from maze_introspection.bag.writer import TYPES
from maze_introspection.config import IntrospectionConfig, TrialsConfig
from maze_introspection.introspection import Introspection
from maze_introspection.recording import join
from maze_introspection.trials import play_one
from maze_policy import topics
from maze_policy.boards import Boards
from maze_policy.checkpoint import load_policy, provenance
from maze_policy.maze import load_maze
from maze_policy.network import build
from maze_policy.world import WorldConfig

BEGIN_NS = 1_795_000_000_000_000_000
CHANNELS = (0, 1, 2, 3)
CHECKPOINT = 'nominal'


def played(steps=60, episodes=1):
    """A recording of a shipped policy, and what it saw, shape (T, 84, 84)."""
    policy, maze = load_policy(CHECKPOINT, threads=1), load_maze()
    boards = Boards(maze, WorldConfig(), 1, 1)
    config = TrialsConfig(time_limit_s=steps / 30)
    runs = [play_one(policy, boards, maze, config, index, maze.rings) for index in range(episodes)]
    recording = join([recording for recording, _ in runs], 'played')
    recording.stamp_ns[:] += BEGIN_NS
    return recording, np.concatenate([seen for _, seen in runs])


def messages_of(recording, seen, changes=None, checkpoint=CHECKPOINT):
    """Everything that our nodes would have said, as [topic, stamp, CDR] in the order in which it is recorded.

    `changes` are other parameters of the introspection from these steps on; without a checkpoint none is named.
    """
    looking = Introspection(IntrospectionConfig())
    looking.set_readout(recording.readout)
    told = []

    def tell(topic, message, stamp):
        told.append([topic, stamp, bytes(TYPES.serialize_cdr(message, topic.type))])

    facts = {key: 0.5 if 'step' in name else 5.0 for name, key in topics.TILT_KEYS.items()}
    if checkpoint:
        facts[topics.CHECKPOINT_KEY], facts[topics.CHECKPOINT_SHA256_KEY] = (
            checkpoint,
            provenance(checkpoint)['sha256'],
        )
        facts[topics.BUILD_KEY] = build()
    tell(topics.READOUT, image(recording.readout, 5), 5)
    tell(topics.DIAGNOSTICS, diagnostics('policy', facts, 6), 6)
    changes = {0: IntrospectionConfig(), **(changes or {})}
    for t, stamp in enumerate(recording.stamp_ns.tolist()):
        if t in changes:
            looking.set_config(changes[t])
            about = {topics.PARAMETER_KEY + name: value for name, value in changes[t].as_dict().items()}
            tell(
                topics.DIAGNOSTICS,
                diagnostics('introspection', about | {topics.PARAMETERS_SINCE_KEY: stamp}, stamp),
                stamp,
            )
        tell(topics.CAMERA_IMAGE, image(np.repeat(seen[t][..., None], 3, axis=2), stamp), stamp)
        tell(topics.CAMERA_INFO, camera_info(stamp), stamp)
        tell(topics.BALL, vector(topics.BALL, recording.ball_m[t], stamp), stamp)
        tell(topics.TILT_COMMAND, vector(topics.TILT_COMMAND, recording.tilt_rad[t], stamp), stamp)
        if t == 0 or recording.episode[t] != recording.episode[t - 1]:
            tell(topics.EPISODE, header(stamp, recording.episode_ids[recording.episode[t]]), stamp)
        tell(topics.OBSERVATION, image(seen[t], stamp), stamp)
        parts = recording.gates[t], recording.hidden[t], recording.cell[t], recording.scores[t]
        tell(topics.LSTM_GATES, image(parts[0], stamp), stamp)
        tell(topics.LSTM_STATE, image(np.stack(parts[1:3]), stamp), stamp)
        tell(topics.ACTION_SCORES, image(parts[3][None], stamp), stamp)
        insight = looking.step(*parts, stamp_ns=stamp)
        tell(topics.CONTRIBUTION, image(insight.share[None], stamp), stamp)
        if len(insight.salient):
            tell(topics.SALIENT, image(insight.salient, stamp), stamp)
        if len(insight.offsets):
            more = {'action': insight.action, 'distance_m': np.hypot(*recording.ball_m[t])}
            columns = [more[name] if name in more else insight.offsets[name] for name in topics.OFFSET_COLUMNS]
            rows = np.stack(np.broadcast_arrays(*columns), axis=1).astype(np.float32)
            tell(topics.PRECEDING_OFFSET, image(rows, stamp), stamp)
        tell(topics.WATCHED, watched(parts[0], insight.share), stamp)
        if t + 1 == recording.steps or recording.episode[t] != recording.episode[t + 1]:
            tell(topics.TILT_COMMAND, vector(topics.TILT_COMMAND, (0.0, 0.0), stamp + 10_000_000), stamp + 10_000_000)
    return told


def write(path, told, namespace=topics.NAMESPACE):
    """The bag of these messages, numbered anew."""
    with BagWriter(path, {'maze': json.dumps(load_maze().as_dict())}) as writer:
        name_of = {t: t.name if t.name.startswith('/') else f'{namespace}/{t.name}' for t in topics.RECORDED}
        for topic, name in name_of.items():
            writer.add_topic(name, topic)
        for at, (topic, _, cdr) in enumerate(told):
            writer.write(name_of[topic], cdr, BEGIN_NS + at * 1_000_000, BEGIN_NS + at * 1_000_000)
    return path


def of_topic(told, topic):
    """Where its messages are."""
    return [at for at, (each, _, _) in enumerate(told) if each is topic]


def numbers_in(topic, cdr):
    """How many bytes at the end of a message are its numbers, and how many of these are one number."""
    if topic in (topics.TILT_COMMAND, topics.BALL):
        return 24, 8
    message = TYPES.deserialize_cdr(cdr, topic.type)
    if topic is topics.WATCHED:
        return 4 * len(message.data), 4
    return len(message.data), 4 if message.encoding == '32FC1' else 1


def flipped(topic, cdr, random):
    """With one bit of one number changed."""
    many, _ = numbers_in(topic, cdr)
    at = len(cdr) - many + int(random.integers(many))
    changed = bytearray(cdr)
    changed[at] ^= 1 << int(random.integers(8))
    return bytes(changed)


def with_stamp(cdr, stamp):
    """With another stamp in its header."""
    sec, nanosec = divmod(stamp, 1_000_000_000)
    return cdr[:4] + np.array([sec, nanosec], '<u4').tobytes() + cdr[12:]


def header(stamp, frame_id='camera'):
    sec, nanosec = divmod(int(stamp), 1_000_000_000)
    return TYPES.types['std_msgs/msg/Header'](
        stamp=TYPES.types['builtin_interfaces/msg/Time'](sec=sec, nanosec=nanosec), frame_id=frame_id
    )


def image(pixels, stamp):
    pixels = np.ascontiguousarray(pixels)
    encoding = '32FC1' if pixels.dtype == np.float32 else 'rgb8' if pixels.ndim == 3 else 'mono8'
    return TYPES.types[topics.IMAGE](
        header=header(stamp),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels.nbytes // pixels.shape[0],
        data=pixels.reshape(-1).view(np.uint8),
    )


def vector(topic, pair, stamp):
    kind, name = {
        topics.BALL: ('geometry_msgs/msg/Point', 'point'),
        topics.TILT_COMMAND: ('geometry_msgs/msg/Vector3', 'vector'),
    }[topic]
    value = TYPES.types[kind](x=float(pair[0]), y=float(pair[1]), z=0.0)
    return TYPES.types[topic.type](header=header(stamp), **{name: value})


def watched(gates, share):
    dimension, layout = (TYPES.types[f'std_msgs/msg/MultiArray{name}'] for name in ('Dimension', 'Layout'))
    values = np.column_stack([gates[:, list(CHANNELS)].T, share[list(CHANNELS)]]).astype(np.float32)
    label = 'channel ' + ' '.join(map(str, CHANNELS))
    dims = [dimension(label=label, size=4, stride=20), dimension(label='columns', size=5, stride=5)]
    return TYPES.types[topics.WATCHED.type](layout=layout(dim=dims, data_offset=0), data=values.ravel())


def camera_info(stamp):
    roi = TYPES.types['sensor_msgs/msg/RegionOfInterest'](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return TYPES.types[topics.CAMERA_INFO.type](
        header=header(stamp),
        height=84,
        width=84,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=np.zeros(9),
        r=np.zeros(9),
        p=np.zeros(12),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def diagnostics(node, told, stamp):
    pair, status = (TYPES.types[f'diagnostic_msgs/msg/{name}'] for name in ('KeyValue', 'DiagnosticStatus'))
    values = [pair(key=k, value=v if isinstance(v, str) else json.dumps(v)) for k, v in told.items()]
    name = f'{topics.NAMESPACE}/{node}'
    said = status(level=0, name=name, message='ok', hardware_id=name, values=values)
    return TYPES.types[topics.DIAGNOSTICS.type](header=header(stamp), status=[said])
