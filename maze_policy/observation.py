"""From an overhead camera image to what the network sees."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.config import OBSERVATION_PX

UInt8 = npt.NDArray[np.uint8]


def observe(image: UInt8) -> UInt8:
    """The observation of a camera image: centre square, grey, shrunk by area.

    Args:
        image: rgb8, shape (height, width, 3), at least as wide as high and at least 84 px high.

    Returns:
        mono8, shape (84, 84).

    Raises:
        ValueError: if the image is something else.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'want an rgb8 image of shape (height, width, 3), got {image.dtype} {image.shape}')
    height, width = image.shape[:2]
    if height < OBSERVATION_PX or width < height:
        raise ValueError(
            f'want an image at least as wide as high and {OBSERVATION_PX} px high, got {width} x {height} px'
        )
    left = (width - height) // 2
    grey = cv2.cvtColor(image[:, left : left + height], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (OBSERVATION_PX, OBSERVATION_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
