"""Time itself fails: a simulation's clock that leaps, stands still or was never there."""

import time

import pytest
from fault_observer import CONTROLLER
from faults import SAFE_MS, FaultGraph, keeps, ms, slots, steps_of

from maze_policy import topics

NODES = ('policy', 'arm')


@pytest.fixture
def graph(domain, tmp_path):
    made = FaultGraph(domain, tmp_path)
    yield made
    made.close()


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
def test_a_clock_that_leaps(promise, graph):
    play(graph, clock=True)
    for turn in promise.times():
        graph.leans()
        leap_s = (10.0, -10.0, 1.5, -0.3)[turn % 4]
        last = graph.order([], leap_s=leap_s)
        good = graph.good_again(last.t + 1)
        assert abs((good.stamp - last.stamp) * 1e-9 - leap_s) < 0.1
        shown, state = graph.answer(good.t)
        promise.saw('frames until it plays on', 1 + slots(good, shown))
        assert steps_of(state) == 1
        graph.levelled(last.t + 1)
        graph.first(topics.EPISODE, good.t, lambda line, state=state: line.stamp == state.stamp)
        # Run on until offsets are told again, and look how long they are.
        told, step = graph.until(lambda state=state: offsets(graph, state))
        for _, _, offset, *_ in told.rows:
            assert 0 <= offset < steps_of(step)
    assert max(promise.seen['frames until it plays on']) <= 3


@pytest.mark.promise(
    'Safety of control',
    'simulated clock that falls silent: level within 150 ms of the last good frame',
    quick=1,
    full=20,
)
def test_a_clock_that_stops(promise, graph):
    play(graph, clock=True)
    for _ in promise.times():
        graph.leans()
        last = graph.order(['no clock'], slots=45)
        used = graph.first('camera', last.t + 1, lambda line, last=last: slots(last, line) >= 1)
        level = graph.levelled(last.t + 1)
        answered = [line.stamp for line in graph.said(topics.LSTM_STATE, last.t, level.t)]
        good = [line for line in graph.said('camera', last.t) if line.stamp in answered] or [used]
        promise.saw('ms from the last frame that was used to the level command', ms(level, good[-1]))
        promise.saw('ms from then to the arm turning back', ms(graph.turns_back(level.t - 20_000_000), good[-1]))
    keeps(promise, 'ms from the last frame that was used to the level command', SAFE_MS)
    keeps(promise, 'ms from then to the arm turning back', SAFE_MS)


@pytest.mark.promise(
    'Safety of control', 'simulated time without a clock: no frame is answered, the arm is not moved', quick=1, full=20
)
def test_no_clock_at_all(promise, graph):
    for _ in promise.times():
        since_ns = time.monotonic_ns()
        play(graph, clock=False)
        both = [graph.first(topics.DIAGNOSTICS, since_ns, lambda line, node=node: line.node == node) for node in NODES]
        graph.first('camera', max(line.t for line in both) + 10**9)
        for topic in (topics.LSTM_STATE, topics.TILT_COMMAND, CONTROLLER):
            assert not graph.said(topic, since_ns)
        graph.close()
