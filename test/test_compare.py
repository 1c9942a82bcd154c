import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made import made_recording

from maze_introspection.analysis import analyze
from maze_introspection.bag import write_recording
from maze_introspection.cli import main
from maze_introspection.config import CompareConfig, IntrospectionConfig
from maze_introspection.statistics import channels
from maze_introspection.validity.compare import (
    MEASURES,
    Sums,
    compare,
    differences,
    halves,
    measures,
    ring_weights,
    served_action,
    sums,
)
from maze_introspection.validity.discovery import false_discovery_rates, two_sided
from maze_introspection.validity.resample import ratio
from maze_policy.policy import GATE_NAMES

CONFIG = IntrospectionConfig(theta_c=0.05)
QUICK = CompareConfig(resamples=200, halves=4)
EPISODES = tuple(range(0, 800, 80))
EVERYWHERE = np.array([0.2, 0.2, 0.2, 0.2, 0.2])


@pytest.fixture(scope='module')
def analysis():
    return analyze(made_recording(800, 16, resets=EPISODES), CONFIG)


def made_sums(rng, rate, *, episodes=40, steps=(3, 30), rings=3, rare=0.0):
    """Sums of channels that are salient with `rate` (R, C), their offsets Poisson 6, in episodes of random lengths."""
    time = rng.integers(*steps, (episodes, rings)).astype(float)
    salient = rng.binomial(time[..., None].astype(int), rate).astype(float)
    fits = rng.binomial(salient.astype(int), 0.8).astype(float)
    offset = rng.poisson(6 * salient).astype(float)
    each = np.broadcast_to(time[..., None], salient.shape)
    above = np.stack([salient, salient / 9, fits, offset, offset, offset])
    return Sums(above, np.stack([each, each, *[salient] * 4]), time)


def test_the_sums_are_those_of_the_statistics(analysis):
    """Each step with its own weight: the plain rates, purities and mean offsets."""
    action = served_action(analysis)
    found = sums(analysis, action)
    value = ratio(found.above.sum(axis=(1, 2)), found.below.sum(axis=(1, 2)))[:, None]
    table = channels(analysis)
    steps = analysis.contribution.defined.sum()
    used = table.salient_steps > 0
    assert used.sum() > 4
    np.testing.assert_array_equal(action[used], table.action[used])
    np.testing.assert_allclose(value[0, 0], table.salient_steps / steps)
    np.testing.assert_allclose(value[1, 0], table.mean_share, rtol=1e-6)
    np.testing.assert_allclose(value[2, 0], table.action_share)
    for index, gate in enumerate(GATE_NAMES):
        rows = analysis.of_gate(gate)
        rows = rows[~rows['censored']]
        for channel in np.unique(rows['channel']):
            expected = rows['offset'][rows['channel'] == channel].mean()
            assert value[3 + index, 0, channel] == pytest.approx(expected)
    assert found.steps.sum() == steps


def test_measures_by_hand():
    """Ring 0: salient in 1 of 4 steps; ring 1: in 6 of 8. With equal time in both: (1/4 + 6/8) / 2."""
    above = np.array([1.0, 6.0]).reshape(1, 1, 2, 1)
    below = np.array([4.0, 8.0]).reshape(1, 1, 2, 1)
    found = measures(Sums(above, below, np.array([[4.0, 8.0]])), np.ones((1, 1)), np.array([0.5, 0.5]))
    assert found[0, 0, 0] == pytest.approx(0.5)


def test_time_in_the_rings_alone_makes_no_difference():
    """What a channel does hangs on the ring alone, exactly; one set is mostly inside, the other mostly outside."""
    rate = np.linspace(0.1, 0.9, 12).reshape(3, 4)
    sets = []
    for time in ([10.0, 20.0, 70.0], [60.0, 30.0, 10.0]):
        steps = np.tile(time, (6, 1))
        above = np.tile(steps[..., None] * rate, (6, 1, 1, 1))
        sets.append(Sums(above, np.tile(steps[..., None] * np.ones(4), (6, 1, 1, 1)), steps))
    plain = [of.above.sum(axis=(1, 2)) / of.below.sum(axis=(1, 2)) for of in sets]
    assert np.abs(plain[0] - plain[1]).min() > 0.1
    np.testing.assert_allclose(differences(*sets, QUICK)['difference'], 0, atol=1e-12)


def test_rings_that_one_set_hardly_enters_are_left_out():
    one, other = (Sums(*np.ones((2, 6, 9, 3, 1)), np.ones((9, 3))) for _ in range(2))
    other.steps[4:, 0] = 0
    np.testing.assert_allclose(ring_weights(one, other, 5), [0, 0.5, 0.5])
    other.steps[4:] = 0
    with pytest.raises(ValueError, match='want a ring that 5 episodes of both sets have entered, got none'):
        ring_weights(one, other, 5)


def test_the_error_is_that_of_independent_episodes():
    """One step per episode and ring, salient or not: Welch's t of two shares."""
    rng = np.random.default_rng(0)
    sets = [
        made_sums(rng, np.full((1, 1), rate), episodes=n, steps=(1, 2), rings=1) for rate, n in ((0.5, 60), (0.3, 90))
    ]
    row = differences(*sets, CompareConfig(resamples=20_000)).iloc[0]
    shares = [of.above[0, :, 0, 0] for of in sets]
    error = np.sqrt(sum(share.var() / len(share) * share.sum() / (share.sum() - 1) for share in shares))
    assert row['difference'] == pytest.approx(shares[1].mean() - shares[0].mean())
    assert abs(row['t']) == pytest.approx(abs(row['difference']) / error, rel=0.03)


