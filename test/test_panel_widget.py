"""The panel's widget in an offscreen Qt, with a model filled by hand."""

import os
import re
import time

os.environ.setdefault('QT_QPA_PLATFORM', 'offscreen')

import numpy as np
import pytest
from made import made_recording
from python_qt_binding.QtCore import QPointF
from python_qt_binding.QtGui import QFontMetrics, QImage
from python_qt_binding.QtWidgets import QApplication
from qt import delete

from maze_introspection.colors import SALIENT_RED, action_color
from maze_introspection.config import IntrospectionConfig
from maze_introspection.introspection import Introspection
from maze_introspection.panel.model import PanelModel, Said
from maze_introspection.panel.widget import LONG, SILENT_S, SLOWLY, PanelWidget
from maze_policy import topics
from maze_policy.policy import OUTPUT

FRAME_S, SHARE = 1 / 30, 0.25  # of one core


@pytest.fixture(scope='module')
def application():
    return QApplication.instance() or QApplication([])


class Player:
    """Tells a model what the nodes would, step by step, from a recording that begins anew at its end."""

    def __init__(self, model, channels, steps=300):
        self.model, self.recording, self._t = model, made_recording(steps, channels=channels), 0
        self._looking = Introspection(IntrospectionConfig())
        self._looking.set_readout(self.recording.readout)
        self._image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
        model.project = lambda ball_m, shape: (320 + 2400 * ball_m[0], 240 - 2400 * ball_m[1])

    def step(self):
        recording, t = self.recording, self._t % self.recording.steps
        stamp, self._t = int(recording.stamp_ns[0]) + 33_333_333 * self._t, self._t + 1
        parts = recording.gates[t], recording.hidden[t], recording.cell[t], recording.scores[t]
        insight = self._looking.step(*parts)
        matrices = {
            topics.LSTM_GATES: parts[0],
            topics.LSTM_STATE: np.stack(parts[1:3]),
            topics.ACTION_SCORES: parts[3][None],
            topics.CONTRIBUTION: insight.share[None],
            topics.SALIENT: insight.salient,
        }
        for topic, matrix in matrices.items():
            self.model.add(topic, stamp, matrix)
            self.model.hear(topic)
        rows = [(row['gate'], row['channel'], row['offset'], 0, 0.05, row['censored']) for row in insight.offsets]
        if rows:
            self.model.add(topics.PRECEDING_OFFSET, stamp, np.array(rows, np.float32))
        self.model.add_picture(stamp, self._image)
        self.model.add_ball(stamp, recording.ball_m[t])


@pytest.fixture
def panel(application):
    made = []

    def make(channels=16, steps=300):
        widget = PanelWidget(PanelModel())
        made.append(widget)
        widget._timer.stop()  # drawn when the test wants it
        widget.resize(1280, 740)
        widget.show()
        player = Player(widget.model, channels)
        for _ in range(steps):
            player.step()
        widget.select(int(player.recording.hidden.mean(axis=0).argmax()))
        widget._draw(True)
        application.processEvents()
        return widget, player

    yield make
    for widget in made:
        widget.close()
    delete(*made)


def test_256_channels_at_30_hz_take_a_part_of_a_quarter_of_a_core(panel, application):
    """The short form of bench/panel.py: drawing and taking messages, without DDS; the best of five seconds."""
    widget, player = panel(channels=256)
    used_s = []
    for _ in range(5):
        began_s = time.process_time()
        for _ in range(30):
            player.step()
            widget.refresh()
            application.processEvents()
        used_s.append((time.process_time() - began_s) / 30)
    assert min(used_s) < SHARE * FRAME_S, f'{1000 * min(used_s):.1f} ms of {1000 * SHARE * FRAME_S:.1f} ms'


def test_nothing_grows_while_it_draws(panel, application):
    import gc

    widget, player = panel()
    counts = []
    for _ in range(3):
        for _ in range(60):
            player.step()
            widget.refresh()
            application.processEvents()
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert counts[2] - counts[1] < 100


def test_1024_channels_are_drawn(panel):
    widget, _ = panel(channels=1024, steps=60)
    assert not widget.heat_map.sentence
    assert not widget.channel.sentence
    axis = widget.heat_map.axes.getAxis('left')
    [ticks] = axis._tickLevels
    assert sum(int(name.partition('(')[2][:-1]) for _, name in ticks) == len(widget.model.heat_map(60).channels)
    metrics = QFontMetrics(axis.style['tickFont'])
    assert metrics.horizontalAdvance('tilt +x (1024)') + 10 < axis.width(), 'a name that does not fit is left out'


