import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maze_introspection.validity.elapsed import growth, matched_share, resampled, steps_inwards, strata
from maze_introspection.validity.resample import resamples


def made(of, rows=4000, seed=0):
    """Rows of 8 episodes whose rings overlap in time; `of(ring, elapsed)` is the offset."""
    rng = np.random.default_rng(seed)
    elapsed = rng.integers(0, 120, rows)
    ring = np.clip(4 - (elapsed + rng.integers(-25, 26, rows)) // 30, 1, 4)
    return rng.integers(0, 8, rows), ring, elapsed, of(ring, elapsed)


def raw(ring, offset):
    return offset[ring == 1].mean() - offset[ring == 4].mean()


def test_a_growth_that_is_elapsed_time_alone_is_gone():
    episode, ring, elapsed, offset = made(lambda ring, elapsed: elapsed // 3)
    assert raw(ring, offset) > 20
    assert growth(strata(episode, ring, elapsed, offset, 1, (8, 5, 700)).sum(axis=0)) == pytest.approx(0, abs=1e-9)


def test_what_the_ring_adds_is_found_exactly():
    episode, ring, elapsed, offset = made(lambda ring, elapsed: elapsed // 3 + 2 * (4 - ring))
    sums = strata(episode, ring, elapsed, offset, 1, (8, 5, 700)).sum(axis=0)
    np.testing.assert_allclose(steps_inwards(sums), [np.nan, 2, 2, 2, np.nan])
    assert growth(sums) == pytest.approx(6)


def test_by_hand():
    """Two strata of ten steps: ring 1 has 2, 4 | 9, ring 2 has 1 | 3, 5, 7; ring 1 alone has a 50 in the third."""
    ring = np.array([1, 1, 2, 1, 2, 2, 2, 1])
    elapsed = np.array([0, 9, 5, 10, 19, 12, 13, 25])
    offset = np.array([2, 4, 1, 9, 3, 5, 7, 50])
    sums = strata(np.zeros(8, dtype=int), ring, elapsed, offset, 10, (1, 3, 9)).sum(axis=0)
    first, second = (3 - 1, 2 * 1 / 3), (9 - 5, 1 * 3 / 4)
    want = sum(gap * weight for gap, weight in (first, second)) / (first[1] + second[1])
    assert steps_inwards(sums)[1] == pytest.approx(want)
    assert growth(sums) == pytest.approx(want)
    np.testing.assert_allclose(matched_share(sums), [np.nan, 3 / 4, np.nan])


def test_rings_that_share_no_time_cannot_be_compared():
    ring, elapsed = np.repeat([2, 1], 10), np.arange(20)
    sums = strata(np.zeros(20, dtype=int), ring, elapsed, elapsed, 10, (1, 3, 9)).sum(axis=0)
    assert np.isnan(steps_inwards(sums)).all()
    assert np.isnan(growth(sums))
    assert matched_share(sums)[1] == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.integers(0, 40), st.integers(1, 12))
def test_a_constant_and_a_later_start_change_nothing(seed, more, width):
    episode, ring, elapsed, offset = made(lambda ring, elapsed: (7 * elapsed + ring) % 13, 300, seed)
    want = growth(strata(episode, ring, elapsed, offset, width, (8, 5, 700)).sum(axis=0))
    np.testing.assert_allclose(
        growth(strata(episode, ring, elapsed, offset + more, width, (8, 5, 700)).sum(axis=0)), want
    )
    late = strata(episode, ring, elapsed + width * more, offset, width, (8, 5, 700)).sum(axis=0)
    np.testing.assert_allclose(growth(late), want)
    order = np.random.default_rng(seed).permutation(300)
    shuffled = strata(episode[order], ring[order], elapsed[order], offset[order], width, (8, 5, 700)).sum(axis=0)
    np.testing.assert_allclose(growth(shuffled), want)


def test_each_resample_is_the_growth_of_its_rows():
    rows = made(lambda ring, elapsed: (7 * elapsed + ring) % 13, 600)
    weights = resamples(8, 4, 0)
    found = resampled(weights, strata(*rows, 5, (8, 5, 700)))
    for weight, value in zip(weights, found):
        again = np.repeat(np.arange(600), weight[rows[0]].astype(int))
        sums = strata(*(column[again] for column in rows), 5, (8, 5, 700)).sum(axis=0)
        assert value == pytest.approx(growth(sums))
