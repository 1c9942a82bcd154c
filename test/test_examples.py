"""The worked example of a six-axis arm: its files agree, and its geometry is what they say."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rclpy
import yaml

from maze_policy import arm
from maze_policy.arm_node import ArmNode
from maze_policy.node_config import ARM_INTERFACES, ArmNodeConfig

EXAMPLES = Path(__file__).parent.parent / 'config/examples'
CONTROLLERS = yaml.safe_load((EXAMPLES / 'ur5e_controllers.yaml').read_text())
ROBOT = ElementTree.parse(EXAMPLES / 'ur5e_mock.urdf').getroot()
LIMIT = np.radians(5.0)
CORNERS = [np.array([x, y]) * LIMIT for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)]


def config(*names):
    """What these files make of the arm node, later ones over earlier ones."""
    said = {}
    for name in names:
        said |= yaml.safe_load((EXAMPLES / name).read_text())['/**/arm']['ros__parameters']
    return ArmNodeConfig.from_dict(said)


WRISTS = config('ur5e.yaml')
CENTRED = config('ur5e.yaml', 'ur5e_centred.yaml')


def turn(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    i, j = {'x': (1, 2), 'y': (2, 0), 'z': (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[j, j], matrix[i, j], matrix[j, i] = c, c, -s, s
    return matrix


def board(joints_rad):
    """Where the board's centre is and how it is turned, in base_link, from the URDF."""
    joints = dict(zip(WRISTS.joint_names, joints_rad))
    position, rotation, link = np.zeros(3), np.eye(3), 'base_link'
    children = {joint.find('parent').get('link'): joint for joint in ROBOT.findall('joint')}
    while link in children:
        joint = children[link]
        xyz, rpy = (np.array(joint.find('origin').get(name).split(), dtype=float) for name in ('xyz', 'rpy'))
        position = position + rotation @ xyz
        rotation = rotation @ turn('z', rpy[2]) @ turn('y', rpy[1]) @ turn('x', rpy[0])
        if joint.get('type') == 'revolute':
            assert joint.find('axis').get('xyz') == '0 0 1'
            rotation = rotation @ turn('z', joints[joint.get('name')])
        link = joint.find('child').get('link')
    assert link == 'board'
    return position, rotation


def joints(made, tilt_rad):
    """The joints for a tilt, as the arm node commands them."""
    motion = arm.tilting(made)
    motion.follower.position_rad = tilt_rad
    return motion.joints_rad()


LEVEL_AT, LEVEL = board(WRISTS.neutral_rad)


def test_joints_are_the_same_in_all_files():
    described = [joint.get('name') for joint in ROBOT.findall('joint') if joint.get('type') == 'revolute']
    mocked = [joint.get('name') for joint in ROBOT.findall('ros2_control/joint')]
    assert list(WRISTS.joint_names) == described == mocked
    for name in ('joint_trajectory_controller', 'position_controller'):
        assert CONTROLLERS[name]['ros__parameters']['joints'] == described
        assert CONTROLLERS['controller_manager']['ros__parameters'][name]['type']
    started = [float(joint.find('state_interface/param').text) for joint in ROBOT.findall('ros2_control/joint')]
    assert started == list(WRISTS.neutral_rad)


def test_the_controllers_have_the_names_and_interfaces_that_the_arm_node_takes_for_usual():
    for interface in ('joint_trajectory', 'positions'):
        [topic] = ARM_INTERFACES[interface][0]
        assert topic.split('/')[1] in CONTROLLERS
    offered = {tuple(i.get('name') for i in joint.findall('command_interface')) for joint in ROBOT.iter('joint')}
    assert offered == {(), ('position',)}
    assert ROBOT.find('ros2_control/hardware/plugin').text == 'mock_components/GenericSystem'
    wanted = CONTROLLERS['joint_trajectory_controller']['ros__parameters']
    for joint in ROBOT.findall('ros2_control/joint'):
        assert [i.get('name') for i in joint.findall('state_interface')] == wanted['state_interfaces']


