"""The panel in an offscreen Qt, fed over DDS by nodes and by hand."""

import os
import threading

os.environ.setdefault('QT_QPA_PLATFORM', 'offscreen')

import numpy as np
import pytest
import rclpy
from made import made_recording
from python_qt_binding.QtCore import QObject
from python_qt_binding.QtWidgets import QApplication
from qt import delete
from scripted import Scripted
from test_introspection_node import PARTS

from maze_introspection.analysis import analyze
from maze_introspection.config import IntrospectionConfig
from maze_introspection.introspection_node import IntrospectionNode
from maze_introspection.rqt_panel import MazePanel
from maze_policy import messages, topics
from maze_policy.policy import OUTPUT
from maze_policy.policy_node import PolicyNode
from maze_policy.qos import qos


@pytest.fixture(scope='module')
def application():
    return QApplication.instance() or QApplication([])


class Context(QObject):
    """What rqt gives a plugin, as far as ours takes it."""

    def __init__(self, node):
        super().__init__()
        self.node, self.widget = node, None

    def serial_number(self):
        return 2

    def add_widget(self, widget):
        self.widget = widget


class Settings(dict):
    """rqt's, which holds everything as it was given or as text."""

    def set_value(self, name, value):
        self[name] = str(value)

    def value(self, name):
        return self.get(name)


class Bench:
    """A panel, the policy's topics in the test's hands, and an introspection node if it is wanted."""

    def __init__(self, graph, application, look=True):
        self.graph, self.application, self.probe = graph, application, graph.probe()
        self.introspection = graph.add(IntrospectionNode) if look else None
        self.context = Context(self.probe.node)
        self.panel = MazePanel(self.context)
        self.widget = self.panel.widget
        self.widget.resize(1280, 740)
        self.widget.show()
        for topic in (*PARTS, topics.READOUT, topics.BALL, topics.CAMERA_IMAGE):
            self.probe.publisher(topic)
        takers = 1 + look
        self.until(
            lambda: (
                all(self.probe.publisher(topic).get_subscription_count() == takers for topic in (*PARTS, topics.BALL))
                and self.probe.publisher(topics.CAMERA_IMAGE).get_subscription_count() == 1
            )
        )

    def until(self, condition, deadline_s=60.0):
        def both():
            self.application.processEvents()
            return condition()

        self.graph.until(both, deadline_s)

    def play(self, recording, steps=None):
        model, say = self.panel.model, self.probe.say
        say(topics.READOUT, messages.matrix_message(messages.header_at(1), recording.readout))
        for t in steps if steps is not None else range(recording.steps):
            header = messages.header_at(int(recording.stamp_ns[t]), 'camera')
            count = model.heard[topics.ACTION_SCORES.name]
            contributions = model.heard[topics.CONTRIBUTION.name]
            say(topics.CAMERA_IMAGE, messages.picture_message(header, np.full((120, 160, 3), 90, np.uint8)))
            say(topics.BALL, messages.ball_message(header, recording.ball_m[t]))
            state = np.stack([recording.hidden[t], recording.cell[t]])
            for topic, matrix in zip(PARTS, (recording.gates[t], state, recording.scores[t])):
                say(topic, messages.matrix_message(header, matrix))
            self.until(lambda count=count: model.heard[topics.ACTION_SCORES.name] > count)
            if self.introspection:
                self.until(lambda count=contributions: model.heard[topics.CONTRIBUTION.name] > count)

    def close(self):
        self.panel.shutdown_plugin()
        self.widget.close()
        delete(self.widget, self.panel, self.context)


@pytest.fixture(autouse=True)
def niceness(monkeypatch):
    """What the panel asked for; this process itself keeps its own."""
    asked = []
    monkeypatch.setattr('maze_introspection.rqt_panel.be_nice', asked.append)
    return asked


