"""The circular maze: ring walls, openings and distances, from `config/maze.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_policy.parameters import Config, parameter
from maze_policy.share import share_path

WALL_HEIGHT_M = 0.01  # above the floor


@dataclass(frozen=True)
class Maze(Config):
    """Geometry of the board, in the maze frame (origin at the centre, x right, y up in the image, m)."""

    wall_radius_m: tuple[float, ...] = parameter('mid-line radius of each ring wall, inner to outer, m', low=0.0)
    rim_radius_m: float = parameter('mid-line radius of the closed outer wall, m', low=0.0)
    wall_thickness_m: float = parameter('thickness of every wall, m', low=0.0)
    ball_radius_m: float = parameter('radius of the ball, m', low=0.0)
    opening_clear_m: float = parameter('free width of every opening, m', low=0.0)
    openings_per_wall: tuple[int, ...] = parameter(
        'number of openings in each ring wall, inner to outer', low=1, high=3
    )
    opening_deg: tuple[float, ...] = parameter(
        'angle of every opening, wall by wall, degrees counter-clockwise from +x', low=0.0, high=360.0
    )
    solved_radius_m: float = parameter('the ball centre nearer to the maze centre than this has solved it, m', low=0.0)
    view_m: float = parameter('side of the square top view that becomes the observation, m', low=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        radii = (*self.wall_radius_m, self.rim_radius_m)
        if any(inner >= outer for inner, outer in pairwise(radii)):
            raise ValueError(f'wall radii want to grow outwards up to the rim, got {radii}')
        if len(self.openings_per_wall) != len(self.wall_radius_m):
            raise ValueError(
                f'openings_per_wall wants one count for each of {len(self.wall_radius_m)} walls, '
                f'got {self.openings_per_wall}'
            )
        if sum(self.openings_per_wall) != len(self.opening_deg):
            raise ValueError(f'opening_deg wants {sum(self.openings_per_wall)} angles, got {len(self.opening_deg)}')
        if self.opening_clear_m < 2.2 * self.ball_radius_m:
            raise ValueError(
                f'opening_clear_m wants at least 2.2 ball radii ({2.2 * self.ball_radius_m:.4f} m) for the ball to '
                f'pass, got {self.opening_clear_m}'
            )

    @property
    def rings(self) -> int:
        """Number of rings around the centre; ring 0 is the centre, ring `rings` the outer one."""
        return len(self.wall_radius_m)

    @property
    def openings_rad(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Angles of the openings in each wall, inner to outer, rad."""
        ends = np.cumsum(self.openings_per_wall)[:-1]
        return tuple(np.split(np.radians(self.opening_deg), ends))

    def ring(self, distance_m: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Ring in which a ball at this distance from the centre is; 0 is the centre, NaN gives -1."""
        distance = np.asarray(distance_m, dtype=float)
        return np.where(np.isnan(distance), -1, np.searchsorted(self.wall_radius_m, distance, side='right'))

    def lane_m(self, ring: int) -> tuple[float, float]:
        """Distances from the centre between which a ball's centre can be while it is in this ring, m."""
        margin = self.wall_thickness_m / 2 + self.ball_radius_m
        edges = (-margin, *self.wall_radius_m, self.rim_radius_m)
        return edges[ring] + margin, edges[ring + 1] - margin


def load_maze(path: Path | str | None = None) -> Maze:
    """The maze of a parameter file; without one, of the shipped `config/maze.yaml`.

    Raises:
        ValueError: if the file has no `maze` parameters or they do not make a maze.
    """
    from maze_policy.yaml_file import read_yaml  # here: what only needs a Maze, as the analysis core, needs numpy alone

    path = Path(path) if path else share_path('config/maze.yaml')
    content: Any = read_yaml(path)
    try:
        return Maze.from_dict(content['/**']['ros__parameters']['maze'])
    except (KeyError, TypeError) as error:
        raise ValueError(f'{path} wants /**: ros__parameters: maze: ..., as in config/maze.yaml') from error
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
