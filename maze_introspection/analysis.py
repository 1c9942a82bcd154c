"""Replay of a recording: the same functions as live, over all steps at once, and the comparison of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from maze_introspection.config import IntrospectionConfig
from maze_introspection.contribution import Contribution, contribution, salient
from maze_introspection.introspection import GATES, check_score, clock_jumped, gated
from maze_introspection.offset import interval_offsets, step_offsets
from maze_introspection.recording import LIVE_OFFSET, Recording
from maze_introspection.recurrence import CONTINUES, CORRUPT, GAP, RESET, continuity

Bool = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.void]


@dataclass(frozen=True)
class Analysis:
    """What a recording of T steps tells.

    Attributes:
        recording: what was analysed.
        config: the parameters it was analysed with.
        contribution: share of every channel in the score of the action taken.
        salient: the channels that make up `config.fraction` of the score, shape (T, n_l).
        continuity: how each step relates to the one before, see `recurrence`, shape (T,).
        begins: steps before which memory or clock does not continue, shape (T,); no offset spans one.
        offsets: preceding offsets per interval of all three gates, dtype `GATED_OFFSET`; t and t0 are steps of the
            recording; sorted by (t, gate, channel).
    """

    recording: Recording
    config: IntrospectionConfig
    contribution: Contribution
    salient: Bool
    continuity: npt.NDArray[np.int8]
    begins: Bool
    offsets: Rows

    @cached_property
    def ring(self) -> npt.NDArray[np.int64]:
        """Ring that the ball is in at each step, shape (T,), 0 = centre; -1 where ball or maze are not known."""
        maze = self.recording.maze
        if maze is None:
            return np.full(self.recording.steps, -1)
        return maze.ring(self.recording.distance_m)

    @property
    def starts_midway(self) -> bool:
        """Whether the recording begins in the middle of an episode, memory not empty before its first step."""
        return bool(self.continuity[0] == GAP and self.recording.begins_late)

    @property
    def gaps(self) -> npt.NDArray[np.int64]:
        """Steps before which at least one step is missing; what came before a late beginning is nobody's loss."""
        found = np.flatnonzero(self.continuity == GAP)
        return found[1:] if self.starts_midway else found

    @property
    def corrupt(self) -> npt.NDArray[np.int64]:
        """Steps whose own matrices do not fit together."""
        return np.flatnonzero(self.continuity == CORRUPT)

    @property
    def resets(self) -> npt.NDArray[np.int64]:
        """Steps before which memory was zero."""
        return np.flatnonzero(self.continuity == RESET)

    @property
    def complete(self) -> bool:
        """Whether the recurrence holds throughout: no step is missing or corrupt."""
        return not (len(self.gaps) or len(self.corrupt))

    def of_gate(self, gate: int) -> Rows:
        """Preceding offsets per interval of one gate."""
        rows: Rows = self.offsets[self.offsets['gate'] == gate]
        return rows

    def step_offsets(self, gate: int) -> Rows:
        """Preceding offsets per salient step of one gate (the paper's figure 5), dtype `OFFSET`."""
        return step_offsets(self.recording.gates[:, gate], self.salient, self.config.theta_g, begins=self.begins)


def analyze(recording: Recording, config: IntrospectionConfig = IntrospectionConfig()) -> Analysis:  # noqa: B008
    """Contributions, salient channels and preceding offsets of every step of a recording.

    Raises:
        ValueError: if there is no step.
    """
    if not recording.steps:
        raise ValueError(f'{recording.source}: want at least one policy step, got none')
    relation, begins = beginnings(recording, config)
    weight, bias = recording.readout[:, :-1], recording.readout[:, -1]
    c = contribution(recording.hidden, weight, action=recording.action, bias=bias)
    check_score(c.score, recording.scores.max(axis=1))
    return Analysis(
        recording=recording,
        config=config,
        contribution=c,
        salient=salient(c.share, config.fraction),
        continuity=relation,
        begins=begins,
        offsets=gated_offsets(recording.gates, c.share, begins, config),
    )


def beginnings(recording: Recording, config: IntrospectionConfig) -> tuple[npt.NDArray[np.int8], Bool]:
    """How each step relates to the one before, and whether memory or clock does not continue before it."""
    relation = continuity(recording.gates, recording.hidden, recording.cell, config.recurrence_tolerance)
    begins = relation != CONTINUES
    begins[1:] |= clock_jumped(np.diff(recording.stamp_ns), config.clock_jump_s)
    return relation, begins


def gated_offsets(
    gates: npt.NDArray[np.floating], share: npt.NDArray[np.floating], begins: Bool, config: IntrospectionConfig
) -> Rows:
    """Preceding offsets per interval of all three gates, dtype `GATED_OFFSET`, sorted by (t, gate, channel)."""
    parts = []
    for gate in GATES:
        rows = interval_offsets(gates[:, gate], share, config.theta_g, config.theta_c, begins=begins)
        parts.append(gated(rows, gate))
    rows = np.concatenate(parts)
    return rows[np.argsort(rows['t'], kind='stable')]  # each part is sorted by (t, channel) already


