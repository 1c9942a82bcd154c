import math
from dataclasses import replace

import numpy as np
import pytest

from maze_policy.config import PhysicsConfig
from maze_policy.maze import load_maze
from maze_policy.simulator import COEFFICIENTS, Simulator, half_gap_rad

MAZE = load_maze()
IDEAL = PhysicsConfig(tilt_lag_s=0.0, rolling_resistance=0.0, viscous_per_s=0.0, wall_friction=0.0, substeps=256)
REACH_M = MAZE.ball_radius_m + MAZE.wall_thickness_m / 2


def at(position_m, physics=IDEAL, velocity_m_s=(0.0, 0.0)):
    simulator = Simulator(MAZE, physics)
    simulator.position_m[0] = position_m
    simulator.velocity_m_s[0] = velocity_m_s
    return simulator


def polar(radius_m, degrees):
    return radius_m * np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])


@pytest.mark.parametrize(
    ('command', 'direction'), [((1, 0), (0, -1)), ((-1, 0), (0, 1)), ((0, 1), (1, 0)), ((0, -1), (-1, 0))]
)
def test_rolls_downhill_as_a_solid_ball_does(command, direction):
    tilt = math.radians(1.0)
    start = np.array([0.0, 0.0475])  # middle of ring 2, under no opening
    simulator = at(start)
    for _ in range(5):
        simulator.step(tilt * np.array([command]))
    want = start + 0.5 * 5 / 7 * 9.81 * math.sin(tilt) / 6**2 * np.array(direction)
    np.testing.assert_allclose(simulator.position_m[0], want, atol=1e-5)


def test_board_follows_its_command_with_the_lag():
    simulator = at((0.0, 0.0475), replace(IDEAL, tilt_lag_s=0.05))
    simulator.step([[0.02, -0.01]])
    np.testing.assert_allclose(simulator.tilt_rad[0], np.array([0.02, -0.01]) * (1 - math.exp(-1 / 30 / 0.05)))


def test_rolling_resistance_holds_a_ball_on_a_slight_slope():
    simulator = at((0.0, 0.0475), replace(IDEAL, rolling_resistance=0.003))
    simulator.step([[0.0029, 0.0]])
    assert simulator.velocity_m_s[0].tolist() == [0.0, 0.0]
    simulator.step([[0.0031, 0.0]])
    assert simulator.velocity_m_s[0, 1] < 0


def test_viscous_damping_slows_exponentially():
    simulator = at((-0.02, 0.0475), replace(IDEAL, viscous_per_s=0.25), velocity_m_s=(0.05, 0.0))
    for _ in range(15):
        simulator.step([[0.0, 0.0]])
    assert simulator.velocity_m_s[0, 0] == pytest.approx(0.05 * math.exp(-0.25 * 0.5), rel=1e-4)


def test_wall_returns_the_normal_speed_and_rubs_the_tangential_one():
    physics = replace(IDEAL, restitution=0.35, wall_friction=0.1)
    start = np.array([MAZE.rim_radius_m - REACH_M - 0.0001, 0.0])
    simulator = at(start, physics, velocity_m_s=(0.1, 0.06))
    simulator.step([[0.0, 0.0]])
    x, y = simulator.position_m[0]
    out = np.array([x, y]) / math.hypot(x, y)
    impulse = 1.35 * 0.1
    # The wall is curved: compare in the frame of the contact, which is 0.05 degrees from the x axis.
    assert simulator.velocity_m_s[0] @ out == pytest.approx(-0.35 * 0.1, abs=2e-3)
    assert simulator.velocity_m_s[0] @ [-out[1], out[0]] == pytest.approx(0.06 - 0.1 * impulse, abs=2e-3)


def test_ball_rolls_through_an_opening_and_not_through_the_wall_beside_it():
    half_deg = math.degrees(half_gap_rad(MAZE)[3])
    for degrees, ring in ((150.0, 3), (150.0 + 2 * half_deg, 4)):
        start = polar(0.0865, degrees)
        simulator = at(start, velocity_m_s=-0.1 * start / np.hypot(*start))
        for _ in range(9):
            simulator.step([[0.0, 0.0]])
        assert MAZE.ring(np.hypot(*simulator.position_m[0])) == ring


@pytest.mark.parametrize('side', [-1, 1])
def test_ball_bounces_off_the_round_end_of_a_wall(side):
    """Aimed straight at the round end, it comes straight back; a little to the inside, it is deflected inwards."""
    wall_m = MAZE.wall_radius_m[3]
    end = polar(wall_m, 150.0 + side * math.degrees(half_gap_rad(MAZE)[3]))
    along = side * np.array([-end[1], end[0]]) / wall_m  # from the opening into the wall
    elastic = replace(IDEAL, restitution=1.0)
    simulator = at(end - along * (REACH_M + 0.001), elastic, velocity_m_s=0.06 * along)
    simulator.step([[0.0, 0.0]])
    np.testing.assert_allclose(simulator.velocity_m_s[0], -0.06 * along, atol=1e-6)

    inwards = -end / wall_m
    simulator = at(end - along * (REACH_M + 0.001) + 0.002 * inwards, elastic, velocity_m_s=0.06 * along)
    simulator.step([[0.0, 0.0]])
    assert np.hypot(*simulator.velocity_m_s[0]) == pytest.approx(0.06)
    # The normal leans by asin(2 mm / reach); the velocity is mirrored in it.
    lean = math.asin(0.002 / REACH_M)
    assert simulator.velocity_m_s[0] @ inwards == pytest.approx(0.06 * math.sin(2 * lean), rel=1e-3)


