"""What the camera may do to a policy that plays: real processes, and a camera that fails as it is told."""

import itertools
import time

import numpy as np
import pytest
from faults import SAFE_MS, fault_graph, keeps, ms, slots, steps_of

from maze_policy import topics

SLOTS = 60


@pytest.fixture(scope='module')
def playing(tmp_path_factory):
    with fault_graph(tmp_path_factory.mktemp('camera')) as graph:
        graph.watch(topics.PRECEDING_OFFSET, topics.CONTRIBUTION)
        graph.node('introspection')
        graph.node('arm', near_neutral_deg=0.1)
        graph.leaning(wait_for='[introspection]')
        graph.show()
        graph.leans()
        yield graph


@pytest.mark.promise(
    'Safety of control',
    'camera that {fault}: level, no-op and the reason within 150 ms; memory reset after 1 s; plays on within 3 frames',
    quick=2,
    full=20,
)
@pytest.mark.parametrize('fault', ['stop', 'freeze'])
def test_a_silent_camera(promise, playing, fault):
    for turn in promise.times():
        playing.leans()
        before = playing.said(topics.LSTM_STATE)[-1]
        silent = 24 if turn % 2 else 36  # 0.8 s and 1.2 s
        last = playing.order([fault], slots=silent)
        promise.saw('ms to the level command', ms(playing.levelled(last.t + 1), last))
        promise.saw('ms to the reason', ms(playing.reason('policy', last.t, 'no usable frame for'), last))
        promise.saw('ms to the arm turning back', ms(playing.turns_back(last.t), last))
        again = playing.good_again(last.t + 1)
        shown, state = playing.answer(again.t)
        promise.saw('frames until it plays on', 1 + slots(again, shown))
        if silent == 36:
            assert steps_of(state) == 1
            assert playing.first(topics.EPISODE, again.t).stamp == state.stamp
        else:
            assert steps_of(state) > steps_of(before)
    keeps(promise, 'ms to the level command', SAFE_MS)
    keeps(promise, 'ms to the reason', SAFE_MS)
    keeps(promise, 'ms to the arm turning back', SAFE_MS)
    assert max(promise.seen['frames until it plays on']) <= 3


@pytest.mark.promise(
    'Safety of control',
    '1, 10, 50 % of frames dropped: plays on over 2 missing in a row, is level after more, and counts all',
    quick=3,
    full=60,
)
def test_dropped_frames(promise, playing):
    for seed in promise.times():
        begin, end, before, after = playing.disturb(SLOTS, ['drop'], share=(0.01, 0.1, 0.5)[seed % 3], seed=seed)
        good = [line for line in playing.said('camera', begin.t, end.t) if line.did == 'good']
        missing = {a.stamp: slots(a, b) - 1 for a, b in itertools.pairwise(good)}
        counted = after['missing frames'] - before['missing frames']
        assert counted == sum(missing.values()), missing
        promise.saw('frames missing', counted)

        level_after, answered = set(), None
        sent = {line.stamp: line for line in good}
        for line in playing.said(topics.TILT_COMMAND, begin.t, end.t):
            if line.stamp in sent:
                answered = line.stamp
            elif answered:
                level_after.add(answered)
                promise.saw('ms to the level command', ms(line, sent[answered]))
        assert level_after == {stamp for stamp, count in missing.items() if count > 2}, missing
    keeps(promise, 'ms to the level command', SAFE_MS)


REFUSED = {
    'zero': 'frame without a stamp',
    'ahead': 'frame from the future',
    'behind': 'out-of-order frame',
    'repeated': 'repeated frame',
    'stale': 'stale frame',
}


@pytest.mark.promise(
    'Safety of control',
    'frames without a stamp, from the future, out of order, repeated, stale: each refused and counted; no offset < 0',
    quick=1,
    full=20,
)
def test_bad_stamps(promise, playing):
    for _ in promise.times():
        begin, end, before, after = playing.disturb(SLOTS, list(REFUSED), also=True)
        for fault, kind in REFUSED.items():
            assert after.refused(kind) - before.refused(kind) == SLOTS / len(REFUSED), fault
        assert after['missing frames'] == before['missing frames']
        assert all(any(line.tilt) for line in playing.said(topics.TILT_COMMAND, begin.t, end.t)), 'it played on'
        steps = [steps_of(line) for line in playing.said(topics.LSTM_STATE, begin.t, end.t)]
        assert (np.diff(steps) == 1).all()
        playing.first(topics.CONTRIBUTION, end.t, lambda line, end=end: line.stamp >= end.stamp)
        told = [
            line for line in playing.said(topics.PRECEDING_OFFSET, begin.t) if begin.stamp <= line.stamp <= end.stamp
        ]
        rows = [row for line in told for row in line.rows]
        assert rows
        promise.saw('bad frames', SLOTS)
        promise.saw('offsets', len(rows))
        assert min(offset for _, _, offset, *_ in rows) >= 0


SAYS = {
    'size': 'want 84 x 84 of rgb8, got 42 x 42',
    'encoding': "want encoding rgb8, got 'bgr8'",
    'height': 'want 84 x 84 of rgb8, got 83 x 84',
    'step': 'want a step of 252 B for 84 px of rgb8, got 7 B',
    'empty': 'want 84 x 84 of rgb8, got 0 x 0',
    'big-endian': 'want little-endian rgb8, got big-endian',
    'NaN': "want encoding rgb8, got '32FC1'",
}


@pytest.mark.promise(
    'Safety of control',
    'pictures of another encoding, size, step or byte order, empty, of NaNs: refused, with a reason; level in 150 ms',
    quick=2,
    full=20 * len(SAYS),
)
def test_malformed_pictures(promise, playing):
    for turn in promise.times():
        fault = list(SAYS)[turn % len(SAYS)]
        playing.leans()
        before = playing.counts('policy', time.monotonic_ns())
        last = playing.order([fault], slots=10)
        promise.saw('ms to the level command', ms(playing.levelled(last.t + 1), last))
        again = playing.good_again(last.t + 1)
        shown, state = playing.answer(again.t)
        promise.saw('frames until it plays on', 1 + slots(again, shown))
        after = playing.counts('policy', state.t)
        assert after.refused('malformed frame') - before.refused('malformed frame') == 10
        assert after.why('malformed frame') == SAYS[fault]
    keeps(promise, 'ms to the level command', SAFE_MS)
    assert max(promise.seen['frames until it plays on']) <= 3
