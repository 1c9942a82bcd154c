import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maze_introspection.validity import resample

COUNTS = arrays(np.float64, (3, 9), elements=st.integers(0, 4).map(float))


def rows(counts):
    return np.repeat(np.arange(len(counts)), counts.astype(int))


@given(COUNTS)
def test_statistics_of_counts_are_those_of_the_rows(counts):
    for line, mean, median in zip(counts, resample.mean(counts), resample.median(counts)):
        sample = rows(line)
        if not sample.size:
            assert np.isnan(mean)
            assert np.isnan(median)
            continue
        assert mean == pytest.approx(sample.mean())
        assert median == np.percentile(sample, 50, method='inverted_cdf')


@given(COUNTS, COUNTS)
def test_delta_is_the_balance_over_all_pairs(counts, other):
    found = resample.cliff_delta(counts, other)
    for line, beside, delta in zip(counts, other, found):
        pairs = np.sign(rows(line)[:, None] - rows(beside)[None])
        assert delta == pytest.approx(pairs.mean()) if pairs.size else np.isnan(delta)
    np.testing.assert_allclose(resample.cliff_delta(other, counts), -found)


@given(COUNTS, COUNTS, st.integers(1, 5))
def test_delta_does_not_mind_later_offsets_or_a_longer_step(counts, other, factor):
    """A shift of both, and a stretch of time, leave who is longer as it is."""
    delta = resample.cliff_delta(counts, other)
    wide = [np.zeros((3, 9 * factor + 4)) for _ in range(2)]
    for target, source in zip(wide, (counts, other)):
        target[:, 4 : 4 + 9 * factor : factor] = source
    np.testing.assert_allclose(resample.cliff_delta(*wide), delta)


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(0, 99))
def test_a_resample_counts_what_its_episodes_have(episodes, seed):
    rng = np.random.default_rng(seed)
    episode, group, offset = rng.integers(0, episodes, 50), rng.integers(-1, 2, 50), rng.integers(0, 7, 50)
    counts = resample.tally(episode, group, offset, (episodes, 2, 7))
    weights = resample.resamples(episodes, 5, seed)
    np.testing.assert_array_equal(weights.sum(axis=1), episodes)
    for weight, found in zip(weights, resample.drawn(weights, counts)):
        again = np.repeat(np.arange(50), weight[episode].astype(int))
        for ring in range(2):
            expected = np.bincount(offset[again][group[again] == ring], minlength=7)
            np.testing.assert_array_equal(found[ring], expected)


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    """Episodes of one offset each: the bootstrap of a mean has the standard error of n independent values."""
    offsets = np.random.default_rng(0).poisson(8, 400)
    counts = resample.tally(np.arange(400), np.zeros(400, dtype=int), offsets, (400, 1, offsets.max() + 1))
    low, high = resample.interval(resample.mean(resample.drawn(resample.resamples(400, 4000, 1), counts)))
    error = offsets.std() / 20
    assert low[0] == pytest.approx(offsets.mean() - 1.96 * error, abs=0.15 * error)
    assert high[0] == pytest.approx(offsets.mean() + 1.96 * error, abs=0.15 * error)


def test_rows_of_one_episode_do_not_narrow_the_interval():
    """Ten copies of every offset within its episode are no ten times as much evidence."""
    offsets = np.random.default_rng(0).poisson(8, 50)
    once = resample.tally(np.arange(50), np.zeros(50, dtype=int), offsets, (50, 1, 30))
    weights = resample.resamples(50, 200, 1)
    one, ten = (resample.interval(resample.mean(resample.drawn(weights, counts))) for counts in (once, 10 * once))
    np.testing.assert_allclose(one, ten)


def test_what_most_resamples_lack_has_no_interval():
    values = np.column_stack([np.arange(9.0), np.r_[1.0, [np.nan] * 8], np.r_[np.nan, np.arange(8.0)]])
    low, high = resample.interval(values)
    assert np.isfinite(low).tolist() == np.isfinite(high).tolist() == [True, False, True]
    assert (low[2], high[2]) == pytest.approx((0.175, 6.825))
