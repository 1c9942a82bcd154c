"""Read a capture in a thread of its own, and open it again when it is lost: OpenCV's reading blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from maze_policy.capture import Capture, CorruptFrame, Ended, Frame, Lost, open_capture
from maze_policy.capture.source import UInt8
from maze_policy.node_config import CameraNodeConfig

PEEK = np.s_[::16, ::16]  # of two pictures that differ, this nearly always does


class Refused(NamedTuple):
    """A picture that nobody gets: of which kind and why."""

    kind: str
    why: str


class Gone(NamedTuple):
    """The camera is lost, or was not found again; it is tried again in `retry_s`."""

    why: str
    retry_s: float


class Back(NamedTuple):
    """The camera gives pictures again, after so many attempts."""

    attempts: int


class Finished(NamedTuple):
    """There is no more; `well` unless it could not be read."""

    why: str
    well: bool


Event = Frame | Refused | Gone | Back | Finished


class Grabber:
    """The thread and what came of it.

    Of a live camera only the latest picture waits to be taken, so nothing grows and nothing gets old; one that
    another one pushes aside is refused as 'late picture'. A file waits until its picture is taken.
    """

    def __init__(
        self,
        capture: Capture,
        config: CameraNodeConfig,
        notify: Callable[[], None],
        reopen: Callable[[CameraNodeConfig], Capture] = open_capture,
    ) -> None:
        """`notify` is called, in the thread, when there is something to `take`."""
        self._capture: Capture | None = capture
        self._live, self._config, self._notify, self._reopen = capture.live, config, notify, reopen
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._attempts = 0  # to open it again since the last picture
        self._last: UInt8 | None = None
        self._differed_s = 0.0
        self._thread = threading.Thread(target=self._run, name='capture', daemon=True)

    def start(self) -> None:
        """Begin to read, if it has not begun."""
        if not self._thread.ident:
            self._thread.start()

    def take(self) -> list[Event]:
        """What came since the last call, in order, with at most one picture."""
        with self._changed:
            events, self._events = self._events, []
            self._changed.notify()
        return events

    def close(self) -> None:
        """End; waits for a read that is under way, but not for ever."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(self._config.timeout_s + 1)

    def _run(self) -> None:
        finished = None
        while not self._closing.is_set() and not finished:
            try:
                if self._capture is None:
                    self._capture = self._reopen(self._config)
                self._show(self._capture.read())
            except CorruptFrame as error:
                self._put(Refused('corrupt picture', str(error)))
            except Ended as end:
                finished = Finished(str(end), well=True)
            except (Lost, ValueError) as error:
                if self._live:
                    self._wait_after(str(error))
                else:
                    finished = Finished(str(error), well=False)
            except Exception as error:  # nobody else would hear of it
                finished = Finished(f'{type(error).__name__}: {error}', well=False)
        if self._capture:
            self._capture.close()
        if finished:
            self._put(finished)

    def _show(self, frame: Frame) -> None:
        if self._live:
            self._refuse_frozen(frame)
        if self._attempts:
            self._put(Back(self._attempts))
            self._attempts = 0
        self._put(frame)

    def _refuse_frozen(self, frame: Frame) -> None:
        """A sensor has noise: where no bit changes, it is not looking.

        Raises:
            Lost: if nothing has changed for too long.
        """
        last, self._last = self._last, frame.image
        if last is None or not np.array_equal(last[PEEK], frame.image[PEEK]) or not np.array_equal(last, frame.image):
            self._differed_s = frame.at_s
        elif 0 < self._config.frozen_after_s <= frame.at_s - self._differed_s:
            raise Lost(f'frozen: the same picture to the last bit for {self._config.frozen_after_s:g} s')

    def _wait_after(self, why: str) -> None:
        """Close, and wait twice as long as the last time."""
        if self._capture:
            self._capture.close()
            self._capture = None
        retry_s = min(self._config.retry_s * 2.0 ** min(self._attempts, 32), self._config.longest_retry_s)
        self._attempts += 1
        self._put(Gone(why, retry_s))
        self._closing.wait(retry_s)

    def _put(self, event: Event) -> None:
        with self._changed:
            if isinstance(event, Frame) and self._has_frame():
                if self._live:
                    self._events = [event for event in self._events if not isinstance(event, Frame)]
                    self._events.append(Refused('late picture', 'the next one came before it was taken'))
                else:
                    self._changed.wait_for(lambda: not self._has_frame() or self._closing.is_set())
            self._events.append(event)
        self._notify()

    def _has_frame(self) -> bool:
        return any(isinstance(event, Frame) for event in self._events)
