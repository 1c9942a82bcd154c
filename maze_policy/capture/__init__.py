"""Pictures from a camera, a stream, a video file or a folder of images, by OpenCV; no ROS."""

from __future__ import annotations

import re
from pathlib import Path

from maze_policy.capture.files import ImageFolder, VideoFile
from maze_policy.capture.live import Device, Pipeline, Stream, devices_in_words
from maze_policy.capture.source import WANTED, Capture, CorruptFrame, Ended, Frame, Lost, shown
from maze_policy.node_config import CameraNodeConfig

__all__ = ['Capture', 'CorruptFrame', 'Ended', 'Frame', 'Lost', 'open_capture', 'shown']


def open_capture(config: CameraNodeConfig) -> Capture:
    """Open what `config.source` names.

    Raises:
        ValueError: if there is no such thing, or it cannot be opened; says what to do.
    """
    source = config.source
    if not source:
        raise ValueError(f'the parameter source wants {WANTED}; it is empty, and there are {devices_in_words()}')
    if re.search(r'\s!\s', source):
        return Pipeline(config)
    if re.match(r'[a-z0-9+.-]+://', source, re.IGNORECASE):
        return Stream(config)
    if source.isdigit() or source.startswith('/dev/'):
        return Device(config)
    path = Path(source)
    if not path.exists():
        raise ValueError(f'there is no {source}; the parameter source wants {WANTED}')
    return ImageFolder(config) if path.is_dir() else VideoFile(config)
