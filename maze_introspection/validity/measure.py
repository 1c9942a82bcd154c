"""The needed memory of every event of a set of recordings: bags one after the other, so memory stays bounded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from tqdm import tqdm

from maze_introspection.bag.find import find_bags
from maze_introspection.config import IntrospectionConfig, NeededConfig
from maze_introspection.validity.events import events, observed
from maze_introspection.validity.replay import Stretch, deviation, features, same_policy, stretches
from maze_introspection.validity.truncation import Needed, Recorded, needed_memory
from maze_policy.checkpoint import load_policy, provenance
from maze_policy.network import CnnLstm, Memory, build
from maze_policy.policy import GATE_NAMES

Int64 = npt.NDArray[np.int64]
SHOWN_K = 121  # truncations on the curve of agreement


class Measured(NamedTuple):
    """Tables, and what goes into the summary beside them.

    Attributes:
        events: observed events (`events.COLUMNS`) of all episodes that could be replayed, with `needed`,
            `needed_others` (with the memory of other episodes in place of zeros) and `needed_TOLERANCE`, steps.
        steps: their steps: `source`, `episode`, `step`, `elapsed`, `ring`, `action`, what the action `needed` and
            `needed_others`, and the longest offset among its salient channels, `longest_GATE`.
        agreement: `zeros` and `others`: share of the steps later than k whose action truncation k keeps, for each k.
        about: counts, checkpoint, build, deviations.
    """

    events: pd.DataFrame
    steps: pd.DataFrame
    agreement: dict[str, list[float]]
    about: dict[str, Any]


def measure(
    paths: Sequence[Path],
    checkpoint: str | None,
    config: NeededConfig,
    introspection: IntrospectionConfig,
    namespace: str | None = None,
) -> Measured:
    """Truncate every step of every episode in these bags.

    Raises:
        ValueError: if a bag cannot be read, was played by another policy, or there is nothing to replay.
    """
    network = load_policy(checkpoint, threads=1)
    bags = [bag for path in paths for bag in find_bags(path)]
    pool = Donors(bags, config, introspection, namespace)
    tolerances = (config.tolerance, *config.other_tolerances)
    tables, rows, deviations, rounding, left_out = [], [], [], 0.0, 0
    agrees, tried = np.zeros((2, SHOWN_K), dtype=np.int64), np.zeros(SHOWN_K, dtype=np.int64)
    for bag in tqdm(bags, desc='truncating', unit='bag', disable=None):
        found, left = stretches(bag, introspection, namespace)
        left_out += left
        for stretch in found:
            same_policy(network, stretch.analysis)
            off = deviation(network, stretch)
            deviations.append(off)
            recorded = _recorded(network, stretch)
            zeros = needed_memory(network, recorded, tolerances, settled=config.settled)
            others = needed_memory(
                network, recorded, tolerances[:1], settled=config.settled, others=pool.memories(bag, stretch)
            )
            tables.append(_events(stretch, bag, zeros, others, tolerances))
            rows.append(_steps(stretch, bag, zeros, others))
            rounding = max(rounding, zeros.rounding)
            count = min(SHOWN_K, len(zeros.tried))
            tried[:count] += zeros.tried[:count]
            for which, needed in enumerate((zeros, others)):
                agrees[which, :count] += needed.agrees[:count]
    if not tables:
        raise ValueError(f'want recordings with every observation from a reset on, got none in {list(map(str, paths))}')
    observed_events = pd.concat(tables, ignore_index=True)
    if observed_events.empty:
        raise ValueError('want offsets to compare, got none: no gate opens before its channel contributes')
    shown = int(np.count_nonzero(tried >= max(1, tried[0] // 20)))
    about = {
        'checkpoint': {name: provenance(checkpoint)[name] for name in ('name', 'sha256')},
        'build': build(),
        'episodes': len(deviations),
        'identical_episodes': sum(off == 0 for off in deviations),
        'largest_deviation': max(deviations),
        'rounding': rounding,
        'steps': sum(len(part) for part in rows),
        'steps_left_out': left_out,
    }
    curves = {name: (agrees[which, :shown] / tried[:shown]).tolist() for which, name in enumerate(('zeros', 'others'))}
    return Measured(observed_events, pd.concat(rows, ignore_index=True), curves, about)


class Donors:
    """Memories of some of the bags, to be put in place of another episode's at a step in the same ring.

    A memory of zeros is not one that the policy ever has in the middle of an episode; these are real, of another time.
    """

    def __init__(
        self, bags: Sequence[Path], config: NeededConfig, introspection: IntrospectionConfig, namespace: str | None
    ) -> None:
        every = max(1, len(bags) // config.donors)
        self._rng = np.random.default_rng(config.seed)
        self._hidden, self._cell, self._ring, self._bag = [], [], [], []
        for index, bag in enumerate(tqdm(bags[::every], desc='donors', unit='bag', leave=False, disable=None)):
            for stretch in stretches(bag, introspection, namespace)[0]:
                recording = stretch.analysis.recording
                self._hidden.append(stretch.of(recording.hidden))
                self._cell.append(stretch.of(recording.cell))
                self._ring.append(stretch.of(stretch.analysis.ring))
                self._bag.append(np.full(stretch.end - stretch.first, index))
        self._bags = bags[::every]

    def memories(self, bag: Path, stretch: Stretch) -> Memory:
        """A memory for each step of an episode to begin with: of another bag, the ball in the ring of the step before.

        Where no other bag has one in that ring, from any ring; where there is no other bag, from the same one.
        """
        hidden, cell, ring, owner = (
            np.concatenate(parts) for parts in (self._hidden, self._cell, self._ring, self._bag)
        )
        foreign = owner != self._bags.index(bag) if bag in self._bags else np.ones(len(owner), dtype=np.bool_)
        foreign = foreign if foreign.any() else ~foreign
        wanted = np.roll(stretch.of(stretch.analysis.ring), 1)
        taken = np.zeros(len(wanted), dtype=np.int64)
        for which in np.unique(wanted):
            candidates = np.flatnonzero(foreign & (ring == which))
            candidates = candidates if candidates.size else np.flatnonzero(foreign)
            here = wanted == which
            taken[here] = self._rng.choice(candidates, here.sum())
        return torch.from_numpy(hidden[taken]), torch.from_numpy(cell[taken])


def _recorded(network: CnnLstm, stretch: Stretch) -> Recorded:
    recording, made = stretch.analysis.recording, stretch.analysis.contribution
    parts = (recording.hidden, recording.cell, made.action, made.share)
    seen = features(network, stretch.observations)
    return Recorded(seen, *(torch.from_numpy(np.ascontiguousarray(stretch.of(part))) for part in parts))


def _events(stretch: Stretch, bag: Path, zeros: Needed, others: Needed, tolerances: tuple[float, ...]) -> pd.DataFrame:
    table = observed(events(stretch.analysis, source=bag.name))
    table = table[(table['t'] >= stretch.first) & (table['t'] < stretch.end)].copy()
    at, channel = table['t'].to_numpy() - stretch.first, table['channel'].to_numpy()
    table['needed'] = zeros.share[0, at, channel]
    table['needed_others'] = others.share[0, at, channel]
    for which, tolerance in enumerate(tolerances[1:], 1):
        table[f'needed_{tolerance:g}'] = zeros.share[which, at, channel]
    return table


def _steps(stretch: Stretch, bag: Path, zeros: Needed, others: Needed) -> pd.DataFrame:
    analysis, count = stretch.analysis, stretch.end - stretch.first
    columns: dict[str, Any] = {
        'source': np.full(count, bag.name, dtype=object),
        'episode': stretch.of(analysis.recording.episode),
        'step': np.arange(stretch.first, stretch.end),
        'elapsed': np.arange(count),
        'ring': stretch.of(analysis.ring),
        'action': stretch.of(analysis.contribution.action),
        'needed': zeros.action,
        'needed_others': others.action,
    }
    for gate, name in GATE_NAMES.items():
        rows = analysis.step_offsets(gate)
        rows = rows[~rows['censored'] & (rows['t'] >= stretch.first) & (rows['t'] < stretch.end)]
        longest = np.full(count, -1)
        np.maximum.at(longest, rows['t'] - stretch.first, rows['offset'])
        columns[f'longest_{name}'] = np.where(longest < 0, np.nan, longest)
    return pd.DataFrame(columns)