@pytest.mark.parametrize(
    ('t', 'freedom', 'p'),
    [(2.015, 5, 0.1), (4.032, 5, 0.01), (2.021, 40, 0.05), (3.551, 40, 0.001), (1.96, 1e9, 0.05), (0, 7, 1)],
)
def test_student_s_distribution_is_that_of_the_tables(t, freedom, p):
    assert two_sided(np.array([t, -t]), np.array([freedom] * 2)) == pytest.approx([p, p], rel=0.035)


@given(arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1)), st.floats(0.001, 0.5))
def test_discoveries_are_benjamini_and_hochberg_s(p, rate):
    """The procedure by the book: the largest k with the k-th smallest p at most k / n times the rate."""
    ordered = np.sort(p)
    passing = [k for k in range(1, len(p) + 1) if ordered[k - 1] * len(p) / k <= rate]
    expected = p <= ordered[passing[-1] - 1] if passing else np.zeros(len(p), dtype=bool)
    np.testing.assert_array_equal(false_discovery_rates(p) <= rate, expected)


def test_two_sets_from_one_source_hardly_differ_and_planted_channels_are_found():
    rng = np.random.default_rng(1)
    rate = rng.uniform(0.02, 0.5, (3, 100))
    one = made_sums(rng, rate)
    false = [differences(one, made_sums(rng, rate), QUICK)['different'].sum() for _ in range(6)]
    assert np.mean(false) < 1  # of 600 comparisons
    changed = rate.copy()
    changed[:, :10] = np.minimum(1.6 * changed[:, :10] + 0.1, 1)
    table = differences(one, made_sums(rng, changed), QUICK)
    usage = table[(table['measure'] == 'usage') & table['different']]
    assert set(range(10)) <= set(usage['channel'])
    assert len(usage) <= 12


def test_halves_of_one_set_hardly_differ():
    rng = np.random.default_rng(2)
    found = halves(made_sums(rng, rng.uniform(0.02, 0.5, (3, 100))), QUICK)
    assert len(found) == 4
    assert all(check['judged'] > 400 for check in found)
    assert sum(check['different'] for check in found) <= 4


def test_a_channel_that_is_used_in_one_set_alone_is_found_and_one_used_in_neither_is_not_judged():
    rng = np.random.default_rng(3)
    rate = np.full((3, 3), 0.3)
    rate[:, 2] = 0
    one = made_sums(rng, rate)
    rate[:, 1] = 0
    table = differences(one, made_sums(rng, rate), QUICK).set_index(['measure', 'channel'])
    assert table.loc[('usage', 1), 'different']
    assert not table.loc[('usage', 0), 'different']
    assert not table.loc[('usage', 2), 'judged']
    assert not table.loc[('purity', 1), 'judged']  # there is no purity in b


def test_b_and_a_are_a_and_b_with_the_other_sign(analysis):
    other = analyze(made_recording(800, 16, resets=EPISODES, seed=0, solved=False), CONFIG)
    action = served_action(analysis, other)
    pair = sums(analysis, action), sums(other, action)
    there, back = differences(*pair, QUICK), differences(*pair[::-1], QUICK)
    np.testing.assert_allclose(there['difference'], -back['difference'], atol=1e-12)
    np.testing.assert_array_equal(there['a'], back['b'])


def test_the_order_of_channels_does_not_matter(analysis):
    order = np.random.default_rng(0).permutation(16)
    action = served_action(analysis)
    of = sums(analysis, action)
    halved = of.of(np.arange(5)), of.of(np.arange(5, 10))
    table = differences(*halved, QUICK).set_index(['measure', 'channel'])
    moved = [Sums(part.above[..., order], part.below[..., order], part.steps) for part in halved]
    again = differences(*moved, QUICK).set_index(['measure', 'channel'])
    for name in MEASURES:
        np.testing.assert_allclose(again.loc[name]['p'], table.loc[name]['p'].to_numpy()[order])


def test_other_policies_and_recordings_without_a_ball_are_refused(analysis):
    with pytest.raises(ValueError, match=r'readout \(5, 17\) with 4 rings and readout \(5, 9\) with 4 rings'):
        compare(analysis, analyze(made_recording(100, 8), CONFIG), QUICK)
    blind = replace(analysis.recording, ball_m=np.full((800, 2), np.nan))
    with pytest.raises(ValueError, match='want a recorded ball and maze, got none'):
        compare(analysis, analyze(blind, CONFIG), QUICK)


def test_the_command_leaves_rows_numbers_and_a_figure(tmp_path, capsys):
    import pandas as pd

    for name, solved in (('one', True), ('two', False)):
        write_recording(tmp_path / name, made_recording(640, 8, resets=EPISODES[:8], solved=solved))
    out = tmp_path / 'out'
    options = ['--resamples', '50', '--halves', '2', '--theta-c', '0.05', '--least-episodes', '3']
    assert main(['compare', str(tmp_path / 'one'), str(tmp_path / 'two'), '--out', str(out), *options]) == 0
    said = json.loads((out / 'compare.json').read_text())
    assert (said['a']['source'], said['b']['source']) == ('one', 'two')
    assert sum(said['matched_time_in_rings']) == pytest.approx(1)
    table = pd.read_parquet(out / 'compare.parquet')
    assert len(table) == len(MEASURES) * 8
    for name, of in said['measures'].items():
        assert of['different'] == table[table['measure'] == name]['different'].sum()
    assert (out / 'compare.png').stat().st_size > 10_000
    assert 'check, differences between random halves of b' in capsys.readouterr().out