@dataclass(frozen=True)
class LiveComparison:
    """Whether what the live node said is, bit for bit, what the replay says.

    Attributes:
        steps: number of steps compared.
        missing: number of steps for which nothing live was recorded.
        share: the first different contribution as (step, channel, live, replayed); None where there is none.
        offsets: the first different offset as (step, live rows, replayed rows); None where there is none.
    """

    steps: int
    missing: int
    share: tuple[int, int, float, float] | None
    offsets: tuple[int, list[tuple[float, ...]], list[tuple[float, ...]]] | None

    @property
    def identical(self) -> bool:
        """Whether there is a live value for every step, and no difference."""
        return self.steps > 0 and not self.missing and self.share is None and self.offsets is None

    def __str__(self) -> str:
        if self.identical:
            return f'live and replayed contributions and offsets are identical, bit for bit, at all {self.steps} steps'
        said = []
        if self.share is not None:
            step, channel, live, replayed = self.share
            said.append(
                f'contributions differ first at step {step}, channel {channel}: {live!r} live, {replayed!r} now'
            )
        if self.offsets is not None:
            step, there, here = self.offsets
            names = ', '.join(LIVE_OFFSET.names or ())
            said.append(
                f'offsets differ first at step {step}: {len(there)} rows live, {len(here)} now; '
                f'the first ({names}): {there[:1]} live, {here[:1]} now'
            )
        if self.missing:
            said.append(f'live values are missing at {self.missing} of {self.steps + self.missing} steps')
        return '; '.join(said)


def compare_live(analysis: Analysis) -> LiveComparison | None:
    """Compare the recorded live contributions and offsets with the replayed ones; None where none were recorded.

    The replay uses the parameters that the live node had at each step, whatever those of this analysis are, and begins
    all runs anew where it did. Runs that began where either of both lacks a step (a late recorder, a late or restarted
    live node) are left out, and so is the distance where no ball was recorded.
    """
    recording = analysis.recording
    if recording.live is None:
        return None
    there: Bool = np.asarray(np.isfinite(recording.live.share).all(axis=1))
    share = None
    differ = there & (_bits(recording.live.share) != _bits(analysis.contribution.share)).any(axis=1)
    if differ.any():
        step = int(np.argmax(differ))
        live, replayed = recording.live.share[step], analysis.contribution.share[step]
        channel = int(np.argmax(_bits(live) != _bits(replayed)))
        share = (step, channel, float(live[channel]), float(replayed[channel]))

    said, found = recording.live.offsets, replayed_as_live(replace(analysis, offsets=offsets_by_span(analysis)))
    said, found = said[there[said['step']]], found[there[found['step']]]
    # Where one of both did not hear the step before a run, they cannot agree on its beginning.
    holes = np.concatenate([[analysis.continuity[0] == GAP], ~there]).cumsum()  # before this index
    said, found = (rows[heard_throughout(rows, holes)] for rows in (said, found))
    unseen = np.isnan(recording.distance_m)  # no ball in the recording: nothing to compare the distance with
    for rows in (said, found):
        rows['distance_m'][unseen[rows['step']]] = np.nan
    said = said[np.lexsort((said['channel'], said['gate'], said['step']))]
    offsets = None
    if said.tobytes() != found.tobytes():
        step = _first_difference(said, found)
        offsets = (step, said[said['step'] == step].tolist(), found[found['step'] == step].tolist())
    return LiveComparison(int(there.sum()), int((~there).sum()), share, offsets)


def replayed_as_live(analysis: Analysis) -> Rows:
    """The replayed offsets as the live node publishes them, dtype `LIVE_OFFSET`, sorted by (step, gate, channel)."""
    rows = analysis.offsets
    live = np.empty(len(rows), dtype=LIVE_OFFSET)
    live['step'] = rows['t']
    for name in ('gate', 'channel', 'offset', 'censored'):
        live[name] = rows[name]
    live['action'] = analysis.contribution.action[rows['t']]
    live['distance_m'] = analysis.recording.distance_m[rows['t']]
    return live


def offsets_by_span(analysis: Analysis) -> Rows:
    """The offsets with the parameters that the live node had; every span begins as an episode does."""
    recording, parts = analysis.recording, [analysis.offsets[:0]]
    begins_with: dict[tuple[float, float], Bool] = {}
    for first, end, config in recording.live.spans() if recording.live else []:
        key = config.recurrence_tolerance, config.clock_jump_s
        if key not in begins_with:
            begins_with[key] = beginnings(recording, config)[1]
        part = slice(first, end)
        share, begins = analysis.contribution.share[part], begins_with[key][part]
        rows = gated_offsets(recording.gates[part], share, begins, config)
        rows['t'] += first
        rows['t0'] += first
        parts.append(rows)
    return np.concatenate(parts)


def heard_throughout(rows: Rows, holes: npt.NDArray[np.int64]) -> Bool:
    """Rows whose run both heard, from the step before its beginning on."""
    begin = np.maximum(rows['step'] - rows['offset'], 0)
    before = np.where(begin > 0, holes[np.maximum(begin - 1, 0)], 0)
    heard: Bool = holes[rows['step'] + 1] == before
    return heard


def _bits(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint32]:
    bits: npt.NDArray[np.uint32] = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return bits


def _first_difference(said: Rows, found: Rows) -> int:
    """The first step at which two sorted lists of rows differ."""
    for live, replayed in zip(said, found):
        if live.tobytes() != replayed.tobytes():
            return int(min(live['step'], replayed['step']))
    longer = said if len(said) > len(found) else found
    return int(longer[min(len(said), len(found))]['step'])
