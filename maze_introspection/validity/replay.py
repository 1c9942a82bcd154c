"""Recorded episodes played once more from what the policy saw, and whether that gives the recording back, bit for bit.

An episode can be replayed where its memory provably began at zero, no step is missing, and every observation was
recorded. Replaying it with all of its memory is the computation that made it, so it must give the same bits on the same
build of torch and the same processor; another one may round otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from maze_introspection.analysis import Analysis, analyze
from maze_introspection.bag import read_images, read_recording
from maze_introspection.config import IntrospectionConfig
from maze_introspection.recurrence import CONTINUES, RESET
from maze_policy.network import CnnLstm
from maze_policy.policy import RecurrentPolicy
from maze_policy.topics import OBSERVATION

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
LOOKED_AT = 256  # observations seen by the convolutions at once: 20 MB of activations


@dataclass(frozen=True)
class Stretch:
    """Steps of a bag without a gap, from a memory of zeros on, with what the policy saw.

    Attributes:
        analysis: of the whole bag.
        first: its first step.
        end: the step after its last.
        observations: shape (end - first, 84, 84).
    """

    analysis: Analysis
    first: int
    end: int
    observations: UInt8

    def of(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Its part of an array over the steps of the bag."""
        return values[self.first : self.end]


def stretches(bag: Path, config: IntrospectionConfig, namespace: str | None = None) -> tuple[list[Stretch], int]:
    """What of a bag can be replayed, and how many of its steps cannot.

    Raises:
        BagError: if it cannot be read.
    """
    analysis = analyze(read_recording(bag, namespace), config)
    recording = analysis.recording
    images = read_images(bag, OBSERVATION, recording.stamp_ns.tolist(), namespace)
    seen = np.array([stamp in images for stamp in recording.stamp_ns.tolist()])
    breaks = np.flatnonzero(analysis.continuity != CONTINUES)
    found = []
    for first, end in zip(breaks, [*breaks[1:], recording.steps]):
        if analysis.continuity[first] == RESET and seen[first:end].all():
            observations = np.stack([images[stamp] for stamp in recording.stamp_ns[first:end].tolist()])
            found.append(Stretch(analysis, int(first), int(end), observations))
    return found, recording.steps - sum(stretch.end - stretch.first for stretch in found)


def same_policy(policy: RecurrentPolicy, analysis: Analysis) -> None:
    """Refuse a recording of another policy.

    Raises:
        ValueError: if the readouts differ.
    """
    recording = analysis.recording
    if not np.array_equal(policy.readout, recording.readout):
        raise ValueError(
            f'{recording.source} was played by another policy (another readout); name it with --checkpoint'
        )


def replay(policy: RecurrentPolicy, observations: UInt8) -> Iterator[tuple[Float32, Float32, Float32, Float32]]:
    """Gates, hidden, cell and scores of each step, played from a memory of zeros as a node or a trial plays it."""
    memory = policy.initial_memory()
    for observation in observations:
        step = policy.step(observation, memory)
        memory = step.memory
        yield step.gates, step.hidden, step.cell, step.scores


def deviation(policy: RecurrentPolicy, stretch: Stretch) -> float:
    """Largest difference between the replay with all memory and the recording; 0.0 only where every bit is the same."""
    recording, most = stretch.analysis.recording, 0.0
    for step, replayed in enumerate(replay(policy, stretch.observations), stretch.first):
        recorded = (recording.gates[step], recording.hidden[step], recording.cell[step], recording.scores[step])
        for now, then in zip(replayed, recorded):
            if now.tobytes() != then.tobytes():
                off = float(np.abs(now.astype(np.float64) - then).max())
                most = max(most, off, float(np.finfo(np.float32).tiny))  # -0.0 for 0.0 is a difference, too
    return most


@torch.inference_mode()
def features(network: CnnLstm, observations: UInt8) -> torch.Tensor:
    """What the convolutions make of the observations, shape (T, features): computed once for all truncations."""
    parts = [observations[start : start + LOOKED_AT] for start in range(0, len(observations), LOOKED_AT)]
    return torch.cat([network.look(torch.from_numpy(part)[:, None])[:, 0] for part in parts])
