"""Which camera frames may reach the policy's memory, and which tilts the arm: fresh ones, each once, in order."""

from __future__ import annotations


class Freshness:
    """Tell stale, repeated and out-of-order frames by their stamps.

    Args:
        max_age_s: a frame whose stamp is further than this from now, before or after, is refused, s.
        what: the word for it, where it is no frame.
    """

    def __init__(self, max_age_s: float, what: str = 'frame') -> None:
        self.max_age_s = max_age_s
        self._what = what
        self._last_ns: int | None = None

    def objection(self, stamp_ns: int, now_ns: int) -> tuple[str, str] | None:
        """Kind of objection and reason, or None for a frame to use.

        Args:
            stamp_ns: the frame's stamp, ns.
            now_ns: the node's clock, ns.
        """
        age_ns, max_age_ns = now_ns - stamp_ns, self.max_age_s * 1e9
        if age_ns > max_age_ns:
            return f'stale {self._what}', f'want at most {max_age_ns / 1e6:g} ms, got {age_ns / 1e6:.1f} ms old'
        if age_ns < -max_age_ns:
            return f'{self._what} from the future', f'{-age_ns / 1e6:.1f} ms ahead of this clock: are both in step?'
        if self._last_ns is not None and stamp_ns == self._last_ns:
            return f'repeated {self._what}', f'stamp {stamp_ns} ns came twice'
        if self._last_ns is not None and stamp_ns < self._last_ns:
            return f'out-of-order {self._what}', f'{(self._last_ns - stamp_ns) / 1e6:.1f} ms before the one before it'
        return None

    def used(self, stamp_ns: int) -> None:
        """Note that a frame was used."""
        self._last_ns = stamp_ns

    def forget(self) -> None:
        """Start anew, as after a silence: the clock may have been set back meanwhile."""
        self._last_ns = None
