import numpy as np
import pytest
import torch

from maze_policy.checkpoint import load_policy
from maze_policy.config import EvaluateConfig, NetworkConfig
from maze_policy.evaluate import Evaluation, evaluate
from maze_policy.maze import load_maze
from maze_policy.network import CnnLstm
from maze_policy.world import WorldConfig

torch.set_num_threads(1)
MAZE = load_maze()


@pytest.fixture(scope='module')
def nominal():
    return load_policy()


def test_shipped_policy_solves_the_maze(nominal):
    evaluation = evaluate(nominal, EvaluateConfig(count=30, seed=11), MAZE)
    assert evaluation.solved.mean() >= 0.97
    assert np.median(evaluation.time_s) < 10


def test_shipped_policy_solves_it_through_the_camera_and_late(nominal):
    world = WorldConfig(view='camera', latency_steps=1)
    assert evaluate(nominal, EvaluateConfig(count=8, seed=12), MAZE, world).solved.mean() >= 0.97


def test_memory_matters(nominal):
    with_memory = evaluate(nominal, EvaluateConfig(count=16, seed=13, time_limit_s=30.0), MAZE)
    without = evaluate(nominal, EvaluateConfig(count=16, seed=13, time_limit_s=30.0, memory=False), MAZE)
    assert np.median(without.time_s) > 1.2 * np.median(with_memory.time_s)


def test_same_seed_same_result_and_times_add_up(nominal):
    config = EvaluateConfig(count=5, seed=3)
    one, same = evaluate(nominal, config, MAZE), evaluate(nominal, config, MAZE)
    np.testing.assert_array_equal(one.time_s, same.time_s)
    np.testing.assert_allclose(one.ring_s.sum(axis=1), one.time_s)
    assert (one.ring_s[:, 1:] > 0).all()  # nobody gets to the centre but through every ring


def test_times_are_seconds_whatever_the_frame_rate():
    torch.manual_seed(0)
    untrained = CnnLstm(NetworkConfig(conv_channels=(2, 2, 2), features=8, n_l=8))
    config = EvaluateConfig(count=6, seed=3, time_limit_s=2.0)
    evaluation = evaluate(untrained, config, MAZE, WorldConfig(rate_hz=(20.0, 40.0)))
    assert ((evaluation.time_s >= 2.0) & (evaluation.time_s < 2.05)).all()
    np.testing.assert_allclose(evaluation.ring_s.sum(axis=1), evaluation.time_s)


def test_gives_up_after_the_time_limit():
    torch.manual_seed(0)
    untrained = CnnLstm(NetworkConfig(conv_channels=(2, 2, 2), features=8, n_l=8))
    evaluation = evaluate(untrained, EvaluateConfig(count=3, time_limit_s=2.0), MAZE)
    assert not evaluation.solved.any()
    np.testing.assert_allclose(evaluation.time_s, 2.0)


def test_summary_by_hand():
    evaluation = Evaluation(
        solved=np.array([True, True, True, False]),
        time_s=np.array([4.0, 5.0, 6.0, 60.0]),
        ring_s=np.array([[0, 3.0, 1.0], [0, 4.0, 1.0], [0, 4.0, 2.0], [0, 0.0, 60.0]]),
    )
    summary = evaluation.summary()
    assert summary['success'] == 0.75
    assert summary['time_s'] == {'mean': 18.75, 'median': 5.5, 'quartiles': [4.75, 19.5], 'max': 60.0}
    assert summary['ring_s']['1'] == {'mean': 11 / 3, 'median': 4.0, 'quartiles': [3.5, 4.0], 'max': 4.0}
    assert summary['ring_s']['2']['median'] == 1.5
    text = evaluation.text()
    assert 'solved 75.0% of 4 trials (3)' in text
    assert 'ring 1 median 4.00 s, quartiles 3.50 to 4.00 s' in text
