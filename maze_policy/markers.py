"""Four ArUco markers on the fixed frame around the board: where they are, how to print them and how to find them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.calibrate_config import MarkerConfig
from maze_policy.parameters import did_you_mean

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]

_ARUCO: Any = cv2.aruco  # whose names differ from release to release

# One after the other: in one go OpenCV keeps one of them by its own choice, and of blurred markers finds fewer.
THRESHOLD_WINDOWS_PX = (5, 9, 13)


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
    families = [name for name in dir(_ARUCO) if name.startswith('DICT_')]
    if config.marker_dictionary not in families:
        hint = did_you_mean(config.marker_dictionary, families)
        raise ValueError(f'marker_dictionary wants a family of OpenCV, got {config.marker_dictionary!r}{hint}')
    family = getattr(_ARUCO, config.marker_dictionary)
    get = getattr(_ARUCO, 'getPredefinedDictionary', None) or _ARUCO.Dictionary_get
    return get(family)
