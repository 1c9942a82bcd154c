"""Arrays to messages and back; the only place that knows how a matrix, a picture or a tilt looks on the wire.

Nothing is guessed: a message of another encoding, size or byte order is refused with what was wanted and what came.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PointStamped, Vector3Stamped
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float32MultiArray, Float64, Float64MultiArray, Header, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from maze_policy.arm import Waypoint
from maze_policy.camera_info import Calibration
from maze_policy.config import CameraConfig

Shape = tuple[int | None, int | None]

# encoding -> element type and elements per pixel
ENCODINGS: Mapping[str, tuple[Any, int]] = {
    'rgb8': (np.uint8, 3),
    'mono8': (np.uint8, 1),
    '32FC1': (np.float32, 1),
}
WATCHED_ROWS = ('input_gate', 'forget_gate', 'candidate', 'output_gate', 'contribution')

_BRIDGE = CvBridge()


def message_class(type_name: str) -> Any:
    """The class of a type such as `sensor_msgs/msg/Image`.

    Raises:
        ValueError: if it is not installed here.
    """
    try:
        package, kind, name = type_name.split('/')
        return getattr(importlib.import_module(f'{package}.{kind}'), name)
    except (ValueError, ImportError, AttributeError) as error:
        raise ValueError(f'want a message type such as sensor_msgs/msg/Image, got {type_name!r}: {error}') from error


def stamp_ns(header: Header) -> int:
    """A header's stamp, ns."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def header_at(time_ns: int, frame_id: str = '') -> Header:
    """A header with this stamp."""
    message = Header(frame_id=frame_id)
    message.stamp.sec, message.stamp.nanosec = divmod(int(time_ns), 1_000_000_000)
    return message


def picture_message(header: Header, picture: npt.NDArray[np.uint8]) -> Image:
    """A picture as `rgb8` (H, W, 3) or `mono8` (H, W)."""
    return _image(header, picture, 'rgb8' if picture.ndim == 3 else 'mono8')


def picture(message: Image, encoding: str, shape: Shape = (None, None)) -> npt.NDArray[np.uint8]:
    """The pixels of an `rgb8` or `mono8` message; read-only where the message is.

    Args:
        message: as it came.
        encoding: the one that is wanted.
        shape: wanted height and width, px; None takes any.

    Raises:
        ValueError: on another encoding, size, step, byte order or amount of data.
    """
    return _array(message, encoding, shape)


def matrix_message(header: Header, matrix: npt.ArrayLike) -> Image:
    """A matrix as one `32FC1` pixel per element; a vector becomes one row."""
    return _image(header, np.atleast_2d(np.asarray(matrix, dtype=np.float32)), '32FC1')


def matrix(message: Image, shape: Shape = (None, None)) -> npt.NDArray[np.float32]:
    """The matrix of a `32FC1` message, float32.

    Raises:
        ValueError: on another encoding, shape, step, byte order or amount of data.
    """
    return _array(message, '32FC1', shape)


def tilt_message(header: Header, tilt_rad: npt.NDArray[np.float64]) -> Vector3Stamped:
    """A tilt command about x and y, rad."""
    message = Vector3Stamped(header=header)
    message.vector.x, message.vector.y = float(tilt_rad[0]), float(tilt_rad[1])
    return message


def tilt(message: Vector3Stamped) -> npt.NDArray[np.float64]:
    """The commanded tilt about x and y, rad, shape (2,).

    Raises:
        ValueError: if it is not finite.
    """
    command = np.array([message.vector.x, message.vector.y])
    if not np.isfinite(command).all():
        raise ValueError(f'want a finite tilt, got {command.tolist()} rad')
    return command


def trajectory_message(joint_names: Sequence[str], way: Sequence[Waypoint]) -> JointTrajectory:
    """Waypoints for a joint_trajectory_controller; stamp 0 lets them begin when they arrive."""
    message = JointTrajectory(joint_names=list(joint_names))
    for after_s, position_rad, rate_rad_s in way:
        point = JointTrajectoryPoint(positions=position_rad.tolist(), velocities=rate_rad_s.tolist())
        point.time_from_start.sec, point.time_from_start.nanosec = divmod(round(after_s * 1e9), 1_000_000_000)
        message.points.append(point)
    return message


def positions_message(position_rad: npt.NDArray[np.float64]) -> Float64MultiArray:
    """All joints for a controller of positions, rad."""
    return Float64MultiArray(data=position_rad.tolist())


def position_message(position_rad: float) -> Float64:
    """One joint, rad."""
    return Float64(data=float(position_rad))


