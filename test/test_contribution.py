from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradientXActivation
from hypothesis import given, settings
from hypothesis import strategies as st

from maze_introspection.contribution import contribution, salient
from maze_policy.network import CnnLstm

READOUT = np.array([[1.0, 1.0, 1.0, 1.0], [2.0, 0.0, -1.0, 4.0]])


def test_hand_worked_steps():
    hidden = np.array(
        [
            [0.5, 0.25, 0.25, -0.5],  # scores 0.5, -1.25
            [0.0, 0.0, 0.0, 0.5],  # 0.5, 2.0
            [-0.1, -0.2, -0.3, -0.4],  # -1.0, -1.5: nothing pulls
        ]
    )
    c = contribution(hidden, READOUT)
    assert c.action.tolist() == [0, 1, 0]
    np.testing.assert_allclose(c.score, [0.5, 2.0, -1.0])
    np.testing.assert_allclose(c.share, [[0.5, 0.25, 0.25, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    assert c.defined.tolist() == [True, True, False]
    assert c.bias.tolist() == [0, 0, 0]


def test_equal_scores_choose_the_first_action():
    c = contribution(np.array([[0.5, 0.5]]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert c.action.tolist() == [0]
    assert c.share.tolist() == [[0, 1]]


def test_the_action_taken_is_believed():
    c = contribution(np.array([[0.5, 0.25, 0.25, -0.5]]), READOUT, action=[1])
    assert c.action.tolist() == [1]
    np.testing.assert_allclose(c.share, [[1, 0, 0, 0]])
    np.testing.assert_allclose(c.score, [-1.25])


def test_bias_decides_but_takes_no_share():
    c = contribution(np.array([[0.5, 0.25, 0.25, -0.5]]), READOUT, bias=[0, 3])
    assert c.action.tolist() == [1]
    np.testing.assert_allclose(c.score, [1.75])
    np.testing.assert_allclose(c.bias, [3])
    np.testing.assert_allclose(c.share, [[1, 0, 0, 0]])


def test_salient_takes_the_fewest_that_exceed_the_fraction():
    share = np.array(
        [
            [0.125, 0.5, 0.25, 0.125],  # 0.5 does not exceed 0.5: one more
            [0.25, 0.25, 0.25, 0.25],  # ties by lower index
            [0.0, 0.0, 0.0, 0.0],  # undefined
            [0.0, 1.0, 0.0, 0.0],
        ]
    )
    mask = [[0, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert salient(share).astype(int).tolist() == mask
    assert salient(share, fraction=1.0).tolist() == (share > 0).tolist()
    assert salient(share, fraction=0.0).sum(axis=1).tolist() == [1, 1, 0, 1]


@settings(max_examples=150, deadline=None)
@given(
    steps=st.integers(1, 40),
    channels=st.integers(1, 300),
    actions=st.integers(1, 6),
    dtype=st.sampled_from([np.float32, np.float64]),
    fraction=st.floats(0, 1),
    layout=st.sampled_from(['C', 'F', 'sliced']),
    seed=st.integers(0, 2**32 - 1),
)
def test_step_by_step_gives_the_bits_of_the_batch(steps, channels, actions, dtype, fraction, layout, seed):
    rng = np.random.default_rng(seed)
    hidden = np.tanh(rng.normal(size=(steps, channels))).astype(dtype)
    hidden[rng.random(hidden.shape) < 0.2] = 0
    readout = rng.normal(size=(actions, channels)).astype(dtype)
    bias = rng.normal(size=actions)
    arranged = {'C': hidden, 'F': np.asfortranarray(hidden), 'sliced': np.repeat(hidden, 2, axis=1)[:, ::2]}[layout]
    batch = contribution(arranged, readout, bias=bias)
    mask = salient(batch.share, fraction)
    assert batch.share.dtype == dtype
    for t in range(steps):
        step = contribution(hidden[t : t + 1], readout, bias=bias)
        for got, want in zip(step, batch):
            assert got[0].tobytes() == want[t].tobytes()
        assert salient(step.share, fraction)[0].tolist() == mask[t].tolist()


def test_bits_do_not_depend_on_where_a_block_of_steps_ends():
    rng = np.random.default_rng(3)
    hidden, readout = np.tanh(rng.normal(size=(5000, 33))).astype(np.float32), rng.normal(size=(5, 33))
    whole = contribution(hidden, readout)
    tail = contribution(hidden[1777:], readout)
    assert whole.share[1777:].tobytes() == tail.share.tobytes()
    assert salient(whole.share)[1777:].tobytes() == salient(tail.share).tobytes()


@pytest.mark.parametrize(
    ('hidden', 'readout', 'more', 'message'),
    [
        (np.zeros((40, 128)), np.zeros((5, 256)), {}, r'want hidden \(T, n_l\).*\(40, 128\) and \(5, 256\)'),
        (np.zeros(128), np.zeros((5, 128)), {}, r'got \(128,\)'),
        (np.zeros((2, 3)), np.zeros((0, 3)), {}, r'got \(2, 3\) and \(0, 3\)'),
        (np.zeros((2, 0)), np.zeros((5, 0)), {}, r'got \(2, 0\) and \(5, 0\)'),
        (np.array([[0.0, np.nan], [np.inf, 0.0]]), np.zeros((5, 2)), {}, r'finite hidden.*\(0, 1\)'),
        (np.zeros((1, 2)), np.array([[0.0, np.inf]]), {}, r'finite readout.*\(0, 1\)'),
        (np.zeros((1, 2)), np.zeros((5, 2)), {'bias': [0.0]}, r'bias \(5,\)'),
        (np.zeros((1, 2)), np.zeros((2, 2)), {'bias': [0.0, np.nan]}, r'finite bias'),
        (np.zeros((1, 2)), np.zeros((5, 2)), {'action': [5]}, r'actions 0 to 4, got 5'),
        (np.zeros((1, 2)), np.zeros((5, 2)), {'action': [-1]}, r'actions 0 to 4, got -1'),
        (np.zeros((2, 2)), np.zeros((5, 2)), {'action': [4, -1]}, r'actions 0 to 4, got -1 to 4'),
        (np.zeros((2, 2)), np.zeros((5, 2)), {'action': [0, 5]}, r'actions 0 to 4, got 0 to 5'),
        (np.zeros((2, 2)), np.zeros((5, 2)), {'action': [1]}, r'action numbers \(2,\)'),
        (np.zeros((1, 2)), np.zeros((5, 2)), {'action': [0.5]}, r'float64'),
    ],
)
def test_bad_input_is_an_error_that_says_what_came(hidden, readout, more, message):
    with pytest.raises(ValueError, match=message):
        contribution(hidden, readout, **more)


@pytest.mark.parametrize(
    ('share', 'fraction', 'message'),
    [
        (np.zeros(3), 0.5, r'got \(3,\)'),
        (np.array([[0.5, np.nan]]), 0.5, 'got nan'),
        (np.array([[0.5, -0.5]]), 0.5, 'got -0.5'),
        (np.zeros((1, 3)), 1.5, 'got 1.5'),
        (np.zeros((1, 3)), -0.5, 'got -0.5'),
    ],
)
def test_salient_refuses(share, fraction, message):
    with pytest.raises(ValueError, match=message):
        salient(share, fraction)


def test_no_steps_no_contributions():
    c = contribution(np.zeros((0, 3)), np.zeros((5, 3)), action=np.zeros(0, dtype=int))
    assert c.share.shape == (0, 3)
    assert salient(c.share).shape == (0, 3)
    assert salient(np.zeros((3, 0))).shape == (3, 0)


def test_equals_captum_on_the_real_network():
    """LayerGradientXActivation at the LSTM's output, clamped and normalised, is the same quantity found by autograd."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = CnnLstm()

    class Scores(torch.nn.Module):
        """One step as autograd sees it, with the hidden state passing a layer that Captum can hook."""

        def __init__(self):
            super().__init__()
            self.network, self.hidden = network, torch.nn.Identity()

        def forward(self, images, hidden, cell):
            features = network.eye(images[:, None].float() / 127.5 - 1)
            out, _ = network.lstm(features[None], (hidden[None], cell[None]))
            return network.actor(self.hidden(out[0]))

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 84, 84), dtype=np.uint8)
    memory, before, steps = network.initial_memory(), [], []
    for image in images:
        before.append(memory)
        steps.append(network.step(image, memory))
        memory = steps[-1].memory
    hidden, cell = (torch.stack(part).clone() for part in zip(*before))
    action = np.array([step.scores.argmax() for step in steps])

    model = Scores()
    captum = LayerGradientXActivation(model, model.hidden).attribute(
        (torch.from_numpy(images), hidden, cell), target=torch.from_numpy(action)
    )
    clamped = captum.detach().numpy().clip(min=0)
    ours = contribution(np.stack([step.hidden for step in steps]), network.readout[:, :-1])
    assert ours.action.tolist() == action.tolist()
    assert ours.defined.all()
    np.testing.assert_allclose(ours.share, clamped / clamped.sum(axis=1, keepdims=True), rtol=0, atol=1e-6)


def test_ties_among_many_channels_go_to_the_lower_index():
    """numpy's default sort is stable up to 16 elements only."""
    share = np.random.default_rng(0).integers(1, 4, (50, 200)).astype(np.float64)
    share /= share.sum(axis=1, keepdims=True)
    for row, mask in zip(share, salient(share)):
        order = np.lexsort((np.arange(200), -row))
        needed = int(np.searchsorted(row[order].cumsum(), 0.5, side='right')) + 1
        assert sorted(order[:needed]) == np.flatnonzero(mask).tolist()


def test_a_fraction_of_one_takes_every_channel_that_contributes():
    hidden = np.random.default_rng(0).normal(size=(2000, 128)).astype(np.float32)  # float32 shares may sum to above 1
    share = contribution(hidden, np.ones((1, 128), dtype=np.float32)).share
    assert (share.sum(axis=1, dtype=np.float64) > 1).any()
    np.testing.assert_array_equal(salient(share, 1.0), share > 0)


def test_double_precision_is_kept():
    """The sums are those of float64, also where a readout is given in it and a bias is not."""
    rng = np.random.default_rng(0)
    hidden, readout = np.tanh(rng.normal(size=(50, 40))), rng.normal(size=(5, 40))
    bias = np.float32([0.1, 0.2, 0.3, 0.4, 0.5])
    c = contribution(hidden, readout, bias=bias)
    np.testing.assert_allclose(c.score, (hidden @ readout.T + bias.astype(float)).max(axis=1), rtol=1e-14)
    weighted = np.maximum(readout[c.action] * hidden, 0)
    np.testing.assert_allclose(c.share, weighted / weighted.sum(axis=1, keepdims=True), rtol=1e-14)
    assert [values.dtype for values in c] == [np.float64, np.int64, np.float64, np.bool_, np.float64]
    assert contribution(hidden.astype(np.float16), readout).share.dtype == np.float32
    assert salient(np.array([[0.5 + 1e-12, 0.5 - 1e-12], [0.5, 0.5]])).tolist() == [[True, False], [True, True]]


def test_rows_and_columns_in_memory_decide_no_tie():
    """The same addends in another order: their sums differ in the last bit, by the order in which they are added."""
    rng = np.random.default_rng(0)
    row = rng.normal(size=300)
    readout = np.stack([rng.permutation(row) for _ in range(5)])
    hidden = np.full((64, 300), 0.1)
    hidden *= 1 + np.arange(64)[:, None] / 100
    by_rows, by_columns = (contribution(np.array(hidden, order=order), readout) for order in 'CF')
    assert by_rows.action.tolist() == by_columns.action.tolist()
    assert by_rows.share.tobytes() == by_columns.share.tobytes()
    assert by_rows.score.tobytes() == by_columns.score.tobytes()
    assert [contribution(step[None], readout).action[0] for step in hidden] == by_rows.action.tolist()
