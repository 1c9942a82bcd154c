"""The robot that we have not, without ROS: its joint controller, the maze on its arm, and what a camera sees of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from maze_policy.boards import DRAWN, _engine
from maze_policy.config import CameraConfig, PhysicsConfig
from maze_policy.node_config import ArmNodeConfig
from maze_policy.scene_camera import SceneCamera, draw_scene
from maze_policy.simulator import BALL_RADIUS, COEFFICIENTS, PERIOD

STEP_S = 1 / 240
MOST_BEHIND_S = 0.5  # a process that was stopped does not catch up with more than this
NUMBER_BITS, NUMBER_PX = 16, 8


class JointTrajectoryController:
    """Does with a trajectory what ros2_control's joint_trajectory_controller does.

    A new trajectory replaces the old one at once: from where the joints are commanded to be now, along cubics through
    its points (lines where a point has no velocities), and there it stays. What the real one refuses is refused.
    """

    def __init__(self, joint_names, neutral_rad):
        self.joint_names = list(joint_names)
        rest = np.array(neutral_rad, dtype=float)
        self._knots = [(-np.inf, rest, np.zeros_like(rest))]

    def take(self, joint_names, points, now_s):
        """Follow `points`, each (seconds from now, positions, velocities or None), of these joints.

        Raises:
            ValueError: with what the real controller would object to.
        """
        if sorted(joint_names) != sorted(self.joint_names):
            raise ValueError(f'want joints {self.joint_names}, got {list(joint_names)}')
        order = [list(joint_names).index(name) for name in self.joint_names]
        if not points:
            raise ValueError('want at least one point, got an empty trajectory')
        knots, last_s = [], -np.inf
        for after_s, positions, velocities in points:
            if after_s <= last_s:
                raise ValueError(f'want times that increase strictly, got {after_s} s after {last_s} s')
            last_s = after_s
            values = [positions] if velocities is None else [positions, velocities]
            if any(len(value) != len(order) or not np.isfinite(value).all() for value in values):
                raise ValueError(f'want {len(order)} finite numbers for every joint, got {[list(v) for v in values]}')
            rate = None if velocities is None else np.array(velocities, dtype=float)[order]
            knots.append((now_s + after_s, np.array(positions, dtype=float)[order], rate))
        if last_s <= 0:
            raise ValueError(f'want a trajectory that ends after now, got one of {last_s} s')
        if knots[-1][2] is not None and knots[-1][2].any():
            raise ValueError(f'want no velocity at the end, got {knots[-1][2].tolist()} rad/s')
        position, rate = self.at(now_s)
        self._knots = [(now_s, position, rate), *(knot for knot in knots if knot[0] > now_s)]

    def at(self, now_s):
        """Commanded positions and rates of the joints, rad and rad/s."""
        after = next((index for index, knot in enumerate(self._knots) if knot[0] > now_s), None)
        if after is None:
            return self._knots[-1][1], np.zeros_like(self._knots[-1][1])
        (from_s, start, start_rate), (to_s, end, end_rate) = self._knots[after - 1], self._knots[after]
        length_s, share = to_s - from_s, (now_s - from_s) / (to_s - from_s)
        if start_rate is None or end_rate is None:
            return start + share * (end - start), (end - start) / length_s
        a, b = start_rate * length_s, end_rate * length_s
        first, second, third = a, 3 * (end - start) - 2 * a - b, 2 * (start - end) + a + b
        position = start + share * (first + share * (second + share * third))
        return position, (first + share * (2 * second + share * 3 * third)) / length_s


class Plant:
    """Arm, board, ball and camera of one world, all drawn once from a seed, as one robot in one room is.

    The arm follows its controller with the world's `tilt_lag_s`; the tilt is what the joints say.
    """

    def __init__(self, maze, world, arm, seed=0, markers=None):
        random = np.random.default_rng(seed)
        self._arm, self._maze = arm, maze
        self.simulator = _engine(world)(maze, PhysicsConfig(substeps=2), 1, int(random.integers(2**31)))
        physics = self.simulator.coefficients[0]
        for column, name in enumerate(COEFFICIENTS):
            if name in DRAWN:
                physics[column] = random.uniform(*getattr(world, name))
        physics[PERIOD] = STEP_S
        self.scene = draw_scene(world, maze, random)
        physics[BALL_RADIUS] = self.scene.ball_radius_m
        self.camera = SceneCamera(maze, self.scene, CameraConfig(), markers, seed)
        self.rate_hz, self.missed = random.uniform(*world.rate_hz), random.uniform(*world.missed_frames)
        self.controller = JointTrajectoryController(arm.joint_names, arm.neutral_rad)
        self._to_joints = np.reshape(arm.tilt_to_joints, (-1, 2))
        self._to_tilt = np.linalg.pinv(self._to_joints)
        self._neutral = np.array(arm.neutral_rad)
        self._at_s = None
        self.put_back()

    @property
    def ball_m(self):
        """Where the ball is in the maze frame, m."""
        return self.simulator.position_m[0]

    @property
    def tilt_rad(self):
        """The board's true tilt about x and y, rad."""
        return self.simulator.tilt_rad[0]

    @property
    def joints_rad(self):
        """Where the joints are, rad."""
        return self._neutral + self._to_joints @ self.tilt_rad

    def advance(self, now_s):
        """Let time pass until now, s on any clock."""
        if self._at_s is None or now_s - self._at_s > MOST_BEHIND_S:
            self._at_s = now_s
        while self._at_s + STEP_S <= now_s:
            self._at_s += STEP_S
            joints, _ = self.controller.at(self._at_s)
            self.simulator.step((self._to_tilt @ (joints - self._neutral))[None])

    def put_back(self):
        """Rest the ball somewhere in the outer ring; the board stays as it is."""
        tilt = self.tilt_rad.copy()
        self.simulator.reset()
        self.simulator.tilt_rad[0] = tilt

    def picture(self, ball_m, tilt_rad, number=None):
        """What the camera sees of this, rgb8; with its number in the upper left corner, if given."""
        image = self.camera.picture(ball_m, tilt_rad)
        if number is not None:
            write_number(image, number)
        return image


