"""The arithmetic that binds a step to the one before it and its own parts to each other.

c_t = f c_(t-1) + i g, h_t = o tanh(c_t) and scores = W_a h_t + b (docs/definitions.md). A recording by a network that
rounds every product and sum to float32, as ours does, has c_t to the last bit; of another kind of arithmetic it has it
within a tolerance. The recording itself shows which: what nine of ten steps keep, the others must keep too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maze_introspection.introspection import SCORE_TOLERANCE
from maze_introspection.verify.steps import Bool, Float32, Steps
from maze_introspection.verify.verdict import Check, Finding
from maze_policy import topics
from maze_policy.policy import CANDIDATE, FORGET, GATE_NAMES, INPUT, OUTPUT
from maze_policy.topics import Topic

MOST = 0.9  # of the steps, that settle what the others must keep
TANH_ERROR = 2.0**-21  # relative: four units in the last place of tanh's float32
FLOAT32_ROUNDING = 2.0**-24
_STEPS = 1024
EITHER = f'{topics.LSTM_GATES.name} or {topics.LSTM_STATE.name}'


class _Wrong(NamedTuple):
    """How many channels of each step do not hold, and the first of them; both (T,)."""

    many: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]


class _Recurrence(NamedTuple):
    """Of each step, exactly and within the tolerance: from the step before, from an empty memory, and within itself."""

    after: tuple[_Wrong, _Wrong]
    fresh: tuple[_Wrong, _Wrong]
    within: tuple[_Wrong, _Wrong]
    worst: float  # largest error of c_t, relative, as far as it holds


def check_memory(steps: Steps, tolerance: float) -> tuple[Check, Check, list[Finding], Bool]:
    """The recurrence of the cell, the hidden state, what is found of resets, and the steps with an empty memory."""
    recurrence = _recurrence(steps, tolerance)
    there: Bool = np.asarray(np.isfinite(steps.cell).all(axis=1))
    known: Bool = there & np.isfinite(steps.gates).all(axis=(1, 2))
    linked = known.copy()
    linked[1:] &= there[:-1]
    linked[0] = False
    empty = known.sum() > 1 and _mostly(recurrence.fresh[1].many[known] == 0)  # a policy without a memory
    start = steps.begins | empty
    held = [np.where(start, fresh.many, after.many) == 0 for fresh, after in zip(recurrence.fresh, recurrence.after)]
    judged = np.where(start, known, linked)
    exact = bool(_mostly(held[0][judged]))
    level = 0 if exact else 1
    after, fresh = recurrence.after[level], recurrence.fresh[level]
    whole = known & np.isfinite(steps.hidden).all(axis=1)
    sharp = bool(_mostly(recurrence.within[0].many[whole] == 0))
    within = recurrence.within[0 if sharp else 1]

    found, resets, bad_state, empty_before = [], [], -2, start.copy()
    for step in np.flatnonzero(judged & ~held[level] | known & ~judged & (fresh.many == 0)).tolist():
        if steps.begins[step] and linked[step] and after.many[step] == 0:
            resets.append(steps.at('an episode is said to begin here, but the memory goes on', topics.EPISODE, step))
            empty_before[step] = False
        elif not start[step] and fresh.many[step] == 0:
            resets.append(steps.at('the memory is reset here, but no episode is said to begin', topics.EPISODE, step))
            empty_before[step] = True
        elif judged[step] and bad_state != step - 1:
            wrong = fresh if start[step] else after
            topic, said = _blame(steps, step, wrong, after, within, linked)
            bad_state = step if topic == topics.LSTM_STATE.name else -2
            found.append(steps.at(said, topic, step))
    odd = np.flatnonzero(whole & (within.many > 0))
    already = {finding.step for finding in found}
    unfit = [
        steps.at(f'hidden is not o tanh(c) in {_channels(steps, within, step)}', EITHER, step)
        for step in odd.tolist()
        if step not in already
    ]
    how = 'to the last bit' if exact else f'within {tolerance:g} (largest error {recurrence.worst:.2g})'
    right, late = int(judged.sum()) - len(found), int((known & ~judged).sum())
    says = f'{right} of {len(steps)} steps follow from the one before, c = f c + i g {how}'
    memory = Check('memory', says, tuple(found), f'{late} steps with nothing before them' if late else '')
    how = 'within 4 units in the last place' if sharp else f'within {tolerance:g}'
    says = f'h = o tanh(c) in {int(whole.sum()) - len(unfit)} of {len(steps)} steps, {how}'
    return memory, Check('hidden', says, tuple(unfit)), resets, empty_before


def check_range(steps: Steps) -> Check:
    """Finite numbers, gates 0 to 1, candidate, hidden and shares where they can be."""
    findings = []
    parts: list[tuple[Topic, str, npt.NDArray[np.floating[Any]], float, float]] = [
        *((topics.LSTM_GATES, f'{name} gate', steps.gates[:, gate], 0.0, 1.0) for gate, name in GATE_NAMES.items()),
        (topics.LSTM_GATES, 'candidate', steps.gates[:, CANDIDATE], -1.0, 1.0),
        (topics.LSTM_STATE, 'hidden', steps.hidden, -1.0, 1.0),
        (topics.LSTM_STATE, 'cell', steps.cell, -np.inf, np.inf),
        (topics.ACTION_SCORES, 'scores', steps.scores, -np.inf, np.inf),
        (topics.TILT_COMMAND, 'tilt', steps.tilt_rad, -np.inf, np.inf),
        (topics.BALL, 'position', steps.ball_m, -np.inf, np.inf),
    ]
    for topic, name, values, low, high in parts:
        if topic not in steps.has:
            continue
        flat = values.reshape(len(steps), -1)
        right = ((low <= flat) & (flat <= high) & np.isfinite(flat)).all(axis=1)
        for step in np.flatnonzero(~right & steps.has[topic]).tolist():
            value = next(v for v in flat[step].tolist() if not (low <= v <= high and np.isfinite(v)))
            findings.append(steps.at(f'want finite {name} from {low:g} to {high:g}, got {value!r}', topic, step))
    if steps.readout is not None and not np.isfinite(steps.readout).all():
        findings.append(Finding('want finite weights, got a NaN or infinity', topics.READOUT.name))
    return Check('range', 'gates 0 to 1, candidate and hidden -1 to 1, all finite', tuple(findings))


def check_scores(steps: Steps) -> Check:
    """scores = W_a h + b, within what any order of summing in float32 can leave."""
    if steps.readout is None or not np.isfinite(steps.readout).all():
        return Check('scores', unchecked=f'no {topics.READOUT.name} to compute them with')
    findings = []
    weight, bias = (part.astype(np.float64) for part in (steps.readout[:, :-1], steps.readout[:, -1]))
    whole = steps.whole
    for first in range(0, len(steps), _STEPS):
        rows = slice(first, first + _STEPS)
        hidden = np.where(whole[rows, None], steps.hidden[rows], 0).astype(np.float64)
        said = np.where(whole[rows, None], steps.scores[rows], bias)
        size = np.abs(hidden) @ np.abs(weight).T + np.abs(bias)
        allowed = np.minimum(
            (steps.channels + 2) * FLOAT32_ROUNDING * size + 1e-30, SCORE_TOLERANCE * (1 + np.abs(said))
        )
        error = np.abs(hidden @ weight.T + bias - said)
        for step in np.flatnonzero(whole[rows] & ~(error <= allowed).all(axis=1)).tolist():
            action = int(np.argmax(error[step] / allowed[step]))
            says = (
                f'score of action {action} is {said[step, action]:.9g}, W_a h + b is off by {error[step, action]:.2g}'
            )
            findings.append(steps.at(says, f'{topics.ACTION_SCORES.name} or {topics.LSTM_STATE.name}', first + step))
    right = int(whole.sum()) - len(findings)
    says = f'scores = W_a h + b in {right} of {len(steps)} steps, within the rounding of a float32 sum'
    return Check('scores', says, tuple(findings))


def _recurrence(steps: Steps, tolerance: float) -> _Recurrence:
    parts: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(12)]
    worst = 0.0
    before: Float32 = np.full((1, steps.channels), np.nan, np.float32)
    for first in range(0, len(steps), _STEPS):
        rows = slice(first, first + _STEPS)
        gate, c, h = steps.gates[rows], steps.cell[rows], steps.hidden[rows]
        previous = np.concatenate([before, c[:-1]])
        kept, added = gate[:, FORGET] * previous, gate[:, INPUT] * gate[:, CANDIDATE]
        with np.errstate(all='ignore'):
            size = np.abs(kept.astype(np.float64)) + np.abs(added.astype(np.float64)) + 1
            error = np.abs(kept.astype(np.float64) + added - c) / size
            alone = np.abs(added.astype(np.float64) - c) / (np.abs(added.astype(np.float64)) + 1)
            target = gate[:, OUTPUT].astype(np.float64) * np.tanh(c.astype(np.float64))
            apart = np.abs(target - h)
            fits = [
                kept + added == c,
                error <= tolerance,
                # an empty memory adds nothing: 0 f + i g
                added == c,
                alone <= tolerance,
                apart <= TANH_ERROR * np.abs(target) + 1e-40,
                apart <= tolerance,
            ]
            close = error[fits[1].all(axis=1)]
        worst = max(worst, float(close.max()) if close.size else 0.0)
        for place, fit in enumerate(fits):
            parts[2 * place].append((~fit).sum(axis=1))
            parts[2 * place + 1].append(np.argmax(~fit, axis=1))
        before = c[-1:]
    wrong = [_Wrong(*(np.concatenate(parts[2 * place + part]) for part in (0, 1))) for place in range(6)]
    return _Recurrence((wrong[0], wrong[1]), (wrong[2], wrong[3]), (wrong[4], wrong[5]), worst)


def _blame(steps: Steps, step: int, wrong: _Wrong, after: _Wrong, within: _Wrong, linked: Bool) -> tuple[str, str]:
    """Which message is the false one, as far as the step and the next can tell."""
    said = f'c is not f c + i g in {_channels(steps, wrong, step)}'
    most = wrong.many[step] > steps.channels / 2
    apart = within.many[step] > 0
    after_it = step + 1
    goes_on = after_it < len(steps) and linked[after_it] and not steps.begins[after_it]
    if goes_on and after.many[after_it] > 0 and within.many[after_it] == 0:  # sound in itself, but does not follow
        return topics.LSTM_STATE.name, f'{said}, nor does the next step follow from it'
    if most and not apart:
        return topics.LSTM_GATES.name, f'{said}: a step before it is missing, or these are the gates of another'
    if apart and not most:
        return topics.LSTM_STATE.name, f'{said}, and hidden is not o tanh(c) there'
    return (topics.LSTM_GATES.name if most else EITHER), said


def _channels(steps: Steps, wrong: _Wrong, step: int) -> str:
    count, first = int(wrong.many[step]), int(wrong.first[step])
    return f'channel {first}' if count == 1 else f'{count} of {steps.channels} channels, the first {first}'


def _mostly(held: Bool) -> bool:
    return bool(held.size) and float(held.mean()) >= MOST
