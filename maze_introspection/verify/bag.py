"""All checks of one bag."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from maze_introspection.bag.access import OpenBag, open_bag
from maze_introspection.bag.writer import BagError
from maze_introspection.config import VerifyConfig
from maze_introspection.verify.complete import check_episodes, check_messages
from maze_introspection.verify.digest import digest
from maze_introspection.verify.file import check_file
from maze_introspection.verify.frames import Views, frames, observer
from maze_introspection.verify.heard import HEARD, Heard, hear
from maze_introspection.verify.live import check_live
from maze_introspection.verify.recur import check_memory, check_range, check_scores
from maze_introspection.verify.steps import Bool, Steps, make_steps
from maze_introspection.verify.tilt import check_tilt
from maze_introspection.verify.verdict import Check, Episode, Finding, Verdict
from maze_policy import topics
from maze_policy.config import TiltConfig

if TYPE_CHECKING:
    from maze_introspection.verify.recompute import Played

CHECKS = (
    *('file', 'messages', 'range', 'memory', 'hidden', 'scores', 'episodes', 'tilt'),
    *('readout', 'network', 'view', 'contribution', 'salient', 'offset', 'watched'),
)


def verify(
    path: Path | str,
    config: VerifyConfig = VerifyConfig(),  # noqa: B008 (frozen)
    *,
    checkpoint: str | None = None,
    namespace: str | None = None,
    tilt: dict[str, float] | None = None,
) -> Verdict:
    """Check everything that a bag lets us check.

    Args:
        path: rosbag2 folder (MCAP or SQLite).
        config: tolerances.
        checkpoint: name or file of the policy that played; without, the one that the bag names.
        namespace: of the policy; needed only where the bag holds more than one.
        tilt: values of `TiltConfig` that are known better than the bag does.

    Raises:
        BagError: if it could not be read: there is none, it is unfinished, it holds no policy.
        ValueError: if the checkpoint cannot be used.
    """
    path = Path(path)
    file = check_file(path)
    try:
        with open_bag(path, namespace) as bag:
            total = sum(bag.count(topic) for topic in HEARD)
            with tqdm(total=total, desc=path.name, unit='message', leave=False, disable=None) as progress:
                heard = _hear(bag, progress)
            if isinstance(heard, Finding):
                return _unreadable(path, replace(file, findings=(*file.findings, heard)))
            file = replace(file, findings=tuple(_relative(finding, bag.namespace) for finding in file.findings))
            steps = make_steps(heard)
            if steps is None:
                return _without_steps(path, file, heard)
            return _verdict(bag, file, heard, steps, config, checkpoint, tilt or {})
    except BagError:
        if file.findings:  # it is there, and it is damaged
            return _unreadable(path, file)
        raise


def _hear(bag: OpenBag, progress: Any) -> Heard | Finding:
    """What the bag says, or why it can't be read to its end."""
    try:
        return hear(bag, progress)
    except BagError as error:
        return Finding(str(error))


def _unreadable(path: Path, file: Check) -> Verdict:
    why = 'the file is damaged; what `maze-introspection repair` leaves of it can be verified'
    return Verdict(str(path), (file, *(Check(name, unchecked=why) for name in CHECKS[1:])))


def _verdict(
    bag: OpenBag,
    file: Check,
    heard: Heard,
    steps: Steps,
    config: VerifyConfig,
    checkpoint: str | None,
    tilt: dict[str, float],
) -> Verdict:
    said = {name: heard.facts[key] for name, key in topics.TILT_KEYS.items() if key in heard.facts}
    messages = check_messages(heard, steps)
    in_range = check_range(steps)
    memory, hidden, resets, start = check_memory(steps, config.recurrence_tolerance)
    scores = check_scores(steps)
    commands = check_tilt(heard, steps, TiltConfig.from_dict(said | tilt), named=bool(said or tilt))
    played, why = _played(heard, checkpoint)
    pictures = _check_pictures(bag, heard, steps, start, played, why, config)
    checks = (
        *(file, messages, in_range, memory, hidden, scores),
        *(check_episodes(heard, steps, resets), commands, *pictures, *check_live(heard, steps)),
    )
    about: dict[str, Any] = {'steps': len(steps), 'channels': steps.channels}
    about['messages'] = {topic.name: len(series) for topic, series in heard.series.items() if len(series)}
    about['recorded'] = heard.facts
    if played:
        about['checkpoint'] = {'name': played.name, 'sha256': played.sha256, 'build': played.build}
    return Verdict(str(bag.path), checks, _episodes(steps), about).judged()


