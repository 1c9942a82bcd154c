"""The live figures 2, 5 and 6: what the last steps showed, drawn with OpenCV in a few milliseconds.

They are for watching; the figures that `maze-introspection analyze` writes are for reading.
"""

from __future__ import annotations

from collections import Counter, deque
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maze_introspection.colors import GATE_BLUE, OFFSET_GREEN, SALIENT_RED, action_color, rgb
from maze_introspection.config import IntrospectionConfig
from maze_introspection.introspection import Insight
from maze_introspection.offset import step_offsets
from maze_policy.actions import ACTIONS
from maze_policy.policy import GATE_NAMES, OUTPUT

UInt8 = npt.NDArray[np.uint8]

WIDTH_PX, HEIGHT_PX = 960, 540
LEFT, TOP, RIGHT, BOTTOM = 70, 60, 900, 490  # the frame of every plot, px
BLACK, GREY, PALE, WHITE = (0, 0, 0), (110, 110, 110), (215, 215, 215), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX
BIN_MM = 2  # distance bins of the histogram
FAR_MM, LONG = 500, 1000  # what is further or longer goes into the last bin: one glitch must not ask for gigabytes


class Moment(NamedTuple):
    """What the pictures keep of one step."""

    insight: Insight
    output_gate: npt.NDArray[np.float32]


