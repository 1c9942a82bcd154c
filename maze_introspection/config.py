"""Every parameter of the looking half: name, type, unit, default, range, description. Written here and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maze_policy.node_config import NodeConfig
from maze_policy.parameters import Config, fields_of, parameter
from maze_policy.topics import ALL, PARAMETER_KEY, PARAMETERS_SINCE_KEY, RECORDED


@dataclass(frozen=True)
class IntrospectionConfig(Config):
    """How contributions and preceding offsets are read off the LSTM; docs/definitions.md justifies the defaults."""

    theta_g: float = parameter(
        'a gate above this is open (the paper, figure 5)', 0.5, low=0.0, high=1.0, changeable=True
    )
    theta_c: float = parameter(
        'a channel above this share contributes (the paper gives no number)',
        0.022,
        low=0.0,
        high=1.0,
        changeable=True,
    )
    fraction: float = parameter(
        'salient channels make up this share of the score', 0.5, low=0.0, high=1.0, changeable=True
    )
    recurrence_tolerance: float = parameter(
        'error that rounding may leave in the LSTM recurrence before a step counts as missing', 1e-5, low=0.0, high=0.1
    )
    clock_jump_s: float = parameter('no offset spans a longer time between two steps, s', 1.0, low=0.001, high=3600.0)
    least_steps: int = parameter(
        'a channel is judged (single action, single ring) from so many salient steps', 10, low=1
    )


def told_parameters(values: Mapping[str, str]) -> tuple[int | None, dict[str, Any]]:
    """What the introspection node says of its parameters on /diagnostics.

    First the stamp of the step since which they hold, None where it does not say; parameters that this version does not
    know (any more) are left out.

    Raises:
        ValueError: if a value cannot be read.
    """
    names = [field.name for field, _ in fields_of(IntrospectionConfig) if PARAMETER_KEY + field.name in values]
    since = values.get(PARAMETERS_SINCE_KEY)
    return None if since is None else int(since), {name: json.loads(values[PARAMETER_KEY + name]) for name in names}


@dataclass(frozen=True)
class TrialsConfig(Config):
    """Trials played in process, each from another ball position, as in the paper's section 4."""

    count: int = parameter('number of trials', 40, low=1, high=10_000)
    seed: int = parameter('seed of the ball positions and of the null', 1, low=0)
    time_limit_s: float = parameter(
        'a trial that takes longer has failed, s of simulated time', 60.0, low=0.1, high=600.0
    )
    memory: bool = parameter('without memory, hidden and cell are set to 0 before every step', True)
    start_rings: tuple[int, ...] = parameter(
        'rings to start in, one trial after the other, 0 = centre; none given means the outermost', (), low=0, high=64
    )
    window_steps: int = parameter(
        'count only offsets of the first so many steps and in the ring started in; 0 counts all', 0, low=0
    )
    null_draws: int = parameter('random pairings of gates and contributions in the null', 100, low=1, high=10_000)
    grid: bool = parameter('repeat the comparison with the null over a grid of theta_g and theta_c', False)
    summary: bool = parameter(
        'figures, tables and summary of all trials, which then are in memory together; --no-summary leaves each '
        "trial's bag and events and takes the same memory however many there are",
        True,
    )


@dataclass(frozen=True)
class BackendConfig(Config):
    """Where independent jobs run, and how many at once; results do not depend on it."""

    jobs: int = parameter('jobs at the same time, one core each; 0 is one for every core there is', 0, low=0, high=4096)
    backend: str = parameter(
        'joblib: the cores of this machine; ray: a Ray cluster', 'joblib', choices=('joblib', 'ray')
    )
    address: str = parameter(
        'of the Ray cluster: auto, or HOST:PORT; without, one is started on this machine. All of it must see --out', ''
    )


@dataclass(frozen=True)
class ResultsConfig(Config):
    """The paper's experiments, all or some."""

    jobs: int = parameter('experiments done at the same time, one core each', 2, low=1, high=256)
    only: tuple[str, ...] = parameter('names of experiments, such as trials/robust-nominal-1; * stands for any', ('*',))


@dataclass(frozen=True)
class ValidateConfig(Config):
    """Laboratory LSTMs whose delay is known, and how far from the ideal they are."""

    seed: int = parameter('seed of everything drawn', 1, low=0)
    longest: int = parameter('delays 0 to this many steps', 60, low=0, high=500)
    copies: int = parameter('channels of each delay and gate', 20, low=1, high=1000)
    map_copies: int = parameter('the same, at each point of the failure maps; 0 draws no maps', 6, low=0, high=1000)
    episodes: int = parameter('episodes that each hand-built LSTM runs', 3, low=1, high=1000)
    episode_steps: int = parameter('steps of such an episode', 500, low=2, high=100_000)
    period: int = parameter('mean number of steps from one cue to the next', 130, low=1, high=10_000)
    gain: float = parameter(
        'input to a gate that is open, as a logit; minus this where it is shut', 10.0, low=0.1, high=50
    )
    gate_bias: float = parameter('bias towards open of the gate that is measured, in gains', 0.0, low=-4.0, high=4.0)
    distractors: int = parameter('random channels that pull at the actions too', 32, low=0, high=4096)
    distractor_weight: float = parameter(
        'standard deviation of their readout weights; a measured channel has 1', 0.1, low=0.0, high=100.0
    )
    input_noise: float = parameter(
        'standard deviation of the noise on every input, where there is noise; a cue is 1', 0.1, low=0.0, high=10.0
    )
    weight_noise: float = parameter(
        'standard deviation of what is added to every built weight, where there is noise, as a share of the largest',
        0.02,
        low=0.0,
        high=10.0,
    )
    recall_delays: tuple[int, ...] = parameter(
        'delays of the trained LSTMs, steps; none given trains none', (0, 2, 5, 10, 20, 40), low=0, high=200
    )
    recall_seeds: int = parameter('LSTMs trained for each of these delays', 5, low=1, high=100)


