"""What every source of pictures shares: a picture and its time, what can go wrong, and cv2.VideoCapture."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.node_config import CameraNodeConfig

UInt8 = npt.NDArray[np.uint8]

WANTED = 'a /dev/video path or its number, an http:// or rtsp:// URL, a GStreamer pipeline, a video file or a folder'


class Frame(NamedTuple):
    """A picture and when it was taken.

    Attributes:
        image: rgb8, shape (height, width, 3).
        at_s: on `time.monotonic`: the driver's stamp, or when the picture arrived, or, from a file, when it was due.
        from_driver: whether the driver stamped it.
    """

    image: UInt8
    at_s: float
    from_driver: bool = False


class CorruptFrame(ValueError):
    """One picture could not be read; the next one may be well."""


class Lost(OSError):
    """A camera or stream gives nothing any more; it may come back when it is opened anew."""


class Ended(EOFError):
    """A file or folder has no more pictures."""


class Capture:
    """A source of pictures, open from its making on.

    Attributes:
        live: whether it goes on by itself, so that what is not read at once is old.
        width_px, height_px, rate_hz: what it gives; a rate of 0 is not known.
        remarks: what was asked for and not got, in words.
    """

    live = True

    def __init__(self, config: CameraNodeConfig) -> None:
        self.width_px, self.height_px, self.rate_hz = 0, 0, 0.0
        self.remarks: list[str] = []

    def read(self) -> Frame:
        """The next picture; blocks until there is one, or until `timeout_s`.

        Raises:
            CorruptFrame, Lost, Ended: each with its reason.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give the device back."""

    def compare(self, config: CameraNodeConfig, why: str) -> None:
        """Remark on everything that was wanted (is not 0) and came out otherwise."""
        for name in ('width_px', 'height_px', 'rate_hz'):
            wanted, got = getattr(config, name), getattr(self, name)
            if wanted and not math.isclose(wanted, got, rel_tol=0.01):
                what = f'got {got:g}' if got else 'and what comes is not known'
                self.remarks.append(f'wanted {name} {wanted:g}, {what}: {why}')


class OpenCvCapture(Capture):
    """What all that goes through cv2.VideoCapture shares."""

    def __init__(self, config: CameraNodeConfig, source: str, api: int, options: list[int], missing: str) -> None:
        super().__init__(config)
        self.source = shown(source)
        self.video = cv2.VideoCapture(source, api, options)
        if not self.video.isOpened():
            raise ValueError(missing)
        self.promised = self.video.get(cv2.CAP_PROP_FRAME_COUNT)
        self.measure()

    def measure(self) -> None:
        """Ask OpenCV for size and rate."""
        get = self.video.get
        self.width_px, self.height_px = int(get(cv2.CAP_PROP_FRAME_WIDTH)), int(get(cv2.CAP_PROP_FRAME_HEIGHT))
        rate_hz = get(cv2.CAP_PROP_FPS)
        self.rate_hz = rate_hz if math.isfinite(rate_hz) and rate_hz > 0 else 0.0

    def read(self) -> Frame:  # noqa: D102 (of the base)
        if not self.video.grab():
            raise Lost(f'{self.source} gives no more pictures')
        at_s = time.monotonic()
        ok, image = self.video.retrieve()
        if not ok:
            raise CorruptFrame('a picture that cannot be decoded')
        return Frame(rgb(image), at_s)

    def close(self) -> None:  # noqa: D102
        self.video.release()


def rgb(image: Any) -> UInt8:
    """OpenCV's picture as rgb8."""
    if image.dtype != np.uint8 or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise CorruptFrame(f'want a picture of 8 bits in 1 or 3 channels, got {image.dtype} {image.shape}')
    grey = image.ndim == 2 or image.shape[2] == 1
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if grey else cv2.COLOR_BGR2RGB), dtype=np.uint8)


def shown(source: str) -> str:
    """A source without the password in it, to be logged."""
    return re.sub(r'//[^/@]*@', '//...@', source)


def in_order(path: Path) -> list[tuple[int, str]]:
    """Sorts frame2 before frame10."""
    return [(int(part), '') if part.isdigit() else (-1, part) for part in re.split(r'(\d+)', path.name)]
