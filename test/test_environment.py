import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from maze_policy.config import PhysicsConfig
from maze_policy.environment import ENVIRONMENT, TIME_LIMIT_S, CircularMazeEnv, register
from maze_policy.expert import Expert, Route
from maze_policy.maze import load_maze

MAZE = load_maze()


def test_passes_gymnasiums_checker():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_env(gymnasium.make(ENVIRONMENT, render_mode='rgb_array').unwrapped)


def test_make_imports_it_when_told_where():
    register()  # a second time does no harm
    environment = gymnasium.make(f'maze_policy.environment:{ENVIRONMENT}')
    assert isinstance(environment.unwrapped, CircularMazeEnv)


def play(environment, seed, steps=1800):
    """Let the expert play; rewards, and the last step's results."""
    _, info = environment.reset(seed=seed)
    expert, start = Expert(MAZE, PhysicsConfig()), info
    rewards = []
    for _ in range(steps):
        boards = environment._boards
        state = (boards.simulator.position_m, boards.simulator.velocity_m_s, boards.command_rad)
        observation, reward, terminated, truncated, info = environment.step(expert.act(*state)[0])
        rewards.append(reward)
        if terminated or truncated:
            break
    return start, rewards, observation, terminated, truncated, info


def test_reward_is_the_way_made_good_minus_time_plus_five():
    start, rewards, _, terminated, truncated, info = play(CircularMazeEnv(), seed=4)
    assert terminated
    assert not truncated
    assert info['ring'] == 0
    route = Route(MAZE)
    way_m = route.to_go_m([start['ball_m']])[0] - route.to_go_m([info['ball_m']])[0]
    assert sum(rewards) == pytest.approx(way_m / MAZE.rim_radius_m - 0.01 * len(rewards) + 5)
    assert rewards[-1] > 4


def test_truncated_after_a_minute():
    environment = CircularMazeEnv()
    environment.reset(seed=1)
    ends = [environment.step(4)[2:4] for _ in range(1800)]
    assert ends[-2:] == [(False, False), (False, True)]


def test_solved_in_the_last_step_is_not_truncated():
    environment = CircularMazeEnv()
    environment.reset(seed=1)
    environment._boards.elapsed_s[0] = TIME_LIMIT_S - 1 / 30
    environment._boards.simulator.position_m[0] = 0.0
    assert environment.step(4)[2:4] == (True, False)


def test_info_says_where_the_ball_is():
    environment = CircularMazeEnv()
    observation, info = environment.reset(seed=2, options={'ring': 2})
    assert info['ring'] == 2
    assert info['distance_m'] == pytest.approx(np.hypot(*info['ball_m']))
    assert info['tilt_rad'].tolist() == [0.0, 0.0]
    assert (observation.shape, observation.dtype) == ((84, 84), np.uint8)
    _, _, _, _, info = environment.step(2)
    assert info['tilt_rad'][1] > 0


def test_same_seed_same_episode_and_next_one_differs():
    one, same = CircularMazeEnv(), CircularMazeEnv()
    np.testing.assert_array_equal(one.reset(seed=3)[0], same.reset(seed=3)[0])
    np.testing.assert_array_equal(one.reset()[0], same.reset()[0])
    assert not np.array_equal(one.reset()[1]['ball_m'], same.reset(seed=3)[1]['ball_m'])


def test_without_a_seed_every_environment_plays_starts_of_its_own():
    starts = {tuple(CircularMazeEnv().reset()[1]['ball_m']) for _ in range(3)}
    assert len(starts) == 3


def test_render_is_the_camera_image():
    environment = CircularMazeEnv(render_mode='rgb_array')
    environment.reset(seed=1)
    assert environment.render().shape == (480, 640, 3)
    assert CircularMazeEnv().render() is None
    with pytest.raises(ValueError, match='render_mode wants None or one of'):
        CircularMazeEnv(render_mode='human')
