"""Time itself fails: a simulation's clock that leaps, stands still or was never there."""

import pytest
from fault_observer import CONTROLLER
from faults import SAFE_MS, fault_graph, keeps, ms, slots, steps_of

from maze_policy import topics

NODES = ('policy', 'arm')


@pytest.fixture(scope='module')
def playing(tmp_path_factory):
    with fault_graph(tmp_path_factory.mktemp('clock')) as graph:
        play(graph, clock=True)
        graph.leans()
        yield graph


def play(graph, clock):
    graph.watch(topics.PRECEDING_OFFSET, topics.CONTRIBUTION)
    graph.node('introspection', use_sim_time=True)
    graph.node('arm', near_neutral_deg=0.1, use_sim_time=True)
    graph.leaning(use_sim_time=True)
    graph.show(*(['--clock'] if clock else []))


def offsets(graph, state):
    """The first offsets of the episode that began with `state`, and the step they are of."""
    steps = {line.stamp: line for line in graph.said(topics.LSTM_STATE, state.t)}
    return next(
        ((line, steps[line.stamp]) for line in graph.said(topics.PRECEDING_OFFSET, state.t) if line.stamp in steps),
        None,
    )


@pytest.mark.promise(
    'Safety of control',
    'simulated clock leaps by +10, -10, +1.5, -0.3 s: memory and order start anew, no offset across it',
    quick=2,
    full=40,
)
def test_a_clock_that_leaps(promise, playing):
    for turn in promise.times():
        playing.leans()
        leap_s = (10.0, -10.0, 1.5, -0.3)[turn % 4]
        last = playing.order([], leap_s=leap_s)
        good = playing.good_again(last.t + 1)
        assert abs((good.stamp - last.stamp) * 1e-9 - leap_s) < 0.1
        shown, state = playing.answer(good.t)
        promise.saw('frames until it plays on', 1 + slots(good, shown))
        assert steps_of(state) == 1
        playing.levelled(last.t + 1)
        playing.first(topics.EPISODE, good.t, lambda line, state=state: line.stamp == state.stamp)
        # Run on until offsets are told again, and look how long they are.
        told, step = playing.until(lambda state=state: offsets(playing, state))
        for _, _, offset, *_ in told.rows:
            assert 0 <= offset < steps_of(step)
    assert max(promise.seen['frames until it plays on']) <= 3


@pytest.mark.promise(
    'Safety of control',
    'simulated clock that falls silent: level within 150 ms of the last good frame',
    quick=1,
    full=20,
)
def test_a_clock_that_stops(promise, playing):
    for _ in promise.times():
        playing.leans()
        last = playing.order(['no clock'], slots=45)
        used = playing.first('camera', last.t + 1, lambda line, last=last: slots(last, line) >= 1)
        level = playing.levelled(last.t + 1)
        answered = [line.stamp for line in playing.said(topics.LSTM_STATE, last.t, level.t)]
        good = [line for line in playing.said('camera', last.t) if line.stamp in answered] or [used]
        promise.saw('ms from the last frame that was used to the level command', ms(level, good[-1]))
        promise.saw('ms from then to the arm turning back', ms(playing.turns_back(level.t - 20_000_000), good[-1]))
    keeps(promise, 'ms from the last frame that was used to the level command', SAFE_MS)
    keeps(promise, 'ms from then to the arm turning back', SAFE_MS)


@pytest.mark.promise(
    'Safety of control', 'simulated time without a clock: no frame is answered, the arm is not moved', quick=1, full=20
)
def test_no_clock_at_all(promise, tmp_path):
    for turn in promise.times():
        folder = tmp_path / str(turn)
        folder.mkdir()
        with fault_graph(folder) as graph:
            play(graph, clock=False)
            alive = [graph.first(topics.DIAGNOSTICS, 0, lambda line, node=node: line.node == node) for node in NODES]
            graph.first('camera', max(line.t for line in alive) + 10**9)
            for topic in (topics.LSTM_STATE, topics.TILT_COMMAND, CONTROLLER):
                assert not graph.said(topic)
