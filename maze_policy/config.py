"""Every parameter of the maze, the network and its training: name, type, unit, default, range, description.

Written here and nowhere else; what a node can be told is in `node_config`.
"""

from __future__ import annotations

from dataclasses import dataclass

from maze_policy.parameters import Config, parameter

OBSERVATION_PX = 84  # side of the square observation, px
# Brightness at the edge of the view changes by this much per rad of tilt: 24 % at 5 degrees.
TILT_CUE_PER_RAD = 2.75


@dataclass(frozen=True)
class TiltConfig(Config):
    """How an action tilts the board: what a policy must share with its plant."""

    tilt_step_deg: float = parameter('change of the commanded tilt per action, deg', 0.5, low=0.01, high=5.0)
    tilt_limit_deg: float = parameter('largest commanded tilt about either axis, deg', 5.0, low=0.1, high=15.0)


@dataclass(frozen=True)
class PhysicsConfig(TiltConfig):
    """Board and ball. Control rate, step and limit are those of MERL's maze (numbers only; its code is AGPL)."""

    rate_hz: float = parameter('control and camera rate, Hz', 30.0, low=1.0, high=200.0)
    substeps: int = parameter('integration steps per control step', 16, low=1, high=256)
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


@dataclass(frozen=True)
class ExpertConfig(Config):
    """The privileged expert: a path over the openings, then velocity, acceleration, tilt and action."""

    ahead_s: float = parameter('the ball is looked at this far ahead along its ring, s', 0.16, low=0.0, high=1.0)
    approach_per_s: float = parameter(
        'desired speed along the ring per distance to the opening, 1/s', 2.4, low=0.0, high=20.0
    )
    speed_m_s: float = parameter('largest desired speed along the ring, m/s', 0.085, low=0.0, high=1.0)
    inward_m_s: float = parameter('desired speed through an opening, m/s', 0.04, low=0.0, high=1.0)
    aligned_m: float = parameter(
        'the ball turns inwards when it is this near to the middle of the opening, m', 0.006, low=0.0, high=0.1
    )
    response_s: float = parameter('time in which a desired velocity is to be reached, s', 0.23, low=0.01, high=2.0)


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Sizes of the CNN-LSTM: three convolutions (8x8/4, 4x4/2, 3x3/1), one linear layer, the LSTM, the readout."""

    conv_channels: tuple[int, ...] = parameter('channels of the three convolutions', (16, 32, 32), low=1, high=512)
    features: int = parameter(
        'outputs of the linear layer between the convolutions and the LSTM', 128, low=1, high=4096
    )
    n_l: int = parameter('LSTM channels', 128, low=1, high=4096)
    n_a: int = parameter('actions', 5, low=1, high=64)


@dataclass(frozen=True)
class EvaluateConfig(Config):
    """How a policy is tried out: trials from anywhere in the outer ring."""

    count: int = parameter('number of trials', 200, low=1, high=100_000)
    seed: int = parameter('seed of the ball positions', 1, low=0)
    time_limit_s: float = parameter(
        'a trial that takes longer has failed, s of simulated time', 60.0, low=0.1, high=3600.0
    )
    memory: bool = parameter('without memory, hidden and cell are set to 0 before every step', True)


@dataclass(frozen=True)
class TrainConfig(Config):
    """DAgger: the policy plays, the expert says what it would have done, truncated back-propagation learns it."""

    seed: int = parameter('seed of everything', 0, low=0)
    chunks: int = parameter('chunks of experience to collect and learn from', 600, low=1)
    boards: int = parameter('boards played side by side', 128, low=1, high=4096)
    chunk_steps: int = parameter(
        'control steps per chunk, and steps that a gradient reaches back', 32, low=1, high=1024
    )
    minibatch_boards: int = parameter('boards per gradient step', 32, low=1, high=4096)
    replay_chunks: int = parameter('chunks kept to learn from again (30 MB each)', 40, low=1, high=1000)
    replays: int = parameter('kept chunks learnt from again for every new one', 1, low=0, high=100)
    learning_rate: float = parameter('of Adam, at the start; a cosine takes it to 0', 1e-3, low=0.0, high=1.0)
    gradient_norm: float = parameter('longer gradients are shortened to this', 1.0, low=0.0)
    expert_chunks: int = parameter('chunks in which the share of boards that the expert plays falls to 0', 100, low=0)
    random_actions: float = parameter('share of random actions', 0.03, low=0.0, high=1.0)
    any_ring: float = parameter('share of episodes that start in any ring, not the outer one', 0.3, low=0.0, high=1.0)
    episode_s: float = parameter('an episode that takes longer is given up, s', 25.0, low=1.0, high=600.0)
    state_weight: float = parameter('weight of the error of the state read off the LSTM', 1.0, low=0.0)
    softness: float = parameter(
        'how wrong an action may be to be learnt nearly as much as the best, tilt steps; 0 learns the best alone',
        0.0,
        low=0.0,
    )
    activation_l1: float = parameter(
        'weight of the mean absolute hidden value; makes few channels speak at a time', 0.0, low=0.0
    )
    readout_l1: float = parameter(
        'weight of the sum of absolute readout weights; ties channels to few actions', 0.0, low=0.0
    )
    bfloat16: bool = parameter(
        'convolve in bfloat16 while learning, where the CPU has it (AVX-512 BF16): 1.4 times as fast', False
    )
    evaluate_every: int = parameter('chunks between evaluations', 50, low=1)
    evaluate_count: int = parameter('trials of an evaluation', 50, low=1)
    save_every: int = parameter('chunks between saves; a killed training goes on from the last', 10, low=1)
    threads: int = parameter('threads of torch; another number gives other rounding', 2, low=1, high=256)


@dataclass(frozen=True)
class RlConfig(Config):
    """Recurrent PPO: a trained policy plays, and its actions become likelier the more they brought."""

    seed: int = parameter('seed of everything', 0, low=0)
    sharpen: float = parameter(
        'the readout is multiplied by this first: the best action stays the best and is played more often',
        1.0,
        low=0.01,
        high=100.0,
    )
    iterations: int = parameter('rollouts to collect and learn from', 100, low=1)
    episodes: int = parameter('stop after this many episodes of experience; 0 goes by the iterations alone', 0, low=0)
    boards: int = parameter('boards played side by side', 256, low=1, high=4096)
    rollout_steps: int = parameter(
        'control steps per rollout, and steps that a gradient reaches back', 64, low=2, high=1024
    )
    minibatch_boards: int = parameter('boards per gradient step', 64, low=1, high=4096)
    epochs: int = parameter('times each rollout is learnt from', 3, low=1, high=100)
    learning_rate: float = parameter('of Adam, at the start; falls to 0 in a line', 1e-3, low=0.0, high=1.0)
    learn_eye: bool = parameter('learn the convolutions too, not only the LSTM and the readout; 4 times as slow', False)
    clip: float = parameter("an action's probability may change by this share per rollout", 0.1, low=0.0, high=1.0)
    gamma: float = parameter('what a reward counts for one step earlier', 0.98, low=0.0, high=1.0)
    gae_lambda: float = parameter('of the generalised advantage estimate', 0.95, low=0.0, high=1.0)
    entropy_weight: float = parameter('reward for undecided actions', 0.0, low=0.0, high=1.0)
    value_weight: float = parameter("weight of the critic's error", 0.5, low=0.0)
    gradient_norm: float = parameter('longer gradients are shortened to this', 0.5, low=0.0)
    critic_units: int = parameter(
        'units of the two layers between the hidden values and the value', 256, low=1, high=4096
    )
    critic_iterations: int = parameter('iterations at first in which the critic alone learns', 10, low=0)
    critic_learning_rate: float = parameter('of Adam for the critic, all the time', 1e-3, low=0.0, high=1.0)
    any_ring: float = parameter('share of episodes that start in any ring, not the outer one', 0.3, low=0.0, high=1.0)
    episode_s: float = parameter('an episode that takes longer is given up, s', 25.0, low=1.0, high=600.0)
    evaluate_every: int = parameter('iterations between evaluations', 25, low=1)
    evaluate_at: tuple[int, ...] = parameter('evaluate after these numbers of episodes too', (), low=1)
    evaluate_count: int = parameter('trials of an evaluation', 100, low=1)
    save_every: int = parameter('iterations between saves; a killed training goes on from the last', 10, low=1)
    threads: int = parameter('threads of torch; another number gives other rounding', 2, low=1, high=256)


# Fine-tuning where experience is dear, as on a robot: few boards, small steps, and a look at it every so often.
TRANSFER = RlConfig(
    boards=32,
    minibatch_boards=8,
    learning_rate=3e-4,
    iterations=400,
    episodes=1024,
    evaluate_every=1000,
    evaluate_at=(64, 128, 256, 512),
    threads=1,
)
