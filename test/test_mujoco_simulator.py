"""The MuJoCo engine: against the planar simulator on the same geometry, and as good a `Simulator` as that one.

Seen against the planar one: 0.1 mm after 0.6 s of free rolling, 0.6 mm after 1 s of rolling to and fro, 0.1 mm through
a bounce at the rim, 0.4 mm through a bounce at a ring wall (whose boxes are flat).
"""

import math

import mujoco
import numpy as np
import pytest

from maze_policy.actions import next_tilt
from maze_policy.config import PhysicsConfig
from maze_policy.expert import Expert
from maze_policy.maze import Maze, load_maze
from maze_policy.mujoco_model import mjcf, wall_pieces
from maze_policy.mujoco_simulator import MujocoSimulator
from maze_policy.simulator import COEFFICIENTS, Simulator

MAZE, PHYSICS = load_maze(), PhysicsConfig()
OPEN = Maze.from_dict(MAZE.as_dict() | {'wall_radius_m': [0.02], 'openings_per_wall': [1], 'opening_deg': [250.0]})
STEP, LIMIT = math.radians(PHYSICS.tilt_step_deg), math.radians(PHYSICS.tilt_limit_deg)
COLUMN = {name: index for index, name in enumerate(COEFFICIENTS)}

# name: start (m), commanded tilt at step k (steps about x, y), control steps, tolerance (m), least way rolled (m)
CASES = {
    'free rolling': ((0.0865, 0.0), lambda k: (min(k, 2), 0), 18, 0.0002, 0.008),
    'free rolling to and fro': ((0.0, 0.0865), lambda k: (0, k if k < 4 else max(8 - k, -4)), 30, 0.0015, 0.02),
    'bounce at the rim': ((0.0865, 0.0), lambda k: (0, 2), 40, 0.0005, 0.003),
    'bounce at a ring wall': ((0.003, 0.0865), lambda k: (2, 0), 45, 0.001, 0.003),
}


