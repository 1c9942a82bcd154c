"""The panel: plots, what can be chosen, and how the nodes are."""

from __future__ import annotations

import html
import time
from collections import Counter
from typing import Any

from python_qt_binding.QtCore import Qt, QTimer, Signal
from python_qt_binding.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from maze_introspection.config import IntrospectionConfig
from maze_introspection.panel.axes import PictureView
from maze_introspection.panel.model import PanelModel, Said
from maze_introspection.panel.plots import ChannelPlot, HeatMapPlot, HistogramPlot, ScoresPlot
from maze_introspection.panel.steps import CAPACITY
from maze_policy import topics
from maze_policy.parameters import fields_of
from maze_policy.policy import GATE_NAMES, OUTPUT

REDRAW_MS = 33
SLOWLY = 15  # redraws between two of what nobody reads faster: histogram, rates
RATED = (topics.CAMERA_IMAGE, topics.BALL, topics.LSTM_GATES, topics.CONTRIBUTION)
SILENT_S = 4.0  # a node that says nothing for so long is not there any more, or stuck; they speak every second
LONG = 250  # characters; a longer message would take the plots' place
LEVELS = ('ok', 'WARNING', 'ERROR')
THRESHOLDS = ('theta_g', 'theta_c')


class PanelWidget(QWidget):
    """Draws a model, about 30 times a second while something was heard and somebody can see it.

    Signals:
        parameter_wanted: name and value that the introspection node should have.
    """

    parameter_wanted = Signal(str, float)

    def __init__(self, model: PanelModel) -> None:
        super().__init__()
        self.setWindowTitle('Maze / LSTM introspection')
        self.model, self._paused = model, False
        self._shown, self._ticks = model, 0
        self._drawn, self._drawn_slowly = -1, -1  # versions of the model
        self._counted, self._counted_s = Counter[str](), time.monotonic()
        self._rates: dict[str, float] = {}
        self._spoke: dict[str, tuple[Said, float]] = {}  # what each node said last, and when that was first seen here
        self._make_plots()
        self._make_controls()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.refresh)
        self._timer.start(REDRAW_MS)

    def _make_plots(self) -> None:
        self.heat_map, self.channel, self.scores = HeatMapPlot(), ChannelPlot(), ScoresPlot()
        self.histogram, self.picture = HistogramPlot(), PictureView()
        self.heat_map.clicked.connect(self.select)
        columns = QSplitter(Qt.Horizontal)
        for parts in ((self.heat_map, self.channel), (self.picture, self.scores, self.histogram)):
            column = QSplitter(Qt.Vertical)
            for part in parts:
                column.addWidget(part)
            columns.addWidget(column)
            column.setSizes([1000, 900] if len(parts) == 2 else [1000, 600, 900])
        columns.setSizes([830, 430])
        self.controls, self.status = QHBoxLayout(), QLabel()
        self.status.setTextFormat(Qt.RichText)
        self.status.setWordWrap(True)
        self.status.setSizePolicy(self.status.sizePolicy().Ignored, self.status.sizePolicy().Preferred)
        self._note = ''
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(self.controls)
        layout.addWidget(columns, 1)
        layout.addWidget(self.status)

    def _make_controls(self) -> None:
        self.pause = QPushButton('Pause')
        self.pause.setCheckable(True)
        self.pause.toggled.connect(self._on_pause)
        self.window = _number(QSpinBox(), 30, CAPACITY, 300, 30)
        self.which = _number(QSpinBox(), 0, 99_999, 0, 1)
        self.gate = QComboBox()
        for gate, name in GATE_NAMES.items():
            self.gate.addItem(name, gate)
        self.gate.setCurrentIndex(list(GATE_NAMES).index(OUTPUT))
        self.save_button = QPushButton('Save picture ...')
        self.save_button.clicked.connect(lambda: self.save())
        fields = {field.name: field for field, _ in fields_of(IntrospectionConfig)}
        self.thresholds = {}
        for name in THRESHOLDS:
            box, meta = QDoubleSpinBox(), fields[name].metadata
            box.setDecimals(3)
            default = getattr(IntrospectionConfig, name)
            self.thresholds[name] = _number(box, meta['low'], meta['high'], default, 0.01)
            box.setToolTip(meta['description'])
            box.valueChanged.connect(lambda value, name=name: self.parameter_wanted.emit(name, value))
        for widget in (self.which, self.window):
            widget.valueChanged.connect(lambda _: self._redraw())
        self.gate.currentIndexChanged.connect(lambda _: self._redraw())
        entries: list[tuple[str, QWidget]] = [('', self.pause), ('window, steps', self.window)]
        entries += [('channel', self.which), ('gate', self.gate)]
        entries += zip(('θg', 'θc'), self.thresholds.values())
        for name, widget in entries:
            if name:
                self.controls.addWidget(QLabel(name))
            self.controls.addWidget(widget)
        self.controls.addStretch(1)
        self.controls.addWidget(self.save_button)

    def select(self, channel: int) -> None:
        """Show this channel."""
        self.which.setValue(channel)

    def look_at(self, model: PanelModel) -> None:
        """Draw another model from now on."""
        self.model = self._shown = model
        self._counted, self._rates, self._spoke, self._note = Counter[str](), {}, {}, ''
        self.pause.setChecked(False)
        self._redraw()
        self._tell_health()

    def say(self, note: str) -> None:
        """Tell something about what was asked for, in the last line."""
        self._note = note
        self._tell_health()

    def refresh(self) -> None:
        """Draw what has changed."""
        if not self.isVisible():
            return
        self._ticks += 1
        slowly = self._ticks % SLOWLY == 0
        if slowly:
            self._tell_health()
        drawn = self._drawn_slowly if slowly else self._drawn
        if self.model.version != drawn and not self._paused:
            self._draw(slowly)

    def save(self, path: str = '') -> None:
        """Save what is seen as a picture; without a path the user is asked for one."""
        path = path or QFileDialog.getSaveFileName(self, 'Save picture', 'panel.png', 'Pictures (*.png *.jpg)')[0]
        if path:
            self.say(f'saved {path}' if self.grab().save(path) else f'could not save {path}: PNG or JPEG?')

    def state(self) -> dict[str, Any]:
        """What was chosen, for the next time."""
        return {'window': self.window.value(), 'channel': self.which.value(), 'gate': self.gate.currentText()}

    def restore(self, state: dict[str, Any]) -> None:
        """Choose what `state` said; what cannot be read is left as it is."""
        for box, name in ((self.window, 'window'), (self.which, 'channel')):
            if str(state.get(name, '')).isdigit():
                box.setValue(int(state[name]))
        if state.get('gate') in GATE_NAMES.values():
            self.gate.setCurrentText(state['gate'])

    def closeEvent(self, event: Any) -> None:  # noqa: D102 (Qt's)
        self._timer.stop()
        super().closeEvent(event)

    def _redraw(self) -> None:
        self._draw(True)

    def _draw(self, slowly: bool) -> None:
        self._drawn = self._shown.version
        if slowly:
            self._drawn_slowly = self._drawn
        window, which, gate = self.window.value(), self.which.value(), self.gate.currentData()
        self.heat_map.selected = self.channel.which = which
        slowly |= self.histogram.gate != gate
        self.channel.gate = self.histogram.gate = gate
        self.heat_map.show_view(self._shown.heat_map(window))
        self.channel.show_view(self._shown.channel(which, gate, window))
        if slowly or self._ticks % 2 == 0:
            self.scores.show_view(self._shown.scores())
        self.picture.show_view(self._shown.picture())
        if slowly or self.histogram.sentence:
            self.histogram.show_view(self._shown.histogram(gate))

    def _on_pause(self, paused: bool) -> None:
        self._paused, self._shown = paused, self.model.snapshot() if paused else self.model
        self.pause.setText('Go on' if paused else 'Pause')
        self._redraw()

    def _tell_health(self) -> None:
        """Rates, what the nodes say, what was refused."""
        model, now_s = self.model, time.monotonic()
        with model.lock:
            heard, refused, nodes, ball_m = Counter(model.heard), dict(model.refused), dict(model.nodes), model.ball_m
        passed_s = max(now_s - self._counted_s, 1e-3)
        if passed_s > 0.9:
            self._rates = {
                name: (heard[name] - self._counted[name]) / passed_s for name in (each.name for each in RATED)
            }
            self._counted, self._counted_s = heard, now_s
        lines = [' &nbsp; '.join(f'{name} {rate:.1f}/s' for name, rate in self._rates.items())]
        lines[0] += f' &nbsp; ball at {_mm(ball_m[0])}, {_mm(ball_m[1])} mm' if ball_m is not None else ''
        lines[0] += f' &nbsp; {html.escape(model.episode)}' * bool(model.episode)
        said = [f'{html.escape(name)} {self._state(name, node, now_s)}' for name, node in sorted(nodes.items())]
        lines.append(' &nbsp; '.join(said) or 'nobody says anything on /diagnostics')
        lines += [_bad(f'{name} refused here: {why}') for name, why in sorted(refused.items())][:2]
        if self._note:
            lines.append(html.escape(self._note))
        self.status.setText('<br>'.join(lines))
        self._take_thresholds()

    def _state(self, name: str, said: Said, now_s: float) -> str:
        """How a node is, by what it said last."""
        if name not in self._spoke or self._spoke[name][0] is not said:
            self._spoke[name] = said, now_s
        silent_s = now_s - self._spoke[name][1]
        if silent_s > SILENT_S:
            return _bad(f'has said nothing for {silent_s:.0f} s')
        return LEVELS[0] if said.level == 0 else _bad(f'{LEVELS[min(said.level, 2)]}: {said.summary}')

    def _take_thresholds(self) -> None:
        """Show the thresholds that the node has, but not over what is being typed."""
        for name, box in self.thresholds.items():
            told = getattr(self.model.config, name)
            if not box.hasFocus() and box.value() != round(told, 3):
                box.blockSignals(True)
                box.setValue(told)
                box.blockSignals(False)


def _number(box: Any, low: float, high: float, value: float, step: float) -> Any:
    """A spin box that tells a typed number only when it is complete."""
    box.setRange(low, high)
    box.setValue(value)
    box.setSingleStep(step)
    box.setKeyboardTracking(False)
    return box


def _mm(metres: float) -> str:
    return f'{1000 * metres:.0f}'.replace('-0', '0') if abs(metres) < 0.0005 else f'{1000 * metres:.0f}'


def _bad(text: str) -> str:
    return f'<span style="color:#C8102E">{html.escape(text if len(text) < LONG else text[: LONG - 4] + " ...")}</span>'
