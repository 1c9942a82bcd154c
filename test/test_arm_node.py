import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from controller import Controller

from maze_policy import messages, topics
from maze_policy.arm_node import ArmNode

LIMIT, FASTEST, HARDEST = np.radians([5.0, 30.0, 400.0])
HELD_UP_S = 0.25  # for so long another test may have the processor
SOON_S = 0.5  # the promise of 0.15 s is the soak's, which has the processor for itself
PATIENT = {'max_age_s': 10.0, 'command_timeout_s': 10.0}  # a busy machine is no silence
UNHURRIED = {'time_from_start_s': 1.0}  # nor a stall
TILT = np.array([0.03, -0.05])


class Commander:
    """A policy in the test's hands."""

    def __init__(self, graph):
        self.graph, self.probe = graph, graph.probe()
        self.probe.publisher(topics.TILT_COMMAND)
        self._stamp_ns, self._kept_s = 0, 0.0

    def matched(self):
        return self.probe.publisher(topics.TILT_COMMAND).get_subscription_count()

    def say(self, tilt_rad=TILT, age_s=0.0):
        self._stamp_ns = max(self._stamp_ns + 1, time.time_ns() - int(age_s * 1e9))
        header = messages.header_at(self._stamp_ns if not age_s else time.time_ns() - int(age_s * 1e9))
        self.probe.say(topics.TILT_COMMAND, messages.tilt_message(header, np.array(tilt_rad, dtype=float)))

    def due(self):
        """Whether it is time again, as often as a policy commands."""
        if time.monotonic() - self._kept_s < 0.03:
            return False
        self._kept_s = time.monotonic()
        return True

    def keep(self, tilt_rad=TILT):
        """Say it, as often as a policy does."""
        if self.due():
            self.say(tilt_rad)


@pytest.fixture
def play(graph):
    """A controller, an arm node that listens, and a commander."""

    def make(interface='joint_trajectory', tells=None, **parameters):
        controller = Controller(graph, interface, tells=tells)
        commander = Commander(graph)
        node = graph.add(ArmNode, **({'interface': interface, 'near_neutral_deg': 0.1} | PATIENT | parameters))
        graph.until(commander.matched)
        return controller, commander, node

    return make


def keeps_to(controller, fastest):
    """Whether no two commands ask for a faster way than this between the times they were sent at.

    The arm may be kept from the processor between reckoning a command and sending it.
    """
    sent_s, path = np.array([at_s for at_s, _ in controller.path]), np.array([joints for _, joints in controller.path])
    within = [
        np.abs(path[apart:] - path[:-apart]).max(axis=1) <= fastest * (sent_s[apart:] - sent_s[:-apart] + HELD_UP_S)
        for apart in (1, 5, 20, 80)
    ]
    return all(each.all() for each in within)


def reaches(controller, joints):
    return lambda: bool(controller.path) and np.abs(controller.last - joints).max() < 1e-5


@pytest.mark.parametrize('interface', ['joint_trajectory', 'joints'])
def test_a_tilt_reaches_the_joints(graph, play, interface):
    controller, commander, _ = play(interface)
    commander.say()
    graph.until(reaches(controller, TILT))


def test_positions_begin_where_the_arm_is(graph, play):
    controller, commander, _ = play(
        'positions', tells=(0.02, 0.0), joint_states_topic='/joint_states', near_neutral_deg=5.0
    )
    assert controller.path[0][1] == pytest.approx([0.02, 0.0], abs=1e-3)
    commander.say()
    graph.until(reaches(controller, TILT))


def test_every_trajectory_is_one_that_a_controller_takes_and_ends_level(graph, play):
    controller, commander, _ = play()
    commander.say()
    graph.until(reaches(controller, TILT))
    commander.say(-TILT)
    graph.until(reaches(controller, -TILT))
    for message in controller.messages[2:]:
        times = [point.time_from_start.sec * 10**9 + point.time_from_start.nanosec for point in message.points]
        assert times[0] == 30_000_000
        assert all(np.diff(times) > 0)
        assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)
        assert list(message.points[-1].velocities) == [0.0, 0.0], 'else the controller refuses it'
        assert list(message.points[-1].positions) == [0.0, 0.0], 'so an arm whose node was killed levels itself'
    np.testing.assert_allclose(np.max(controller.rates, axis=0) <= FASTEST * 1.001, True)


