"""Every node with use_sim_time and a /clock in the test's hands, as in Gazebo and in a replay."""

import functools

import numpy as np
import pytest
from mcap.reader import make_reader
from rosgraph_msgs.msg import Clock
from scripted import Scripted

from maze_introspection.introspection_node import IntrospectionNode
from maze_introspection.recorder_node import RecorderNode
from maze_policy import messages, topics
from maze_policy.policy_node import PolicyNode
from maze_policy.simulator_node import SimulatorNode

START_NS = 12_000_000_000  # far from the machine's own time
STEP_NS = 33_000_000


class Honest(Scripted):
    """Its scores are what its readout makes of its hidden state, so that introspection believes it."""

    def step(self, observation, memory):
        step = super().step(observation, memory)
        return step._replace(scores=self.readout[:, :-1] @ step.hidden + self.readout[:, -1])


class Timekeeper:
    """Publishes /clock, and camera frames by it."""

    def __init__(self, graph):
        self.graph, self.probe = graph, graph.probe()
        self._clock = self.probe.node.create_publisher(Clock, '/clock', 1)
        self.probe.publisher(topics.CAMERA_IMAGE)
        self.now_ns = START_NS

    def tick(self, by_ns=0):
        self.now_ns += by_ns
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(self.now_ns, 10**9)
        self._clock.publish(message)

    def until(self, condition):
        """Tell the time on and on until something holds; /clock is best effort."""

        def told():
            self.tick()
            return condition()

        self.graph.until(told)

    def show(self, stamp_ns):
        frame = np.full((84, 84, 3), 100, np.uint8)
        self.probe.say(topics.CAMERA_IMAGE, messages.picture_message(messages.header_at(stamp_ns, 'camera'), frame))


@pytest.fixture
def keeper(graph):
    return Timekeeper(graph)


def heard_at(probe, topic):
    return [messages.stamp_ns(message.header) for message in probe.heard[topic]]


def test_policy_introspection_and_recorder_live_by_the_clock(graph, keeper, tmp_path):
    keeper.probe.hear(topics.TILT_COMMAND, topics.CONTRIBUTION, topics.DIAGNOSTICS)
    scripted, yes = Honest(), {'use_sim_time': True}
    recorder = graph.add(RecorderNode, bag=str(tmp_path / 'bag'), **yes)
    graph.add(IntrospectionNode, wait_for=['recorder'], **yes)
    # The watchdogs are not at stake here, and a busy machine is no silence.
    patient = {'level_after_s': 10.0, 'forget_after_s': 100.0}
    policy = graph.add(
        functools.partial(PolicyNode, scripted), wait_for=['introspection', 'recorder'], max_age_s=0.1, **patient, **yes
    )
    said = (topics.CAMERA_IMAGE, topics.BALL)  # each is taken by the recorder and one more
    keeper.until(lambda: keeper.probe.matched(*said))
    keeper.until(lambda: all(keeper.probe.publisher(topic).get_subscription_count() == 2 for topic in said))

    shown = [START_NS + (step + 1) * STEP_NS for step in range(5)]
    for stamp_ns in shown:
        keeper.tick(STEP_NS)
        keeper.until(lambda: policy.now_ns() == keeper.now_ns)
        keeper.probe.say(topics.BALL, messages.ball_message(messages.header_at(stamp_ns - 1_000_000), (0.0, 0.05)))
        keeper.show(stamp_ns - 1_000_000)
        graph.until(lambda stamp_ns=stamp_ns: stamp_ns - 1_000_000 in heard_at(keeper.probe, topics.TILT_COMMAND))
    graph.until(lambda: len(keeper.probe.heard[topics.CONTRIBUTION]) == 5)
    assert [step for _, step in scripted.seen] == [0, 1, 2, 3, 4]
    assert policy.health.report(1.0).level == 0

    keeper.show(keeper.now_ns - 101_000_000 - STEP_NS)
    graph.until(lambda: policy.health.refused('stale frame'))
    keeper.show(keeper.now_ns + 101_000_000)
    graph.until(lambda: policy.health.refused('frame from the future'))
    assert len(scripted.seen) == 5

    told = recorder.health.counted('messages')
    graph.until(lambda: any(messages.stamp_ns(m.header) >= START_NS for m in keeper.probe.heard[topics.DIAGNOSTICS]))
    graph.until(lambda: recorder.health.counted('messages') > told)
    recorder.finish()
    with open(tmp_path / 'bag/bag_0.mcap', 'rb') as stream:
        times = [(m.log_time, m.publish_time) for _, _, m in make_reader(stream).iter_messages()]
    assert len(times) > 5 * 7
    for log_ns, publish_ns in times:
        assert START_NS <= log_ns <= keeper.now_ns
        assert publish_ns == log_ns


def test_before_the_first_clock_nothing_reaches_the_memory(graph, keeper):
    scripted = Scripted()
    policy = graph.add(functools.partial(PolicyNode, scripted), use_sim_time=True)
    for _ in range(20):  # a clock that stands at 0 ns and a frame from then would be as fresh as can be
        keeper.show(1)
        graph.spin_for(0.02)
    assert keeper.probe.publisher(topics.CAMERA_IMAGE).get_subscription_count() == 0
    assert not scripted.seen
    keeper.until(lambda: keeper.probe.publisher(topics.CAMERA_IMAGE).get_subscription_count())
    graph.until(lambda: policy.now_ns() == START_NS)
    keeper.show(START_NS)
    graph.until(lambda: scripted.seen)


@pytest.mark.parametrize('node', [PolicyNode, IntrospectionNode, RecorderNode, SimulatorNode])
def test_who_gets_no_clock_says_so_in_the_end(graph, node, tmp_path):
    given = {'bag': str(tmp_path / 'bag')} if node is RecorderNode else {}
    make = functools.partial(PolicyNode, Scripted()) if node is PolicyNode else node
    graph.add(make, use_sim_time=True, wait_for_s=0.1, **given)
    with pytest.raises(TimeoutError, match=r'after 0\.1 s still nobody publishes /clock, which use_sim_time asks for'):
        graph.until(lambda: False, 10.0)


def test_the_board_is_levelled_though_the_clock_stands(graph, keeper):
    """A camera that goes silent because the simulation stands still is silent all the same."""
    keeper.probe.hear(topics.TILT_COMMAND)
    policy = graph.add(functools.partial(PolicyNode, Scripted()), use_sim_time=True, max_age_s=10.0, level_after_s=0.2)
    keeper.until(lambda: keeper.probe.matched(topics.CAMERA_IMAGE))
    graph.until(lambda: policy.now_ns() == START_NS)
    keeper.show(START_NS)
    tilts = keeper.probe.heard[topics.TILT_COMMAND]
    graph.until(lambda: len(tilts) == 2)
    assert messages.tilt(tilts[0]).any()
    assert not messages.tilt(tilts[1]).any()


def test_the_simulator_stamps_its_frames_by_the_clock(graph, keeper):
    keeper.probe.hear(topics.BALL)
    graph.add(SimulatorNode, use_sim_time=True)
    keeper.until(lambda: len(keeper.probe.heard[topics.BALL]) >= 2)
    assert set(heard_at(keeper.probe, topics.BALL)) == {START_NS}
