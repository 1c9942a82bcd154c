import lifelines
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maze_introspection.validity.resample import median
from maze_introspection.validity.survival import durations, inward_hazard, median_offset, product_limit

COUNTS = arrays(np.float64, 12, elements=st.integers(0, 5).map(float))
NONE = np.zeros(12)


def rows(counts, hidden):
    """The events table of these counts, as far as survival reads it."""
    offset = np.concatenate([np.repeat(np.arange(12), each.astype(int)) for each in (counts, hidden)])
    censored = np.arange(len(offset)) >= counts.sum()
    return pd.DataFrame({'offset': offset, 'censored': censored, 'ended': 'contributed'})


def test_what_is_known_of_each_run():
    table = pd.DataFrame(
        {
            'offset': [4, 4, 4, 4],
            'censored': [False, True, False, True],
            'ended': ['contributed', 'contributed', 'closed', 'cut'],
        }
    )
    duration, known = durations(table)
    assert duration.tolist() == [5, 4.5, 5.5, 5.5]  # exactly 5; 5 or more; more than 5, twice
    assert known.tolist() == [True, False, False, False]


def test_product_limit_by_hand():
    """Offsets 1, 3, 3 known; one of at least 2, one of at least 3."""
    counts, hidden = np.zeros((2, 5))
    counts[[1, 3]], hidden[[2, 3]] = (1, 2), 1
    # At risk of 1: five; of 3: the two known and none whose bound is 3 (it may be 3, or longer).
    np.testing.assert_allclose(product_limit(counts, hidden), [1, 4 / 5, 4 / 5, 0, 0])
    assert median_offset(counts, hidden) == 3


@settings(deadline=None, max_examples=30)
@given(COUNTS, COUNTS)
def test_product_limit_is_that_of_lifelines(counts, hidden):
    table = rows(counts, hidden)
    if not len(table):
        return
    duration, known = durations(table)
    fitted = lifelines.KaplanMeierFitter().fit(duration, known)
    expected = fitted.survival_function_at_times(np.arange(12) + 1).to_numpy()
    np.testing.assert_allclose(product_limit(counts, hidden), expected, atol=1e-12)
    found, theirs = median_offset(counts, hidden), fitted.median_survival_time_ - 1
    assert found == theirs or (np.isnan(found) and np.isinf(theirs)) or abs(expected - 0.5).min() < 1e-9


@given(COUNTS)
def test_without_hidden_beginnings_it_is_the_plain_median(counts):
    np.testing.assert_array_equal(median_offset(counts, NONE), median(counts))
    if counts.sum():
        np.testing.assert_allclose(product_limit(counts, NONE), 1 - counts.cumsum() / counts.sum(), atol=1e-12)


@given(COUNTS, COUNTS, st.integers(0, 9))
def test_a_later_contribution_moves_the_median_as_far(counts, hidden, more):
    moved = [np.concatenate([np.zeros(more), each]) for each in (counts, hidden)]
    np.testing.assert_array_equal(median_offset(*moved), median_offset(counts, hidden) + more)


def test_a_recording_that_cuts_into_runs_is_corrected_and_leaving_them_out_is_not():
    """Long renewal sequences of runs, each ending in a contribution, of which windows of 40 steps are seen."""
    rng = np.random.default_rng(0)
    known, hidden = [], []
    for _ in range(4000):
        ends = np.cumsum(rng.choice([2, 30], 200, p=[0.6, 0.4]))  # mean 13.2; a run lasts 2 or 30 steps
        first = int(rng.integers(1000, 1200))
        at = np.searchsorted(ends, first, side='right')  # the run that the window cuts into
        if ends[at] < first + 40:
            hidden.append(ends[at] - first - 1)
        for k in range(at + 1, 200):
            if ends[k] >= first + 40:
                break
            known.append(ends[k] - ends[k - 1] - 1)
    shape = (np.bincount(known, minlength=40).astype(float), np.bincount(hidden, minlength=40).astype(float))
    truth = 0.4  # P(offset > 1)
    left_out = 1 - shape[0].cumsum()[1] / shape[0].sum()
    assert left_out < truth - 0.05
    assert abs(product_limit(*shape)[1] - truth) < abs(left_out - truth)


def made_runs(hazard, seed=0, n=6000):
    """Runs of 20 episodes with a geometric time to contribution, cut after 30 steps; `hazard(ring, elapsed)`."""
    rng = np.random.default_rng(seed)
    begin = rng.integers(1, 300, n)
    ring = np.clip(4 - (begin + rng.integers(-60, 61, n)) // 75, 1, 4)
    offset = rng.geometric(hazard(ring, begin)) - 1
    cut = offset > 30
    offset = np.minimum(offset, 30)
    return pd.DataFrame(
        {
            'offset': offset,
            'censored': False,
            'ended': np.where(cut, 'cut', 'contributed'),
            'ring_t0': ring,
            'elapsed': begin + offset,
            'channel': rng.integers(0, 3, n),
            'episode': rng.integers(0, 20, n),
        }
    )


def test_the_hazard_ratio_of_a_ring_is_found():
    runs = made_runs(lambda ring, begin: 0.02 * 0.8 ** (4 - ring))
    found = inward_hazard(runs, 4, elapsed=False)
    assert found['value'] == pytest.approx(0.8, abs=0.04)
    held = inward_hazard(runs, 4, elapsed=True)
    assert held['low'] < 0.8 < held['high']
    assert found['runs'] == 6000
    assert found['contributions'] == (runs['ended'] == 'contributed').sum()


def test_a_hazard_that_falls_with_elapsed_time_alone_is_not_the_ring_s():
    runs = made_runs(lambda ring, begin: 0.08 * np.exp(-begin / 100))
    assert inward_hazard(runs, 4, elapsed=False)['high'] < 0.7
    held = inward_hazard(runs, 4, elapsed=True)
    assert held['low'] < 1 < held['high']


def test_what_the_data_do_not_determine_is_none():
    runs = made_runs(lambda ring, begin: np.full(len(ring), 0.1), n=50)
    assert inward_hazard(runs.assign(ring_t0=4), 4, elapsed=False)['value'] is None
    assert inward_hazard(runs.iloc[:0], 4, elapsed=False) == {
        'value': None, 'low': None, 'high': None, 'p': None, 'runs': 0, 'contributions': 0,
    }  # fmt: skip
