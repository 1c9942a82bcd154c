import numpy as np
import pytest

from maze_policy.command import TiltCommands

MS = 1_000_000
TILT = np.array([0.02, -0.03])
ONE, TWO = b'one', b'two'


class Clock:
    """Commands at times of the test's choice; stamp, clock and steady clock are one unless said otherwise."""

    def __init__(self, timeout_s=0.1, **settings):
        self.commands = TiltCommands(timeout_s, **settings)

    def take(self, at_ms, tilt=TILT, who=ONE, stamp_ms=None):
        objection = self.commands.take(
            tilt, who, (at_ms if stamp_ms is None else stamp_ms) * MS, at_ms * MS, at_ms / 1e3
        )
        return objection and objection[0]

    def tilt(self, at_ms):
        return self.commands.tilt_rad(at_ms / 1e3).tolist()


def test_nobody_has_commanded_yet():
    clock = Clock()
    assert clock.commands.silent(0.0)
    assert not clock.commands.heard
    assert clock.tilt(0) == [0, 0]


def test_a_command_holds_for_the_timeout():
    clock = Clock()
    assert clock.take(1000) is None
    assert clock.tilt(1000) == clock.tilt(1099) == TILT.tolist()
    assert clock.tilt(1101) == [0, 0]
    assert clock.commands.silent(1.101)
    assert clock.commands.heard


def test_a_second_commander_levels_until_one_of_them_has_gone():
    clock = Clock()
    clock.take(1000)
    assert clock.take(1010, -TILT, TWO) == 'second policy'
    assert clock.tilt(1010) == [0, 0]
    assert clock.take(1020) == 'second policy'
    assert clock.tilt(1020) == [0, 0]
    assert clock.take(1500) == 'second policy', 'one that is late has not gone'
    assert clock.tilt(1500) == [0, 0]
    assert clock.take(2011) is None
    assert clock.tilt(2011) == TILT.tolist()


def test_even_level_from_a_second_commander_is_one_too_many():
    clock = Clock()
    clock.take(1000)
    assert clock.take(1010, np.zeros(2), TWO) == 'second policy'
    assert clock.tilt(1010) == [0, 0]


def test_a_second_commander_who_makes_no_sense_is_one_too_many():
    """Else the board would lean and level by turns."""
    clock = Clock()
    clock.take(1000)
    clock.commands.refuse(TWO, 1.01)
    assert clock.tilt(1010) == [0, 0]
    assert clock.take(1020) == 'second policy'
    assert clock.tilt(1020) == [0, 0]


def test_the_only_commander_may_make_sense_again():
    clock = Clock()
    clock.take(1000)
    clock.commands.refuse(ONE, 1.01)
    assert clock.tilt(1010) == [0, 0]
    assert clock.take(1020) is None
    assert clock.tilt(1020) == TILT.tolist()


def test_level_holds_until_the_next_good_command():
    clock = Clock()
    clock.take(1000)
    clock.commands.level()
    assert clock.tilt(1000) == [0, 0]
    clock.take(1001)
    assert clock.tilt(1001) == TILT.tolist()


@pytest.mark.parametrize(
    ('stamp_ms', 'kind'),
    [
        (1800, None),
        (1799, 'stale command'),
        (0, 'command without a stamp'),
        (2051, 'command from the future'),
        (1900, 'repeated command'),
        (1850, 'out-of-order command'),
    ],
)
def test_a_tilt_must_be_fresh_and_in_order(stamp_ms, kind):
    clock = Clock(max_age_s=0.2, max_ahead_s=0.05)
    if stamp_ms != 1800:
        assert clock.take(1950, stamp_ms=1900) is None
    assert clock.take(2000, -TILT, stamp_ms=stamp_ms) == kind


def test_without_an_age_limit_stamps_are_not_looked_at():
    clock = Clock()
    assert clock.take(5000, stamp_ms=9000) is None
    assert clock.take(5001, stamp_ms=1) is None


def test_level_is_welcome_with_any_stamp_and_does_not_count_in_the_order():
    clock = Clock(max_age_s=0.2, max_ahead_s=0.05)
    clock.take(1000)
    assert clock.take(1050, np.zeros(2), stamp_ms=1) is None
    assert clock.tilt(1050) == [0, 0]
    clock.take(1060, np.zeros(2), stamp_ms=1060)
    assert clock.take(1070, stamp_ms=1055) is None


def test_refused_commands_are_no_sign_of_life():
    clock = Clock(max_age_s=0.2, max_ahead_s=0.05)
    clock.take(1000)
    for at_ms in range(1010, 1200, 10):
        assert clock.take(at_ms, stamp_ms=500) == 'stale command'
    assert clock.tilt(1101) == [0, 0]


def test_after_a_silence_the_clock_may_have_been_set_back():
    clock = Clock(max_age_s=0.2, max_ahead_s=0.05)
    clock.take(5000)
    objection = clock.commands.take(TILT, ONE, 1000 * MS, 1000 * MS, 6.0)
    assert objection is None


def test_clear_forgets_who_commanded():
    clock = Clock()
    clock.take(1000)
    clock.commands.clear()
    assert not clock.commands.heard
    assert clock.take(1001, who=TWO) is None


def test_the_objection_quotes_what_was_wanted_and_what_came():
    commands = TiltCommands(0.1, 0.2, 0.05)
    kind, why = commands.take(TILT, ONE, 1, 300 * MS, 0.3)
    assert (kind, why) == ('stale command', 'want at most 200 ms, got 300.0 ms old')
