import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import rclpy
from rclpy.parameter import Parameter

from maze_policy import topics
from maze_policy.base_node import BaseNode, declare, refuse_unknown_parameters, run
from maze_policy.config import PhysicsConfig
from maze_policy.maze import Maze, load_maze
from maze_policy.messages import ball_message, header_at
from maze_policy.node_config import NodeConfig, PolicyNodeConfig
from maze_policy.parameters import fields_of


@pytest.fixture
def node(graph):
    def make(name='policy', **parameters):
        overrides = [Parameter(key.replace('__', '.'), value=value) for key, value in parameters.items()]
        made = BaseNode(
            name, context=graph.context, namespace='/maze', parameter_overrides=overrides, use_global_arguments=False
        )
        graph.executor.add_node(made)
        graph.nodes.append(made)
        return made

    return make


def test_what_is_not_given_is_the_dataclass_default(node):
    assert declare(node(), PolicyNodeConfig) == PolicyNodeConfig()


def test_given_values_arrive_and_a_whole_number_will_do_for_a_float(node):
    made = node(max_age_s=1, checkpoint='mine', wait_for=['recorder'])
    config = declare(made, PolicyNodeConfig)
    assert (config.max_age_s, config.checkpoint, config.wait_for) == (1.0, 'mine', ('recorder',))
    assert made.get_parameter('max_age_s').value == 1.0
    assert list(made.get_parameter('wait_for').value) == ['recorder']


def test_a_group_is_prefixed_and_takes_its_defaults_from_a_file(node):
    made = node(maze__rim_radius_m=0.1)
    maze = declare(made, Maze, 'maze', load_maze())
    assert maze.rim_radius_m == 0.1
    assert maze.opening_deg == load_maze().opening_deg
    assert list(made.get_parameter('maze.opening_deg').value) == list(maze.opening_deg)


@pytest.mark.parametrize(
    ('given', 'says'),
    [
        ({'max_age_s': 99.0}, r'max_age_s wants 0\.001 to 10\.0, got 99\.0'),
        ({'max_age_s': float('nan')}, 'max_age_s wants a finite number'),
        ({'max_age_s': 'old'}, "max_age_s wants float, got 'old'"),
        ({'camera_reliable': 1}, 'camera_reliable wants bool, got 1'),
        ({'wait_for': ['nobody']}, "wait_for wants one of simulator, .*, recorder, got 'nobody'"),
    ],
)
def test_a_bad_value_is_quoted_with_what_was_wanted(node, given, says):
    with pytest.raises(ValueError, match=says):
        declare(node(**given), PolicyNodeConfig)


def test_a_misspelt_parameter_is_refused_with_a_hint(node):
    made = node(max_age=0.2)
    declare(made, PolicyNodeConfig)
    with pytest.raises(ValueError, match=r"there is no parameter 'max_age'; did you mean 'max_age_s'"):
        refuse_unknown_parameters(made)


def test_a_group_that_a_file_gives_to_every_node_is_let_pass_but_not_its_misspelling(node):
    fine = node(maze__rim_radius_m=0.1, physics__rate_hz=60.0)
    declare(fine, PolicyNodeConfig)
    refuse_unknown_parameters(fine)
    wrong = node(maze__rim_radius=0.1)
    declare(wrong, PolicyNodeConfig)
    with pytest.raises(ValueError, match=r"no parameter 'maze\.rim_radius'"):
        refuse_unknown_parameters(wrong)


def test_each_parameter_tells_what_it_is_and_that_it_is_read_once(node):
    made = node()
    declare(made, PhysicsConfig, 'physics')
    for field, kind in fields_of(PhysicsConfig):
        descriptor = made.describe_parameter(f'physics.{field.name}')
        assert descriptor.description == field.metadata['description']
        assert descriptor.read_only
        bounds = descriptor.floating_point_range if kind is float else descriptor.integer_range
        assert (bounds[0].from_value, bounds[0].to_value) == (field.metadata['low'], field.metadata['high'])
    assert not made.set_parameters([Parameter('physics.rate_hz', value=60.0)])[0].successful


