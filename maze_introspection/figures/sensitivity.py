"""Where on the grid of thresholds each conclusion about offsets holds; sparsity and roles over the fraction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from maze_introspection.colors import GATE_BLUE, OFFSET_GREEN, SALIENT_RED
from maze_introspection.figures.style import new_figure

OUTLINES: dict[str, tuple[str, str, Any]] = {
    'precedes': ('longer than the null in most rings', OFFSET_GREEN, '-'),
    'grows': ('grows to the centre', 'black', '-'),
    'beyond_chance': ('grows by more than the null, p < 0.05', SALIENT_RED, (0, (2, 1))),
}


def sensitivity_figure(table: pd.DataFrame, found: Mapping[str, Any]) -> Figure:
    """A panel for each gate, and below three over the fraction.

    Args:
        table: rows of `validity.sensitivity.thresholds`.
        found: what `sensitivity` writes as JSON.
    """
    figure = new_figure(5.0)
    grid = figure.subplots(2, 3)
    whole = table[table['ring'] == 0].assign(more=lambda rows: rows['growth'] - rows['null_growth'])
    limit = float(whole['more'].abs().quantile(0.9))  # few offsets are left at extreme thresholds, and they are wild
    limit = limit if limit > 0 else 1.0
    for axes, (gate, rows) in zip(grid[0], whole.groupby('gate', sort=False)):
        image = _draw_grid(axes, rows, limit)
        axes.set_title(f'{gate} gate', loc='left')
        at = found['parameters']
        _mark(axes, rows, at['theta_g'], at['theta_c'])
    grid[0, 0].set_ylabel(r'$\theta_g$')
    figure.colorbar(image, ax=grid[0], shrink=0.8, extend='both', label="growth less the null's, steps")
    handles = [Line2D([], [], color=color, linestyle=style, label=name) for name, color, style in OUTLINES.values()]
    handles.append(Line2D([], [], color='black', marker='x', linestyle='none', label='the defaults'))
    figure.legend(handles=handles, loc='outside upper left', ncols=4, fontsize=6.5)
    _draw_fractions(grid[1], found)
    return figure


def _draw_grid(axes: Axes, rows: pd.DataFrame, limit: float) -> Any:
    """The growth beyond the null as colour, and around the region of each conclusion a line."""
    shown = rows.pivot(index='theta_g', columns='theta_c', values='more')
    image = axes.imshow(shown, origin='lower', aspect='auto', cmap='PuOr_r', vmin=-limit, vmax=limit)
    for inset, (name, (_, color, style)) in enumerate(OUTLINES.items()):
        holds = rows.pivot(index='theta_g', columns='theta_c', values=name).to_numpy(dtype=bool)
        edges = outline(holds, 0.06 + 0.07 * inset)
        axes.add_collection(LineCollection(edges, colors=color, linestyles=[style], linewidths=1.2))
    axes.set_xticks(range(len(shown.columns)), [f'{value:g}' for value in shown.columns], rotation=60, fontsize=6)
    axes.set_yticks(range(len(shown.index)), [f'{value:g}' for value in shown.index])
    axes.set_xlabel(r'$\theta_c$')
    return image


def outline(holds: npt.NDArray[np.bool_], inset: float) -> list[list[tuple[float, float]]]:
    """Lines around the cells that hold, a little inside of them; cells are 1 x 1 around whole numbers."""
    lines = []
    padded = np.pad(holds, 1)
    for row, column in np.argwhere(holds):
        beside = padded[row : row + 3, column : column + 3]
        left, right = (column - 0.5 + (0 if beside[1, 0] else inset)), (column + 0.5 - (0 if beside[1, 2] else inset))
        below, above = (row - 0.5 + (0 if beside[0, 1] else inset)), (row + 0.5 - (0 if beside[2, 1] else inset))
        if not beside[1, 0]:
            lines.append([(left, below), (left, above)])
        if not beside[1, 2]:
            lines.append([(right, below), (right, above)])
        if not beside[0, 1]:
            lines.append([(left, below), (right, below)])
        if not beside[2, 1]:
            lines.append([(left, above), (right, above)])
    return lines


def _mark(axes: Axes, rows: pd.DataFrame, theta_g: float, theta_c: float) -> None:
    """A cross at given thresholds, wherever they lie between the cells; none beyond the grid."""
    at = []
    for name, value in (('theta_c', theta_c), ('theta_g', theta_g)):
        ticks = np.sort(rows[name].unique())
        at.append(float(np.interp(value, ticks, np.arange(len(ticks)), left=np.nan, right=np.nan)))
    axes.plot(*at, marker='x', color='black', markersize=5)


def _draw_fractions(line: npt.NDArray[Any], found: Mapping[str, Any]) -> None:
    rows = found['fractions']
    at = [row['fraction'] for row in rows]
    needed, roles, agree = line
    for key, name, color in (
        ('gaussian_channels_needed', 'Gaussian layer', '0.5'),
        ('channels_needed', 'measured', GATE_BLUE),
    ):
        low, middle, high = ([100 * row[key][part] for row in rows] for part in ('q1', 'median', 'q3'))
        needed.fill_between(at, low, high, color=color, alpha=0.2, linewidth=0)
        needed.plot(at, middle, color=color, marker='o', markersize=2.5, label=name)
    needed.axhline(10, color='0.6', linewidth=0.6)
    needed.set_ylabel('channels needed, %\n(median, quartiles)')
    needed.legend(loc='upper left')
    for key, name, color in (
        ('judged', 'judged', '0.5'),
        ('single_action', 'single action', GATE_BLUE),
        ('single_ring', 'single ring', SALIENT_RED),
    ):
        roles.plot(at, [row[key] for row in rows], color=color, marker='o', markersize=2.5, label=name)
    roles.set_ylabel('channels')
    roles.legend(loc='center right')
    agree.plot(at, [row['theta_c_that_agrees_best'] for row in rows], color=GATE_BLUE, marker='o', markersize=2.5)
    agree.set_ylabel(r'$\theta_c$ that agrees best' + '\nwith the salient channels')
    for axes in line:
        axes.set(xlabel='fraction of the score', xlim=(0, 1))
        axes.axvline(found['parameters']['fraction'], color='0.6', linewidth=0.6)
        axes.set_ylim(bottom=0)
