"""Every parameter of the playing nodes: name, type, unit, default, range, description; written here alone."""

from __future__ import annotations

from dataclasses import dataclass

from maze_policy.parameters import Config, parameter
from maze_policy.topics import TAKEN_BY

# Two frames of 30 a second may be missing, which is 0.1 s; after three, 0.13 s, it is silence. Ours.
SILENCE_S = 0.12
# Two clocks that are not in step; a frame that is further ahead was not stamped by any of ours.
AHEAD_S = 0.05


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
        'without a tilt command for this long the board levels itself, s', SILENCE_S, low=0.01
    )
    answer_timeout_s: float = parameter(
        'at the end of an episode wait this long for the policy: for its last tilt, then for its reset, s', 2.0, low=0.0
    )


@dataclass(frozen=True)
class ManagedNodeConfig(NodeConfig):
    """What a managed (lifecycle) node can be told."""

    autostart: bool = parameter(
        'configure at once and activate once `wait_for` holds, and end if that fails; false: wait for the transitions',
        True,
    )


@dataclass(frozen=True)
class PolicyNodeConfig(ManagedNodeConfig):
    """The node that plays a recurrent policy."""

    checkpoint: str = parameter(
        'policy to play: NAME.safetensors, or the name of a shipped one; empty plays nominal; can be set while the '
        'node is unconfigured',
        '',
        changeable=True,
    )
    camera_reliable: bool = parameter('subscribe reliably to the camera; false for a best-effort camera driver', True)
    max_age_s: float = parameter(
        'a frame older than this never reaches the LSTM, s', 0.1, low=0.001, high=10.0, changeable=True
    )
    max_ahead_s: float = parameter(
        'nor does one that is so far in the future, s', AHEAD_S, low=0.001, high=10.0, changeable=True
    )
    camera_rate_hz: float = parameter('frames that are missing are counted by it, Hz', 30.0, low=1.0, high=1000.0)
    level_after_s: float = parameter(
        'without a frame for this long the board is levelled, s', SILENCE_S, low=0.001, high=10.0, changeable=True
    )
    forget_after_s: float = parameter(
        'without a frame for this long the memory is reset, s', 1.0, low=0.01, high=3600.0, changeable=True
    )
    board_check_s: float = parameter(
        'with a calibration of the board, look so often whether it is in view and where it was, s',
        1.0,
        low=0.05,
        high=3600.0,
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
        'any',
        choices=('any', 'MJPG', 'YUYV', 'UYVY', 'NV12', 'GREY', 'RGB3', 'BGR3'),
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


# What each interface of the arm's controller is called where its topic is not named, and its message type.
ARM_INTERFACES = {
    'joint_trajectory': (('/joint_trajectory_controller/joint_trajectory',), 'trajectory_msgs/msg/JointTrajectory'),
    'positions': (('/position_controller/commands',), 'std_msgs/msg/Float64MultiArray'),
    'joints': (('arm/tilt_x', 'arm/tilt_y'), 'std_msgs/msg/Float64'),
}


@dataclass(frozen=True)
class BallTrackerNodeConfig(NodeConfig):
    """The node that finds the ball in the camera image."""

    camera_reliable: bool = parameter('subscribe reliably to the camera; false for a best-effort camera driver', True)
    max_age_s: float = parameter('a frame older than this is not looked at, s', 0.1, low=0.001, high=10.0)
    max_ahead_s: float = parameter('nor is one that is so far in the future, s', AHEAD_S, low=0.001, high=10.0)
    ball_brighter: bool = parameter('the ball is brighter than the floor; false: darker', True)
    least_contrast: float = parameter(
        'what differs from the floor by a smaller share than this is no ball', 0.08, low=0.01, high=10.0
    )


@dataclass(frozen=True)
class ArmNodeConfig(NodeConfig):
    """The node that turns tilt commands into commands for the arm's controller."""

    interface: str = parameter(
        'what the controller takes: a JointTrajectory, all positions in one array, or one number per joint and topic',
        'joint_trajectory',
        choices=tuple(ARM_INTERFACES),
    )
    controller_topics: tuple[str, ...] = parameter(
        "the controller's topic; interface joints: one per joint; empty: "
        + ', '.join(' '.join(names) for names, _ in ARM_INTERFACES.values()),
        (),
    )
    joint_names: tuple[str, ...] = parameter('all joints of the controller, in its order', ('tilt_x', 'tilt_y'))
    neutral_rad: tuple[float, ...] = parameter('the joints when the board is level, rad', (0.0, 0.0))
    tilt_to_joints: tuple[float, ...] = parameter(
        "two numbers per joint: how far it turns per radian of tilt about the maze's x axis, and about its y axis",
        (1.0, 0.0, 0.0, 1.0),
    )
    angle_limit_deg: float = parameter('largest tilt about either axis, deg', 5.0, low=0.1, high=30.0)
    rate_limit_deg_s: float = parameter('largest rate of the tilt, deg/s', 30.0, low=1.0, high=360.0)
    acceleration_limit_deg_s2: float = parameter(
        'largest acceleration of the tilt, deg/s^2', 400.0, low=10.0, high=10000.0
    )
    command_rate_hz: float = parameter('commands to the controller, Hz', 100.0, low=10.0, high=1000.0)
    time_from_start_s: float = parameter(
        'a trajectory begins this long after it was sent: longer than a command period and its jitter, s',
        0.03,
        low=0.001,
        high=1.0,
    )
    command_timeout_s: float = parameter(
        'without a good tilt command for this long the board is levelled, s', SILENCE_S, low=0.01, high=10.0
    )
    max_age_s: float = parameter('a tilt whose frame is older than this is refused, s', 0.2, low=0.001, high=10.0)
    max_ahead_s: float = parameter('so is one whose frame is so far in the future, s', AHEAD_S, low=0.001, high=10.0)
    joint_states_topic: str = parameter(
        'where the joints are told (sensor_msgs/JointState): the arm must be near the neutral pose at the start and '
        'follow its commands; empty: not looked at',
        '',
    )
    near_neutral_deg: float = parameter(
        'at the start no joint may be further than this from its neutral position, deg', 20.0, low=0.1, high=180.0
    )
    approach_deg_s: float = parameter(
        'rate of the joints on their way to the neutral pose, deg/s', 5.0, low=0.1, high=60.0
    )
    tolerance_deg: float = parameter(
        'a joint further than this from its command for half a second does not follow it, deg', 3.0, low=0.01, high=45.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        count = len(self.joint_names)
        wanted = {
            'joint_names': (len(set(self.joint_names)), max(count, 1), 'names, each once'),
            'neutral_rad': (len(self.neutral_rad), count, 'positions, one per joint'),
            'tilt_to_joints': (len(self.tilt_to_joints), 2 * count, 'numbers, two per joint'),
            'controller_topics': (
                len(self.topics),
                count if self.interface == 'joints' else 1,
                f'for {self.interface}',
            ),
        }
        for name, (got, want, what) in wanted.items():
            if got != want:
                raise ValueError(f'{name} wants {want} {what}, got {got}')
        about_x, about_y = self.tilt_to_joints[::2], self.tilt_to_joints[1::2]
        if not any(
            abs(about_x[i] * about_y[j] - about_x[j] * about_y[i]) > 1e-3 for i in range(count) for j in range(i)
        ):
            raise ValueError(f'tilt_to_joints wants joints that tilt about both axes, got {list(self.tilt_to_joints)}')
        if self.interface == 'positions' and not self.joint_states_topic:
            raise ValueError(
                'interface positions wants joint_states_topic: such a controller jumps to what it is told, so the way '
                'to the neutral pose must begin where the arm is'
            )

    @property
    def topics(self) -> tuple[str, ...]:
        """The controller's topics."""
        return self.controller_topics or ARM_INTERFACES[self.interface][0]


@dataclass(frozen=True)
class TrialNodeConfig(NodeConfig):
    """The referee of trials on a robot or in Gazebo."""

    episodes: int = parameter('end after this many trials; 0 goes on', 0, low=0)
    time_limit_s: float = parameter('a trial that takes longer has failed, s', 60.0, low=0.1, high=3600.0)
    solved_frames: int = parameter(
        'solved is a ball that is seen in the centre so many times in a row', 3, low=1, high=1000
    )
    settle_s: float = parameter(
        'a trial begins once the ball has lain still in the outer ring for this long, s', 2.0, low=0.1, high=60.0
    )
    lost_after_s: float = parameter(
        'a trial is void, and the policy stopped, when no ball is seen for this long, s', 2.0, low=0.1, high=60.0
    )
    answer_timeout_s: float = parameter(
        'the policy must have changed its state after this long; to load one takes seconds, s', 60.0, low=0.1
    )
    reset_command: tuple[str, ...] = parameter(
        'program and arguments that put the ball back into the outer ring; empty: a person is asked to', ()
    )
    reset_timeout_s: float = parameter(
        'the program is killed after this long, and run again if the ball has not come to rest by then, s',
        30.0,
        low=0.1,
        high=3600.0,
    )
