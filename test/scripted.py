"""A recurrent policy that does as it is told, behind the same protocol as the real one."""

import numpy as np

from maze_policy.policy import PolicyStep


class Scripted:
    """Chooses `action`; its memory counts the steps of the episode; remembers what it was shown."""

    n_l, n_a = 3, 5

    def __init__(self, action=0):
        self.action = action
        self.seen = []  # (mean of the observation, step in the episode), without the warm-up
        self.fault = None
        self.warm = False

    @property
    def readout(self):
        return np.arange(self.n_a * (self.n_l + 1), dtype=np.float32).reshape(self.n_a, self.n_l + 1)

    def initial_memory(self):
        return 0

    def step(self, observation, memory):
        if not self.warm:
            self.warm = True
        else:
            self.seen.append((int(observation.mean()), memory))
        if isinstance(self.fault, Exception):
            raise self.fault
        scores = np.zeros(self.n_a, np.float32)
        scores[self.action] = 1.0
        if self.fault == 'nan':
            scores[2] = np.nan
        gates = np.full((4, self.n_l), 0.5, np.float32)
        return PolicyStep(scores, gates, gates[0] + memory, gates[1], memory + 1)
