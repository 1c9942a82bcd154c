"""Interventions in closed loop: gates of chosen channels are held at a value while the policy plays.

Holding the output gate at 0 silences a channel; the forget gate at 0 leaves it no memory; at 1 it never forgets; frozen
at its mean a gate no longer answers to anything, but stays where it usually is (ours: what it is frozen at is its mean
over all steps of the same trials without intervention). Every intervention plays from the same ball positions, in the
same worlds, so each trial has its counterpart without.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from maze_introspection.config import InterveneConfig
from maze_introspection.contribution import contribution
from maze_policy import network as networks
from maze_policy.config import EvaluateConfig
from maze_policy.evaluate import evaluate
from maze_policy.maze import Maze
from maze_policy.network import CnnLstm, Memory
from maze_policy.policy import CANDIDATE, FORGET, GATE_NAMES, INPUT, OUTPUT, PolicyStep
from maze_policy.world import WorldConfig

Float64 = npt.NDArray[np.float64]
GATES = {name: gate for gate, name in GATE_NAMES.items()}
NONE, ONE, TOP, RANDOM = 'none', 'one', 'top', 'random'
FILE = 'intervene.jsonl'


@dataclass(frozen=True)
class Intervention:
    """What is held: a gate (`none`: nothing), how, in which channels, and why these: one, top or random; its draw."""

    gate: str = NONE
    kind: str = NONE
    group: str = NONE
    channels: tuple[int, ...] = ()
    draw: int = 0

    @property
    def name(self) -> str:
        """Such as `output/zero/one/17`; unique in a plan."""
        of = self.channels[0] if self.group == ONE else f'{len(self.channels)}/{self.draw}'
        return f'{self.gate}/{self.kind}/{self.group}/{of}'


class Intervened(CnnLstm):
    """A policy with some of its gates held; with none held it plays as the policy itself (its scores within 1e-6).

    Args:
        network: the policy.
        held: value of each gate, shape (4, n_l); NaN leaves it free.
    """

    def __init__(self, network: CnnLstm, held: Tensor | None = None) -> None:
        super().__init__(network.config)
        self.load_state_dict(network.state_dict())
        free = torch.full((4, self.n_l), torch.nan)
        self.held = free if held is None else held
        if self.held.shape != free.shape:
            raise ValueError(f'want held gates {tuple(free.shape)}, got {tuple(self.held.shape)}')
        self._is_held = ~self.held.isnan()[:, None]

    def remember(self, features: Tensor, memory: Memory | None = None) -> networks.Sequence:
        """As for `CnnLstm`, features (T, B, features), with the gates held."""
        boards = features.shape[1]
        hidden, cell = memory or (torch.zeros(boards, self.n_l), torch.zeros(boards, self.n_l))
        steps = []
        for now in features:
            gates = torch.where(self._is_held, self.held[:, None], self.gates(now, (hidden, cell)))
            cell = gates[FORGET] * cell + gates[INPUT] * gates[CANDIDATE]
            hidden = gates[OUTPUT] * cell.tanh()
            self.saw(gates, hidden, cell)
            steps.append(hidden)
        every = torch.stack(steps)
        return networks.Sequence(functional.linear(every, self.actor.weight), every, (hidden, cell))

    def saw(self, gates: Tensor, hidden: Tensor, cell: Tensor) -> None:
        """Called after every step with gates (4, B, n_l), hidden and cell (B, n_l)."""

    @torch.inference_mode()
    def step(self, observation: npt.NDArray[np.uint8], memory: Memory) -> PolicyStep:
        """One board, one step: the protocol that nodes and trials play."""
        before = (memory[0][None], memory[1][None])
        features = self.look(torch.from_numpy(observation)[None, None])
        seen = torch.where(self._is_held, self.held[:, None], self.gates(features[0], before))
        scores, _, (hidden, cell) = self.remember(features, before)
        return PolicyStep(
            scores[0, 0].numpy(), seen[:, 0].numpy(), hidden[0].numpy(), cell[0].numpy(), (hidden[0], cell[0])
        )


class Watched(Intervened):
    """The policy without intervention; keeps each gate's mean and each channel's mean contribution."""

    def __init__(self, network: CnnLstm) -> None:
        super().__init__(network)
        self._weight = network.readout[:, :-1]
        self._gates, self._share, self._steps = np.zeros((4, self.n_l)), np.zeros(self.n_l), 0

    def saw(self, gates: Tensor, hidden: Tensor, cell: Tensor) -> None:  # noqa: D102 (said above)
        self._gates += gates.sum(dim=1, dtype=torch.float64).numpy()
        self._share += contribution(hidden.numpy(), self._weight).share.sum(axis=0, dtype=np.float64)
        self._steps += hidden.shape[0]

    @property
    def mean_gates(self) -> Float64:
        """Shape (4, n_l)."""
        return self._gates / self._steps

    @property
    def mean_share(self) -> Float64:
        """Shape (n_l,); the contribution that channels are ranked by."""
        return self._share / self._steps


def holding(intervention: Intervention, mean_gates: Float64) -> Tensor:
    """The gates that an intervention holds, shape (4, n_l), NaN where it leaves them free."""
    held = torch.full(mean_gates.shape, torch.nan)
    if intervention.channels:
        gate, channels = GATES[intervention.gate], list(intervention.channels)
        mean = torch.from_numpy(mean_gates[gate, channels]).to(torch.float32)
        held[gate, channels] = {'zero': torch.zeros_like(mean), 'force': torch.ones_like(mean), 'freeze': mean}[
            intervention.kind
        ]
    return held


def plan(mean_share: Float64, config: InterveneConfig) -> Iterator[Intervention]:
    """Every intervention: first groups, then single channels by their contribution, for each gate and kind."""
    order = np.argsort(-mean_share, kind='stable')
    sizes = [size for size in config.group_sizes if size <= len(order)]

    def drawn(size: int, draw: int) -> tuple[int, ...]:
        rng = np.random.default_rng((config.seed, size, draw))  # whatever other groups are asked for
        return tuple(sorted(rng.choice(len(order), size, replace=False).tolist()))

    for gate in config.gates:
        for kind in config.kinds:
            for size in sizes:
                yield Intervention(gate, kind, TOP, tuple(sorted(order[:size].tolist())))
                for draw in range(config.group_draws):
                    yield Intervention(gate, kind, RANDOM, drawn(size, draw), draw)
            for channel in order[: config.channels or len(order)].tolist():
                yield Intervention(gate, kind, ONE, (channel,))


def intervene(
    network: CnnLstm, config: InterveneConfig, maze: Maze, world: WorldConfig, out: Path, settings: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], Float64]:
    """Play every intervention that is not in `out` yet, one line of `intervene.jsonl` each.

    Returns:
        The lines: the intervention, and `solved`, `time_s` and `ring_s` of each trial; the first is without any. And
        the mean contribution of each channel without intervention, shape (n_l,).

    Raises:
        ValueError: if `out` holds interventions of other settings.
    """
    trials = EvaluateConfig(count=config.count, seed=config.seed, time_limit_s=config.time_limit_s)
    watched = Watched(network)
    without = evaluate(watched, trials, maze, world)
    lines = _kept(out / FILE, settings)
    done = {line['name'] for line in lines}
    wanted = [Intervention(), *plan(watched.mean_share, config)]
    with open(out / FILE, 'a') as file:
        if not lines and not file.tell():
            file.write(json.dumps(settings) + '\n')
        for intervention in tqdm(wanted, desc='interventions', disable=None):
            if intervention.name in done:
                continue
            played = without
            if intervention.channels:
                held = Intervened(network, holding(intervention, watched.mean_gates))
                played = evaluate(held, trials, maze, world)
            line = {
                'name': intervention.name,
                **{name: getattr(intervention, name) for name in ('gate', 'kind', 'group', 'draw')},
                'channels': list(intervention.channels),
                'solved': played.solved.tolist(),
                'time_s': played.time_s.tolist(),
                'ring_s': played.ring_s.tolist(),
            }
            file.write(json.dumps(line) + '\n')
            file.flush()
            lines.append(line)
    order = {intervention.name: index for index, intervention in enumerate(wanted)}
    return sorted(
        (line for line in lines if line['name'] in order), key=lambda line: order[line['name']]
    ), watched.mean_share


def _kept(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was played before; a line that a kill cut off is dropped from the file."""
    if not path.exists():
        return []
    whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith('\n')]
    path.write_text(''.join(whole))
    if not whole:
        return []
    before = json.loads(whole[0])
    if before != json.loads(json.dumps(settings)):
        differ = [name for name in settings if before.get(name) != json.loads(json.dumps(settings[name]))]
        said = ', '.join(f'{name} {before.get(name)} (now {settings[name]})' for name in differ)
        raise ValueError(f'{path} holds interventions played with other settings: {said}; name another --out')
    return [json.loads(line) for line in whole[1:]]


def rows(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """One row for each trial of each intervention, as columns for a table."""
    columns: dict[str, list[Any]] = {}
    for line in lines:
        for trial, (solved, time_s, ring_s) in enumerate(zip(line['solved'], line['time_s'], line['ring_s'])):
            row = {name: line[name] for name in ('name', 'gate', 'kind', 'group', 'draw', 'channels')}
            row |= {'trial': trial, 'solved': solved, 'time_s': time_s}
            row |= {f'ring_{ring}_s': spent for ring, spent in enumerate(ring_s)}
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    return columns
