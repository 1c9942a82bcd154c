"""Play camera, ball tracker and arm: a tilt command in, an overhead image and the ball's position out."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from std_srvs.srv import Trigger

from maze_policy import messages, topics
from maze_policy.base_node import declare, refuse_unknown_parameters, run
from maze_policy.command import LEVEL, TiltCommands
from maze_policy.commanded_node import CommandedNode
from maze_policy.config import CameraConfig, PhysicsConfig
from maze_policy.maze import Maze, load_maze
from maze_policy.node_config import SimulatorNodeConfig
from maze_policy.render import Renderer
from maze_policy.simulator import ROUNDING_S, Simulator


class SimulatorNode(CommandedNode):
    """Episode after episode; ends with exit code 0 when all were solved, else 1.

    The arm trusts nobody: without a command for a moment, or with two nodes that command, the board levels itself.
    """

    drains = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('simulator', **kwargs)
        self._config = declare(self, SimulatorNodeConfig)
        self._maze = declare(self, Maze, 'maze', load_maze())
        self._physics = declare(self, PhysicsConfig, 'physics')
        self._camera = declare(self, CameraConfig, 'camera')
        refuse_unknown_parameters(self)
        self._simulator = Simulator(self._maze, self._physics, seed=self._config.seed)
        self._renderer = Renderer(self._maze, self._camera)
        # Warm up: the first step and the first image take many times the usual.
        self._simulator.step(LEVEL[None])
        self._renderer.camera_image(self._simulator.position_m[0], self._simulator.tilt_rad[0])
        self._image = self.output(topics.CAMERA_IMAGE)
        self._info = self.output(topics.CAMERA_INFO)
        self._ball = self.output(topics.BALL)
        self._reset_policy = self.create_client(Trigger, topics.RESET_SERVICE)
        self._solved_after_s: list[float | None] = []  # each episode; None: not solved
        self._stamp_ns = self._answered_ns = 0  # of the last frame; of the last command
        self._ended, self._give_up_s = False, 0.0
        self._reset: Any = None  # the pending answer of the policy's reset service
        self._elapsed_s, self._innermost = 0.0, 0
        self.listen_to(TiltCommands(self._config.command_timeout_s))
        self.start_when_taken(self._config, self._start)

    def _start(self) -> None:
        self._start_episode()
        self.wait_until_acknowledged()  # whom we have found may not have found us yet
        self.create_timer(1.0 / self._physics.rate_hz, self._tick, clock=self.steady)

    def on_command(self, stamp_ns: int) -> None:
        """Note which frame was answered."""
        self._answered_ns = stamp_ns

    def _commanded_rad(self) -> Any:
        """The latest command, or level when it is too old."""
        now_s = time.monotonic()
        if self.commands.silent(now_s) and (self.commands.heard or self._elapsed_s > 1.0):
            why = f'no good tilt command for {self._config.command_timeout_s * 1e3:g} ms: board levelled'
            self.health.fail(why)
            self.get_logger().warning(why, throttle_duration_sec=5.0)
        return self.commands.tilt_rad(now_s)

    def _tick(self) -> None:
        if self._ended:
            self._go_on()
            return
        began_s = time.monotonic()
        self._simulator.step(self._commanded_rad()[None])
        self._elapsed_s += 1.0 / self._physics.rate_hz
        self._show()
        solved = bool(self._simulator.solved[0])
        if solved or self._elapsed_s > self._config.time_limit_s - ROUNDING_S:
            self._solved_after_s.append(self._elapsed_s if solved else None)
            what = f'solved in {self._elapsed_s:.1f} s' if solved else f'not solved in {self._config.time_limit_s:g} s'
            self.get_logger().info(f'episode {len(self._solved_after_s)}: {what}')
            self._ended, self._give_up_s = True, time.monotonic() + self._config.answer_timeout_s
        self.health.took('tick', time.monotonic() - began_s)

    def _show(self) -> None:
        """Publish the ball and the image under one stamp."""
        position_m, tilt_rad = self._simulator.position_m[0], self._simulator.tilt_rad[0]
        self._stamp_ns = self.now_ns()
        header = messages.header_at(self._stamp_ns, 'camera')
        self._ball.publish(messages.ball_message(messages.header_at(self._stamp_ns, 'maze'), position_m))
        self._info.publish(messages.camera_info_message(header, self._camera, self._maze.view_m))
        self._image.publish(messages.picture_message(header, self._renderer.camera_image(position_m, tilt_rad)))
        self.health.count('frames')
        ring = int(self._maze.ring(np.hypot(*position_m)))
        if ring < self._innermost:
            self._innermost = ring
            where = f'ring {ring}' if ring else 'the centre'
            self.get_logger().info(f'ball in {where} after {self._elapsed_s:.1f} s')

    def _go_on(self) -> None:
        """After an episode: let the policy answer the last frame, then forget; then the next episode, or the end."""
        waiting = time.monotonic() < self._give_up_s
        if self._answered_ns != self._stamp_ns and not self._reset and waiting:
            return
        if len(self._solved_after_s) == self._config.episodes:
            self._end()
            return
        if not self._reset:
            self._reset = self._reset_policy.call_async(Trigger.Request())
            self._give_up_s = time.monotonic() + self._config.answer_timeout_s
        elif self._reset.done():
            self._start_episode()
        elif not waiting:
            self.get_logger().warning(f'{topics.RESET_SERVICE} does not answer: the policy keeps its memory')
            self._reset_policy.remove_pending_request(self._reset)
            self._start_episode()

    def _start_episode(self) -> None:
        self._simulator.reset()
        self.commands.clear()
        self._elapsed_s, self._innermost = 0.0, self._maze.rings + 1
        self._ended, self._reset = False, None
        self._show()

    def _end(self) -> None:
        solved_s = [seconds for seconds in self._solved_after_s if seconds is not None]
        each = ', '.join(f'{seconds:.1f} s' for seconds in solved_s)
        self.get_logger().info(f'solved {len(solved_s)} of {len(self._solved_after_s)}{": " + each if each else ""}')
        self.exit_code = 0 if len(solved_s) == len(self._solved_after_s) else 1


def main() -> int:
    """Run the node."""
    return run(SimulatorNode)


if __name__ == '__main__':
    sys.exit(main())