class Pictures:
    """The last `steps` steps for figures 2 and 5, and all offsets since the start for figure 6.

    Each picture is rgb8, shape (540, 960, 3).
    """

    def __init__(self, config: IntrospectionConfig, steps: int) -> None:
        self._config = config
        self._moments: deque[Moment] = deque(maxlen=steps)
        self._offsets: Counter[tuple[int, int]] = Counter()  # (distance bin, offset)
        self._censored = 0
        self.episode = ''

    def set_config(self, config: IntrospectionConfig) -> None:
        """Draw with these thresholds; the histogram begins anew, as its offsets were found with others."""
        self._config = config
        self._offsets.clear()
        self._censored = 0

    def add(self, insight: Insight, gates: npt.NDArray[np.float32], distance_m: float) -> None:
        """Keep one step; `distance_m` may be NaN."""
        if self._moments and len(self._moments[-1].insight.share) != len(insight.share):
            self._moments.clear()
        self._moments.append(Moment(insight, gates[OUTPUT]))
        rows = insight.offsets[insight.offsets['gate'] == OUTPUT]
        self._censored += int(rows['censored'].sum())
        if np.isfinite(distance_m):
            where = min(int(distance_m * 1000), FAR_MM) // BIN_MM
            self._offsets.update((where, min(int(offset), LONG)) for offset in rows['offset'][~rows['censored']])

    def heatmap(self) -> UInt8:
        """Figure 2: salient channels over time, rows sorted by the action that they contribute to most."""
        plot = _Plot(f'Salient channels, last {len(self._moments)} steps {self.episode}', self._span(), (0, 1))
        if not self._moments:
            return plot.image
        steps, channels = len(self._moments), len(self._moments[0].insight.share)
        actions = max(len(ACTIONS), 1 + max(moment.insight.action for moment in self._moments))
        grid = np.full((channels, steps), -1)
        for step, (insight, _) in enumerate(self._moments):
            grid[insight.salient[:, 0].astype(int), step] = insight.action
        count = np.stack([(grid == action).sum(axis=1) for action in range(actions)])
        order = np.lexsort((-count.max(axis=0), np.argmax(count, axis=0)))
        rows = order[count.sum(axis=0)[order] > 0]
        if len(rows):
            palette = np.array([WHITE, *(_color(action) for action in range(actions))], dtype=np.uint8)
            plot.fill(palette[grid[rows] + 1])
        for step in self._breaks():
            plot.line((step, 0), (step, 1), GREY)
        plot.text(f'{len(rows)} of {channels} channels, sorted by action', (LEFT, TOP - 8), 0.42)
        plot.legend([(name, _color(index), False) for index, name in enumerate(ACTIONS)])
        plot.axes('step (grey line: memory reset or gap)', '')
        return plot.image

    def channel(self, which: int) -> UInt8:
        """Figure 5: one channel's output gate and contribution, when it is salient, and the offsets."""
        title = f'Channel {which}: {GATE_NAMES[OUTPUT]} gate and contribution {self.episode}'
        plot = _Plot(title, self._span(), (0.0, 1.0))
        if not self._moments or which >= len(self._moments[0].output_gate):
            plot.text('no such channel' if self._moments else 'no step yet', (LEFT + 20, TOP + 30))
            plot.axes('step (grey line: memory reset or gap)', 'output gate; contribution / its highest')
            return plot.image
        gate = np.array([moment.output_gate[which] for moment in self._moments])
        share = np.array([moment.insight.share[which] for moment in self._moments])
        salient = np.array([which in moment.insight.salient[:, 0] for moment in self._moments])
        for step in np.flatnonzero(salient):
            plot.line((step, 0), (step, 1), _pale(rgb(SALIENT_RED)), 2)
        for step in self._breaks():
            plot.line((step, 0), (step, 1), GREY)
        theta_g = self._config.theta_g
        plot.line((0, theta_g), (len(gate) - 1, theta_g), PALE)
        highest = float(share.max()) or 1.0
        plot.curve(share / highest, GREY, 1)
        edges = [0, *self._breaks(), len(gate)]
        for first, end in pairwise(edges):
            part = slice(first, end)
            rows = step_offsets(gate[part, None], salient[part, None], theta_g)
            for index, row in enumerate(rows[~rows['censored']]):
                height = theta_g * (1 - (index % 12 + 1) / 13)
                plot.line((first + row['t0'], height), (first + row['t'], height), rgb(OFFSET_GREEN), 2)
        plot.curve(gate, rgb(GATE_BLUE), 2)
        kinds = (
            ('output gate', rgb(GATE_BLUE)),
            (f'contribution / {highest:.2g}', GREY),
            ('offset', rgb(OFFSET_GREEN)),
        )
        plot.legend([('salient', _pale(rgb(SALIENT_RED)), False), *((name, color, True) for name, color in kinds)])
        plot.axes('step (grey line: memory reset or gap)', 'output gate; contribution / its highest')
        return plot.image

    def histogram(self) -> UInt8:
        """Figure 6: preceding offset of the output gate against the ball's distance, all steps since the start."""
        far = BIN_MM * (1 + max([49, *(where for where, _ in self._offsets)]))
        long = 1 + max([9, *(offset for _, offset in self._offsets)])
        plot = _Plot(f'Preceding offset and distance, {self._offsets.total()} offsets', (0, far), (0, long))
        if self._offsets:
            grid = np.zeros((long, far // BIN_MM))
            for (where, offset), count in self._offsets.items():
                grid[long - 1 - offset, where] = count
            shade = np.rint(25 + 230 * np.log1p(grid) / np.log1p(grid.max())).astype(np.uint8)
            plot.fill(np.where(grid[..., None] > 0, _count_color(shade), 255).astype(np.uint8))
            plot.color_bar(grid.max())
        plot.text(f'{self._censored} censored left out; colour is the count', (LEFT, TOP - 8))
        plot.axes('ball to maze centre, mm', 'offset, steps')
        return plot.image

    def _span(self) -> tuple[float, float]:
        return 0, max(len(self._moments), 1)

    def _breaks(self) -> list[int]:
        """Steps before which memory or clock did not continue: a reset or a gap."""
        return [i for i, moment in enumerate(self._moments) if i and moment.insight.begins]


class _Plot:
    """A white picture with one frame and two linear axes."""

    def __init__(self, title: str, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.image: UInt8 = np.full((HEIGHT_PX, WIDTH_PX, 3), 255, dtype=np.uint8)
        self._x, self._y = x, y
        self.text(title, (LEFT, 28), 0.62)

    def at(self, x: float, y: float) -> tuple[int, int]:
        """Pixel of a point."""
        right = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        return round(LEFT + right * (RIGHT - LEFT)), round(BOTTOM - up * (BOTTOM - TOP))

    def text(self, text: str, at: tuple[int, int], size: float = 0.45, color: Any = BLACK) -> int:
        """Write; returns the width, px."""
        text = text.encode('ascii', 'replace').decode()
        cv2.putText(self.image, text, at, FONT, size, color, 1, cv2.LINE_AA)
        return int(cv2.getTextSize(text, FONT, size, 1)[0][0])

    def line(self, start: tuple[float, float], end: tuple[float, float], color: Any, thickness: int = 1) -> None:
        """A straight line between two points."""
        cv2.line(self.image, self.at(*start), self.at(*end), color, thickness)

    def curve(self, values: npt.NDArray[np.floating[Any]], color: Any, thickness: int) -> None:
        """One value per step."""
        points = np.array([self.at(step, float(value)) for step, value in enumerate(values)], dtype=np.int32)
        cv2.polylines(self.image, [points], False, color, thickness, cv2.LINE_AA)

    def fill(self, pixels: UInt8) -> None:
        """Stretch a picture over the frame, its first row on top."""
        size = (RIGHT - LEFT, BOTTOM - TOP)
        self.image[TOP:BOTTOM, LEFT:RIGHT] = cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST)

    def legend(self, entries: list[tuple[str, Any, bool]]) -> None:
        """Names with their colours at the top right, in the order given; True draws a line, False a patch."""
        widths = [cv2.getTextSize(name, FONT, 0.45, 1)[0][0] + 38 for name, _, _ in entries]
        x = RIGHT - sum(widths)
        for (name, color, is_line), width in zip(entries, widths):
            above = 14 if is_line else 18
            below = 11 if is_line else 7
            cv2.rectangle(self.image, (x, TOP - above), (x + 16, TOP - below), color, -1)
            self.text(name, (x + 21, TOP - 8))
            x += width

    def color_bar(self, most: float) -> None:
        """Counts 1 to `most` beside the frame, logarithmic."""
        height = BOTTOM - TOP
        shade = np.linspace(255, 25 + 230 * np.log1p(1) / np.log1p(most), height).astype(np.uint8)
        self.image[TOP:BOTTOM, RIGHT + 8 : RIGHT + 22] = _count_color(shade[:, None].repeat(14, axis=1))
        self.text(f'{most:.0f}', (RIGHT + 25, TOP + 10), 0.4)
        self.text('1', (RIGHT + 25, BOTTOM), 0.4)

    def axes(self, x_label: str, y_label: str) -> None:
        """The frame, about five ticks on each axis, and the names of the axes."""
        cv2.rectangle(self.image, (LEFT, TOP), (RIGHT, BOTTOM), GREY, 1)
        for value in _ticks(*self._x):
            x, _ = self.at(value, 0)
            cv2.line(self.image, (x, BOTTOM), (x, BOTTOM + 5), GREY, 1)
            self.text(f'{value:g}', (x - 5 * len(f'{value:g}'), BOTTOM + 20))
        self.text(x_label, ((LEFT + RIGHT) // 2 - 4 * len(x_label), BOTTOM + 40))
        if not y_label:
            return
        for value in _ticks(*self._y):
            _, y = self.at(self._x[0], value)
            cv2.line(self.image, (LEFT - 5, y), (LEFT, y), GREY, 1)
            self.text(f'{value:g}', (LEFT - 12 - 9 * len(f'{value:g}'), y + 5))
        strip = np.full((24, BOTTOM - TOP, 3), 255, dtype=np.uint8)
        start = (strip.shape[1] // 2 - 4 * len(y_label), 16)
        cv2.putText(strip, y_label, start, FONT, 0.45, BLACK, 1, cv2.LINE_AA)
        self.image[TOP:BOTTOM, 2:26] = cv2.rotate(strip, cv2.ROTATE_90_COUNTERCLOCKWISE)


def _ticks(low: float, high: float) -> npt.NDArray[np.float64]:
    """Round values, about five, from `low` to `high`."""
    size = 10 ** np.floor(np.log10((high - low) / 5))
    step = next(size * factor for factor in (1, 2, 5, 10) if (high - low) / (size * factor) <= 6)
    ticks: npt.NDArray[np.float64] = np.round(
        np.arange(np.ceil(low / step), np.floor(high / step + 1e-9) + 1) * step, 6
    )
    return ticks


def _count_color(shade: UInt8) -> Any:
    """Reversed viridis, as in figure 6: few are light, many are dark, and colour-blind readers see it too."""
    return cv2.cvtColor(cv2.applyColorMap(255 - shade, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def _color(action: int) -> tuple[int, int, int]:
    return rgb(action_color(action))


def _pale(color: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(255 - (255 - part) * 3 // 10 for part in color)
