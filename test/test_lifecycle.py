"""The policy as a managed node, by the services that everybody uses: lifecycle_msgs and rcl_interfaces, over DDS."""

import functools
import signal

import numpy as np
import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from scripted import Scripted
from test_policy_node import OUTPUTS, PATIENT, STEP_RAD, copy_with_flipped_byte, start

from maze_policy import messages, topics
from maze_policy.policy_node import PolicyNode

TO = {
    'configure': Transition.TRANSITION_CONFIGURE,
    'activate': Transition.TRANSITION_ACTIVATE,
    'deactivate': Transition.TRANSITION_DEACTIVATE,
    'clean up': Transition.TRANSITION_CLEANUP,
    'shut down': Transition.TRANSITION_ACTIVE_SHUTDOWN,
}


class Manager:
    """Manages a policy that may live anywhere, shows it frames and hears what it says."""

    def __init__(self, graph):
        self.graph, self.probe = graph, graph.probe()
        self.probe.hear(*OUTPUTS, topics.DIAGNOSTICS)
        self.probe.publisher(topics.CAMERA_IMAGE)
        self._clients = {
            kind: self.probe.node.create_client(kind, f'policy/{name}')
            for kind, name in (
                (ChangeState, 'change_state'),
                (GetState, 'get_state'),
                (SetParameters, 'set_parameters'),
            )
        }

    def ask(self, kind, **request):
        client = self._clients[kind]
        self.graph.until(client.service_is_ready, 120)
        future = client.call_async(kind.Request(**request))
        self.graph.until(future.done)
        return future.result()

    def do(self, *transitions):
        return [self.ask(ChangeState, transition=Transition(id=TO[name])).success for name in transitions]

    def set(self, name, value):
        message = ParameterMessage(name=name, value=Parameter(name, value=value).to_parameter_msg().value)
        return self.ask(SetParameters, parameters=[message]).results[0]

    @property
    def state(self):
        return self.ask(GetState).current_state.id

    def listening(self):
        return self.probe.publisher(topics.CAMERA_IMAGE).get_subscription_count() > 0

    def tilts(self):
        return [messages.tilt(message) for message in self.probe.heard[topics.TILT_COMMAND]]

    def show(self):
        header = messages.header_at(self.probe.node.get_clock().now().nanoseconds, 'camera')
        self.probe.say(topics.CAMERA_IMAGE, messages.picture_message(header, np.full((84, 84, 3), 90, np.uint8)))

    def play_a_step(self):
        count = len(self.tilts())
        self.graph.until(self.listening)
        self.show()
        self.graph.until(lambda: len(self.tilts()) > count)


@pytest.fixture
def managed(graph):
    """A policy of this process that waits for its transitions, and its manager."""

    def make(**parameters):
        policy = Scripted()
        node = graph.add(functools.partial(PolicyNode, policy), **(PATIENT | {'autostart': False} | parameters))
        return Manager(graph), node, policy

    return make


def test_it_does_nothing_until_it_is_told(managed):
    manager, _, _ = managed()
    assert manager.state == State.PRIMARY_STATE_UNCONFIGURED
    assert manager.probe.node.count_publishers(topics.TILT_COMMAND.name) == 0
    assert manager.do('configure') == [True]
    assert manager.state == State.PRIMARY_STATE_INACTIVE
    manager.graph.until(lambda: manager.probe.heard[topics.READOUT])
    manager.graph.spin_for(0.2)
    assert not manager.listening()
    assert manager.do('activate') == [True]
    assert manager.state == State.PRIMARY_STATE_ACTIVE
    manager.play_a_step()
    np.testing.assert_allclose(manager.tilts()[-1], [STEP_RAD, 0])


def test_with_autostart_it_is_active_at_once(managed):
    manager, node, _ = managed(autostart=True)
    manager.graph.until(lambda: node.active)
    assert manager.state == State.PRIMARY_STATE_ACTIVE


def test_deactivate_levels_and_listens_no_more_and_activate_begins_anew(managed):
    manager, node, policy = managed()
    manager.do('configure', 'activate')
    for _ in range(3):
        manager.play_a_step()
    assert manager.do('deactivate') == [True]
    manager.graph.until(lambda: not manager.tilts()[-1].any())
    manager.graph.until(lambda: not manager.listening())
    count = len(manager.tilts())
    manager.show()
    manager.graph.spin_for(0.3)
    assert len(manager.tilts()) == count
    node.last_words()
    manager.graph.spin_for(0.2)
    assert len(manager.tilts()) == count, 'who does not play does not command, not even level'
    assert manager.do('activate') == [True]
    manager.play_a_step()
    np.testing.assert_allclose(manager.tilts()[-1], [STEP_RAD, 0])
    assert [step for _, step in policy.seen] == [0, 1, 2, 0]
    manager.graph.until(lambda: manager.probe.heard[topics.EPISODE][-1].frame_id == 'episode-0002')


def test_deactivate_levels_first(managed, monkeypatch):
    manager, node, _ = managed()
    manager.do('configure', 'activate')
    manager.play_a_step()
    order = []
    make_level, destroy = node._make_level, node.destroy_subscription
    monkeypatch.setattr(node, '_make_level', lambda *_: (order.append('level'), make_level())[1])
    monkeypatch.setattr(node, 'destroy_subscription', lambda one: (order.append('deaf'), destroy(one))[1])
    manager.do('deactivate')
    assert order == ['level', 'deaf']