def test_a_changeable_parameter_may_change_where_the_node_says_what_to_do_then(node):
    made, heard = node(), []

    def hear(config):
        if config.checkpoint == 'unwanted':
            raise ValueError('no, not that one')
        heard.append(config)

    declare(made, PolicyNodeConfig, on_change=hear)
    declare(made, PhysicsConfig, 'physics')

    def put(**values):
        given = [Parameter(name, value=value) for name, value in values.items()]
        result = made.set_parameters_atomically(given)
        return result.successful, result.reason

    assert put(level_after_s=0.2, max_age_s=0.3) == (True, '')
    assert (heard[-1].level_after_s, heard[-1].max_age_s) == (0.2, 0.3)
    assert put(forget_after_s=2.0)[0]
    assert heard[-1].level_after_s == 0.2, 'what was set before stays'
    assert put(checkpoint='unwanted') == (False, 'no, not that one')
    assert put(level_after_s=0.4, checkpoint='unwanted')[0] is False
    for bad in (99.0, float('nan'), 'late'):
        assert not put(level_after_s=bad)[0]
    assert made.get_parameter('level_after_s').value == 0.2
    assert not put(camera_reliable=False)[0], 'not changeable'
    assert len(heard) == 2


def test_a_changeable_parameter_is_read_only_where_nobody_would_notice(node):
    made = node()
    declare(made, PolicyNodeConfig)
    assert not made.set_parameters([Parameter('level_after_s', value=0.2)])[0].successful


def test_a_parameter_file_reaches_a_node_under_any_namespace(domain, tmp_path):
    file = tmp_path / 'file.yaml'
    file.write_text('/**/policy:\n  ros__parameters:\n    max_age_s: 0.5\n    wait_for: []\n')
    for namespace in ('/maze', '/lab/left'):
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain, args=['--ros-args', '--params-file', str(file)])
        made = BaseNode('policy', context=context, namespace=namespace)
        assert declare(made, PolicyNodeConfig).max_age_s == 0.5
        made.destroy_node()
        rclpy.shutdown(context=context)


def test_starts_only_once_every_named_node_takes_every_output_it_should(graph, node):
    policy, started = node(), []
    policy.output(topics.LSTM_GATES)
    policy.output(topics.TILT_COMMAND)
    policy.start_when_taken(NodeConfig(wait_for=('introspection', 'recorder')), lambda: started.append(1))

    recorder = node('recorder')
    for topic in (topics.LSTM_GATES, topics.TILT_COMMAND):
        recorder.input(topic, lambda message: None)
    lacking = ['/diagnostics is not taken by recorder', 'policy/lstm_gates is not taken by introspection']
    graph.until(lambda: policy._missing(('introspection', 'recorder')) == lacking)
    assert not started

    node('introspection').input(topics.LSTM_GATES, lambda message: None)
    graph.spin_for(0.3)
    assert not started, 'the recorder does not take /diagnostics yet'
    recorder.input(topics.DIAGNOSTICS, lambda message: None)
    graph.until(lambda: started)
    graph.spin_for(0.1)
    assert started == [1]


def test_the_same_name_in_another_namespace_is_not_the_one_waited_for(graph, node):
    policy, started = node(), []
    policy.output(topics.TILT_COMMAND)
    policy.start_when_taken(NodeConfig(wait_for=('simulator',)), lambda: started.append(1))
    other = BaseNode('simulator', context=graph.context, namespace='/other', use_global_arguments=False)
    graph.executor.add_node(other)
    graph.nodes.append(other)
    other.input(replace(topics.TILT_COMMAND, name='/maze/policy/tilt_command'), lambda message: None)
    graph.spin_for(0.4)
    assert not started


def test_waiting_ends_with_an_error_that_says_for_whom(graph, node):
    policy = node()
    policy.output(topics.TILT_COMMAND)
    policy.start_when_taken(NodeConfig(wait_for=('simulator',), wait_for_s=0.1), lambda: None)
    with pytest.raises(TimeoutError, match='policy/tilt_command is not taken by simulator'):
        graph.until(lambda: False, 10.0)


def test_health_is_on_diagnostics_every_second(graph, node):
    policy = node()
    probe = graph.probe()
    probe.hear(topics.DIAGNOSTICS)
    graph.until(lambda: probe.matched())
    policy.health.count('frames')
    policy.refuse('stale frame', '0.3 s old')
    graph.until(lambda: any(message.status[0].level == b'\x01' for message in probe.heard[topics.DIAGNOSTICS]))
    status = next(m.status[0] for m in probe.heard[topics.DIAGNOSTICS] if m.status[0].level == b'\x01')
    assert (status.name, status.message) == ('/maze/policy', 'refused stale frame: 0.3 s old')
    assert {pair.key: pair.value for pair in status.values}['refused: stale frame'] == '1'


