"""What the network saw and what it is a view of, step by step, from disk: the pictures of an hour fit no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.bag.access import OpenBag
from maze_introspection.bag.decode import STAMP_BYTES, cdr_stamp_ns, pixels
from maze_introspection.verify.steps import Steps
from maze_introspection.verify.verdict import Check, Finding
from maze_policy import topics
from maze_policy.topics import Topic

Image = npt.NDArray[np.uint8]
Frame = dict[Topic, Image | None]


def frames(
    bag: OpenBag, steps: Steps, observe: Callable[[Image], Image] | None, findings: list[Finding]
) -> Iterator[Frame]:
    """The observation of each step and, with `observe`, the one that its camera image gives, in the order of steps.

    None stands for a picture that is not there or does not decode, which becomes a finding.
    """
    wanted = [topics.OBSERVATION] + [topics.CAMERA_IMAGE] * (observe is not None)
    wanted = [topic for topic in wanted if topic in steps.has]
    step_of = {stamp: step for step, stamp in enumerate(steps.stamp_ns.tolist())}
    waiting: dict[int, Frame] = {}
    due = 0
    for topic, cdr in bag.raw(tuple(wanted)):
        step = step_of.get(cdr_stamp_ns(cdr), -1) if len(cdr) >= STAMP_BYTES else -1
        if step < due or topic in waiting.get(step, {}):
            continue  # of no step, twice, or too short: found already
        picture: Image | None = None
        try:
            picture = pixels(bag.path, topic, bag.decode(topic, cdr)).copy()  # torch wants to be able to write
            if topic is topics.CAMERA_IMAGE and observe is not None:
                picture = observe(picture)
        except Exception as error:  # a damaged message shows as whatever its decoder stumbles over
            findings.append(steps.at(f'does not decode: {str(error).removeprefix(f"{bag.path}: ")}', topic, step))
        waiting.setdefault(step, {})[topic] = picture
        while due < len(steps) and all(topic in waiting.get(due, {}) or not steps.has[topic][due] for topic in wanted):
            yield waiting.pop(due, {})
            due += 1
    for rest in range(due, len(steps)):
        yield waiting.pop(rest, {})


class Views:
    """Whether each observation is what the policy makes of the camera image of its stamp."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._wrong: list[tuple[int, str]] = []
        self._compared = 0

    def take(self, step: int, frame: Frame) -> None:
        """Compare one step."""
        said, seen = frame.get(topics.OBSERVATION), frame.get(topics.CAMERA_IMAGE)
        if said is None or seen is None:
            return
        self._compared += 1
        if said.shape != seen.shape:
            self._wrong.append((step, f'want {seen.shape} px, got {said.shape}'))
        elif (said != seen).any():
            where: Any = tuple(int(index) for index in np.argwhere(said != seen)[0])
            many = int((said != seen).sum())
            self._wrong.append((step, f'{many} px are not what the camera saw, the first {where}'))

    def check(self) -> Check:
        """What came out."""
        wrong, compared = self._wrong, self._compared
        if not compared:
            return Check('view', unchecked=f'no {topics.CAMERA_IMAGE.name} was recorded with observations')
        if len(wrong) > max(compared / 10, 2):
            said = f'{len(wrong)} of {compared} observations are not the centre square of the camera image: '
            return Check('view', unchecked=said + 'a calibration that the bag does not tell')
        findings = tuple(
            self._steps.at(says, f'{topics.OBSERVATION.name} or {topics.CAMERA_IMAGE.name}', step)
            for step, says in wrong
        )
        left = len(self._steps) - compared
        unchecked = f'{left} steps' if left and not findings else ''
        return Check('view', f'{compared} observations are those of the camera images', findings, unchecked)


def observer() -> Callable[[Image], Image]:
    """What makes an observation of a camera image.

    Raises:
        ImportError: where OpenCV is not installed.
    """
    from maze_policy.observation import observe

    return observe
