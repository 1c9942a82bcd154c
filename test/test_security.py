"""The SROS2 policy allows what the nodes do and nothing else; `python test/test_security.py` rewrites it."""

import functools
import re
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import yaml
from rclpy.node import NodeNameNonExistentError
from rosgraph_msgs.msg import Clock
from scripted import Scripted

from maze_introspection.introspection_node import IntrospectionNode
from maze_introspection.recorder_node import RecorderNode
from maze_policy import topics
from maze_policy.arm_node import ArmNode
from maze_policy.ball_tracker_node import BallTrackerNode
from maze_policy.camera_node import CameraNode
from maze_policy.messages import message_class
from maze_policy.policy_node import PolicyNode
from maze_policy.share import share_path
from maze_policy.simulator_node import SimulatorNode
from maze_policy.topics import GIVEN_BY, NAMESPACE, TAKEN_BY
from maze_policy.trial_node import TrialNode

POLICY = Path(__file__).parent.parent / 'security/maze.policy.xml'
ARM = yaml.safe_load(share_path('config/real.yaml').read_text())['/**/arm']['ros__parameters']
INCLUDE = '{http://www.w3.org/2003/XInclude}include'
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!--
  SROS2 policy: one enclave per node, with its own topics and services alone, and one for the person who watches and may
  stop the policy (ros2 topic, ros2 lifecycle, rqt). How to make keys and permissions of it: docs/security.md.
  Another namespace: sed 's#"/maze#"/lab#'. The arm's controller: its topics in config/real.yaml.

  Made from maze_policy/topics.py by `python test/test_security.py`.
-->
<policy version="0.2.0" xmlns:xi="http://www.w3.org/2003/XInclude">
  <enclaves>
