"""What a recurrent policy must offer to be played and looked into; our CNN-LSTM is one such policy."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

# Rows of a step's gates, in torch.nn.LSTM's order: i, f, g, o. The candidate (g) is not a gate.
INPUT, FORGET, CANDIDATE, OUTPUT = range(4)
GATE_NAMES = {INPUT: 'input', FORGET: 'forget', OUTPUT: 'output'}

Float32 = npt.NDArray[np.float32]


class PolicyStep(NamedTuple):
    """One step of a recurrent policy.

    Attributes:
        scores: W_a h (+ b), shape (n_a,).
        gates: input, forget, candidate and output after their nonlinearities, shape (4, n_l).
        hidden: h_t, shape (n_l,), in (-1, 1).
        cell: c_t, shape (n_l,).
        memory: what the next step wants; opaque.
    """

    scores: Float32
    gates: Float32
    hidden: Float32
    cell: Float32
    memory: Any


class RecurrentPolicy(Protocol):
    """A policy whose memory is an LSTM layer read out by one linear layer."""

    n_l: int
    n_a: int

    @property
    def readout(self) -> Float32:
        """[W_a | b], shape (n_a, n_l + 1); b is zero where the readout has no bias."""

    def initial_memory(self) -> Any:
        """The memory before the first step of an episode: zeros."""

    def step(self, observation: npt.NDArray[np.uint8], memory: Any) -> PolicyStep:
        """One step on an observation of shape (84, 84), uint8."""


def choose(scores: npt.NDArray[np.floating]) -> int:
    """The action: first index of the highest score.

    Raises:
        FloatingPointError: if a score is not finite (argmax would return the NaN's index: a tilt).
    """
    if not np.isfinite(scores).all():
        raise FloatingPointError(f'want finite scores, got {np.asarray(scores).tolist()}')
    return int(np.argmax(scores))
