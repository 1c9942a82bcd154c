"""Join the parts of a step, which come on topics of their own, by their exact stamp."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LIMIT = 1000  # stamps that may wait in all, such as balls while no policy plays
SET_BACK_NS = 1_000_000_000  # a required part this much older than what is done: the clock was set back


class StampJoin:
    """Steps in the order of their stamps, whatever the order in which their parts arrive.

    Each topic is heard in the order of its stamps. So a part of a step will never come once the same topic has brought
    a newer stamp; an optional one, whose topic may be silent altogether, also once `patience` newer steps are waiting.

    Args:
        required: parts without which there is no step.
        optional: parts that a step waits for, but can do without.
        patience: how many newer steps wait before an optional part is given up.
    """

    def __init__(self, required: tuple[str, ...], optional: tuple[str, ...] = (), patience: int = 10) -> None:
        self._required = required
        self._parts = required + optional
        self._patience = patience
        self._newest = dict.fromkeys(self._parts, -1)
        self._waiting: dict[int, dict[str, Any]] = {}
        self._gone_ns = -1  # stamp of the last step that was emitted or given up
        self.dropped = 0  # steps given up for want of a required part

    def add(self, part: str, stamp_ns: int, value: Any) -> None:
        """Take one part.

        Raises:
            ValueError: if its step is gone already, or has this part already; the join is unchanged.
        """
        if part not in self._parts:
            raise ValueError(f'want one of {", ".join(self._parts)}, got {part!r}')
        if part in self._required and stamp_ns < self._gone_ns - SET_BACK_NS:
            self._start_anew()
        if stamp_ns <= self._gone_ns:
            if part not in self._required:
                return  # a ball between two frames, or before the first step: nobody's loss
            raise ValueError(f'{part} of stamp {stamp_ns} came after step {self._gone_ns} was done')
        if part in self._waiting.get(stamp_ns, {}):
            raise ValueError(f'{part} of stamp {stamp_ns} came twice')
        self._waiting.setdefault(stamp_ns, {})[part] = value
        self._newest[part] = max(self._newest[part], stamp_ns)

    def ready(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Steps that wait for nothing any more, as (stamp_ns, parts), oldest first."""
        while self._waiting:
            stamp_ns = min(self._waiting)
            parts = self._waiting[stamp_ns]
            missing = (part for part in self._parts if part not in parts)
            if len(self._waiting) <= LIMIT and any(self._may_come(part, stamp_ns) for part in missing):
                return
            yield from self._release(stamp_ns)

    def flush(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """All remaining steps that have what is required, at the end."""
        for stamp_ns in sorted(self._waiting):
            yield from self._release(stamp_ns)

    def _start_anew(self) -> None:
        self.dropped += sum(any(part in parts for part in self._required) for parts in self._waiting.values())
        self._newest = dict.fromkeys(self._parts, -1)
        self._waiting.clear()
        self._gone_ns = -1

    def _may_come(self, part: str, stamp_ns: int) -> bool:
        if part in self._required or self._newest[part] > stamp_ns:
            return self._newest[part] <= stamp_ns
        newer = sum(other > stamp_ns and self._required[0] in parts for other, parts in self._waiting.items())
        return newer < self._patience

    def _release(self, stamp_ns: int) -> Iterator[tuple[int, dict[str, Any]]]:
        parts = self._waiting.pop(stamp_ns)
        self._gone_ns = stamp_ns
        if all(part in parts for part in self._required):
            yield stamp_ns, parts
        elif any(part in parts for part in self._required):
            self.dropped += 1
