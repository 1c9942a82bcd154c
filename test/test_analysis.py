from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made import keeping, made_recording, with_live

from maze_introspection.analysis import analyze, compare_live
from maze_introspection.config import IntrospectionConfig
from maze_introspection.offset import interval_offsets, step_offsets
from maze_introspection.recording import Live
from maze_introspection.recurrence import RESET
from maze_policy.policy import FORGET, INPUT, OUTPUT

CONFIG = IntrospectionConfig(theta_c=0.05)


def broken_recording():
    """Two episodes, a missing step, a clock jump and some steps without a ball."""
    recording = keeping(made_recording(300, 16, resets=(0, 140)), np.arange(300) != 60)
    recording.stamp_ns[200:] += 5_000_000_000
    recording.ball_m[220:230] = np.nan
    return recording


def test_no_offset_spans_a_gap_a_reset_or_a_clock_jump():
    recording = broken_recording()
    analysis = analyze(recording, CONFIG)
    assert np.flatnonzero(analysis.begins).tolist() == [0, 60, 139, 200]
    assert analysis.gaps.tolist() == [60]
    assert np.flatnonzero(analysis.continuity == RESET).tolist() == [0, 139]
    assert not analysis.complete
    segment = np.cumsum(analysis.begins)
    rows = analysis.offsets
    assert (segment[rows['t']] == segment[rows['t0']]).all()
    assert (rows['censored'] == analysis.begins[rows['t0']]).all()
    assert rows['censored'].any()
    assert not rows['censored'].all()


def test_the_analysis_of_a_segment_alone_is_the_same():
    recording = made_recording(300, 16, resets=(0, 140))
    whole, second = analyze(recording, CONFIG), analyze(recording.only(1), CONFIG)
    assert whole.contribution.share[140:].tobytes() == second.contribution.share.tobytes()
    assert whole.salient[140:].tolist() == second.salient.tolist()
    moved = whole.offsets[whole.offsets['t'] >= 140].copy()
    moved['t'] -= 140
    moved['t0'] -= 140
    assert moved.tolist() == second.offsets.tolist()


def test_offsets_are_those_of_each_gate():
    recording = made_recording()
    analysis = analyze(recording, CONFIG)
    share = analysis.contribution.share
    for gate in (INPUT, FORGET, OUTPUT):
        want = interval_offsets(recording.gates[:, gate], share, theta_c=CONFIG.theta_c).tolist()
        assert [row[1:] for row in analysis.of_gate(gate).tolist()] == want
        assert analysis.step_offsets(gate).tolist() == step_offsets(recording.gates[:, gate], analysis.salient).tolist()
    order = analysis.offsets[['t', 'gate', 'channel']].tolist()
    assert order == sorted(order)


@pytest.mark.parametrize('make', [made_recording, broken_recording])
def test_live_and_replay_give_the_same_bits(make):
    live = with_live(make(), CONFIG)
    assert len(live.live.offsets) > 100
    comparison = compare_live(analyze(live, CONFIG))
    assert comparison.identical
    assert str(comparison) == (
        f'live and replayed contributions and offsets are identical, bit for bit, at all {live.steps} steps'
    )


def test_one_bit_in_a_live_contribution_is_found():
    recording = with_live(made_recording(), CONFIG)
    share = recording.live.share.copy()
    step, channel = 123, int(np.argmax(share[123]))
    share[step, channel] = np.nextafter(share[step, channel], np.float32(1))
    comparison = compare_live(analyze(replace(recording, live=Live(share, recording.live.offsets, (CONFIG,))), CONFIG))
    assert not comparison.identical
    assert comparison.share[:2] == (step, channel)
    assert 'contributions differ first at step 123' in str(comparison)
    assert 'offsets' not in str(comparison)


@pytest.mark.parametrize('field', ['offset', 'gate', 'censored', 'distance_m', 'action'])
def test_one_different_live_offset_is_found(field):
    recording = with_live(made_recording(), CONFIG)
    rows = recording.live.offsets.copy()
    rows[field][40] += 1
    comparison = compare_live(analyze(replace(recording, live=Live(recording.live.share, rows, (CONFIG,))), CONFIG))
    assert not comparison.identical
    assert comparison.offsets[0] == rows['step'][40]
    assert comparison.share is None


