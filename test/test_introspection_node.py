import re

import numpy as np
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from maze_introspection.analysis import analyze, compare_live, replayed_as_live
from maze_introspection.bag import read_recording
from maze_introspection.config import IntrospectionConfig
from maze_introspection.introspection_node import IntrospectionNode
from maze_introspection.recorder_node import RecorderNode
from maze_introspection.recording import Recording
from maze_policy import messages, topics

PARTS = (topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES)
HEARD = (topics.CONTRIBUTION, topics.SALIENT, topics.PRECEDING_OFFSET, topics.WATCHED)
STEP_NS = 33_333_333


def episode(steps=40, channels=16, seed=0):
    """Steps of a real LSTM recurrence with random gates."""
    random = np.random.default_rng(seed)
    drift = np.cumsum(random.normal(size=(steps, 4, channels)), axis=0)
    gates = (1 / (1 + np.exp(-drift))).astype(np.float32)
    gates[:, 2] = np.tanh(drift[:, 2])
    readout = np.concatenate([random.normal(size=(5, channels)), np.zeros((5, 1))], axis=1).astype(np.float32)
    hidden, cell = np.zeros((2, steps, channels), np.float32)
    before = np.zeros(channels, np.float32)
    for t in range(steps):
        before = cell[t] = gates[t, 1] * before + gates[t, 0] * gates[t, 2]
        hidden[t] = gates[t, 3] * np.tanh(cell[t])
    return Recording(
        stamp_ns=10**18 + STEP_NS * np.arange(steps),
        gates=gates,
        hidden=hidden,
        cell=cell,
        scores=hidden @ readout[:, :-1].T,
        readout=readout,
        episode=np.zeros(steps, np.int64),
        episode_ids=('episode-0001',),
        tilt_rad=np.zeros((steps, 2)),
        ball_m=random.uniform(-0.09, 0.09, (steps, 2)),
    )


class Bench:
    """An introspection node, and a policy's topics in the test's hands."""

    def __init__(self, graph, **parameters):
        self.graph, self.probe = graph, graph.probe()
        self.probe.hear(*HEARD, topics.DIAGNOSTICS)
        taken = topics.TAKEN_BY['introspection']
        for topic in taken:
            self.probe.publisher(topic)
        self.node = graph.add(IntrospectionNode, **parameters)
        graph.until(lambda: self.probe.matched(*taken))

    def tell_readout(self, recording):
        self.probe.say(topics.READOUT, messages.matrix_message(messages.header_at(1), recording.readout))

    def part(self, recording, t, topic, frame='camera'):
        header = messages.header_at(int(recording.stamp_ns[t]), frame)
        if topic is topics.BALL:
            return messages.ball_message(header, recording.ball_m[t])
        matrix = {
            topics.LSTM_GATES: recording.gates[t],
            topics.LSTM_STATE: np.stack([recording.hidden[t], recording.cell[t]]),
            topics.ACTION_SCORES: recording.scores[t],
        }[topic]
        return messages.matrix_message(header, matrix)

    def tell(self, recording, t, *parts):
        for topic in parts or (topics.BALL, *PARTS):
            self.probe.say(topic, self.part(recording, t, topic))

    def play(self, recording, steps=None):
        """Tell steps one after another, each once the one before was explained."""
        for t in steps if steps is not None else range(recording.steps):
            count = self.node.health.counted('steps') + 1
            self.tell(recording, t)
            self.graph.until(lambda count=count: self.node.health.counted('steps') == count)
        self.graph.until(lambda: len(self.heard(topics.CONTRIBUTION)) == self.node.health.counted('steps'))

    def heard(self, topic):
        return self.probe.heard[topic]

    def shares(self):
        return np.concatenate([messages.matrix(message) for message in self.heard(topics.CONTRIBUTION)])


@pytest.fixture
def bench(graph):
    return lambda **parameters: Bench(graph, **parameters)


def test_what_is_said_live_is_bit_for_bit_what_the_replay_says(bench):
    b, recording = bench(), episode()
    b.tell_readout(recording)
    b.play(recording)
    analysis = analyze(recording, IntrospectionConfig())
    assert b.shares().tobytes() == analysis.contribution.share.tobytes()

    rows = replayed_as_live(analysis)
    said_at = np.unique(rows['step'])
    b.graph.until(lambda: len(b.heard(topics.PRECEDING_OFFSET)) == len(said_at))
    for t, message in zip(said_at, b.heard(topics.PRECEDING_OFFSET)):
        assert messages.stamp_ns(message.header) == recording.stamp_ns[t]
        expected = rows[rows['step'] == t]
        columns = np.stack([expected[name] for name in topics.OFFSET_COLUMNS], axis=1).astype(np.float32)
        assert messages.matrix(message, (None, 6)).tobytes() == columns.tobytes()

    b.graph.until(lambda: len(b.heard(topics.SALIENT)) == analysis.salient.any(axis=1).sum())
    salient = {messages.stamp_ns(m.header): messages.matrix(m, (None, 3)) for m in b.heard(topics.SALIENT)}
    for t, stamp in enumerate(recording.stamp_ns):
        channels = np.flatnonzero(analysis.salient[t])
        if len(channels):
            told = salient[int(stamp)]
            assert told[:, 0].tolist() == channels.tolist()
            assert told[:, 1].tolist() == analysis.contribution.share[t, channels].tolist()
            assert set(told[:, 2]) == {float(analysis.contribution.action[t])}


