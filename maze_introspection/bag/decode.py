"""Messages of a bag -> arrays, with nothing guessed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.bag.writer import BagError
from maze_introspection.config import told_parameters
from maze_policy import topics
from maze_policy.topics import Topic

Float32 = npt.NDArray[np.float32]
STAMP_BYTES = 12  # of a message that begins with a Header, up to the end of its stamp


def matrix(path: Path, topic: Topic, message: Any) -> Float32:
    """The matrix of a 32FC1 image."""
    if message.encoding != '32FC1' or message.is_bigendian:
        endian = 'big' if message.is_bigendian else 'little'
        raise BagError(f'{path}: want little-endian 32FC1 on {topic.name}, got {endian}-endian {message.encoding}')
    _check_size(path, topic, message, 4)
    matrix: Float32 = message.data.view(np.float32).reshape(message.height, message.width)
    return matrix


def pixels(path: Path, topic: Topic, message: Any) -> npt.NDArray[np.uint8]:
    """The pixels of a mono8 (H, W) or rgb8 (H, W, 3) image."""
    depth = {'mono8': 1, 'rgb8': 3}.get(message.encoding)
    if depth is None:
        raise BagError(f'{path}: want mono8 or rgb8 on {topic.name}, got {message.encoding}')
    _check_size(path, topic, message, depth)
    shape = (message.height, message.width, depth) if depth > 1 else (message.height, message.width)
    image: npt.NDArray[np.uint8] = message.data.reshape(shape)
    return image


def _check_size(path: Path, topic: Topic, message: Any, pixel_bytes: int) -> None:
    want = (message.width * pixel_bytes, message.height * message.width * pixel_bytes)
    if (message.step, len(message.data)) != want:
        raise BagError(
            f'{path}: want step {want[0]} and {want[1]} bytes for {message.height} x {message.width} on '
            f'{topic.name}, got step {message.step} and {len(message.data)} bytes'
        )


def stamp_ns(header: Any) -> int:
    """Stamp of a header, ns."""
    return int(header.stamp.sec * 1_000_000_000 + header.stamp.nanosec)


def cdr_stamp_ns(cdr: bytes) -> int:
    """Stamp of a serialized message that begins with a Header: behind the 4 bytes of encapsulation.

    Raises:
        ValueError: if it is too short for one.
    """
    if len(cdr) < STAMP_BYTES:
        raise ValueError(f'want {STAMP_BYTES} B with a stamp, got {len(cdr)} B')
    sec, nanosec = struct.unpack_from('<iI' if cdr[1] else '>iI', cdr, 4)
    return int(sec * 1_000_000_000 + nanosec)


def introspection_parameters(diagnostics: Any, namespace: str) -> tuple[int | None, dict[str, float]]:
    """The parameters that the introspection node of a namespace works with, if this DiagnosticArray is its.

    First the stamp of the step since which it does, None where it does not say.

    Raises:
        BagError: where one of them is no JSON.
    """
    values = {
        pair.key: pair.value
        for status in diagnostics.status
        if status.name == f'{namespace}/introspection'
        for pair in status.values
    }
    try:
        return told_parameters(values)
    except (ValueError, RecursionError) as error:
        raise BagError(f'want JSON as parameters on {topics.DIAGNOSTICS.name}, got {error}') from error
