"""Every file in config/ given to every node: the parameters arrive, under any namespace."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import rclpy
import yaml
from scripted import Scripted

from maze_introspection.introspection_node import IntrospectionNode
from maze_introspection.recorder_node import RecorderNode
from maze_policy.arm_node import ArmNode
from maze_policy.base_node import BaseNode, declare, refuse_unknown_parameters
from maze_policy.board import BoardConfig
from maze_policy.maze import Maze, load_maze
from maze_policy.node_config import ArmNodeConfig, BallTrackerNodeConfig, CameraNodeConfig, PolicyNodeConfig
from maze_policy.parameters import fields_of
from maze_policy.policy_node import PolicyNode
from maze_policy.simulator_node import SimulatorNode

CONFIG = Path(__file__).parent.parent / 'config'
FILES = sorted(CONFIG.glob('*.yaml'))


def unplugged_camera(**kwargs):
    """The camera node's parameters; the node itself opens its camera when it is made."""
    node = BaseNode('camera', **kwargs)
    declare(node, CameraNodeConfig)
    refuse_unknown_parameters(node)
    return node


def uncalibrated_tracker(**kwargs):
    """The ball tracker's parameters; the node itself wants a calibration."""
    node = BaseNode('ball_tracker', **kwargs)
    declare(node, BallTrackerNodeConfig)
    declare(node, Maze, 'maze', load_maze())
    declare(node, BoardConfig, 'board')
    refuse_unknown_parameters(node)
    return node


NODES = {
    'simulator': SimulatorNode,
    'camera': unplugged_camera,
    'ball_tracker': uncalibrated_tracker,
    'arm': ArmNode,
    'policy': lambda **kwargs: PolicyNode(Scripted(), **kwargs),
    'introspection': IntrospectionNode,
    'recorder': RecorderNode,
}


def flat(parameters, prefix=''):
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from flat(value, f'{prefix}{name}.')
        else:
            yield prefix + name, value


def said_for(file, node):
    """What the file says for this node, later sections over earlier ones."""
    said = {}
    for pattern, section in yaml.safe_load(file.read_text()).items():
        if pattern in ('/**', f'/**/{node}'):
            said |= dict(flat(section['ros__parameters']))
    return said


def test_these_are_all_files():
    expected = {'maze.yaml', 'real.yaml', 'fastdds.xml', 'profiles', 'examples'}
    expected |= {'maze.perspective', 'plotjuggler.xml', 'foxglove.json'}  # see test_views.py
    assert {file.name for file in CONFIG.iterdir()} == expected


@pytest.mark.parametrize('namespace', ['/maze', '/lab/left'])
@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
@pytest.mark.parametrize('name', NODES)
def test_what_a_file_says_for_a_node_arrives(domain, tmp_path, name, file, namespace):
    context = rclpy.Context()
    arguments = ['--ros-args', '-r', f'__ns:={namespace}', '--params-file', str(file)]
    if name == 'recorder':
        arguments += ['-p', f'bag:={tmp_path}/bag']
    rclpy.init(context=context, domain_id=domain, args=arguments)
    try:
        node = NODES[name](context=context)
        for parameter, value in said_for(file, name).items():
            if parameter.startswith('maze.') and not node.has_parameter(parameter):
                assert name in ('camera', 'policy', 'arm', 'introspection'), 'only these need no geometry'
                continue
            arrived = node.get_parameter(parameter).value
            assert (list(arrived) if isinstance(value, list) else arrived) == value, parameter
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_a_file_names_only_nodes_that_there_are(file):
    for pattern in yaml.safe_load(file.read_text()):
        assert pattern == '/**' or pattern.removeprefix('/**/') in NODES


REAL = {
    'camera': CameraNodeConfig,
    'ball_tracker': BallTrackerNodeConfig,
    'policy': PolicyNodeConfig,
    'arm': ArmNodeConfig,
}


@pytest.mark.parametrize('name', REAL)
def test_the_file_for_the_robot_tells_every_parameter_and_the_right_default(name):
    text = (CONFIG / 'real.yaml').read_text()
    lines = re.search(rf'/\*\*/{name}:\n  ros__parameters:\n(.*?)(?:\n\n|\Z)', text, re.DOTALL)[1]
    defaults = dict(re.findall(r'^    # (\w+): (.*?) +#', lines, re.MULTILINE))
    said = said_for(CONFIG / 'real.yaml', name)
    assert {*defaults, *said} == {field.name for field, _ in fields_of(REAL[name])}
    assert not {*defaults} & {*said}
    values = REAL[name].from_dict(said).as_dict()
    for parameter, value in defaults.items():
        assert yaml.safe_load(value) == values[parameter], parameter


def test_the_dds_profile_is_loaded_and_camera_images_fit(domain, tmp_path):
    """Fast DDS reports a file that it cannot parse on stderr and goes on with its defaults."""
    code = 'import rclpy; rclpy.init(); rclpy.create_node("probe"); rclpy.shutdown()'
    result = {}
    for file in (CONFIG / 'fastdds.xml', tmp_path / 'broken.xml'):
        if not file.exists():
            file.write_text((CONFIG / 'fastdds.xml').read_text().replace('<segment_size>', '<segment_sise>'))
        result[file.name] = subprocess.run(
            [sys.executable, '-c', code],
            env={**os.environ, 'ROS_DOMAIN_ID': str(domain), 'FASTDDS_DEFAULT_PROFILES_FILE': str(file)},
            capture_output=True,
            text=True,
            check=False,
        )
    good, broken = result['fastdds.xml'], result['broken.xml']
    assert (good.returncode, good.stderr) == (0, '')
    assert 'XMLPARSER' in broken.stderr or 'rror' in broken.stderr
    space = {'dds': 'http://www.eprosima.com'}
    [size] = ElementTree.parse(CONFIG / 'fastdds.xml').findall('.//dds:segment_size', space)
    assert int(size.text) >= 16 * 640 * 480 * 3
