"""What must hold for every recording, found out by Hypothesis; the other tests have the numbers worked out by hand."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from made import STEP_NS, keeping, lstm_steps, made_recording, with_live
from test_offset import naive

from maze_introspection.analysis import analyze, compare_live
from maze_introspection.config import IntrospectionConfig
from maze_introspection.contribution import contribution, salient
from maze_introspection.offset import OffsetTracker, interval_offsets, next_hit, open_runs, step_offsets
from maze_introspection.recording import join
from maze_introspection.recurrence import CONTINUES, CORRUPT, GAP, RESET, continuity
from maze_introspection.statistics import channels, episodes, spread, summary, threshold_agreement

ours = settings(deadline=None, max_examples=60, derandomize=True)

SEEDS = st.integers(0, 2**32 - 1)
LEVELS = (0.0, 0.1, 0.25, 0.5, 0.5000001, 0.75, 1.0)


@st.composite
def layers(draw):
    """Hidden (T, n_l), readout (n_a, n_l) and bias (n_a,); also all zero, all negative, tiny and large ones."""
    steps, n_l, n_a = draw(st.integers(1, 12)), draw(st.integers(1, 40)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(SEEDS))
    hidden = np.tanh(rng.normal(size=(steps, n_l)) * draw(st.sampled_from([1e-6, 0.1, 1, 30])))
    hidden[rng.random(hidden.shape) < draw(st.sampled_from([0, 0.3, 1]))] = 0
    readout = rng.normal(size=(n_a, n_l)) * draw(st.sampled_from([1e-3, 1, 1e3]))
    if draw(st.booleans()):
        readout = -np.abs(readout) * np.sign(hidden[0])
    return hidden.astype(np.float32), readout.astype(np.float32), rng.normal(size=n_a)


@st.composite
def gates_and_shares(draw):
    """Gate and share (T, n) on a few levels, so that ties with the thresholds come, thresholds and beginnings."""
    steps, n = draw(st.integers(1, 25)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(SEEDS))
    gate, share = rng.choice(LEVELS, (2, steps, n))
    begins = rng.random(steps) < draw(st.sampled_from([0, 0.2, 1]))
    return gate, share, draw(st.sampled_from(LEVELS)), draw(st.sampled_from(LEVELS)), begins


@st.composite
def recordings(draw, episodes_most=4):
    """A recording of some episodes, solved or not."""
    steps = draw(st.integers(2, 60))
    resets = sorted({0, *draw(st.lists(st.integers(1, steps - 1), max_size=episodes_most - 1))})
    return made_recording(steps, draw(st.integers(1, 12)), draw(SEEDS), tuple(resets), solved=draw(st.booleans()))


@ours
@given(layers())
def test_shares_are_the_parts_of_a_whole_of_the_best_score(layer):
    hidden, readout, bias = layer
    c = contribution(hidden, readout, bias=bias)
    assert ((c.share >= 0) & (c.share <= 1)).all()
    np.testing.assert_allclose(c.share.sum(axis=1, dtype=float), c.defined, atol=1e-5)
    exact = hidden.astype(float) @ readout.T.astype(float) + bias
    np.testing.assert_allclose(c.score, exact[np.arange(len(hidden)), c.action], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(c.score, exact.max(axis=1), rtol=1e-9, atol=1e-9)
    weighted = readout[c.action].astype(float) * hidden
    assert (c.defined == (weighted > 0).any(axis=1)).all()
    assert (c.share[weighted <= 0] == 0).all()


@ours
@given(layers(), st.integers(-20, 20), SEEDS)
def test_shares_know_no_scale_no_sign_and_no_other_action(layer, power, seed):
    hidden, readout, bias = layer
    c = contribution(hidden, readout, bias=bias)
    taken = {'action': c.action, 'bias': bias}
    assert contribution(hidden, readout * np.float32(2.0**power), **taken).share.tobytes() == c.share.tobytes()
    assert contribution(-hidden, -readout, **taken).share.tobytes() == c.share.tobytes()
    others = readout.copy()
    others[~np.isin(np.arange(len(readout)), c.action)] = 7
    assert contribution(hidden, others, **taken).share.tobytes() == c.share.tobytes()
    order = np.random.default_rng(seed).permutation(hidden.shape[1])
    shuffled = contribution(hidden[:, order], readout[:, order], **taken)
    np.testing.assert_allclose(shuffled.share, c.share[:, order], rtol=1e-6, atol=1e-9)


@ours
@given(layers(), st.floats(0, 0.99), st.floats(0, 0.01))
def test_salient_are_the_fewest_and_the_largest(layer, fraction, more):
    share = contribution(*layer[:2]).share
    mask = salient(share, fraction)
    for row, chosen in zip(share.astype(float), mask):
        if chosen.any():
            assert row[chosen].min() > 0
            assert row[chosen].min() >= row[~chosen].max(initial=0)
            assert row[chosen].sum() - row[chosen].min() <= fraction + 1e-9
        if row.sum() > fraction + 1e-6:
            assert row[chosen].sum() > fraction - 1e-9
    assert (mask <= salient(share, fraction + more)).all()
    assert (salient(share, 1.0) == (share > 0)).all()


@ours
@given(gates_and_shares())
def test_offsets_are_the_definition_batch_and_live(case):
    gate, share, theta_g, theta_c, begins = case
    want = naive(gate, share, theta_g, theta_c, begins)
    assert interval_offsets(gate, share, theta_g, theta_c, begins=begins).tolist() == want
    tracker, first, found = OffsetTracker(gate.shape[1], theta_g, theta_c), 0, []
    for t in range(len(gate)):
        if begins[t]:
            tracker.reset()
            first = t
        found += [
            (row[0], row[1] + first, row[2] + first, *row[3:]) for row in tracker.step(gate[t], share[t]).tolist()
        ]
    assert found == want


@ours
@given(gates_and_shares())
def test_an_offset_lies_in_an_open_run_before_the_first_hit(case):
    gate, share, theta_g, theta_c, begins = case
    runs = {
        (channel, t0): end for channel, t0, end in zip(*(part.tolist() for part in open_runs(gate > theta_g, begins)))
    }
    rows = interval_offsets(gate, share, theta_g, theta_c, begins=begins)
    first_hit = next_hit(share > theta_c)
    for channel, t0, t, offset, censored in rows.tolist():
        assert offset == t - t0 >= 0
        assert t < runs.pop((channel, t0)), 'at most one per run'
        assert t == first_hit[t0, channel]
        assert censored == (t0 == 0 or bool(begins[t0]))
    for (channel, t0), end in runs.items():
        assert first_hit[t0, channel] >= end, 'a run without an offset has no hit'
    every = step_offsets(gate, share > theta_c, theta_g, begins=begins)
    assert len(every) == int(((share > theta_c) & (gate > theta_g)).sum())
    assert {row[:3] for row in rows.tolist()} <= {row[:3] for row in every.tolist()}


@ours
@given(gates_and_shares(), gates_and_shares(), SEEDS)
def test_what_comes_before_a_beginning_does_not_matter(one, other, seed):
    gate, share, theta_g, theta_c, begins = one
    before_gate, before_share, _, _, before_begins = other
    n = min(gate.shape[1], before_gate.shape[1])
    begins[0] = True
    alone = interval_offsets(gate[:, :n], share[:, :n], theta_g, theta_c, begins=begins)
    both = interval_offsets(
        np.concatenate([before_gate[:, :n], gate[:, :n]]),
        np.concatenate([before_share[:, :n], share[:, :n]]),
        theta_g,
        theta_c,
        begins=np.concatenate([before_begins, begins]),
    )
    later = both[both['t'] >= len(before_gate)]
    later['t'] -= len(before_gate)
    later['t0'] -= len(before_gate)
    assert later.tolist() == alone.tolist()


@ours
@given(recordings(), st.data())
def test_no_step_is_lost_unseen(recording, data):
    """Each step that is taken out leaves a gap where its episode goes on, and nothing else changes."""
    whole = continuity(recording.gates, recording.hidden, recording.cell)
    resets = np.flatnonzero(np.diff(recording.episode, prepend=-1))
    assert (whole[resets] == RESET).all()
    assert (np.delete(whole, resets) == CONTINUES).all()
    missing = data.draw(st.integers(0, recording.steps - 1))
    left = keeping(recording, np.arange(recording.steps) != missing)
    relation = continuity(left.gates, left.hidden, left.cell)
    goes_on = missing + 1 < recording.steps and missing + 1 not in resets
    want = np.delete(whole, missing)
    if goes_on:
        want[missing] = GAP
    assert relation.tolist() == want.tolist()


@ours
@given(SEEDS, st.integers(2, 30), st.integers(1, 8), st.data())
def test_no_altered_number_goes_unseen(seed, steps, n, data):
    gates, hidden, cell = lstm_steps(steps, n, seed)
    t, channel = data.draw(st.integers(0, steps - 1)), data.draw(st.integers(0, n - 1))
    more = data.draw(st.sampled_from([0.01, -0.01, 0.5]))
    hidden[t, channel] += more
    relation = continuity(gates, hidden, cell)
    assert relation[t] == CORRUPT
    assert not (np.delete(relation, t) == CORRUPT).any()
    found = np.concatenate(
        [continuity(gates[i : i + 1], hidden[i : i + 1], cell[i : i + 1], first_cell=cell[i - 1] if i else None)
         for i in range(steps)]
    )  # fmt: skip
    assert found.tolist() == relation.tolist()


@ours
@given(recordings(), st.data())
def test_live_and_replayed_are_the_same_bits(recording, data):
    """Also with steps lost, clocks that jump, other thresholds, and those changed on the way."""
    fractions = st.sampled_from([0.1, 0.25, 0.5, 0.9])

    def config():
        return IntrospectionConfig(theta_g=data.draw(fractions), theta_c=data.draw(fractions))

    keep = np.array(data.draw(st.lists(st.booleans(), min_size=recording.steps, max_size=recording.steps)))
    keep |= np.random.default_rng(0).random(recording.steps) < 0.8
    if keep.any():
        recording = keeping(recording, keep)
    jump = data.draw(st.integers(0, recording.steps - 1))
    stamp_ns = recording.stamp_ns.copy()
    stamp_ns[jump:] += data.draw(st.sampled_from([0, 1, 10**6])) * STEP_NS
    recording = replace(recording, stamp_ns=stamp_ns)
    changes = {data.draw(st.integers(0, recording.steps - 1)): config()} if data.draw(st.booleans()) else {}
    live = with_live(recording, config(), changes=changes)
    compared = compare_live(analyze(live, config()))
    assert compared.identical, str(compared)


@ours
@given(recordings())
def test_episodes_are_the_recording(recording):
    assert len({*recording.episode.tolist()}) == len(recording.episode_ids)
    parts = [recording.only(index) for index in range(len(recording.episode_ids))]
    whole = join(parts, recording.source)
    for name in ('stamp_ns', 'gates', 'hidden', 'cell', 'scores', 'episode', 'tilt_rad', 'ball_m'):
        np.testing.assert_array_equal(getattr(whole, name), getattr(recording, name))


@ours
@given(recordings())
def test_numbers_add_up(recording):
    analysis = analyze(recording)
    table = channels(analysis)
    assert table.salient_steps.sum() == analysis.salient.sum()
    spoke = table.salient_steps > 0
    for share, labels in ((table.action_share, 5), (table.ring_share, recording.maze.rings + 1)):
        assert ((share[spoke] >= 1 / labels - 1e-12) & (share[spoke] <= 1)).all()
        assert np.isnan(share[~spoke]).all()
    assert ((table.turn[spoke] >= -1e-9) & (table.turn[spoke] <= 1)).all()
    np.testing.assert_allclose(table.mean_share.sum(), float(analysis.contribution.defined.any()), atol=1e-5)
    for episode in episodes(analysis):
        np.testing.assert_allclose(sum(episode.ring_s), episode.seconds, atol=1e-9)
        assert episode.solved == np.isfinite(episode.solved_s)
    json.loads(json.dumps(summary(analysis), allow_nan=False))


@ours
@given(recordings(), st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_a_higher_threshold_finds_less(recording, thresholds):
    found = threshold_agreement(analyze(recording), sorted(thresholds))
    for one in found:
        assert 0 <= one.precision <= 1
        assert min(one.precision, one.recall) - 1e-12 <= one.f1 <= max(one.precision, one.recall) + 1e-12
    assert all(one.recall >= other.recall for one, other in pairwise(found))


@ours
@given(st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_a_spread_is_between_its_ends(values):
    got = spread(values)
    assert got.n == len(values)
    if values:
        assert min(values) <= got.q1 <= got.median <= got.q3 <= got.most == max(values)
        assert min(values) - 1e-6 <= got.mean <= max(values) + 1e-6
    else:
        assert np.isnan(got[1:]).all()
