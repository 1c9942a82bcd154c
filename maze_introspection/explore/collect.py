"""Bags of one kind (a recording, or a folder of trials) -> one analysis of all their episodes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from maze_introspection.analysis import Analysis, analyze
from maze_introspection.bag import BagError, read_recording
from maze_introspection.bag.find import find_bags
from maze_introspection.config import IntrospectionConfig
from maze_introspection.recording import Recording, join
from maze_policy.maze import Maze

APART_NS = 3_600_000_000_000  # the next bag begins an hour after the one before has ended, whatever its clock says


@dataclass(frozen=True)
class Bag:
    """Where a stretch of steps comes from.

    Attributes:
        path: rosbag2 folder.
        first: its first step in the analysis of all.
        stamp_ns: its own stamps, shape (T,), under which its images are found.
    """

    path: Path
    first: int
    stamp_ns: npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrialSet:
    """What one side of the report shows.

    Attributes:
        label: what it is called there.
        analysis: of all episodes of all bags; None where no bag could be read.
        bags: the bags that could be read.
        problems: a sentence for each bag that could not.
        namespace: of the policy in the bags, where it had to be named.
    """

    label: str
    analysis: Analysis | None
    bags: tuple[Bag, ...]
    problems: tuple[str, ...]
    namespace: str | None = None


def collect(
    paths: Sequence[Path], config: IntrospectionConfig, namespace: str | None = None, maze: Maze | None = None
) -> TrialSet:
    """Read and analyze everything that the given bags and folders hold, as the episodes of one recording.

    A bag that cannot be read is left out, and the result says so.

    Raises:
        ValueError: if there is no bag at all, or the bags are of different policies or mazes.
    """
    found = [bag for path in paths for bag in find_bags(path)]
    bags: list[Bag] = []
    recordings: list[Recording] = []
    problems: list[str] = []
    for path in tqdm(found, desc='reading', unit='bag', leave=False, disable=None):
        try:
            recording = read_recording(path, namespace)
            if not recording.steps:
                raise BagError(f'{path}: want at least one policy step, got none')
        except BagError as error:
            problems.append(str(error))
            continue
        if maze:
            recording = replace(recording, maze=maze)
        bags.append(Bag(path, sum(before.steps for before in recordings), recording.stamp_ns))
        recordings.append(recording)
    label = ', '.join(Path(os.path.abspath(path)).name for path in paths)
    if not recordings:
        return TrialSet(label, None, (), tuple(problems), namespace)
    joined = recordings[0] if len(recordings) == 1 else join(_one_after_the_other(recordings), label)
    try:
        analysis = analyze(joined, config)
    except ValueError as error:
        return TrialSet(label, None, (), (*problems, str(error)), namespace)
    return TrialSet(label, analysis, tuple(bags), tuple(problems), namespace)


def _one_after_the_other(recordings: Sequence[Recording]) -> list[Recording]:
    """The same with stamps that never meet: live runs of a simulator all begin at the same time."""
    moved, begins_ns = [], 0
    for recording in recordings:
        stamp_ns = recording.stamp_ns - recording.stamp_ns[0] + begins_ns
        moved.append(replace(recording, stamp_ns=stamp_ns, live=None))
        begins_ns = int(stamp_ns[-1]) + APART_NS
    return moved
