from __future__ import annotations

import numpy as np
import pytest
from made import STEP_NS, lstm_steps

from maze_introspection.config import IntrospectionConfig
from maze_introspection.contribution import contribution, salient
from maze_introspection.introspection import Introspection
from maze_introspection.offset import interval_offsets
from maze_introspection.recurrence import CONTINUES, GAP, RESET
from maze_policy.policy import FORGET, GATE_NAMES, INPUT, OUTPUT


def made_steps(steps, channels, seed, resets=(0,)):
    gates, hidden, cell = lstm_steps(steps, channels, seed, resets)
    readout = np.random.default_rng(seed).normal(size=(5, channels + 1)).astype(np.float32)
    scores = (hidden @ readout[:, :-1].T + readout[:, -1]).astype(np.float32)
    return readout, list(zip(gates, hidden, cell, scores))


def test_steps_equal_the_batch_functions():
    readout, steps = made_steps(80, 9, seed=0, resets=(0, 30))
    gates, _, _, scores = (np.stack(part) for part in zip(*steps))
    looking = Introspection(IntrospectionConfig(theta_c=0.1))
    looking.set_readout(readout)
    insights = [looking.step(*step, stamp_ns=t * STEP_NS) for t, step in enumerate(steps)]

    batch = contribution(
        np.stack([step[1] for step in steps]), readout[:, :-1], action=scores.argmax(axis=1), bias=readout[:, -1]
    )
    mask = salient(batch.share)
    begins = np.isin(np.arange(80), [0, 30])
    assert [insight.continuity for insight in insights] == np.where(begins, RESET, CONTINUES).tolist()
    assert [insight.begins for insight in insights] == begins.tolist()
    for t, insight in enumerate(insights):
        assert insight.share.tobytes() == batch.share[t].tobytes()
        assert insight.share.dtype == np.float32
        assert insight.action == batch.action[t]
        assert insight.salient[:, 0].tolist() == np.flatnonzero(mask[t]).tolist()
        assert insight.salient[:, 1].tolist() == batch.share[t, mask[t]].tolist()
        assert set(insight.salient[:, 2]) == {insight.action}
    seen = 0
    for gate in GATE_NAMES:
        want = interval_offsets(gates[:, gate], batch.share, 0.5, 0.1, begins=begins).tolist()
        got = []
        for t, insight in enumerate(insights):
            first = 30 if t >= 30 else 0
            rows = insight.offsets[insight.offsets['gate'] == gate].tolist()
            assert all(row[3] + first == t for row in rows)
            got += [(row[1], row[2] + first, row[3] + first, *row[4:]) for row in rows]
        assert got == want
        seen += len(want)
    assert seen > 30


def test_rows_are_sorted_by_gate_then_channel():
    readout, steps = made_steps(60, 9, seed=4)
    looking = Introspection(IntrospectionConfig(theta_c=0.0))
    looking.set_readout(readout)
    rows = [looking.step(*step).offsets[['gate', 'channel']].tolist() for step in steps]
    assert all(row == sorted(row) for row in rows)
    assert {gate for row in rows for gate, _ in row} == {INPUT, FORGET, OUTPUT}


def test_a_missing_step_and_a_clock_jump_start_runs_anew():
    readout, steps = made_steps(60, 9, seed=1)
    config = IntrospectionConfig(theta_c=0.0)
    looking = Introspection(config)
    looking.set_readout(readout)
    for t in range(20):
        looking.step(*steps[t], stamp_ns=t * STEP_NS)
    after_gap = looking.step(*steps[21], stamp_ns=21 * STEP_NS)
    assert after_gap.continuity == GAP
    assert len(after_gap.offsets)
    assert set(after_gap.offsets['t']) == {0}
    assert after_gap.offsets['censored'].all()
    after_jump = looking.step(*steps[22], stamp_ns=22 * STEP_NS + int(config.clock_jump_s * 1e9))
    assert (after_jump.continuity, after_jump.begins) == (CONTINUES, True)
    assert set(after_jump.offsets['t']) == {0}
    for stamp_ns in (5, 5):  # the clock goes back, then stands still
        back = looking.step(*steps[23], stamp_ns=stamp_ns)
        assert set(back.offsets['t']) == {0}


def test_a_refused_step_is_as_good_as_missing():
    readout, steps = made_steps(30, 9, seed=2)
    looking = Introspection(IntrospectionConfig())
    with pytest.raises(ValueError, match='want a readout'):
        looking.step(*steps[0])
    looking.set_readout(readout)
    looking.step(*steps[0])
    gates, hidden, cell, scores = (values.copy() for values in steps[1])
    gates[FORGET, 2] = np.nan
    with pytest.raises(ValueError, match='finite gates'):
        looking.step(gates, hidden, cell, scores)
    with pytest.raises(ValueError, match=r'want scores \(5,\) to match the readout, got \(4,\)'):
        looking.step(*steps[1][:3], scores[:4])
    scores[0] = np.inf
    with pytest.raises(ValueError, match='finite scores'):
        looking.step(*steps[1][:3], scores)
    assert looking.step(*steps[1]).continuity == CONTINUES
    assert looking.step(*steps[3]).continuity == GAP


def test_a_readout_of_other_width_starts_anew():
    readout, steps = made_steps(30, 9, seed=3)
    other, wide = made_steps(30, 12, seed=3)
    looking = Introspection(IntrospectionConfig())
    looking.set_readout(readout)
    looking.step(*steps[0])
    looking.set_readout(other)
    with pytest.raises(ValueError, match=r'gates \(4, 12\) to match the readout, got \(4, 9\)'):
        looking.step(*steps[1])
    assert looking.step(*wide[0]).continuity == RESET


@pytest.mark.parametrize('readout', [np.zeros(5), np.zeros((5, 1)), np.full((5, 3), np.nan)])
def test_bad_readout(readout):
    with pytest.raises(ValueError, match='readout'):
        Introspection(IntrospectionConfig()).set_readout(readout)


def test_what_a_step_returns_does_not_change_later():
    readout, steps = made_steps(10, 9, seed=5)
    looking = Introspection(IntrospectionConfig())
    looking.set_readout(readout)
    gates, hidden, cell, scores = (values.copy() for values in steps[0])
    insight = looking.step(gates, hidden, cell, scores)
    share = insight.share.copy()
    cell[:] = 9  # a node may reuse its buffers
    hidden[:] = 9
    assert looking.step(*steps[1]).continuity == CONTINUES
    assert insight.share.tobytes() == share.tobytes()
