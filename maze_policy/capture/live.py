"""Sources that go on by themselves: V4L2 cameras, streams and GStreamer pipelines."""

from __future__ import annotations

import math
import os
import stat
import time
from pathlib import Path

import cv2

from maze_policy.capture.source import CorruptFrame, Frame, Lost, OpenCvCapture, in_order, rgb, shown
from maze_policy.node_config import CameraNodeConfig

# With a single buffer a UVC camera has nothing to fill while the last picture is decoded, and misses every other one.
V4L2_BUFFERS = 2
DEVICES = Path('/dev')
V4L2_MANUAL, V4L2_AUTO = 1, 3  # V4L2_CID_EXPOSURE_AUTO: manual, aperture priority
V4L2_EXPOSURE_UNIT_S = 1e-4
OLDEST_STAMP_S = 1.0  # a driver's stamp that is older, or newer than now, is on another clock


class Stream(OpenCvCapture):
    """A URL by FFmpeg. Its stamps count from its own start, so a picture is stamped when it arrives."""

    def __init__(self, config: CameraNodeConfig) -> None:
        limit_ms = int(config.timeout_s * 1e3)
        # Each thread of the decoder keeps a picture back.
        options = [cv2.CAP_PROP_N_THREADS, 1, cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms]
        missing = (
            f'{shown(config.source)} gives no video within {config.timeout_s:g} s: is the server up, are its address '
            'and path right, and user and password in the URL if it wants them?'
        )
        options += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
        super().__init__(config, config.source, cv2.CAP_FFMPEG, options, missing)
        self.rate_hz = 0.0  # what FFmpeg says of a stream is guessed
        self.compare(config, 'a stream has the size and rate that its server gives it')


class Pipeline(OpenCvCapture):
    """A GStreamer pipeline that ends in appsink."""

    def __init__(self, config: CameraNodeConfig) -> None:
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise ValueError(
                f'{config.source!r} is a GStreamer pipeline, but this OpenCV {cv2.__version__} is built without '
                "GStreamer, as the wheels from PyPI are: use the distribution's python3-opencv, or give the camera's "
                '/dev/video path or URL'
            )
        missing = f'GStreamer does not play {config.source!r}: try it with gst-launch-1.0; it must end in `! appsink`'
        limit_ms = int(config.timeout_s * 1e3)
        options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
        super().__init__(config, config.source, cv2.CAP_GSTREAMER, options, missing)
        self.compare(config, 'write it into the pipeline')


class Device(OpenCvCapture):
    """A V4L2 camera."""

    def __init__(self, config: CameraNodeConfig) -> None:
        path = f'/dev/video{config.source}' if config.source.isdigit() else config.source
        _require_device(path)
        # In whole seconds, and read by OpenCV once in a process.
        os.environ.setdefault('OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT', str(math.ceil(config.timeout_s)))
        missing = (
            f'{path} cannot be opened for video: another program may have it (fuser -v {path}), or it is the node of '
            f'a camera that carries no pictures; there are {devices_in_words()}'
        )
        super().__init__(config, path, cv2.CAP_V4L2, [], missing)
        wanted: list[tuple[int, float]] = [
            (cv2.CAP_PROP_FOURCC, 0 if config.pixel_format == 'any' else cv2.VideoWriter.fourcc(*config.pixel_format))
        ]
        if config.width_px or config.height_px:  # OpenCV takes them as a pair alone
            wanted.append((cv2.CAP_PROP_FRAME_WIDTH, config.width_px or self.width_px))
            wanted.append((cv2.CAP_PROP_FRAME_HEIGHT, config.height_px or self.height_px))
        wanted += [(cv2.CAP_PROP_FPS, config.rate_hz), (cv2.CAP_PROP_BUFFERSIZE, V4L2_BUFFERS)]
        for name, value in wanted:
            if value:
                self.video.set(name, value)
        self.measure()
        self.compare(config, 'the nearest that the driver has; v4l2-ctl --list-formats-ext tells all')
        self._set_exposure(config.exposure_s)
        if wanted[0][1] and int(self.video.get(cv2.CAP_PROP_FOURCC)) != wanted[0][1]:
            self.remarks.append(f'wanted pixel_format {config.pixel_format}, the driver keeps another')

    def _set_exposure(self, exposure_s: float) -> None:
        video = self.video
        video.set(cv2.CAP_PROP_AUTO_EXPOSURE, V4L2_MANUAL if exposure_s else V4L2_AUTO)
        if exposure_s:
            video.set(cv2.CAP_PROP_EXPOSURE, round(exposure_s / V4L2_EXPOSURE_UNIT_S))
            got_s = video.get(cv2.CAP_PROP_EXPOSURE) * V4L2_EXPOSURE_UNIT_S
            manual = video.get(cv2.CAP_PROP_AUTO_EXPOSURE) == V4L2_MANUAL
            if not manual or abs(got_s - exposure_s) > 1.5 * V4L2_EXPOSURE_UNIT_S:
                got = f'{got_s:g}' if manual else 'automatic exposure'
                self.remarks.append(f'wanted exposure_s {exposure_s:g}, got {got}: v4l2-ctl --list-ctrls tells why')
        elif video.get(cv2.CAP_PROP_AUTO_EXPOSURE) == V4L2_MANUAL:
            self.remarks.append('wanted automatic exposure, the driver keeps it manual')

    def read(self) -> Frame:  # noqa: D102
        if not self.video.grab():
            raise Lost(f'{self.source} gives no more pictures: is it plugged in?')
        at_s, now_s = self.video.get(cv2.CAP_PROP_POS_MSEC) / 1e3, time.monotonic()
        from_driver = 0.0 <= now_s - at_s <= OLDEST_STAMP_S
        ok, image = self.video.retrieve()
        if not ok:
            raise CorruptFrame('a picture that cannot be decoded')
        return Frame(rgb(image), at_s if from_driver else now_s, from_driver)


def devices_in_words() -> str:
    """The V4L2 devices that there are, or what to do if there are none."""
    paths = sorted(DEVICES.glob('video*'), key=in_order)
    return ', '.join(map(str, paths)) or (
        'no /dev/video* at all: is the camera plugged in (lsusb), and was the container given it (--device)?'
    )


def _require_device(path: str) -> None:
    """Refuse what is no device that we may open, before OpenCV says no without a reason."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise ValueError(f'there is no {path} ({error.strerror}); there are {devices_in_words()}') from error
    if not stat.S_ISCHR(mode):
        raise ValueError(f'{path} is no device; there are {devices_in_words()}')
    if not os.access(path, os.R_OK | os.W_OK):
        raise ValueError(
            f'permission denied for {path}: join the group video (sudo usermod -aG video $USER) and log in again'
        )
