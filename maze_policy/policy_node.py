"""Play a recurrent policy: a camera frame in, a tilt command out, and everything its memory did on the way."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from std_srvs.srv import Trigger

from maze_policy import messages, topics
from maze_policy.actions import next_tilt
from maze_policy.base_node import declare, refuse_unknown_parameters, run
from maze_policy.board import BoardConfig
from maze_policy.board_watch import NOT_YET, BoardGuard, BoardWatch
from maze_policy.config import OBSERVATION_PX, TiltConfig
from maze_policy.freshness import Freshness
from maze_policy.managed_node import ManagedNode
from maze_policy.maze import Maze, load_maze
from maze_policy.node_config import PolicyNodeConfig
from maze_policy.observation import observe
from maze_policy.policy import PolicyStep, RecurrentPolicy, choose

WATCH_S = 0.005
OUTPUTS = (
    topics.OBSERVATION,
    topics.LSTM_GATES,
    topics.LSTM_STATE,
    topics.ACTION_SCORES,
    topics.TILT_COMMAND,
    topics.EPISODE,
    topics.READOUT,
)


class PolicyNode(ManagedNode):
    """The policy actuates, so in doubt it fails towards a level board.

    Stale, repeated, out-of-order or malformed frames never reach the memory; scores that are not finite never become
    an action; silence, a signal or an exception level the board. The watchdog runs on the steady clock. With a
    calibration it plays only while the board is in view and where it was calibrated.

    A managed node: `configure` loads and verifies the checkpoint, `activate` listens to the camera and starts an
    episode, `deactivate` levels the board and listens no more.
    """

    drains = False  # at the end the board is levelled at once

    def __init__(self, policy: RecurrentPolicy | None = None, **kwargs: Any) -> None:
        """`policy`: played instead of the one of the `checkpoint` parameter."""
        super().__init__('policy', **kwargs)
        self._config = config = declare(self, PolicyNodeConfig, on_change=self._on_change)
        tilt = declare(self, TiltConfig, 'physics')
        self._tilt_step_rad, self._tilt_limit_rad = np.radians([tilt.tilt_step_deg, tilt.tilt_limit_deg])
        self.health.facts |= {key: getattr(tilt, name) for name, key in topics.TILT_KEYS.items()}
        maze, self._board = declare(self, Maze, 'maze', load_maze()), declare(self, BoardConfig, 'board')
        refuse_unknown_parameters(self)
        self._guard: BoardGuard | None = None
        if self._board.calibrated:
            self._guard = BoardGuard(BoardWatch(self._board, maze).objection, config.board_check_s)
        self._given = policy
        self._policy: Any = None
        self._fresh = Freshness(config.max_age_s, config.max_ahead_s)
        self._memory: Any = None  # None: the next frame starts an episode
        self._size: messages.Shape = (None, None)  # of the episode's frames
        self._episodes = 0
        self._tilt_rad: Any = np.zeros(2)
        self._level, self._heard_frame_s = True, time.monotonic()
        self._frame_id = ''
        self._frames = self._watchdog = None
        self.create_service(Trigger, topics.RESET_SERVICE, self._on_reset)
        self.begin(config)

    def configure(self) -> None:
        """Load the policy, and tell its readout."""
        self._policy = self._given
        if not self._policy:
            self._policy, about = _load(self._config.checkpoint)
            self.health.facts |= about
        # Warm up: the first step of a network takes many times the usual, and so does the first top view.
        height, width = self._board.height_px or OBSERVATION_PX, self._board.width_px or OBSERVATION_PX
        observation = observe(np.zeros((height, width, 3), np.uint8), self._board)
        self._policy.step(observation, self._policy.initial_memory())
        for topic in OUTPUTS:
            self.output(topic)
        self.tell(topics.READOUT, messages.matrix_message(messages.header_at(self.now_ns()), self._policy.readout))

    def activate(self) -> None:
        """Listen to the camera; the first frame starts an episode."""
        self._memory, self._heard_frame_s = None, time.monotonic()
        self._fresh.forget()
        if self._guard:
            self._guard.forget()
        self._frames = self.input(topics.CAMERA_IMAGE, self._on_frame, reliable=self._config.camera_reliable)
        self._watchdog = self.create_timer(WATCH_S, self._watch, clock=self.steady)
        self.get_logger().info(f'playing a policy of {self._policy.n_l} channels, {self._policy.n_a} actions')

    def deactivate(self) -> None:
        """Level the board; then listen no more."""
        self._make_level()
        self.destroy_timer(self._watchdog)
        self.destroy_subscription(self._frames)
        self.get_logger().info('level; playing no more')

    def clean_up(self) -> None:
        """Forget the policy, and what late listeners would hear of it."""
        self._policy = None
        for topic in OUTPUTS:
            self.drop_output(topic)

    def _on_change(self, config: PolicyNodeConfig) -> None:
        if config.checkpoint != self._config.checkpoint and self.configured:
            raise ValueError('the checkpoint is loaded by `configure`: deactivate and clean up first')
        self._config = config
        self._fresh.max_age_s, self._fresh.max_ahead_s = config.max_age_s, config.max_ahead_s

    def _on_frame(self, message: Any) -> None:
        stamp_ns, began_s = messages.stamp_ns(message.header), time.monotonic()
        if objection := self._fresh.objection(stamp_ns, self.now_ns()):
            self.refuse(*objection)
            return
        passed_s = self._fresh.passed_s(stamp_ns)
        self._watch()  # after a halt of the whole process this frame may be served before the timer
        self._mind_silence(passed_s, f'from one frame to the next {passed_s:.2f} s passed on the clock')
        first = self._memory is None
        try:
            image = messages.picture(message, 'rgb8', (None, None) if first else self._size)
            observation = observe(image, self._board)
        except ValueError as error:
            self.refuse('malformed frame', error)
            return
        self._fresh.used(stamp_ns)
        if not first and (missing := round(passed_s * self._config.camera_rate_hz) - 1) > 0:
            self.health.count('missing frames', missing)
        if self._guard and self._guard.trouble:
            self._wait_for_board(self._guard, image)
            return
        self._heard_frame_s, self._frame_id = began_s, message.header.frame_id

        step = self._policy.step(observation, self._policy.initial_memory() if first else self._memory)
        try:
            action = choose(step.scores)
        except FloatingPointError as error:
            self._make_level(f'no-op and level: {error}', message.header)
            self._memory = None
            return
        if (took_s := time.monotonic() - began_s) > self._config.level_after_s:
            self._mind_silence(took_s, f'a step took {took_s * 1e3:.0f} ms')
            return
        self._memory, self._size = step.memory, (image.shape[0], image.shape[1])
        self._tilt_rad = next_tilt(self._tilt_rad, action, self._tilt_step_rad, self._tilt_limit_rad)
        self.tell(topics.TILT_COMMAND, messages.tilt_message(message.header, self._tilt_rad))
        self._level = False
        self._tell(message.header, observation, step, first)
        self.health.count('frames')
        self.health.took('frame to tell', time.monotonic() - began_s)
        if self._guard:
            self._guard.look(image, began_s)

    def _wait_for_board(self, guard: BoardGuard, image: Any) -> None:
        """Level and forget until the board is where it was calibrated."""
        if guard.trouble != NOT_YET:
            self.refuse('frame without the board', guard.trouble)
            if not self._level:
                self._make_level(f'level: {guard.trouble}')
            self._memory = None
        guard.look(image, time.monotonic())
        if not guard.trouble:
            self.get_logger().info('the board is where it was calibrated')

    def _tell(self, header: Any, observation: Any, step: PolicyStep, first: bool) -> None:
        if first:
            self._episodes += 1
            name = f'episode-{self._episodes:04d}'
            self.tell(topics.EPISODE, messages.header_at(messages.stamp_ns(header), name))
            self.get_logger().info(name)
        self.tell(topics.OBSERVATION, messages.picture_message(header, observation))
        self.tell(topics.LSTM_GATES, messages.matrix_message(header, step.gates))
        self.tell(topics.LSTM_STATE, messages.matrix_message(header, np.stack([step.hidden, step.cell])))
        self.tell(topics.ACTION_SCORES, messages.matrix_message(header, step.scores))

    def _watch(self) -> None:
        silent_s = time.monotonic() - self._heard_frame_s
        self._mind_silence(silent_s, f'no usable frame for {silent_s * 1e3:.0f} ms')

    def _mind_silence(self, silent_s: float, why: str) -> None:
        """Level after a short silence, forget after a long one."""
        if silent_s > self._config.level_after_s and not self._level:
            self._make_level(f'level: {why}')
        if silent_s > self._config.forget_after_s:
            if self._memory is not None:
                self.get_logger().info(f'memory reset: {why}')
            self._memory = None
            self._fresh.forget()

    def _on_reset(self, _: Any, response: Any) -> Any:
        """Level the board; the next frame starts an episode."""
        self._memory = None
        if self.active:
            self._make_level()
        response.success, response.message = True, f'reset after {self._episodes} episodes'
        return response

    def _make_level(self, trouble: str = '', header: Any = None) -> None:
        """Command a level board; trouble goes to the log and to /diagnostics."""
        if trouble:
            self.alarm(trouble)
        self._tilt_rad = np.zeros(2)
        self._level = True
        header = header or messages.header_at(self.now_ns(), self._frame_id)
        self.tell(topics.TILT_COMMAND, messages.tilt_message(header, self._tilt_rad))

    def last_words(self) -> None:
        """Level the board."""
        if self.active:
            self._make_level()

    def finish(self) -> None:
        """End the guard's thread."""
        if self._guard:
            self._guard.close()


def _load(checkpoint: str) -> tuple[RecurrentPolicy, dict[str, object]]:
    """The policy, and what /diagnostics says of it, so that a recording can be verified."""
    # torch takes seconds to import: not for a policy that is given
    from maze_policy.checkpoint import load_policy, provenance
    from maze_policy.network import build

    policy, of = load_policy(checkpoint or None, threads=1), provenance(checkpoint or None)
    about = {
        topics.CHECKPOINT_KEY: checkpoint or of['name'],
        topics.CHECKPOINT_SHA256_KEY: of['sha256'],
        topics.BUILD_KEY: build(),
    }
    return policy, about


def main() -> int:
    """Run the node."""
    return run(PolicyNode)


if __name__ == '__main__':
    sys.exit(main())
