"""One LSTM step in, its contributions and preceding offsets out: what the introspection node computes live.

The replay (`analysis.analyze`) calls the same functions on whole recordings and gets the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maze_introspection.config import IntrospectionConfig
from maze_introspection.contribution import contribution, salient
from maze_introspection.offset import OFFSET, OffsetTracker
from maze_introspection.recurrence import CONTINUES, continuity
from maze_policy.policy import GATE_NAMES, choose

Float32 = npt.NDArray[np.float32]

# A row of `OFFSET` with the gate it is of: the gate's row in `policy/lstm_gates` (0 input, 1 forget, 3 output).
GATED_OFFSET = np.dtype([('gate', np.int32), *((name, OFFSET[name]) for name in OFFSET.names or ())])
GATES = tuple(GATE_NAMES)
SCORE_TOLERANCE = 1e-4  # float32 rounding of a sum over thousands of channels stays below


class Insight(NamedTuple):
    """What one step tells.

    Attributes:
        action: the chosen action.
        share: contribution of every channel to its score, shape (n_l,).
        defined: False where no channel pulled towards the action; the share is then zero.
        salient: rows (channel, contribution, action) of the salient channels in the order of channels, shape (k, 3).
        offsets: preceding offsets of this step (per interval), dtype `GATED_OFFSET`, sorted by (gate, channel); t and
            t0 count from the step at which memory last did not continue.
        continuity: how the step relates to the one before, see `recurrence`.
        begins: whether memory or clock did not continue; then no offset spans what lies before.
    """

    action: int
    share: Float32
    defined: bool
    salient: Float32
    offsets: npt.NDArray[np.void]
    continuity: int
    begins: bool


class Introspection:
    """Contributions and preceding offsets of a policy, step by step.

    Needs the readout once (`set_readout`), then each step's matrices in the order in which the policy took them. Finds
    memory resets, missing steps and clock jumps by itself.
    """

    def __init__(self, config: IntrospectionConfig) -> None:
        self._config = config
        self._weight: Float32 = np.empty((0, 0), dtype=np.float32)
        self._bias: Float32 = np.empty(0, dtype=np.float32)
        self._tracker = OffsetTracker(0)
        self._cell: Float32 | None = None
        self._stamp_ns: int | None = None

    def set_readout(self, readout: Float32) -> None:
        """Take [W_a | b], shape (n_a, n_l + 1); a different number of channels starts anew.

        Raises:
            ValueError: if the shape is wrong or a value is not finite.
        """
        readout = np.asarray(readout, dtype=np.float32)
        if readout.ndim != 2 or readout.shape[0] < 1 or readout.shape[1] < 2:
            raise ValueError(f'want a readout (n_a, n_l + 1), got {readout.shape}')
        if not np.isfinite(readout).all():
            raise ValueError('want a finite readout, got a NaN or infinity')
        changed = readout.shape[1] != self._weight.shape[1] + 1
        self._weight, self._bias = np.ascontiguousarray(readout[:, :-1]), readout[:, -1]
        if changed:
            self._cell = None
            self._begin_runs()

    def set_config(self, config: IntrospectionConfig) -> None:
        """Explain with these parameters from the next step on; runs open at it are censored, as at a first step."""
        self._config = config
        self._begin_runs()

    def _begin_runs(self) -> None:
        # The three gates side by side, as if they were channels of one.
        channels = len(GATES) * self._weight.shape[1]
        self._tracker = OffsetTracker(channels, self._config.theta_g, self._config.theta_c)

    def step(
        self, gates: Float32, hidden: Float32, cell: Float32, scores: Float32, stamp_ns: int | None = None
    ) -> Insight:
        """Look into one step.

        Args:
            gates: input, forget, candidate and output gate after their nonlinearities, shape (4, n_l).
            hidden: h_t, shape (n_l,).
            cell: c_t, shape (n_l,).
            scores: action scores as the policy had them, shape (n_a,); the action is their first maximum.
            stamp_ns: stamp of the camera frame; with it a clock jump ends every run, as it does in the replay.

        Raises:
            ValueError: if there is no readout yet, a shape does not fit it, or a value is not finite; the step then is
                as good as missing, and the next one will show the gap.
        """
        actions, channels = self._weight.shape
        if not channels:
            raise ValueError('want a readout before the first step, got none')
        want = {'gates': (4, channels), 'hidden': (channels,), 'cell': (channels,), 'scores': (actions,)}
        for (name, shape), values in zip(want.items(), (gates, hidden, cell, scores)):
            if values.shape != shape:
                raise ValueError(f'want {name} {shape} to match the readout, got {values.shape}')
            if not np.isfinite(values).all():
                raise ValueError(f'want finite {name}, got a NaN or infinity')
        action = choose(scores)
        c = contribution(hidden[None], self._weight, action=[action], bias=self._bias)

        check_score(c.score, scores.max(keepdims=True))
        tolerance = self._config.recurrence_tolerance
        relation = int(continuity(gates[None], hidden[None], cell[None], tolerance, first_cell=self._cell)[0])
        begins = relation != CONTINUES or self._jumped(stamp_ns)
        if begins:
            self._tracker.reset()
        self._cell, self._stamp_ns = cell.copy(), stamp_ns
        found = self._tracker.step(gates[GATES, :].ravel(), np.concatenate([c.share[0]] * len(GATES)))

        top = np.flatnonzero(salient(c.share, self._config.fraction)[0])
        rows = np.empty((len(top), 3), dtype=np.float32)
        rows[:, 0], rows[:, 1], rows[:, 2] = top, c.share[0, top], action
        return Insight(action, c.share[0], bool(c.defined[0]), rows, _by_gate(found, channels), relation, begins)

    def _jumped(self, stamp_ns: int | None) -> bool:
        if stamp_ns is None or self._stamp_ns is None:
            return False
        return bool(clock_jumped(stamp_ns - self._stamp_ns, self._config.clock_jump_s))


def check_score(score: npt.NDArray[np.floating[Any]], said: Float32) -> None:
    """Refuse a readout that is not this policy's: with it the chosen score would be another than the policy had.

    Raises:
        ValueError: if W_a h + b and the policy's own best scores, both of shape (T,), differ beyond rounding.
    """
    wrong = np.abs(score - said) > SCORE_TOLERANCE * (1 + np.abs(said))
    if wrong.any():
        step = int(np.argmax(wrong))
        raise ValueError(
            f'the readout is not the one of this policy: want its score {said[step]:.6g}, got {score[step]:.6g} from '
            f'hidden and readout (step {step} and {int(wrong.sum()) - 1} more)'
        )


def clock_jumped(passed_ns: npt.NDArray[np.int64] | int, clock_jump_s: float) -> Any:
    """Whether the clock went back, stood still, or leapt ahead by more than `clock_jump_s` between two steps."""
    return (passed_ns <= 0) | (passed_ns > clock_jump_s * 1e9)


def gated(offsets: npt.NDArray[np.void], gate: npt.ArrayLike) -> npt.NDArray[np.void]:
    """Rows of dtype `OFFSET` as `GATED_OFFSET`; `gate` is one for all or one each."""
    rows = np.empty(len(offsets), dtype=GATED_OFFSET)
    for name in OFFSET.names or ():
        rows[name] = offsets[name]
    rows['gate'] = gate
    return rows


def _by_gate(offsets: npt.NDArray[np.void], channels: int) -> npt.NDArray[np.void]:
    """Offsets of the gates side by side, each as its own channel and gate."""
    gate, channel = np.divmod(offsets['channel'], channels)
    rows = gated(offsets, np.take(GATES, gate))
    rows['channel'] = channel
    return rows
