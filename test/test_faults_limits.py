"""The arm's limits hold whatever is commanded, however fast, over DDS."""

import sys
from pathlib import Path

import numpy as np
import pytest
from fault_observer import CONTROLLER
from faults import fault_graph

from maze_policy.node_config import ArmNodeConfig

ARM = ArmNodeConfig()
LIMIT, FASTEST, HARDEST = np.radians([ARM.angle_limit_deg, ARM.rate_limit_deg_s, ARM.acceleration_limit_deg_s2])
LITTLE = 1e-6
NEXT_S = 0.025  # commands that came further apart may not be neighbours, or the arm was stalled between them


@pytest.mark.promise(
    'Safety of control',
    'random tilt commands at 1 kHz over DDS: tilt, rate and acceleration stay within their limits',
    quick=2_000,
    full=100_000,
)
def test_a_flood(promise, tmp_path):
    with fault_graph(tmp_path) as graph:
        for commands in promise.times(chunk=promise.count):
            graph.watch()
            graph.node('arm', near_neutral_deg=0.1)
            flood = str(Path(__file__).parent / 'fault_flood.py')
            graph.start('flood', [sys.executable, flood, str(len(commands))], heard=True)
            begin = graph.first('camera', 0, lambda line: line.did == 'flooding')
            end = graph.first('camera', 0, lambda line: line.did == 'flooded', 60.0 + len(commands) / 300)
            promise.saw('commands per second', len(commands) / (end.t - begin.t) * 1e9)
            assert graph.counts('arm', end.t).refused('second policy') == 0
            path = graph.said(CONTROLLER, begin.t, end.t)
            at_s, position, rate = (
                np.array([getattr(line, name) for line in path]) for name in ('t', 'position', 'rate')
            )
            assert np.abs(position).max() <= LIMIT + LITTLE
            assert np.abs(rate).max() <= FASTEST + LITTLE
            promise.saw('share of the acceleration limit', hardest(at_s * 1e-9, position, rate) / HARDEST)
            promise.saw('share of the tilt limit', np.abs(position).max() / LIMIT)
            promise.saw('share of the rate limit', np.abs(rate).max() / FASTEST)
            assert min(all_[-1] for what, all_ in promise.seen.items() if 'limit' in what) > 0.9, (
                'it is used in earnest'
            )
            assert promise.seen['share of the acceleration limit'][-1] <= 1 + LITTLE


def hardest(at_s, position, rate):
    """Largest acceleration from one command to the next, rad/s^2.

    How much time the arm reckoned between two is what the faster axis took for its way, so nothing hangs on the times
    of receipt.
    """
    way, change = np.diff(position, axis=0), np.diff(rate, axis=0)
    neighbours = np.flatnonzero((np.diff(at_s) < NEXT_S) & (np.abs(rate[1:]).max(axis=1) > 0.05))
    assert len(neighbours) > 0.3 * len(at_s)
    faster = np.abs(rate[1 + neighbours]).argmax(axis=1)
    passed_s = way[neighbours, faster] / rate[1 + neighbours, faster]
    assert (passed_s > 0).all()
    # After a stall the arm goes on from where its last trajectory has led meanwhile: such a way is no single step.
    single = passed_s <= ARM.time_from_start_s
    assert single.mean() > 0.9
    return (np.abs(change[neighbours]).max(axis=1) / passed_s)[single].max()
