"""What the paper suspects of its robot's timing, as worlds: one value of one suspect, everything else as it is.

A camera delay and a slow command are one thing to a policy, the time from a frame to the board following it, which
`latency_steps` is; a recording's stamps are those of the frames, so its rings are right for both. An inference that
lasts n frame periods does two things in a loop that takes the newest frame when it is free: n - 1 of n frames are never
seen, and the command comes n periods after its frame. So it is a loop of 1/n the rate with one step of latency. Any
inference shorter than a frame period counts as one: commands take effect at frames, which is the worst case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from maze_introspection.config import SweepConfig
from maze_policy.world import WorldConfig

UNCHANGED = 'unchanged'


@dataclass(frozen=True)
class Suspect:
    """One of the paper's suspects.

    Attributes:
        label: for an axis, with its unit.
        here: its value in a world; of a range the middle.
        change: the world with another value of it.
    """

    label: str
    here: Callable[[WorldConfig], float]
    change: Callable[[WorldConfig, float], WorldConfig]


def _delayed(world: WorldConfig, frames: float) -> WorldConfig:
    least, most = world.latency_steps
    return replace(world, latency_steps=(least + int(frames), most + int(frames)))


def _busy(world: WorldConfig, frames: float) -> WorldConfig:
    rate_hz = (world.rate_hz[0] / frames, world.rate_hz[1] / frames)
    least, most = (1 + math.ceil(steps / frames) for steps in world.latency_steps)
    return replace(world, rate_hz=rate_hz, latency_steps=(least, most))


SUSPECT = {
    'camera_delay': Suspect('camera delay, frames', lambda world: 0.0, _delayed),
    'frame_rate': Suspect(
        'frame rate, Hz',
        lambda world: mean(world.rate_hz),
        lambda world, rate_hz: replace(world, rate_hz=(rate_hz, rate_hz)),
    ),
    'dropped_frames': Suspect(
        'frames dropped, share',
        lambda world: mean(world.missed_frames),
        lambda world, share: replace(world, missed_frames=(share, share)),
    ),
    'tilt_lag': Suspect(
        'tilt lag, s',
        lambda world: mean(world.tilt_lag_s),
        lambda world, lag_s: replace(world, tilt_lag_s=(lag_s, lag_s)),
    ),
    'inference': Suspect('inference, frames', lambda world: 0.0, _busy),
}


@dataclass(frozen=True)
class Setting:
    """A world with one suspect at one value. Settings of one `name` are of one world, which is played once."""

    suspect: str
    value: float
    name: str
    world: WorldConfig


def settings(config: SweepConfig, world: WorldConfig) -> list[Setting]:
    """Every suspect at every value in rising order, the world's own among them; duplicates only once."""
    names = {world: UNCHANGED}
    found = []
    for suspect in config.suspects:
        about, values = SUSPECT[suspect], getattr(config, suspect)
        here = about.here(world)
        for value in sorted({here, *map(float, values)}):
            changed = world if value == here else about.change(world, value)
            name = names.setdefault(changed, f'{suspect}_{value:g}')
            found.append(Setting(suspect, value, name, changed))
    return found


def worlds(found: Sequence[Setting]) -> dict[str, WorldConfig]:
    """The worlds to play in, by the name of their settings."""
    return {setting.name: setting.world for setting in found}
