"""Find the ball in the camera image and say where it is in the maze."""

from __future__ import annotations

import sys
import time
from typing import Any

from maze_policy import messages, topics
from maze_policy.ball_tracker import BallTracker, NoBall, NoBoard
from maze_policy.base_node import NICE, BaseNode, declare, refuse_unknown_parameters, run
from maze_policy.board import BoardConfig
from maze_policy.freshness import Freshness
from maze_policy.maze import Maze, load_maze
from maze_policy.node_config import BallTrackerNodeConfig

FRAME_ID = 'maze'
FORGET_S = 1.0  # without a frame for this long the stamps may start anew


class BallTrackerNode(BaseNode):
    """Every frame is looked at by itself: a frame without a ball says nothing, and is counted on /diagnostics."""

    niceness = NICE

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('ball_tracker', **kwargs)
        self._config = config = declare(self, BallTrackerNodeConfig)
        maze, board = declare(self, Maze, 'maze', load_maze()), declare(self, BoardConfig, 'board')
        refuse_unknown_parameters(self)
        self._tracker = BallTracker(board, maze, brighter=config.ball_brighter, least_contrast=config.least_contrast)
        self._fresh, self._used_s = Freshness(config.max_age_s, config.max_ahead_s), time.monotonic()
        self._ball = self.output(topics.BALL)
        self.start_when_taken(config, self._start)

    def _start(self) -> None:
        self.input(topics.CAMERA_IMAGE, self._on_frame, reliable=self._config.camera_reliable)

    def _on_frame(self, message: Any) -> None:
        stamp_ns, began_s = messages.stamp_ns(message.header), time.monotonic()
        if began_s - self._used_s > FORGET_S:
            self._fresh.forget()
        if objection := self._fresh.objection(stamp_ns, self.now_ns()):
            self.refuse(*objection)
            return
        try:
            ball = self._tracker.find(messages.picture(message, 'rgb8'))
        except NoBall as miss:
            self.health.count('misses')
            self.refuse('frame without the board' if isinstance(miss, NoBoard) else 'frame without a ball', miss)
        except ValueError as error:
            self.refuse('malformed frame', error)
            return
        else:
            header = messages.header_at(stamp_ns, FRAME_ID)
            self._ball.publish(messages.ball_message(header, ball.position_m))
            self.health.count('balls')
            self.health.took('stamp to ball', (self.now_ns() - stamp_ns) * 1e-9)
        self._fresh.used(stamp_ns)
        self._used_s = began_s
        self.health.count('frames')
        self.health.took('frame to ball', time.monotonic() - began_s)


def main() -> int:
    """Run the node."""
    return run(BallTrackerNode)


if __name__ == '__main__':
    sys.exit(main())