def test_a_channel_that_was_never_salient_is_said_to_be(panel):
    widget, _ = panel(steps=60)
    salient = set(widget.model.heat_map(60).channels.tolist())
    widget.select(next(channel for channel in range(16) if channel not in salient))
    assert 'never salient in this window' in widget.channel._caption.text()
    assert not widget.heat_map._marker.isVisible()
    widget.select(min(salient))
    assert widget.heat_map._marker.isVisible()


def test_a_click_tells_the_channel_of_its_row_and_none_beside_the_rows(panel):
    widget, _ = panel(steps=60)
    channels = widget.model.heat_map(60).channels.tolist()
    assert [widget.heat_map.channel_at(row + 0.5) for row in range(len(channels))] == channels
    assert widget.heat_map.channel_at(-0.1) is None
    assert widget.heat_map.channel_at(len(channels)) is None


@pytest.mark.parametrize('gate', ['input', 'forget', 'output'])
def test_each_gate_has_its_offsets_and_its_histogram(panel, gate):
    widget, _ = panel()
    widget.gate.setCurrentText(gate)
    assert f'{gate} gate' in widget.channel._caption.text()
    assert f'offsets of the {gate} gate' in widget.histogram._caption.text() or gate in widget.histogram.sentence


def test_what_is_drawn_is_what_the_model_says(panel):
    widget, player = panel()
    which = widget.which.value()
    view = widget.model.channel(which, OUTPUT, 300)
    x, y = widget.channel._gates[OUTPUT].getData()
    np.testing.assert_array_equal(y, player.recording.gates[:, OUTPUT, which])
    assert (x[0], x[-1]) == (-299.5, -0.5)
    begins = widget.channel._offsets.getData()[0][::2]
    assert (begins + 299.5).tolist() == view.offsets['t0'].tolist()


def test_what_came_last_is_drawn_also_when_nothing_comes_after_it(panel):
    widget, player = panel(steps=100)
    widget.refresh()
    for _ in range(60):
        player.step()
    for _ in range(SLOWLY):
        widget.refresh()
    shown = widget.model.histogram(OUTPUT)
    assert f'{shown.counts.sum()} offsets' in widget.histogram._caption.text()
    assert widget.scores._bars.opts['height'].tolist() == widget.model.scores().scores.tolist()


def test_of_another_model_nothing_of_the_one_before_is_left(panel):
    widget, _ = panel()
    widget.pause.setChecked(True)
    widget.look_at(PanelModel())
    for plot in (widget.heat_map, widget.channel, widget.scores, widget.histogram, widget.picture):
        assert plot.sentence.startswith('Nothing on')
    for plot in (widget.heat_map, widget.channel, widget.scores, widget.histogram):
        assert plot._caption.text() == ''
    assert not widget.pause.isChecked()
    assert 'nobody says anything' in widget.status.text()


def test_a_node_that_says_nothing_any_more_is_not_called_ok(panel, monkeypatch):
    widget, _ = panel(steps=2)
    now_s = time.monotonic()
    monkeypatch.setattr(time, 'monotonic', lambda: now_s)
    widget.model.add_node('policy', Said(0, 'ok', {}))
    widget.model.add_node('camera', Said(1, f'refused <b>{"x" * 2 * LONG}', {}))
    widget._tell_health()
    assert 'policy ok' in widget.status.text()
    assert 'WARNING: refused &lt;b&gt;xxx' in widget.status.text()
    assert 'x' * LONG not in widget.status.text()
    now_s += SILENT_S + 1
    widget.model.add_node('camera', Said(0, 'ok', {}))
    widget._tell_health()
    assert 'has said nothing for 5 s' in widget.status.text()
    assert 'camera ok' in widget.status.text()


def test_the_boxes_show_the_thresholds_that_the_node_has(panel):
    widget, _ = panel(steps=2)
    asked = []
    widget.parameter_wanted.connect(lambda *wanted: asked.append(wanted))
    widget.model.add_node('introspection', Said(0, 'ok', {f'{topics.PARAMETER_KEY}theta_c': '0.125'}))
    widget._tell_health()
    assert (widget.thresholds['theta_c'].value(), widget.thresholds['theta_g'].value()) == (0.125, 0.5)
    assert asked == [], 'to show it is not to ask for it'
    widget.thresholds['theta_g'].setValue(0.75)
    assert asked == [('theta_g', 0.75)]


def test_what_is_being_typed_is_not_overwritten(panel, monkeypatch):
    widget, _ = panel(steps=2)
    box = widget.thresholds['theta_c']
    monkeypatch.setattr(box, 'hasFocus', lambda: True)
    box.setValue(0.3)
    widget._tell_health()
    assert box.value() == 0.3


