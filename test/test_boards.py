import numpy as np
import pytest

from maze_policy.boards import Boards
from maze_policy.config import CameraConfig, DisturbanceConfig, PhysicsConfig
from maze_policy.maze import load_maze

MAZE, PHYSICS = load_maze(), PhysicsConfig()
STEP_RAD = np.radians(PHYSICS.tilt_step_deg)


def boards(count=1, seed=0, camera=None, **disturbance):
    return Boards(MAZE, PHYSICS, count, seed, DisturbanceConfig(**disturbance), camera=camera)


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
    made, tilts = boards(latency_steps=latency, least_latency_steps=latency), []
    for _ in range(4):
        made.step(np.array([2]), np.arange(1))
        tilts.append(made.simulator.tilt_rad[0, 1] > 0)
    assert tilts == [step >= latency for step in range(4)]
    assert made.command_rad[0, 1] == pytest.approx(4 * STEP_RAD)


def test_reset_forgets_commands_on_their_way():
    made = boards(2, latency_steps=2, least_latency_steps=2)
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


def test_noise_differs_from_board_to_board_up_to_its_largest():
    clean, noisy = boards(40, seed=3), boards(40, seed=3, noise_levels=6.0)
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
    direct, camera = boards(5, seed=1), boards(5, seed=1, camera=CameraConfig())
    images = direct.observations(np.arange(5)).astype(int), camera.observations(np.arange(5))
    assert 0 < np.abs(images[0] - images[1]).max() <= 15


def test_observes_only_the_boards_asked_for():
    made = boards(3, seed=1)
    np.testing.assert_array_equal(made.observations(np.array([2]))[0], made.observations(np.arange(3))[2])


def test_same_seed_same_play():
    disturbed = {'noise_levels': 5.0, 'latency_steps': 2, 'missed_frames': 0.1, 'variation': 0.2}
    one, same = boards(8, seed=5, **disturbed), boards(8, seed=5, **disturbed)
    everyone, random = np.arange(8), np.random.default_rng(0)
    for _ in range(20):
        actions = random.integers(0, 5, 8)
        one.step(actions, everyone)
        same.step(actions, everyone)
        np.testing.assert_array_equal(one.observations(everyone), same.observations(everyone))


def test_least_latency_is_at_most_the_largest():
    with pytest.raises(ValueError, match=r'least_latency_steps wants at most latency_steps \(1\), got 2'):
        DisturbanceConfig(latency_steps=1, least_latency_steps=2)
