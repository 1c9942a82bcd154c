"""The panel's plots: each draws one view of the model, or says in its place why there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from python_qt_binding.QtCore import QRectF, Qt, Signal

from maze_introspection.colors import GATE_BLUE, OFFSET_GREEN, SALIENT_RED, action_color, rgb
from maze_introspection.panel.axes import Curve, Pixels, Plot, color_table
from maze_introspection.panel.model import BIN_MM, FAR_BIN, LONG, ChannelView, HeatMap, Histogram, Scores
from maze_policy.actions import ACTIONS
from maze_policy.policy import FORGET, GATE_NAMES, INPUT, OUTPUT

GREY = '#8C8C8C'
GREYS = {INPUT: '#C0C0C0', FORGET: '#606060', OUTPUT: '#909090'}  # solid: dashes cost Qt several times as much
HIGH = 1.05  # top of the axis of gates
STACK = 12  # heights at which offset lines are drawn, so that neighbours can be told apart


def action_name(action: int, actions: int) -> str:
    """The five tilts, or numbers for a policy with other actions."""
    return ACTIONS[action] if actions == len(ACTIONS) else f'action {action}'


class HeatMapPlot(Plot):
    """Figure 2, live; a click on a row tells its channel."""

    clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__('steps before now (grey: memory reset or gap)', '')
        self._image, self._lines = Pixels(), Curve(pen=pg.mkPen(GREY), connect='pairs')
        self._marker = pg.InfiniteLine(angle=0, pen=pg.mkPen('k', style=Qt.DashLine))
        for item in (self._image, self._lines, self._marker):
            self.axes.addItem(item)
        self.axes.invertY(True)
        self._view: HeatMap | None = None
        self._groups: Any = None
        self._colors = color_table([])
        self.selected = 0
        self.axes.scene().sigMouseClicked.connect(self._on_click)

    def draw(self, view: HeatMap) -> None:
        """Draw rows, groups and breaks."""
        rows, window = view.pixels.shape
        self._view = view
        groups = (view.home.tobytes(), window)
        if groups != self._groups:
            self._groups = groups
            self._arrange(view, rows, window)
        self._image.show_numbers(view.pixels, self._colors, QRectF(-window, 0, window, rows))
        self._lines.setData(*_verticals(view.breaks - window, rows))
        at = np.flatnonzero(view.channels == self.selected)
        self._marker.setVisible(len(at) > 0)
        if len(at):
            self._marker.setValue(at[0] + 0.5)

    def _arrange(self, view: HeatMap, rows: int, window: int) -> None:
        """What changes rarely: range, names of the groups, colours."""
        self._colors = color_table([rgb(action_color(each)) for each in range(view.actions)])
        self.reach(-window, 0, 0, rows)
        ticks, legend = [], []
        for action in range(view.actions):
            name, members = action_name(action, view.actions), np.flatnonzero(view.home == action)
            legend.append(f'<span style="color:{action_color(action)}">&#9632;</span> {name}')
            if len(members):
                ticks.append((float(members.mean()) + 0.5, f'{name} ({len(members)})'))
        self.axes.getAxis('left').setTicks([ticks])
        self.name(
            f'<b>{rows} salient channels</b> by the action they contribute to; click one. ' + ' &nbsp; '.join(legend)
        )

    def channel_at(self, row: float) -> int | None:
        """The channel of a row; None beside the rows."""
        inside = self._view is not None and 0 <= row < len(self._view.channels)
        return int(self._view.channels[int(row)]) if inside and self._view is not None else None

    def _on_click(self, event: Any) -> None:
        channel = self.channel_at(self.axes.plotItem.vb.mapSceneToView(event.scenePos()).y())
        if channel is not None:
            self.clicked.emit(channel)


class ChannelPlot(Plot):
    """Figure 5, live."""

    def __init__(self) -> None:
        super().__init__('steps before now (grey: memory reset or gap)', 'gate; contribution, scaled')
        self._bars = pg.BarGraphItem(x0=[], x1=[], y0=0, y1=[], brush=_pale(SALIENT_RED), pen=None)
        self._breaks = Curve(pen=pg.mkPen(GREY), connect='pairs')
        self._offsets = Curve(pen=pg.mkPen(OFFSET_GREEN, width=2), connect='pairs')
        self._share = Curve(pen=pg.mkPen('k'))
        self._gates = {gate: Curve() for gate in GATE_NAMES}
        self._thick = -1
        self._theta_g = pg.InfiniteLine(angle=0, pen=pg.mkPen(GREY, style=Qt.DashLine))
        for item in (self._bars, self._breaks, self._theta_g, *self._gates.values(), self._share, self._offsets):
            self.axes.addItem(item)
        self.which, self.gate = 0, OUTPUT

    def draw(self, view: ChannelView) -> None:
        """Draw gates, contribution, salient steps and offsets."""
        window = len(view.share)
        x = np.arange(-window, 0) + 0.5
        self.reach(-window, 0, 0, HIGH)
        edges = np.flatnonzero(np.diff(view.salient, prepend=False, append=False)) - window
        self._bars.setOpts(x0=edges[::2], x1=edges[1::2], y1=np.full(len(edges) // 2, HIGH))
        self._breaks.setData(*_verticals(view.breaks - window, HIGH))
        self._theta_g.setValue(view.theta_g)
        if self._thick != self.gate:
            self._thick = self.gate
            for gate, curve in self._gates.items():
                chosen = gate == self.gate
                curve.setPen(pg.mkPen(GATE_BLUE, width=2) if chosen else pg.mkPen(GREYS[gate]))
        for gate, curve in self._gates.items():
            curve.show_values(x, view.gates[:, gate])
        scale = _round_up(float(np.nanmax(view.share, initial=0.0)) or 1.0)
        self._share.show_values(x, view.share / scale)
        self._draw_offsets(view, window)
        others = ' &nbsp; '.join(
            f'<span style="color:{GREYS[gate]}">&#9473;</span> {name}'
            for gate, name in GATE_NAMES.items()
            if gate != self.gate
        )
        never = ', <b>never salient in this window</b>' * (not view.salient.any())
        self.name(
            f'<b>Channel {self.which}</b>{never}: '
            f'<span style="color:{GATE_BLUE}"><b>&#9473;</b> {GATE_NAMES[self.gate]} gate</span> &nbsp; '
            f'{others} &nbsp; &#9473; contribution / {scale:.1g} &nbsp; '
            f'<span style="background-color:rgb{_pale(SALIENT_RED)}">&nbsp;salient&nbsp;</span> &nbsp; '
            f'<span style="color:{OFFSET_GREEN}"><b>&#9473;</b> offset</span>'
        )

    def _draw_offsets(self, view: ChannelView, window: int) -> None:
        """A line from the beginning of the run to each salient step in it, below the threshold."""
        number = np.arange(len(view.offsets)) - np.searchsorted(view.offsets['t0'], view.offsets['t0'])
        height = view.theta_g * (1 - (number % STACK + 1) / (STACK + 1))
        x = np.stack([view.offsets['t0'], view.offsets['t']], axis=1).ravel() - window + 0.5
        self._offsets.setData(x, np.repeat(height, 2))


class ScoresPlot(Plot):
    """The last action scores; the chosen action is outlined."""

    def __init__(self) -> None:
        super().__init__('', 'score')
        self._bars = pg.BarGraphItem(x=[0], height=[0], width=0.7)
        self.axes.addItem(self._bars)
        self._actions = 0

    def draw(self, view: Scores) -> None:
        """Draw a bar per action."""
        self.name('<b>Action scores</b>; outlined: the action taken')
        scores = view.scores
        actions, best = len(scores), int(np.argmax(scores))
        if actions != self._actions:
            self._actions = actions
            self.axes.getAxis('bottom').setTicks([[(each, action_name(each, actions)) for each in range(actions)]])
        limit = 1.1 * view.largest or 1.0  # not of this step's, or bars would jump
        self.reach(-0.6, actions - 0.4, -limit, limit)
        brushes = [pg.mkBrush(action_color(each)) for each in range(actions)]
        pens = [pg.mkPen('k', width=3) if each == best else pg.mkPen(None) for each in range(actions)]
        self._bars.setOpts(x=np.arange(actions), height=scores.astype(float), brushes=brushes, pens=pens)


class HistogramPlot(Plot):
    """Figure 6, live: it fills up."""

    def __init__(self) -> None:
        super().__init__('ball to maze centre, mm', 'offset, steps')
        self._image = Pixels()
        self.axes.addItem(self._image)
        self._colors = color_table(pg.colormap.get('viridis').getLookupTable(0.0, 1.0, 255)[::-1, :3].tolist())
        self.gate = OUTPUT

    def draw(self, view: Histogram) -> None:
        """Draw the counts, logarithmic."""
        offsets, bins = view.counts.shape
        most = int(view.counts.max())
        shade = np.rint(255 * (1 + np.log(np.maximum(view.counts, 1))) / (1 + np.log(most)))
        rect = QRectF(0, -0.5, BIN_MM * bins, offsets)
        self._image.show_numbers(np.where(view.counts > 0, shade, 0).astype(np.uint8), self._colors, rect)
        self.reach(0, BIN_MM * bins, -0.5, offsets - 0.5)
        beyond = ' &nbsp; <b>the last bin holds all beyond</b>' if bins > FAR_BIN or offsets > LONG else ''
        self.name(
            f'<b>{int(view.counts.sum())} offsets of the {GATE_NAMES[self.gate]} gate</b>, light: 1, dark: {most}; '
            f'left out: {view.censored} censored{f", {view.unplaced} without ball" * bool(view.unplaced)}{beyond}'
        )


def _round_up(value: float) -> float:
    """1, 2 or 5 times a power of ten: a scale that stays the same for a while."""
    size = 10 ** np.floor(np.log10(value))
    return float(next(size * factor for factor in (1, 2, 5, 10) if value <= size * factor * (1 + 1e-9)))


def _verticals(at: npt.NDArray[np.int64], high: float) -> tuple[Any, Any]:
    """Points of a vertical line at each place, for `connect='pairs'`."""
    return np.repeat(at, 2).astype(float), np.tile([0.0, high], len(at))


def _pale(color: str) -> tuple[int, int, int]:
    red, green, blue = (255 - (255 - part) * 3 // 10 for part in rgb(color))
    return red, green, blue
