"""Needed memory against preceding offset: does an offset tell how far back a contribution depends?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maze_introspection.colors import GATE_BLUE, SALIENT_RED
from maze_introspection.figures.style import new_figure
from maze_introspection.validity.needed import LEAST

TOP = 128.5  # steps that the axes reach
EDGES = (-0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 6.5, 8.5, 12.5, 16.5, 24.5, 32.5, 48.5, 64.5, 96.5, TOP)  # of the cells


def needed_memory_figure(events: pd.DataFrame, numbers: Mapping[str, Any]) -> Figure:
    """Above a panel for each gate, needed against offset; below how actions agree, correlations, and rings.

    Args:
        events: with `gate`, `channel`, `offset` and `needed`.
        numbers: what `needed-memory` writes as JSON.
    """
    figure = new_figure(4.9)
    grid = figure.subplots(2, 3)
    for axes, (gate, found) in zip(grid[0], numbers['offsets'].items()):
        _draw_calibration(axes, events[events['gate'] == gate], found)
        axes.set_title(f'{gate} gate, {found["events"]} offsets', loc='left')
        axes.set_xlabel('preceding offset, steps')
    grid[0, 0].set_ylabel('memory needed, steps')
    grid[0, 0].legend(loc='lower right', fontsize=6)
    _draw_agreement(grid[1, 0], numbers)
    _draw_correlations(grid[1, 1], numbers['offsets'])
    _draw_rings(grid[1, 2], numbers)
    return figure


def _draw_calibration(axes: Axes, events: pd.DataFrame, found: Mapping[str, Any]) -> None:
    edges = np.array(EDGES)
    count, _, _ = np.histogram2d(events['offset'], events['needed'], [edges, edges])
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    shown = (count.sum(axis=1, keepdims=True) >= LEAST) & (count > 0)
    axes.pcolormesh(edges, edges, np.where(shown, share, np.nan).T, cmap='Greys', vmin=0, vmax=0.35, linewidth=0)
    axes.plot([0, TOP], [0, TOP], color=SALIENT_RED, linewidth=0.8, linestyle=(0, (4, 2)), label='needed = offset')
    rows = found['calibration']
    at = [row['offset'] for row in rows]
    _draw_quartiles(axes, at, [row['needed'] for row in rows], 'median and quartiles', GATE_BLUE, 'o')
    for scale in (axes.set_xscale, axes.set_yscale):
        scale('symlog', linthresh=2, linscale=0.7)
    ticks = (0, 1, 2, 5, 10, 20, 40, 100)
    axes.set(xticks=ticks, yticks=ticks, xlim=(-0.5, TOP), ylim=(-0.5, TOP))
    axes.set_xticklabels(map(str, ticks), fontsize=7)
    axes.set_yticklabels(map(str, ticks))
    axes.minorticks_off()


def _draw_agreement(axes: Axes, numbers: Mapping[str, Any]) -> None:
    for name, label, color in (('zeros', 'zeros', GATE_BLUE), ('others', "another episode's memory", SALIENT_RED)):
        axes.plot(100 * np.array(numbers['agreement'][name]), color=color, label=label)
    axes.set(xlabel='steps of memory left (k)', ylabel='actions as recorded, %', ylim=(0, 101))
    axes.legend(title='before step t - k', title_fontsize=6, loc='lower right', fontsize=6)


def _draw_correlations(axes: Axes, offsets: Mapping[str, Any]) -> None:
    kinds = (
        ('rho', 'all events'),
        ('rho_moment', 'of one ring and time'),
        ('rho_channel', 'within a channel'),
    )
    for index, gate in enumerate(offsets):
        for which, (kind, label) in enumerate(kinds):
            value, low, high = np.array(list(offsets[gate][kind].values()), dtype=np.float64)
            at = index + 0.22 * (which - 1)
            color = (GATE_BLUE, SALIENT_RED, '0.45')[which]
            axes.plot([at, at], [low, high], color=color)
            axes.plot(at, value, 'os^'[which], color=color, markersize=3.5, label='' if index else label)
        axes.plot(
            [index - 0.4, index + 0.4],
            np.array(2 * [offsets[gate]['rho_chance']], dtype=np.float64),
            color='0.6',
            linestyle=(0, (2, 2)),
            label='' if index else 'ring and time alone',
        )
    axes.axhline(0, color='0.8', linewidth=0.6, zorder=0)
    axes.set(xticks=range(len(offsets)), xticklabels=list(offsets), ylabel="Spearman's correlation", xlabel='gate')
    axes.set_ylim(-0.3, 1.0)  # a correlation that matters would be seen as such
    axes.legend(loc='upper left', fontsize=6, ncols=1)


def _draw_rings(axes: Axes, numbers: Mapping[str, Any]) -> None:
    """Median offset and needed memory in each ring, of the output gate, and what actions needed."""
    gate = next(reversed(numbers['offsets']))
    rings = dict(sorted(numbers['offsets'][gate]['rings'].items(), reverse=True))
    actions = numbers['actions']['rings']
    lines = (
        ('offset', [found['offset'] for found in rings.values()], GATE_BLUE, 'o'),
        ('needed by the contribution', [found['needed'] for found in rings.values()], SALIENT_RED, 's'),
        ('needed by the action', [actions[ring] for ring in rings], '0.45', '^'),
    )
    for index, (label, quartiles, color, marker) in enumerate(lines):
        at = [place + 0.12 * (index - 1) for place in range(len(quartiles))]
        _draw_quartiles(axes, at, quartiles, label, color, marker)
    names = ['centre' if ring == '0' else f'ring {ring}' for ring in rings]
    axes.set(xticks=range(len(rings)), ylabel=f'steps, {gate} gate')
    axes.set_xticklabels(names, fontsize=7)
    axes.set_ylim(0, 1.5 * axes.get_ylim()[1])
    axes.legend(loc='upper left', fontsize=6)


def _draw_quartiles(
    axes: Axes, at: Sequence[float], quartiles: Sequence[Sequence[float]], label: str, color: str, marker: str
) -> None:
    """Medians joined by a line, quartiles as bars."""
    low, middle, high = np.array(quartiles, dtype=np.float64).reshape(-1, 3).T
    axes.plot(at, middle, color=color, marker=marker, markersize=3, label=label)
    axes.vlines(at, low, high, color=color)
