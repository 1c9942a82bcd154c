"""Mean preceding offset in each ring beside what chance gives, over whole trials and with equal windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maze_introspection.colors import GATE_BLUE
from maze_introspection.figures.style import new_figure
from maze_policy.policy import GATE_NAMES

KINDS = ('whole trials', 'equal windows')


def rings(panels: Mapping[str, tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]]) -> Figure:
    """One line of panels for each policy and world: three gates over whole trials, then with equal windows.

    Args:
        panels: title -> the `against_null` (by gate) of each seed, over whole trials and with equal windows.
    """
    columns = [(kind, gate) for kind in range(len(KINDS)) for gate in GATE_NAMES.values()]
    figure = new_figure(0.6 + 1.25 * max(len(panels), 1))
    grid = figure.subplots(max(len(panels), 1), len(columns), sharex=True, sharey='row', squeeze=False)
    for line, (title, kinds) in zip(grid, panels.items()):
        for axes, (kind, gate) in zip(line, columns):
            _draw(axes, [seed[gate] for seed in kinds[kind]])
        line[0].set_ylabel(f'{title}\nmean offset, steps')
        line[0].set_ylim(bottom=0)  # the last word: after it the line no longer grows with what is drawn
    if panels:
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc='outside upper center', ncols=3)
    for axes, (kind, gate) in zip(grid[0], columns):
        axes.set_title(f'{KINDS[kind]},\n{gate} gate', loc='left', fontsize=7)
    for axes in grid[-1]:
        axes.set_xlabel('ring')
    return figure


def _draw(axes: Axes, seeds: Sequence[Mapping[str, Any]]) -> None:
    """Each seed in blue; grey the null: its median and 95 % range, both averaged over the seeds."""
    low, middle, high = (
        np.array([seed[name] for seed in seeds], dtype=np.float64).mean(axis=0)[:0:-1]
        for name in ('null_low', 'null_mean', 'null_high')
    )
    at = np.arange(len(middle))
    axes.fill_between(at, low, high, color='0.85', linewidth=0, label='95 % of the null')
    axes.plot(at, middle, color='0.5', linestyle=(0, (3, 2)), label='its median')
    for index, seed in enumerate(seeds):
        measured = np.array(seed['mean'], dtype=np.float64)[:0:-1]
        label = '' if index else 'measured, a line for each seed'
        axes.plot(at, measured, color=GATE_BLUE, marker='o', markersize=2.5, linewidth=0.8, label=label)
    axes.set(xticks=at, xticklabels=[str(ring) for ring in range(len(at), 0, -1)])
