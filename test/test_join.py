import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_introspection.join import LIMIT, SET_BACK_NS, StampJoin

REQUIRED = ('gates', 'state', 'scores')


def join(patience=3):
    return StampJoin(REQUIRED, ('ball',), patience)


def add(made, stamp, *parts):
    for part in parts:
        made.add(part, stamp, f'{part}{stamp}')
    return list(made.ready())


def stamps(steps):
    return [stamp for stamp, _ in steps]


@pytest.mark.parametrize('order', list(itertools.permutations((*REQUIRED, 'ball'))))
def test_a_step_is_there_with_its_last_part_whatever_the_order(order):
    made = join()
    assert add(made, 7, *order[:-1]) == []
    assert add(made, 7, order[-1]) == [(7, {part: f'{part}7' for part in order})]


def test_a_newer_ball_proves_that_the_ball_never_comes():
    made = join()
    assert add(made, 1, *REQUIRED) == []
    assert add(made, 2, 'ball') == [(1, {part: f'{part}1' for part in REQUIRED})]


def test_without_any_ball_a_step_waits_for_as_many_newer_steps_as_patience_says():
    made = join(patience=3)
    emitted = [stamps(add(made, stamp, *REQUIRED)) for stamp in range(1, 7)]
    assert emitted == [[], [], [], [1], [2], [3]]
    assert stamps(made.flush()) == [4, 5, 6]


def test_a_step_that_lacks_a_required_part_is_dropped_once_that_can_never_come():
    made = join()
    add(made, 1, 'gates', 'scores', 'ball')
    assert stamps(add(made, 2, *REQUIRED, 'ball')) == [2]
    assert made.dropped == 1


def test_a_backlog_that_comes_topic_by_topic_loses_nothing():
    """As after a pause of the process: first 50 gates, then 50 states, and so on."""
    made = join(patience=3)
    for part in REQUIRED[:-1]:
        for stamp in range(1, 51):
            assert add(made, stamp, part) == []
    emitted = [stamp for s in range(1, 51) for stamp in stamps(add(made, s, REQUIRED[-1]))]
    assert emitted + stamps(made.flush()) == list(range(1, 51))
    assert made.dropped == 0


def test_a_duplicate_is_refused_and_changes_nothing():
    made = join()
    add(made, 1, 'gates', 'state')
    with pytest.raises(ValueError, match='gates of stamp 1 came twice'):
        made.add('gates', 1, 'other')
    assert add(made, 1, 'scores', 'ball') == [(1, {part: f'{part}1' for part in (*REQUIRED, 'ball')})]


def test_a_late_part_is_refused_but_a_late_ball_is_nobodys_loss():
    made = join()
    add(made, 5, *REQUIRED, 'ball')
    with pytest.raises(ValueError, match='gates of stamp 5 came after step 5 was done'):
        made.add('gates', 5, 'again')
    assert add(made, 4, 'ball') == []
    assert made.dropped == 0


def test_balls_between_frames_make_no_steps():
    made = join()
    assert add(made, 1, 'ball') == []
    assert add(made, 2, 'ball') == []
    assert stamps(add(made, 3, *REQUIRED, 'ball')) == [3]
    assert made.dropped == 0


def test_balls_alone_do_not_pile_up():
    made = join()
    for stamp in range(3 * LIMIT):
        add(made, stamp, 'ball')
    assert len(made._waiting) <= LIMIT
    assert stamps(add(made, 3 * LIMIT, *REQUIRED, 'ball')) == [3 * LIMIT]


def test_a_clock_that_was_set_back_starts_anew():
    made = join()
    now = 10 * SET_BACK_NS
    assert stamps(add(made, now, *REQUIRED, 'ball')) == [now]
    add(made, now + 1, 'gates')
    assert stamps(add(made, 5, 'ball', *REQUIRED)) == []  # the ball came while the join still believed the old clock
    assert stamps(add(made, 6, 'ball', *REQUIRED)) == [5, 6]
    assert made.dropped == 1


def test_an_unknown_part_is_named():
    with pytest.raises(ValueError, match="want one of gates, state, scores, ball, got 'cell'"):
        join().add('cell', 1, None)


@given(st.data())
def test_whatever_the_interleaving_every_complete_step_comes_once_and_in_order(data):
    """Topics interleave at will, each in its own order; some parts are lost."""
    count = data.draw(st.integers(1, 8))
    lost = data.draw(st.sets(st.tuples(st.sampled_from((*REQUIRED, 'ball')), st.integers(1, count)), max_size=6))
    queues = {part: [s for s in range(1, count + 1) if (part, s) not in lost] for part in (*REQUIRED, 'ball')}
    made, emitted = join(patience=100), []
    while any(queues.values()):
        part = data.draw(st.sampled_from([part for part, queue in queues.items() if queue]))
        emitted += add(made, queues[part].pop(0), part)
    emitted += made.flush()
    complete = [s for s in range(1, count + 1) if not any((part, s) in lost for part in REQUIRED)]
    assert stamps(emitted) == complete
    for stamp, parts in emitted:
        assert ('ball' in parts) == (('ball', stamp) not in lost)
