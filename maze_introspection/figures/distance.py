"""Figure 3: the ball's distance from the centre over time, and what the camera saw in four rings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maze_introspection.analysis import Analysis
from maze_introspection.colors import SALIENT_RED
from maze_introspection.figures.style import (
    distance_axis,
    draw_maze,
    draw_ring_walls,
    new_figure,
    px_per_m,
    show_image,
)
from maze_introspection.selection import ring_moments

Images = Mapping[int, npt.NDArray[np.uint8]]


def distance(analysis: Analysis, images: Images, image_source: str) -> Figure:
    """The whole figure 3 of one episode; `images` by stamp, in ns, drawn outlines where there are none."""
    figure = new_figure(3.9)
    moments = ring_moments(analysis)
    grid = figure.add_gridspec(2, 1, height_ratios=(1.15, 1))
    top, bottom = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    draw_distance(top.add_subplot(), analysis, moments)
    maze = analysis.recording.maze
    if maze is None or not len(moments):
        bottom.text(0.5, 0.5, 'the recording carries no maze or no ball', horizontalalignment='center')
        return figure
    for index, (axes, step) in enumerate(zip(np.ravel(bottom.subplots(1, len(moments))), moments)):
        image = images.get(int(analysis.recording.stamp_ns[step]))
        if image is None:
            draw_maze(axes, maze)
            axes.plot(*(1000 * analysis.recording.ball_m[step]), marker='o', color=SALIENT_RED)
        else:
            show_image(axes, image, maze)
        ring = int(analysis.ring[step])
        axes.set_title(f'{index + 1}: step {step}, {"centre" if ring == 0 else f"ring {ring}"}')
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
    bottom.supxlabel(image_source, fontsize=7, color='0.4')
    return figure


def draw_distance(axes: Axes, analysis: Analysis, moments: Sequence[int] | npt.NDArray[np.int64] = ()) -> None:
    """Distance over the steps of one episode, with ring walls, and the moments of the images as numbered red points."""
    recording, moments = analysis.recording, np.asarray(moments, dtype=np.int64)
    scale, label = distance_axis(analysis)
    away = scale * recording.distance_m
    axes.plot(away, color='0.1', linewidth=1.2)
    if recording.maze:
        draw_ring_walls(axes, recording.maze, vertical=False)
        axes.set_ylim(0, px_per_m(recording.maze) * recording.maze.rim_radius_m)
        to_mm = 1000 / scale
        axes.secondary_yaxis(1.0, functions=(_times(to_mm), _times(1 / to_mm))).set_ylabel('mm')
    axes.plot(moments, away[moments], linestyle='', marker='o', color=SALIENT_RED, markersize=5, zorder=3)
    for index, step in enumerate(moments):
        axes.annotate(
            str(index + 1), (step, away[step]), xytext=(4, 4), textcoords='offset points', color=SALIENT_RED, zorder=4
        )
    axes.set(xlabel='time, steps', ylabel=label.replace('centre, ', 'centre,\n'), xlim=(-0.5, recording.steps - 0.5))


def _times(factor: float) -> Callable[[Any], Any]:
    return lambda values: values * factor