def _played(heard: Heard, checkpoint: str | None) -> tuple[Played | None, str]:
    """The checkpoint to play, or why there is none; never another than the one that the bag names."""
    named, sha256 = (heard.facts.get(key) for key in (topics.CHECKPOINT_KEY, topics.CHECKPOINT_SHA256_KEY))
    if not checkpoint and not named:
        return None, 'the bag does not name its checkpoint; give it with --checkpoint'
    try:
        from maze_introspection.verify.recompute import load  # torch: `verify` does without where it is not there
    except ImportError as error:
        return None, f'it needs the policy: {error}'
    try:
        played = load(checkpoint or str(named))
    except ValueError as error:
        if checkpoint:
            raise
        return None, f'the bag names the checkpoint {named}, SHA-256 {sha256}; give it with --checkpoint ({error})'
    if sha256 and sha256 != played.sha256:
        return None, f'want the checkpoint {named} of SHA-256 {sha256}, got {played.name} of {played.sha256}'
    return played, ''


def _check_pictures(
    bag: OpenBag, heard: Heard, steps: Steps, start: Bool, played: Played | None, why: str, config: VerifyConfig
) -> list[Check]:
    """What needs the recorded pictures, in one pass over them."""
    network = views = None
    observe, unseen = None, ''
    if played:
        from maze_introspection.verify.recompute import Recomputation

        network = Recomputation(played, steps, start)
    if topics.CAMERA_IMAGE in steps.has and topics.OBSERVATION in steps.has:
        try:
            observe, views = observer(), Views(steps)
        except ImportError as error:
            unseen = f'it needs OpenCV: {error}'
    malformed: list[Finding] = []
    if network or views:
        with ExitStack() as stack:
            progress = stack.enter_context(
                tqdm(total=len(steps), desc=f'{bag.path.name}, recomputing', unit='step', leave=False, disable=None)
            )
            for step, frame in enumerate(frames(bag, steps, observe, malformed)):
                if network:
                    network.take(step, frame)
                if views:
                    views.take(step, frame)
                progress.update()
    if network:
        checks = [network.check_readout(), network.check(heard.facts.get(topics.BUILD_KEY), config.network_tolerance)]
    else:
        checks = [Check(name, unchecked=why) for name in ('readout', 'network')]
    unseen = unseen or f'want {topics.CAMERA_IMAGE.name} and {topics.OBSERVATION.name}, not both were recorded'
    view = views.check() if views else Check('view', unchecked=unseen)
    return [*checks, replace(view, findings=(*malformed, *view.findings))]


def _episodes(steps: Steps) -> tuple[Episode, ...]:
    made = []
    for index, name in enumerate(steps.episode_ids):
        here = np.flatnonzero(steps.episode == index)
        part = slice(int(here[0]), int(here[-1]) + 1)
        readout = steps.readout if steps.readout is not None else np.full((0, 0), math.nan, np.float32)
        arrays = {name: getattr(steps, name)[part] for name in ('stamp_ns', 'gates', 'hidden', 'cell', 'scores')}
        arrays |= {'readout': readout, 'tilt_rad': steps.tilt_rad[part, :2], 'ball_m': steps.ball_m[part, :2]}
        made.append(Episode(name, part.start, part.stop - 1, int(steps.stamp_ns[part.start]), digest(arrays)))
    return tuple(made)


def _without_steps(path: Path, file: Check, heard: Heard) -> Verdict:
    """The verdict on a bag in which nothing makes a step."""
    if not any(len(heard.series[topic]) for topic in (topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES)):
        raise BagError(f'{path} holds no policy step')
    findings = [*heard.malformed]
    for topic in (topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES):
        if not len(heard.series[topic]):
            findings.append(Finding('no message at all', topic.name))
    findings = findings or [Finding('gates, state and scores do not fit each other, or have no stamp in common')]
    why = 'there is no step to check'
    rest = (Check(name, unchecked=why) for name in CHECKS[2:])
    return Verdict(str(path), (file, Check('messages', findings=tuple(findings)), *rest))


def _relative(finding: Finding, namespace: str) -> Finding:
    return replace(finding, topic=finding.topic.removeprefix(f'{namespace}/'))