def random_tilts(seed: int, steps: int, count: int) -> np.ndarray:
    """Commands that random actions add up to, shape (steps, count, 2)."""
    actions = np.random.default_rng(seed).integers(0, 4, (steps // 4, count)).repeat(4, axis=0)
    tilts = [np.zeros((count, 2))]
    for action in actions:
        tilts.append(next_tilt(tilts[-1], action, STEP, LIMIT))
    return np.array(tilts[1:])


def state(simulator: Simulator, board: int) -> list[float]:
    return [*simulator.position_m[board], *simulator.velocity_m_s[board], *simulator.tilt_rad[board]]


@pytest.mark.parametrize('case', CASES)
def test_same_tilts_same_positions_as_the_planar_simulator(case):
    start, command, steps, tolerance_m, least_m = CASES[case]
    planar, solid = Simulator(MAZE, PHYSICS), MujocoSimulator(MAZE, PHYSICS)
    planar.position_m[0] = solid.position_m[0] = start
    ways = []
    for k in range(steps):
        tilt = STEP * np.array([command(k)])
        planar.step(tilt)
        solid.step(tilt)
        ways.append([planar.position_m[0].copy(), solid.position_m[0].copy()])
        np.testing.assert_allclose(solid.tilt_rad, planar.tilt_rad, atol=1e-9)
    way, other = np.array(ways).transpose(1, 0, 2)
    assert np.hypot(*np.diff(way, axis=0).T).sum() > least_m
    assert np.hypot(*(way - other).T).max() < tolerance_m


def test_velocity_is_the_change_of_the_position():
    simulator = MujocoSimulator(MAZE, PHYSICS)
    simulator.position_m[0] = 0.0, 0.0865
    simulator.coefficients[:, COLUMN['period_s']] = 1e-4
    for _ in range(2000):
        before = simulator.position_m.copy()
        simulator.step([[0.0, LIMIT / 2]])
    assert simulator.velocity_m_s[0, 0] > 0.02
    np.testing.assert_allclose(simulator.velocity_m_s, (simulator.position_m - before) / 1e-4, atol=1e-4)


def test_ball_rolls_through_an_opening():
    simulator = MujocoSimulator(MAZE, PHYSICS)
    angle = MAZE.openings_rad[3][1]  # 150 degrees
    inwards = -np.array([math.cos(angle), math.sin(angle)])
    simulator.position_m[0] = -0.0865 * inwards
    # Positive tilt about y rolls to +x, about x to -y.
    for _ in range(18):
        simulator.step([2 * STEP * np.array([-inwards[1], inwards[0]])])
    assert MAZE.ring(np.hypot(*simulator.position_m[0])) == 3


def test_expert_solves_the_maze():
    count = 20
    simulator, expert = MujocoSimulator(MAZE, PHYSICS, count, 5), Expert(MAZE, PHYSICS)
    command = np.zeros((count, 2))
    for _ in range(20 * 30):
        playing = np.flatnonzero(~simulator.solved)
        if not playing.size:
            break
        action = expert.act(simulator.position_m, simulator.velocity_m_s, command)
        command = next_tilt(command, action, STEP, LIMIT)
        simulator.step(command, playing)
    assert simulator.solved.mean() >= 0.95


def test_only_the_walls_near_the_ball_are_there_and_no_touch_is_lost():
    """Contacts of the engine's model beside those of a model with every piece of wall, wherever the ball gets."""
    whole = mujoco.MjModel.from_xml_string(mjcf(MAZE, wall_pieces(MAZE)))
    beside = mujoco.MjData(whole)
    simulator = MujocoSimulator(MAZE, PHYSICS)
    engine = simulator._data
    simulator.coefficients[:, COLUMN['period_s']] = 1 / 240  # one step of MuJoCo
    assert simulator._model.ngeom < whole.ngeom / 10
    touched = 0
    for tilt in random_tilts(3, 300, 1).repeat(8, axis=0):
        beside.qpos[:] = engine.qpos
        beside.qpos[:2] = simulator.tilt_rad[0]
        mujoco.mj_fwdPosition(whole, beside)
        simulator.step(tilt)
        np.testing.assert_allclose(np.sort(engine.contact.dist), np.sort(beside.contact.dist), atol=1e-12)
        touched += np.any(beside.contact.geom > 0) and beside.ncon > 1
    assert touched > 50


def test_twenty_balls_stay_in_the_maze_for_twenty_seconds():
    simulator = MujocoSimulator(MAZE, PHYSICS, 20, 2)
    middle_m, half_m = np.array(MAZE.wall_radius_m), MAZE.wall_thickness_m / 2
    openings = MAZE.openings_rad
    for tilt in random_tilts(2, 600, 20):
        simulator.step(tilt)
        assert np.isfinite([state(simulator, board) for board in range(20)]).all()
        x, y = simulator.position_m.T
        distance = np.hypot(x, y)
        assert distance.max() < MAZE.lane_m(MAZE.rings)[1] + 0.0015
        assert np.abs(simulator._unseen[:, 0]).max() < 0.001, 'off the floor'
        for radius_m, opening in zip(middle_m, openings):
            off = np.abs((np.arctan2(y, x)[:, None] - opening + math.pi) % (2 * math.pi) - math.pi).min(axis=1)
            inside = np.abs(distance - radius_m) < half_m
            assert np.all(off[inside] * radius_m < MAZE.opening_clear_m / 2), 'a ball in the wall'


def test_a_board_depends_on_nothing_but_its_own_state():
    tilts = random_tilts(4, 120, 3)
    together, alone = MujocoSimulator(MAZE, PHYSICS, 3, 7), MujocoSimulator(MAZE, PHYSICS, 3, 7)
    for simulator in (together, alone):
        simulator.coefficients[:, COLUMN['restitution']] = [0.1, 0.3, 0.5]
        simulator.coefficients[:, COLUMN['ball_radius_m']] = [0.005, 0.0055, 0.006]
        simulator.coefficients[:, COLUMN['period_s']] = [1 / 24, 1 / 30, 1 / 60]
    for tilt in tilts:
        together.step(tilt)
    for board in (2, 0, 1):
        for tilt in tilts:
            alone.step(tilt, [board])
    for board in range(3):
        assert state(together, board) == state(alone, board)
    np.testing.assert_array_equal(together.solved, alone.solved)


def test_the_same_again_after_a_reset():
    simulator = MujocoSimulator(MAZE, PHYSICS, 4)
    ends = []
    for _ in range(2):
        simulator.reseed(11)
        simulator.reset()
        for tilt in random_tilts(5, 60, 4):
            simulator.step(tilt)
        ends.append([state(simulator, board) for board in range(4)])
    assert ends[0] == ends[1]
    assert len({tuple(end) for end in ends[0]}) == 4


def test_reset_is_that_of_the_planar_simulator():
    planar, solid = Simulator(MAZE, PHYSICS, 6, 3), MujocoSimulator(MAZE, PHYSICS, 6, 3)
    for simulator in (planar, solid):
        simulator.step(np.full((6, 2), STEP))
        simulator.solved[:] = True
        simulator.reset([1, 4], [2, 0])
    np.testing.assert_array_equal(solid.position_m[[1, 4]], planar.position_m[[1, 4]])
    np.testing.assert_array_equal(MAZE.ring(np.hypot(*solid.position_m[[1, 4]].T)), [2, 0])
    assert not solid.velocity_m_s[[1, 4]].any()
    assert not solid.tilt_rad[[1, 4]].any()
    np.testing.assert_array_equal(solid.solved, [True, False, True, True, False, True])
    assert solid.tilt_rad[0].all()
    np.testing.assert_array_equal(solid.coefficients, planar.coefficients)


def test_a_ball_at_rest_stays_and_the_centre_is_solved():
    simulator = MujocoSimulator(MAZE, PHYSICS, 2, 1)
    simulator.reset([1], 0)
    start = simulator.position_m.copy()
    for _ in range(30):
        simulator.step(np.zeros((2, 2)))
    np.testing.assert_allclose(simulator.position_m, start, atol=1e-6)
    np.testing.assert_array_equal(simulator.solved, [False, True])


@pytest.mark.parametrize('command', [np.zeros((2, 2)), np.array([[0.0, math.nan]])])
def test_wrong_commands_are_rejected(command):
    with pytest.raises(ValueError, match='want finite commands of shape'):
        MujocoSimulator(MAZE, PHYSICS).step(command)


def test_a_ball_too_large_for_the_openings_is_rejected():
    simulator = MujocoSimulator(MAZE, PHYSICS)
    simulator.coefficients[0, COLUMN['ball_radius_m']] = 0.008
    with pytest.raises(ValueError, match=r'radius at most 0\.00725 m, got 0\.008'):
        simulator.step(np.zeros((1, 2)))


def rolled(name: str, values: list[float], *, speed_m_s: float, steps: int, maze: Maze = OPEN, **physics: float):
    """Boards that differ in one coefficient, each ball rolling outwards along x from 75 mm on a level board."""
    simulator = MujocoSimulator(maze, PhysicsConfig(**physics), len(values))
    simulator.coefficients[:, COLUMN[name]] = values
    simulator.position_m[:] = 0.075, 0.001
    simulator.velocity_m_s[:] = speed_m_s, 0.0
    spin = speed_m_s / simulator.coefficients[:, COLUMN['ball_radius_m']]
    simulator._unseen[:, 3] = spin  # about y: it rolls
    for _ in range(steps):
        simulator.step(np.zeros((len(values), 2)))
    return simulator


@pytest.mark.parametrize('speed_m_s', [0.05, 0.2])
def test_restitution_is_what_is_left_once_the_ball_rolls_again(speed_m_s):
    wanted = np.array([0.1, 0.35, 0.5])
    free = {'rolling_resistance': 0.0, 'viscous_per_s': 0.0}
    steps = 5 + round(0.0145 / speed_m_s * 30)
    back = rolled('restitution', wanted, speed_m_s=speed_m_s, steps=steps, **free)
    np.testing.assert_allclose(-back.velocity_m_s[:, 0] / speed_m_s, wanted, atol=0.04)


def test_resistance_stops_the_ball_where_it_should():
    values = np.array([0.003, 0.01, 0.05])
    simulator = rolled('rolling_resistance', values, speed_m_s=0.02, steps=60, viscous_per_s=0.0)
    way = simulator.position_m[:, 0] - 0.075
    np.testing.assert_allclose(way, 0.02**2 / (2 * 5 / 7 * 9.81 * values), rtol=0.1)
    assert np.abs(simulator.velocity_m_s).max() < 1e-6


def test_viscous_damping_slows_the_ball():
    simulator = rolled('viscous_per_s', [0.0, 1.0], speed_m_s=0.02, steps=15, rolling_resistance=0.0)
    np.testing.assert_allclose(simulator.velocity_m_s[:, 0] / 0.02, [1.0, math.exp(-0.5)], atol=0.01)


def test_radius_says_how_far_out_a_ball_gets():
    values = np.array([0.005, 0.0055, 0.007])
    simulator = MujocoSimulator(OPEN, PHYSICS, 3)
    simulator.coefficients[:, COLUMN['ball_radius_m']] = values
    simulator.position_m[:] = 0.08, 0.0
    for _ in range(90):
        simulator.step(np.tile([0.0, LIMIT], (3, 1)))
    np.testing.assert_allclose(simulator.position_m[:, 0], 0.095 - values, atol=0.0003)


def test_lag_gravity_wall_friction_and_period_act():
    def after(name: str, values: list[float], start=(0.0, 0.0865), steps: int = 15):
        simulator = MujocoSimulator(MAZE, PHYSICS, 2)
        simulator.coefficients[:, COLUMN[name]] = values
        simulator.position_m[:] = start
        for _ in range(steps):
            simulator.step(np.tile([0.0, 4 * STEP], (2, 1)))
        return simulator

    lag = after('tilt_lag_s', [0.0, 0.1], steps=1)
    np.testing.assert_allclose(lag.tilt_rad[:, 1], 4 * STEP * np.array([1, 1 - math.exp(-1 / 3)]), rtol=1e-6)
    gravity = after('gravity_m_s2', [5.0, 10.0], steps=10)
    assert 1.9 < gravity.velocity_m_s[1, 0] / gravity.velocity_m_s[0, 0] < 2.5
    friction = after('wall_friction', [0.0, 0.5], start=(0.0, 0.0894), steps=20)
    assert friction.position_m[0, 0] > friction.position_m[1, 0] + 0.001
    period = after('period_s', [1 / 60, 1 / 30], steps=10)
    assert period.position_m[0, 0] < period.position_m[1, 0] / 3
    np.testing.assert_allclose(period.tilt_rad[:, 1], 4 * STEP * (1 - np.exp(np.array([-10 / 3, -20 / 3]))), rtol=1e-6)