def joint_positions(message: JointState, joint_names: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Positions of these joints, rad, or None from a message about other joints.

    Raises:
        ValueError: if a position is missing or not finite.
    """
    if not set(joint_names) <= set(message.name):
        return None
    if len(message.position) != len(message.name):
        raise ValueError(f'want a position for each of {len(message.name)} joints, got {len(message.position)}')
    told = dict(zip(message.name, message.position))
    positions = np.array([told[name] for name in joint_names])
    if not np.isfinite(positions).all():
        raise ValueError(f'want finite joint positions, got {positions.tolist()} rad')
    return positions


def ball_message(header: Header, position_m: npt.NDArray[np.float64]) -> PointStamped:
    """The ball's centre in the maze frame, m."""
    message = PointStamped(header=header)
    message.point.x, message.point.y = float(position_m[0]), float(position_m[1])
    return message


def ball(message: PointStamped) -> npt.NDArray[np.float64]:
    """The ball's centre in the maze frame, m, shape (2,)."""
    return np.array([message.point.x, message.point.y])


def camera_info_message(header: Header, camera: CameraConfig, view_m: float) -> CameraInfo:
    """A pinhole camera above the maze centre whose image height is `view_m` on the board; no distortion."""
    focal_px = camera.height_px * camera.distance_m / view_m
    centre_x, centre_y = (camera.width_px - 1) / 2, (camera.height_px - 1) / 2
    message = CameraInfo(header=header, width=camera.width_px, height=camera.height_px)
    message.distortion_model = 'plumb_bob'
    message.d = [0.0] * 5
    message.k = [focal_px, 0.0, centre_x, 0.0, focal_px, centre_y, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [focal_px, 0.0, centre_x, 0.0, 0.0, focal_px, centre_y, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def calibration_message(header: Header, camera: Calibration) -> CameraInfo:
    """What a calibration says, as a camera_info."""
    message = CameraInfo(header=header, width=camera.width_px, height=camera.height_px)
    message.distortion_model = camera.model
    message.d, message.k = camera.d.tolist(), camera.k.ravel().tolist()
    message.r, message.p = camera.r.ravel().tolist(), camera.p.ravel().tolist()
    return message


def watched_message(
    channels: tuple[int, ...], gates: npt.NDArray[np.float32], share: npt.NDArray[np.float32]
) -> Float32MultiArray:
    """Gates and contribution of a few channels: n x 5, `layout.dim` says which channels and which columns.

    For plotters, `data[5 * i + j]` is column j (`WATCHED_ROWS`) of the i-th watched channel.
    """
    values = np.column_stack([gates[:, list(channels)].T, share[list(channels)]]).astype(np.float32)
    message = Float32MultiArray()
    message.layout.dim = [
        MultiArrayDimension(label='channel ' + ' '.join(map(str, channels)), size=len(channels), stride=values.size),
        MultiArrayDimension(label=' '.join(WATCHED_ROWS), size=len(WATCHED_ROWS), stride=len(WATCHED_ROWS)),
    ]
    message.data.frombytes(values.tobytes())
    return message


def diagnostics_message(
    header: Header, name: str, level: int, summary: str, values: Mapping[str, object]
) -> DiagnosticArray:
    """One node's state; `level` 0 is fine, 1 a warning, 2 an error."""
    pairs = [
        KeyValue(key=key, value=value if isinstance(value, str) else json.dumps(value)) for key, value in values.items()
    ]
    status = DiagnosticStatus(level=bytes([level]), name=name, message=summary, hardware_id=name, values=pairs)
    return DiagnosticArray(header=header, status=[status])


def _image(header: Header, array: npt.NDArray[Any], encoding: str) -> Image:
    element, elements = ENCODINGS[encoding]
    if array.dtype != element or array.size == 0 or array.shape[2:] != ((elements,) if elements > 1 else ()):
        raise ValueError(f'want a non-empty {np.dtype(element)} array for {encoding}, got {array.dtype} {array.shape}')
    message = _BRIDGE.cv2_to_imgmsg(np.ascontiguousarray(array), encoding)
    message.header = header
    return message


def _array(message: Image, encoding: str, shape: Shape) -> npt.NDArray[Any]:
    element, elements = ENCODINGS[encoding]
    if message.encoding != encoding:
        raise ValueError(f'want encoding {encoding}, got {message.encoding!r}')
    if message.is_bigendian:
        raise ValueError(f'want little-endian {encoding}, got big-endian')
    size = (message.height, message.width)
    if 0 in size or any(wanted is not None and wanted != got for wanted, got in zip(shape, size)):
        wanted = ' x '.join('n' if side is None else str(side) for side in shape)
        raise ValueError(f'want {wanted} of {encoding}, got {message.height} x {message.width}')
    step = message.width * elements * np.dtype(element).itemsize
    if message.step != step:
        raise ValueError(f'want a step of {step} B for {message.width} px of {encoding}, got {message.step} B')
    if len(message.data) != step * message.height:
        raise ValueError(f'want {step * message.height} B of data, got {len(message.data)} B')
    array: npt.NDArray[Any] = np.asarray(_BRIDGE.imgmsg_to_cv2(message, 'passthrough'))
    return array