def test_joints_that_do_not_tilt_stay_in_their_neutral_position(graph):
    joints = ('elbow', 'wrist_1', 'wrist_2')
    controller, commander = Controller(graph, joints=joints, tells=(0.5, -1.0, 1.5)), Commander(graph)
    graph.add(
        ArmNode,
        joint_names=list(joints),
        neutral_rad=[0.5, -1.0, 1.5],
        tilt_to_joints=[0.0, 0.0, 0.0, -1.0, 2.0, 0.0],
        joint_states_topic='/joint_states',
        **PATIENT,
    )
    graph.until(commander.matched)
    commander.say()
    graph.until(reaches(controller, [0.5, -1.0 + 0.05, 1.5 + 0.06]))
    assert all(joints[0] == 0.5 for _, joints in controller.path)


def test_the_arm_listens_only_when_its_controller_does(graph):
    commander = Commander(graph)
    node = graph.add(ArmNode, near_neutral_deg=0.1, wait_for_s=3.0)
    with pytest.raises(TimeoutError, match='nobody listens on /joint_trajectory_controller/joint_trajectory'):
        graph.until(commander.matched, 30)
    assert not commander.matched()
    assert node.health.counted('commands') == 0


def test_far_from_the_neutral_pose_nothing_moves(graph):
    controller = Controller(graph, tells=(0.0, np.radians(21.0)))
    node = graph.add(ArmNode, joint_states_topic='/joint_states')
    graph.until(lambda: 'tilt_y is 21.0 deg from its neutral position, want at most 20' in node._why_not)
    graph.spin_for(0.3)
    assert not controller.messages
    controller.told = (0.0, np.radians(1.0))
    graph.until(lambda: controller.messages)


def test_without_joint_states_nothing_moves(graph):
    controller = Controller(graph)
    node = graph.add(ArmNode, joint_states_topic='/joint_states')
    graph.until(lambda: 'nobody tells where tilt_x, tilt_y are on /joint_states' in node._why_not)
    graph.spin_for(0.3)
    assert not controller.messages


def test_the_way_to_the_neutral_pose_is_slow(graph):
    controller, commander = Controller(graph, tells=(0.05, -0.02)), Commander(graph)
    graph.add(ArmNode, joint_states_topic='/joint_states', approach_deg_s=4.0, **PATIENT, **UNHURRIED)
    graph.until(commander.matched)
    path = np.array([joints for _, joints in controller.path])
    np.testing.assert_allclose(path[0], [0.05, -0.02], atol=1e-3)
    np.testing.assert_allclose(path[-1], 0.0, atol=1e-5)
    assert keeps_to(controller, np.radians(4.0))


def test_an_end_on_the_way_to_the_neutral_pose_brakes_there(graph):
    controller = Controller(graph, tells=(0.05, -0.02))
    node = graph.add(ArmNode, joint_states_topic='/joint_states', approach_deg_s=1.0, **UNHURRIED)
    graph.until(lambda: len(controller.path) > 10)
    node.last_words()
    follower = node._motion.follower
    assert np.abs(follower.rate_rad_s).max() < 1e-6
    assert 0.03 < follower.position_rad[0] < 0.05
    assert -0.02 <= follower.position_rad[1] < -0.01


def test_where_nobody_tells_the_pose_the_controller_gets_one_long_way(graph):
    controller, commander = Controller(graph), Commander(graph)
    graph.add(ArmNode, near_neutral_deg=1.0, approach_deg_s=2.0)
    graph.until(lambda: controller.messages)
    [point] = controller.messages[0].points
    assert point.time_from_start.nanosec == 750_000_000
    began_s = time.monotonic()
    graph.until(commander.matched)
    assert time.monotonic() - began_s > 0.6


def test_an_end_on_that_long_way_does_not_hurry_it(graph):
    """Any trajectory from here would begin in the neutral pose, in 30 ms, wherever the joints are."""
    controller = Controller(graph)
    node = graph.add(ArmNode, near_neutral_deg=90.0, approach_deg_s=1.0)
    graph.until(lambda: controller.messages)
    node.last_words()
    graph.spin_for(0.3)
    assert len(controller.messages) == 1


