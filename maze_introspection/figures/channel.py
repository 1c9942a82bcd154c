"""Figure 5: the gate of one channel, its contribution, when it is salient, and the preceding offsets."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from maze_introspection.analysis import Analysis
from maze_introspection.colors import GATE_BLUE, OFFSET_GREEN, SALIENT_RED
from maze_introspection.figures.style import new_figure
from maze_introspection.selection import telling_channel
from maze_policy.policy import GATE_NAMES, OUTPUT

DOTTED = (0, (1, 1))


def channel(analysis: Analysis, which: int, gate: int) -> Figure:
    """The whole figure 5 of one episode."""
    figure = new_figure(2.8)
    draw_channel(figure.add_subplot(), analysis, which, gate)
    kinds = {
        f'{GATE_NAMES[gate]} gate (dashed: θg = {analysis.config.theta_g:g})': Line2D([], [], color=GATE_BLUE),
        'contribution': Line2D([], [], color='black', linestyle=DOTTED),
        'salient': Line2D([], [], color=SALIENT_RED, alpha=0.3, linewidth=3),
        'preceding offset (dotted: censored)': Line2D([], [], color=OFFSET_GREEN),
    }
    figure.legend(list(kinds.values()), list(kinds), loc='outside upper center', ncols=4)
    return figure


def draw_channel(axes: Axes, analysis: Analysis, which: int | None = None, gate: int = OUTPUT) -> None:
    """Gate (blue), contribution (black, dotted), salient steps (red bars), offsets per salient step (green lines).

    Without a channel it is `selection.telling_channel`'s.
    A green line runs from the beginning of the run of the gate to the salient step; lines of one run are stacked. Those
    of a run that was open already at the beginning are dotted: censored.
    """
    which = telling_channel(analysis, gate) if which is None else which
    recording = analysis.recording
    salient = np.flatnonzero(analysis.salient[:, which])
    axes.vlines(salient, 0, 1.05, color=SALIENT_RED, alpha=0.3, linewidth=1.6, zorder=1)
    axes.plot(recording.gates[:, gate, which], color=GATE_BLUE, linewidth=1.4, zorder=3)
    axes.axhline(analysis.config.theta_g, color=GATE_BLUE, linewidth=0.5, linestyle=(0, (4, 3)), zorder=2)

    rows = analysis.step_offsets(gate)
    rows = rows[rows['channel'] == which]
    height = np.empty(len(rows))
    for t0 in np.unique(rows['t0']):
        run = np.flatnonzero(rows['t0'] == t0)
        height[run] = analysis.config.theta_g * (1 - (np.arange(len(run)) + 1) / (len(run) + 1))
    observed = ~rows['censored']
    for part, style in ((observed, 'solid'), (~observed, 'dotted')):
        lines = (height[part], rows['t0'][part], rows['t'][part])
        axes.hlines(*lines, color=OFFSET_GREEN, linestyle=style, linewidth=0.9, zorder=4)
    shares = axes.twinx()
    shares.spines['right'].set_visible(True)
    shares.plot(analysis.contribution.share[:, which], color='black', linestyle=DOTTED, linewidth=0.9, zorder=3)
    shares.set(ylabel='contribution, share of the score', ylim=(0, None))
    axes.set(
        xlabel='time, steps',
        ylabel=f'{GATE_NAMES[gate]} gate of channel {which}',
        xlim=(-0.5, recording.steps - 0.5),
        ylim=(0, 1.05),
    )
