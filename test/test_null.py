from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from made import STEP_NS, made_recording

from maze_introspection.analysis import analyze
from maze_introspection.config import IntrospectionConfig
from maze_introspection.contribution import contribution, salient
from maze_introspection.null import (
    SHIFT,
    against_null,
    counting_steps,
    gaussian_channels_needed,
    null_hits,
    null_means,
    over_grid,
    ring_means,
)
from maze_introspection.offset import interval_offsets
from maze_policy.policy import FORGET, INPUT, OUTPUT

CONFIG = IntrospectionConfig(theta_c=0.05)


def everywhere(analysis):
    return np.ones(analysis.recording.steps, dtype=bool)


def test_ring_means_by_hand():
    means = ring_means(np.array([2, 4, 9, 5]), np.array([1, 1, 3, -1]), 4)
    np.testing.assert_allclose(means, [np.nan, 3, np.nan, 9])


def test_measured_means_are_those_of_the_uncensored_offsets():
    analysis = analyze(made_recording(400, 16, resets=(0, 150)), CONFIG)
    found = against_null(analysis, 20, 0, everywhere(analysis))['output']
    rows = analysis.of_gate(OUTPUT)
    rows = rows[~rows['censored']]
    for ring in range(5):
        assert found['mean'][ring] == pytest.approx(rows['offset'][analysis.ring[rows['t']] == ring].mean())
        assert found['null_low'][ring] <= found['null_mean'][ring] <= found['null_high'][ring]
    assert found['growth'] == pytest.approx(found['mean'][1] - found['mean'][4])


def test_the_same_seed_draws_the_same_null():
    analysis = analyze(made_recording(300, 16), CONFIG)
    one, two, other = (against_null(analysis, 10, seed, everywhere(analysis)) for seed in (1, 1, 2))
    assert one == two != other


def linked_recording(lag):
    """Every channel contributes in bursts of its own, `lag` steps after its own gate opens."""
    steps, channels = 2000, 12
    rng = np.random.default_rng(0)
    gates = np.full((steps, 4, channels), 0.1, dtype=np.float32)
    hidden = np.full((steps, channels), -0.5, dtype=np.float32)
    for channel in range(channels):
        for start in rng.choice(np.arange(5, steps - 60, 60), 20, replace=False) + rng.integers(0, 20):
            gates[start : start + 40, :, channel] = 0.9
            hidden[start + lag : start + lag + 3, channel] = 0.5
    base = made_recording(steps, channels)
    readout = np.ones((5, channels + 1), dtype=np.float32)
    readout[:, -1] = 0
    scores = np.repeat(hidden.sum(axis=1, keepdims=True), 5, axis=1)
    return replace(
        base, gates=gates, hidden=hidden, readout=readout, scores=scores, stamp_ns=np.arange(steps) * STEP_NS
    )


def test_the_null_breaks_the_link_between_a_gate_and_its_own_contribution():
    recording = linked_recording(lag=7)
    analysis = analyze(recording, CONFIG)
    analysis = replace(analysis, begins=np.arange(recording.steps) == 0)  # made-up gates obey no recurrence
    from maze_introspection.analysis import gated_offsets

    offsets = gated_offsets(recording.gates, analysis.contribution.share, analysis.begins, CONFIG)
    analysis = replace(analysis, offsets=offsets)
    found = against_null(analysis, 20, 0, everywhere(analysis))['output']
    assert found['mean'] == [pytest.approx(7)] * 5
    assert max(abs(mean - 7) for mean in found['null_mean']) > 1


def test_the_null_is_what_the_offsets_of_paired_channels_would_be():
    analysis = analyze(made_recording(400, 16, resets=(0, 150)), CONFIG)
    counts = np.arange(400) % 3 > 0
    means = null_means(analysis, 3, 5, counts)
    rng = np.random.default_rng(5)
    for draw in range(3):
        paired = analysis.contribution.share[:, rng.permutation(16)]
        for gate in (INPUT, FORGET, OUTPUT):
            rows = interval_offsets(
                analysis.recording.gates[:, gate], paired, CONFIG.theta_g, CONFIG.theta_c, begins=analysis.begins
            )
            rows = rows[~rows['censored'] & counts[rows['t']]]
            assert len(rows) > 10
            np.testing.assert_allclose(means[gate][draw], ring_means(rows['offset'], analysis.ring[rows['t']], 5))