def test_after_a_stall_it_goes_on_from_where_its_last_trajectory_led(graph, play):
    """The controller has levelled the board meanwhile; to be told of the tilt of before would make it jump."""
    controller, commander, node = play(**UNHURRIED)
    graph.until(lambda: commander.keep() or reaches(controller, TILT)())
    before = len(controller.path)
    node._advanced_s -= 60.0
    graph.until(lambda: commander.keep() or reaches(controller, [0.0, 0.0])())
    graph.until(lambda: commander.keep() or reaches(controller, TILT)())
    heights = [np.abs(joints).max() for _, joints in controller.path[before:]]
    level = heights.index(min(heights))
    assert set(np.round(heights[:level], 9)) <= {0.05}, 'level at once'
    del controller.path[: before + level]
    assert keeps_to(controller, FASTEST)


@pytest.mark.parametrize('interface', ['joint_trajectory', 'joints'])
def test_even_a_slow_arm_ends_level(graph, play, interface):
    controller, _, node = play(interface, rate_limit_deg_s=1.0, **UNHURRIED)
    node._motion.follower.position_rad = np.radians([4.0, 0.0])
    node.last_words()
    assert node._motion.follower.rests_at(np.zeros(2))
    graph.until(reaches(controller, [0.0, 0.0]))


def test_silence_levels_the_board_and_says_so(graph, play, capfd):
    controller, commander, node = play(command_timeout_s=0.3)
    graph.until(lambda: commander.keep() or reaches(controller, TILT)())
    graph.until(reaches(controller, [0.0, 0.0]))
    count = node.health.counted('failures')
    assert 'no good tilt command for 300 ms: board levelled' in capfd.readouterr().err
    graph.until(lambda: commander.keep([0.0, 0.0]) or not node.commands.silent(time.monotonic()))
    graph.until(lambda: node.commands.silent(time.monotonic()))
    graph.spin_for(0.1)
    assert node.health.counted('failures') == count, (
        'silence after level, as of a policy that was deactivated, is no news'
    )


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_tilt_that_is_not_finite_levels_the_board_at_once(graph, play, bad):
    controller, commander, node = play()
    commander.say()
    graph.until(reaches(controller, TILT))
    commander.say([bad, 0.0])
    graph.until(lambda: node.health.refused('tilt command'))
    assert node.commands.silent(time.monotonic()), 'else the timeout alone levels it'
    graph.until(reaches(controller, [0.0, 0.0]))


def test_a_stale_tilt_is_refused(graph, play):
    controller, commander, node = play(max_age_s=1.0)
    commander.say(age_s=2.0)
    graph.until(lambda: node.health.refused('stale command'))
    assert not controller.tilted


def test_where_nobody_tells_who_sent_a_message_a_second_publisher_levels_the_board(graph, play):
    """As on Humble and Jazzy, whose MessageInfo has no publisher_gid."""
    controller, _, node = play()
    command = messages.tilt_message(messages.header_at(time.time_ns()), TILT)
    node._on_tilt(command, {})
    graph.until(reaches(controller, TILT))
    Commander(graph)
    graph.until(lambda: node.count_publishers(topics.TILT_COMMAND.name) == 2)
    node._on_tilt(command, {})
    assert node.health.refused('second policy')
    assert node.commands.silent(time.monotonic()), 'else the timeout alone levels it'
    graph.until(reaches(controller, [0.0, 0.0]))


def test_a_tilt_beyond_the_limit_ends_at_the_limit(graph, play):
    controller, commander, _ = play()
    commander.say([1.0, -1e300])
    graph.until(reaches(controller, [LIMIT, -LIMIT]))


def test_when_the_controller_goes_nothing_is_commanded_and_the_return_is_slow(graph, play):
    controller, commander, node = play(
        tells=(0.0, 0.0), joint_states_topic='/joint_states', near_neutral_deg=10.0, approach_deg_s=10.0, **UNHURRIED
    )
    graph.until(lambda: commander.keep() or reaches(controller, TILT)())
    controller.close()
    graph.until(lambda: 'nobody listens' in node._why_not)
    assert node._motion is None
    back = Controller(graph, tells=TILT)
    graph.until(lambda: commander.keep([0.0, 0.0]) or reaches(back, [0.0, 0.0])())
    path = np.array([joints for _, joints in back.path])
    np.testing.assert_allclose(path[0], TILT, atol=1e-3)
    assert keeps_to(back, np.radians(10.0))
    graph.until(lambda: commander.keep() or reaches(back, TILT)())


