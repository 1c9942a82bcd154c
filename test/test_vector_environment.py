import numpy as np
import pytest

from maze_policy.boards import Boards
from maze_policy.expert import Route
from maze_policy.maze import load_maze
from maze_policy.vector_environment import BoardsVecEnv
from maze_policy.world import WorldConfig

COUNT = 6


def environment(*, episode_s=60.0, any_ring=0.0, seed=2):
    maze = load_maze()
    return BoardsVecEnv(
        Boards(maze, WorldConfig(), COUNT, seed), maze, seed=seed, episode_s=episode_s, any_ring=any_ring
    )


def test_an_episode_pays_its_way_its_time_and_its_end():
    env, maze = environment(), load_maze()
    seen = env.reset()
    assert seen.shape == (COUNT, *env.observation_space.shape)
    way = Route(maze).to_go_m(env.boards.simulator.position_m) / maze.rim_radius_m
    paid, steps, ended = np.zeros(COUNT), np.zeros(COUNT), {}
    while len(ended) < COUNT:
        seen, reward, ends, infos = env.step(env.boards.expert_actions())
        paid, steps = paid + reward, steps + 1
        for board, episode in zip(np.flatnonzero(ends), env.ended):
            assert not infos[board]
            assert env.boards.elapsed[board] == 0, 'a new episode'
            ended.setdefault(board, (episode, paid[board], steps[board]))
        env.ended.clear()
    for board, (episode, paid_to_it, length) in ended.items():
        assert episode.solved
        assert episode.reward == pytest.approx(paid_to_it, abs=1e-5)
        assert episode.time_s == pytest.approx(length / 30.0)
        # The ball got to within the solved radius of the centre, not onto it.
        all_the_way = way[board] - 0.01 * length + 5.0
        assert all_the_way - maze.solved_radius_m / maze.rim_radius_m < paid_to_it <= all_the_way


def test_an_episode_given_up_shows_what_was_seen_last():
    """As a twin sees it that plays on; an episode solved in its last step is not given up."""
    env, patient = environment(episode_s=0.2), environment()
    for each in (env, patient):
        each.reset()
        for _ in range(5):
            _, _, ends, _ = each.step(np.full(COUNT, 0))
            assert not ends.any()
        each.boards.simulator.position_m[0] = 0.0
    shown, _, ends, infos = env.step(np.full(COUNT, 0))
    last, _, _, _ = patient.step(np.full(COUNT, 0))
    assert ends.all()
    ended = [(episode.solved, round(episode.time_s, 3)) for episode in env.ended]
    assert ended == [(True, 0.2)] + [(False, 0.2)] * (COUNT - 1)
    assert infos[0] == {}
    for board in range(1, COUNT):
        assert infos[board]['TimeLimit.truncated']
        np.testing.assert_array_equal(infos[board]['terminal_observation'], last[board])
        assert not np.array_equal(shown[board], last[board]), 'a new episode'


def test_where_episodes_start():
    rings = {}
    for share in (0.0, 1.0):
        env, found = environment(episode_s=0.01, any_ring=share), []
        env.reset()
        for _ in range(20):
            env.step(np.full(COUNT, 4))
            found += load_maze().ring(np.hypot(*env.boards.simulator.position_m.T)).tolist()
        rings[share] = set(found)
    assert rings == {0.0: {4}, 1.0: {1, 2, 3, 4}}
