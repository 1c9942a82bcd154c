"""Offset against needed memory: statistics by hand, and a laboratory in which an offset is the needed memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maze_introspection.analysis import analyze
from maze_introspection.config import NeededConfig, ValidateConfig
from maze_introspection.validity.events import events, observed
from maze_introspection.validity.ground_truth import build, cues, inputs
from maze_introspection.validity.lstm import play
from maze_introspection.validity.needed import actions, by_channel, calibration, compare, moments, relation, skill
from maze_introspection.validity.rank import bootstrap, shuffled_within, spearman, spearman_within
from maze_introspection.validity.truncation import Recorded, needed_memory
from maze_policy.config import NetworkConfig
from maze_policy.network import CnnLstm
from maze_policy.policy import GATE_NAMES

CONFIG = NeededConfig(resamples=20, other_tolerances=())


def test_ranks_by_hand():
    assert spearman(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])) == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    assert spearman(np.array([1, 1, 2]), np.array([5, 5, 9])) == pytest.approx(1)
    assert spearman(np.array([1, 2, 3]), np.array([9, 4, 1])) == pytest.approx(-1)
    assert np.isnan(spearman(np.array([1, 1, 1]), np.array([1, 2, 3])))
    assert np.isnan(spearman(np.array([1, 2]), np.array([1, 2])))


def test_within_groups_what_groups_share_is_taken_off():
    """Between groups the two rise together, within each they do not."""
    x = np.array([1, 2, 3, 11, 12, 13])
    y = np.array([3, 2, 1, 13, 12, 11])
    group = np.array([0, 0, 0, 1, 1, 1])
    assert spearman(x, y) > 0.5
    assert spearman_within(x, y, group) == pytest.approx(-1)
    assert spearman_within(x, x, group) == pytest.approx(1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=40), st.integers(0, 2**31))
def test_a_rank_correlation_knows_neither_scale_nor_order(rows, seed):
    x, y = np.array(rows).T
    group, order = np.arange(len(x)) % 3, np.random.default_rng(seed).permutation(len(x))
    for statistic in (spearman, lambda x, y: spearman_within(x, y, group)):
        before = statistic(x, y)
        np.testing.assert_allclose(statistic(3 * x**3 + 7, np.exp(y / 5)), before, atol=1e-9)
        np.testing.assert_allclose(statistic(y, x), before, atol=1e-9)
    np.testing.assert_allclose(spearman(x[order], y[order]), spearman(x, y), atol=1e-9)
    np.testing.assert_allclose(spearman_within(x[order], y[order], group[order]), before, atol=1e-9)


def test_a_bootstrap_draws_whole_units():
    unit = np.repeat(np.arange(50), 20)
    value = np.random.default_rng(0).normal(size=50)[unit]  # one number for each unit: rows say nothing more
    found = bootstrap(lambda at: float(value[at].mean()), unit, 2000, 1)
    assert found['value'] == pytest.approx(value.mean())
    width = found['high'] - found['low']
    assert width == pytest.approx(2 * 1.96 * value[::20].std() / np.sqrt(50), rel=0.1)
    alone = bootstrap(lambda at: float(value[at].mean()), np.zeros(20, dtype=int), 10, 1)
    assert np.isnan(alone['low'])


def test_a_shuffle_leaves_every_row_in_its_group():
    group = np.random.default_rng(0).integers(0, 5, 100)
    order = shuffled_within(group, np.random.default_rng(1))
    assert sorted(order.tolist()) == list(range(100))
    assert (group[order] == group).all()
    assert (order != np.arange(100)).mean() > 0.8


def table(offset, needed, **more):
    count = len(offset)
    columns = {'source': 'made', 'episode': np.arange(count) % 8, 'gate': 'output', 'channel': np.arange(count) % 4}
    columns |= {'ring': np.arange(count) % 3, 'elapsed': 40 + np.arange(count) % 40, 'offset': offset}
    return pd.DataFrame({**columns, 'needed': needed, 'needed_others': needed, **more})


def test_offsets_that_are_the_needed_memory_and_offsets_that_are_nothing():
    rng = np.random.default_rng(0)
    offset = rng.integers(0, 30, 400)
    same = relation(table(offset, offset), 'needed', CONFIG)
    for name in ('rho', 'rho_moment', 'rho_channel', 'skill', 'covered'):
        assert same[name] == pytest.approx({'value': 1, 'low': 1, 'high': 1})
    assert abs(same['rho_chance']) < 0.15
    chance = relation(table(offset, rng.integers(0, 30, 400)), 'needed', CONFIG)
    for name in ('rho', 'rho_moment', 'rho_channel'):
        assert chance[name]['low'] < 0 < chance[name]['high']
    assert chance['skill']['value'] < 0
    assert chance['covered']['value'] == pytest.approx(chance['covered_chance'], abs=0.05)


def test_both_growing_with_elapsed_time_is_no_relation_within_a_moment():
    rng = np.random.default_rng(1)
    elapsed = rng.integers(1, 200, 3000)
    rows = table((rng.random(3000) * elapsed).astype(int), (rng.random(3000) * elapsed).astype(int), elapsed=elapsed)
    found = relation(rows, 'needed', CONFIG)
    assert found['rho']['low'] > 0.3
    assert found['rho_chance'] == pytest.approx(found['rho']['value'], abs=0.05)
    assert abs(found['rho_moment']['value']) < 0.06


def test_skill_by_hand():
    needed = np.array([0, 10, 20])  # the median is off by 20 in all
    assert skill(needed, needed) == 1
    assert skill(np.array([10, 10, 10]), needed) == 0
    assert skill(np.array([0, 15, 20]), needed) == pytest.approx(0.75)
    assert np.isnan(skill(needed, np.array([3, 3, 3])))


def test_calibration_and_channels_by_hand():
    offset, needed = np.repeat([0, 6, 40], [20, 10, 3]), np.repeat([5, 6, 1], [20, 10, 3])
    rows = calibration(offset, needed)
    assert [(row['from'], row['to'], row['events'], row['covered']) for row in rows] == [
        (0, 0, 20, 0.0),
        (5, 6, 10, 1.0),
    ]
    assert rows[0]['needed'] == [5, 5, 5]
    made = table(np.repeat([1, 2, 3, 4], 10), np.repeat([9, 7, 5, 1], 10), channel=np.repeat([4, 5, 6, 7], 10))
    found = by_channel(made)
    assert (found['judged'], found['rho']) == (4, pytest.approx(-1))
    most = found['needs_most_beyond_offset'][0]
    assert most == {'channel': 4, 'events': 10, 'offset': 1, 'needed': 9, 'more': 8}
    assert found['needs_least_of_offset'][0]['channel'] == 7


def test_actions_are_compared_with_the_longest_offset():
    rng = np.random.default_rng(2)
    needed = rng.integers(0, 50, 300)
    rows = table(needed, needed).rename(columns={'offset': 'longest_output'})
    rows['longest_input'] = np.where(np.arange(300) % 2, np.nan, rng.random(300))
    rows['longest_forget'] = 50 - needed
    found = actions(rows, CONFIG)
    assert found['output']['rho']['value'] == pytest.approx(1)
    assert found['forget']['rho_moment']['value'] == pytest.approx(-1)
    assert found['input']['steps'] == 150
    assert found['nothing_needed'] == (needed == 0).mean()
    assert len(np.unique(moments(rows, 15))) == 3 * len(np.unique(rows['elapsed'] // 15))


def laboratory(delay, seed):
    """A hand-built LSTM run over its cues: the offsets of its measured channels, with what they needed."""
    config = ValidateConfig(distractors=8, episodes=2, episode_steps=170, period=90)
    rng = np.random.default_rng(seed)
    lstm, channel = build(delay, config, rng)
    network = CnnLstm(NetworkConfig(n_l=lstm.channels, features=lstm.weight_in.shape[1]))
    with torch.no_grad():
        network.lstm.weight_ih_l0.copy_(torch.from_numpy(lstm.weight_in))
        network.lstm.weight_hh_l0.copy_(torch.from_numpy(lstm.weight_back))
        network.lstm.bias_ih_l0.copy_(torch.from_numpy(lstm.bias))
        network.lstm.bias_hh_l0.zero_()
        network.actor.weight.copy_(torch.from_numpy(lstm.readout))
    seen = [inputs(cue, config, rng) for cue in cues(config, rng)]
    analysis = analyze(play(lstm, seen))
    found = []
    for episode, features in enumerate(seen):
        here = np.flatnonzero(analysis.recording.episode == episode)
        made, recording = analysis.contribution, analysis.recording
        parts = (recording.hidden, recording.cell, made.action, made.share)
        recorded = Recorded(torch.from_numpy(features), *(torch.from_numpy(part[here]) for part in parts))
        needed = needed_memory(network, recorded, (0.1,))
        rows = observed(events(analysis, source=f'delay {delay}'))
        rows = rows[rows['episode'] == episode].copy()
        rows['needed'] = rows['needed_others'] = needed.share[0, rows['t'] - here[0], rows['channel']]
        found.append(rows)
    rows = pd.concat(found)
    own = [(rows['gate'] == GATE_NAMES[gate]) & (rows['channel'] == index) for gate, index in channel.items()]
    return rows[np.logical_or.reduce(own)]


def test_where_the_truth_is_an_offset_the_needed_memory_is_the_offset():
    """The positive control: channels that contribute a known number of steps after the cue that opened their gate."""
    rows = pd.concat([laboratory(delay, 1) for delay in (0, 3, 11, 30)])
    truth = rows['source'].str.removeprefix('delay ').astype(int)
    assert (rows['offset'] == truth).mean() > 0.95
    assert (rows['needed'] == rows['offset']).mean() > 0.9
    found = compare(rows, CONFIG)
    assert set(found) == {'input', 'forget', 'output'}
    for gate in found.values():
        assert gate['rho']['low'] > 0.9
        assert gate['rho_moment']['value'] > 0.9
        assert gate['skill']['value'] > 0.9
