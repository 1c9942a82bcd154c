"""The network played once more on what it saw: gates, state and scores must come out as they were recorded.

Each step starts from the memory that the recording has, as far as that is proven; so one false number stays one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from maze_introspection.verify.frames import Frame
from maze_introspection.verify.recur import MOST
from maze_introspection.verify.steps import Bool, Steps
from maze_introspection.verify.verdict import Check, Finding, seconds
from maze_policy import topics
from maze_policy.checkpoint import load_policy, provenance
from maze_policy.network import CnnLstm, Memory, build
from maze_policy.policy import PolicyStep

Float32 = npt.NDArray[np.float32]
PARTS = (topics.LSTM_GATES, topics.LSTM_STATE, topics.ACTION_SCORES)


class Played(NamedTuple):
    """A checkpoint that can be played here.

    Attributes:
        policy: the network.
        name: of the checkpoint.
        sha256: of its weights.
        build: what rounds here: torch and the processor's instructions.
    """

    policy: CnnLstm
    name: str
    sha256: str
    build: str


def load(checkpoint: str) -> Played:
    """A checkpoint, by name or file; torch computes with one thread from now on, as the node that played does.

    Raises:
        ValueError: if it cannot be used.
    """
    policy = load_policy(checkpoint, threads=1)
    of = provenance(checkpoint)
    return Played(policy, of['name'], of['sha256'], build())


class Recomputation:
    """Plays the steps in their order and keeps how far each is from what was recorded.

    Args:
        played: the checkpoint.
        steps: what was recorded.
        start: steps before which the memory is zeros, shape (T,).
    """

    def __init__(self, played: Played, steps: Steps, start: Bool) -> None:
        self._policy, self._build = played.policy, played.build
        self._steps, self._start = steps, start
        self._memory: Memory | None = None
        count = len(steps)
        self._compared = np.zeros(count, dtype=np.bool_)
        self._same = np.ones((count, len(PARTS)), dtype=np.bool_)  # to the last bit
        self._off = np.zeros((count, len(PARTS)), dtype=np.float64)  # largest deviation
        self._where = np.zeros((count, len(PARTS)), dtype=np.int64)  # the element in which
        self._present = np.stack([steps.has[topic] for topic in PARTS], axis=1)

    def take(self, step: int, frame: Frame) -> None:
        """Play one step."""
        steps = self._steps
        memory = self._policy.initial_memory() if self._start[step] else self._memory
        observation = frame.get(topics.OBSERVATION)
        said = (steps.gates[step], np.stack([steps.hidden[step], steps.cell[step]]), steps.scores[step])
        recorded = self._recorded(step)
        self._memory = recorded
        if memory is None or observation is None:
            return
        try:
            now = self._policy.step(observation, memory)
        except ValueError:  # of another size: the view, or its decoding, says so
            return
        for part, (want, got) in enumerate(zip(_parts(now), said)):
            if self._present[step, part]:
                self._compare(step, part, want, got)
        self._compared[step] = True
        # Where nothing fits, what the step began with is not what it was: the recording goes on from itself.
        if recorded is None or self._same[step][self._present[step]].any():
            self._memory = now.memory

    def _recorded(self, step: int) -> Memory | None:
        hidden, cell = self._steps.hidden[step], self._steps.cell[step]
        if not (np.isfinite(hidden).all() and np.isfinite(cell).all()):
            return None
        return torch.from_numpy(hidden.copy()), torch.from_numpy(cell.copy())

    def _compare(self, step: int, part: int, want: Float32, got: Float32) -> None:
        if want.shape != got.shape:
            self._same[step, part], self._off[step, part] = False, np.inf
        elif want.tobytes() != got.tobytes():
            with np.errstate(invalid='ignore'):  # a flipped bit may have made a NaN
                off = np.nan_to_num(np.abs(want.astype(np.float64) - got), nan=np.inf).ravel()
            self._same[step, part] = False
            self._where[step, part] = np.argmax(off)
            self._off[step, part] = off.max()

    def check(self, built: str | None, tolerance: float) -> Check:
        """What came out; `built` is what the recording says that it was computed with."""
        steps, compared = self._steps, self._compared
        if not compared.any():
            why = '' if topics.OBSERVATION in steps.has else f': no {topics.OBSERVATION.name} was recorded'
            return Check('network', unchecked=f'no step could be recomputed{why}')
        exact: Bool = np.asarray(self._same.all(axis=1))[compared]
        known = built is not None
        strict = built == self._build if known else bool(exact.mean() >= MOST)
        wrong: Bool = ~self._same if strict else ~(self._off <= tolerance)
        findings: list[Finding] = []
        for step in np.flatnonzero(compared & wrong.any(axis=1)).tolist():
            if wrong[step][self._present[step]].all():
                says = f'gates, state and scores do not come of it ({self._say(step, 0)}), or a step before is missing'
                findings.append(steps.at(says, topics.OBSERVATION, step))
                continue
            findings += [steps.at(self._say(step, part), PARTS[part], step) for part in np.flatnonzero(wrong[step])]
        many, left = int(compared.sum()), int((~compared).sum())
        says = f'gates, state and scores recomputed in {many} steps, {int(exact.sum())} to the last bit'
        if not exact.all():
            step, part = np.unravel_index(int(np.argmax(self._off)), self._off.shape)
            most = f'{PARTS[part].name} at step {step}, stamp {seconds(int(steps.stamp_ns[step]))}'
            says += f', largest deviation {self._off.max():.2g} in {most}'
        kind = ('this build' if strict else f'another: {built}') if known else 'unknown'
        says += f' (computed with {kind}; allowed: {"none" if strict else f"{tolerance:g}"})'
        return Check('network', says, tuple(findings), f'{left} steps' if left and not findings else '')

    def check_readout(self) -> Check:
        """The readout of the checkpoint, bit for bit."""
        said, want = self._steps.readout, self._policy.readout
        if said is None:
            return Check('readout', unchecked=f'no {topics.READOUT.name} to compare with the checkpoint')
        says, name = 'is that of the checkpoint, to the last bit', topics.READOUT.name
        if said.shape != want.shape:
            return Check(
                'readout', findings=(Finding(f'want {want.shape} as in the checkpoint, got {said.shape}', name),)
            )
        differ = np.argwhere(said.view(np.uint32) != np.ascontiguousarray(want).view(np.uint32))
        if not len(differ):
            return Check('readout', says)
        action, channel = (int(index) for index in differ[0])
        found = (
            f'{len(differ)} numbers are not those of the checkpoint, the first of action {action}, channel {channel}: '
        )
        found += f'want {float(want[action, channel])!r}, got {float(said[action, channel])!r}'
        return Check('readout', findings=(Finding(found, name),))

    def _say(self, step: int, part: int) -> str:
        size = self._steps.channels if part < 2 else self._steps.scores.shape[1]
        row, column = divmod(int(self._where[step, part]), size)
        return f'off by {self._off[step, part]:.2g} in row {row}, column {column}'


def _parts(step: PolicyStep) -> tuple[Float32, Float32, Float32]:
    return step.gates, np.stack([step.hidden, step.cell]), step.scores
