"""What all figures share: colours, names, units, the maze outline, and how a figure becomes files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from maze_introspection.analysis import Analysis
from maze_introspection.colors import action_color
from maze_policy.actions import ACTIONS
from maze_policy.config import OBSERVATION_PX
from maze_policy.maze import Maze

STYLE: dict[Any, Any] = {
    'font.size': 8,
    'axes.titlesize': 8,
    'axes.linewidth': 0.6,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.frameon': False,
    'legend.fontsize': 7,
    'lines.linewidth': 1.0,
    'svg.fonttype': 'none',
    'svg.hashsalt': 'maze_introspection',
}
WIDTH_IN = 7.0  # two columns of a paper


def action_names(actions: int) -> tuple[str, ...]:
    """The five tilts, or numbers for a policy with other actions."""
    return ACTIONS if actions == len(ACTIONS) else tuple(f'action {index}' for index in range(actions))


def action_colors(actions: int) -> ListedColormap:
    """One colour per action; beyond eight they repeat."""
    return ListedColormap([action_color(index) for index in range(actions)])


def px_per_m(maze: Maze) -> float:
    """Pixels of the 84 x 84 observation per metre."""
    return OBSERVATION_PX / maze.view_m


def distance_axis(analysis: Analysis) -> tuple[float, str]:
    """Factor from metres to what figures show, and its label: px as in the paper, mm where no maze is recorded."""
    maze = analysis.recording.maze
    if maze is None:
        return 1000.0, 'distance to maze centre, mm'
    return px_per_m(maze), f'distance to maze centre, px of {OBSERVATION_PX} x {OBSERVATION_PX}'


def draw_maze(axes: Axes, maze: Maze, color: str = '0.35') -> None:
    """Walls with their openings, in mm, y up."""
    for radius, openings in zip((*maze.wall_radius_m, maze.rim_radius_m), (*maze.openings_rad, np.empty(0))):
        angle = np.linspace(0, 2 * np.pi, 1441)
        half = maze.opening_clear_m / 2 / radius
        gap = np.zeros(len(angle), dtype=np.bool_)
        for opening in openings:
            gap |= np.abs((angle - opening + np.pi) % (2 * np.pi) - np.pi) < half
        x, y = (np.where(gap, np.nan, 1000 * radius * part) for part in (np.cos(angle), np.sin(angle)))
        axes.plot(x, y, color=color, linewidth=1.2, zorder=1, solid_capstyle='butt')
    limit = 1000 * (maze.rim_radius_m + maze.wall_thickness_m)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect='equal')


def show_image(axes: Axes, image: npt.NDArray[np.uint8], maze: Maze) -> None:
    """An overhead image in the maze frame, in mm: `view_m` fills its height, centred."""
    height, width = image.shape[:2]
    half_y = 500 * maze.view_m
    half_x = half_y * width / height
    extent = (-half_x, half_x, -half_y, half_y)
    axes.imshow(image, cmap='gray', vmin=0, vmax=255, extent=extent, interpolation='bilinear')
    limit = 1000 * (maze.rim_radius_m + 2 * maze.wall_thickness_m)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect='equal')


def draw_ring_walls(axes: Axes, maze: Maze, *, vertical: bool) -> None:
    """Ring boundaries on a distance axis in px, and the number of each ring between them."""
    scale = px_per_m(maze)
    edges = [0.0, *(scale * radius for radius in (*maze.wall_radius_m, maze.rim_radius_m))]
    for edge in edges[1:-1]:
        (axes.axvline if vertical else axes.axhline)(
            edge, color='0.6', linewidth=0.6, linestyle=(0, (4, 3)), zorder=0.5
        )
    for ring, (inner, outer) in enumerate(pairwise(edges)):
        name, at = 'centre' if ring == 0 else f'ring {ring}', (inner + outer) / 2
        where = (at, 0.985) if vertical else (0.995, at)
        axes.text(
            *where,
            name,
            transform=axes.get_xaxis_transform() if vertical else axes.get_yaxis_transform(),
            horizontalalignment='center' if vertical else 'right',
            verticalalignment='top' if vertical else 'center',
            fontsize=6.5,
            color='0.4',
        )


def draw_seeds(
    axes: Axes, at: Sequence[float], values: Sequence[float], seeds: Sequence[int], *, color: str, **style: Any
) -> None:
    """Values of several seeds: thick their mean, thin each seed, shaded their range.

    Where one seed has a value and another has not, the latter's is taken from the line between its neighbours.
    """
    lines = [
        np.array(sorted((x, y) for x, y, of in zip(at, values, seeds) if of == seed)).T for seed in sorted(set(seeds))
    ]
    end = min(line[0, -1] for line in lines)
    places = [place for place in sorted(set(at)) if place <= end]
    each = np.array([np.interp(places, *line) for line in lines])
    axes.plot(places, each.mean(axis=0), color=color, linewidth=1.6, **style)
    axes.fill_between(places, each.min(axis=0), each.max(axis=0), color=color, alpha=0.15, linewidth=0)
    for line in lines:
        axes.plot(*line, color=color, linewidth=0.6, alpha=0.7, linestyle=style.get('linestyle', '-'))


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure of paper size that needs no display."""
    figure = Figure(figsize=(width_in, height_in), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def write(draw: Callable[[], Figure], out: Path, name: str) -> list[Path]:
    """Draw in our style and write `name`.png and `name`.svg; the same numbers give the same bytes."""
    with matplotlib.rc_context(STYLE):
        figure = draw()
        paths = [out / f'{name}.png', out / f'{name}.svg']
        figure.savefig(paths[0], dpi=200, metadata={'Software': None})
        figure.savefig(paths[1], metadata={'Date': None})
    return paths


def label_success_and_time(left: Axes, right: Axes, x_label: str) -> None:
    """Name the axes of what `draw_seeds` drew: success on the left, time on the right."""
    for axes, label in ((left, 'solved within 60 s, %'), (right, 'mean time, s (failed: 60 s)')):
        axes.set(xlabel=x_label, ylabel=label)
        axes.set_ylim(bottom=0)
