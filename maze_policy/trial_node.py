"""The referee: end a trial, level the board, have the ball put back, begin the next; it needs to see the ball alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState

from maze_policy import messages, topics
from maze_policy.base_node import BaseNode, declare, refuse_unknown_parameters, run
from maze_policy.maze import Maze, load_maze
from maze_policy.node_config import TrialNodeConfig
from maze_policy.program import Program
from maze_policy.trial import Settling, Trial, summary, times

TICK_S = 0.02
REMIND_S = 15.0  # how often a person is asked again
ASK_AGAIN_S = 2.0
LEADS_TO = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
}


class TrialNode(BaseNode):
    """Trial after trial; ends with exit code 0 when all were solved, else 1.

    The policy plays only during a trial: it is activated and deactivated, which levels the board, through its lifecycle
    services. A trial is void, and played again, when the ball is seen no more or somebody else has stopped the policy.
    """

    drains = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('trial', **kwargs)
        self._config = declare(self, TrialNodeConfig)
        self._maze = declare(self, Maze, 'maze', load_maze())
        refuse_unknown_parameters(self)
        self._state_of_policy = self.create_client(GetState, topics.GET_STATE_SERVICE)
        self._change_policy = self.create_client(ChangeState, topics.CHANGE_STATE_SERVICE)
        self._watcher: Settling | Trial | None = None  # who is told where the ball is
        self._seen_s = time.monotonic()
        self._playing = False  # whether the policy may be active, as far as we know
        self._program: Program | None = None
        self._trials: list[Trial] = []
        self._story = self._referee()
        self.start_when_taken(self._config, self._start)

    def _start(self) -> None:
        self.input(topics.BALL, self._on_ball)
        self.create_timer(TICK_S, self._tick, clock=self.steady)

    def _on_ball(self, message: Any) -> None:
        position_m = messages.ball(message)
        if not np.isfinite(position_m).all():
            self.refuse('ball', f'want a finite position, got {position_m.tolist()} m')
            return
        self._seen_s = time.monotonic()
        self.health.count('sightings')
        if self._watcher:
            self._watcher.see(messages.stamp_ns(message.header), position_m)

    def _tick(self) -> None:
        if self.exit_code is None:
            next(self._story)

    def _referee(self) -> Iterator[None]:
        """What happens, one step per tick."""
        played = 0
        while not self._config.episodes or played < self._config.episodes:
            yield from self._stop_policy()
            yield from self._put_ball_back()
            self._playing = True
            if not (yield from self._change(Transition.TRANSITION_ACTIVATE)):
                self._fail('the policy does not begin; its own log says why. Trying again')
                continue
            trial = yield from self._watch()
            played += trial.counts
            self._tell(trial, played)
        self.get_logger().info(summary(self._trials))
        self.exit_code = 0 if all(trial.solved for trial in self._trials if trial.counts) else 1
        yield

    def _watch(self) -> Generator[None, None, Trial]:
        """Watch a trial to its end, and stop the policy."""
        trial = self._watcher = Trial(self._maze, self._config.time_limit_s, self._config.solved_frames)
        self._seen_s = time.monotonic()
        while not trial.outcome:
            if time.monotonic() - self._seen_s > self._config.lost_after_s:
                trial.give_up(f'no ball was seen for {self._config.lost_after_s:g} s')
            yield
        self._watcher = None
        if not (yield from self._stop_policy()):
            trial.give_up('somebody else stopped the policy')
        return trial

    def _put_ball_back(self) -> Iterator[None]:
        """Until the ball lies in the outer ring; again and again, by the command or by a person."""
        config, asked = self._config, False
        settling = self._watcher = Settling(self._maze, config.settle_s)
        ask_s = time.monotonic() + (0.0 if config.reset_command else config.settle_s + 1.0)
        while not settling.done or self._program or (config.reset_command and not asked):
            if self._program and (trouble := self._program.ended()) is not None:
                self._program, ask_s = None, time.monotonic() + config.reset_timeout_s
                if trouble:
                    self._fail(f'the ball was not put back: {trouble}')
            if not self._program and time.monotonic() >= ask_s:
                asked, ask_s = True, time.monotonic() + REMIND_S
                if config.reset_command:
                    self.get_logger().info(f'putting the ball back: {config.reset_command[0]}')
                    self._program = Program(config.reset_command, config.reset_timeout_s)
                    settling = self._watcher = Settling(self._maze, config.settle_s)
                else:
                    self.get_logger().info(f'put the ball into the outer ring ({settling.says})')
            yield

    def _stop_policy(self) -> Generator[None, None, bool]:
        """Make the policy ready and still, whatever it does now; whether it was playing."""
        state = yield from self._state()
        steps = {
            State.PRIMARY_STATE_UNCONFIGURED: Transition.TRANSITION_CONFIGURE,
            State.PRIMARY_STATE_ACTIVE: Transition.TRANSITION_DEACTIVATE,
        }
        if state.id in steps:
            if not (yield from self._change(steps[state.id])):
                raise OSError(f'the policy stays {state.label}; its own log says why')
        elif state.id != State.PRIMARY_STATE_INACTIVE:
            raise OSError(f'want a policy that is unconfigured, inactive or active, got one that is {state.label}')
        self._playing = False
        return bool(state.id == State.PRIMARY_STATE_ACTIVE)

    def _state(self) -> Generator[None, None, Any]:
        """The state of the policy; an answer may get lost while DDS still makes the connection, so it asks again."""
        name, config = self.resolve_service_name(topics.GET_STATE_SERVICE), self._config
        began_s = time.monotonic()
        while not (self._state_of_policy.service_is_ready() and self._change_policy.service_is_ready()):
            if time.monotonic() - began_s > config.wait_for_s:
                raise TimeoutError(f'after {config.wait_for_s:g} s nobody serves {name}: no policy node?')
            self.get_logger().info(f'waiting: nobody serves {name}', throttle_duration_sec=5.0)
            yield
        began_s, asked_s, answer = time.monotonic(), -np.inf, None
        while not (answer and answer.done()):
            if time.monotonic() - began_s > config.answer_timeout_s:
                raise TimeoutError(f'{name} has not answered for {config.answer_timeout_s:g} s')
            if time.monotonic() - asked_s > ASK_AGAIN_S:
                answer, asked_s = self._state_of_policy.call_async(GetState.Request()), time.monotonic()
            yield
        return answer.result().current_state

    def _change(self, transition: int) -> Generator[None, None, bool]:
        """Ask for a transition; whether it came about."""
        request = ChangeState.Request(transition=Transition(id=transition))
        answer, asked_s = self._change_policy.call_async(request), time.monotonic()
        while not answer.done():
            if time.monotonic() - asked_s > ASK_AGAIN_S:
                state = yield from self._state()
                return bool(answer.result().success) if answer.done() else bool(state.id == LEADS_TO[transition])
            yield
        return bool(answer.result().success)

    def _tell(self, trial: Trial, played: int) -> None:
        self._trials.append(trial)
        if not trial.counts:
            self._fail(f'trial {trial.outcome}')
            return
        what = f'solved in {trial.time_s:.1f} s' if trial.solved else f'not solved in {trial.time_s:.1f} s'
        self.get_logger().info(f'trial {played}: {what} ({times(trial.ring_s)})')
        self.health.count('trials solved' if trial.solved else 'trials out of time')

    def _fail(self, why: str) -> None:
        self.health.fail(why)
        self.get_logger().error(why, throttle_duration_sec=1.0)

    def last_words(self) -> None:
        """Nobody plays without a referee."""
        if self._playing:
            request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
            self._change_policy.call_async(request)

    def finish(self) -> None:
        """Leave no program behind."""
        if self._program:
            self._program.stop()


def main() -> int:
    """Run the node."""
    return run(TrialNode)


if __name__ == '__main__':
    sys.exit(main())
