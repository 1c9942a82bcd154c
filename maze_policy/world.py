"""Worlds: what may differ from board to board, and worlds by name (`config/profiles/`, or any file like them)."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from maze_policy.config import TILT_CUE_PER_RAD, CameraConfig, PhysicsConfig
from maze_policy.parameters import Config, add_options, did_you_mean, fields_of, parameter
from maze_policy.share import share_path
from maze_policy.yaml_file import read_yaml

ENGINES = ('planar', 'mujoco')
VIEWS = ('flat', 'camera', 'perspective', 'mujoco')
# What only a view with a camera somewhere can show.
SCENE_ONLY = (
    'ball_size',
    'camera_distance_m',
    'camera_offset_m',
    'aim_offset_m',
    'camera_turn_deg',
    'zoom',
    'brightness',
    'light_gradient',
    'tilt_cue_per_rad',
    'floor',
    'wall',
    'ball',
)


def _range(description: str, value: float, *, low: float | None = None, high: float | None = None) -> Any:
    """A field of `WorldConfig`: by default always `value`."""
    return parameter(description, (value, value), low=low, high=high)


def _range_of(config: Any, name: str) -> Any:
    """A range of what another config has as one number, with its unit, default and limits."""
    about = {field.name: field.metadata for field in fields(config)}[name]
    return _range(about['description'], getattr(config, name), low=about['low'], high=about['high'])


@dataclass(frozen=True)
class WorldConfig(Config):
    """A world to play in. A pair of numbers is a range from which every board draws anew at every episode.

    The profiles in `config/profiles/` are such worlds. Where a range is meant one number will do.
    """

    engine: str = parameter('physics: our planar simulator, or MuJoCo with a moving board', 'planar', choices=ENGINES)
    view: str = parameter(
        'flat: drawn from straight above; camera: the same through a 640 x 480 rgb8 image; perspective: what a camera '
        'at some place sees of a lit board with walls; mujoco: the same scene by MuJoCo, which needs EGL',
        'flat',
        choices=VIEWS,
    )

    rate_hz: tuple[float, ...] = _range_of(PhysicsConfig, 'rate_hz')
    rate_jitter: float = parameter('each control period is longer or shorter by up to this share', 0.0, low=0, high=0.9)
    latency_steps: tuple[int, ...] = parameter(
        'delay from a frame to the board following the command, control steps', (0, 0), low=0, high=20
    )
    latency_jitter: float = parameter('share of the commands that take one step longer', 0.0, low=0.0, high=1.0)
    missed_frames: tuple[float, ...] = _range(
        'chance that the frame after an action is not seen by the policy; never two in a row',
        0.0,
        low=0.0,
        high=0.9,
    )

    tilt_step_deg: tuple[float, ...] = _range_of(PhysicsConfig, 'tilt_step_deg')
    tilt_lag_s: tuple[float, ...] = _range_of(PhysicsConfig, 'tilt_lag_s')
    rolling_resistance: tuple[float, ...] = _range_of(PhysicsConfig, 'rolling_resistance')
    viscous_per_s: tuple[float, ...] = _range_of(PhysicsConfig, 'viscous_per_s')
    restitution: tuple[float, ...] = _range_of(PhysicsConfig, 'restitution')
    wall_friction: tuple[float, ...] = _range_of(PhysicsConfig, 'wall_friction')
    ball_size: tuple[float, ...] = _range("radius of the ball, by the maze's", 1.0, low=0.5, high=1.3)

    noise_levels: tuple[float, ...] = _range('standard deviation of the pixel noise, grey levels', 0, low=0, high=50)
    blur_px: tuple[float, ...] = _range('standard deviation of the blur, px of the observation', 0, low=0, high=5)
    camera_distance_m: tuple[float, ...] = _range_of(CameraConfig, 'distance_m')
    camera_offset_m: tuple[float, ...] = _range('camera beside the axis, in x and in y, m', 0.0, low=-0.5, high=0.5)
    aim_offset_m: tuple[float, ...] = _range(
        'what the camera looks at beside the centre, in x and in y, m', 0.0, low=-0.1, high=0.1
    )
    camera_turn_deg: tuple[float, ...] = _range('camera turned about its axis, deg', 0.0, low=-180, high=180)
    zoom: tuple[float, ...] = _range('size of the maze in the image, by the nominal', 1.0, low=0.2, high=5.0)
    brightness: tuple[float, ...] = _range('factor on all grey levels', 1.0, low=0.0, high=5.0)
    light_gradient: tuple[float, ...] = _range(
        'change of the light from the middle to the edge of the view, in x and in y', 0.0, low=-1.0, high=1.0
    )
    tilt_cue_per_rad: tuple[float, ...] = _range(
        'how much brighter the edge of the view gets per tilt, 1/rad', TILT_CUE_PER_RAD, low=0.0, high=20.0
    )
    floor: tuple[float, ...] = _range('factor on the grey level of the floor', 1.0, low=0.0, high=5.0)
    wall: tuple[float, ...] = _range('factor on the grey level of the walls', 1.0, low=0.0, high=5.0)
    ball: tuple[float, ...] = _range('factor on the grey level of the ball', 1.0, low=0.0, high=10.0)

    def __post_init__(self) -> None:
        for field, kind in fields_of(type(self)):
            value = getattr(self, field.name)
            if kind in (tuple[int, ...], tuple[float, ...]):
                pair = tuple(value) if isinstance(value, (list, tuple)) else (value,)
                object.__setattr__(self, field.name, pair * 2 if len(pair) == 1 else pair)
        super().__post_init__()
        for name, value in vars(self).items():
            if isinstance(value, tuple) and (len(value) != 2 or value[0] > value[1]):
                raise ValueError(f'{name} wants one number, or two of which the first is not larger, got {list(value)}')
        if self.view in ('flat', 'camera'):
            default = {field.name: field.default for field in fields(self)}
            changed = [name for name in SCENE_ONLY if getattr(self, name) != default[name]]
            if changed:
                raise ValueError(f'the {self.view} view cannot show {", ".join(changed)}; use view perspective')


def profiles() -> list[str]:
    """Names of the shipped worlds."""
    return sorted(path.stem for path in share_path('config/profiles').glob('*.yaml'))


def load_world(profile: str | Path = 'nominal', changes: Mapping[str, Any] | None = None) -> WorldConfig:
    """A shipped profile by its name, or a YAML file, with some of its values changed.

    Raises:
        ValueError: if there is no such profile or file, or it says something that a `WorldConfig` is not.
    """
    shipped = profiles()
    path = share_path(f'config/profiles/{profile}.yaml') if profile in shipped else Path(profile)
    try:
        values = read_yaml(path) or {}
    except OSError as error:
        hint = did_you_mean(str(profile), shipped)
        raise ValueError(f'want a profile or a YAML file, got {profile} ({error.strerror}){hint}') from error
    if not isinstance(values, dict):
        raise ValueError(f'{path}: want names and values, got {type(values).__name__}')
    try:
        world = WorldConfig.from_dict(values)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    return dataclasses.replace(world, **changes) if changes else world


def add_world_options(parser: argparse.ArgumentParser, default: str) -> None:
    """`--profile`, and one option for everything that a world may be changed in."""
    parser.add_argument(
        '--profile',
        default=default,
        help=f'world to play in: {", ".join(profiles())}, or a YAML file like them (default: %(default)s)',
    )
    group = parser.add_argument_group(
        'the world', 'changes to the profile (config/profiles/ has the values); two numbers are a range'
    )
    add_options(group, WorldConfig, defaults=False)


def world_from_options(options: argparse.Namespace) -> WorldConfig:
    """The world that the parsed command line asks for."""
    names = [field.name for field in fields(WorldConfig)]
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return load_world(options.profile, changes)
