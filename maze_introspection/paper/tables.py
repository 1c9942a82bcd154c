"""The tables of docs/results.md, each from the kept rows of the experiments, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maze_introspection.paper.experiments import (
    EVALUATION_SEEDS,
    PAIRS,
    SHOWN_SEED,
    TRANSFER_COMMAND,
    TRIAL_SEEDS,
    Family,
)
from maze_introspection.paper.markdown import NOTHING, Line, listed, not_yet, number, percent, table
from maze_introspection.paper.numbers import Missing, Row, Rows, of_seeds
from maze_introspection.paper.scores import latency, success_and_time, transfer, worlds
from maze_policy.policy import GATE_NAMES

NEVER = {'median': np.nan}  # a ring that no trial got to
LIKELY = 0.05
STRONG_THETA_C = 0.04  # from here on only a quarter of the salient steps count or fewer


def tables(rows: Rows, families: Sequence[Family], curve: Sequence[Row]) -> dict[str, str]:
    """Every table by its name in the document, with the commands that it comes from below it."""
    commands = {family.name: family.shown() for family in families}
    made: dict[str, tuple[str, tuple[str, ...]]] = {
        'sparsity': (_by_pair(rows, _sparsity, SPARSITY), ('trials',)),
        'roles': (_by_pair(rows, _roles, ROLES), ('trials',)),
        'memory': (_by_pair(rows, _memory, MEMORY), ('worlds', 'memoryless')),
        'rings': (_by_pair(rows, _rings, RINGS), ('worlds', 'memoryless')),
        'offsets': (_by_pair(rows, _offsets('trials'), OFFSETS), ('trials',)),
        'windows': (_by_pair(rows, _offsets('windows'), OFFSETS), ('windows',)),
        'counts': (_by_pair(rows, _counts, COUNTS), ('trials',)),
        'grid': (_by_pair(rows, _grid, GRID), ('trials', 'windows')),
        'worlds': (worlds(rows), ('worlds', 'expert')),
        'latency': (latency(rows), ('latency',)),
    }
    found = {
        name: text + '\n\n' + '\n'.join(f'`{commands[family]}`  ' for family in used).rstrip()
        for name, (text, used) in made.items()
    }
    found['transfer'] = f'{transfer(curve)}\n\n`{TRANSFER_COMMAND}`'
    for name, there in (('latency', rows['latency']), ('transfer', curve)):
        if there:
            found[name] += f'\n\n![Success and time: {name}](pictures/{name}.png)'
    found['figures'] = _figures(rows)
    return found


def _by_pair(rows: Rows, lines: Callable[[Rows, str, str], Iterable[Line]], head: str) -> str:
    """A table with one or more lines for each policy in each world; names below it what is not done yet."""
    found: list[Line] = []
    missing = []
    for policy, world in PAIRS:
        try:
            found += [(f'{policy} in {world}', *line) for line in lines(rows, policy, world)]
        except Missing:
            missing.append(f'{policy} in {world}')
    return table(f'policy and world | {head}'.split(' | '), found) + not_yet(missing)


SPARSITY = f'channels for 50 %, median | quartiles, seed {SHOWN_SEED} | Gaussian layer | under 10 %'


def _sparsity(rows: Rows, policy: str, world: str) -> list[Line]:
    seeds = of_seeds(rows, 'trials', TRIAL_SEEDS, checkpoint=policy, world=world)
    needed = [seed['channels_needed'] for seed in seeds]
    medians = [spread['median'] for spread in needed]
    chance = seeds[0]['gaussian_channels_needed']
    under = 'yes' if max(medians) < 0.1 else 'no' if min(medians) >= 0.1 else 'some seeds'
    quartiles = f'{percent(needed[0]["q1"])} to {percent(needed[0]["q3"])}'
    expected = f'{percent(chance["median"])} [{percent(chance["q1"])}, {percent(chance["q3"])}]'
    return [(listed(map(percent, medians)), quartiles, expected, under)]


ROLES = 'ever salient | judged | of these single-action | single-ring | θc that agrees best'


def _roles(rows: Rows, policy: str, world: str) -> list[Line]:
    seeds = of_seeds(rows, 'trials', TRIAL_SEEDS, checkpoint=policy, world=world)
    names = ('ever_salient_channels', 'judged_channels', 'single_action_channels', 'single_ring_channels')
    return [tuple(listed(seed[name] for seed in seeds) for name in (*names, 'best_theta_c'))]


MEMORY = 'solved | mean time, s | without memory: solved | mean time, s | times as long'


def _memory(rows: Rows, policy: str, world: str) -> list[Line]:
    with_it = of_seeds(rows, 'worlds', EVALUATION_SEEDS, checkpoint=policy, world=world)
    without = of_seeds(rows, 'memoryless', EVALUATION_SEEDS, checkpoint=policy, world=world)
    factor = _mean(without, 'mean') / _mean(with_it, 'mean')
    return [(*success_and_time(with_it), *success_and_time(without), f'{factor:.1f}')]


RINGS = 'ring | with memory, median s | without, median s | times as long'


def _rings(rows: Rows, policy: str, world: str) -> list[Line]:
    with_it = of_seeds(rows, 'worlds', EVALUATION_SEEDS, checkpoint=policy, world=world)
    without = of_seeds(rows, 'memoryless', EVALUATION_SEEDS, checkpoint=policy, world=world)
    lines: list[Line] = []
    for ring in sorted({ring for row in with_it for ring in row['ring_s']}, reverse=True):
        there, gone = ([row['ring_s'].get(ring, NEVER)['median'] for row in seeds] for seeds in (with_it, without))
        times = (listed(number(median, 2) for median in medians) for medians in (there, gone))
        lines.append((ring, *times, number(np.mean(gone) / np.mean(there), 1)))
    return lines


OFFSETS = (
    'gate | ring 4: measured / null | ring 3 | ring 2 | ring 1 | rings above the null | grows at every ring | '
    "growth, ring 4 to 1 | null's growth | p"
)


def _offsets(family: str) -> Callable[[Rows, str, str], list[Line]]:
    """Mean offsets per ring beside those of the null: means over the seeds; for each seed in how many rings they are
    longer than in 97.5 % of the null's draws, growth and p."""

    def lines(rows: Rows, policy: str, world: str) -> list[Line]:
        seeds = of_seeds(rows, family, TRIAL_SEEDS, checkpoint=policy, world=world)
        found: list[Line] = []
        for gate in GATE_NAMES.values():
            against = [seed['against_null'][gate] for seed in seeds]
            measured, null = (
                np.array([seed[name] for seed in against], dtype=np.float64).mean(axis=0)[:0:-1]
                for name in ('mean', 'null_mean')
            )
            cells = [f'{number(mean, 1)} / {number(chance, 1)}' for mean, chance in zip(measured, null)]
            above = listed(_rings_above(seed) for seed in against)
            grows = 'yes' if (np.diff(measured) > 0).all() else 'no'
            growth, chance, p = (
                listed(number(seed[name], digits) for seed in against)
                for name, digits in (('growth', 1), ('null_growth', 1), ('p', 3))
            )
            found.append((gate, *cells, f'{above} of {len(cells)}', grows, growth, chance, p))
        return found

    return lines


