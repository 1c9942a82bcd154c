"""Which camera frames may reach the policy's memory, and which tilts the arm: fresh ones, each once, in order."""

from __future__ import annotations

import math


class Freshness:
    """Tell stale, repeated and out-of-order frames by their stamps.

    Args:
        max_age_s: a frame whose stamp is older than this is refused, s.
        max_ahead_s: so is one whose stamp is this far in the future, s.
        what: the word for it, where it is no frame.
    """

    def __init__(self, max_age_s: float, max_ahead_s: float, what: str = 'frame') -> None:
        self.max_age_s, self.max_ahead_s = max_age_s, max_ahead_s
        self._what = what
        self._last_ns: int | None = None

    def objection(self, stamp_ns: int, now_ns: int) -> tuple[str, str] | None:
        """Kind of objection and reason, or None for a frame to use.

        A clock that was set back makes it start anew: what was used before is of another time.

        Args:
            stamp_ns: the frame's stamp, ns.
            now_ns: the node's clock, ns.
        """
        age_ns, max_age_ns, max_ahead_ns = now_ns - stamp_ns, self.max_age_s * 1e9, self.max_ahead_s * 1e9
        if self._last_ns is not None and self._last_ns - now_ns > max_ahead_ns:
            self.forget()
        if stamp_ns <= 0:
            return f'{self._what} without a stamp', f'want the time it is of, got {stamp_ns} ns'
        if age_ns > max_age_ns:
            return f'stale {self._what}', f'want at most {max_age_ns / 1e6:g} ms, got {age_ns / 1e6:.1f} ms old'
        if age_ns < -max_ahead_ns:
            ahead = f'want at most {max_ahead_ns / 1e6:g} ms, got {-age_ns / 1e6:.1f} ms ahead of this clock'
            return f'{self._what} from the future', f'{ahead}: are both in step?'
        if self._last_ns is not None and stamp_ns == self._last_ns:
            return f'repeated {self._what}', f'stamp {stamp_ns} ns came twice'
        if self._last_ns is not None and stamp_ns < self._last_ns:
            return f'out-of-order {self._what}', f'{(self._last_ns - stamp_ns) / 1e6:.1f} ms before the one before it'
        return None

    def passed_s(self, stamp_ns: int) -> float:
        """Time from the last frame that was used to this one, s; infinite where there is none."""
        return math.inf if self._last_ns is None else (stamp_ns - self._last_ns) * 1e-9

    def used(self, stamp_ns: int) -> None:
        """Note that a frame was used."""
        self._last_ns = stamp_ns

    def forget(self) -> None:
        """Start anew, as after a silence: the clock may have been set back meanwhile."""
        self._last_ns = None
