import math

import numpy as np
import pytest

from maze_policy.boards import Boards
from maze_policy.config import PhysicsConfig
from maze_policy.expert import Expert
from maze_policy.maze import load_maze
from maze_policy.perspective import SCENE
from maze_policy.simulator import COEFFICIENTS, Simulator
from maze_policy.world import WorldConfig, load_world

MAZE, PHYSICS = load_maze(), PhysicsConfig()
STEP_RAD = np.radians(PHYSICS.tilt_step_deg)


def boards(count=1, seed=0, **world):
    return Boards(MAZE, WorldConfig(**world), count, seed)


def test_actions_add_up_to_a_command_within_the_limit():
    made, both = boards(2), np.arange(2)
    for _ in range(3):
        made.step(np.array([0, 3]), both)
    np.testing.assert_allclose(made.command_rad, STEP_RAD * np.array([[3, 0], [0, -3]]))
    for _ in range(20):
        made.step(np.array([0, 3]), both)
    np.testing.assert_allclose(made.command_rad, np.radians([[5, 0], [0, -5]]))
    with pytest.raises(ValueError, match='want an action 0 to 4'):
        made.step(np.array([5, 0]), both)


@pytest.mark.parametrize('latency', [0, 1, 2])
def test_latency_delays_the_board_and_not_the_command(latency):
    made, tilts = boards(latency_steps=latency), []
    for _ in range(4):
        made.step(np.array([2]), np.arange(1))
        tilts.append(made.simulator.tilt_rad[0, 1] > 0)
    assert tilts == [step >= latency for step in range(4)]
    assert made.command_rad[0, 1] == pytest.approx(4 * STEP_RAD)


def test_reset_forgets_commands_on_their_way():
    made = boards(2, latency_steps=2)
    made.step(np.array([0, 0]), np.arange(2))
    made.reset(np.array([0]))
    for _ in range(3):
        made.step(np.array([4, 4]), np.arange(2))
    assert made.simulator.tilt_rad[0].tolist() == [0.0, 0.0]
    assert made.simulator.tilt_rad[1, 0] > 0
    assert made.elapsed.tolist() == [3, 4]


def test_missed_frames_let_time_pass():
    made = boards(400, missed_frames=0.25)
    made.step(np.full(400, 4), np.arange(400))
    assert set(made.elapsed.tolist()) == {1, 2}
    assert 60 < np.count_nonzero(made.elapsed == 2) < 140


def test_a_command_lasts_through_a_missed_frame():
    made, everyone = boards(100, missed_frames=0.9, tilt_lag_s=0.0), np.arange(100)
    for commands in (1, 2):
        made.step(np.zeros(100, dtype=int), everyone)
        for tilts in (made.command_rad, made.simulator.tilt_rad):
            np.testing.assert_allclose(tilts, np.tile([commands * STEP_RAD, 0.0], (100, 1)), atol=1e-12)
    assert np.count_nonzero(made.elapsed > 2) > 90


def test_noise_differs_from_board_to_board_up_to_its_largest():
    clean, noisy = boards(40, seed=3), boards(40, seed=3, noise_levels=(0.0, 6.0))
    for each in (clean, noisy):
        each.simulator.position_m[:] = (0.0, 0.0865)
    everyone = np.arange(40)
    difference = noisy.observations(everyone).astype(float) - clean.observations(everyone)
    spread = difference.std(axis=(1, 2))
    assert spread.min() < 1.5
    assert 4.5 < spread.max() < 6.3
    assert abs(difference.mean()) < 0.3
    assert np.any(noisy.observations(everyone) != noisy.observations(everyone))


def test_observations_through_the_camera_are_much_the_same():
    direct, camera = boards(5, seed=1), boards(5, seed=1, view='camera')
    images = direct.observations(np.arange(5)).astype(int), camera.observations(np.arange(5))
    assert 0 < np.abs(images[0] - images[1]).max() <= 15


def test_observes_only_the_boards_asked_for():
    made = boards(3, seed=1)
    np.testing.assert_array_equal(made.observations(np.array([2]))[0], made.observations(np.arange(3))[2])


def test_same_seed_same_play():
    world = load_world('randomised')
    one, same = Boards(MAZE, world, 8, 5), Boards(MAZE, world, 8, 5)
    everyone, random = np.arange(8), np.random.default_rng(0)
    for _ in range(20):
        actions = random.integers(0, 5, 8)
        one.step(actions, everyone)
        same.step(actions, everyone)
        np.testing.assert_array_equal(one.observations(everyone), same.observations(everyone))


