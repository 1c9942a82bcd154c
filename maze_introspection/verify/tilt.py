"""Whether each tilt command is the one before it and the increment of the step's action, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from maze_introspection.verify.heard import Heard
from maze_introspection.verify.recur import MOST
from maze_introspection.verify.steps import Bool, Float64, Steps
from maze_introspection.verify.verdict import Check, Finding
from maze_policy import topics
from maze_policy.actions import ACTIONS, next_tilt
from maze_policy.config import TiltConfig

LEVEL: Float64 = np.zeros(3)


def check_tilt(heard: Heard, steps: Steps, tilt: TiltConfig, *, named: bool) -> Check:
    """Commands in the order in which they were given; between steps only level ones.

    Args:
        heard: the messages.
        steps: the steps.
        tilt: what an action does.
        named: whether the bag or the user says so; if not, and it hardly ever fits, it is not that.
    """
    if topics.TILT_COMMAND not in steps.has:
        return Check('tilt', unchecked=f'no {topics.TILT_COMMAND.name} was recorded')
    if steps.scores.shape[1] != len(ACTIONS):
        return Check('tilt', unchecked=f'want {len(ACTIONS)} actions, got {steps.scores.shape[1]}')
    step_rad, limit_rad = np.radians([tilt.tilt_step_deg, tilt.tilt_limit_deg])
    scored: Bool = np.asarray(np.isfinite(steps.scores).all(axis=1))
    action = np.argmax(np.where(scored[:, None], steps.scores, 0), axis=1)

    def after(tilt_rad: Float64, step: int) -> Float64:
        return np.append(next_tilt(tilt_rad[:2], action[step], step_rad, limit_rad), 0.0)

    # By our own reckoning, and as it was recorded: after a false command, or a lost level one, one of both is right.
    own: Float64 | None = None if steps.begins_late else LEVEL
    before = own
    wrong: list[tuple[int, str]] = []
    findings: list[Finding] = []
    compared = level = given = 0
    last = -1
    for step, stamp, command in _in_place(heard, steps):
        if step is None:
            level += 1
            if command.tobytes() != LEVEL.tobytes():
                says = f'of no step and not level: {command.tolist()} rad'
                findings.append(steps.near(says, topics.TILT_COMMAND, stamp))
            own = before = LEVEL
            continue
        for lost in range(last + 1, step):
            own = None if own is None or not scored[lost] else after(own, lost)
        last = step
        if not scored[step]:
            own = before = command
            continue
        given += 1
        wanted = [after(tilt_rad, step) for tilt_rad in (own, before) if tilt_rad is not None]
        compared += bool(wanted)
        if wanted and not any(want.tobytes() == command.tobytes() for want in wanted):
            wrong.append(
                (step, f'{ACTIONS[action[step]]} should give {wanted[0].tolist()}, got {command.tolist()} rad')
            )
            own, before = wanted[0], command
        else:
            own = before = command
    if not named and len(wrong) > (1 - MOST) * compared and len(wrong) > 2:
        said = f'{len(wrong)} of {compared} commands do not come of actions of {tilt.tilt_step_deg:g} deg within '
        said += f'{tilt.tilt_limit_deg:g} deg: name those of the run (--tilt-step-deg, --tilt-limit-deg)'
        return Check('tilt', findings=tuple(findings), unchecked=said)
    findings += [steps.at(says, topics.TILT_COMMAND, step) for step, says in wrong]
    by = f'{tilt.tilt_step_deg:g} deg within {tilt.tilt_limit_deg:g} deg'
    right = compared - len(wrong)
    says = f'{right} of {len(steps)} commands are those of the actions, {by}; {level} level ones between them'
    late = given - compared
    return Check('tilt', says, tuple(findings), f'{late} with no command before' if late else '')


def _in_place(heard: Heard, steps: Steps) -> Iterator[tuple[int | None, int, Float64]]:
    """Step (None between steps), stamp and command; those of steps in the order of steps, each stamp once."""
    series = heard.series[topics.TILT_COMMAND]
    step_of = {stamp: step for step, stamp in enumerate(steps.stamp_ns.tolist())}
    first = set(series.first_of_each().values())
    slots = [at for at, stamp in enumerate(series.stamps) if stamp in step_of and at in first]
    ordered = iter(sorted(slots, key=lambda at: series.stamps[at]))
    own = set(slots)
    for at, stamp in enumerate(series.stamps):
        if at in own:
            there = next(ordered)
            yield step_of[series.stamps[there]], series.stamps[there], series.values[there]
        elif stamp not in step_of:
            yield None, stamp, series.values[at]