def test_the_lengths_are_a_ur5es():
    """Denavit-Hartenberg, as Universal Robots publishes it: theta, a, d, alpha; its base is base_link turned by pi."""
    table = [
        (0, 0.1625, np.pi / 2),
        (-0.425, 0, 0),
        (-0.3922, 0, 0),
        (0, 0.1333, np.pi / 2),
        (0, 0.0997, -np.pi / 2),
        (0, 0.0996, 0),
    ]
    rng = np.random.default_rng(2)
    for _ in range(20):
        angles = rng.uniform(-np.pi, np.pi, 6)
        position, rotation = np.zeros(3), turn('z', np.pi)
        for theta, (a, d, alpha) in zip(angles, table):
            rotation = rotation @ turn('z', theta)
            position = position + rotation @ [a, 0, d]
            rotation = rotation @ turn('x', alpha)
        got_at, got = board(angles)
        np.testing.assert_allclose(got, rotation, atol=1e-9)
        np.testing.assert_allclose(got_at, position + rotation @ [0, 0, 0.03], atol=1e-9)


def test_in_the_neutral_pose_the_board_is_level_and_in_front():
    np.testing.assert_allclose(LEVEL[:, 2], [0, 0, 1], atol=2e-4)
    assert LEVEL_AT[0] > 0.4
    assert LEVEL_AT[2] > 0.2


@pytest.mark.parametrize(('made', 'wrong_deg'), [(WRISTS, 0.02), (CENTRED, 0.13)], ids=['wrists', 'centred'])
def test_tilts_are_about_the_mazes_axes_with_their_signs(made, wrong_deg):
    for tilt_rad in CORNERS:
        normal = (board(joints(made, tilt_rad))[1] @ LEVEL.T)[:, 2]
        got = np.array([-np.arcsin(normal[1]), np.arcsin(normal[0])])
        np.testing.assert_allclose(np.degrees(got), np.degrees(tilt_rad), atol=wrong_deg + 0.005)


@pytest.mark.parametrize(('made', 'said'), [(WRISTS, '18'), (CENTRED, '1.4')], ids=['wrists', 'centred'])
def test_the_centre_moves_as_far_as_the_files_say(made, said):
    moved_mm = max(np.linalg.norm(board(joints(made, tilt))[0] - LEVEL_AT) * 1e3 for tilt in CORNERS)
    assert moved_mm == pytest.approx(float(said), rel=0.03)
    for name in ('ur5e.yaml', 'ur5e_centred.yaml'):
        assert f'{said} mm' in (EXAMPLES / name).read_text()


def test_the_centred_joints_are_the_inverse_of_the_jacobian():
    neutral, little = np.array(WRISTS.neutral_rad), 1e-6
    jacobian = np.zeros((6, 6))
    for joint in range(6):
        at, turned = board(neutral + little * np.eye(6)[joint])
        spin = (turned @ LEVEL.T - np.eye(3)) / little
        jacobian[:, joint] = [*(at - LEVEL_AT) / little, spin[2, 1], spin[0, 2], spin[1, 0]]
    wanted = np.linalg.solve(jacobian, np.eye(6)[:, 3:5])
    np.testing.assert_allclose(np.reshape(CENTRED.tilt_to_joints, (6, 2)), wanted, atol=1e-3)


@pytest.mark.parametrize('files', [('ur5e.yaml',), ('ur5e.yaml', 'ur5e_centred.yaml')], ids=len)
def test_the_files_reach_the_node(domain, files):
    context = rclpy.Context()
    arguments = [word for name in files for word in ('--params-file', str(EXAMPLES / name))]
    rclpy.init(context=context, domain_id=domain, args=['--ros-args', '-r', '__ns:=/maze', *arguments])
    node = ArmNode(context=context)
    assert node._config == config(*files)
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_ros_can_read_the_controllers_file(domain):
    """Its parser knows less YAML than Python's (no aliases)."""
    context = rclpy.Context()
    file = str(EXAMPLES / 'ur5e_controllers.yaml')
    rclpy.init(context=context, domain_id=domain, args=['--ros-args', '--params-file', file])
    node = rclpy.create_node('joint_trajectory_controller', context=context)
    assert list(node.declare_parameter('joints', [''], ignore_override=False).value) == list(WRISTS.joint_names)
    node.destroy_node()
    rclpy.shutdown(context=context)
