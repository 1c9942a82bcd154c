"""Every parameter of the playing half: name, type, unit, default, range, description. Written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from maze_policy.parameters import Config, parameter

OBSERVATION_PX = 84  # side of the square observation, px


@dataclass(frozen=True)
class PhysicsConfig(Config):
    """Board and ball. Control rate, step and limit are those of MERL's maze (numbers only; its code is AGPL)."""

    rate_hz: float = parameter('control and camera rate, Hz', 30.0, low=1.0, high=200.0)
    substeps: int = parameter('integration steps per control step', 16, low=1, high=256)
    tilt_step_deg: float = parameter('change of the commanded tilt per action, deg', 0.5, low=0.01, high=5.0)
    tilt_limit_deg: float = parameter('largest commanded tilt about either axis, deg', 5.0, low=0.1, high=15.0)
    tilt_lag_s: float = parameter('time constant with which the board follows its command, s', 0.05, low=0.0, high=1.0)
    gravity_m_s2: float = parameter('gravity, m/s^2', 9.81, low=0.0, high=30.0)
    rolling_resistance: float = parameter('coefficient of rolling resistance', 0.003, low=0.0, high=0.1)
    viscous_per_s: float = parameter('viscous damping of the rolling ball, 1/s', 0.25, low=0.0, high=10.0)
    restitution: float = parameter('coefficient of restitution at a wall', 0.35, low=0.0, high=1.0)
    wall_friction: float = parameter('friction coefficient along a wall', 0.1, low=0.0, high=1.0)


@dataclass(frozen=True)
class CameraConfig(Config):
    """The overhead camera: a square of `maze.view_m` fills the image height, centred."""

    width_px: int = parameter('image width, px', 640, low=84, high=4096)
    height_px: int = parameter('image height, px', 480, low=84, high=4096)
    distance_m: float = parameter('camera above the board, for camera_info, m', 0.5, low=0.05, high=10.0)
