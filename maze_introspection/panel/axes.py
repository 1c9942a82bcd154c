"""What the panel's plots are made of: axes with a caption, pixels, curves, and a sentence in their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from python_qt_binding.QtCore import QRectF, Qt
from python_qt_binding.QtGui import QColor, QImage, QPainter, QPen
from python_qt_binding.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from maze_introspection.colors import SALIENT_RED
from maze_introspection.panel.model import Picture

Colors = npt.NDArray[np.uint32]

pg.setConfigOptions(background='w', foreground='#222222', imageAxisOrder='row-major', antialias=False)
LEFT_PX = 100  # of every plot, so that the steps of two stand over each other; room for `tilt +x (1024)`


class Plot(QWidget):
    """A caption, and axes that do not move under the mouse; a sentence over them where there is nothing to draw."""

    def __init__(self, x_label: str, y_label: str) -> None:
        super().__init__()
        self._caption, self.axes = QLabel(), pg.PlotWidget()
        self._caption.setWordWrap(True)
        self._caption.setStyleSheet('background: white; color: #222222; font-size: 9pt; padding: 2px')
        font = self.font()
        font.setPointSize(9)
        for side, label in (('bottom', x_label), ('left', y_label)):
            self.axes.getAxis(side).setStyle(tickFont=font)
            if label:
                self.axes.setLabel(side, label, **{'font-size': '9pt'})
        self.axes.setMouseEnabled(x=False, y=False)
        self.axes.setMenuEnabled(False)
        self.axes.hideButtons()
        self.axes.getAxis('left').setWidth(LEFT_PX)
        self._sentence = Sentence(self.axes)
        self._range: tuple[float, ...] = ()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._caption)
        layout.addWidget(self.axes, 1)

    @property
    def sentence(self) -> str:
        """What is said in place of the plot; empty while it is drawn."""
        return '' if self._sentence.isHidden() else str(self._sentence.text())

    def show_view(self, view: Any) -> None:
        """Draw a view, or say the sentence that it is."""
        self._sentence.say(view if isinstance(view, str) else '')
        if isinstance(view, str):
            self.name('')
        else:
            self.draw(view)

    def draw(self, view: Any) -> None:
        """Draw a view."""
        raise NotImplementedError

    def name(self, caption: str) -> None:
        """The line above the plot, in HTML."""
        if caption != self._caption.text():
            self._caption.setText(caption)
            self._caption.setHidden(not caption)

    def reach(self, left: float, right: float, bottom: float, top: float) -> None:
        """Set the range of the axes."""
        if self._range != (left, right, bottom, top):
            self._range = left, right, bottom, top
            self.axes.setRange(xRange=(left, right), yRange=(bottom, top), padding=0)

    def resizeEvent(self, event: Any) -> None:  # noqa: D102 (Qt's)
        super().resizeEvent(event)
        self._sentence.fill()


class Pixels(pg.GraphicsObject):
    """A matrix of small numbers as coloured pixels; a quarter of the cost of pyqtgraph's ImageItem with a table."""

    def __init__(self) -> None:
        super().__init__()
        self._rect = QRectF()
        self._pixels: Colors = np.full((1, 1), 0xFFFFFFFF, dtype=np.uint32)

    def show_numbers(self, numbers: npt.NDArray[Any], colors: Colors, rect: QRectF) -> None:
        """Fill `rect` with the colour of each number, the first row at its top (least y)."""
        if rect != self._rect:
            self.prepareGeometryChange()
            self._rect = rect
        self._pixels = np.ascontiguousarray(colors[numbers])
        self.update()

    def boundingRect(self) -> QRectF:  # noqa: D102 (Qt's)
        return self._rect

    def paint(self, painter: Any, *_: Any) -> None:  # noqa: D102 (Qt's)
        height, width = self._pixels.shape
        painter.drawImage(self._rect, QImage(self._pixels.data, width, height, 4 * width, QImage.Format_RGB32))


class Curve(pg.PlotCurveItem):
    """A curve over axes that are set: it need not look for its own bounds, which costs more than to draw it."""

    def show_values(self, x: npt.NDArray[np.floating[Any]], y: npt.NDArray[np.floating[Any]]) -> None:
        """Draw a line with gaps where y is NaN."""
        there = np.flatnonzero(np.isfinite(y))
        part = slice(there[0], there[-1] + 1) if len(there) else slice(0)
        whole = len(there) == len(y[part])
        self.setData(x[part], y[part], connect='all' if whole else 'finite', skipFiniteCheck=whole)

    def boundingRect(self) -> QRectF:  # noqa: D102 (Qt's)
        view = self.getViewBox()
        return QRectF() if view is None else view.viewRect()

    def dataBounds(self, ax: int, frac: float = 1.0, orthoRange: Any = None) -> tuple[None, None]:  # noqa: D102 (pyqtgraph's)
        return None, None


class Sentence(QLabel):
    """A sentence that covers its parent."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignCenter)
        self.setStyleSheet('background: white; color: #444444; font-size: 11pt; padding: 12px')
        self.hide()

    def say(self, text: str) -> None:
        """Cover the parent with this; empty uncovers it."""
        if text and text != self.text():
            self.setText(text)
        if self.isHidden() == bool(text):
            self.setVisible(bool(text))
            self.fill()

    def fill(self) -> None:
        """Be as large as the parent."""
        self.setGeometry(self.parent().rect())
        self.raise_()


class PictureView(QWidget):
    """The camera image with a ring around the ball."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        self.setMinimumSize(160, 120)
        self._view: Picture | None = None
        self._sentence = Sentence(self)

    @property
    def sentence(self) -> str:
        """What is said in place of the picture; empty while there is one."""
        return '' if self._sentence.isHidden() else str(self._sentence.text())

    def show_view(self, view: Picture | str) -> None:
        """Show a picture, or say the sentence that it is."""
        self._sentence.say(view if isinstance(view, str) else '')
        if not isinstance(view, str):
            self._view = view
            self.update()

    def resizeEvent(self, event: Any) -> None:  # noqa: D102 (Qt's)
        super().resizeEvent(event)
        self._sentence.fill()

    def paintEvent(self, event: Any) -> None:  # noqa: D102 (Qt's)
        if self._view is None:
            return
        image = np.ascontiguousarray(self._view.image)
        height, width = image.shape[:2]
        scale = min(self.width() / width, self.height() / height)
        left, top = (self.width() - scale * width) / 2, (self.height() - scale * height) / 2
        painter = QPainter(self)
        shown = QImage(image.data, width, height, 3 * width, QImage.Format_RGB888).convertToFormat(QImage.Format_RGB32)
        painter.drawImage(QRectF(left, top, scale * width, scale * height), shown)
        if self._view.ball_px is not None:
            x, y = (scale * (at + 0.5) for at in self._view.ball_px)
            painter.setRenderHint(QPainter.Antialiasing)
            for color, thick in (('white', 4), (SALIENT_RED, 2)):
                painter.setPen(QPen(QColor(color), thick))
                painter.drawEllipse(QRectF(left + x - 11, top + y - 11, 22, 22))
        painter.end()


def color_table(colors: list[tuple[int, int, int]]) -> Colors:
    """White for 0, these for 1 and up."""
    table: Colors = np.full(256, 0xFFFFFFFF, dtype=np.uint32)
    table[1 : len(colors) + 1] = [0xFF000000 | red << 16 | green << 8 | blue for red, green, blue in colors]
    return table
