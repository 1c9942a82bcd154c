"""Where the ball is in the camera image, from what the policy knows of its camera."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.panel.model import Project
from maze_policy.board import BoardConfig
from maze_policy.maze import Maze


def projection(parameters: Mapping[str, Any]) -> Project:
    """From the maze to the picture: by the board's calibration, or, without one, a view straight down.

    Such a view shows `maze.view_m` over the picture's height, as the simulator's does. The board counts as level: at
    5 degrees the ring around the ball is off by less than a millimetre on the board.

    Args:
        parameters: the policy node's, with the groups `maze` and `board`.

    Raises:
        ValueError: if a parameter is missing or wrong.
    """
    maze, board = Maze.from_dict(_group(parameters, 'maze')), BoardConfig.from_dict(_group(parameters, 'board'))
    camera = board.camera if board.calibrated else None

    def project(ball_m: npt.NDArray[np.float64], shape: tuple[int, ...]) -> tuple[float, float]:
        if camera is not None:
            [(x, y)] = camera.pixels(np.array([[*ball_m, maze.ball_radius_m]]))
        else:
            (height, width), scale = shape, shape[0] / maze.view_m
            x, y = (width - 1) / 2 + scale * ball_m[0], (height - 1) / 2 - scale * ball_m[1]
        return float(x), float(y)

    return project


def _group(parameters: Mapping[str, Any], name: str) -> dict[str, Any]:
    prefix = f'{name}.'
    return {key.removeprefix(prefix): value for key, value in parameters.items() if key.startswith(prefix)}
