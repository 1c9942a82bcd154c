"""Whether each step has all its messages, once, in order, and nothing else is there."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np

from maze_introspection.verify.heard import Heard
from maze_introspection.verify.steps import PARTS, Steps
from maze_introspection.verify.verdict import Check, Finding
from maze_policy import topics

# What comes with every step, once it is recorded at all.
PER_STEP = (*PARTS, topics.TILT_COMMAND, topics.CAMERA_IMAGE, topics.CONTRIBUTION)
DERIVED = (topics.CONTRIBUTION, topics.SALIENT, topics.PRECEDING_OFFSET)  # that come with nothing but a step
# In the order of their stamps. The tilt command is levelled between steps, at the time of that.
ORDERED = (*PARTS, *DERIVED, topics.TILT_COMMAND, topics.CAMERA_IMAGE, topics.CAMERA_INFO, topics.BALL, topics.EPISODE)
OUR_NAME = re.compile(r'episode-(\d{4,9})')  # as our policy node counts its episodes
NEEDED = (topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES, topics.READOUT, topics.EPISODE)


def check_messages(heard: Heard, steps: Steps) -> Check:
    """Completeness across topics, order, and what could not be read."""
    findings = [_placed(finding, steps) for finding in heard.malformed]
    findings += [Finding('no message at all', topic.name) for topic in NEEDED if not len(heard.series[topic])]
    recorded = [topic for topic in PER_STEP if topic in steps.has]
    for topic in recorded:
        findings += steps.rows('missing', topic, np.flatnonzero(~steps.has[topic]))
    known = set(steps.stamp_ns.tolist())
    for topic in (*PARTS, *DERIVED):
        for stamp in sorted(set(heard.series[topic].stamps) - known):
            findings.append(steps.near('of no step: no other topic has this stamp', topic, stamp))
    for topic in ORDERED:
        findings += _out_of_order(heard, steps, topic)
    findings += _camera_info(heard, steps)
    if steps.readout is None and len(heard.series[topics.READOUT]):
        findings.append(Finding('its size fits neither gates nor scores', topics.READOUT.name))
    others = sum(not _same(values, heard.readout()) for values in heard.series[topics.READOUT].values)
    if others:
        findings.append(Finding(f'{others} messages differ from the first: want one policy', topics.READOUT.name))
    says = f'{len(steps)} steps on {len(recorded)} topics'
    ball = steps.has.get(topics.BALL)
    if ball is not None and not ball.all():
        says += f'; the ball was seen in {int(ball.sum())} of them'
    lost = {topic.name: int((~steps.has[topic]).sum()) for topic in recorded}
    if any(lost.values()):
        says += '; missing: ' + ', '.join(f'{count} {name}' for name, count in lost.items() if count)
    findings.sort(key=lambda finding: finding.stamp_ns or 0)
    wanted = (*PER_STEP, topics.CAMERA_INFO) if topics.CAMERA_IMAGE in recorded else PER_STEP
    absent = [topic.name for topic in wanted if not len(heard.series[topic])]
    return Check('messages', says, tuple(findings), f'not recorded: {", ".join(absent)}' if absent else '')


def check_episodes(heard: Heard, steps: Steps, resets: list[Finding]) -> Check:
    """That every reset of the memory is named by policy/episode and every name stands at a reset.

    Args:
        heard: the messages.
        steps: the steps.
        resets: what the recurrence found about resets.
    """
    findings = list(resets)
    known, first = set(steps.stamp_ns.tolist()), int(steps.stamp_ns[0])
    series = heard.series[topics.EPISODE]
    for stamp, name in zip(series.stamps, series.values):
        if stamp not in known and stamp > first:
            findings.append(steps.near(f'{name} begins at a stamp that no step has', topics.EPISODE, stamp))
    for (_, before), (stamp, name) in pairwise(sorted(zip(series.stamps, series.values))):
        first, second = (int(found[1]) if (found := OUR_NAME.fullmatch(each)) else 0 for each in (before, name))
        if first and second not in (0, 1, first + 1):  # 1: the policy was started anew
            findings.append(_stamped(steps, f'{name} comes after {before}: others are missing', topics.EPISODE, stamp))
    late = 'the recording begins in the middle of an episode' if steps.begins_late else ''
    return Check('episodes', f'{int(steps.begins.sum())} named, each where the memory is reset', tuple(findings), late)


def _out_of_order(heard: Heard, steps: Steps, topic: topics.Topic) -> list[Finding]:
    """Messages that are not where their stamp belongs, or that come twice."""
    stamps = np.array(heard.series[topic].stamps, dtype=np.int64)
    if topic is topics.TILT_COMMAND:
        stamps = stamps[np.isin(stamps, steps.stamp_ns)]
    findings = []
    for stamp in stamps[np.flatnonzero(stamps != np.sort(stamps))].tolist():
        findings.append(
            _stamped(steps, 'out of its place: recorded earlier or later than its stamp says', topic, stamp)
        )
    each, count = np.unique(stamps, return_counts=True)
    for stamp in each[count > 1].tolist():
        findings.append(_stamped(steps, 'this stamp comes more than once', topic, stamp))
    return findings


def _camera_info(heard: Heard, steps: Steps) -> list[Finding]:
    """The camera says both under one stamp."""
    image, info = (set(heard.series[topic].stamps) for topic in (topics.CAMERA_IMAGE, topics.CAMERA_INFO))
    if not (image and info):
        return []
    findings = [_stamped(steps, 'missing', topics.CAMERA_INFO, stamp) for stamp in sorted(image - info)]
    alone = sorted(info - image - set(steps.stamp_ns.tolist()))  # of a step it is told already
    return findings + [_stamped(steps, 'missing', topics.CAMERA_IMAGE, stamp) for stamp in alone]


def _stamped(steps: Steps, says: str, topic: topics.Topic, stamp: int) -> Finding:
    step = int(np.searchsorted(steps.stamp_ns, stamp))
    if step < len(steps) and steps.stamp_ns[step] == stamp:
        return steps.at(says, topic, step)
    return steps.near(says, topic, stamp)


def _placed(finding: Finding, steps: Steps) -> Finding:
    """A finding of a message with its step."""
    if finding.stamp_ns is None:
        return finding
    topic = next(topic for topic in topics.ALL if topic.name == finding.topic)
    return _stamped(steps, finding.says, topic, finding.stamp_ns)


def _same(one: object, other: object) -> bool:
    return isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and one.tobytes() == other.tobytes()
