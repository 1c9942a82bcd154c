"""The usual `camera_info` YAML, as camera_calibration and camera_calibration_parsers write it, read strictly."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_policy.parameters import shown
from maze_policy.yaml_file import read_yaml

Float64 = npt.NDArray[np.float64]

# How many coefficients each model of `sensor_msgs/distortion_models.hpp` may have.
COEFFICIENTS = {'plumb_bob': (4, 5), 'rational_polynomial': (8, 12, 14), 'equidistant': (4,)}
HOW = 'make it with `ros2 run camera_calibration cameracalibrator`'


@dataclass(frozen=True, eq=False)
class Calibration:
    """Intrinsics of a camera, named as in sensor_msgs/CameraInfo.

    Attributes:
        name: of the camera; empty if the file says none.
        width_px, height_px: of the pictures that it was made with, px.
        k: camera matrix, shape (3, 3), px.
        model: distortion model, one of `COEFFICIENTS`; empty when uncalibrated.
        d: its coefficients, shape (n,).
        r: rectification, a rotation, shape (3, 3).
        p: projection of the rectified picture, shape (3, 4), px.
    """

    name: str
    width_px: int
    height_px: int
    k: Float64
    model: str
    d: Float64
    r: Float64
    p: Float64

    @property
    def calibrated(self) -> bool:
        """Whether the numbers mean anything: sensor_msgs/CameraInfo says no by leaving all of them zero."""
        return bool(self.k.any())

    def require_size(self, width_px: int, height_px: int) -> None:
        """Refuse a picture of another size: its intrinsics are other ones.

        Raises:
            ValueError: quoting both sizes.
        """
        if (width_px, height_px) != (self.width_px, self.height_px):
            raise ValueError(
                f'the calibration is for pictures of {self.width_px} x {self.height_px} px, the camera gives '
                f'{width_px} x {height_px} px: set width_px and height_px, or calibrate at this size ({HOW})'
            )


def uncalibrated(width_px: int, height_px: int) -> Calibration:
    """What a camera without a calibration says of itself: all zero, as sensor_msgs/CameraInfo wants it."""
    none = np.zeros((3, 3))
    return Calibration('', width_px, height_px, none, '', np.zeros(0), none, np.zeros((3, 4)))


def load_calibration(path: str | Path) -> Calibration:
    """Read a `camera_info` YAML.

    Names that are not ours (an error of reprojection, a date) are let pass: all of ours are wanted, so that a
    misspelt one is missed.

    Raises:
        ValueError: naming the file, what was wanted and what came.
    """
    try:
        values = read_yaml(Path(path))
    except OSError as error:
        raise ValueError(f'want a camera_info YAML, got {path}: {error.strerror}; {HOW}') from error
    try:
        return _calibration(values)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def _calibration(values: Any) -> Calibration:
    if not isinstance(values, dict):
        raise ValueError(f'want a camera_info YAML with image_width and so on, got {type(values).__name__}')
    width_px, height_px = (_side(values, name) for name in ('image_width', 'image_height'))
    model = _wanted(values, 'distortion_model')
    if not isinstance(model, str) or model not in COEFFICIENTS:
        raise ValueError(f'want a distortion_model of {", ".join(COEFFICIENTS)}, got {shown(model)}')
    k = _matrix(values, 'camera_matrix', (3, 3))
    d = _matrix(values, 'distortion_coefficients', None).ravel()
    r = _matrix(values, 'rectification_matrix', (3, 3))
    p = _matrix(values, 'projection_matrix', (3, 4))
    if d.size not in COEFFICIENTS[model]:
        counts = ' or '.join(map(str, COEFFICIENTS[model]))
        raise ValueError(f'want {counts} distortion_coefficients for {model}, got {d.size}')
    for name, matrix in (('camera_matrix', k), ('projection_matrix', p)):
        focal = matrix[0, 0], matrix[1, 1]
        if min(focal) <= 0 or list(matrix[2]) != [0, 0, 1, 0][: matrix.shape[1]]:
            raise ValueError(
                f'want a {name} with positive focal lengths and a last row 0 0 1, got {focal[0]:g}, {focal[1]:g} '
                f'and {" ".join(f"{value:g}" for value in matrix[2])}'
            )
    if not np.allclose(r @ r.T, np.eye(3), atol=1e-3) or np.linalg.det(r) < 0:
        raise ValueError(f'want a rotation as rectification_matrix, got {r.ravel().tolist()}')
    return Calibration(str(values.get('camera_name') or ''), width_px, height_px, k, model, d, r, p)


def _wanted(values: dict[Any, Any], name: str) -> Any:
    if name not in values:
        raise ValueError(f'want {name}, got only {", ".join(map(str, values)) or "nothing"}')
    return values[name]


def _side(values: dict[Any, Any], name: str) -> int:
    side = _wanted(values, name)
    if type(side) is not int or side <= 0:
        raise ValueError(f'want {name} as a whole number of px, got {shown(side)}')
    return side


def _matrix(values: dict[Any, Any], name: str, shape: tuple[int, int] | None) -> Float64:
    """A matrix of rows, cols and data; without a shape, any one with a single row or column."""
    given = _wanted(values, name)
    if not isinstance(given, dict) or not {'rows', 'cols', 'data'} <= given.keys():
        raise ValueError(f'want {name} with rows, cols and data, got {shown(given)}')
    size, data = (given['rows'], given['cols']), given['data']
    if any(type(side) is not int for side in size) or (size != shape and (shape or 1 not in size)):
        wanted = ' x '.join(map(str, shape or ('1', 'n')))
        raise ValueError(f'want {name} of {wanted}, got {size[0]} x {size[1]}')
    numbers = isinstance(data, list) and all(
        type(value) in (int, float) and abs(value) <= sys.float_info.max for value in data
    )
    if not numbers or len(data) != size[0] * size[1]:
        raise ValueError(f'want {size[0] * size[1]} finite numbers as data of {name}, got {shown(data)}')
    return np.array(data, dtype=np.float64).reshape(size)
