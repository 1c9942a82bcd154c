"""What stands in for the robot must be right itself: what it stands for cannot be asked here."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DEADLINE_S
from stand_in_plant import JointTrajectoryController, Plant, read_number, write_number
from stand_in_video import write_episodes

from maze_policy import messages, topics
from maze_policy.camera_node import CameraNode
from maze_policy.capture import Ended, open_capture
from maze_policy.maze import load_maze
from maze_policy.node_config import ARM_INTERFACES, ArmNodeConfig, CameraNodeConfig
from maze_policy.policy import PolicyStep
from maze_policy.scene_camera import SceneCamera, draw_scene
from maze_policy.world import load_world

HERE = Path(__file__).parent
REST = [0.1, -0.2]


def controller():
    return JointTrajectoryController(['a', 'b'], REST)


def test_the_controller_stays_goes_along_a_cubic_and_stays():
    arm = controller()
    np.testing.assert_array_equal(arm.at(5.0), [REST, [0, 0]])
    arm.take(['a', 'b'], [(1.0, [0.5, 0.0], [0.3, 0.0]), (2.0, [0.6, 0.0], [0.0, 0.0])], 10.0)
    np.testing.assert_allclose(arm.at(10.0), [REST, [0, 0]])
    np.testing.assert_allclose(arm.at(11.0), [[0.5, 0.0], [0.3, 0.0]])
    np.testing.assert_allclose(arm.at(99.0), [[0.6, 0.0], [0.0, 0.0]])
    # The one cubic with these ends: 0.1 + 0.9 t^2 - 0.5 t^3.
    position, rate = arm.at(10.5)
    assert position[0] == pytest.approx(0.1 + 0.9 * 0.25 - 0.5 * 0.125)
    assert rate[0] == pytest.approx(1.8 * 0.5 - 1.5 * 0.25)
    step = 1e-6
    np.testing.assert_allclose((arm.at(10.5 + step)[0] - arm.at(10.5 - step)[0]) / (2 * step), rate, rtol=1e-6)


def test_a_new_trajectory_goes_on_from_where_the_joints_are():
    arm = controller()
    arm.take(['a', 'b'], [(1.0, [1.1, -0.2], None)], 0.0)
    np.testing.assert_allclose(arm.at(0.5), [[0.6, -0.2], [1.0, 0.0]])
    arm.take(['b', 'a'], [(0.5, [-0.2, 1.0], [0.0, 0.0])], 0.5)  # in the order that it says
    position, rate = arm.at(0.5)
    np.testing.assert_allclose([position, rate], [[0.6, -0.2], [1.0, 0.0]])
    np.testing.assert_allclose(arm.at(1.0)[0], [1.0, -0.2])


@pytest.mark.parametrize(
    ('names', 'points', 'why'),
    [
        (['a'], [(1.0, [0.0], None)], 'want joints'),
        (['a', 'c'], [(1.0, [0.0, 0.0], None)], 'want joints'),
        (['a', 'b'], [], 'at least one point'),
        (['a', 'b'], [(1.0, [0.0], None)], '2 finite numbers'),
        (['a', 'b'], [(1.0, [0.0, np.nan], None)], '2 finite numbers'),
        (['a', 'b'], [(1.0, [0.0, 0.0], [1.0])], '2 finite numbers'),
        (['a', 'b'], [(1.0, [0.0, 0.0], None), (1.0, [0.0, 0.0], None)], 'increase strictly'),
        (['a', 'b'], [(0.0, [0.0, 0.0], None)], 'ends after now'),
        (['a', 'b'], [(1.0, [0.0, 0.0], [0.0, 0.1])], 'no velocity at the end'),
    ],
)
def test_the_controller_refuses_what_the_real_one_does_and_goes_on(names, points, why):
    arm = controller()
    with pytest.raises(ValueError, match=why):
        arm.take(names, points, 0.0)
    np.testing.assert_array_equal(arm.at(1.0)[0], REST)


def test_the_board_follows_the_joints_with_the_arms_lag_and_the_ball_rolls_down():
    arm = ArmNodeConfig(joint_names=('w1', 'w2'), neutral_rad=(1.0, -1.0), tilt_to_joints=(0.0, -1.0, 1.0, 0.0))
    world = load_world('nominal', {'view': 'perspective', 'tilt_lag_s': 0.05})
    plant = Plant(load_maze(), world, arm)
    assert 0.077 < np.hypot(*plant.ball_m) < 0.096
    plant.advance(100.0)
    np.testing.assert_allclose(plant.joints_rad, [1.0, -1.0])
    wanted = np.array([0.03, -0.02])  # of the board
    plant.controller.take(['w1', 'w2'], [(1e-9, [1.0 + 0.02, -1.0 + 0.03], None)], 100.0)
    plant.advance(100.05)
    np.testing.assert_allclose(plant.tilt_rad, wanted * (1 - np.exp(-1)), rtol=0.01)
    plant.advance(100.4)
    plant.advance(100.8)
    np.testing.assert_allclose(plant.tilt_rad, wanted, rtol=1e-3)
    np.testing.assert_allclose(plant.joints_rad, [1.02, -0.97], rtol=1e-3)
    # A positive tilt about x lowers the -y side, a negative one about y the -x side.
    plant.simulator.position_m[0], plant.simulator.velocity_m_s[0] = [0.0, 0.0], [0.0, 0.0]
    plant.advance(100.9)
    assert (plant.ball_m < 0).all()
    tilt = plant.tilt_rad.copy()
    plant.put_back()
    np.testing.assert_array_equal(plant.tilt_rad, tilt)
    assert np.hypot(*plant.ball_m) > 0.077


def test_a_number_in_a_picture_survives_jpeg():
    import cv2

    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    for number in (0, 1, 0xBEEF):
        write_number(image, number)
        jpeg = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        assert read_number(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)) == number


class Robot:
    """The stand-in as a process."""

    def __init__(self, graph, domain, log, *options):
        command = [sys.executable, str(HERE / 'stand_in_robot.py'), '--port', '0', '--log', str(log), *options]
        self.graph, self._log = graph, log
        self.environment = os.environ | {'ROS_DOMAIN_ID': str(domain), 'PYTHONUNBUFFERED': '1'}
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline().split()
        assert ready[0] == 'READY'
        self.url = ready[1]

    def lines(self, what):
        """What it has written so far."""
        lines = self._log.read_text().splitlines(keepends=True)
        said = [json.loads(line) for line in lines if line.endswith('\n')]
        return [line for line in said if line['what'] == what]

    def end(self):
        """Its summary."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        assert self.process.returncode == 0
        return json.loads(out.split('stand_in: ')[-1])


