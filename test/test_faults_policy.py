"""A policy that dies, halts, hangs, is not alone or computes nonsense: the arm levels by itself."""

import signal
import time

import numpy as np
import pytest
from fault_observer import CONTROLLER
from fault_policy import HANGS_S
from faults import SAFE_MS, fault_graph, keeps, ms, slots, steps_of

from maze_policy import topics

STEP_RAD = np.radians(0.5)


@pytest.fixture(scope='module')
def playing(tmp_path_factory):
    with fault_graph(tmp_path_factory.mktemp('policy')) as graph:
        graph.play()
        yield graph


@pytest.fixture
def graph(tmp_path):
    with fault_graph(tmp_path) as made:
        yield made


def begins_anew(graph, since_ns):
    """An episode begins after a time, and its steps go from a zero memory and from level.

    The observer may come to hear a new process a few steps late; memory and tilt say how many there were. A halted
    one may have the rest of an old step to say first.
    """
    episode = graph.first(topics.EPISODE, since_ns)
    state = graph.first(topics.LSTM_STATE, since_ns, lambda line: line.stamp >= episode.stamp)
    steps = steps_of(state)
    assert 1 <= steps <= 1 + slots(episode, state)
    tilt = graph.first(topics.TILT_COMMAND, since_ns, lambda line: line.stamp == state.stamp).tilt
    np.testing.assert_allclose(tilt, [min(steps * STEP_RAD, np.radians(5.0)), 0.0])


FAULTS = ('killed', 'stopped for 1.2 s', 'hanging for 5 s')


@pytest.mark.promise(
    'Safety of control',
    'policy killed (-9), stopped or hanging: the arm levels by itself within 150 ms; the policy begins anew',
    quick=2,
    full=20 * len(FAULTS),
)
def test_a_policy_that_falls_silent(promise, playing):
    for turn in promise.times():
        fault = FAULTS[turn % len(FAULTS)]
        since_ns = playing.leans().t
        if fault == 'killed':
            playing.kill('policy')
        elif fault == 'stopped for 1.2 s':
            playing.kill('policy', signal.SIGSTOP)
        else:
            playing.order(['white'], slots=1)
        back = playing.turns_back(since_ns)
        silent = playing.said(topics.TILT_COMMAND, 0, back.t)[-1]
        promise.saw('ms from the last command to the arm turning back', ms(back, silent))
        playing.reason('arm', silent.t, 'no good tilt command')

        back_ns = time.monotonic_ns()
        if fault == 'killed':
            playing.leaning()
        elif fault == 'stopped for 1.2 s':
            playing.first('camera', silent.t + 1_200_000_000)
            back_ns = time.monotonic_ns()
            playing.kill('policy', signal.SIGCONT)
        else:
            back_ns = silent.t + round(HANGS_S * 1e9)
            playing.first('camera', back_ns)
        begins_anew(playing, back_ns)
        assert not [line for line in playing.said(CONTROLLER, back.t, back_ns) if line.rate[0] > 0], 'nothing moved it'
    keeps(promise, 'ms from the last command to the arm turning back', SAFE_MS)


@pytest.mark.promise(
    'Safety of control',
    'two policies at once: neither is obeyed while both command, level within 150 ms and reported; never interleaved',
    quick=1,
    full=20,
)
def test_two_policies(promise, graph):
    graph.play()
    for turn in promise.times():
        graph.leans()
        since_ns = time.monotonic_ns()
        other = graph.leaning('second policy')
        second = graph.until(lambda since_ns=since_ns: second_command(graph.said(topics.TILT_COMMAND, since_ns)))
        back = graph.turns_back(since_ns)
        promise.saw('ms from its first command to the arm turning back', max(ms(back, second), 0.0))
        report = graph.reason('arm', since_ns, 'second policy')
        assert 'want one node that commands the tilt, got 2' in report.says
        graph.first('camera', second.t, lambda line, second=second: ms(line, second) > 1000)
        until_ns = time.monotonic_ns()
        assert second_command(graph.said(topics.TILT_COMMAND, until_ns - 200_000_000)), 'both command still'
        assert not [line for line in graph.said(CONTROLLER, back.t, until_ns) if line.rate[0] > 0], 'nothing moved it'
        graph.kill(('second policy', 'policy')[turn % 2])
        graph.leans()
        if turn % 2:
            graph.processes['policy'] = other
    keeps(promise, 'ms from its first command to the arm turning back', SAFE_MS)