def test_a_shift_moves_the_contributions_of_each_episode_around_and_keeps_all_of_them():
    analysis = analyze(made_recording(400, 16, resets=(0, 150)), CONFIG)
    hit = analysis.contribution.share > CONFIG.theta_c
    seen = set()
    for contributes, pairing in null_hits(analysis, 50, 3, SHIFT):
        assert pairing.tolist() == list(range(16))
        moved = contributes == np.arange(400)[:, None]
        by = []
        for part in (slice(0, 150), slice(150, 400)):
            length = part.stop - part.start
            fits = [k for k in range(length) if (np.roll(hit[part], k, axis=0) == moved[part]).all()]
            assert len(fits) == 1
            assert 0 < fits[0] < length
            by += fits
        seen.add(tuple(by))
    assert len(seen) > 45


def test_the_shifted_null_is_what_the_offsets_of_moved_contributions_would_be():
    analysis = analyze(made_recording(400, 16, resets=(0, 150)), CONFIG)
    counts = np.arange(400) % 3 > 0
    means = null_means(analysis, 3, 5, counts, SHIFT)
    for draw, (contributes, _) in enumerate(null_hits(analysis, 3, 5, SHIFT)):
        moved = (contributes == np.arange(400)[:, None]).astype(np.float32)
        for gate in (INPUT, FORGET, OUTPUT):
            rows = interval_offsets(
                analysis.recording.gates[:, gate], moved, CONFIG.theta_g, 0.5, begins=analysis.begins
            )
            rows = rows[~rows['censored'] & counts[rows['t']]]
            assert len(rows) > 10
            np.testing.assert_allclose(means[gate][draw], ring_means(rows['offset'], analysis.ring[rows['t']], 5))


def test_an_unknown_null_is_refused():
    analysis = analyze(made_recording(60, 4), CONFIG)
    with pytest.raises(ValueError, match="want one of permutation, shift, got 'flip'"):
        null_means(analysis, 1, 0, everywhere(analysis), 'flip')


def test_a_gaussian_layer_needs_what_theory_says():
    # E[x; x > c] = phi(c) must be half of phi(0): c = sqrt(2 ln 2), and 1 - Phi(c) of the channels lie above it.
    theory = 1 - NormalDist().cdf(np.sqrt(2 * np.log(2)))
    assert gaussian_channels_needed(4000, 1, 0.5, steps=200).mean == pytest.approx(theory, abs=0.001)
    quarter = 1 - NormalDist().cdf(np.sqrt(2 * np.log(4)))
    assert gaussian_channels_needed(4000, 1, 0.25, steps=200).mean == pytest.approx(quarter, abs=0.001)


def test_a_gaussian_layer_is_counted_as_a_recorded_one():
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((3000, 64)) * 0.1
    share = contribution(hidden, np.ones((1, 64))).share
    counted = salient(share).mean(axis=1).mean()
    assert gaussian_channels_needed(64, 1, 0.5, steps=3000).mean == pytest.approx(counted, abs=0.002)
    assert gaussian_channels_needed(64, 5, 0.5, steps=3000).mean > counted + 0.005  # the best of five is pulled by more


def test_a_window_counts_the_first_steps_in_the_ring_begun_in():
    recording = made_recording(100, 4, resets=(0, 60))
    recording.ball_m[:] = [0.085, 0]
    recording.ball_m[15:] = [0.067, 0]
    analysis = analyze(recording, CONFIG)
    assert np.flatnonzero(counting_steps(analysis, 20)).tolist() == [*range(15), *range(60, 80)]
    assert counting_steps(analysis, 0).all()


def test_nothing_to_compare_is_none_not_nan():
    analysis = analyze(made_recording(60, 4), IntrospectionConfig(theta_g=1.0))
    found = against_null(analysis, 5, 0, everywhere(analysis))['output']
    assert found['mean'] == [None] * 5
    assert found['p'] is None


def test_a_grid_is_the_comparison_at_each_pair_of_thresholds():
    recording = made_recording(300, 16, resets=(0, 150))
    analysis = analyze(recording, CONFIG)
    grid = over_grid(analysis, (0.4, 0.6), (0.02, 0.1), 5, 0, everywhere(analysis))
    assert [(point['theta_g'], point['theta_c']) for point in grid] == [
        (0.4, 0.02),
        (0.4, 0.1),
        (0.6, 0.02),
        (0.6, 0.1),
    ]
    alone = analyze(recording, IntrospectionConfig(theta_g=0.6, theta_c=0.02))
    assert grid[2]['gates'] == against_null(alone, 5, 0, everywhere(alone))