def test_a_late_command_takes_one_step_longer_and_none_overtakes_another():
    made = boards(400, latency_steps=1, latency_jitter=0.25, tilt_lag_s=0.0)
    everyone, tilts = np.arange(400), []
    for _ in range(6):
        made.step(np.zeros(400, dtype=int), everyone)
        tilts.append(made.simulator.tilt_rad[:, 0] / STEP_RAD)
    tilts = np.round(tilts)
    assert set(np.unique(tilts[2])) == {1.0, 2.0}  # one or two of three commands have arrived
    assert 60 < np.count_nonzero(tilts[2] == 1) < 140
    assert (np.diff(tilts, axis=0) >= 0).all()


def assert_each_drawn_by_itself(columns, ranges):
    """Columns of shape (300, n) fill their (low, high), and none goes with another."""
    for drawn, (low, high) in zip(columns.T, ranges, strict=True):
        assert low <= drawn.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < drawn.max() <= high
    alike = np.corrcoef(columns.T) - np.eye(len(ranges))
    assert np.abs(alike).max() < 0.3


def test_every_board_draws_its_own_physics_within_the_ranges():
    ranges = {
        'rolling_resistance': (0.001, 0.006),
        'viscous_per_s': (1.0, 2.0),
        'restitution': (0.2, 0.6),
        'wall_friction': (0.7, 0.9),
        'tilt_lag_s': (0.02, 0.1),
    }
    made = boards(300, **ranges, rate_hz=(20.0, 40.0))
    ranges['period_s'] = (1 / 40, 1 / 20)
    coefficients = made.simulator.coefficients
    assert_each_drawn_by_itself(coefficients[:, [COEFFICIENTS.index(name) for name in ranges]], ranges.values())
    assert (coefficients[:, COEFFICIENTS.index('gravity_m_s2')] == PHYSICS.gravity_m_s2).all()
    before = coefficients.copy()
    made.reset(np.array([3]))
    assert np.flatnonzero((coefficients != before).any(axis=1)).tolist() == [3]


def test_every_board_draws_its_own_scene_within_the_ranges():
    beside, aim, light = (0.03, 0.04), (-0.02, -0.01), (0.05, 0.08)
    same = {  # in the world as in the scene
        'zoom': (0.8, 0.9),
        'brightness': (1.1, 1.2),
        'tilt_cue_per_rad': (2.0, 2.5),
        'floor': (0.6, 0.7),
        'wall': (1.3, 1.4),
        'ball': (1.5, 1.6),
    }
    made = boards(
        300,
        view='perspective',
        camera_offset_m=beside,
        aim_offset_m=aim,
        light_gradient=light,
        camera_distance_m=(0.3, 0.5),
        camera_turn_deg=(9.0, 18.0),
        **same,
    )
    ranges = same | {
        'camera_x_m': beside,
        'camera_y_m': beside,
        'camera_z_m': (0.3, 0.5),
        'aim_x_m': aim,
        'aim_y_m': aim,
        'turn_rad': (math.pi / 20, math.pi / 10),
        'gradient_x': light,
        'gradient_y': light,
    }
    assert_each_drawn_by_itself(made._scene, [ranges[name] for name in SCENE])


def test_tilt_step_and_ball_size_are_drawn_too():
    made = boards(50, view='perspective', tilt_step_deg=(0.3, 0.6), ball_size=(0.9, 1.1))
    made.step(np.zeros(50, dtype=int), np.arange(50))
    steps_deg = np.degrees(made.command_rad[:, 0])
    assert 0.3 <= steps_deg.min() < 0.35
    assert 0.55 < steps_deg.max() <= 0.6
    size = made.simulator.coefficients[:, COEFFICIENTS.index('ball_radius_m')] / MAZE.ball_radius_m
    assert 0.9 <= size.min() < 0.92
    assert 1.08 < size.max() <= 1.1


