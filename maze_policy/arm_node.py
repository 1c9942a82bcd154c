"""Move the arm: a tilt command in, commands for the arm's controller out, within its limits and level in doubt."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from maze_policy import messages, topics
from maze_policy.arm import Waypoint, approach, neutral_rad, tilting
from maze_policy.base_node import declare, refuse_unknown_parameters, run
from maze_policy.command import LEVEL, TiltCommands
from maze_policy.commanded_node import CommandedNode
from maze_policy.node_config import ARM_INTERFACES, ArmNodeConfig
from maze_policy.topics import Topic

PATIENCE_S = 0.5  # a joint may be off its command for this long
TOLD_S = 1.0  # joint states older than this are none
RECENT_S = 0.3  # by those older than this no joint is judged


class ArmNode(CommandedNode):
    """Looks for the controller, brings the joints slowly to the neutral pose, and only then listens to the policy.

    Where the controller or the joints are not as they should be, nothing is commanded, and the reason is told. The
    arm trusts nobody: silence, a second policy and what is not finite level the board; so does every end.
    """

    drains = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('arm', **kwargs)
        self._config = config = declare(self, ArmNodeConfig)
        refuse_unknown_parameters(self)
        self._period_s = 1.0 / config.command_rate_hz
        self._type = ARM_INTERFACES[config.interface][1]
        self._controllers = {name: self.output(Topic(name, self._type, 1)) for name in config.topics}
        self._motion: Any = None  # None: nothing is commanded
        self._do: Callable[[float], None] = self._seek
        self._why_not = ''  # why the policy may not play, while it may not
        self._since_s = self._advanced_s = time.monotonic()  # since when it may not; when the motion last went on
        self._alone_until_s = 0.0  # the controller needs no more commands until then
        self._joints_rad: Any = None  # as told last
        self._told_s, self._astray_since_s = -np.inf, np.inf  # when; and since when they are not where they should be
        self._target_rad = LEVEL
        if config.joint_states_topic:
            told = Topic(config.joint_states_topic, 'sensor_msgs/msg/JointState', 1)
            self.input(told, self._on_joints, reliable=False)
        self.start_when_taken(config, self._start)

    def _start(self) -> None:
        self._since_s = time.monotonic()
        self.create_timer(self._period_s, self._tick, clock=self.steady)

    def _on_joints(self, message: Any, _: Any) -> None:
        try:
            joints_rad = messages.joint_positions(message, self._config.joint_names)
        except ValueError as error:
            self.refuse('joint states', error)
            return
        if joints_rad is not None:
            self._joints_rad, self._told_s = joints_rad, time.monotonic()

    def _tick(self) -> None:
        now_s = time.monotonic()
        if self._motion:
            self._stop_if_astray(now_s)
        if self._motion and (absent := self._absent(now_s)):
            self._give_up(absent, now_s)
        self._do(now_s)
        if self._why_not and now_s - self._since_s > self._config.wait_for_s:
            raise TimeoutError(f'after {self._config.wait_for_s:g} s still {self._why_not}')

    def _seek(self, now_s: float) -> None:
        """Wait for a controller that listens and an arm that is near its neutral pose."""
        self._why_not = self._absent(now_s) or self._far_from_neutral()
        if self._why_not:
            self.get_logger().warning(f'waiting: {self._why_not}', throttle_duration_sec=5.0, skip_first=True)
            return
        config, neutral = self._config, neutral_rad(self._config)
        self._motion = approach(config, neutral if self._joints_rad is None else self._joints_rad)
        self._alone_until_s, self._advanced_s, self._astray_since_s = now_s, now_s, np.inf
        if self._joints_rad is None and config.interface == 'joint_trajectory':
            # Where the arm is only its controller knows: one long way, as if it were as far off as it may be.
            way_s = 1.5 * config.near_neutral_deg / config.approach_deg_s
            self._publish_way([Waypoint(way_s, neutral, np.zeros_like(neutral))])
            self._alone_until_s += way_s
        self._why_not = 'on the way to the neutral pose'
        self.get_logger().info(self._why_not)
        self._do = self._approach

    def _approach(self, now_s: float) -> None:
        """Bring the joints to the neutral pose; then listen to the policy."""
        if now_s < self._alone_until_s:
            self._advanced_s = now_s
            return
        neutral = neutral_rad(self._config)
        self._advance(neutral)
        if not self._motion.follower.rests_at(neutral):
            return
        if astray := self._astray():
            self._why_not = astray
            return
        self._motion, self._why_not, self._do = tilting(self._config), '', self._play
        self._target_rad = LEVEL
        if hasattr(self, 'commands'):
            self.commands.clear()
        else:
            config = self._config
            self.listen_to(TiltCommands(config.command_timeout_s, config.max_age_s, config.max_ahead_s))
        self.get_logger().info(f'level; listening to {topics.TILT_COMMAND.name}')

    def _play(self, now_s: float) -> None:
        """Follow the commands."""
        if self.commands.silent(now_s) and self._target_rad.any():  # silence after level is no news
            why = f'no good tilt command for {self._config.command_timeout_s * 1e3:g} ms: board levelled'
            self.alarm(why)
        self._target_rad = self.commands.tilt_rad(now_s)
        self._advance(self._target_rad)

    def _advance(self, target_rad: Any) -> None:
        """One step towards a target, sent."""
        motion, config, now_s = self._motion, self._config, time.monotonic()
        passed_s, self._advanced_s = now_s - self._advanced_s, now_s
        if config.interface != 'joint_trajectory':
            passed_s = min(passed_s, self._period_s)  # the controller stood still meanwhile: nothing is caught up with
        elif passed_s > config.time_from_start_s:
            # After a stall the controller is past the last trajectory's beginning: go on from where that led it.
            motion.go_on(passed_s, config.command_timeout_s)
            passed_s = 0.0
        motion.follower.step(target_rad, passed_s)
        if config.interface == 'joint_trajectory':
            self._publish_way(motion.ahead(config.time_from_start_s, config.command_timeout_s))
        elif config.interface == 'positions':
            self._controllers[config.topics[0]].publish(messages.positions_message(motion.joints_rad()))
        else:
            for controller, position_rad in zip(self._controllers.values(), motion.joints_rad()):
                controller.publish(messages.position_message(position_rad))
        self.health.count('commands')

    def _publish_way(self, way: list[Waypoint]) -> None:
        [controller] = self._controllers.values()
        controller.publish(messages.trajectory_message(self._config.joint_names, way))

    def _absent(self, now_s: float) -> str:
        """Who is not there that must be, in words; empty when all are."""
        for controller in self._controllers.values():
            if self.count_publishers(controller.topic_name) > 1:
                return f'somebody else commands the arm too, on {controller.topic_name}: a second arm node?'
            if not controller.get_subscription_count():
                return (
                    f'nobody listens on {controller.topic_name} ({self._type}): is the controller active '
                    '(ros2 control list_controllers), and is its topic the one in controller_topics?'
                )
        if self._config.joint_states_topic and now_s - self._told_s > TOLD_S:
            joints = ', '.join(self._config.joint_names)
            return f'nobody tells where {joints} are on {self._config.joint_states_topic}: joint_state_broadcaster?'
        return ''

    def _far_from_neutral(self) -> str:
        near_deg = self._config.near_neutral_deg
        name, off_deg = self._off(neutral_rad(self._config))
        if off_deg <= near_deg:
            return ''
        return (
            f'{name} is {off_deg:.1f} deg from its neutral position, want at most {near_deg:g}: bring the arm there '
            'first, with its teach pendant or a planner'
        )

    def _astray(self) -> str:
        name, off_deg = self._off(self._motion.joints_rad())
        if off_deg <= self._config.tolerance_deg:
            return ''
        return (
            f'{name} is {off_deg:.1f} deg from its command, want at most {self._config.tolerance_deg:g}: does the '
            'controller move it?'
        )

    def _off(self, wanted_rad: Any) -> tuple[str, float]:
        """The joint that is furthest from where it is wanted, and how far, deg; none where they are not told."""
        if self._joints_rad is None:
            return '', 0.0
        off_deg = np.degrees(np.abs(self._joints_rad - wanted_rad))
        worst = int(np.argmax(off_deg))
        return self._config.joint_names[worst], float(off_deg[worst])

    def _stop_if_astray(self, now_s: float) -> None:
        """End where a joint does not follow for a while, and command nothing more: somebody may hold it.

        Raises:
            OSError: saying which.
        """
        astray = self._astray()
        if not astray or now_s < self._alone_until_s or now_s - self._told_s > RECENT_S:
            self._astray_since_s = np.inf
            return
        self._astray_since_s = min(self._astray_since_s, now_s)
        if now_s - self._astray_since_s > PATIENCE_S:
            self._motion = None
            raise OSError(f'stopped: {astray} Nothing more is commanded; look at the arm before you start again')

    def _give_up(self, why: str, now_s: float) -> None:
        """Command nothing until all is well again; then return slowly."""
        if not self._why_not:
            self._since_s = now_s
        self._motion, self._why_not, self._do = None, why, self._seek
        self.health.fail(why)
        self.get_logger().error(f'stopped: {why}', throttle_duration_sec=1.0)

    def report(self) -> None:
        """Put the health on /diagnostics, an error while the policy may not play."""
        if self._why_not:
            self.health.fail(self._why_not)
        super().report()

    def last_words(self) -> None:
        """Level the board; on the way to the neutral pose stop. Within the limits, so it takes a moment."""
        if not self._motion:
            return
        if (left_s := self._alone_until_s - time.monotonic()) > 0:
            # Nobody knows where the joints are, so nothing else can be said that does not make them jump.
            self.get_logger().warning(f'the controller goes on to the neutral pose, slowly, for {left_s:.1f} s')
            return
        follower = self._motion.follower
        end_rad = LEVEL if self._do == self._play else follower.stop_rad
        give_up_s = time.monotonic() + 1.0 + 2.0 * follower.ahead(0.0, 0.0, end_rad)[-1].after_s
        self._advance(end_rad)
        while not follower.rests_at(end_rad) and time.monotonic() < give_up_s:
            time.sleep(self._period_s)
            self._advance(end_rad)


def main() -> int:
    """Run the node."""
    return run(ArmNode)


if __name__ == '__main__':
    sys.exit(main())