def test_when_nobody_tells_the_joints_any_more_nothing_is_commanded(graph, play):
    controller, _, node = play(tells=(0.0, 0.0), joint_states_topic='/joint_states')
    controller.told = None
    graph.until(lambda: 'nobody tells where tilt_x, tilt_y are on /joint_states' in node._why_not)
    count = node.health.counted('commands')
    graph.spin_for(0.2)
    assert node.health.counted('commands') == count


def test_an_arm_that_does_not_follow_is_commanded_no_more_and_the_node_ends(graph, play):
    controller, commander, node = play(tells=(0.0, 0.0), joint_states_topic='/joint_states', near_neutral_deg=1.0)
    controller._note = lambda at_s, joints: controller.path.append((at_s, np.array(joints)))  # stuck
    says = r'stopped: tilt_x is 5\.0 deg from its command, want at most 3: .* look at the arm before you start again'
    with pytest.raises(OSError, match=says):
        graph.until(lambda: commander.keep([LIMIT, 0.0]))
    count = len(controller.path)
    graph.executor.remove_node(node)
    node.last_words()
    graph.spin_for(0.2)
    assert len(controller.path) == count, 'not even to level: somebody may hold it'


def test_two_arm_nodes_do_not_both_move_the_arm(graph, play):
    play(tells=(0.0, 0.0), joint_states_topic='/joint_states')
    other = graph.add(ArmNode, joint_states_topic='/joint_states')
    says = 'somebody else commands the arm too, on /joint_trajectory_controller/joint_trajectory: a second arm node?'
    graph.until(lambda: other._why_not == says)
    count = other.health.counted('commands')
    graph.spin_for(0.2)
    assert other.health.counted('commands') == count == 0


def start(domain, *parameters, module='arm_node'):
    arguments = ['--ros-args', '-r', '__ns:=/maze']
    for parameter in parameters:
        arguments += ['-p', parameter]
    return subprocess.Popen(
        [sys.executable, '-m', f'maze_policy.{module}', *arguments],
        env=os.environ | {'ROS_DOMAIN_ID': str(domain)},
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )


@pytest.fixture
def process(graph, domain):
    """An arm node of its own process that listens, its controller, and a commander."""
    made = []

    def make(*parameters, interface='joint_trajectory'):
        controller, commander = Controller(graph, interface), Commander(graph)
        made.append(start(domain, f'interface:={interface}', 'near_neutral_deg:=0.1', *parameters))
        graph.until(commander.matched)
        return made[-1], controller, commander

    yield make
    for one in made:
        one.kill()
        one.communicate()


@pytest.mark.parametrize('interface', ['joint_trajectory', 'joints'])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_levels_the_board_within_the_limits_and_ends_with_0(graph, process, number, interface):
    one, controller, commander = process('time_from_start_s:=1.0', interface=interface)
    graph.until(lambda: commander.keep() or reaches(controller, TILT)())
    one.send_signal(number)
    graph.until(lambda: one.poll() is not None)
    graph.until(reaches(controller, [0.0, 0.0]))
    assert one.returncode == 0
    assert keeps_to(controller, FASTEST)


def test_without_a_controller_it_ends_with_a_sentence_and_has_sent_nothing(graph, domain):
    probe = graph.probe()
    probe.hear(topics.DIAGNOSTICS)
    one = start(domain, 'wait_for_s:=8.0')
    graph.until(lambda: one.poll() is not None, 120)
    assert one.returncode == 1
    said = one.communicate()[1]
    assert 'after 8 s still nobody listens on /joint_trajectory_controller/joint_trajectory' in said
    assert 'ros2 control list_controllers' in said
    assert 'Traceback' not in said
    told = [status for message in probe.heard[topics.DIAGNOSTICS] for status in message.status]
    assert any(status.level == b'\x02' and 'nobody listens' in status.message for status in told)
    assert 'commands' not in {pair.key for status in told for pair in status.values}


