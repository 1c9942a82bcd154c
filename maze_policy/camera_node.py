"""Read a camera, a stream or a recorded video: pictures and what is known of the lens, under one stamp."""

from __future__ import annotations

import sys
import time
from typing import Any

from maze_policy import messages, topics
from maze_policy.base_node import BaseNode, declare, refuse_unknown_parameters, run
from maze_policy.camera_info import load_calibration, uncalibrated
from maze_policy.capture import Frame, open_capture, shown
from maze_policy.capture.grabber import Back, Event, Finished, Gone, Grabber, Refused
from maze_policy.node_config import CameraNodeConfig


class CameraNode(BaseNode):
    """A camera that is not there at the start is an error; one that goes away later is waited for.

    Stamps are the driver's where it gives them, else the picture's arrival, on the node's clock.
    """

    drains = False

    def __init__(self, **kwargs: Any) -> None:
        self._grabber: Grabber | None = None
        super().__init__('camera', **kwargs)
        self._config = config = declare(self, CameraNodeConfig)
        refuse_unknown_parameters(self)
        calibration = load_calibration(config.calibration) if config.calibration else None
        capture = open_capture(config)
        width_px, height_px = capture.width_px, capture.height_px
        self._calibration = calibration or uncalibrated(width_px, height_px)
        try:
            self._calibration.require_size(width_px, height_px)
        except ValueError:
            capture.close()
            raise
        if not calibration:
            self.get_logger().warning('no calibration: camera_info is all zeros (parameter calibration)')
        for remark in capture.remarks:
            self.get_logger().warning(remark)
        rate = f' at {capture.rate_hz:g} Hz' if capture.rate_hz else ''
        self.get_logger().info(f'{shown(config.source)}: {width_px} x {height_px} px{rate}')
        self.health.facts |= {'source': shown(config.source), 'not accepted': '; '.join(capture.remarks) or 'nothing'}
        self._image = self.output(topics.CAMERA_IMAGE)
        self._info = self.output(topics.CAMERA_INFO)
        self._started = False
        self._gone = ''  # why there is no camera at present
        self._last_ns = 0
        self._grabber = grabber = Grabber(capture, config, self._on_news)
        if capture.live:  # from now on, so that nothing old has piled up when all listen
            grabber.start()

        def start() -> None:
            self._started = True
            grabber.start()

        self.start_when_taken(config, start)

    def _on_news(self) -> None:
        """Let the executor take it; called in the grabber's thread."""
        if self.executor:
            self.executor.create_task(self._take)

    def _take(self) -> None:
        for event in self._grabber.take() if self._grabber else ():
            self._on_event(event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Frame):
            if self._started:
                self._publish(event)
        elif isinstance(event, Refused):
            if self._started:  # before, nobody wants any
                self.refuse(event.kind, event.why)
        elif isinstance(event, Gone):
            self._gone = event.why
            self.health.count('attempts to find the camera')
            self.health.refuse('lost camera', event.why)
            self.get_logger().warning(f'{event.why}; trying again in {event.retry_s:g} s')
        elif isinstance(event, Back):
            self._gone = ''
            self.health.count('times the camera came back')
            self.get_logger().info(f'the camera is back after {event.attempts} attempts')
        elif isinstance(event, Finished):
            if event.well:
                self.get_logger().info(event.why)
            else:
                self.health.fail(event.why)
                self.get_logger().error(event.why)
            self.exit_code = 0 if event.well else 1

    def _publish(self, frame: Frame) -> None:
        """Publish picture and camera_info under one stamp, which is later than the last one."""
        height_px, width_px = frame.image.shape[:2]
        try:
            self._calibration.require_size(width_px, height_px)
        except ValueError as error:
            self.refuse('picture of another size', error)
            return
        now_ns = self.now_ns()
        stamp_ns = now_ns - round((time.monotonic() - frame.at_s) * 1e9)
        if stamp_ns <= 0:
            self.refuse('picture before the time began', 'use_sim_time is true, and /clock says nothing yet')
            return
        if stamp_ns <= self._last_ns <= now_ns:  # a last one later than now means that the clock was set back
            self.refuse('picture out of order', f'{(self._last_ns - stamp_ns) / 1e6:.1f} ms before the one before it')
            return
        self._last_ns = stamp_ns
        header = messages.header_at(stamp_ns, self._config.frame_id)
        self._image.publish(messages.picture_message(header, frame.image))
        self._info.publish(messages.calibration_message(header, self._calibration))
        self.health.count('frames')
        self.health.took('picture to published', time.monotonic() - frame.at_s)
        self.health.facts['stamps'] = 'of the driver' if frame.from_driver else 'of arrival'

    def report(self) -> None:
        """As long as the camera is lost, say so."""
        if self._gone:
            self.health.fail(self._gone)
        super().report()

    def finish(self) -> None:
        """Give the device back."""
        if self._grabber:
            self._grabber.close()

    def destroy_node(self) -> None:
        """End the thread first: it would talk to nobody."""
        self.finish()
        super().destroy_node()


def main() -> int:
    """Run the node."""
    return run(CameraNode)


if __name__ == '__main__':
    sys.exit(main())