def write_number(image, number):
    """A number in black and white blocks that JPEG leaves alone."""
    bits = [number >> bit & 1 for bit in range(NUMBER_BITS)]
    image[:NUMBER_PX, : NUMBER_BITS * NUMBER_PX] = 255 * np.repeat(bits, NUMBER_PX)[:, None]


def read_number(image):
    """The number that `write_number` wrote."""
    half = NUMBER_PX // 2
    row = image[half, half : NUMBER_BITS * NUMBER_PX : NUMBER_PX, 0]
    return int(sum(int(value > 127) << bit for bit, value in enumerate(row)))


def arm_config(paths):
    """The arm's parameters out of ROS parameter files, as the arm node gets them; without a file the defaults."""
    values = {}
    for path in paths:
        for node, content in yaml.safe_load(Path(path).read_text()).items():
            if node.rsplit('/')[-1] in ('arm', '**'):
                values |= content['ros__parameters']
    known = ArmNodeConfig().as_dict()
    return ArmNodeConfig.from_dict({name: value for name, value in values.items() if name in known})


def write_camera_info(path, pinhole):
    """The usual YAML, as the tool for calibrating cameras would make it of this one."""

    def matrix(values):
        rows, cols = np.atleast_2d(values).shape
        return {'rows': rows, 'cols': cols, 'data': np.ravel(values).tolist()}

    values = {'image_width': 640, 'image_height': 480, 'camera_name': 'stand_in', 'distortion_model': 'plumb_bob'}
    values |= {'camera_matrix': matrix(pinhole.matrix), 'distortion_coefficients': matrix(np.zeros(5))}
    values |= {'rectification_matrix': matrix(np.eye(3))}
    values |= {'projection_matrix': matrix(np.column_stack([pinhole.matrix, np.zeros(3)]))}
    Path(path).write_text(yaml.safe_dump(values))