@pytest.mark.parametrize('lost', [0, 40, -1])
def test_a_lost_or_extra_live_offset_is_found(lost):
    recording = with_live(made_recording(), CONFIG)
    rows = recording.live.offsets
    for changed in (np.delete(rows, lost), np.insert(rows, lost, rows[lost])):
        comparison = compare_live(
            analyze(replace(recording, live=Live(recording.live.share, changed, (CONFIG,))), CONFIG)
        )
        assert comparison.offsets[0] == rows['step'][lost]


def test_live_steps_that_were_not_recorded_are_counted():
    recording = with_live(made_recording(), CONFIG)
    share = recording.live.share.copy()
    share[50:53] = np.nan
    rows = recording.live.offsets
    rows = rows[(rows['step'] < 50) | (rows['step'] > 52)]
    comparison = compare_live(analyze(replace(recording, live=Live(share, rows, (CONFIG,))), CONFIG))
    assert (comparison.missing, comparison.share, comparison.offsets) == (3, None, None)
    assert not comparison.identical
    assert str(comparison) == 'live values are missing at 3 of 300 steps'


@pytest.mark.parametrize('make', [made_recording, broken_recording])
def test_thresholds_that_change_on_the_way_are_kept_to(make):
    changes = {70: replace(CONFIG, theta_c=0.1), 71: replace(CONFIG, theta_c=0.1), 150: replace(CONFIG, theta_g=0.8)}
    recording = with_live(make(), CONFIG, changes=changes)
    assert [first for first, _, _ in recording.live.spans()] == [0, *changes]
    assert compare_live(analyze(recording, CONFIG)).identical
    one = replace(recording.live, config_of=None)
    assert not compare_live(analyze(replace(recording, live=one), CONFIG)).identical, 'the first for all'
    of = recording.live.config_of
    late = replace(recording.live, config_of=np.concatenate([of[:1], of[:-1]]))
    assert not compare_live(analyze(replace(recording, live=late), CONFIG)).identical, 'each one step late'


def test_an_episode_keeps_its_thresholds():
    changes = {70: replace(CONFIG, theta_c=0.1), 150: replace(CONFIG, theta_g=0.8)}
    recording = with_live(made_recording(), CONFIG, changes=changes)
    recording = replace(recording, episode=(np.arange(300) >= 120).astype(np.int64), episode_ids=('a', 'b'))
    assert recording.only(1).live.spans() == [(0, 30, changes[70]), (30, 180, changes[150])]


@pytest.mark.parametrize('begins_late', [True, False])
def test_runs_that_began_before_the_first_step_of_a_late_recorder_are_not_compared(begins_late):
    whole, lost = with_live(made_recording(), CONFIG), 40
    rows = whole.live.offsets[whole.live.offsets['step'] >= lost].copy()
    rows['step'] -= lost
    live = Live(whole.live.share[lost:], rows, (CONFIG,))
    late = replace(keeping(whole, np.arange(300) >= lost), live=live, begins_late=begins_late)
    analysis = analyze(late, CONFIG)
    assert analysis.complete == begins_late
    assert compare_live(analysis).identical
    rows['channel'][-1] += 1
    assert not compare_live(analysis).identical, 'the others are'


def test_nothing_live_nothing_compared():
    assert compare_live(analyze(made_recording(), CONFIG)) is None


def test_the_bias_of_a_readout_is_kept_apart():
    recording = made_recording()
    readout = recording.readout.copy()
    readout[:, -1] = [0, 5, 0, 0, 0]
    scores = recording.scores + readout[:, -1]
    analysis = analyze(replace(recording, readout=readout, scores=scores), CONFIG)
    assert (analysis.contribution.action == 1).all()
    np.testing.assert_allclose(analysis.contribution.bias, 5)
    np.testing.assert_allclose(analysis.contribution.score, scores[:, 1], rtol=1e-5)


def test_no_steps():
    with pytest.raises(ValueError, match='at least one policy step'):
        analyze(keeping(made_recording(), np.zeros(300, dtype=bool)), CONFIG)


def test_without_a_maze_no_ring():
    assert set(analyze(replace(made_recording(), maze=None), CONFIG).ring) == {-1}


def test_the_comparison_uses_the_thresholds_that_the_live_node_had():
    live = with_live(made_recording(), CONFIG)
    other = IntrospectionConfig(theta_c=0.2)
    assert len(analyze(live, other).offsets) != len(analyze(live, CONFIG).offsets)
    assert compare_live(analyze(live, other)).identical