@dataclass(frozen=True)
class ReportConfig(Config):
    """The report to explore in a browser."""

    limit_mb: float = parameter(
        'size that the file may have, MB; pictures are thinned out until it fits', 25.0, low=1.0, high=1000.0
    )
    stall_s: float = parameter('a ball that stays for so long in one place has stalled, s', 1.0, low=0.1, high=60.0)
    stall_m: float = parameter('a ball nearer than this to where it was is in one place, m', 0.005, low=0.0, high=1.0)


@dataclass(frozen=True)
class VerifyConfig(Config):
    """How exactly a recording must keep what it says, where nothing is to the last bit."""

    network_tolerance: float = parameter(
        'largest deviation of recomputed gates, state and scores where another build computed them',
        1e-4,
        low=0.0,
        high=0.1,
    )
    recurrence_tolerance: float = parameter(
        'largest error of the LSTM recurrence where the recording does not keep it to the last bit',
        IntrospectionConfig.recurrence_tolerance,
        low=0.0,
        high=0.1,
    )
    shown: int = parameter('findings printed of each check', 5, low=1)


@dataclass(frozen=True)
class NeededConfig(Config):
    """How much memory steps and contributions needed, and how offsets compare with it."""

    tolerance: float = parameter(
        'a contribution is what it was while it differs by no more than this part of itself', 0.1, low=1e-4, high=1.0
    )
    other_tolerances: tuple[float, ...] = parameter(
        'tolerances that the comparison is repeated with', (0.05, 0.2, 0.5), low=1e-4, high=1.0
    )
    settled: float = parameter(
        'a truncated run whose memory is the recorded one within this is not run further; 0 runs all of them',
        1e-4,
        low=0.0,
        high=1e-2,
    )
    donors: int = parameter('episodes whose memories are put in place of zeros in the control', 8, low=2, high=1000)
    moment_steps: int = parameter(
        'events of one ring whose elapsed times lie in one span of so many steps are of one moment', 15, low=1
    )
    resamples: int = parameter('draws of whole episodes behind every interval', 200, low=1, high=100_000)
    seed: int = parameter('seed of donors, draws and shuffles', 1, low=0)


@dataclass(frozen=True)
class ChanceConfig(Config):
    """Offsets against chance, elapsed time and hidden beginnings."""

    draws: int = parameter('draws of each null', 200, low=1, high=10_000)
    resamples: int = parameter('draws of whole episodes behind every interval', 1000, low=1, high=100_000)
    seed: int = parameter('seed of the nulls and of the draws of episodes', 1, low=0)
    window_steps: int = parameter(
        'count only offsets of the first so many steps and in the ring started in; 0 counts all', 0, low=0
    )
    stratum_steps: int = parameter(
        'offsets whose elapsed times lie in one span of so many steps are of the same elapsed time', 15, low=1
    )


@dataclass(frozen=True)
class InterveneConfig(Config):
    """Gates held while the policy plays, and what that does to it."""

    count: int = parameter(
        'trials for each intervention, from the same ball positions each time', 40, low=2, high=10_000
    )
    seed: int = parameter('seed of the ball positions, of random groups and of resampling', 21, low=0)
    time_limit_s: float = parameter(
        'a trial that takes longer has failed, s of simulated time', 60.0, low=0.1, high=600.0
    )
    kinds: tuple[str, ...] = parameter(
        'hold a gate at 0 (zero), at its mean without intervention (freeze) or at 1 (force)',
        ('zero', 'freeze', 'force'),
        choices=('zero', 'freeze', 'force'),
    )
    gates: tuple[str, ...] = parameter(
        'gates to hold, one at a time', ('input', 'forget', 'output'), choices=('input', 'forget', 'output')
    )
    channels: int = parameter(
        'hold so many channels one by one, largest contribution first; 0 is all of them', 0, low=0
    )
    group_sizes: tuple[int, ...] = parameter(
        'hold groups of so many channels: those of the largest contribution, and random ones', (4, 8, 16, 32, 64), low=1
    )
    group_draws: int = parameter('random groups of each size', 5, low=1, high=1000)
    resamples: int = parameter('draws of trials behind every interval', 1000, low=1, high=100_000)