def test_the_header_of_the_frame_is_carried_unchanged(bench):
    b, recording = bench(), episode(steps=3)
    b.tell_readout(recording)
    b.play(recording)
    for t, message in enumerate(b.heard(topics.CONTRIBUTION)):
        assert message.header == messages.header_at(int(recording.stamp_ns[t]), 'camera')


def test_steps_wait_for_a_readout_that_comes_late(bench):
    b, recording = bench(), episode(steps=5)
    for t in range(5):
        b.tell(recording, t)
    b.graph.until(lambda: len(b.node._steps) == 5)
    b.tell_readout(recording)
    b.graph.until(lambda: len(b.heard(topics.CONTRIBUTION)) == 5)


def test_without_a_ball_the_distance_is_unknown_and_nothing_is_lost(bench):
    b, recording = bench(ball_wait_steps=2), episode()
    b.tell_readout(recording)
    for t in range(recording.steps):
        b.tell(recording, t, *PARTS)
        if t >= 2:
            b.graph.until(lambda t=t: b.node.health.counted('steps') == t - 1)
    b.graph.until(lambda: sum(len(parts) for parts in b.node._join._waiting.values()) == 2 * len(PARTS))
    b.node.finish()
    b.graph.until(lambda: len(b.heard(topics.CONTRIBUTION)) == recording.steps)
    assert b.heard(topics.PRECEDING_OFFSET)
    column = topics.OFFSET_COLUMNS.index('distance_m')
    for message in b.heard(topics.PRECEDING_OFFSET):
        assert np.isnan(messages.matrix(message)[:, column]).all()


@pytest.mark.parametrize(
    ('topic', 'spoil', 'kind', 'says'),
    [
        (topics.LSTM_GATES, lambda m: m[:3], 'policy/lstm_gates', 'want 4 x n of 32FC1, got 3 x 16'),
        (topics.LSTM_GATES, lambda m: np.where(m == m[1, 2], np.nan, m), 'step', 'want finite gates'),
        (topics.LSTM_STATE, lambda m: m[:, :-1], 'step', r'want hidden \(16,\) to match the readout, got \(15,\)'),
        (topics.ACTION_SCORES, lambda m: m[:, :4], 'step', r'want scores \(5,\)'),
        (topics.ACTION_SCORES, lambda m: m + np.inf, 'step', 'want finite scores'),
    ],
)
def test_a_bad_part_is_refused_with_its_reason_and_the_other_steps_are_explained(bench, topic, spoil, kind, says):
    b, recording = bench(), episode(steps=8)
    b.tell_readout(recording)
    b.play(recording, range(3))
    good = messages.matrix(b.part(recording, 3, topic))
    header = messages.header_at(int(recording.stamp_ns[3]), 'camera')
    b.tell(recording, 3, topics.BALL, *(part for part in PARTS if part is not topic))
    b.probe.say(topic, messages.matrix_message(header, spoil(good)))
    b.graph.until(lambda: b.node.health.refused(kind))
    b.play(recording, range(4, 8))
    assert b.node.health.counted('steps') == 7

    def reasons():
        return [pair.value for m in b.heard(topics.DIAGNOSTICS) for s in m.status for pair in s.values]

    b.graph.until(lambda: any(re.search(says, reason) for reason in reasons()))


def test_a_readout_that_is_none_is_refused(bench):
    b = bench()
    b.probe.say(topics.READOUT, messages.matrix_message(messages.header_at(1), np.full((5, 17), np.nan)))
    b.graph.until(lambda: b.node.health.refused('policy/readout'))


def test_a_part_that_comes_twice_is_refused_and_the_step_told_once(bench):
    b, recording = bench(), episode(steps=4)
    b.tell_readout(recording)
    b.play(recording, range(2))
    b.tell(recording, 1, topics.LSTM_GATES)
    b.graph.until(lambda: b.node.health.refused('part of a step on policy/lstm_gates'))
    b.play(recording, range(2, 4))
    assert len(b.heard(topics.CONTRIBUTION)) == 4


def test_watched_channels_are_on_their_topic(bench):
    b, recording = bench(watched_channels=[3, 11, 99]), episode(steps=2)
    b.tell_readout(recording)
    b.play(recording)
    b.graph.until(lambda: len(b.heard(topics.WATCHED)) == 2)
    message = b.heard(topics.WATCHED)[1]
    assert message.layout.dim[0].label == 'channel 3 11'
    np.testing.assert_array_equal(np.reshape(message.data, (2, 5))[1, :4], recording.gates[1, :, 11])


