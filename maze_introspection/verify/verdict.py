"""What was checked of a recording, how much of it, what came out, and where something is false."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

PROVEN, FALSE, UNCHECKED = 'proven', 'FALSE', 'not checked'
PASSED, FAILED, INCOMPLETE = 'PASSED', 'FAILED', 'INCOMPLETE'
EXIT_CODE = {PASSED: 0, FAILED: 1, INCOMPLETE: 3}  # 2: could not be read


@dataclass(frozen=True)
class Finding:
    """Something false or missing, and where.

    Attributes:
        says: what.
        topic: the topic, or the topics one of which it is, relative to the namespace; empty where it is of none.
        step: step of the recording, 0 = first; None where it is of no step.
        through: last step where it is of several in a row.
        stamp_ns: stamp of the message, or of the first step, ns.
        episode: index of the episode.
    """

    says: str
    topic: str = ''
    step: int | None = None
    through: int | None = None
    stamp_ns: int | None = None
    episode: int | None = None

    def __str__(self) -> str:
        where = []
        if self.step is not None:
            where.append(f'step {self.step}' if self.through is None else f'steps {self.step} to {self.through}')
        if self.stamp_ns is not None:
            where.append(f'stamp {seconds(self.stamp_ns)}')
        if self.topic:
            where.append(self.topic)
        return f'{", ".join(where)}: {self.says}' if where else self.says


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: of the check.
        says: what was checked, how many, and how well it holds.
        findings: what is false or missing.
        unchecked: why it could not be checked, or not everywhere; empty where it was.
    """

    name: str
    says: str = ''
    findings: tuple[Finding, ...] = ()
    unchecked: str = ''

    @property
    def result(self) -> str:
        """PROVEN, FALSE or UNCHECKED; what was not checked throughout is not proven."""
        return FALSE if self.findings else UNCHECKED if self.unchecked else PROVEN

    def line(self) -> str:
        """Everything but the findings."""
        said = '; '.join(filter(None, (self.says, self.unchecked and f'not checked: {self.unchecked}')))
        return f'  {self.result:<11}  {self.name:<12}  {said}'


@dataclass(frozen=True)
class Episode:
    """One episode: its name, its steps (first to last of the recording), its digest, and whether it is proven."""

    name: str
    first: int
    last: int
    stamp_ns: int
    digest: str
    result: str = ''


@dataclass(frozen=True)
class Verdict:
    """All checks of one bag.

    Attributes:
        bag: where it is.
        checks: one each.
        episodes: in their order.
        about: what the recording says of itself, and what it was checked with.
    """

    bag: str
    checks: tuple[Check, ...]
    episodes: tuple[Episode, ...] = ()
    about: dict[str, Any] | None = None

    @property
    def findings(self) -> list[Finding]:
        """Of all checks."""
        return [finding for check in self.checks for finding in check.findings]

    @property
    def result(self) -> str:
        """PASSED (all is proven), FAILED (something is false or missing) or INCOMPLETE (not all was checked)."""
        results = {check.result for check in self.checks}
        return FAILED if FALSE in results else INCOMPLETE if UNCHECKED in results else PASSED

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 3 incomplete."""
        return EXIT_CODE[self.result]

    def judged(self) -> Verdict:
        """With a verdict on each episode: false is one in which, or about all of which, something was found."""

        def result(index: int) -> str:
            concerns = any(finding.episode in (None, index) for finding in self.findings)
            return FAILED if concerns else PASSED if self.result == PASSED else self._otherwise()

        return replace(self, episodes=tuple(replace(e, result=result(i)) for i, e in enumerate(self.episodes)))

    def _otherwise(self) -> str:
        return INCOMPLETE if any(check.unchecked for check in self.checks) else PASSED

    def text(self, shown: int) -> str:
        """One line per check, at most `shown` findings of each, the episodes, the verdict."""
        lines = [self.bag]
        for check in self.checks:
            lines.append(check.line())
            lines += [f'{"":15}- {finding}' for finding in check.findings[:shown]]
            if len(check.findings) > shown:
                lines.append(f'{"":15}- and {len(check.findings) - shown} more (--json has all)')
        for episode in self.episodes:
            steps = f'{episode.last - episode.first + 1} steps from {episode.first}'
            lines.append(f'  {episode.result:<11}  {episode.name}: {steps}, sha256:{episode.digest}')
        of = ', '.join(f'{self._count(result)} {result}' for result in (PROVEN, FALSE, UNCHECKED))
        return '\n'.join([*lines, f'{self.result}: {of}'])

    def _count(self, result: str) -> int:
        return sum(check.result == result for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        checks = [
            {'name': check.name, 'result': check.result, 'says': check.says, 'unchecked': check.unchecked}
            | {'findings': [asdict(finding) for finding in check.findings]}
            for check in self.checks
        ]
        episodes = [asdict(episode) for episode in self.episodes]
        about = self.about or {}
        return {'bag': self.bag, 'verdict': self.result, **about, 'checks': checks, 'episodes': episodes}


def seconds(stamp_ns: int) -> str:
    """A stamp as s.ns, all digits."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return f'{sec}.{nanosec:09}'


def in_rows(where: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each stretch of whole numbers one after the other."""
    rows: list[tuple[int, int]] = []
    for index in where:
        if rows and index == rows[-1][1] + 1:
            rows[-1] = (rows[-1][0], index)
        else:
            rows.append((index, index))
    return rows
