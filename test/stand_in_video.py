"""Lossless videos of boards with the truth beside them: what a camera node plays where there is no camera."""

from __future__ import annotations

import json
import queue
import threading
from pathlib import Path

import cv2

MOST_WAITING = 64  # pictures; 60 MB


class VideoFile:
    """FILE.avi (FFV1, to the last bit) and FILE.jsonl; written in a thread, as a picture takes 15 ms.

    Where the disk is slower than the camera `write` waits: nothing is left out.
    """

    def __init__(self, path, rate_hz, size=(640, 480)):
        path = Path(path)
        self._video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*'FFV1'), rate_hz, size)
        if not self._video.isOpened():
            raise SystemExit(f'stand_in: cannot write {path}')
        self._truth = open(path.with_suffix('.jsonl'), 'w')  # noqa: SIM115 (closed by close)
        self._waiting = queue.Queue(MOST_WAITING)
        self._pictures = 0
        self._thread = threading.Thread(target=self._run, name='video')
        self._thread.start()

    def write(self, rgb, truth):
        """A picture and what was true then."""
        self._waiting.put((rgb, truth))

    def close(self):
        """Write what waits; how many pictures there are."""
        self._waiting.put(None)
        self._thread.join()
        self._video.release()
        self._truth.close()
        return self._pictures

    def _run(self):
        while item := self._waiting.get():
            rgb, truth = item
            self._video.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            self._truth.write(json.dumps(truth) + '\n')
            self._pictures += 1
