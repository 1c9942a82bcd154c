"""Figure 4: where the ball is when four selected channels contribute."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from maze_introspection.analysis import Analysis
from maze_introspection.figures.style import action_colors, action_names, draw_maze, new_figure
from maze_introspection.selection import confined_channels, enough_steps
from maze_introspection.statistics import Channels, channels


def places(analysis: Analysis) -> Figure:
    """The whole figure 4 over all steps: two channels confined in space, two to a ring, as far as there are."""
    figure = new_figure(2.5)
    table = channels(analysis)
    in_space, to_ring = confined_channels(table, enough_steps(analysis))
    for index, axes in enumerate(np.ravel(figure.subplots(1, 4))):
        kind, chosen = ('space', in_space) if index < 2 else ('ring', to_ring)
        draw_places(axes, analysis, chosen[index % 2] if index % 2 < len(chosen) else None, kind, table)
        axes.set_title(f'({"abcd"[index]}) {axes.get_title()}')
    actions = analysis.recording.readout.shape[0]
    colors = action_colors(actions)
    figure.legend(
        handles=[Line2D([], [], linestyle='', marker='o', markersize=4, color=colors(i)) for i in range(actions)],
        labels=action_names(actions),
        loc='outside lower center',
        ncols=actions,
        handletextpad=0.2,
    )
    return figure


def draw_places(
    axes: Axes, analysis: Analysis, channel: int | None, kind: str = 'space', table: Channels | None = None
) -> None:
    """Ball positions at the salient steps of one channel, coloured by action, in the maze where one is recorded.

    The title says how confined the channel is in `space` or to a `ring`; `table` is the analysis' own, if at hand.
    """
    recording = analysis.recording
    table = channels(analysis) if table is None else table
    if recording.maze:
        draw_maze(axes, recording.maze, color='0.6')
    axes.set(xticks=[], yticks=[], aspect='equal')
    for spine in axes.spines.values():
        spine.set_visible(False)
    if channel is None:
        axes.set_title(f'no (other) channel\nconfined to a {kind}')
        return
    steps = np.flatnonzero(analysis.salient[:, channel])
    x, y = 1000 * recording.ball_m[steps].T
    axes.scatter(
        x,
        y,
        c=analysis.contribution.action[steps],
        cmap=action_colors(recording.readout.shape[0]),
        vmin=-0.5,
        vmax=recording.readout.shape[0] - 0.5,
        s=7,
        linewidths=0.2,
        edgecolors='white',
        zorder=2,
    )
    if not len(steps):
        axes.set_title(f'channel {channel}\nnever salient')
        return
    where = (
        f'within {1000 * table.spread_m[channel]:.0f} mm rms'
        if kind == 'space'
        else f'{table.ring_share[channel]:.0%} in ring {table.ring[channel]}'
    )
    axes.set_title(f'channel {channel}\n{len(steps)} steps, {where}')
