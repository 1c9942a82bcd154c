"""Time in each ring with memory and without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from maze_introspection.colors import GATE_BLUE, SALIENT_RED
from maze_introspection.figures.style import new_figure


def memory(panels: Mapping[str, tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]]) -> Figure:
    """One panel for each policy and world: median time in each ring, outermost left, one point per seed.

    Args:
        panels: title -> evaluations with memory and without, each with `ring_s` (ring -> its `median`, s).
    """
    columns = min(max(len(panels), 1), 3)
    lines = max(-(-len(panels) // columns), 1)
    figure = new_figure(0.4 + 2.0 * lines)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, evaluations) in zip(grid.flat, panels.items()):
        rings = sorted({ring for rows in evaluations for row in rows for ring in row['ring_s']}, reverse=True)
        styles = (('with memory', 'o', GATE_BLUE), ('without', '^', SALIENT_RED))
        for (label, marker, color), rows in zip(styles, evaluations):
            spent = [(rings.index(ring), s['median']) for row in rows for ring, s in row['ring_s'].items()]
            axes.plot(
                *zip(*spent), linestyle='', marker=marker, markersize=4, color=color, fillstyle='none', label=label
            )
        axes.set_yscale('log')
        axes.yaxis.set_major_locator(FixedLocator((0.5, 1, 2, 5, 10, 20, 60)))
        axes.yaxis.set_major_formatter('{x:g}')
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set(
            xticks=range(len(rings)), xticklabels=[f'ring {ring}' for ring in rings], xlim=(-0.5, len(rings) - 0.5)
        )
        axes.set_title(title, loc='left')
        axes.grid(axis='y', color='0.9', linewidth=0.5)
    for axes in grid[:, 0]:
        axes.set_ylabel('time in the ring, s (median)')
    if panels:
        low, high = grid[0, 0].get_ylim()
        grid[0, 0].set_ylim(min(low, 0.9), high)  # so that one second is on every axis
        grid[0, 0].legend()
    return figure