def test_a_flood_of_commands_never_exceeds_a_limit(graph, process):
    """1 kHz of random tilts, on the wire: by the positions and the velocities (accelerations: test_faults_limits)."""
    _, controller, commander = process(*(f'{name}:={value}' for name, value in (PATIENT | UNHURRIED).items()))
    rng = np.random.default_rng(5)
    end_s, said = time.monotonic() + 4.0, 0
    began_s = time.monotonic()
    while time.monotonic() < end_s:
        while said < (time.monotonic() - began_s) * 1000:
            commander.say(rng.uniform(-2, 2, 2) * LIMIT)
            said += 1
        graph.executor.spin_once(timeout_sec=0.0005)
    assert said > 3000
    commander.say([0.0, 0.0])
    graph.until(reaches(controller, [0.0, 0.0]))
    path, rates = np.array([joints for _, joints in controller.path]), np.array(controller.rates)
    assert len(path) > 100
    assert np.abs(path).max() <= LIMIT * (1 + 1e-9)
    assert keeps_to(controller, FASTEST)
    assert np.abs(rates).max() <= FASTEST * (1 + 1e-9)
    assert np.abs(rates).max() > FASTEST * 0.9, 'the flood moves it'


def test_a_second_policy_levels_the_board(graph, process):
    _, controller, commander = process('command_timeout_s:=1.0')
    graph.until(lambda: commander.keep() or reaches(controller, TILT)())
    second = Commander(graph)
    second.probe.hear(topics.DIAGNOSTICS)
    graph.until(second.matched)
    graph.until(lambda: commander.keep() or second.keep(-TILT) or reaches(controller, [0.0, 0.0])())
    told = second.probe.heard[topics.DIAGNOSTICS]
    says = 'want one node that commands the tilt, got 2: board levelled'
    graph.until(lambda: commander.keep() or second.keep(-TILT) or any(says in m.status[0].message for m in told))
    graph.until(lambda: commander.keep() or reaches(controller, TILT)())


def test_the_policy_waits_for_the_arm_and_the_arm_for_its_controller_and_a_killed_policy_levels(graph, domain):
    """The real policy, killed by SIGKILL in the middle of its play; times count from its last command."""
    probe, heard = graph.probe(), []
    probe.publisher(topics.CAMERA_IMAGE)
    kind = messages.message_class(topics.TILT_COMMAND.type)
    probe.node.create_subscription(
        kind, topics.TILT_COMMAND.name, lambda message, info: heard.append((message, info)), 10
    )

    def seen():
        return probe.publisher(topics.CAMERA_IMAGE).get_subscription_count() > 0

    patient = ('max_age_s:=10.0', 'level_after_s:=10.0')
    policy = start(domain, "wait_for:=['arm']", *patient, module='policy_node')
    arm = start(domain, 'near_neutral_deg:=0.1', 'max_age_s:=10.0')
    shown = Commander(graph)
    try:
        graph.until(lambda: probe.node.count_publishers(topics.TILT_COMMAND.name), 120)
        graph.spin_for(1.0)
        assert not seen(), 'no controller, so no arm, so no policy'
        controller = Controller(graph)
        graph.until(seen)

        def show():
            now = messages.header_at(time.time_ns(), 'camera')
            if shown.due():
                probe.say(topics.CAMERA_IMAGE, messages.picture_message(now, np.full((480, 640, 3), 80, np.uint8)))

        graph.until(lambda: show() or (controller.tilted and np.abs(controller.last).max() > 0.02))
        policy.kill()
        policy.wait()
        graph.until(reaches(controller, [0.0, 0.0]))
    finally:
        for one in (policy, arm):
            one.kill()
            one.communicate()
    last_s = heard[-1][1]['source_timestamp'] * 1e-9
    commanded = messages.tilt(heard[-1][0])
    after = [(at_s - last_s, np.abs(joints).max()) for at_s, joints in controller.path if at_s > last_s]
    highest = max(height for _, height in after)
    falls_s = max(at_s for at_s, height in after if height == highest)
    level_s = next(at_s for at_s, height in after if at_s > falls_s and height < 1e-5)
    print(f'after the last command the board begins to fall at {falls_s:.3f} s and is level at {level_s:.3f} s')
    assert np.abs(commanded).max() > 0.02
    assert falls_s < SOON_S
    assert level_s < SOON_S + LIMIT / FASTEST + 2 * FASTEST / HARDEST


def test_what_is_wrong_with_the_parameters_is_said_in_one_line(domain):
    one = start(domain, 'interface:=positions')
    _, error = one.communicate(timeout=120)
    assert one.returncode == 1
    assert error.startswith('arm_node: parameters: interface positions wants joint_states_topic')
    assert error.count('\n') == 1
