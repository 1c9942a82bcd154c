"""Every parameter of the looking half: name, type, unit, default, range, description. Written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from maze_policy.parameters import Config, parameter


@dataclass(frozen=True)
class IntrospectionConfig(Config):
    """How contributions and preceding offsets are read off the LSTM; docs/definitions.md justifies the defaults."""

    theta_g: float = parameter('a gate above this is open (the paper, figure 5)', 0.5, low=0.0, high=1.0)
    theta_c: float = parameter(
        'a channel above this share contributes (the paper gives no number)', 0.02, low=0.0, high=1.0
    )
    fraction: float = parameter('salient channels make up this share of the score', 0.5, low=0.0, high=1.0)
    recurrence_tolerance: float = parameter(
        'error that rounding may leave in the LSTM recurrence before a step counts as missing', 1e-5, low=0.0, high=0.1
    )
    clock_jump_s: float = parameter('no offset spans a longer time between two steps, s', 1.0, low=0.001, high=3600.0)