def second_command(lines):
    """The second policy's first command, or None: less than the most, which the first commands, or a second answer.

    The observer may come to hear the second one late, when it commands the most too.
    """
    seen = set()
    for line in lines:
        if line.stamp in seen or line.tilt[0] < np.radians(4.99):
            return line
        seen.add(line.stamp)
    return None


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Weights of our network with some of them changed, saved as they are."""
    import torch

    from maze_policy.checkpoint import save
    from maze_policy.config import NetworkConfig
    from maze_policy.network import CnnLstm

    def make(name, change):
        torch.manual_seed(0)
        network = CnnLstm(NetworkConfig(n_l=8, conv_channels=(4, 4, 4), features=8))
        with torch.no_grad():
            change(network)
        path = tmp_path_factory.mktemp('checkpoint') / f'{name}.safetensors'
        save(path, network, {})
        return path

    return make


@pytest.mark.promise(
    'Safety of control', 'NaN or infinity in the weights: refused at configure, says where', quick=1, full=20
)
def test_weights_that_are_not_finite(promise, graph, checkpoint):
    for seed in promise.times():
        rng = np.random.default_rng(seed)

        def spoil(network, rng=rng, value=(np.nan, np.inf, -np.inf)[seed % 3]):
            parameters = list(network.parameters())
            weight = parameters[rng.integers(len(parameters))].view(-1)
            weight[rng.integers(len(weight))] = value

        process = graph.node('policy', checkpoint=checkpoint(f'bad-{seed}', spoil))
        assert process.wait(60.0) == 1
        assert 'want finite weights, got a NaN or infinity in ' in (graph.folder / 'policy.log').read_text()
        (graph.folder / 'policy.log').unlink()


@pytest.mark.promise(
    'Safety of control',
    'scores that are not finite: level in the answer to the same frame, then anew',
    quick=2,
    full=20,
)
def test_scores_that_are_not_finite(promise, graph, checkpoint):
    def burst(network):
        """Finite weights that a black picture leaves alone, and a white one makes overflow."""
        network.eye[0].weight.fill_(3e38)
        network.eye[0].bias.fill_(0.0)
        network.lstm.weight_ih_l0[0] = 0.0  # 0 times infinity
        network.actor.weight.fill_(0.0)
        network.actor.weight[0] = 1.0
        network.lstm.bias_ih_l0.fill_(2.0)

    graph.watch(topics.LSTM_GATES)
    graph.node('arm', near_neutral_deg=0.1)
    graph.node('policy', checkpoint=checkpoint('burst', burst))
    graph.show()
    graph.leans()
    for _ in promise.times():
        graph.leans()
        last = graph.order(['white'], slots=1)
        white = graph.first('camera', last.t, lambda line: line.did == 'white')
        answer = graph.first(topics.TILT_COMMAND, last.t, lambda line, white=white: line.stamp == white.stamp)
        assert answer.tilt == [0.0, 0.0]
        promise.saw('ms from the frame to no-op and level', ms(answer, white))
        graph.reason('policy', white.t, 'want finite scores, got [nan')
        assert not [line for line in graph.said(topics.LSTM_STATE) if line.stamp == white.stamp], 'nor is it told'
        good, state = graph.answer(white.t)
        assert slots(white, good) <= 3
        [gates] = graph.until(
            lambda state=state: [line for line in graph.said(topics.LSTM_GATES) if line.stamp == state.stamp]
        )
        input_gate, _, candidate, _ = np.array(gates.rows)
        np.testing.assert_allclose(state.rows[1], input_gate * candidate, rtol=1e-6)
        graph.first(topics.EPISODE, white.t, lambda line, state=state: line.stamp == state.stamp)
