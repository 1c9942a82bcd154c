"""Recording -> bag."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.bag.writer import TYPES, BagWriter
from maze_introspection.config import IntrospectionConfig
from maze_introspection.recording import Recording
from maze_policy import topics
from maze_policy.topics import NAMESPACE, Topic


def write_recording(path: Path | str, recording: Recording, observations: npt.NDArray[np.uint8] | None = None) -> None:
    """Write a recording as a bag with the topics that our nodes would have published, logged at their stamps.

    Args:
        path: folder to make; it must not exist.
        recording: what to write.
        observations: what the network saw, shape (T, 84, 84).

    Raises:
        BagError: if the folder exists or the disk refuses.
    """
    about = {'maze': json.dumps(recording.maze.as_dict())} if recording.maze else {}
    matrices: dict[Topic, npt.NDArray[Any]] = {
        topics.LSTM_GATES: recording.gates,
        topics.LSTM_STATE: np.stack([recording.hidden, recording.cell], axis=1),
        topics.ACTION_SCORES: recording.scores[:, None],
    }
    vectors = {topics.TILT_COMMAND: ('vector', recording.tilt_rad), topics.BALL: ('point', recording.ball_m)}
    used = [topics.READOUT, topics.EPISODE, *matrices, *vectors]
    if recording.live is not None:
        matrices[topics.CONTRIBUTION] = recording.live.share[:, None]
        used += [topics.CONTRIBUTION, topics.PRECEDING_OFFSET, topics.DIAGNOSTICS]
    if observations is not None:
        used.append(topics.OBSERVATION)
    with BagWriter(path, about) as writer:
        for topic in used:
            writer.add_topic(_name(topic), topic)

        def put(topic: Topic, message: Any, stamp_ns: int) -> None:
            writer.write(_name(topic), TYPES.serialize_cdr(message, topic.type), stamp_ns, stamp_ns)

        if recording.live is not None:
            offsets_from = np.searchsorted(recording.live.offsets['step'], np.arange(recording.steps + 1))
        changes = {first: config for first, _, config in recording.live.spans()} if recording.live is not None else {}
        episode = -1
        for step, stamp in enumerate(recording.stamp_ns.tolist()):
            if step == 0:
                put(topics.READOUT, _image(recording.readout, stamp), stamp)
            if step in changes:
                put(topics.DIAGNOSTICS, _diagnostics(changes[step], stamp), stamp)
            if recording.episode[step] != episode:
                episode = int(recording.episode[step])
                put(topics.EPISODE, _header(stamp, recording.episode_ids[episode]), stamp)
            if observations is not None:
                put(topics.OBSERVATION, _image(observations[step], stamp), stamp)
            for topic, values in matrices.items():
                if np.isfinite(values[step]).all():
                    put(topic, _image(values[step], stamp), stamp)
            for topic, (name, pairs) in vectors.items():
                if np.isfinite(pairs[step]).all():
                    put(topic, _vector(topic, name, pairs[step], stamp), stamp)
            if recording.live is not None:
                rows = recording.live.offsets[offsets_from[step] : offsets_from[step + 1]]
                if len(rows):
                    columns = [rows[name].astype(np.float32) for name in topics.OFFSET_COLUMNS]
                    put(topics.PRECEDING_OFFSET, _image(np.stack(columns, axis=1), stamp), stamp)


def _name(topic: Topic) -> str:
    return topic.name if topic.name.startswith('/') else f'{NAMESPACE}/{topic.name}'


def _diagnostics(config: IntrospectionConfig, stamp_ns: int) -> Any:
    """What the introspection node says of its thresholds, at the first step with them."""
    pair, status = (TYPES.types[f'diagnostic_msgs/msg/{name}'] for name in ('KeyValue', 'DiagnosticStatus'))
    told = {topics.PARAMETER_KEY + name: json.dumps(value) for name, value in config.as_dict().items()}
    told[topics.PARAMETERS_SINCE_KEY] = str(stamp_ns)
    node = f'{NAMESPACE}/introspection'
    values = [pair(key=key, value=value) for key, value in told.items()]
    said = status(level=0, name=node, message='ok', hardware_id=node, values=values)
    return TYPES.types[topics.DIAGNOSTICS.type](header=_header(stamp_ns), status=[said])


def _header(stamp_ns: int, frame_id: str = 'camera') -> Any:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    stamp = TYPES.types['builtin_interfaces/msg/Time'](sec=sec, nanosec=nanosec)
    return TYPES.types['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)


def _image(pixels: npt.NDArray[Any], stamp_ns: int) -> Any:
    """A float matrix as 32FC1, bytes as mono8."""
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape
    return TYPES.types[topics.IMAGE](
        header=_header(stamp_ns),
        height=height,
        width=width,
        encoding='mono8' if pixels.dtype == np.uint8 else '32FC1',
        is_bigendian=0,
        step=pixels.nbytes // height,
        data=pixels.reshape(-1).view(np.uint8),
    )


def _vector(topic: Topic, name: str, pair: npt.NDArray[np.float64], stamp_ns: int) -> Any:
    kind = {'vector': 'geometry_msgs/msg/Vector3', 'point': 'geometry_msgs/msg/Point'}[name]
    value = TYPES.types[kind](x=float(pair[0]), y=float(pair[1]), z=0.0)
    return TYPES.types[topic.type](header=_header(stamp_ns), **{name: value})