class Ending(BaseNode):
    """A node that says when it ends, and how."""

    events: list

    def __init__(self, events, fault=None):
        super().__init__('ending', namespace='/maze')
        self.events = events
        self.output(topics.EPISODE)
        if fault == 'start':
            raise ValueError('want a good start, got a bad one')
        if fault:
            self.create_timer(0.05, self.fail, clock=self.steady)
        self.fault = fault

    def fail(self):
        if self.fault == 'done':
            self.exit_code = 3
        else:
            raise {'disk': OSError('no space left'), 'bug': KeyError('bug')}[self.fault]

    @property
    def listeners(self):
        return self._outputs[topics.EPISODE].get_subscription_count()

    def last_words(self):
        self.events.append('last words')
        self._outputs[topics.EPISODE].publish(header_at(1))

    def finish(self):
        self.events.append('finish')


@pytest.fixture
def lonely(domain, monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))
    monkeypatch.setattr(sys, 'argv', ['ending_node.py'])


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_order_and_the_last_words_still_go_out(graph, lonely, number):
    probe, events, made = graph.probe(), [], []
    probe.hear(topics.EPISODE)
    listening = threading.Event()

    def make():
        made.append(Ending(events))
        return made[0]

    def watch():
        try:
            graph.until(lambda: probe.matched() and made and made[0].listeners)
            listening.set()
        finally:
            os.kill(os.getpid(), number)
        graph.until(lambda: probe.heard[topics.EPISODE])

    watcher = threading.Thread(target=watch)
    watcher.start()
    handler = signal.getsignal(number)
    assert run(make) == 0
    watcher.join()
    assert listening.is_set()
    assert events == ['last words', 'finish']
    assert signal.getsignal(number) is handler
    assert probe.heard[topics.EPISODE]


@pytest.mark.parametrize(
    ('fault', 'code', 'says', 'traceback'),
    [
        ('start', 1, 'ending_node: want a good start, got a bad one\n', False),
        ('disk', 1, 'ending: no space left\n', False),
        ('bug', 1, "ending: 'bug'\n", True),
        ('done', 3, '', False),
    ],
)
def test_every_end_is_orderly_and_says_why(lonely, capfd, fault, code, says, traceback):
    events = []
    assert run(lambda: Ending(events, fault)) == code
    error = capfd.readouterr().err
    assert says in error
    assert ('Traceback' in error) == traceback
    assert events == ([] if fault == 'start' else ['last words', 'finish'])


def test_what_is_no_ros_argument_is_refused(lonely, capfd, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['ending_node.py', '--checkpoint', 'x', '--ros-args', '-p', 'a:=1'])
    assert run(lambda: Ending([])) == 1
    assert 'want parameters as --ros-args -p name:=value, got --checkpoint x' in capfd.readouterr().err


def test_the_queue_is_drained_before_the_end(graph, lonely):
    class Slow(Ending):
        got = 0

        def __init__(self, events):
            super().__init__(events)
            self.input(topics.BALL, self.take)

        def take(self, message):
            time.sleep(0.03)
            self.got += 1

    probe, made = graph.probe(), []

    def publish():
        try:
            graph.until(lambda: probe.matched(topics.BALL))
            for index in range(8):
                probe.say(topics.BALL, ball_message(header_at(index + 1), (0.0, 0.0)))
            graph.until(lambda: made[0].got)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    publisher = threading.Thread(target=publish)
    publisher.start()

    def make():
        made.append(Slow([]))
        return made[0]

    assert run(make) == 0
    publisher.join()
    assert made[0].got == 8


@pytest.mark.parametrize('own_session', [True, False])
def test_what_only_looks_yields_the_processor_to_what_acts(own_session):
    """Also to other sessions, which Linux weighs as groups; a group with others in it is left alone."""
    code = (
        'import os\n'
        'from pathlib import Path\n'
        'from maze_policy import base_node\n'
        'from maze_introspection.recorder_node import RecorderNode\n'
        'base_node.rclpy.init = lambda **_: (_ for _ in ()).throw(OSError("enough"))\n'
        'base_node.run(RecorderNode)\n'
        'group = Path("/proc/self/autogroup")\n'
        'print(os.nice(0), *(group.read_text().split()[-1:] if group.exists() else []))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], start_new_session=own_session, capture_output=True, text=True, check=True
    )
    before = os.nice(0)
    group = Path('/proc/self/autogroup')
    groups = group.read_text().split()[-1:] if group.exists() else []  # empty: this session is in no group
    if group.exists() and own_session and before < 10:
        groups = ['10']
    assert done.stdout.split() == [str(max(before, 10)), *groups]
