"""The table of experiments. Each is one command; the document's numbers come from these and from nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

from maze_policy.maze import load_maze
from maze_policy.share import CHECKPOINTS
from maze_policy.world import WorldConfig, load_world

Value = str | int

POLICIES = ('distilled', 'nominal', 'robust', 'robust_finetuned', 'sparse')
WORLDS = ('nominal', 'varied', 'randomised', 'real_like')
# Policies looked into, and where.
PAIRS = (
    ('distilled', 'nominal'),
    ('nominal', 'nominal'),
    ('robust', 'nominal'),
    ('robust', 'randomised'),
    ('robust', 'real_like'),
    ('robust_finetuned', 'real_like'),
    ('sparse', 'nominal'),
)
# Policies played, and where: of those that have never seen a perspective one is enough to show what they lack.
PLAYED = tuple(
    (policy, world)
    for policy in POLICIES
    for world in WORLDS
    if policy not in ('distilled', 'sparse') or world == 'nominal'
)
TRIAL_SEEDS, EVALUATION_SEEDS = (1, 2, 3), (11, 12, 13)
TRANSFER_COMMAND = 'maze-policy transfer --out runs/transfer'  # hours of training: `make results` does it first
SHOWN_SEED = TRIAL_SEEDS[0]  # of the trials that figures 2 to 6 show


@dataclass(frozen=True)
class Family:
    """Experiments that are one command with different values in it.

    Attributes:
        name: of the family.
        command: with the names of values in braces, and {out} where the folder of results goes.
        over: names -> the values they take together; the experiments are the product over all entries.
    """

    name: str
    command: str
    over: Mapping[tuple[str, ...], Sequence[tuple[Value, ...]]]

    def experiments(self) -> Iterator[Experiment]:
        """All of them."""
        names = [name for together in self.over for name in together]
        for values in product(*self.over.values()):
            yield Experiment(self, dict(zip(names, (value for together in values for value in together))))

    def shown(self) -> str:
        """The command for a reader: values in capitals."""
        names = [name for together in self.over for name in together]
        return self.command.format(**{name: name.upper() for name in names}, out='OUT')


@dataclass(frozen=True)
class Experiment:
    """One command of a family, with the values that it is run for."""

    family: Family
    values: Mapping[str, Value]

    @property
    def name(self) -> str:
        """Such as `trials/nominal-nominal-1`; also its folder."""
        return f'{self.family.name}/{"-".join(map(str, self.values.values()))}'

    @property
    def checkpoint(self) -> Path | None:
        """The policy that it needs, if any."""
        policy = self.values.get('checkpoint')
        return None if policy is None else CHECKPOINTS / f'{policy}.safetensors'

    def command(self, out: Path) -> str:
        """What to run."""
        return self.family.command.format(**self.values, out=out)

    def inputs(self) -> str:
        """A digest of all that the result depends on but the code: command, policy, what the world changes, maze."""
        changed: dict[str, Any] = {}
        if 'world' in self.values:
            world = load_world(str(self.values['world']))
            changed = {
                field.name: world.as_dict()[field.name]
                for field in fields(world)
                if getattr(world, field.name) != getattr(WorldConfig(), field.name)
            }
        policy = hashlib.sha256(self.checkpoint.read_bytes()).hexdigest() if self.checkpoint else None
        parts = [self.command(Path('OUT')), policy, changed, load_maze().as_dict()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _each(values: Sequence[Value]) -> list[tuple[Value, ...]]:
    return [(value,) for value in values]


_TRIALS = 'maze-introspection trials --checkpoint {checkpoint} --profile {world} --seed {seed} --out {out}'
_EVALUATE = 'maze-policy evaluate --checkpoint {checkpoint} --profile {world} --seed {seed} --out {out}/evaluation.json'

FAMILIES = (
    Family(
        'trials',
        f'{_TRIALS} --count 40 --null-draws 200 --grid',
        {('checkpoint', 'world'): PAIRS, ('seed',): _each(TRIAL_SEEDS)},
    ),
    Family(
        'windows',
        f'{_TRIALS} --count 160 --start-rings 1 2 3 4 --window-steps 30 --time-limit-s 3 --null-draws 200 --grid',
        {('checkpoint', 'world'): PAIRS, ('seed',): _each(TRIAL_SEEDS)},
    ),
    Family(
        'worlds',
        f'{_EVALUATE} --count 200',
        {('checkpoint', 'world'): PLAYED, ('seed',): _each(EVALUATION_SEEDS)},
    ),
    Family(
        'expert',
        'maze-policy evaluate --expert --profile {world} --count 200 --seed {seed} --out {out}/evaluation.json',
        {('world',): _each(WORLDS), ('seed',): _each(EVALUATION_SEEDS)},
    ),
    Family(
        'memoryless',
        f'{_EVALUATE} --count 50 --no-memory',
        {('checkpoint', 'world'): PAIRS, ('seed',): _each(EVALUATION_SEEDS)},
    ),
    Family(
        'latency',
        f'{_EVALUATE} --count 100 --view {{view}} --latency-steps {{latency}}',
        {
            ('checkpoint', 'view'): [('nominal', 'flat'), ('robust', 'flat')],
            ('world',): _each(('nominal',)),
            ('latency',): _each(range(5)),
            ('seed',): _each(EVALUATION_SEEDS),
        },
    ),
)


def experiments() -> list[Experiment]:
    """All of them."""
    return [experiment for family in FAMILIES for experiment in family.experiments()]