def test_time_goes_by_the_boards_own_and_unsteady_clock():
    steady, unsteady = boards(100, rate_hz=(20.0, 40.0)), boards(100, rate_hz=25.0, rate_jitter=0.2)
    everyone, still = np.arange(100), np.full(100, 4)
    for _ in range(4):
        steady.step(still, everyone)
        unsteady.step(still, everyone)
    assert 4 / 40 <= steady.elapsed_s.min() < 0.105
    assert 0.19 < steady.elapsed_s.max() <= 4 / 20
    assert 4 * 0.04 * 0.8 <= unsteady.elapsed_s.min() < 4 * 0.04 < unsteady.elapsed_s.max() <= 4 * 0.04 * 1.2
    assert unsteady.elapsed.tolist() == [4] * 100


@pytest.mark.parametrize(
    ('what', 'low', 'high'), [('brightness', 0.7, 1.3), ('floor', 0.8, 1.2), ('blur_px', 0.0, 1.5), ('zoom', 0.9, 1.1)]
)
def test_every_board_has_its_own_camera_and_light(what, low, high):
    made = boards(30, seed=2, view='perspective', **{what: (low, high)})
    made.simulator.position_m[:] = (0.0, 0.0865)
    images = made.observations(np.arange(30)).astype(float)
    measure = {'blur_px': images.std(axis=(1, 2)), 'zoom': images[:, :4].mean(axis=(1, 2))}
    values = measure.get(what, images.mean(axis=(1, 2)))
    assert np.ptp(values) > 0.05 * values.mean()
    same = boards(30, seed=2, view='perspective', **{what: high})
    same.simulator.position_m[:] = (0.0, 0.0865)
    images = same.observations(np.arange(30))
    assert (images == images[0]).all()


@pytest.mark.parametrize('latency', [0, 3, 5])
def test_the_expert_acts_on_where_the_ball_will_be(latency):
    """With the commands on their way played ahead the expert loses nothing to latency."""
    made = boards(64, seed=1, latency_steps=latency)
    playing = np.arange(64)
    while playing.size and made.elapsed_s.max() < 20:
        made.step(made.expert_actions()[playing], playing)
        playing = playing[~made.simulator.solved[playing]]
    assert playing.size == 0
    assert made.elapsed_s.mean() < 6.5


def test_the_expert_knows_by_how_much_an_action_tilts_each_board():
    made, everyone = boards(20, tilt_step_deg=(0.2, 1.0)), np.arange(20)
    made.step(np.zeros(20, dtype=int), everyone)
    steps_rad, simulator = made.command_rad[:, 0], made.simulator
    wanted = Expert(MAZE, PHYSICS).preferences(
        simulator.position_m, simulator.velocity_m_s, made.command_rad, steps_rad
    )
    np.testing.assert_allclose(made.expert_preferences(), wanted)


def test_foresight_goes_by_the_usual_period_not_by_the_last():
    made, everyone = boards(16, seed=4, latency_steps=3, rate_hz=(20.0, 40.0), rate_jitter=0.5), np.arange(16)
    usual = made.simulator.coefficients.copy()
    random, commands = np.random.default_rng(0), []
    for _ in range(10):
        made.step(random.integers(0, 5, 16), everyone)
        commands.append(made.command_rad.copy())
    seen, ahead = made.simulator, Simulator(MAZE, PHYSICS, 16)
    assert (seen.coefficients != usual).any(axis=1).all()
    for array, value in (
        (ahead.position_m, seen.position_m),
        (ahead.velocity_m_s, seen.velocity_m_s),
        (ahead.tilt_rad, seen.tilt_rad),
        (ahead.coefficients, usual),
    ):
        array[:] = value
    for command in commands[-3:]:
        ahead.step(command)
    wanted = Expert(MAZE, PHYSICS).preferences(ahead.position_m, ahead.velocity_m_s, made.command_rad)
    np.testing.assert_allclose(made.expert_preferences(), wanted)


def test_foresight_is_what_then_happens():
    made = boards(16, seed=4, latency_steps=(0, 4), rate_hz=(20.0, 40.0))
    everyone, random = np.arange(16), np.random.default_rng(0)
    for _ in range(30):
        made.step(random.integers(0, 5, 16), everyone)
    made.expert_actions()
    foreseen = made._foresight.position_m.copy()
    waits, seen = made.latency.copy(), made.simulator.position_m.copy()
    for step in range(1, 5):
        made.step(random.integers(0, 5, 16), everyone)
        seen[waits == step] = made.simulator.position_m[waits == step]
    np.testing.assert_allclose(foreseen, seen, atol=1e-12)
    assert len(set(waits.tolist())) > 2