@pytest.fixture
def bench(graph, application):
    made = []

    def make(**options):
        made.append(Bench(graph, application, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_it_shows_a_policy_that_plays_and_is_looked_into(bench):
    b, recording = bench(), made_recording(60)
    b.play(recording)
    widget = b.widget
    b.until(lambda: not widget.heat_map.sentence and not widget.scores.sentence)
    widget.refresh()
    view = widget.model.heat_map(60)
    assert (view.pixels > 0).sum() > 60
    channel = int(view.channels[0])
    widget.heat_map.clicked.emit(widget.heat_map.channel_at(0.5))
    assert widget.which.value() == channel
    assert not widget.channel.sentence
    assert f'Channel {channel}' in widget.channel._caption.text()
    np.testing.assert_array_equal(widget.model.channel(channel, 3, 60).gates, recording.gates[:, :, channel])
    assert not widget.picture.sentence
    assert widget.windowTitle() == 'Maze / LSTM introspection (2)'


def test_it_yields_the_processor_to_what_acts(bench, niceness):
    bench(look=False)
    assert niceness == [10]


def test_messages_are_handled_off_the_gui_thread(bench):
    b, threads = bench(look=False), set()
    add = b.panel.model.add
    b.panel.model.add = lambda *a: threads.add(threading.current_thread().name) or add(*a)
    b.play(made_recording(3))
    assert threads == {'maze panel'}
    assert threading.current_thread().name != 'maze panel'


def test_what_is_shown_is_what_an_analysis_of_the_same_steps_finds(bench):
    b, recording = bench(), made_recording(90)
    b.until(b.panel._feed._set.service_is_ready)
    b.play(recording, range(50))
    b.widget.thresholds['theta_g'].setValue(0.7)
    b.until(lambda: b.introspection.health.facts[f'{topics.PARAMETER_KEY}theta_g'] == 0.7)
    b.play(recording, range(50, 90))
    model = b.panel.model
    b.until(lambda: model.config.theta_g == 0.7)
    analysis = analyze(recording, IntrospectionConfig(theta_g=0.7))
    salient = np.where(analysis.salient, analysis.contribution.action[:, None] + 1, 0)
    b.until(lambda: model._steps.salient[89].any() == salient[89].any())
    view = model.heat_map(90)
    assert sorted(view.channels) == np.flatnonzero(salient.any(axis=0)).tolist()
    np.testing.assert_array_equal(view.pixels, salient.T[view.channels])
    found = analysis.step_offsets(OUTPUT)
    for channel in range(16):
        shown, mine = model.channel(channel, OUTPUT, 90), found[(found['channel'] == channel) & ~found['censored']]
        assert shown.share.tobytes() == analysis.contribution.share[:, channel].tobytes()
        assert shown.offsets[['t0', 't']].tolist() == mine[['t0', 't']].tolist()
    assert len(found) > 50


def test_a_message_that_makes_trouble_does_not_end_the_hearing(bench):
    b, recording = bench(look=False), made_recording(4)
    b.play(recording, range(2))
    add = b.panel.model.add
    b.panel.model.add = lambda *_: {}['none']
    b.probe.say(topics.LSTM_GATES, messages.matrix_message(messages.header_at(1), np.zeros((4, 16))))
    b.until(lambda: b.panel.model.refused.get(topics.LSTM_GATES.name) == "KeyError('none')")
    b.panel.model.add = add
    b.probe.say(topics.SALIENT, messages.matrix_message(messages.header_at(1), np.zeros((1, 2))))
    b.until(lambda: b.panel.model.refused.get(topics.SALIENT.name) == 'want 3 columns, got 2')
    b.play(recording, range(2, 4))


def test_nodes_of_other_namespaces_are_not_heard(bench):
    b = bench(look=False)
    since = {topics.PARAMETERS_SINCE_KEY: 3, f'{topics.PARAMETER_KEY}theta_c': 0.25}
    b.until(lambda: b.probe.publisher(topics.DIAGNOSTICS).get_subscription_count())
    for name in ('/lab/introspection', '/maze/left/introspection', '/mazes/introspection', '/maze/policy'):
        header = messages.header_at(1)
        b.probe.say(topics.DIAGNOSTICS, messages.diagnostics_message(header, name, 0, 'ok', since))
    b.until(lambda: 'policy' in b.panel.model.nodes)
    assert sorted(b.panel.model.nodes) == ['left/introspection', 'policy']
    assert b.panel.model.config.theta_c == IntrospectionConfig.theta_c


def test_another_camera_is_heard_as_it_speaks(bench):
    b, heard = bench(look=False), topics.CAMERA_IMAGE.name
    b.play(made_recording(2))
    b.probe.node.destroy_publisher(b.probe.publisher(topics.CAMERA_IMAGE))
    best_effort = qos(topics.CAMERA_IMAGE, reliable=False)
    camera = b.probe.node.create_publisher(messages.message_class(topics.IMAGE), heard, best_effort)
    b.until(camera.get_subscription_count)
    count = b.panel.model.heard[heard]
    camera.publish(messages.picture_message(messages.header_at(10**9), np.zeros((12, 16, 3), np.uint8)))
    b.until(lambda: b.panel.model.heard[heard] > count)


def test_it_survives_the_end_of_ros(application, domain):
    ros = rclpy.Context()
    rclpy.init(context=ros, domain_id=domain)
    context = Context(rclpy.create_node('rqt', context=ros, use_global_arguments=False))
    panel = MazePanel(context)
    thread = panel._feed._thread
    rclpy.shutdown(context=ros)
    thread.join(10.0)
    assert not thread.is_alive()
    panel.widget.thresholds['theta_c'].setValue(0.3)
    application.processEvents()
    assert 'cannot set theta_c' in panel.widget.status.text()
    panel.shutdown_plugin()
    panel.widget.close()
    delete(panel.widget, panel, context)


def test_thresholds_are_set_on_the_node_and_its_own_are_shown(bench):
    b, recording = bench(), made_recording(20)
    b.until(b.panel._feed._set.service_is_ready)
    b.play(recording, range(10))
    b.widget.thresholds['theta_g'].setValue(0.7)
    b.until(lambda: b.introspection.health.facts[f'{topics.PARAMETER_KEY}theta_g'] == 0.7)
    b.play(recording, range(10, 20))
    b.until(lambda: b.panel.model.config.theta_g == 0.7)
    b.until(lambda: 'theta_g is 0.7 now' in b.widget.status.text())


def test_a_threshold_that_nobody_takes_is_said_to_be(bench):
    b = bench(look=False)
    b.widget.thresholds['theta_c'].setValue(0.3)
    b.until(lambda: 'cannot set theta_c: there is no introspection node in /maze' in b.widget.status.text())


def test_what_is_missing_or_bad_is_said_in_place_of_the_plot(bench):
    b, recording = bench(look=False), made_recording(4)
    b.widget.refresh()
    b.widget._draw(True)
    assert b.widget.channel.sentence == 'Nothing on policy/lstm_gates yet; it comes from policy.'
    assert b.widget.picture.sentence == 'Nothing on camera/image_raw yet; it comes from simulator or camera.'
    header = messages.header_at(1)
    b.probe.say(topics.LSTM_GATES, messages.matrix_message(header, np.full((4, 8), np.nan)))
    b.until(lambda: 'is refused: want finite numbers, got a NaN or infinity.' in b.widget.channel.sentence)
    b.play(recording)
    b.until(lambda: not b.widget.channel.sentence)
    assert b.widget.heat_map.sentence == 'Nothing on introspection/contribution yet; it comes from introspection.'
    b.widget.which.setValue(9999)
    assert b.widget.channel.sentence == 'There is no channel 9999: the policy has channels 0 to 15.'


def test_where_the_ball_is_in_the_picture_comes_from_the_policy(bench, graph):
    b = bench(look=False)
    graph.add(lambda **kwargs: PolicyNode(Scripted(), **kwargs))
    b.until(lambda: b.panel.model.project is not None)
    assert b.panel.model.project(np.array([0.05, 0.1]), (200, 300)) == pytest.approx((199.5, -0.5))


def test_a_paused_panel_stands_still_and_can_still_be_looked_through(bench):
    b, recording = bench(look=False), made_recording(20)
    b.play(recording, range(10))
    b.widget.pause.setChecked(True)
    b.play(recording, range(10, 20))
    b.widget.refresh()
    b.widget.which.setValue(3)
    assert b.widget._shown.channel(3, 3, 10).gates.tolist() == recording.gates[:10, :, 3].tolist()
    b.widget.pause.setChecked(False)
    assert b.widget._shown.channel(3, 3, 10).gates.tolist() == recording.gates[10:, :, 3].tolist()


def test_what_was_chosen_is_chosen_again_and_a_picture_is_saved(bench, tmp_path):
    b, settings = bench(look=False), Settings()
    b.widget.window.setValue(600)
    b.widget.gate.setCurrentText('forget')
    b.panel.save_settings(None, settings)
    b.widget.window.setValue(90)
    b.widget.gate.setCurrentText('input')
    b.panel.restore_settings(None, settings)
    assert (b.widget.window.value(), b.widget.gate.currentText()) == (600, 'forget')
    b.panel.restore_settings(None, Settings())
    assert b.widget.window.value() == 600
    b.widget.save(str(tmp_path / 'panel.png'))
    assert (tmp_path / 'panel.png').stat().st_size > 5000
    b.widget.save(str(tmp_path / 'none/panel.png'))
    assert 'could not save' in b.widget.status.text()


def test_it_looks_into_another_namespace_and_says_what_is_none(bench):
    b = bench(look=False)
    b.play(made_recording(2))
    b.panel.look_into('lab/left')
    assert b.panel._feed.node.get_namespace() == '/lab/left'
    assert b.widget.channel.sentence or b.panel.model.channels == 0
    settings = Settings()
    b.panel.look_into('not a name')
    assert 'not a name' in b.widget.status.text()
    b.panel.save_settings(None, settings)
    assert settings.value('namespace') == '', 'it is not worth keeping'
    b.panel.look_into('lab/left')
    assert b.panel._feed.node.get_namespace() == '/lab/left', 'the one before, once more'
