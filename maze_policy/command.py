"""Who commands the tilt, and how fresh: the arm and the simulated board trust one commander, and never for long."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from maze_policy.freshness import Freshness

Tilt = npt.NDArray[np.float64]
LEVEL: Tilt = np.zeros(2)

PRESENT_S = 1.0  # so long a commander counts as one after its last command: one that is late has not gone


class TiltCommands:
    """The tilt that is commanded now: the last command of the only commander, else level.

    Args:
        timeout_s: without a good command for this long the tilt is level, s.
        max_age_s: a tilt whose stamp is older than this is refused, s; infinite: stamps are not looked at.
        max_ahead_s: a tilt whose stamp is further in the future than this is refused, s.
    """

    def __init__(self, timeout_s: float, max_age_s: float = math.inf, max_ahead_s: float = math.inf) -> None:
        self._timeout_s = timeout_s
        self._fresh = Freshness(max_age_s, max_ahead_s, 'command') if math.isfinite(max_age_s) else None
        self.clear()

    def clear(self) -> None:
        """Start anew, with nobody heard yet."""
        self._commanders: dict[bytes, float] = {}  # who is present, and when each commanded last
        self.level()
        if self._fresh:
            self._fresh.forget()

    def level(self) -> None:
        """Level until the next good command."""
        self._tilt_rad, self._taken_s = LEVEL, -math.inf

    def take(self, tilt_rad: Tilt, who: bytes, stamp_ns: int, now_ns: int, now_s: float) -> tuple[str, str] | None:
        """Hear a command; kind of objection and reason, or None when it holds from now on.

        A second commander levels the board until one of them has been silent for `PRESENT_S`. A refused command is no
        sign of life. Level is welcome with any stamp: it answers a silence as often as a frame.

        Args:
            tilt_rad: about x and y, rad, finite.
            who: tells one commander from another (the publisher's gid; empty where it is not known).
            stamp_ns: the command's stamp, ns.
            now_ns: the node's clock, ns.
            now_s: the steady clock, s.
        """
        self._note(who, now_s)
        if len(self._commanders) > 1:
            self.level()
            return 'second policy', f'want one node that commands the tilt, got {len(self._commanders)}: board levelled'
        if self._fresh and tilt_rad.any():
            if objection := self._fresh.objection(stamp_ns, now_ns):
                return objection
            self._fresh.used(stamp_ns)
        self._tilt_rad, self._taken_s = tilt_rad, now_s
        return None

    def refuse(self, who: bytes, now_s: float) -> None:
        """Hear a command that makes no sense: level until the next good one, but who sent it is one who commands."""
        self._note(who, now_s)
        self.level()

    def _note(self, who: bytes, now_s: float) -> None:
        present_s = max(PRESENT_S, self._timeout_s)
        present = {one: at_s for one, at_s in self._commanders.items() if now_s - at_s <= present_s}
        self._commanders = present | {who: now_s}

    @property
    def heard(self) -> bool:
        """Whether anybody has commanded since the start."""
        return bool(self._commanders)

    def silent(self, now_s: float) -> bool:
        """Whether no good command came within the timeout."""
        return now_s - self._taken_s > self._timeout_s

    def tilt_rad(self, now_s: float) -> Tilt:
        """What is commanded, or level in a silence; about x and y, rad, shape (2,)."""
        return LEVEL if self.silent(now_s) else self._tilt_rad
