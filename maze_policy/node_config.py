"""Every parameter of the playing nodes: name, type, unit, default, range, description; written here alone."""

from __future__ import annotations

from dataclasses import dataclass

from maze_policy.parameters import Config, parameter
from maze_policy.topics import TAKEN_BY


@dataclass(frozen=True)
class NodeConfig(Config):
    """What every node can be told."""

    wait_for: tuple[str, ...] = parameter(
        'start only once these nodes take what this one gives them, so that nothing is lost at the start',
        (),
        choices=tuple(TAKEN_BY),
    )
    wait_for_s: float = parameter('give up with an error after this long, s', 120.0, low=0.1, high=86400.0)


@dataclass(frozen=True)
class SimulatorNodeConfig(NodeConfig):
    """The node that plays camera, ball tracker and arm."""

    seed: int = parameter('seed of the starting positions', 0, low=0)
    episodes: int = parameter('end after this many episodes; 0 plays on', 0, low=0)
    time_limit_s: float = parameter('an episode that takes longer has failed, simulated s', 60.0, low=0.1, high=3600.0)
    command_timeout_s: float = parameter(
        'without a tilt command for this long the board levels itself, s', 0.1, low=0.01
    )
    answer_timeout_s: float = parameter(
        'at the end of an episode wait this long for the policy: for its last tilt, then for its reset, s', 2.0, low=0.0
    )


@dataclass(frozen=True)
class PolicyNodeConfig(NodeConfig):
    """The node that plays a recurrent policy."""

    checkpoint: str = parameter(
        'policy to play: NAME.safetensors, or the name of a shipped one; empty plays nominal', ''
    )
    camera_reliable: bool = parameter('subscribe reliably to the camera; false for a best-effort camera driver', True)
    max_age_s: float = parameter(
        'a frame older (or newer) than this never reaches the LSTM, s', 0.1, low=0.001, high=10.0
    )
    level_after_s: float = parameter(
        'without a frame for this long the board is levelled, s', 0.1, low=0.001, high=10.0
    )
    forget_after_s: float = parameter(
        'without a frame for this long the memory is reset, s', 1.0, low=0.01, high=3600.0
    )


@dataclass(frozen=True)
class CameraNodeConfig(NodeConfig):
    """The node that reads a camera, or a recording that stands for one. 0: as the source has it."""

    source: str = parameter(
        'a /dev/video path or its number, an http:// or rtsp:// URL, a GStreamer pipeline that ends in appsink, a '
        'video file, or a folder of images',
        '/dev/video0',
    )
    width_px: int = parameter('wanted width, px', 0, low=0, high=8192)
    height_px: int = parameter('wanted height, px', 0, low=0, high=8192)
    rate_hz: float = parameter('wanted rate, Hz; a video file or folder is played at it', 0.0, low=0.0, high=1000.0)
    exposure_s: float = parameter('wanted exposure of a V4L2 camera, s; 0 is automatic', 0.0, low=0.0, high=10.0)
    pixel_format: str = parameter(
        'how a V4L2 camera sends its pictures, by its four letters; many are fast enough with MJPG alone',
        '',
        choices=('', 'MJPG', 'YUYV', 'UYVY', 'NV12', 'GREY', 'RGB3', 'BGR3'),
    )
    calibration: str = parameter('camera_info YAML; empty publishes a camera_info of zeros: not calibrated', '')
    frame_id: str = parameter('frame of the camera, in every header', 'camera')
    loop: bool = parameter('play a video file or folder again and again; else the node ends after it', False)
    timeout_s: float = parameter(
        'a camera that gives no picture for this long is lost, s (V4L2: rounded up to whole ones)',
        2.0,
        low=0.1,
        high=60.0,
    )
    frozen_after_s: float = parameter(
        'a camera whose picture is the same to the last bit for this long is lost, s; 0 takes it as it comes',
        2.0,
        low=0.0,
        high=3600.0,
    )
    retry_s: float = parameter('a lost camera is opened again after this, then after twice as long, s', 0.5, low=0.01)
    longest_retry_s: float = parameter('but at the latest after this, s', 10.0, low=0.01)
