"""Sources with an end: video files and folders of images, paced."""

from __future__ import annotations

import time
from pathlib import Path

import cv2

from maze_policy.capture.source import (
    WANTED,
    Capture,
    CorruptFrame,
    Ended,
    Frame,
    Lost,
    OpenCvCapture,
    UInt8,
    in_order,
    rgb,
)
from maze_policy.node_config import CameraNodeConfig

IMAGES = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
FOLDER_RATE_HZ = 30.0  # of a folder, which has none of its own


class _Paced(Capture):
    """Pictures of a file, each when it is due; again and again, if so wanted."""

    live = False

    def __init__(self, config: CameraNodeConfig) -> None:
        super().__init__(config)
        self._loop, self._due_s = config.loop, 0.0

    def read(self) -> Frame:
        try:
            image = self._next()
        except Ended:
            if not self._loop:
                raise
            self._rewind()
            image = self._next()
        finally:
            now_s = time.monotonic()
            self._due_s = max(self._due_s + 1 / self.rate_hz, now_s)  # what is late is not caught up with
            time.sleep(self._due_s - now_s)
        return Frame(image, self._due_s)

    def _next(self) -> UInt8:
        raise NotImplementedError

    def _rewind(self) -> None:
        raise NotImplementedError


class VideoFile(_Paced):
    """A video file at its own rate, or at `rate_hz`."""

    def __init__(self, config: CameraNodeConfig) -> None:
        super().__init__(config)
        self._config, self._read = config, 0
        self._file = self._opened()
        self.width_px, self.height_px = self._file.width_px, self._file.height_px
        self.rate_hz = config.rate_hz or self._file.rate_hz
        if not self.rate_hz:
            raise ValueError(f'{config.source} does not say its rate: set rate_hz')
        self.compare(config, 'a file has the size that it has')

    def _opened(self) -> OpenCvCapture:
        missing = f'{self._config.source} is no video that FFmpeg can read; want {WANTED}'
        return OpenCvCapture(self._config, self._config.source, cv2.CAP_FFMPEG, [], missing)

    def _next(self) -> UInt8:
        try:
            image = self._file.read().image
        except Lost:
            if not self._read:
                raise Lost(f'{self._config.source} has no picture that can be read') from None
            promised = int(self._file.promised)
            of = f' of the {promised} that its header promises' if promised > self._read else ''
            raise Ended(f'{self._config.source} ended after {self._read} pictures{of}') from None
        self._read += 1
        return image

    def _rewind(self) -> None:
        self.close()
        self._file, self._read = self._opened(), 0

    def close(self) -> None:  # noqa: D102
        self._file.close()


class ImageFolder(_Paced):
    """The images in a folder in the order of the numbers in their names."""

    def __init__(self, config: CameraNodeConfig) -> None:
        super().__init__(config)
        found = [path for path in Path(config.source).iterdir() if path.suffix.lower() in IMAGES]
        self._paths = sorted(found, key=in_order)
        if not self._paths:
            raise ValueError(f'{config.source} has no images: want files ending in {" ".join(IMAGES)}')
        self._rewind()
        first = self._next()
        self._rewind()
        self.height_px, self.width_px = first.shape[:2]
        self.rate_hz = config.rate_hz or FOLDER_RATE_HZ
        self.compare(config, 'the images have the size that they have')

    def _next(self) -> UInt8:
        path = next(self._left, None)
        if path is None:
            raise Ended(f'{self._paths[0].parent} ended after {len(self._paths)} pictures')
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise CorruptFrame(f'{path} is no image that OpenCV can read')
        return rgb(image)

    def _rewind(self) -> None:
        self._left = iter(self._paths)