@dataclass(frozen=True)
class SensitivityConfig(Config):
    """Where in the space of thresholds a conclusion holds."""

    theta_gs: tuple[float, ...] = parameter('values of theta_g', (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), low=0.0, high=1.0)
    theta_cs: tuple[float, ...] = parameter(
        'values of theta_c', (0.01, 0.014, 0.018, 0.022, 0.026, 0.03, 0.036, 0.042, 0.05, 0.06), low=0.0, high=1.0
    )
    fractions: tuple[float, ...] = parameter(
        'values of fraction', (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), low=0.0, high=1.0
    )
    draws: int = parameter('random pairings of gates and contributions in the null', 200, low=1, high=10_000)
    resamples: int = parameter('draws of whole episodes behind every interval', 1000, low=1, high=100_000)
    seed: int = parameter('seed of the null and of the draws of episodes', 1, low=0)
    window_steps: int = parameter(
        'count only offsets of the first so many steps and in the ring started in; 0 counts all', 0, low=0
    )


@dataclass(frozen=True)
class CompareConfig(Config):
    """Which channels behave differently in two sets of recordings."""

    resamples: int = parameter('draws of whole episodes behind every interval', 1000, low=10, high=100_000)
    seed: int = parameter('seed of the draws of episodes and of the halves', 1, low=0)
    false_discovery_rate: float = parameter(
        'share of the channels called different that may be so by chance', 0.05, low=1e-6, high=0.5
    )
    least_episodes: int = parameter(
        'a channel (and a ring) is judged from so many episodes in which it has something to compare', 5, low=2
    )
    halves: int = parameter('random halves of each set compared with each other, as a check', 10, low=0, high=1000)
    shown: int = parameter('channels shown of each measure', 12, low=1, high=100)


SUSPECTS = ('camera_delay', 'frame_rate', 'dropped_frames', 'tilt_lag', 'inference')


@dataclass(frozen=True)
class SweepConfig(Config):
    """The timing of the loop, one suspect at a time, from where it is in the world that is swept."""

    suspects: tuple[str, ...] = parameter('what to sweep', SUSPECTS, choices=SUSPECTS)
    count: int = parameter('trials of each setting, from the same ball positions each time', 24, low=2, high=100_000)
    seed: int = parameter('seed of the ball positions, of sign flips and of resampling', 1, low=0)
    time_limit_s: float = parameter(
        'a trial that takes longer has failed, s of simulated time', 60.0, low=0.1, high=600.0
    )
    camera_delay: tuple[int, ...] = parameter('frames that the image is older by', (1, 2, 3, 4, 6), low=1, high=20)
    frame_rate: tuple[float, ...] = parameter('frames per second, Hz', (15.0, 20.0, 40.0, 60.0), low=1.0, high=200.0)
    dropped_frames: tuple[float, ...] = parameter(
        'chance that a frame is not seen; never two in a row', (0.1, 0.2, 0.4, 0.8), low=0.0, high=0.9
    )
    tilt_lag: tuple[float, ...] = parameter(
        'time constants with which the board follows its command, s', (0.02, 0.1, 0.15, 0.2, 0.3), low=0.0, high=1.0
    )
    inference: tuple[int, ...] = parameter(
        'frames that go by until the policy has decided, and that it does not see', (1, 2, 3, 4), low=1, high=10
    )
    gate: str = parameter('gate of the offsets in the figure', 'output', choices=('input', 'forget', 'output'))
    flips: int = parameter('draws of random signs behind every p', 10_000, low=100, high=1_000_000)
    false_discovery_rate: float = parameter(
        'share of the channels said to react that may do so by chance', 0.05, low=1e-6, high=0.5
    )
    resamples: int = parameter('draws of whole trials behind every interval', 1000, low=10, high=100_000)


@dataclass(frozen=True)
class IntrospectionNodeConfig(NodeConfig):
    """The node that looks into a policy while it plays."""

    watched_channels: tuple[int, ...] = parameter(
        'channels on introspection/watched and in the live figure 5 (its first one)', (0, 1, 2, 3), low=0
    )
    picture_rate_hz: float = parameter('rate of the live figures, while somebody looks, Hz', 2.0, low=0.1, high=30.0)
    picture_steps: int = parameter('steps that the live figures 2 and 5 show', 300, low=10, high=3000)
    ball_wait_steps: int = parameter('steps to wait for a ball position before going on without', 30, low=1, high=1000)


@dataclass(frozen=True)
class RecorderConfig(NodeConfig):
    """The node that records."""

    bag: str = parameter('folder to make; it must not exist', 'maze_bag')
    topics: tuple[str, ...] = parameter(
        'what to record', tuple(topic.name for topic in RECORDED), choices=tuple(topic.name for topic in ALL)
    )
    camera_reliable: bool = parameter('subscribe reliably to the camera; false for a best-effort camera driver', True)
    min_free_mb: float = parameter(
        'end the recording, and nothing else, when the disk has less free space than this, MB', 100.0, low=0.0, high=1e6
    )
