from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from maze_policy.config import NetworkConfig
from maze_policy.network import CnnLstm
from maze_policy.policy import CANDIDATE, FORGET, INPUT, OUTPUT, PolicyStep

torch.set_num_threads(1)


def network(seed=0, **sizes):
    torch.manual_seed(seed)
    made = CnnLstm(NetworkConfig(**sizes))
    for weight in made.lstm.parameters():  # larger than at the start of training: gates that open and close
        nn.init.normal_(weight, std=0.1)
    return made


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 84, 84), dtype=np.uint8)


def play(policy, observations) -> list[PolicyStep]:
    memory, steps = policy.initial_memory(), []
    for observation in observations:
        steps.append(policy.step(observation, memory))
        memory = steps[-1].memory
    return steps


@pytest.mark.parametrize('seed', range(3))
def test_step_equals_torch_lstm(seed):
    policy, observations = network(seed, n_l=48 + 16 * seed), images(200, seed)
    steps = play(policy, observations)
    with torch.no_grad():
        features = policy.eye(torch.from_numpy(observations)[:, None].float() / 127.5 - 1)
        hidden, (_, cell) = policy.lstm(features[:, None])
        scores = hidden[:, 0] @ policy.actor.weight.T
    np.testing.assert_allclose([step.hidden for step in steps], hidden[:, 0], atol=1e-6, rtol=0)
    np.testing.assert_allclose(steps[-1].cell, cell[0, 0], atol=1e-6, rtol=0)
    np.testing.assert_allclose([step.scores for step in steps], scores, atol=1e-5, rtol=0)
    assert np.std([step.hidden for step in steps]) > 0.05  # the comparison is not of zeros


def test_sequence_equals_steps_and_carries_memory():
    policy, observations = network(), images(12)
    steps = play(policy, observations)
    batch = torch.from_numpy(np.stack([observations, observations[::-1]], axis=1))
    with torch.no_grad():
        first = policy.sequence(batch[:5])
        second = policy.sequence(batch[5:], first.memory)
    hidden = torch.cat([first.hidden, second.hidden])[:, 0]
    np.testing.assert_allclose(hidden, [step.hidden for step in steps], atol=1e-6, rtol=0)
    np.testing.assert_allclose(second.memory[1][0], steps[-1].cell, atol=1e-6, rtol=0)


def test_gates_are_those_that_made_the_state():
    steps = play(network(), images(30))
    for before, step in pairwise(steps):
        gates = step.gates
        cell = gates[FORGET] * before.cell + gates[INPUT] * gates[CANDIDATE]
        np.testing.assert_allclose(step.cell, cell, atol=1e-6, rtol=0)
        np.testing.assert_allclose(step.hidden, gates[OUTPUT] * np.tanh(step.cell), atol=1e-6, rtol=0)
        assert (gates[[INPUT, FORGET, OUTPUT]] > 0).all()
        assert (gates[[INPUT, FORGET, OUTPUT]] < 1).all()


def test_scores_are_the_readout_of_the_hidden_state():
    policy = network()
    step = play(policy, images(3))[-1]
    assert policy.readout.shape == (5, 129)
    np.testing.assert_allclose(step.scores, policy.readout[:, :-1] @ step.hidden, atol=1e-6)
    assert not policy.readout[:, -1].any()


def test_shapes_and_types_of_a_step():
    step = play(network(n_l=32), images(1))[0]
    assert step.scores.shape == (5,)
    assert step.gates.shape == (4, 32)
    assert step.hidden.shape == step.cell.shape == (32,)
    assert {part.dtype for part in step[:4]} == {np.dtype(np.float32)}


def test_forget_gate_starts_open_and_memory_empty():
    policy = CnnLstm()
    assert (policy.lstm.bias_hh_l0[128:256] == 1).all()
    assert not any(part.any() for part in policy.initial_memory())


def test_steps_do_not_share_their_arrays():
    """A recording keeps what earlier steps returned."""
    policy, observations = network(), images(2)
    first = policy.step(observations[0], policy.initial_memory())
    kept = [part.copy() for part in first[:4]]
    policy.step(observations[1], first.memory)
    for part, copy in zip(first[:4], kept):
        np.testing.assert_array_equal(part, copy)


@pytest.mark.parametrize(
    'observation', [np.zeros((84, 84), np.float32), np.zeros((84, 83), np.uint8), np.zeros((1, 84, 84), np.uint8)]
)
def test_rejects_other_observations(observation):
    policy = network()
    with pytest.raises(ValueError, match=r'want an observation of shape \(84, 84\), uint8, got'):
        policy.step(observation, policy.initial_memory())


def test_wants_three_convolutions():
    with pytest.raises(ValueError, match=r'conv_channels wants 3 numbers, got \(16, 32\)'):
        CnnLstm(NetworkConfig(conv_channels=(16, 32)))
