import math

import pytest

from maze_policy.freshness import Freshness

MS = 1_000_000


@pytest.mark.parametrize(
    ('stamp_ms', 'kind'),
    [
        (899, 'stale frame'),
        (900, None),
        (1000, None),
        (1050, None),
        (1051, 'frame from the future'),
        (0, 'frame without a stamp'),
        (-5, 'frame without a stamp'),
    ],
)
def test_a_frame_must_be_at_most_100_ms_old_and_50_ms_ahead(stamp_ms, kind):
    objection = Freshness(0.1, 0.05).objection(stamp_ms * MS, 1000 * MS)
    assert (objection and objection[0]) == kind


def test_a_frame_is_used_once_and_in_order():
    fresh = Freshness(0.1, 0.05)
    fresh.used(1000 * MS)
    assert fresh.objection(1000 * MS, 1010 * MS)[0] == 'repeated frame'
    assert fresh.objection(999 * MS, 1010 * MS)[0] == 'out-of-order frame'
    assert fresh.objection(1001 * MS, 1010 * MS) is None


def test_a_frame_that_was_only_looked_at_does_not_block_the_same_stamp():
    fresh = Freshness(0.1, 0.05)
    assert fresh.objection(1000 * MS, 1000 * MS) is None
    assert fresh.objection(1000 * MS, 1000 * MS) is None


def test_after_a_silence_a_clock_that_was_set_back_is_no_obstacle():
    fresh = Freshness(0.1, 0.05)
    fresh.used(5000 * MS)
    fresh.forget()
    assert fresh.objection(1000 * MS, 1000 * MS) is None


def test_a_clock_that_was_set_back_starts_the_order_anew():
    fresh = Freshness(0.1, 0.05)
    fresh.used(5000 * MS)
    assert fresh.objection(4960 * MS, 4960 * MS)[0] == 'out-of-order frame', 'two clocks may differ by so much'
    assert fresh.passed_s(5033 * MS) == pytest.approx(0.033)
    assert fresh.objection(4940 * MS, 4940 * MS) is None
    assert fresh.passed_s(4940 * MS) == math.inf


def test_the_reason_quotes_what_was_wanted_and_what_came():
    assert Freshness(0.1, 0.05).objection(1, 300 * MS)[1] == 'want at most 100 ms, got 300.0 ms old'
