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
