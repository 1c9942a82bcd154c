from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from made import STEP_NS, keeping, made_recording

from maze_introspection.analysis import Analysis, analyze
from maze_introspection.config import IntrospectionConfig
from maze_introspection.contribution import Contribution
from maze_introspection.introspection import GATED_OFFSET
from maze_introspection.statistics import (
    channels,
    channels_needed,
    episodes,
    ring_offsets,
    spread,
    summary,
    threshold_agreement,
)
from maze_policy.policy import OUTPUT

STEP_S = STEP_NS / 1e9


def hand_made(mask, action, ball_m, offsets=(), config=IntrospectionConfig(least_steps=2)):  # noqa: B008
    """An analysis that says exactly this; its recording only carries the ball."""
    mask, action = np.array(mask, dtype=bool), np.array(action)
    steps, n_l = mask.shape
    recording = replace(made_recording(steps, n_l), ball_m=np.array(ball_m, dtype=float))
    share = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)
    c = Contribution(share, action, np.ones(steps), mask.any(axis=1), np.zeros(steps))
    rows = np.array(list(offsets), dtype=GATED_OFFSET)
    continuity = np.array([1] + [0] * (steps - 1), dtype=np.int8)
    return Analysis(recording, config, c, mask, continuity, continuity == 1, rows)


MASK = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
ACTION = [0, 0, 2, 1, 3]
BALL_M = [[0.085, 0], [0.0, 0.085], [-0.067, 0], [0.067, 0], [0.001, 0]]  # rings 4, 4, 3, 3, 0


def test_channels_by_hand():
    table = channels(hand_made(MASK, ACTION, BALL_M))
    assert table.salient_steps.tolist() == [3, 2, 1, 0]
    assert table.action.tolist() == [0, 0, 1, -1]
    np.testing.assert_allclose(table.action_share, [2 / 3, 0.5, 1, np.nan])
    assert table.ring.tolist() == [4, 3, 3, -1]  # among equals the inner ring
    np.testing.assert_allclose(table.ring_share, [2 / 3, 0.5, 1, np.nan])
    x, y = np.array([0.085, 0, 0.067]), np.array([0, 0.085, 0])
    np.testing.assert_allclose(table.spread_m[0], np.sqrt(x.var() + y.var()))
    np.testing.assert_allclose(table.turn[0], 1 - np.hypot(2 / 3, 1 / 3))
    np.testing.assert_allclose(table.spread_m[2], 0, atol=1e-9)
    assert np.isnan(table.spread_m[3])
    np.testing.assert_allclose(table.mean_share, [(1 + 0.5 + 0.5) / 4, (0.5 + 1) / 4, 0.5 / 4, 0])


def test_a_step_without_a_ball_has_no_place():
    ball_m = np.array(BALL_M)
    ball_m[1] = np.nan
    table = channels(hand_made(MASK, ACTION, ball_m))
    assert table.salient_steps.tolist() == [3, 2, 1, 0]
    assert table.ring.tolist() == [3, 3, 3, -1]
    np.testing.assert_allclose(table.ring_share[:2], [0.5, 1])
    np.testing.assert_allclose(table.spread_m[0], np.array([0.085, 0.067]).std(), rtol=1e-6)


def test_channels_needed_leaves_undefined_steps_out():
    needed = channels_needed(hand_made(MASK, ACTION, BALL_M))
    assert needed == (4, 0.375, 0.375, 0.25, 0.5, 0.5)


def test_episodes_by_hand():
    analysis = hand_made(MASK, ACTION, BALL_M)
    (played,) = episodes(analysis)
    assert (played.steps, played.solved) == (5, True)
    assert played.solved_s == pytest.approx(4 * STEP_S)
    assert played.seconds == pytest.approx(4 * STEP_S)
    assert played.ring_s == pytest.approx((0, 0, 0, 2 * STEP_S, 2 * STEP_S))


