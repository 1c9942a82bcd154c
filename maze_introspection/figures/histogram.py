"""Figure 6: joint histogram of the preceding offset and the ball's distance from the centre."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from maze_introspection.analysis import Analysis
from maze_introspection.figures.style import distance_axis, draw_ring_walls, new_figure
from maze_policy.policy import GATE_NAMES, OUTPUT

Edges = npt.NDArray[np.floating]

BARS = 120  # at most so many bins of offsets


def histogram(analysis: Analysis, gate: int) -> Figure:
    """The whole figure 6: all channels, all episodes, with the number of samples at each distance above it."""
    figure = new_figure(3.6, 5.0)
    above, joint = figure.subplots(2, 1, sharex=True, height_ratios=(1, 4))
    count, distance_edges, _, _ = joint_histogram(analysis, gate)
    above.stairs(count.sum(axis=1), distance_edges, fill=True, color='0.6')
    above.set(ylabel='samples')
    draw_histogram(joint, analysis, gate)
    return figure


def joint_histogram(analysis: Analysis, gate: int) -> tuple[Edges, Edges, Edges, int]:
    """Counts by (distance, offset), edges of both, and how many censored offsets were left out.

    Distance bins are one pixel (or 1 mm without a maze), offset bins one step unless there would be too many.
    """
    scale, _ = distance_axis(analysis)
    rows = analysis.of_gate(gate)
    censored = int(rows['censored'].sum())
    rows = rows[~rows['censored']]
    away = scale * analysis.recording.distance_m[rows['t']]
    seen = np.isfinite(away)
    away, offset = away[seen], rows['offset'][seen]
    furthest = scale * analysis.recording.maze.rim_radius_m if analysis.recording.maze else away.max(initial=1.0)
    distance_edges = np.arange(int(np.ceil(furthest)) + 1, dtype=np.float64)
    longest = int(offset.max(initial=0)) + 1
    offset_edges = np.arange(0, longest + 1, -(-longest // BARS)) - 0.5
    if offset_edges[-1] < longest - 0.5:
        offset_edges = np.append(offset_edges, longest - 0.5)
    count, *_ = np.histogram2d(away, offset, bins=(distance_edges, offset_edges))
    return count, distance_edges, offset_edges, censored


def draw_histogram(axes: Axes, analysis: Analysis, gate: int = OUTPUT) -> None:
    """Distance to the right, offset upwards, colour the number of samples (logarithmic); ring walls dashed."""
    count, distance_edges, offset_edges, censored = joint_histogram(analysis, gate)
    _, label = distance_axis(analysis)
    mesh = axes.pcolormesh(
        distance_edges,
        offset_edges,
        np.where(count.T == 0, np.nan, count.T),
        cmap='viridis_r',  # few light, many dark; the paper's rainbow hides steps from colour-blind readers
        norm=LogNorm(1, max(2.0, count.max())),
        linewidth=0,
        rasterized=True,
    )
    bar = axes.figure.colorbar(mesh, ax=axes, label='samples', pad=0.02)
    bar.ax.yaxis.set_major_formatter(LogFormatter())
    bar.ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.5)))  # plain numbers where they fit
    if analysis.recording.maze:
        draw_ring_walls(axes, analysis.recording.maze, vertical=True)
    axes.set_ylim(offset_edges[0], offset_edges[-1] + 0.09 * (offset_edges[-1] - offset_edges[0]))  # ring names on top
    axes.set(xlabel=label, ylabel=f'preceding offset ({GATE_NAMES[gate]} gate), steps')
    episodes = len(analysis.recording.episode_ids)
    axes.set_title(
        f'{int(count.sum())} offsets in {episodes} episode{"s" * (episodes > 1)}; '
        f'{censored} censored left out; θg {analysis.config.theta_g:g}, θc {analysis.config.theta_c:g}',
        loc='left',
        fontsize=7,
    )