@pytest.fixture
def robot(graph, domain, tmp_path):
    made = []

    def make(*options):
        made.append(Robot(graph, domain, tmp_path / 'robot.jsonl', *options))
        return made[-1]

    yield make
    for each in made:
        each.process.kill()
        each.process.communicate()


def test_commands_tilt_the_board_and_the_camera_shows_the_logged_truth(graph, robot, tmp_path):
    camera = ('--camera-info', str(tmp_path / 'camera.yaml'), '--number-pictures', '--missed-frames', '0')
    stand_in = robot('--engine', 'planar', '--seed', '5', '--record', str(tmp_path / 'live.avi'), *camera)
    probe = graph.probe()
    probe.hear(topics.CAMERA_IMAGE)
    joints = []
    probe.node.create_subscription(
        messages.message_class('sensor_msgs/msg/JointState'), '/joint_states', joints.append, 9
    )
    topic, kind = ARM_INTERFACES['joint_trajectory']
    commands = probe.node.create_publisher(messages.message_class(kind), topic[0], 1)
    graph.until(commands.get_subscription_count)
    graph.add(CameraNode, source=stand_in.url, calibration=str(tmp_path / 'camera.yaml'))
    pictures = probe.heard[topics.CAMERA_IMAGE]
    graph.until(lambda: len(pictures) >= 3 and joints)
    assert list(joints[-1].name) == ['tilt_x', 'tilt_y']
    way = [messages.Waypoint(0.1, np.array([0.05, -0.04]), np.zeros(2))]
    commands.publish(messages.trajectory_message(['tilt_x', 'tilt_y'], way))
    graph.until(lambda: np.allclose(joints[-1].position, [0.05, -0.04], rtol=0.01))
    commands.publish(messages.trajectory_message(['tilt_x', 'tilt_z'], way))
    graph.until(lambda: stand_in.lines('refused'))
    count = len(pictures)
    graph.until(lambda: len(pictures) >= count + 10)

    shown = {line['number']: line for line in stand_in.lines('frame')}
    ages_s = []
    for message in pictures:
        truth = shown[read_number(messages.picture(message, 'rgb8', (480, 640)))]
        ages_s.append((messages.stamp_ns(message.header) - truth['at_ns']) * 1e-9)
    assert min(ages_s) > 0.03  # the camera's own delay
    np.testing.assert_allclose(truth['tilt_rad'], [0.05, -0.04], rtol=0.01)
    [command, other] = stand_in.lines('command')
    assert command['points'] == [[0.1, [0.05, -0.04], [0.0, 0.0]]]
    assert other['joint_names'] == ['tilt_x', 'tilt_z']

    command = [sys.executable, str(HERE / 'stand_in_robot.py'), 'reset']
    done = subprocess.run(command, env=stand_in.environment, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout[:7]) == (0, 'ball at')
    place = stand_in.lines('reset')[-1]['ball_m']
    assert np.hypot(*place) > 0.077
    summary = stand_in.end()
    assert (summary['commands'], summary['refused']) == (2, 1)
    assert summary['frames'] >= len(pictures)
    filmed = [json.loads(line)['number'] for line in (tmp_path / 'live.jsonl').read_text().splitlines()]
    film = open_capture(CameraNodeConfig(source=str(tmp_path / 'live.avi'), rate_hz=1000.0))
    assert [read_number(film.read().image) for _ in filmed] == filmed
    assert len(filmed) == summary['video'] == summary['frames']


def test_a_film_has_every_picture_to_the_last_bit_and_the_truth_beside_it(tmp_path):
    class Still:
        """A policy that never tilts."""

        def initial_memory(self):
            return 0

        def step(self, observation, memory):
            return PolicyStep(np.eye(5)[4], *[np.zeros(1)] * 3, memory + 1)

    world, maze = load_world('real_like', {'engine': 'planar'}), load_maze()
    film = tmp_path / 'run.avi'
    assert write_episodes(film, maze, world, Still(), episodes=2, seed=3, time_limit_s=0.4) == [None, None]
    truth = [json.loads(line) for line in film.with_suffix('.jsonl').read_text().splitlines()]
    video = open_capture(CameraNodeConfig(source=str(film), rate_hz=1000.0))
    pictures = [video.read().image for _ in truth]
    with pytest.raises(Ended):
        video.read()
    # The same camera sees the same again, and its noise too.
    camera = SceneCamera(maze, draw_scene(world, maze, np.random.default_rng(3)), seed=3)
    again = [camera.picture(line['ball_m'], line['tilt_rad']) for line in truth]
    np.testing.assert_array_equal(pictures, again)
    assert [line['number'] for line in truth] == list(range(1, len(truth) + 1))
    assert {line['episode'] for line in truth} == {1, 2}
