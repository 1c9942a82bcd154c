import math
from itertools import pairwise

import numpy as np
import pytest

from maze_policy.actions import next_tilt
from maze_policy.boards import Boards
from maze_policy.config import PhysicsConfig
from maze_policy.expert import Expert, Route
from maze_policy.maze import Maze, load_maze
from maze_policy.world import WorldConfig

MAZE, PHYSICS = load_maze(), PhysicsConfig()
STEP_RAD = math.radians(PHYSICS.tilt_step_deg)


def play(count, seed, **world):
    """Seconds that the expert needs on each board."""
    boards = Boards(MAZE, WorldConfig(**world), count, seed)
    expert, playing = Expert(MAZE, PHYSICS), np.arange(count)
    while playing.size and boards.elapsed.max() < 1800:
        simulator = boards.simulator
        state = (part[playing] for part in (simulator.position_m, simulator.velocity_m_s, boards.command_rad))
        boards.step(expert.act(*state), playing)
        playing = playing[~simulator.solved[playing]]
    assert playing.size == 0
    return boards.elapsed_s


def test_solves_every_maze_in_seconds():
    times = play(512, seed=1)
    assert times.mean() < 6.5
    assert times.max() < 10


def test_solves_every_maze_late_and_on_other_physics():
    times = play(256, seed=2, latency_steps=2, rolling_resistance=(0.002, 0.004), restitution=(0.2, 0.5))
    assert times.max() < 20


def test_the_action_is_the_one_most_wanted():
    expert, random = Expert(MAZE, PHYSICS), np.random.default_rng(0)
    position, velocity = random.uniform(-0.06, 0.06, (500, 2)), random.normal(0, 0.05, (500, 2))
    command = random.uniform(-0.087, 0.087, (500, 2))
    wanted = expert.preferences(position, velocity, command)
    np.testing.assert_allclose(wanted[:, :4:2], -wanted[:, 1:4:2])
    assert (wanted[:, 4] == 0.5).all()
    action = expert.act(position, velocity, command)
    assert {0, 1, 2, 3} <= set(action.tolist())
    np.testing.assert_array_equal(wanted[np.arange(500), action], wanted.max(axis=1))
    twice = expert.preferences(position, velocity, command, np.full(500, 2 * STEP_RAD))
    np.testing.assert_allclose(twice[:, :4], wanted[:, :4] / 2)
    # An action does what is lacking: asked again after it, the tilt lacks one step less in its direction.
    after = expert.preferences(position, velocity, next_tilt(command, action, STEP_RAD, 1.0))
    moved = np.flatnonzero(action < 4)
    np.testing.assert_allclose(after[moved, action[moved]], wanted[moved, action[moved]] - 1, atol=1e-9)


def test_levels_the_board_and_stays_in_the_centre():
    boards = Boards(MAZE, WorldConfig(), 1, 0)
    boards.simulator.reset(ring=0)
    boards.command_rad[:] = boards.simulator.tilt_rad[:] = np.radians(2.0)
    expert = Expert(MAZE, PHYSICS)
    for _ in range(300):
        state = (boards.simulator.position_m, boards.simulator.velocity_m_s, boards.command_rad)
        boards.step(expert.act(*state), np.arange(1))
    assert np.hypot(*boards.simulator.position_m[0]) < 0.005
    assert np.abs(boards.command_rad).max() < np.radians(1.1)


# Two walls with one opening each, at 0 and 90 degrees: lanes in the middle of 0.03 and 0.05 m.
SIMPLE = Maze(
    wall_radius_m=(0.02, 0.04),
    rim_radius_m=0.06,
    wall_thickness_m=0.002,
    ball_radius_m=0.005,
    opening_clear_m=0.0145,
    openings_per_wall=(1, 1),
    opening_deg=(0.0, 90.0),
    solved_radius_m=0.013,
    view_m=0.13,
)


@pytest.mark.parametrize(
    ('position', 'length'),
    [
        ((0.01, 0.0), 0.01),
        ((0.03, 0.0), 0.01 + 0.02),
        ((0.0, 0.03), 0.01 + math.pi / 2 * 0.03 + 0.02),
        ((0.0, 0.05), 0.01 + 0.02 + math.pi / 2 * 0.03 + 0.02),
        ((0.05, 0.0), 0.01 + math.pi / 2 * 0.05 + 0.02 + math.pi / 2 * 0.03 + 0.02),
        ((0.0, -0.05), 0.01 + math.pi * 0.05 + 0.02 + math.pi / 2 * 0.03 + 0.02),
    ],
)
def test_route_adds_up_arcs_and_steps_inwards(position, length):
    assert Route(SIMPLE).to_go_m([position])[0] == pytest.approx(length)


def test_route_takes_the_best_opening_not_the_nearest():
    route = Route(MAZE)
    naive = []
    position = 0.0865 * np.array([[math.cos(0.3), math.sin(0.3)]])
    walls, lanes, first, angle, _ = route.geometry
    for a in range(first[3], first[4]):
        for b in range(first[2], first[3]):
            for c in range(first[1], first[2]):
                way = [0.3, angle[a], angle[b], angle[c], angle[0]]
                turns = [abs(math.remainder(x - y, 2 * math.pi)) for x, y in pairwise(way)]
                naive.append(sum(turn * lane for turn, lane in zip(turns, lanes[:0:-1])) + 0.0865)
    assert len(walls) == 4
    assert route.to_go_m(position)[0] == pytest.approx(min(naive))