def test_an_episode_that_is_not_solved():
    recording = made_recording(resets=(0, 100), solved=False)
    played = episodes(analyze(recording, IntrospectionConfig()))
    assert [(one.id, one.steps, one.solved) for one in played] == [('episode-0', 100, False), ('episode-1', 200, False)]
    assert np.isnan(played[0].solved_s)
    assert sum(played[1].ring_s) == pytest.approx(199 * STEP_S)


def test_ring_offsets_count_censored_apart():
    offsets = [
        (OUTPUT, 0, 0, 1, 1, True),
        (OUTPUT, 1, 1, 2, 1, False),
        (OUTPUT, 2, 1, 3, 2, False),
        (0, 2, 1, 3, 2, False),
    ]
    rings = ring_offsets(hand_made(MASK, ACTION, BALL_M, offsets), OUTPUT)
    assert [(offsets.n, censored) for offsets, censored in rings] == [(0, 0), (0, 0), (0, 0), (2, 0), (0, 1)]
    assert rings[3][0] == (2, 1.5, 1.5, 1.25, 1.75, 2)


def test_spread_of_nothing():
    assert spread([]).n == 0
    assert np.isnan(spread([]).median)


def test_summary_is_strict_json_and_says_what_is_there():
    numbers = summary(hand_made(MASK, ACTION, BALL_M))
    again = json.loads(json.dumps(numbers, allow_nan=False))
    assert again == numbers
    assert numbers['single_action_channels'] == []
    assert numbers['judged_channels'] == 2
    assert numbers['success'] == {
        'episodes': 1,
        'whole': 1,
        'solved': 1,
        'solved_s': pytest.approx(numbers['success']['solved_s']),
    }
    assert numbers['undefined_steps'] == 1
    assert numbers['offsets_per_ring']['output'][4] == {
        'n': 0, 'mean': None, 'median': None, 'q1': None, 'q3': None, 'most': None, 'censored': 0,
    }  # fmt: skip


def test_single_action_and_single_ring_channels_need_enough_steps():
    mask = [[1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 1, 1]]
    ball_m = [[0.085, 0], [0.085, 0], [0.067, 0], [0.048, 0]]
    numbers = summary(hand_made(mask, [2, 2, 2, 2], ball_m))
    assert numbers['single_action_channels'] == [0, 1, 2]
    assert numbers['single_ring_channels'] == []
    strict = hand_made(mask, [2, 2, 2, 2], [[0.085, 0]] * 4, config=IntrospectionConfig(least_steps=3))
    numbers = summary(strict)
    assert (numbers['single_action_channels'], numbers['single_ring_channels']) == ([0], [0])


def test_without_maze_or_ball_there_are_no_rings():
    bare = replace(made_recording(), maze=None, ball_m=np.full((300, 2), np.nan))
    numbers = summary(analyze(bare, IntrospectionConfig()))
    assert numbers['time_per_ring_s'] == []
    assert numbers['single_ring_channels'] == []
    assert numbers['offsets_per_ring'] == {'input': [], 'forget': [], 'output': []}
    assert numbers['success']['solved'] == 0


def test_summary_names_missing_steps():
    numbers = summary(analyze(keeping(made_recording(), np.arange(300) != 70), IntrospectionConfig()))
    assert numbers['completeness'] == {
        'complete': False, 'starts_midway': False, 'missing_before_step': [70], 'corrupt_steps': [], 'memory_resets': 1,
    }  # fmt: skip


def test_agreement_of_a_threshold_with_the_salient_channels():
    analysis = hand_made(MASK, ACTION, BALL_M)  # shares are 1 where one channel is salient, 0.5 where two are
    low, high, none = threshold_agreement(analysis, [0.4, 0.6, 1.0])
    assert low == (0.4, 1, 1, 1)
    assert high == (0.6, 1, pytest.approx(2 / 6), pytest.approx(2 * 2 / (2 + 6)))
    assert none == (1.0, 0, 0, 0)
    everything = threshold_agreement(analysis, [-1.0])[0]
    assert everything[1:] == (pytest.approx(6 / 20), 1, pytest.approx(2 * 6 / (6 + 20)))
