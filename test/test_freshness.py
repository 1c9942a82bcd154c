import pytest

from maze_policy.freshness import Freshness

MS = 1_000_000


@pytest.mark.parametrize(
    ('stamp_ms', 'kind'),
    [
        (899, 'stale frame'),
        (900, None),
        (1000, None),
        (1100, None),
        (1101, 'frame from the future'),
    ],
)
def test_a_frame_must_be_within_100_ms_of_now(stamp_ms, kind):
    objection = Freshness(0.1).objection(stamp_ms * MS, 1000 * MS)
    assert (objection and objection[0]) == kind


def test_a_frame_is_used_once_and_in_order():
    fresh = Freshness(0.1)
    fresh.used(1000 * MS)
    assert fresh.objection(1000 * MS, 1010 * MS)[0] == 'repeated frame'
    assert fresh.objection(999 * MS, 1010 * MS)[0] == 'out-of-order frame'
    assert fresh.objection(1001 * MS, 1010 * MS) is None


def test_a_frame_that_was_only_looked_at_does_not_block_the_same_stamp():
    fresh = Freshness(0.1)
    assert fresh.objection(1000 * MS, 1000 * MS) is None
    assert fresh.objection(1000 * MS, 1000 * MS) is None


def test_after_a_silence_a_clock_that_was_set_back_is_no_obstacle():
    fresh = Freshness(0.1)
    fresh.used(5000 * MS)
    fresh.forget()
    assert fresh.objection(1000 * MS, 1000 * MS) is None


def test_the_reason_quotes_what_was_wanted_and_what_came():
    assert Freshness(0.1).objection(0, 300 * MS)[1] == 'want at most 100 ms, got 300.0 ms old'
