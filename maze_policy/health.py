"""How a node is doing: what it did, how fast, what it refused and why. Pure; `base_node` puts it on /diagnostics."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

OK, WARN, ERROR = range(3)


class Report(NamedTuple):
    """One period: a level (0 fine, 1 something was refused, 2 something failed), one line, and all numbers."""

    level: int
    summary: str
    values: dict[str, object]


class Health:
    """Count, time and refuse; `report` tells one period and starts the next."""

    def __init__(self) -> None:
        self.facts: dict[str, object] = {}  # told in every report as they are
        self._total: Counter[str] = Counter()
        self._period: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._reason: dict[str, str] = {}
        self._troubles: list[tuple[int, str]] = []
        self._longest_s: dict[str, float] = {}

    def count(self, what: str, times: int = 1) -> None:
        """Note that something was done once more, or so many times."""
        self._total[what] += times
        self._period[what] += times

    def took(self, what: str, seconds: float) -> None:
        """Note how long something took; the report tells the longest of its period."""
        self._longest_s[what] = max(seconds, self._longest_s.get(what, 0.0))

    def refuse(self, kind: str, why: str) -> bool:
        """Note a refused input; True for the first of its kind, which is worth a log line."""
        self._refused[kind] += 1
        self._reason[kind] = why
        self._troubles.append((WARN, f'refused {kind}: {why}'))
        return self._refused[kind] == 1

    def fail(self, why: str) -> None:
        """Note that the node itself is in trouble."""
        self._total['failures'] += 1
        self._troubles.append((ERROR, why))

    def refused(self, kind: str) -> int:
        """How many of a kind were refused since the start."""
        return self._refused[kind]

    def counted(self, what: str) -> int:
        """How often something was done since the start."""
        return self._total[what]

    def report(self, period_s: float) -> Report:
        """What happened since the last report, `period_s` ago, and the totals since the start; begins the next."""
        report = self.so_far(period_s)
        self._period.clear()
        self._longest_s.clear()
        self._troubles.clear()
        return report

    def so_far(self, period_s: float) -> Report:
        """The same, without an end of the period."""
        level, summary = max(self._troubles, key=lambda trouble: trouble[0], default=(OK, 'ok'))
        values: dict[str, object] = dict(self.facts)
        for what, total in self._total.items():
            values[what] = total
            values[f'{what} per second'] = round(self._period[what] / period_s, 1)
        for what, longest_s in self._longest_s.items():
            values[f'{what}, longest, ms'] = round(longest_s * 1e3, 2)
        for kind, total in self._refused.items():
            values[f'refused: {kind}'] = total
            values[f'last reason: {kind}'] = self._reason[kind]
        return Report(level, summary, values)
