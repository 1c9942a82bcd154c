"""The tables about playing: other worlds, other timing, transfer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maze_introspection.paper.experiments import EVALUATION_SEEDS, PLAYED, POLICIES, WORLDS
from maze_introspection.paper.markdown import NOTHING, Line, listed, not_yet, number, percent, table
from maze_introspection.paper.numbers import Missing, Row, Rows, of_seeds

TRANSFER_LINES = 6  # of each curve


def worlds(rows: Rows) -> str:
    """Every player in every world."""
    found: list[Line] = []
    missing = []
    for world in WORLDS:
        for policy in (*(policy for policy in POLICIES if (policy, world) in PLAYED), 'expert'):
            family = 'expert' if policy == 'expert' else 'worlds'
            which = {} if policy == 'expert' else {'checkpoint': policy}
            try:
                seeds = of_seeds(rows, family, EVALUATION_SEEDS, world=world, **which)
            except Missing:
                missing.append(f'{policy} in {world}')
                continue
            medians = listed(number(seed['time_s']['median'], 2) for seed in seeds)
            found.append((world, policy, *success_and_time(seeds), medians))
    return table(('world', 'player', 'solved', 'mean time, s', 'median, s'), found) + not_yet(missing)


def latency(rows: Rows) -> str:
    """Success and mean time by policy, view and latency."""
    players = list(dict.fromkeys((row['checkpoint'], row['view']) for row in rows['latency']))
    delays = sorted({row['latency'] for row in rows['latency']})
    found: list[Line] = []
    for policy, view in players:
        cells = []
        for latency in delays:
            try:
                seeds = of_seeds(rows, 'latency', EVALUATION_SEEDS, checkpoint=policy, view=view, latency=latency)
            except Missing:
                cells.append(NOTHING)
                continue
            success, time = success_and_time(seeds)
            cells.append(f'{success}; {time} s')
        found.append((policy, view, *cells))
    missing = [policy for policy in ('nominal', 'robust') if policy not in {name for name, _ in players}]
    return table(('policy', 'view', *(f'latency {steps}' for steps in delays)), found) + not_yet(missing)


def transfer(curve: Sequence[Row]) -> str:
    """Success and time by start and episodes, a few lines of the curve: mean over the seeds and their range."""
    found: list[Line] = []
    for start in dict.fromkeys(row['start'] for row in curve):
        own = [row for row in curve if row['start'] == start]
        curves = [
            sorted((row for row in own if row['seed'] == seed), key=lambda row: row['episodes'])
            for seed in sorted({row['seed'] for row in own})
        ]
        points = list(zip(*curves))
        for index in sorted(set(np.linspace(0, len(points) - 1, TRANSFER_LINES).round().astype(int))):
            at = points[index]
            episodes, frames = (f'{np.mean([row[name] for row in at]):.0f}' for name in ('episodes', 'frames'))
            success, took = ([row[name] for row in at] for name in ('success', 'mean_s'))
            shown = f'{percent(np.mean(success))} [{percent(min(success))}, {percent(max(success))}]'
            time = f'{np.mean(took):.1f} [{min(took):.1f}, {max(took):.1f}]'
            found.append((start, episodes, frames, str(len(at)), shown, time))
    heads = ('begun with', 'episodes of fine-tuning', 'frames', 'seeds', 'solved', 'mean time, s')
    return table(heads, found) + not_yet([] if curve else ['the transfer curve'])


def success_and_time(seeds: Sequence[Row]) -> tuple[str, str]:
    """Success and mean time of each seed; a failed trial counts with the time that it had."""
    return (
        listed(percent(seed['success']) for seed in seeds),
        listed(number(seed['time_s']['mean'], 2) for seed in seeds),
    )