def test_pictures_are_drawn_only_while_somebody_looks(bench):
    b, recording = bench(picture_rate_hz=20.0), episode(steps=6)
    drawn = []
    for name in ('heatmap', 'channel', 'histogram'):
        original = getattr(b.node._pictures, name)
        setattr(b.node._pictures, name, lambda *a, n=name, f=original: drawn.append(n) or f(*a))
    b.tell_readout(recording)
    b.play(recording)
    b.graph.spin_for(0.2)
    assert drawn == []
    b.probe.hear(topics.CHANNEL)
    b.graph.until(lambda: b.heard(topics.CHANNEL))
    assert set(drawn) == {'channel'}
    assert messages.picture(b.heard(topics.CHANNEL)[0], 'rgb8').shape == (540, 960, 3)


def test_its_thresholds_are_on_diagnostics_so_that_a_bag_knows_them(bench):
    made = bench(theta_c=0.2)
    made.graph.until(lambda: made.probe.heard[topics.DIAGNOSTICS])
    said = {
        pair.key: pair.value
        for message in made.probe.heard[topics.DIAGNOSTICS]
        for status in message.status
        if status.name == '/maze/introspection'
        for pair in status.values
    }
    assert float(said[f'{topics.PARAMETER_KEY}theta_c']) == 0.2
    assert float(said[f'{topics.PARAMETER_KEY}theta_g']) == 0.5


def set_parameters(made, **values):
    """As `ros2 param set` does, over the node's own service."""
    client = made.probe.node.create_client(SetParameters, '/maze/introspection/set_parameters')
    made.graph.until(client.service_is_ready)
    given = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    future = client.call_async(SetParameters.Request(parameters=given))
    made.graph.until(future.done)
    return future.result().results


def test_thresholds_set_on_the_way_are_in_the_bag_and_the_replay_keeps_to_them(bench, tmp_path):
    made, recording = bench(), episode(steps=60)
    for topic in (topics.TILT_COMMAND, topics.DIAGNOSTICS):
        made.probe.publisher(topic)
    recorder = made.graph.add(RecorderNode, bag=str(tmp_path / 'bag'), wait_for=[])
    heard = (*topics.TAKEN_BY['introspection'], topics.CONTRIBUTION, topics.PRECEDING_OFFSET, topics.DIAGNOSTICS)
    names = {made.probe.node.resolve_topic_name(topic.name) for topic in heard}
    made.graph.until(lambda: hasattr(recorder, '_unmatched') and not names & recorder._unmatched)
    made.tell_readout(recording)
    made.play(recording, range(20))
    assert all(result.successful for result in set_parameters(made, theta_g=0.8))
    made.play(recording, range(20, 40))
    assert all(result.successful for result in set_parameters(made, theta_c=0.1))
    made.play(recording, range(40, 60))
    made.graph.until(lambda: all(recorder._bag.count[name] >= 60 for name in names if 'contribution' in name))
    made.graph.spin_for(0.2)
    recorder.finish()
    bag = read_recording(tmp_path / 'bag')
    said = [(first, config.theta_g, config.theta_c) for first, _, config in bag.live.spans()]
    assert said == [(0, 0.5, 0.022), (20, 0.8, 0.022), (40, 0.8, 0.1)]
    assert compare_live(analyze(bag)).identical
    assert len(bag.live.offsets) > 50


def test_a_threshold_out_of_range_is_refused_and_the_old_one_kept(bench):
    made = bench()
    nan, inf = float('nan'), float('inf')
    wrong = {'theta_c': (1.5, nan, inf, -0.001), 'theta_g': (nan,), 'clock_jump_s': (2.0,)}
    for name, values in wrong.items():
        for value in values:
            [result] = set_parameters(made, **{name: value})
            assert not result.successful, (name, value)
            assert ('read-only' if name == 'clock_jump_s' else name) in result.reason
    for value in (1, 'high'):  # rclpy's own words
        [result] = set_parameters(made, theta_c=value)
        assert 'Wrong parameter type' in result.reason
    good, bad = set_parameters(made, fraction=0.7, theta_c=2.0)
    assert (good.successful, bad.successful) == (True, False)
    facts = made.node.health.facts
    assert [facts[f'{topics.PARAMETER_KEY}{name}'] for name in ('theta_g', 'theta_c', 'fraction')] == [0.5, 0.022, 0.7]
    assert made.node.get_parameter('theta_c').value == 0.022
    [result] = set_parameters(made, theta_c=0.0)
    assert result.successful
    assert made.node.health.facts[f'{topics.PARAMETER_KEY}theta_c'] == 0.0
    assert made.node._pictures._config.theta_c == 0.0, 'the pictures are drawn with it too'


def test_a_step_that_lacks_a_part_is_counted(bench):
    made, recording = bench(), episode(12)
    made.tell_readout(recording)
    for t in range(recording.steps):
        for topic in (*PARTS, topics.BALL):
            if (t, topic) != (5, topics.LSTM_STATE):
                made.probe.say(topic, made.part(recording, t, topic))
    made.graph.until(lambda: made.node.health.counted('steps') == recording.steps - 1)
    assert made.node.health.refused('incomplete step') == 1
