"""Who only looks may die or halt: the policy's answers come as before, and at an end each node leaves all in order."""

import signal
import time

import numpy as np
import pytest
from fault_observer import CONTROLLER
from faults import at_level, fault_graph, keeps, ms
from test_ball_tracker_node import BOARD, picture
from test_camera_node import write_folder

from maze_introspection.bag import read_recording
from maze_introspection.bag.check import check
from maze_policy import topics

DOES = {'introspection': 'steps', 'recorder': 'messages'}  # what each of them counts
LOOKING = tuple(DOES)
# What its end may add to the latency at p99. To a recorder that hears no more Fast DDS offers 15 fragments of each
# picture, 0.4 ms each, until its lease of 20 s ends.
COST_MS = {'introspection': 2.0, 'recorder': 10.0}
LEASE_NS = 20 * 10**9


def goes_on(graph, name):
    """Wait until it does more than it has done."""
    now_ns = time.monotonic_ns()
    done = graph.counts(name, now_ns)[DOES[name]]
    graph.first(
        topics.DIAGNOSTICS, now_ns, lambda line: line.node == name and int(line.values.get(DOES[name], 0)) > done
    )


def look(graph, name, turn):
    """Start introspection or the recorder, and return when it has something to do."""
    since_ns = time.monotonic_ns()
    if name == 'recorder':
        graph.node(name, bag=graph.folder / f'bag-{turn}')
    else:
        graph.node(name)
    graph.first(
        topics.DIAGNOSTICS, since_ns, lambda line: line.node == name and int(line.values.get(DOES[name], 0)) > 0
    )


def latencies(graph, since_ns, until_ns):
    """From the camera's publication to the tilt command's receipt, ms, of every frame in this time; inf: no answer."""
    answers = {line.stamp: line for line in graph.said(topics.TILT_COMMAND, since_ns)}
    frames = [line for line in graph.said('camera', since_ns, until_ns) if line.did == 'good']
    return [ms(answers[line.stamp], line) if line.stamp in answers else np.inf for line in frames]


FAULTS = (signal.SIGKILL, signal.SIGSTOP)


@pytest.mark.parametrize(('name', 'cost_ms'), COST_MS.items())
@pytest.mark.promise(
    'Safety of control',
    '{name} killed (-9) or stopped for 10 s: all 640 x 480 frames are answered, p99 changes by <= {cost_ms:g} ms',
    quick=1,
    full=20 * len(FAULTS),
)
def test_who_looks_is_not_missed(promise, name, cost_ms, tmp_path):
    window_ns = 10**10 if promise.soak else 10**9
    before, after = [], []
    with fault_graph(tmp_path) as graph:
        graph.watch(topics.CONTRIBUTION)
        graph.node('arm', near_neutral_deg=0.1)
        graph.leaning()
        graph.show('--size', '640', '480')
        graph.leans()
        for looking in LOOKING:
            look(graph, looking, 0)
        for turn in promise.times():
            number = FAULTS[turn % len(FAULTS)]
            if promise.soak and turn and number == signal.SIGSTOP:  # the lease of the one killed before has ended
                graph.first('camera', time.monotonic_ns() + LEASE_NS)
            begin = graph.first('camera', time.monotonic_ns() + 10**9)
            fault_ns = graph.first('camera', begin.t + window_ns // 2).t
            graph.kill(name, number)
            end = graph.first('camera', fault_ns + window_ns)
            graph.first(topics.TILT_COMMAND, end.t + 10**8)
            before += latencies(graph, begin.t, fault_ns)
            after += latencies(graph, fault_ns, end.t)
            assert np.isfinite(before + after).all()
            assert all(any(line.tilt) for line in graph.said(topics.TILT_COMMAND, begin.t, end.t))
            if number == signal.SIGSTOP:
                graph.kill(name, signal.SIGCONT)
                goes_on(graph, name)
            else:
                look(graph, name, turn + 1)
    p99_ms = np.percentile(before, 99), np.percentile(after, 99)
    promise.saw('frames', len(before + after))
    promise.saw('p99 before, ms', p99_ms[0])
    promise.saw('p99 after, ms', p99_ms[1])
    if promise.soak:
        assert p99_ms[1] - p99_ms[0] <= cost_ms


@pytest.mark.promise(
    'Safety of control',
    'SIGINT or SIGTERM while it plays: policy and arm level, the bag is closed within 1 s; exit code 0',
    quick=1,
    full=40,
)
def test_a_signal_leaves_all_in_order(promise, tmp_path):
    for turn in promise.times():
        folder = tmp_path / str(turn)
        folder.mkdir()
        with fault_graph(folder) as graph:
            graph.play()
            for name in LOOKING:
                look(graph, name, 0)
            order = np.random.default_rng(turn).permutation(['policy', 'arm', *LOOKING])
            gone = set()
            for name in order:
                if not {'policy', 'arm'} & gone:
                    graph.leans()
                gone.add(name)
                end_in_order(promise, graph, name, (signal.SIGINT, signal.SIGTERM)[turn % 2])
    for what in ('level command', 'arm at level', 'bag closed', 'introspection ended'):
        keeps(promise, f'ms to {what}', 1000.0)


def end_in_order(promise, graph, name, number):
    """Signal one node while the others go on, and see what it leaves."""
    since_ns = time.monotonic_ns()
    graph.kill(name, number)
    process = graph.processes[name]
    if name == 'policy':
        promise.saw('ms to level command', (graph.levelled(since_ns).t - since_ns) / 1e6)
    elif name == 'arm':
        level = graph.first(CONTROLLER, since_ns, at_level)
        promise.saw('ms to arm at level', (level.t - since_ns) / 1e6)
    elif name == 'recorder':
        graph.until(lambda: (graph.folder / 'bag-0/metadata.yaml').exists())
        promise.saw('ms to bag closed', (time.monotonic_ns() - since_ns) / 1e6)
        check(graph.folder / 'bag-0')
        assert read_recording(graph.folder / 'bag-0').steps > 10
    assert process.wait(10.0) == 0, graph.story()
    promise.saw(f'ms to {name} ended', (time.monotonic_ns() - since_ns) / 1e6)


@pytest.mark.promise(
    'Safety of control',
    'SIGINT or SIGTERM to camera, ball tracker, referee, simulator: end within 1 s, exit code 0',
    quick=1,
    full=20,
)
def test_a_signal_ends_the_others_too(promise, tmp_path):
    write_folder(tmp_path / 'film', [picture()] * 2)
    given = {
        'camera_node': {'source': tmp_path / 'film', 'loop': True, 'rate_hz': 30.0, 'frozen_after_s': 0.0},
        'ball_tracker': {key: list(value) if isinstance(value, tuple) else value for key, value in BOARD.items()},
        'trial': {},
        'simulator': {},
    }
    for turn in promise.times():
        folder = tmp_path / str(turn)
        folder.mkdir()
        with fault_graph(folder) as graph:
            graph.watch()
            since_ns = time.monotonic_ns()
            for name, parameters in given.items():
                graph.node(name, **parameters)
            for name in given:
                told = name.removesuffix('_node')
                graph.first(topics.DIAGNOSTICS, since_ns, lambda line, told=told: line.node == told)
            for name in np.random.default_rng(turn).permutation(list(given)):
                end_in_order(promise, graph, name, (signal.SIGINT, signal.SIGTERM)[turn % 2])
    for name in given:
        keeps(promise, f'ms to {name} ended', 1000.0)
