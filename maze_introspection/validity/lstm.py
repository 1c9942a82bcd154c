"""A bare LSTM layer with a linear readout, run step by step in float32 into a `Recording`: what a laboratory needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.recording import Recording
from maze_policy.policy import CANDIDATE, FORGET, INPUT, OUTPUT

Float32 = npt.NDArray[np.float32]

STEP_NS = 33_333_333
APART_NS = 3_600_000_000_000  # one episode and the next are an hour apart


@dataclass(frozen=True)
class Lstm:
    """Weights of n_l channels and m inputs; rows in blocks of n_l: input gate, forget gate, candidate, output gate.

    Attributes:
        weight_in: shape (4 n_l, m).
        weight_back: from hidden one step earlier, shape (4 n_l, n_l).
        bias: shape (4 n_l,).
        readout: W_a, shape (n_a, n_l).
    """

    weight_in: Float32
    weight_back: Float32
    bias: Float32
    readout: Float32

    def __post_init__(self) -> None:
        n_l = self.readout.shape[-1]
        want = {'weight_in': (4 * n_l, self.weight_in.shape[-1]), 'weight_back': (4 * n_l, n_l), 'bias': (4 * n_l,)}
        for name, shape in want.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f'want {name} of shape {shape}, got {getattr(self, name).shape}')

    @property
    def channels(self) -> int:
        """n_l."""
        return int(self.readout.shape[1])


def play(lstm: Lstm, episodes: Sequence[npt.NDArray[np.floating[Any]]], source: str = '') -> Recording:
    """Run the LSTM over each episode's inputs, shape (T, m), from empty memory (Hochreiter and Schmidhuber 1997).

    There is no ball and no maze; the action is the first index of the highest score, as in the policy.
    """
    n_l, steps = lstm.channels, sum(map(len, episodes))
    gates = np.empty((steps, 4, n_l), np.float32)
    hidden, cell = np.empty((2, steps, n_l), np.float32)
    t = 0
    for inputs in episodes:
        drives = inputs.astype(np.float32) @ lstm.weight_in.T + lstm.bias
        h, c = np.zeros((2, n_l), np.float32)
        for drive in drives:
            drive += lstm.weight_back @ h
            gate = (0.5 + 0.5 * np.tanh(0.5 * drive)).reshape(4, n_l)  # the logistic function, which cannot overflow
            gate[CANDIDATE] = np.tanh(drive[CANDIDATE * n_l : (CANDIDATE + 1) * n_l])
            c = gate[FORGET] * c + gate[INPUT] * gate[CANDIDATE]
            h = gate[OUTPUT] * np.tanh(c)
            gates[t], hidden[t], cell[t] = gate, h, c
            t += 1
    episode = np.repeat(np.arange(len(episodes)), [len(inputs) for inputs in episodes])
    within = np.concatenate([np.arange(len(inputs)) for inputs in episodes])
    readout = np.concatenate([lstm.readout, np.zeros((len(lstm.readout), 1), np.float32)], axis=1)
    return Recording(
        stamp_ns=1 + episode * APART_NS + within * STEP_NS,
        gates=gates,
        hidden=hidden,
        cell=cell,
        scores=(hidden.astype(np.float64) @ lstm.readout.T.astype(np.float64)).astype(np.float32),
        readout=readout,
        episode=episode,
        episode_ids=tuple(f'episode-{index}' for index in range(len(episodes))),
        tilt_rad=np.full((steps, 2), np.nan),
        ball_m=np.full((steps, 2), np.nan),
        source=source,
    )
