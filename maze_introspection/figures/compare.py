"""Channels that behave differently in two sets of recordings: those that changed the most, for each measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maze_introspection.colors import ACTION_COLORS, GATE_BLUE
from maze_introspection.figures.style import new_figure
from maze_introspection.validity.compare import ranked

UNITS = {
    'usage': 'salient, % of steps',
    'contribution': 'mean contribution, %',
    'purity': 'salient for one action, %',
    **{f'{name}_offset': f'mean offset, {name} gate, steps' for name in ('input', 'forget', 'output')},
}
STYLES = ((GATE_BLUE, 'o', 0.15), (ACTION_COLORS[0], '^', -0.15))  # of A and B


def compare_figure(table: pd.DataFrame, found: Mapping[str, Any]) -> Figure:
    """A panel for each measure: the channels called different that changed the most, in A and in B.

    Args:
        table: rows of `validity.compare.differences`.
        found: what `compare` writes as JSON.
    """
    shown = ranked(table, found['compare']['shown'])
    figure = new_figure(5.2)
    panels = figure.subplots(2, 3)
    for axes, (name, of) in zip(panels.flat, found['measures'].items()):
        _draw(axes, shown[shown['measure'] == name], name)
        axes.set_title(f'{of["different"]} of {of["judged"]} channels differ', loc='left')
    names = [f'{side.upper()}: {found[side]["source"]}' for side in 'ab']
    handles = [
        panels[0, 0].plot([], [], color=color, marker=marker, linestyle='none')[0] for color, marker, _ in STYLES
    ]
    figure.legend(handles, names, loc='outside upper left', ncols=2)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, name: str) -> None:
    """A line for each channel, the largest change on top."""
    scale = 1 if name.endswith('offset') else 100
    at = -np.arange(len(rows), dtype=np.float64)
    for side, (color, marker, aside) in zip('ab', STYLES):
        value, low, high = (scale * rows[column].to_numpy() for column in (side, f'{side}_low', f'{side}_high'))
        error = np.nan_to_num(np.maximum([value - low, high - value], 0))
        axes.errorbar(
            value, at + aside, xerr=error, color=color, marker=marker, markersize=3, elinewidth=0.8, linestyle='none'
        )
    axes.set_yticks(at, [str(channel) for channel in rows['channel']], fontsize=6)
    axes.set(xlabel=UNITS[name], ylabel='channel')
    axes.set_ylim(-max(len(rows), 1) + 0.4, 0.6)
    if not len(rows):
        axes.text(0.5, 0.5, 'none', transform=axes.transAxes, horizontalalignment='center', color='0.4')
