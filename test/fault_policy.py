"""A policy node whose policy is known by heart: `python fault_policy.py --ros-args ...`, as `policy_node` otherwise.

It tilts towards +x as far as it may; its cell counts the steps of the episode in `STEP`s; a white picture makes it
hang.
"""

import functools
import sys
import time

import numpy as np

from maze_policy.base_node import run
from maze_policy.policy import PolicyStep
from maze_policy.policy_node import PolicyNode

STEP = np.float32(0.125)  # a sum of these is exact
HANGS_S = 5.0
WHITE = 250


class Leaning:
    """An LSTM of four channels whose gates only depend on the step; `Introspection` finds offsets in it."""

    n_l, n_a = 4, 5

    @property
    def readout(self):
        weights = np.zeros((self.n_a, self.n_l + 1), np.float32)
        weights[0, :-1] = 1.0
        return weights

    def initial_memory(self):
        return np.zeros(self.n_l, np.float32), 0

    def step(self, observation, memory):
        if observation.mean() > WHITE:
            time.sleep(HANGS_S)
        cell, steps = memory
        gates = np.ones((4, self.n_l), np.float32)
        gates[0] = 0.25 if steps % 20 < 5 else 1.0  # so the input gate opens at the 5th step of 20,
        gates[3, 0] = 0.001 if steps % 20 < 12 else 1.0  # and channel 0 contributes from the 12th on
        gates[2] = STEP / gates[0]
        cell = cell + gates[0] * gates[2]
        hidden = gates[3] * np.tanh(cell)
        return PolicyStep(self.readout[:, :-1] @ hidden, gates, hidden, cell, (cell, steps + 1))


if __name__ == '__main__':
    sys.exit(run(functools.partial(PolicyNode, Leaning())))
