"""Offsets against chance: means beside two nulls, growth after each control, and how long offsets take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maze_introspection.colors import ACTION_COLORS, GATE_BLUE, SALIENT_RED
from maze_introspection.figures.style import new_figure

NULL_STYLES = {'permutation': ('0.45', 's', -0.18), 'shift': (ACTION_COLORS[1], '^', 0.18)}
CONTROLS = (
    ('as it is', ('growth', 'raw')),
    ('above permutation', ('growth', 'raw_above_permutation')),
    ('above shift', ('growth', 'raw_above_shift')),
    ('same elapsed time', ('growth', 'matched')),
    ('same time, above permutation', ('growth', 'matched_above_permutation')),
    ('same time, above shift', ('growth', 'matched_above_shift')),
    ('hidden left out', ('hidden', 'left_out', 'growth')),
    ('hidden as seen', ('hidden', 'as_seen', 'growth')),
    ('hidden estimated', ('hidden', 'estimated', 'growth')),
)


def chance_figure(found: Mapping[str, Any]) -> Figure:
    """A line of panels for each gate, of what `chance` writes as JSON."""
    figure = new_figure(6.4)
    grid = figure.subplots(len(found['gates']), 3, width_ratios=(1, 1, 1.1))
    for (means, growth, curves), (gate, numbers) in zip(grid, found['gates'].items()):
        _draw_means(means, numbers['against'])
        means.set_title(f'{gate} gate, {numbers["offsets"]} offsets', loc='left')
        _draw_growth(growth, numbers)
        _draw_curves(curves, numbers['hidden'])
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc='outside upper left', ncols=3)
    grid[0, 2].legend(loc='upper right', fontsize=6)
    grid[0, 1].set_title('ring 1 less outermost ring', loc='left')
    grid[0, 2].set_title('with hidden beginnings', loc='left')
    for axes, label in zip(grid[-1], ('ring', 'growth of the mean offset, steps', 'steps since the gate opened')):
        axes.set_xlabel(label)
    return figure


def _bars(axes: Axes, at: Any, of: Mapping[str, Any], *, horizontal: bool = False, **style: Any) -> None:
    """Values with their intervals."""
    value, low, high = (np.array(of[name], dtype=np.float64) for name in ('value', 'low', 'high'))
    error = np.maximum([value - low, high - value], 0).reshape(2, -1)
    style |= {'linestyle': 'none', 'elinewidth': 0.9}
    if horizontal:
        axes.errorbar(value, at, xerr=error, **style)
    else:
        axes.errorbar(at, value, yerr=error, **style)


def _draw_means(axes: Axes, against: Mapping[str, Any]) -> None:
    for index, (kind, (color, marker, aside)) in enumerate(NULL_STYLES.items()):
        rings = against[kind]['rings']
        at = np.arange(len(rings['mean']['value']), 0, -1)
        if not index:
            _bars(axes, at, rings['mean'], color=GATE_BLUE, marker='o', markersize=3.5, label='measured')
        _bars(axes, at + aside, rings['null_mean'], color=color, marker=marker, markersize=3, label=f'null: {kind}')
    axes.set(xticks=at, xticklabels=['centre', *map(str, range(1, len(at)))], ylabel='mean offset, steps')
    axes.set_ylim(bottom=0)


def _draw_growth(axes: Axes, numbers: Mapping[str, Any]) -> None:
    for line, (_, path) in enumerate(CONTROLS):
        of: Any = numbers
        for name in path:
            of = of[name]
        if of['value'] is None:
            continue
        clear = of['low'] is not None and (of['low'] > 0 or of['high'] < 0)
        _bars(axes, [-line], of, horizontal=True, marker='o', markersize=3.5, color=SALIENT_RED if clear else '0.3')
    axes.axvline(0, color='0.6', linewidth=0.6)
    axes.set(yticks=[-line for line in range(len(CONTROLS))], yticklabels=[name for name, _ in CONTROLS])
    axes.tick_params(axis='y', labelsize=6)


def _draw_curves(axes: Axes, hidden: Mapping[str, Any]) -> None:
    for ring, curve in reversed(list(enumerate(hidden['survival']))):
        if ring:
            steps = np.concatenate([[1.0], curve])
            color = ACTION_COLORS[(ring - 1) % len(ACTION_COLORS)]
            axes.stairs(steps, np.arange(-1, len(curve) + 1) + 1, baseline=None, color=color, label=f'ring {ring}')
    axes.axhline(0.5, color='0.6', linewidth=0.6)
    axes.set(ylim=(0, 1.02), xlim=(0, len(curve)), ylabel='share without a\ncontribution yet')