def test_frames_in_a_flood_of_transitions_do_no_harm(managed):
    manager, _, policy = managed()
    manager.do('configure')
    for _ in range(20):
        assert manager.do('activate') == [True]
        manager.play_a_step()
        for _ in range(5):
            manager.show()
        assert manager.do('deactivate') == [True]
        manager.graph.until(lambda: not manager.tilts()[-1].any())
    assert [step for _, step in policy.seen].count(0) == 20


def test_a_process_stands_a_flood_of_transitions_too(graph, domain):
    """Its executor is another one than that of the tests."""
    process = start(domain, 'autostart:=false', *(f'{name}:={value}' for name, value in PATIENT.items()))
    manager = Manager(graph)
    try:
        assert manager.do('configure') == [True]
        for _ in range(10):
            assert manager.do('activate') == [True]
            manager.play_a_step()
            for _ in range(5):
                manager.show()
            assert manager.do('deactivate') == [True]
            graph.until(lambda: not manager.tilts()[-1].any())
        assert manager.do('clean up', 'configure', 'activate') == [True] * 3
        manager.play_a_step()
        process.send_signal(signal.SIGTERM)
        graph.until(lambda: process.poll() is not None)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def test_clean_up_keeps_nothing_for_late_listeners_and_shut_down_levels(managed):
    manager, _, _ = managed()
    assert manager.do('configure', 'clean up') == [True, True]
    assert manager.state == State.PRIMARY_STATE_UNCONFIGURED
    late = manager.graph.probe()
    late.hear(topics.READOUT)
    manager.graph.spin_for(0.3)
    assert not late.heard[topics.READOUT]
    assert manager.do('configure', 'activate') == [True, True]
    manager.graph.until(lambda: late.heard[topics.READOUT])
    manager.play_a_step()
    assert manager.do('shut down') == [True]
    manager.graph.until(lambda: not manager.tilts()[-1].any())
    assert manager.state == State.PRIMARY_STATE_FINALIZED


@pytest.mark.parametrize('transitions', [('activate',), ('deactivate',), ('configure', 'configure')])
def test_a_transition_that_is_not_possible_changes_nothing(managed, transitions):
    manager, _, _ = managed()
    assert not manager.do(*transitions)[-1]
    assert manager.do('configure' if 'configure' not in transitions else 'activate') == [True]


def test_an_inactive_policy_answers_a_reset_and_commands_nothing(managed):
    from std_srvs.srv import Trigger

    manager, _, _ = managed()
    manager.do('configure')
    client = manager.probe.node.create_client(Trigger, topics.RESET_SERVICE)
    manager.graph.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    manager.graph.until(future.done)
    assert future.result().success
    manager.graph.spin_for(0.2)
    assert not manager.tilts()


def test_where_stopping_fails_the_node_ends(managed, monkeypatch):
    manager, node, _ = managed()
    manager.do('configure', 'activate')
    monkeypatch.setattr(node, '_make_level', lambda *_: (_ for _ in ()).throw(OSError('no wire')))
    assert manager.do('deactivate') == [False]
    assert node.exit_code == 1
    told = manager.probe.heard[topics.DIAGNOSTICS]
    manager.graph.until(lambda: any(m.status[0].message == 'deactivate: no wire' for m in told))


def test_a_bad_checkpoint_fails_the_transition_with_its_reason_and_the_node_lives_on(graph, domain, tmp_path):
    copy_with_flipped_byte(tmp_path)
    process = start(domain, f'checkpoint:={tmp_path}/mine.safetensors', 'autostart:=false')
    manager = Manager(graph)
    try:
        assert manager.do('configure') == [False]
        assert manager.state == State.PRIMARY_STATE_UNCONFIGURED
        told = manager.probe.heard[topics.DIAGNOSTICS]
        graph.until(
            lambda: any('configure: ' in m.status[0].message and 'SHA-256' in m.status[0].message for m in told)
        )
        assert manager.set('checkpoint', 'nominal').successful
        assert manager.do('configure', 'activate') == [True, True]
        manager.play_a_step()
        refused = manager.set('checkpoint', 'sparse')
        assert not refused.successful
        assert 'deactivate and clean up first' in refused.reason
        assert manager.do('deactivate', 'clean up') == [True, True]
        assert manager.set('checkpoint', 'sparse').successful
        assert manager.do('configure') == [True]
        process.send_signal(signal.SIGTERM)
        graph.until(lambda: process.poll() is not None)
        assert process.returncode == 0
        assert 'want SHA-256' in process.communicate()[1]
    finally:
        process.kill()
        process.wait()


def test_what_may_change_is_checked_and_holds_at_once(managed):
    manager, _, _ = managed(autostart=True)
    manager.play_a_step()
    refused = manager.set('level_after_s', 99.0)
    assert not refused.successful
    assert '99' in refused.reason
    refused = manager.set('camera_reliable', False)
    assert not refused.successful
    assert 'read-only' in refused.reason
    assert manager.set('level_after_s', 0.2).successful
    manager.graph.until(lambda: not manager.tilts()[-1].any())
    assert manager.set('max_age_s', 0.5).successful
