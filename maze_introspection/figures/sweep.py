"""The timing sweep: a line of panels for each suspect, with success, offsets in each ring and channels that react.

A grey bar is the value of the world as it is. Channels are counted that contribute otherwise than there; dashed: those
whose contribution rises or falls with the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from maze_introspection.colors import ACTION_COLORS, GATE_BLUE, SALIENT_RED
from maze_introspection.figures.style import new_figure

MARKERS = ('o', 's', '^', 'D', 'v', 'P')
SIDE_COLORS = (GATE_BLUE, SALIENT_RED)


def sweep_figure(sweeps: Sequence[Mapping[str, Any]]) -> Figure:
    """Of what `sweep` writes as JSON; of two policies side by side, with a column of offsets each."""
    suspects, gate = sweeps[0]['suspects'], sweeps[0]['sweep']['gate']
    figure = new_figure(0.8 + 1.25 * len(suspects))
    columns = 2 + len(sweeps)
    grid = figure.subplots(len(suspects), columns, squeeze=False)
    names = [Path(str(sweep['source']).split()[0]).stem for sweep in sweeps]
    for line, (suspect, about) in zip(grid, suspects.items()):
        for axes in line:
            axes.axvline(about['here'], color='0.75', linewidth=2.5, zorder=0)
            axes.set_xlabel(about['label'])
        for side, (name, sweep, offsets) in enumerate(zip(names, sweeps, line[1:])):
            of, color, marker = sweep['suspects'][suspect], SIDE_COLORS[side], MARKERS[side]
            _draw_success(line[0], of, side, color=color, marker=marker, label=name)
            _draw_offsets(offsets, of, gate)
            _draw_reacting(line[-1], of, color, marker)
        line[0].set(ylabel='solved, %', ylim=(-5, 105))
        line[1].set_ylabel('offset, steps')
        line[-1].set_ylabel('channels')
        line[-1].set_ylim(bottom=-1)
        for offsets in line[1:-1]:
            offsets.sharey(grid[0, 1])
    grid[0, 0].set_title('success', loc='left')
    for axes, name in zip(grid[0, 1:], names):
        axes.set_title('median offset' + (f', {name}' if len(names) > 1 else f', {gate} gate'), loc='left')
    grid[0, 1].set_ylim(bottom=0)
    grid[0, 1].yaxis.set_major_locator(MaxNLocator(4, integer=True))
    grid[0, -1].set_title('channels changed', loc='left')
    if len(names) > 1:
        grid[0, 0].legend(loc='lower left')
    handles, labels = grid[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper center', ncols=len(labels))
    return figure


def _values(of: Mapping[str, Any]) -> list[float]:
    return [setting['value'] for setting in of['settings']]


def _bars(axes: Axes, at: Any, found: Mapping[str, Sequence[float]], **style: Any) -> None:
    value, low, high = (np.array(found[name], dtype=np.float64) for name in ('value', 'low', 'high'))
    error = np.maximum([value - low, high - value], 0)
    axes.errorbar(at, value, yerr=error, elinewidth=0.7, linewidth=0.9, markersize=3, **style)


def _draw_success(axes: Axes, of: Mapping[str, Any], side: int, **style: Any) -> None:
    found = {name: [100 * setting['success'][name] for setting in of['settings']] for name in ('value', 'low', 'high')}
    at = np.array(_values(of))
    _bars(axes, at + 0.02 * side * (at.max() - at.min()), found, **style)


def _draw_offsets(axes: Axes, of: Mapping[str, Any], gate: str) -> None:
    rings = len(of['settings'][0]['offsets'][gate]['n'])
    at = np.array(_values(of))
    aside = 0.012 * (at.max() - at.min())
    for ring in range(1, rings):
        every = [setting['offsets'][gate]['steps'] for setting in of['settings']]
        found = {name: [steps[name][ring] for steps in every] for name in ('value', 'low', 'high')}
        color, marker = ACTION_COLORS[(ring - 1) % len(ACTION_COLORS)], MARKERS[(ring - 1) % len(MARKERS)]
        _bars(axes, at + (ring - rings / 2) * aside, found, color=color, marker=marker, label=f'ring {ring}')


def _draw_reacting(axes: Axes, of: Mapping[str, Any], color: str, marker: str) -> None:
    found = [setting['reacting'] for setting in of['settings']]
    axes.plot(_values(of), found, color=color, marker=marker, markersize=3, linewidth=0.9)
    axes.axhline(len(of['trend']['channels']), color=color, linestyle=(0, (3, 2)), linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
