import numpy as np
import pytest

from maze_policy.maze import load_maze
from maze_policy.trial import Settling, Trial, summary

MAZE = load_maze()
OUTER_M, RING1_M, CENTRE_M = 0.087, 0.03, 0.01


def see(watcher, *sightings):
    """Feed (time in s, distance from the centre in m)."""
    for time_s, distance_m in sightings:
        watcher.see(round(time_s * 1e9), np.array([distance_m, 0.0]))
    return watcher


def settling(*sightings):
    return see(Settling(MAZE, 1.0), *sightings)


def trial(*sightings, time_limit_s=10.0, solved_frames=2):
    return see(Trial(MAZE, time_limit_s, solved_frames), *sightings)


def test_a_ball_that_lies_in_the_outer_ring_for_long_enough_has_settled():
    resting = [(5.0 + 0.25 * step, OUTER_M + 0.001 * (step % 2)) for step in range(5)]
    assert not settling(*resting[:-1]).done
    assert settling(*resting).done


@pytest.mark.parametrize(
    ('between', 'says'),
    [
        ((5.5, RING1_M), 'the ball is in ring 1'),
        ((5.5, CENTRE_M), 'the ball is in the centre'),
        ((5.5, OUTER_M - 0.0056), 'the ball does not lie still yet'),
        ((5.9, OUTER_M), 'the ball does not lie still yet'),  # a hand took it and put it back meanwhile
        ((4.9, OUTER_M), 'the ball does not lie still yet'),  # another clock
    ],
)
def test_what_disturbs_the_ball_begins_its_rest_anew(between, says):
    disturbed = settling((5.0, OUTER_M), (5.25, OUTER_M), between)
    assert disturbed.says == says
    assert not see(disturbed, (between[0] + 0.5, between[1]), (between[0] + 0.9, between[1])).done
    again = [(7.0 + 0.4 * step, OUTER_M) for step in range(4)]
    assert see(disturbed, *again).done


def test_after_a_clock_that_went_back_it_settles_by_the_new_time():
    assert settling((500.0, OUTER_M), *[(5.0 + 0.25 * step, OUTER_M) for step in range(5)]).done


def test_nothing_seen_is_nothing_settled():
    assert not settling().done
    assert settling().says == 'no ball is seen'


def test_solved_is_a_ball_in_the_centre_several_times_in_a_row_counted_from_the_first():
    flicker = trial((1.0, OUTER_M), (1.1, CENTRE_M), (1.2, OUTER_M), (3.0, CENTRE_M))
    assert flicker.outcome is None
    solved = see(flicker, (3.5, CENTRE_M))
    assert solved.solved
    assert solved.counts
    assert solved.time_s == pytest.approx(2.0)


def test_innermost_ring_alone_is_not_solved():
    assert trial((1.0, 0.0136), (1.1, 0.0136), (1.2, 0.0136)).outcome is None


def test_out_of_time_is_what_takes_longer():
    assert trial((1.0, OUTER_M), (11.0, OUTER_M)).outcome is None
    late = trial((1.0, OUTER_M), (11.1, OUTER_M))
    assert (late.outcome, late.solved, late.counts) == ('out of time', False, True)


def test_each_sighting_lasts_until_the_next():
    played = trial((1.0, OUTER_M), (1.5, OUTER_M), (2.5, RING1_M), (4.0, OUTER_M), (4.25, CENTRE_M), (4.5, CENTRE_M))
    np.testing.assert_allclose(played.ring_s, [0.0, 1.5, 0.0, 0.0, 1.75])
    assert played.ring_s.sum() == pytest.approx(played.time_s) == pytest.approx(3.25)


def test_a_clock_that_goes_back_makes_the_trial_void():
    void = trial((5.0, OUTER_M), (0.5, OUTER_M))
    assert void.outcome == 'void: the clock of the ball went back by 4.500 s'
    assert not void.counts
    assert not void.solved


def test_after_its_end_nothing_counts_and_a_repeated_sighting_never_does():
    repeated = trial((1.0, CENTRE_M), (1.0, CENTRE_M))
    assert repeated.outcome is None
    ended = trial((1.0, OUTER_M), (12.0, OUTER_M), (13.0, CENTRE_M), (14.0, CENTRE_M))
    assert ended.outcome == 'out of time'
    assert ended.time_s == 11.0


def test_nothing_seen_is_a_trial_of_no_length():
    assert trial().time_s == 0.0
    assert trial().ring_s.tolist() == [0.0] * 5


def test_the_summary_counts_what_was_played_to_its_end():
    fast = trial((0.0, OUTER_M), (1.0, RING1_M), (3.0, CENTRE_M), (3.1, CENTRE_M))
    slow = trial((0.0, OUTER_M), (2.0, OUTER_M), (11.0, OUTER_M))
    void = trial((0.0, OUTER_M))
    void.give_up('no ball')
    assert summary([fast, void, slow]) == 'solved 1 of 2 (1 void); median 7.0 s: ring 4 6.0 s, ring 1 2.0 s'
    assert summary([void]) == 'solved 0 of 0 (1 void)'