def distance_to_walls_m(position_m):
    """Distance of points (n, 2) to the nearest wall mid-line, from 4,000 points per wall."""
    points = [polar_points(MAZE.rim_radius_m, np.linspace(0, 2 * math.pi, 4000))]
    for radius_m, openings, half in zip(MAZE.wall_radius_m, MAZE.openings_rad, half_gap_rad(MAZE)):
        angle = np.linspace(0, 2 * math.pi, 4000)
        off = np.abs((angle[:, None] - openings + math.pi) % (2 * math.pi) - math.pi)
        points.append(polar_points(radius_m, angle[(off >= half).all(axis=1)]))
    points = np.concatenate(points)
    return np.array([np.hypot(*(points - position).T).min() for position in position_m])


def polar_points(radius_m, angle):
    return radius_m * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_no_ball_ever_gets_into_a_wall():
    physics = PhysicsConfig()
    simulator = Simulator(MAZE, physics, 256, seed=3)
    simulator.reset(ring=np.arange(256) % 5)
    random = np.random.default_rng(3)
    command = np.zeros((256, 2))
    visited = set()
    for step in range(600):
        command = np.clip(command + random.choice([-0.02, 0, 0.02], (256, 2)), -0.087, 0.087)
        simulator.step(command)
        if step % 50 == 0:
            assert distance_to_walls_m(simulator.position_m).min() > REACH_M - 5e-5
        visited |= set(MAZE.ring(np.hypot(*simulator.position_m.T)).tolist())
    assert visited == {0, 1, 2, 3, 4}


def test_reset_puts_balls_all_over_the_ring_at_rest_and_level():
    simulator = Simulator(MAZE, PhysicsConfig(), 2000, seed=1)
    simulator.step(np.full((2000, 2), 0.05))
    simulator.reset()
    low, high = MAZE.lane_m(4)
    distance = np.hypot(*simulator.position_m.T)
    assert low <= distance.min() < low + 1e-4
    assert high - 1e-4 < distance.max() <= high
    angle = np.arctan2(*simulator.position_m.T)
    assert np.histogram(angle, 8, (-math.pi, math.pi))[0].min() > 200
    assert not simulator.velocity_m_s.any()
    assert not simulator.tilt_rad.any()
    simulator.reset([3, 5], ring=[1, 0])
    assert MAZE.ring(np.hypot(*simulator.position_m[[3, 5]].T)).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r'want a ring 0 to 4, got \[5\]'):
        simulator.reset([0], ring=5)


def test_same_seed_same_balls():
    one, same, other = (Simulator(MAZE, PhysicsConfig(), 4, seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.position_m, same.position_m)
    assert not np.array_equal(one.position_m, other.position_m)


def test_solved_is_remembered_until_reset():
    simulator = at((MAZE.solved_radius_m - 0.001, 0.0))
    assert not simulator.solved[0]
    simulator.step([[0.0, 0.0]])
    assert simulator.solved[0]
    simulator.position_m[0] = (0.0865, 0.0)
    simulator.step([[0.0, 0.0]])
    assert simulator.solved[0]
    simulator.reset()
    assert not simulator.solved[0]


def test_step_moves_only_the_boards_it_is_given():
    simulator = Simulator(MAZE, PhysicsConfig(), 3, seed=1)
    before = simulator.position_m.copy()
    for _ in range(5):
        simulator.step(np.full((3, 2), 0.05), [1])
    moved = np.any(simulator.position_m != before, axis=1)
    assert moved.tolist() == [False, True, False]


def rolled_m(**coefficients):
    """How far the ball rolls in 6 steps on a board with these coefficients, from rest, away from walls."""
    simulator = Simulator(MAZE, PhysicsConfig(), 2, seed=1)
    for name, value in coefficients.items():
        simulator.coefficients[1, COEFFICIENTS.index(name)] = value
    simulator.position_m[:] = (0.0, 0.0475)
    for _ in range(6):
        simulator.step(np.full((2, 2), 0.02))
    return np.hypot(*(simulator.position_m - (0.0, 0.0475)).T)


@pytest.mark.parametrize(
    ('coefficient', 'value'),
    [('gravity_m_s2', 5.0), ('rolling_resistance', 0.01), ('viscous_per_s', 5.0), ('tilt_lag_s', 0.2)],
)
def test_every_board_has_its_own_physics(coefficient, value):
    nominal, slow = rolled_m(**{coefficient: value})
    assert slow < 0.9 * nominal


def test_every_board_has_its_own_clock_ball_and_walls():
    nominal, longer = rolled_m(period_s=2 / 30)
    assert longer > 2 * nominal
    for name, value in (('ball_radius_m', 0.0045), ('restitution', 0.9), ('wall_friction', 0.9)):
        simulator = Simulator(MAZE, PhysicsConfig(), 2, seed=1)
        simulator.coefficients[1, COEFFICIENTS.index(name)] = value
        simulator.position_m[:] = (0.0, 0.0475)
        simulator.velocity_m_s[:] = (0.05, 0.08)
        for _ in range(6):
            simulator.step(np.zeros((2, 2)))
        apart_m = np.hypot(*np.diff(simulator.position_m, axis=0)[0])
        assert apart_m > 5e-4, name


@pytest.mark.parametrize('command', [[[0.0, 0.0]], [[0.0, math.nan], [0.0, 0.0]]])
def test_bad_commands_are_rejected(command):
    with pytest.raises(ValueError, match=r'want finite commands of shape \(2, 2\)'):
        Simulator(MAZE, PhysicsConfig(), 2).step(command)
