"""Whether what the introspection node said live is what the replay says now, bit for bit, message by message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.analysis import Analysis, analyze, heard_throughout, offsets_by_span, replayed_as_live
from maze_introspection.config import IntrospectionConfig
from maze_introspection.contribution import salient
from maze_introspection.recording import LIVE_OFFSET, Live, Recording
from maze_introspection.recurrence import GAP
from maze_introspection.verify.heard import Heard
from maze_introspection.verify.recur import MOST
from maze_introspection.verify.steps import Bool, Float32, Steps
from maze_introspection.verify.verdict import Check, Finding
from maze_policy import topics
from maze_policy.topics import Topic

LIVE = (topics.CONTRIBUTION, topics.SALIENT, topics.PRECEDING_OFFSET)
NAMES = ('contribution', 'salient', 'offset', 'watched')


def check_live(heard: Heard, steps: Steps) -> list[Check]:
    """Contributions, salient channels, preceding offsets and watched channels, with the thresholds of each step."""
    looked = np.logical_or.reduce([steps.has.get(topic, np.zeros(len(steps), np.bool_)) for topic in LIVE])
    if not looked.any():
        return [Check(name, unchecked='no introspection node was recorded') for name in NAMES]
    if steps.readout is None or not np.isfinite(steps.readout).all():
        return [Check(name, unchecked=f'no {topics.READOUT.name} to compute it with') for name in NAMES]
    sound = steps.whole & ~steps.doubtful
    try:
        analysis = _replay(heard, steps, sound)
    except ValueError as error:
        return [Check(name, unchecked=str(error)) for name in NAMES]
    live = _Live(heard, steps, analysis, looked & sound)
    compare = zip(NAMES, (*LIVE, topics.WATCHED), (live.contributions, live.salient, live.offsets, live.watched))
    return [
        make() if topic in heard.listed else Check(name, unchecked=f'{topic.name} was not recorded')
        for name, topic, make in compare
    ]


def _replay(heard: Heard, steps: Steps, sound: Bool) -> Analysis:
    """The analysis of all steps; one that is not sound is all zeros, and nothing that touches it is compared."""
    since = sorted({0, *heard.parameters})
    configs = tuple(IntrospectionConfig.from_dict(heard.parameters.get(stamp, {})) for stamp in since)
    config_of = np.searchsorted(np.array(since), steps.stamp_ns, side='right') - 1
    empty = np.empty(0, dtype=LIVE_OFFSET)

    def only_sound(values: Float32) -> Float32:
        where = sound.reshape(-1, *(1,) * (values.ndim - 1))
        return values if sound.all() else np.where(where, values, np.float32(0))

    recording = Recording(
        stamp_ns=steps.stamp_ns,
        gates=only_sound(steps.gates),
        hidden=only_sound(steps.hidden),
        cell=only_sound(steps.cell),
        scores=np.where(sound[:, None], steps.scores, steps.readout[:, -1])
        if steps.readout is not None
        else steps.scores,
        readout=steps.readout if steps.readout is not None else np.empty((0, 0), np.float32),
        episode=steps.episode,
        episode_ids=steps.episode_ids,
        tilt_rad=steps.tilt_rad[:, :2],
        ball_m=steps.ball_m[:, :2],
        begins_late=steps.begins_late,
        live=Live(steps.share, empty, configs, config_of),
        source=str(heard.path),
    )
    return analyze(recording, configs[0])


class _Live:
    """One comparison for each live topic; `there` are the steps that both sides know."""

    def __init__(self, heard: Heard, steps: Steps, analysis: Analysis, there: Bool) -> None:
        self._heard, self._steps, self._analysis, self._there = heard, steps, analysis, there
        self._step_of = {stamp: step for step, stamp in enumerate(steps.stamp_ns.tolist())}

    def contributions(self) -> Check:
        steps, share = self._steps, self._analysis.contribution.share
        has = self._has(topics.CONTRIBUTION)
        compared = has & self._there
        differ = compared[:, None] & (_bits(steps.share) != _bits(share))
        findings = []
        for step in np.flatnonzero(differ.any(axis=1)).tolist():
            channel = int(np.argmax(differ[step]))
            says = f'channel {channel}: {float(steps.share[step, channel])!r} live, {float(share[step, channel])!r} now'
            findings.append(steps.at(says, topics.CONTRIBUTION, step))
        return self._check('contribution', compared, findings, 'shares of all channels')

    def salient(self) -> Check:
        analysis, there = self._analysis, self._there
        share, action = analysis.contribution.share, analysis.contribution.action
        want: dict[int, Float32] = {}
        for first, end, config in analysis.recording.live.spans() if analysis.recording.live else []:
            top = salient(share[first:end], config.fraction)
            for row in range(end - first):
                channel = np.flatnonzero(top[row])
                values = [channel, share[first + row, channel], np.full(len(channel), action[first + row])]
                want[first + row] = np.stack(values, axis=1).astype(np.float32)
        findings = self._differences(topics.SALIENT, want, self._messages(topics.SALIENT), there)
        return self._check('salient', there, findings, 'channels, shares and actions')

    def offsets(self) -> Check:
        analysis = self._analysis
        found = replayed_as_live(replace(analysis, offsets=offsets_by_span(analysis)))
        said_of = self._messages(topics.PRECEDING_OFFSET)
        rows = [values for _, values in sorted(said_of.items())]
        step = np.repeat(np.array(sorted(said_of), dtype=np.int64), [len(values) for values in rows])
        raw = np.concatenate([*rows, np.empty((0, len(topics.OFFSET_COLUMNS)), np.float32)])
        # A run counts where both heard every step of it, and the one before.
        holes = np.concatenate([[analysis.continuity[0] == GAP], ~self._there]).cumsum()
        said = np.zeros(len(raw), dtype=LIVE_OFFSET)
        said['step'] = step
        said['offset'] = np.clip(np.nan_to_num(raw[:, topics.OFFSET_COLUMNS.index('offset')]), 0, step)
        raw, step = raw[heard_throughout(said, holes)], step[heard_throughout(said, holes)]
        found = found[heard_throughout(found, holes)]
        told = np.stack([found[name].astype(np.float32) for name in topics.OFFSET_COLUMNS], axis=1)
        column = topics.OFFSET_COLUMNS.index('distance_m')
        seen = ~np.isnan(self._steps.ball_m[:, 0])
        unseen = np.unique(step[np.isfinite(raw[:, column]) & ~seen[step]])
        listed = topics.BALL in self._heard.listed
        findings = self._steps.rows(
            'missing: an offset of this step tells the distance of the ball',
            topics.BALL,
            unseen[: listed * len(unseen)],
        )
        raw = raw.copy()
        raw[~seen[step], column] = told[~seen[found['step']], column] = np.nan
        want, got = _by_step(told, found['step']), _by_step(raw, step)
        findings += self._differences(topics.PRECEDING_OFFSET, want, got, self._there)
        check = self._check('offset', self._there, findings, f'{len(found)} offsets of three gates')
        if listed or not len(unseen):
            return check
        return replace(check, unchecked=f'their distances in {len(unseen)} steps: {topics.BALL.name} was not recorded')

    def watched(self) -> Check:
        """These have no stamp: they must be those of the steps, in their order."""
        series = self._heard.series[topics.WATCHED]
        if not len(series):
            return Check('watched', unchecked='no message, or no channel is watched')
        sets = Counter(channels for channels, _ in series.values)
        [(most, many)] = sets.most_common(1)
        if many < MOST * len(series):
            return Check('watched', unchecked=f'its channels changed: {sorted(sets)}')
        channels = list(most)
        if not all(0 <= channel < self._steps.channels for channel in channels):
            return Check('watched', findings=(Finding(f'no such channels: {channels}', topics.WATCHED.name),))
        share = self._analysis.contribution.share
        looked = np.flatnonzero(self._has(topics.CONTRIBUTION) | self._has(topics.SALIENT))
        gates = self._steps.gates
        want = [np.column_stack([gates[s][:, channels].T, share[s, channels]]).tobytes() for s in looked]
        said = [np.ascontiguousarray(values).tobytes() if told == most else b'' for told, values in series.values]
        findings = []
        if want != said:
            for tag, first, end, here, past in SequenceMatcher(None, want, said, autojunk=False).get_opcodes():
                for index in range(first, end):
                    step = int(looked[index])
                    if tag != 'equal' and self._there[step]:
                        says = 'missing' if tag == 'delete' else 'not that of the step'
                        findings.append(self._steps.at(says, topics.WATCHED, step))
                if tag == 'insert':
                    step = int(looked[min(first, len(looked) - 1)])
                    findings.append(self._steps.at(f'{past - here} of no step before it', topics.WATCHED, step))
        compared = np.zeros(len(self._steps), np.bool_)
        compared[looked] = self._there[looked]
        return self._check('watched', compared, findings, f'gates and shares of channels {channels}')

    def _differences(
        self, topic: Topic, want: Mapping[int, Float32], said: Mapping[int, Float32], there: Bool
    ) -> list[Finding]:
        findings = []
        for step in sorted(want.keys() | said.keys()):
            if not there[step]:
                continue
            wanted, got = want.get(step), said.get(step)
            expected, had = 0 if wanted is None else len(wanted), 0 if got is None else len(got)
            if got is None and expected:
                findings.append(self._steps.at(f'missing: {expected} rows now', topic, step))
            elif got is not None and (wanted is None or got.tobytes() != wanted.tobytes()):
                says = f'{had} rows live, {expected} now'
                if wanted is not None and had == expected:
                    row = int(np.argmax((_bits(got) != _bits(wanted)).any(axis=1)))
                    says = f'row {row} is {got[row].tolist()} live, {wanted[row].tolist()} now'
                findings.append(self._steps.at(says, topic, step))
        return findings

    def _messages(self, topic: Topic) -> dict[int, Float32]:
        series = self._heard.series[topic]
        return {
            self._step_of[stamp]: series.values[index]
            for stamp, index in series.first_of_each().items()
            if stamp in self._step_of
        }

    def _has(self, topic: Topic) -> Bool:
        return self._steps.has.get(topic, np.zeros(len(self._steps), np.bool_))

    def _check(self, name: str, compared: Bool, findings: list[Finding], what: str) -> Check:
        many, steps = int(compared.sum()), len(self._steps)
        says = f'{what}: the same live and now in {many - len({f.step for f in findings})} of {steps} steps'
        left = steps - many
        return Check(name, says, tuple(findings), f'{left} steps' if left and not findings else '')


def _by_step(values: Float32, step: npt.NDArray[np.int64]) -> dict[int, Float32]:
    edges = np.flatnonzero(np.diff(step, prepend=-1))
    return {int(step[first]): part for first, part in zip(edges, np.split(values, edges[1:]))} if len(step) else {}


def _bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    bits: npt.NDArray[np.uint32] = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return bits
