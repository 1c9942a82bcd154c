"""Worlds by name: the profiles in `config/profiles/`, or any file like them."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from maze_policy.config import WorldConfig
from maze_policy.parameters import add_options, did_you_mean
from maze_policy.share import share_path


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
        values = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        hint = did_you_mean(str(profile), shipped)
        raise ValueError(f'want a profile or a YAML file, got {profile} ({error.strerror}){hint}') from error
    except yaml.YAMLError as error:
        raise ValueError(f'{path}: want YAML, got {error}') from error
    if not isinstance(values, dict):
        raise ValueError(f'{path}: want names and values, got {type(values).__name__}')
    try:
        return WorldConfig.from_dict({**values, **(changes or {})})
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def add_world_options(parser: argparse.ArgumentParser, default: str) -> None:
    """`--profile`, and one option for everything that a world may be changed in."""
    parser.add_argument(
        '--profile',
        default=default,
        help=f'world to play in: {", ".join(profiles())}, or a YAML file like them (default: %(default)s)',
    )
    group = parser.add_argument_group('the world', 'changes to the profile; two numbers are a range')
    add_options(group, WorldConfig, defaults=False)


def world_from_options(options: argparse.Namespace) -> WorldConfig:
    """The world that the parsed command line asks for."""
    names = [field.name for field in dataclasses.fields(WorldConfig)]
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return load_world(options.profile, changes)