"""
TAIL = '  </enclaves>\n</policy>\n'
STATE_SERVICES = (topics.GET_STATE_SERVICE, topics.CHANGE_STATE_SERVICE)
# Tools name their nodes as they like, and each serves its own parameters and types.
TOOLS = ('/_ros2cli_*/*', '/rqt_*/*')
SERVED_BY = {'policy': (topics.RESET_SERVICE,), 'operator': TOOLS}
ASKED_BY = {
    'simulator': (topics.RESET_SERVICE,),
    'trial': STATE_SERVICES,
    'operator': (
        topics.RESET_SERVICE,
        *STATE_SERVICES,
        'policy/get_available_transitions',
        'policy/get_parameters',  # the panel: where the ball is in the picture
        'introspection/set_parameters',  # the panel: thresholds
    ),
}
OTHERS = {'arm': {'publish': ARM['controller_topics'], 'subscribe': [ARM['joint_states_topic']]}}
NODES = (*TAKEN_BY, 'operator')


def names(found):
    return [topic.name for topic in found if topic is not topics.DIAGNOSTICS]


def policy_xml():
    return HEAD + ''.join(map(enclave, NODES)) + TAIL


def enclave(node):
    given, taken = names(GIVEN_BY.get(node, ())), names(TAKEN_BY.get(node, topics.ALL))
    others = OTHERS.get(node, {})
    rules = [
        ('topics', 'publish', [*given, *others.get('publish', [])]),
        ('topics', 'subscribe', [*taken, *others.get('subscribe', [])]),
        ('services', 'reply', SERVED_BY.get(node, ())),
        ('services', 'request', ASKED_BY.get(node, ())),
    ]
    if node in ('recorder', 'operator'):
        rules[1][2].append(topics.DIAGNOSTICS.name)
    if node == 'operator':
        rules[1][2].extend(['/rosout', '/parameter_events', 'policy/transition_event'])
    common = ['node', 'lifecycle'] if node == 'policy' else ['node']
    lines = [f'<enclave path="{NAMESPACE}/{node}">', '  <profiles>', f'    <profile ns="{NAMESPACE}" node="{node}">']
    lines += [f'      <xi:include href="common/{name}.xml" xpointer="xpointer(/profile/*)"/>' for name in common]
    for kind, how, allowed in rules:
        if allowed:
            each = [f'        <{kind[:-1]}>{name}</{kind[:-1]}>' for name in allowed]
            lines += [f'      <{kind} {how}="ALLOW">', *each, f'      </{kind}>']
    lines += ['    </profile>', '  </profiles>', '</enclave>']
    return ''.join(f'    {line}\n' for line in lines)


def allowed(node):
    """What the file allows a node, by (topics or services, how), its includes resolved, as absolute names."""
    [profile] = ElementTree.parse(POLICY).findall(f".//enclave[@path='{NAMESPACE}/{node}']/profiles/profile")
    rules = {}
    for element in profile:
        included = [element]
        if element.tag == INCLUDE:
            assert element.get('xpointer') == 'xpointer(/profile/*)'
            included = ElementTree.parse(POLICY.parent / element.get('href')).getroot()
        for rule in included:
            [(how, qualifier)] = rule.attrib.items()
            assert qualifier == 'ALLOW'
            for name in rule:
                absolute = re.sub('^~', f'{profile.get("ns")}/{profile.get("node")}', name.text)
                absolute = absolute if absolute.startswith('/') else f'{profile.get("ns")}/{absolute}'
                rules.setdefault((rule.tag, how), set()).add(absolute)
    return rules


class World:
    """All that a node may be waiting for: a clock, a controller that listens, and joints that are level."""

    def __init__(self, graph, tmp_path):
        self.graph, self.probe = graph, graph.probe()
        self._clock = self.probe.node.create_publisher(Clock, '/clock', 1)
        self._joints = self.probe.node.create_publisher(message_class('sensor_msgs/msg/JointState'), '/joint_states', 1)
        for name in ARM['controller_topics']:
            kind = message_class('trajectory_msgs/msg/JointTrajectory')
            self.probe.node.create_subscription(kind, name, lambda _: None, 1)
        (tmp_path / 'pictures').mkdir()
        cv2.imwrite(str(tmp_path / 'pictures/0.png'), np.zeros((120, 160, 3), np.uint8))
        arm = {name: ARM[name] for name in ('controller_topics', 'joint_names', 'joint_states_topic')}
        board = {
            'board__width_px': 640, 'board__height_px': 480, 'board__camera_matrix': [1100.0, 1100.0, 319.5, 239.5],
            'board__rotation_rad': [np.pi, 0.0, 0.0], 'board__translation_m': [0.0, 0.0, 0.45],
        }  # fmt: skip
        self._made = {
            'simulator': (SimulatorNode, {}),
            'camera': (CameraNode, {'source': str(tmp_path / 'pictures'), 'loop': True, 'rate_hz': 30.0}),
            'ball_tracker': (BallTrackerNode, board),
            'policy': (functools.partial(PolicyNode, Scripted()), {}),
            'arm': (ArmNode, arm),
            'trial': (TrialNode, {}),
            'introspection': (IntrospectionNode, {}),
            'recorder': (RecorderNode, {'bag': str(tmp_path / 'bag')}),
        }

    def add(self, name):
        node_class, parameters = self._made[name]
        return self.graph.add(node_class, use_sim_time=True, **parameters)

    def tick(self):
        message = Clock()
        message.clock.sec = 1
        self._clock.publish(message)
        names = ARM['joint_names']
        self._joints.publish(message_class('sensor_msgs/msg/JointState')(name=names, position=[0.0] * len(names)))

    def done_by(self, name):
        """What the node does on the wire, by (topics or services, how)."""
        ask, who = self.probe.node, (name, NAMESPACE)
        found = {
            ('topics', 'publish'): ask.get_publisher_names_and_types_by_node(*who),
            ('topics', 'subscribe'): ask.get_subscriber_names_and_types_by_node(*who),
            ('services', 'reply'): ask.get_service_names_and_types_by_node(*who),
            ('services', 'request'): ask.get_client_names_and_types_by_node(*who),
        }
        return {rule: {found_name for found_name, _ in entries} for rule, entries in found.items() if entries}


def test_the_file_is_made_from_the_topics():
    assert POLICY.read_text() == policy_xml(), 'run: python test/test_security.py'


@pytest.mark.parametrize('name', TAKEN_BY)
def test_a_node_is_allowed_what_it_does_and_nothing_else(graph, tmp_path, name):
    world = World(graph, tmp_path)
    world.add(name)

    def all_is_there():
        world.tick()
        try:
            return world.done_by(name) == allowed(name)
        except NodeNameNonExistentError:  # not yet
            return False

    try:
        graph.until(all_is_there, 20.0)
    except AssertionError:
        assert world.done_by(name) == allowed(name)
        raise


def test_who_watches_hears_all_and_commands_nothing():
    rules = allowed('operator')
    commands = {f'{NAMESPACE}/{topic.name}' for topic in topics.ALL if topic is not topics.DIAGNOSTICS}
    assert commands <= rules['topics', 'subscribe']
    assert not commands & rules['topics', 'publish']
    stops = ('reset', 'get_state', 'change_state', 'get_available_transitions', 'get_parameters')
    asks = {*(f'{NAMESPACE}/policy/{name}' for name in stops), f'{NAMESPACE}/introspection/set_parameters'}
    assert rules['services', 'request'] == asks


def test_only_the_policy_commands_the_tilt_and_only_the_arm_its_controller():
    tilt = f'{NAMESPACE}/{topics.TILT_COMMAND.name}'
    assert [name for name in NODES if tilt in allowed(name)['topics', 'publish']] == ['policy']
    for controller in ARM['controller_topics']:
        assert [name for name in NODES if controller in allowed(name)['topics', 'publish']] == ['arm']


if __name__ == '__main__':
    POLICY.write_text(policy_xml())
