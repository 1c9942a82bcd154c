"""Every parameter of `maze-policy calibrate` and of the markers it looks for; light, for the command line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maze_policy.maze import WALL_HEIGHT_M
from maze_policy.parameters import Config, parameter

METHODS = ('markers', 'circle')
TURN_HELP = (
    "how far the board's x axis is turned counter-clockwise from the right of the picture, to 15 deg, for method "
    'circle and a maze whose openings do not say it (default: the openings say it)'
)
Float64 = npt.NDArray[np.float64]

# Corners of a marker as OpenCV counts them: clockwise from the top left of the upright print.
CORNERS = np.array([(-0.5, 0.5), (0.5, 0.5), (0.5, -0.5), (-0.5, -0.5)])


@dataclass(frozen=True)
class MarkerConfig(Config):
    """Four upright markers that do not tilt with the board. Places are in the frame of the level board."""

    marker_dictionary: str = parameter('family of the ArUco markers, as OpenCV names it', 'DICT_4X4_50')
    marker_ids: tuple[int, ...] = parameter(
        'ids of the four markers: top left, top right, bottom right, bottom left', (0, 1, 2, 3), low=0, high=1023
    )
    marker_place_m: tuple[float, ...] = parameter(
        'x and y of the middle of each marker, in the order of marker_ids, maze frame, m',
        (-0.112, 0.078, 0.112, 0.078, 0.112, -0.078, -0.112, -0.078),
        low=-2.0,
        high=2.0,
    )
    marker_side_m: float = parameter('side of the black square of a marker, m', 0.024, low=0.002, high=0.5)
    marker_height_m: float = parameter(
        'height of the markers above the floor of the level board, m', 0.0, low=-0.5, high=0.5
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.marker_ids) != 4 or len(set(self.marker_ids)) != 4:
            raise ValueError(f'marker_ids wants four different ids, got {list(self.marker_ids)}')
        if len(self.marker_place_m) != 8:
            raise ValueError(f'marker_place_m wants x and y of four markers, got {len(self.marker_place_m)} numbers')

    @property
    def marker_corners_m(self) -> Float64:
        """Corners of the four markers in the maze frame, clockwise from the top left, m, shape (4, 4, 3)."""
        flat = np.reshape(self.marker_place_m, (4, 1, 2)) + self.marker_side_m * CORNERS
        return np.concatenate([flat, np.full((4, 4, 1), self.marker_height_m)], axis=2)


@dataclass(frozen=True)
class CalibrateConfig(Config):
    """How `maze-policy calibrate` looks for the board."""

    method: str = parameter(
        'markers: four ArUco markers beside the board; circle: its closed outer wall and its openings',
        'markers',
        choices=METHODS,
    )
    distance_m: float = parameter(
        'distance of the camera from the maze centre by a tape, for a camera without a calibration of its own, m; '
        '5 % off is no harm',
        0.0,
        low=0.0,
        high=10.0,
    )
    wall_height_m: float = parameter('height of the walls above the floor, m', WALL_HEIGHT_M, low=0.001, high=0.1)
    pictures: int = parameter('pictures to average', 10, low=1, high=1000)
    width_px: int = parameter('wanted width of the pictures of a camera, px; 0: as it comes', 0, low=0, high=8192)
    height_px: int = parameter('wanted height of the pictures of a camera, px', 0, low=0, high=8192)
