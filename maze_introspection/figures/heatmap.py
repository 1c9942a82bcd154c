"""Figure 2: which channels are salient when, coloured by the action that they contribute to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maze_introspection.analysis import Analysis
from maze_introspection.figures.style import action_colors, action_names, new_figure
from maze_introspection.selection import rows_by_action
from maze_introspection.statistics import Channels, channels, channels_needed

WIDEST = 2000  # columns; a longer recording puts several steps into one


def heatmap(analysis: Analysis) -> Figure:
    """The whole figure 2 of one episode."""
    figure = new_figure(4.2)
    axes = figure.add_subplot()
    draw_heatmap(axes, analysis)
    table, needed = channels(analysis), channels_needed(analysis)
    axes.set_title(
        f'{(table.salient_steps > 0).sum()} of {len(table.action)} channels are ever salient; '
        f'{analysis.config.fraction:.0%} of the score takes {needed.median:.1%} of the channels (median); '
        f'triangles: single action ({len(single_action(table, analysis.config.least_steps))})',
        loc='left',
    )
    return figure


def draw_heatmap(axes: Axes, analysis: Analysis) -> None:
    """Rows are the channels that are ever salient, sorted by contributed action; colour is the action, white none."""
    table = channels(analysis)
    rows = rows_by_action(table)
    pixels, per_column = salient_actions(analysis, rows)
    actions = analysis.recording.readout.shape[0]
    steps = analysis.recording.steps
    image = axes.imshow(
        np.where(pixels < 0, np.nan, pixels),
        cmap=action_colors(actions),
        vmin=-0.5,
        vmax=actions - 0.5,
        extent=(-0.5, pixels.shape[1] * per_column - 0.5, len(rows) - 0.5, -0.5),
        aspect='auto',
        interpolation='nearest',
    )
    for row in np.flatnonzero(np.diff(table.action[rows])):
        axes.axhline(row + 0.5, color='0.7', linewidth=0.5)
    single = np.flatnonzero(np.isin(rows, single_action(table, analysis.config.least_steps)))
    axes.plot(
        np.full(len(single), 1.006), single, transform=axes.get_yaxis_transform(), clip_on=False,
        linestyle='', marker='<', markersize=2.5, color='black',
    )  # fmt: skip
    bar = axes.figure.colorbar(image, ax=axes, ticks=range(actions), pad=0.015, fraction=0.03)
    bar.ax.set_yticklabels(action_names(actions))
    bar.ax.tick_params(length=0)
    bar.ax.invert_yaxis()  # from the top, in the order of the rows
    axes.set(
        xlabel='time, steps' + (f' (each column {per_column})' if per_column > 1 else ''),
        ylabel='LSTM channel, sorted by contributed action',
        yticks=[],
        xlim=(-0.5, steps - 0.5),
    )


def single_action(table: Channels, least_steps: int) -> npt.NDArray[np.int64]:
    """The channels all of whose salient steps, at least so many, are steps of one action."""
    return np.flatnonzero((table.action_share == 1) & (table.salient_steps >= least_steps))


def salient_actions(analysis: Analysis, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Action of each salient (channel, step), -1 elsewhere, shape (rows, columns), and how many steps make a column.

    Where several steps share a column it shows the action that the channel is salient for most often among them.
    """
    steps, actions = analysis.recording.steps, analysis.recording.readout.shape[0]
    per_column = -(-steps // WIDEST)
    columns = -(-steps // per_column)
    count: npt.NDArray[Any] = np.zeros((len(rows), columns, actions), dtype=np.int32)
    step, row = np.nonzero(analysis.salient[:, rows])
    np.add.at(count, (row, step // per_column, analysis.contribution.action[step]), 1)
    return np.where(count.any(axis=2), count.argmax(axis=2), -1), per_column