def test_the_rates_are_those_of_the_last_second(panel, monkeypatch):
    widget, player = panel(steps=10)
    now_s = time.monotonic() + 100
    monkeypatch.setattr(time, 'monotonic', lambda: now_s)
    widget._tell_health()
    for _ in range(20):
        player.step()
    now_s += 2.0
    widget._tell_health()
    assert 'policy/lstm_gates 10.0/s' in widget.status.text()


def test_what_nobody_sees_is_not_drawn(panel, monkeypatch):
    widget, player = panel(steps=2)
    drawn = []
    monkeypatch.setattr(widget, '_draw', drawn.append)
    player.step()
    widget.hide()
    widget.refresh()
    assert drawn == []
    widget.show()
    widget.refresh()
    assert drawn == [False]


def colors(widget):
    """What is seen of a widget, as 0xRRGGBB, shape (height, width)."""
    image = widget.grab().toImage().convertToFormat(QImage.Format_RGB32)
    data = image.constBits().asarray(image.width() * image.height() * 4)
    return np.frombuffer(bytes(data), np.uint32).reshape(image.height(), image.width()) & 0xFFFFFF


def code(color):
    return int(color.removeprefix('#'), 16)


def test_every_pixel_of_the_heat_map_has_the_colour_of_its_action(panel):
    widget, _ = panel(steps=200)
    widget.window.setValue(30)
    view, axes = widget.model.heat_map(30), widget.heat_map.axes
    widget.heat_map._marker.hide()
    seen, found = colors(axes), set()
    for (row, step), action in np.ndenumerate(view.pixels):
        scene = axes.plotItem.vb.mapViewToScene(QPointF(step - 30 + 0.5, row + 0.5))
        at = axes.mapFromScene(scene)
        assert seen[at.y(), at.x()] == (code(action_color(action - 1)) if action else 0xFFFFFF)
        found.add(int(action))
    assert len(found) >= 3


def test_the_channel_has_its_contribution_to_scale_and_bars_where_it_is_salient(panel):
    widget, _ = panel()
    view = widget.model.channel(widget.which.value(), OUTPUT, 300)
    scale = float(re.search(r'contribution / ([0-9.e-]+)', widget.channel._caption.text())[1])
    _, y = widget.channel._share.getData()
    np.testing.assert_allclose(y * scale, view.share, rtol=1e-5)
    assert 0.4 < y.max() <= 1.0
    bars, x = widget.channel._bars.opts, np.arange(-300, 0) + 0.5
    covered = sum(((left < x) & (x < right) for left, right in zip(bars['x0'], bars['x1'])), np.zeros(300, bool))
    assert covered.any()
    np.testing.assert_array_equal(covered, view.salient)


def test_the_histogram_is_white_where_there_is_nothing_and_the_darker_the_more(panel):
    widget, _ = panel()
    counts, pixels = widget.model.histogram(OUTPUT).counts, widget.histogram._image._pixels
    brightness = pixels.view(np.uint8).reshape(*pixels.shape, 4)[..., :3].sum(axis=2, dtype=int)
    np.testing.assert_array_equal(brightness == 3 * 255, counts == 0)
    of_count = [set(brightness[counts == count]) for count in np.unique(counts)]
    assert all(len(shades) == 1 for shades in of_count)
    shades = [shades.pop() for shades in of_count]
    assert len(shades) > 3
    assert shades == sorted(shades, reverse=True)
    assert shades[1] - shades[-1] > 200


def test_the_ring_is_around_the_ball(panel):
    widget, _ = panel(steps=2)
    picture, view = widget.picture, widget.model.picture()
    rows, columns = np.nonzero(colors(picture) == code(SALIENT_RED))
    height, width = view.image.shape[:2]
    scale = min(picture.width() / width, picture.height() / height)
    x = (picture.width() - scale * width) / 2 + scale * (view.ball_px[0] + 0.5)
    y = (picture.height() - scale * height) / 2 + scale * (view.ball_px[1] + 0.5)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(x, abs=1.5)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(y, abs=1.5)
    assert np.ptp(rows) == pytest.approx(22, abs=3)


def test_a_sentence_covers_its_plot_at_any_size(application, panel):
    widget, _ = panel(steps=2)
    widget.look_at(PanelModel())
    for size in ((1280, 740), (900, 600)):
        widget.resize(*size)
        application.processEvents()
        for plot in (widget.heat_map, widget.histogram):
            assert plot._sentence.geometry() == plot.axes.rect()
            assert len(np.unique(colors(plot.axes))) < 300, 'text on white, and no plot'
        assert widget.picture._sentence.geometry() == widget.picture.rect()
