"""From an overhead camera image to what the network sees."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.board import BoardConfig
from maze_policy.config import OBSERVATION_PX

UInt8 = npt.NDArray[np.uint8]
Maps = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]


def observe(image: UInt8, board: BoardConfig | None = None) -> UInt8:
    """The observation of a camera image: the top view, grey, shrunk by area.

    With a calibration the top view is that of the floor of the level board, the lens undone, as a camera straight above
    would see it; what lies outside the picture gets the color of its edge. Without, it is the centre square.

    Args:
        image: rgb8, shape (height, width, 3), at least as wide as high and at least 84 px high; with a calibration, of
            its size.
        board: where the board is; None or empty is no calibration.

    Returns:
        mono8, shape (84, 84).

    Raises:
        ValueError: if the image is something else.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'want an rgb8 image of shape (height, width, 3), got {image.dtype} {image.shape}')
    if board is not None and board.calibrated:
        board.require_size(image)
        square = cv2.remap(
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),
            *_top_view(board),
            interpolation=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return _small(np.asarray(square, dtype=np.uint8))
    height, width = image.shape[:2]
    if height < OBSERVATION_PX or width < height:
        raise ValueError(
            f'want an image at least as wide as high and {OBSERVATION_PX} px high, got {width} x {height} px'
        )
    left = (width - height) // 2
    return _small(np.asarray(cv2.cvtColor(image[:, left : left + height], cv2.COLOR_RGB2GRAY), dtype=np.uint8))


def _small(square: UInt8) -> UInt8:
    small = cv2.resize(square, (OBSERVATION_PX, OBSERVATION_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


@lru_cache(maxsize=4)
def _top_view(board: BoardConfig) -> Maps:
    """Where in the picture the pixels of a fine top view are, several to each of the observation and of the picture."""
    camera = board.camera
    edge = np.array([(0.0, 0.0, 0.0), (board.view_m / OBSERVATION_PX, 0.0, 0.0)])
    seen_px = float(np.linalg.norm(np.diff(camera.pixels(edge), axis=0)))
    side = OBSERVATION_PX * max(int(np.ceil(seen_px)), 1)
    at_m = ((np.arange(side) + 0.5) / side - 0.5) * board.view_m
    x, y = np.meshgrid(at_m, -at_m)
    floor = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3)
    pixels = camera.pixels(floor).astype(np.float32).reshape(side, side, 2)
    coarse, fine = cv2.convertMaps(pixels[..., 0], pixels[..., 1], cv2.CV_16SC2)
    return np.asarray(coarse, dtype=np.int16), np.asarray(fine, dtype=np.uint16)
