"""Memory truncation: how many earlier steps a step's action and contributions needed.

Truncated at k, a step t is computed from the observations t - k ... t alone: before step t - k the memory is replaced,
by zeros or by that of another episode. k = 0 leaves no memory, k = t leaves all of it. The memory that something
*needed* is the smallest k such that it is what it was for this k *and every larger one* (ours): where one k agrees by
chance (there are five actions) and a larger one does not, it has not been shown that the memory was not needed. It is
found by trying every k, as far back as the episode goes, so it is never larger than the elapsed steps t.

A run from every start s = t - k at once, one step further at a time: the state that began at s and is a steps old is
truncation k = a of step s + a. So an episode of T steps takes T batched steps of at most T rows, whatever the policy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from maze_policy.network import CnnLstm, Memory

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

ROWS = 4096  # starts run forward together: 2 MB for each matrix of 128 channels


class Recorded(NamedTuple):
    """One episode of T steps as it was recorded, from a memory of zeros on.

    Attributes:
        features: of the observations, shape (T, features).
        hidden: shape (T, n_l).
        cell: shape (T, n_l).
        action: the action taken, shape (T,).
        share: contributions to it, shape (T, n_l), 0 to 1.
    """

    features: Tensor
    hidden: Tensor
    cell: Tensor
    action: Tensor
    share: Tensor


class Needed(NamedTuple):
    """What the steps of an episode needed.

    Attributes:
        action: steps of memory that each step's action needed, shape (T,), 0 to t.
        share: steps of memory that each channel's contribution needed, for each tolerance, shape (m, T, n_l), 0 to t.
        agrees: of the steps with more than k before them, how many have the same action at truncation k, shape (T,).
        tried: how many such steps there are, shape (T,).
        rounding: largest difference of a share between truncation k = t, batched, and the recording.
    """

    action: Int32
    share: Int32
    agrees: Int64
    tried: Int64
    rounding: float


@torch.inference_mode()
def needed_memory(
    network: CnnLstm,
    recorded: Recorded,
    tolerances: tuple[float, ...],
    *,
    settled: float = 0.0,
    others: Memory | None = None,
) -> Needed:
    """Try every truncation of every step of an episode.

    Args:
        network: the policy that was recorded.
        recorded: the episode.
        tolerances: a contribution is what it was while it differs by no more than this part of itself.
        settled: a run whose hidden and cell differ from the recorded ones by no more than this (relative to 1 + |c|) is
            not continued: what it would do is what was recorded. 0 continues every run to the end of the episode.
        others: memory in place of zeros for each start, 2 x (T, n_l); that of the first step is zeros in any case.
    """
    steps, channels = recorded.hidden.shape
    action = np.zeros(steps, dtype=np.int32)
    share = np.zeros((len(tolerances), steps, channels), dtype=np.int32)
    agrees = np.zeros(steps, dtype=np.int64)
    readout = torch.from_numpy(network.readout[:, :-1].copy())
    limits = [tolerance * recorded.share for tolerance in tolerances]
    rounding = 0.0
    for first in range(0, steps, ROWS):
        start = torch.arange(first, min(first + ROWS, steps))
        memory = _emptied(recorded, start, others)
        age = 0
        while start.numel():
            t = start + age
            scores, hidden, memory = network.remember(recorded.features[t][None], memory)
            at = t.numpy()
            same = scores[0].argmax(dim=1) == recorded.action[t]
            action[at[~same.numpy()]] = np.maximum(action[at[~same.numpy()]], age + 1)
            agrees[age] += int((same & (start > 0)).sum())
            off = (shares(hidden[0], readout, recorded.action[t]) - recorded.share[t]).abs_()
            for which, limit in enumerate(limits):
                row, channel = (index.numpy() for index in torch.nonzero(off > limit[t], as_tuple=True))
                share[which, at[row], channel] = np.maximum(share[which, at[row], channel], age + 1)
            if not int(start[0]):
                rounding = max(rounding, float(off[0].max()))
            goes_on = t + 1 < steps
            if settled:
                goes_on &= (start == 0) | ~_settled(memory, recorded.hidden[t], recorded.cell[t], settled)
                for left in (steps - t[~goes_on] - 1).tolist():  # as good as recorded from here on
                    agrees[age + 1 : age + 1 + left] += 1
            start, memory = start[goes_on], (memory[0][goes_on], memory[1][goes_on])
            age += 1
    # Truncation k = t of step t leaves all of its memory, and at this k rounding alone could make a difference.
    reach = np.arange(steps, dtype=np.int32)
    np.minimum(action, reach, out=action)
    np.minimum(share, reach[:, None], out=share)
    return Needed(action, share, agrees, np.arange(steps - 1, -1, -1), rounding)


def shares(hidden: Tensor, readout: Tensor, action: Tensor) -> Tensor:
    """Contributions to the given actions, as `contribution.contribution` has them, in float32; shape (B, n_l)."""
    pull = (readout[action] * hidden).clamp_(min=0)
    total = pull.sum(dim=1, keepdim=True)
    return pull / torch.where(total > 0, total, 1.0)


def _emptied(recorded: Recorded, start: Tensor, others: Memory | None) -> Memory:
    """The memory that the runs begin with."""
    if others is None:
        return torch.zeros(len(start), recorded.hidden.shape[1]), torch.zeros(len(start), recorded.hidden.shape[1])
    hidden, cell = others[0][start], others[1][start]
    hidden[start == 0], cell[start == 0] = 0.0, 0.0
    return hidden, cell


def _settled(memory: Memory, hidden: Tensor, cell: Tensor, limit: float) -> Tensor:
    """Which rows have the memory that was recorded."""
    apart = torch.maximum((memory[0] - hidden).abs(), (memory[1] - cell).abs() / (1 + cell.abs()))
    return apart.amax(dim=1) <= limit