def _rings_above(against: Mapping[str, Any]) -> int:
    """Number of rings, without the centre, whose mean offset exceeds the null's range."""
    measured, high = (np.array(against[name], dtype=np.float64)[1:] for name in ('mean', 'null_high'))
    return int((measured > high).sum())


COUNTS = 'gate | ring 4 | ring 3 | ring 2 | ring 1 | centre | censored'


def _counts(rows: Rows, policy: str, world: str) -> list[Line]:
    seed = of_seeds(rows, 'trials', (SHOWN_SEED,), checkpoint=policy, world=world)[0]
    found: list[Line] = []
    for gate, rings in seed['offsets_per_ring'].items():
        cells = [
            f'{ring["median"]:.0f} [{ring["q1"]:.0f}, {ring["q3"]:.0f}], most {ring["most"]:.0f}, n {ring["n"]}'
            if ring['n']
            else NOTHING
            for ring in reversed(rings)
        ]
        found.append((gate, *cells, str(sum(ring['censored'] for ring in rings))))
    return found


GRID = ' | '.join(
    ('gate', *(f'{kind}: θc {sign} {STRONG_THETA_C}' for kind in ('whole trials', 'equal windows') for sign in '<≥'))
)


def _grid(rows: Rows, policy: str, world: str) -> list[Line]:
    """At how many of the pairs of thresholds offsets grow by more than their null does, seed by seed."""
    families = [of_seeds(rows, name, TRIAL_SEEDS, checkpoint=policy, world=world) for name in ('trials', 'windows')]
    found: list[Line] = []
    for gate in GATE_NAMES.values():
        cells = []
        for seeds in families:
            for strong in (False, True):
                points = [_of_strength(seed['grid'], gate, strong) for seed in seeds]
                likely = (sum(p is not None and p < LIKELY for p in seed) for seed in points)
                cells.append(f'{listed(likely)} of {len(points[0])}')
        found.append((gate, *cells))
    return found


def _of_strength(grid: Mapping[str, Any], gate: str, strong: bool) -> list[float | None]:
    """p of the points whose theta_c asks for strong contributions, or of the others."""
    return [p for theta_c, p in zip(grid['theta_c'], grid[gate]['p']) if (theta_c >= STRONG_THETA_C) == strong]


def picture(policy: str, world: str, figure: int) -> Path:
    """Where one of figures 2 to 6 of a policy in a world lies, from docs/."""
    return Path('pictures') / f'{policy}_in_{world}_figure{figure}.png'


def _figures(rows: Rows) -> str:
    done = {(row['checkpoint'], row['world']) for row in rows['trials'] if row['seed'] == SHOWN_SEED}
    lines = [
        (f'{policy} in {world}', *(f'[figure {n}]({picture(policy, world, n).as_posix()})' for n in range(2, 7)))
        for policy, world in PAIRS
        if (policy, world) in done
    ]
    missing = [f'{policy} in {world}' for policy, world in PAIRS if (policy, world) not in done]
    heads = ('policy and world', 'salient channels', 'distance', 'places', 'one channel', 'offsets and distance')
    return table(heads, lines) + not_yet(missing)


def _mean(seeds: Sequence[Row], name: str) -> float:
    return float(np.mean([seed['time_s'][name] for seed in seeds]))
