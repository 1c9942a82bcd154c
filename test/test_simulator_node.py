import numpy as np
import pytest
from std_srvs.srv import Trigger

from maze_policy import messages, topics
from maze_policy.config import PhysicsConfig
from maze_policy.maze import load_maze
from maze_policy.observation import observe
from maze_policy.render import Renderer
from maze_policy.simulator import Simulator
from maze_policy.simulator_node import SimulatorNode

MAZE = load_maze()
TILT = np.array([0.02, -0.03])


class Player:
    """Answers every frame with a tilt command, as a policy does, and remembers what it saw."""

    def __init__(self, graph, tilt=TILT, resets=True):
        self.graph, self.tilt = graph, tilt
        self.probe = graph.probe()
        self.probe.hear(topics.CAMERA_INFO, topics.BALL)
        self.frames, self.resets = [], 0
        kind = messages.message_class(topics.IMAGE)
        self.probe.node.create_subscription(kind, topics.CAMERA_IMAGE.name, self.on_frame, 50)
        self.probe.publisher(topics.TILT_COMMAND)
        if resets:
            self.probe.node.create_service(Trigger, topics.RESET_SERVICE, self.on_reset)

    def on_frame(self, message):
        self.frames.append(message)
        if self.tilt is not None:
            self.probe.say(topics.TILT_COMMAND, messages.tilt_message(message.header, self.tilt))

    def on_reset(self, _, response):
        self.resets += 1
        response.success = True
        return response


def test_frame_ball_and_camera_info_share_a_stamp_and_agree(graph):
    player = Player(graph)
    graph.add(SimulatorNode, seed=3)
    graph.until(lambda: len(player.frames) >= 5 and len(player.probe.heard[topics.BALL]) >= 5)
    frame = player.frames[4]
    ball = next(m for m in player.probe.heard[topics.BALL] if m.header.stamp == frame.header.stamp)
    info = next(m for m in player.probe.heard[topics.CAMERA_INFO] if m.header.stamp == frame.header.stamp)
    assert (frame.header.frame_id, info.header.frame_id, ball.header.frame_id) == ('camera', 'camera', 'maze')
    rgb = messages.picture(frame, 'rgb8', (480, 640))
    expected = Renderer(MAZE).camera_image(messages.ball(ball), np.zeros(2))
    # The tilt is not on the wire, and it changes the picture a little: the ball must be in the same place.
    assert np.abs(observe(rgb).astype(int) - observe(expected)).mean() < 8
    stamps = [messages.stamp_ns(message.header) for message in player.frames]
    assert all(np.diff(stamps) > 0)


def test_the_seed_decides_where_the_ball_starts_and_the_command_how_it_rolls(graph):
    player = Player(graph, tilt=None)
    graph.add(SimulatorNode, seed=11, command_timeout_s=60.0)
    ball = player.probe.heard[topics.BALL]
    graph.until(lambda: len(ball) >= 3)

    twin = Simulator(MAZE, PhysicsConfig(), seed=11)
    twin.step(np.zeros((1, 2)))  # the node warms up
    twin.reset()
    positions = [twin.position_m[0].copy()]
    for _ in range(2):
        twin.step(np.zeros((1, 2)))
        positions.append(twin.position_m[0].copy())
    np.testing.assert_array_equal([messages.ball(message) for message in ball[:3]], positions)


def test_without_commands_the_board_levels_itself(graph):
    player = Player(graph)
    node = graph.add(SimulatorNode)
    graph.until(lambda: np.abs(node._simulator.tilt_rad).max() > 0.015)
    player.tilt = None
    graph.until(lambda: np.abs(node._simulator.tilt_rad).max() < 1e-3)
    assert 'board levelled' in node.health.report(1.0).summary


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_command_that_is_not_finite_is_refused(graph, bad):
    player = Player(graph, tilt=np.array([bad, 0.0]))
    node = graph.add(SimulatorNode)
    graph.until(lambda: node.health.refused('tilt command') >= 3)
    assert not node._simulator.tilt_rad.any()
    assert len(player.frames) >= 3


def test_two_policies_that_command_at_once_level_the_board(graph):
    Player(graph)
    node = graph.add(SimulatorNode, command_timeout_s=1.0)
    graph.until(lambda: np.abs(node._simulator.tilt_rad).max() > 0.015)
    second = Player(graph, tilt=-TILT, resets=False)
    graph.until(lambda: node.health.refused('second policy') and np.abs(node._simulator.tilt_rad).max() < 1e-3)
    second.tilt = None
    graph.until(lambda: np.abs(node._simulator.tilt_rad).max() > 0.015)


def test_after_each_episode_the_policy_is_reset_and_after_the_last_the_node_ends(graph, capfd):
    player = Player(graph)
    node = graph.add(SimulatorNode, episodes=2, time_limit_s=0.3)
    graph.until(lambda: node.exit_code is not None)
    assert node.exit_code == 1
    assert player.resets == 1
    log = capfd.readouterr().err
    assert 'episode 2: not solved in 0.3 s' in log
    assert 'solved 0 of 2' in log


def test_a_ball_in_the_centre_is_solved_and_all_solved_is_exit_code_0(graph, capfd):
    Player(graph)
    node = graph.add(SimulatorNode, episodes=1, maze__solved_radius_m=0.09)
    graph.until(lambda: node.exit_code is not None)
    assert node.exit_code == 0
    assert 'solved 1 of 1: 0.0 s' in capfd.readouterr().err


def test_the_last_frame_is_answered_before_the_node_ends(graph):
    player = Player(graph)
    node = graph.add(SimulatorNode, episodes=1, time_limit_s=0.2, answer_timeout_s=60.0)
    graph.until(lambda: len(player.frames) >= 3)
    player.tilt = None
    graph.until(lambda: node._ended)
    graph.spin_for(0.3)
    assert node.exit_code is None
    player.probe.say(topics.TILT_COMMAND, messages.tilt_message(player.frames[-1].header, TILT))
    graph.until(lambda: node.exit_code is not None)


def test_a_policy_without_a_reset_service_does_not_stop_the_show(graph, capfd):
    player = Player(graph, resets=False)
    node = graph.add(SimulatorNode, time_limit_s=0.1, answer_timeout_s=0.2)
    graph.until(lambda: len(node._solved_after_s) == 2)
    assert player.resets == 0
    assert 'policy/reset does not answer' in capfd.readouterr().err


def test_geometry_physics_and_camera_are_parameters(graph):
    player = Player(graph)
    node = graph.add(
        SimulatorNode, physics__rate_hz=60.0, camera__width_px=320, camera__height_px=240, maze__view_m=0.21
    )
    graph.until(lambda: len(player.frames) >= 2)
    assert (player.frames[0].width, player.frames[0].height) == (320, 240)
    assert node._physics.rate_hz == 60.0
    assert node._maze.view_m == 0.21
