"""Four ArUco markers on the fixed frame around the board: where they are, how to print them and how to find them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.parameters import Config, did_you_mean, parameter

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]

_ARUCO: Any = cv2.aruco  # whose names differ from release to release
DICTIONARIES = [name for name in dir(_ARUCO) if name.startswith('DICT_')]
# Corners of a marker as OpenCV counts them: clockwise from the top left of the upright print.
CORNERS = np.array([(-0.5, 0.5), (0.5, 0.5), (0.5, -0.5), (-0.5, -0.5)])

# One after the other: in one go OpenCV keeps one of them by its own choice, and of blurred markers finds fewer.
THRESHOLD_WINDOWS_PX = (5, 9, 13)


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
        if self.marker_dictionary not in DICTIONARIES:
            hint = did_you_mean(self.marker_dictionary, DICTIONARIES)
            raise ValueError(f'marker_dictionary wants a family of OpenCV, got {self.marker_dictionary!r}{hint}')
        if len(self.marker_ids) != 4 or len(set(self.marker_ids)) != 4:
            raise ValueError(f'marker_ids wants four different ids, got {list(self.marker_ids)}')
        if len(self.marker_place_m) != 8:
            raise ValueError(f'marker_place_m wants x and y of four markers, got {len(self.marker_place_m)} numbers')

    @property
    def marker_corners_m(self) -> Float64:
        """Corners of the four markers in the maze frame, clockwise from the top left, m, shape (4, 4, 3)."""
        flat = np.reshape(self.marker_place_m, (4, 1, 2)) + self.marker_side_m * CORNERS
        return np.concatenate([flat, np.full((4, 4, 1), self.marker_height_m)], axis=2)


def marker_picture(config: MarkerConfig, identity: int, cell_px: int) -> UInt8:
    """One marker with a white border one cell wide: mono8, black 0 and white 255."""
    dictionary = _dictionary(config)
    cells = int(dictionary.markerSize) + 2
    draw = getattr(_ARUCO, 'generateImageMarker', None) or _ARUCO.drawMarker  # drawMarker before OpenCV 4.7
    try:
        inner = draw(dictionary, identity, cells * cell_px)
    except cv2.error as error:
        raise ValueError(f'{config.marker_dictionary} has no marker {identity}') from error
    return np.pad(np.asarray(inner, dtype=np.uint8), cell_px, constant_values=255)


def find_markers(image: UInt8, config: MarkerConfig) -> dict[int, Float64]:
    """Corners of those of the four markers that are in a picture.

    Args:
        image: mono8, shape (height, width).
        config: which markers.

    Returns:
        Corners by id, clockwise from the marker's own top left, px, shape (4, 2).
    """
    found: dict[int, Float64] = {}
    for window_px in THRESHOLD_WINDOWS_PX:
        for identity, corners in _detect(image, config, window_px):
            found.setdefault(identity, corners)
    return {identity: found[identity] for identity in config.marker_ids if identity in found}


def _detect(image: UInt8, config: MarkerConfig, window_px: int) -> list[tuple[int, Float64]]:
    dictionary = _dictionary(config)
    modern = hasattr(_ARUCO, 'ArucoDetector')  # from OpenCV 4.7 on
    settings = _ARUCO.DetectorParameters() if modern else _ARUCO.DetectorParameters_create()
    settings.adaptiveThreshWinSizeMin = settings.adaptiveThreshWinSizeMax = window_px
    settings.perspectiveRemoveIgnoredMarginPerCell = 0.3
    settings.errorCorrectionRate = 1.0
    settings.minDistanceToBorder = 1
    settings.cornerRefinementMethod = _ARUCO.CORNER_REFINE_SUBPIX
    if modern:
        corners, ids, _ = _ARUCO.ArucoDetector(dictionary, settings).detectMarkers(image)
    else:
        corners, ids, _ = _ARUCO.detectMarkers(image, dictionary, parameters=settings)
    return (
        []
        if ids is None
        else [(int(i), np.asarray(four[0], dtype=np.float64)) for i, four in zip(np.ravel(ids), corners)]
    )


def _dictionary(config: MarkerConfig) -> Any:
    family = getattr(_ARUCO, config.marker_dictionary)
    get = getattr(_ARUCO, 'getPredefinedDictionary', None) or _ARUCO.Dictionary_get
    return get(family)
