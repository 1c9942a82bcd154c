"""The CNN-LSTM policy: convolutions, one LSTM layer, one linear readout without bias (score = W_a h)."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from maze_policy.config import OBSERVATION_PX, NetworkConfig
from maze_policy.policy import Float32, PolicyStep

Memory = tuple[Tensor, Tensor]  # hidden and cell, each (..., n_l)


class Sequence(NamedTuple):
    """Scores (T, B, n_a), hidden (T, B, n_l) and the memory after the last step, 2 x (B, n_l)."""

    scores: Tensor
    hidden: Tensor
    memory: Memory


class CnnLstm(nn.Module):
    """Our own recurrent policy (`maze_policy.policy.RecurrentPolicy`), after Lee et al. 2019, section 3.

    `step` plays one image with every gate visible; `sequence` runs many boards over many steps, for training. Both
    use the weights of the same `torch.nn.LSTM` and agree with it within 1e-6.
    """

    def __init__(self, config: NetworkConfig = NetworkConfig()) -> None:  # noqa: B008 (frozen)
        super().__init__()
        self.config = config
        self.n_l, self.n_a = config.n_l, config.n_a
        if len(config.conv_channels) != 3:
            raise ValueError(f'conv_channels wants 3 numbers, got {config.conv_channels}')
        first, second, third = config.conv_channels
        self.eye = nn.Sequential(
            nn.Conv2d(1, first, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(first, second, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(second, third, 3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(third * 7 * 7, config.features),
            nn.ReLU(),
        )
        self.lstm = nn.LSTM(config.features, config.n_l)
        self.actor = nn.Linear(config.n_l, config.n_a, bias=False)
        with torch.no_grad():  # remember at first: the gradient then reaches back through many steps
            bias_back = self.lstm.all_weights[0][3]
            bias_back[config.n_l : 2 * config.n_l] = 1.0

    @property
    def readout(self) -> Float32:
        """[W_a | 0], shape (n_a, n_l + 1)."""
        weight = self.actor.weight.detach().numpy()
        return np.concatenate([weight, np.zeros((self.n_a, 1), np.float32)], axis=1)

    def initial_memory(self) -> Memory:
        """Hidden and cell of zeros, each of shape (n_l,)."""
        return torch.zeros(self.n_l), torch.zeros(self.n_l)

    @torch.inference_mode()
    def step(self, observation: npt.NDArray[np.uint8], memory: Memory) -> PolicyStep:
        """One step on an observation of shape (84, 84), uint8.

        Raises:
            ValueError: if the observation is something else.
        """
        if observation.shape != (OBSERVATION_PX, OBSERVATION_PX) or observation.dtype != np.uint8:
            raise ValueError(
                f'want an observation of shape {(OBSERVATION_PX, OBSERVATION_PX)}, uint8, '
                f'got {observation.shape}, {observation.dtype}'
            )
        hidden, cell = memory
        features = self.eye(normalised(torch.from_numpy(observation)[None, None]))[0]
        weight_in, weight_back, bias_in, bias_back = self.lstm.all_weights[0]
        drive = torch.addmv(bias_in, weight_in, features)
        drive += torch.addmv(bias_back, weight_back, hidden)
        gates = drive.view(4, self.n_l)
        candidate = gates[2].tanh()
        gates = gates.sigmoid_()
        gates[2] = candidate
        cell = gates[1] * cell + gates[0] * candidate
        hidden = gates[3] * cell.tanh()
        scores = self.actor.weight.mv(hidden)
        return PolicyStep(scores.numpy(), gates.numpy(), hidden.numpy(), cell.numpy(), (hidden, cell))

    def sequence(self, observations: Tensor, memory: Memory | None = None) -> Sequence:
        """T steps of B boards: observations (T, B, 84, 84), uint8; memory 2 x (B, n_l), zeros without."""
        return self.remember(self.look(observations), memory)

    def look(self, observations: Tensor) -> Tensor:
        """The first half of `sequence`: features (T, B, features)."""
        steps, boards = observations.shape[:2]
        images = observations.reshape(steps * boards, 1, OBSERVATION_PX, OBSERVATION_PX)
        features: Tensor = self.eye(normalised(images))
        return features.view(steps, boards, -1)

    def remember(self, features: Tensor, memory: Memory | None = None) -> Sequence:
        """The second half of `sequence`."""
        before = None if memory is None else (memory[0][None], memory[1][None])
        hidden, after = self.lstm(features, before)
        return Sequence(functional.linear(hidden, self.actor.weight), hidden, (after[0][0], after[1][0]))

    def gates(self, features: Tensor, memory: Memory) -> Tensor:
        """Input, forget, candidate and output of B boards at one step, shape (4, B, n_l), from features (B, features).

        With these c = f c + i g and h = o tanh(c) are the memory after the step; agrees with `remember` within 1e-6.
        """
        weight_in, weight_back, bias_in, bias_back = self.lstm.all_weights[0]
        drive = functional.linear(features, weight_in, bias_in) + functional.linear(memory[0], weight_back, bias_back)
        gates = drive.view(-1, 4, self.n_l).movedim(1, 0)
        return torch.stack([gates[0].sigmoid(), gates[1].sigmoid(), gates[2].tanh(), gates[3].sigmoid()])


def build() -> str:
    """What rounds here: the same build gives the same bits, another one may not."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    processor = names[0] if names else platform.processor() or platform.machine()
    return f'torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {processor}'


def normalised(images: Tensor) -> Tensor:
    """Grey levels to -1 .. 1."""
    return images.to(torch.float32, copy=True).mul_(1 / 127.5).sub_(1.0)
