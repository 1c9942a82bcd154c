"""The timing sweep: its worlds, its statistics against other ways to get them, and its folder after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made_recording
from scipy.stats import binomtest, kendalltau

from maze_introspection.analysis import analyze
from maze_introspection.cli import main
from maze_introspection.config import SweepConfig
from maze_introspection.validity.events import KEY, read_events
from maze_introspection.validity.reaction import changes, moved, resemblance, sign_flips, trends
from maze_introspection.validity.resample import resamples
from maze_introspection.validity.suspects import UNCHANGED, worlds
from maze_introspection.validity.suspects import settings as settings_of
from maze_introspection.validity.swept import ring_table
from maze_introspection.validity.timing import median_over_trials, wilson
from maze_policy.checkpoint import save
from maze_policy.config import NetworkConfig
from maze_policy.network import CnnLstm
from maze_policy.world import load_world

ROOT = Path(__file__).resolve().parent.parent
SHORT = ('--count', '2', '--time-limit-s', '1', '--jobs', '1', '--flips', '100', '--resamples', '20')
SWEPT = ('--suspects', 'camera_delay', 'inference', '--camera-delay', '1', '--inference', '1', '2')


def test_every_suspect_changes_its_own_part_of_the_world():
    nominal = load_world('nominal')
    found = settings_of(SweepConfig(), nominal)
    changed = {
        suspect: {
            name
            for setting in found
            if setting.suspect == suspect
            for name in vars(nominal)
            if getattr(setting.world, name) != getattr(nominal, name)
        }
        for suspect in SweepConfig().suspects
    }
    assert changed == {
        'camera_delay': {'latency_steps'},
        'frame_rate': {'rate_hz'},
        'dropped_frames': {'missed_frames'},
        'tilt_lag': {'tilt_lag_s'},
        'inference': {'rate_hz', 'latency_steps'},
    }
    for suspect in changed:
        of = [setting for setting in found if setting.suspect == suspect]
        assert [setting.value for setting in of] == sorted(setting.value for setting in of)
        assert [setting.world for setting in of if setting.name == UNCHANGED] == [nominal]


def test_an_inference_of_two_periods_sees_half_the_frames_and_acts_two_frames_late():
    def timing(suspect, value, **changes):
        found = settings_of(SweepConfig(), load_world('nominal', changes))
        (world,) = [setting.world for setting in found if (setting.suspect, setting.value) == (suspect, value)]
        return world.rate_hz, world.latency_steps

    assert timing('inference', 2) == ((15.0, 15.0), (1, 1))
    # Two to three frames late without it, which are one to one and a half of the policy's own periods.
    assert timing('inference', 2, latency_steps=(2, 3)) == ((15.0, 15.0), (2, 3))
    assert timing('camera_delay', 4, latency_steps=(2, 3)) == ((30.0, 30.0), (6, 7))


def test_one_world_is_played_once_whatever_it_is_called():
    """An inference of one frame period is a delay of one frame."""
    found = settings_of(SweepConfig(), load_world('nominal'))
    played = worlds(found)
    assert len(set(played.values())) == len(played) == len(found) - 4 - 1
    names = [setting.name for setting in found if (setting.suspect, setting.value) == ('inference', 1)]
    assert names == ['camera_delay_1']


shares = st.integers(0, 2**32 - 1).map(
    lambda seed: np.where(
        (rng := np.random.default_rng(seed)).random((4, 6, 3, 1)) < 0.25, np.nan, rng.integers(0, 5, (4, 6, 3, 7)) / 9
    )
)


@given(shares)
@settings(max_examples=20, deadline=None)
def test_changes_and_trends_are_what_a_walk_through_all_pairs_finds(share):
    settings_, trials, rings, channels = share.shape
    change, rise = changes(share, 1), trends(share)
    for i, c in product(range(trials), range(channels)):
        for v in range(settings_):
            known = [share[v, i, r, c] - share[1, i, r, c] for r in range(1, rings)]
            known = [one for one in known if np.isfinite(one)]
            assert change[v, i, c] == pytest.approx(np.mean(known) if known else 0.0, abs=1e-12)
        pairs = [
            np.sign(share[w, i, r, c] - share[v, i, r, c])
            for r in range(1, rings)
            for v in range(settings_)
            for w in range(v + 1, settings_)
            if np.isfinite(share[w, i, r, c] - share[v, i, r, c])
        ]
        assert rise[i, c] == pytest.approx(np.mean(pairs) if pairs else 0.0, abs=1e-12)


@given(shares, st.permutations(range(7)), st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_neither_the_order_of_channels_nor_their_scale_matters(share, order, scale):
    change, rise = changes(share, 0), trends(share)
    np.testing.assert_allclose(changes(scale * share[..., order], 0), scale * change[..., order], atol=1e-9)
    np.testing.assert_array_equal(trends(scale * share[..., order]), rise[..., order])
    p = sign_flips(change[2], 200, 3)
    np.testing.assert_array_equal(sign_flips(scale * change[2][:, order], 200, 3), p[order])


def test_a_trend_is_kendalls_tau():
    share = np.random.default_rng(2).random((9, 5, 2, 3))
    expected = [[kendalltau(range(9), share[:, i, 1, c]).statistic for c in range(3)] for i in range(5)]
    np.testing.assert_allclose(trends(share), expected, atol=1e-12)


def test_the_p_of_sign_flips_is_that_of_all_flips():
    values = np.random.default_rng(4).normal(0.4, 1.0, (9, 5))
    sums = np.array([np.array(signs) @ values for signs in product((-1, 1), repeat=9)])
    exact = (np.abs(sums) >= np.abs(values.sum(axis=0)) - 1e-12).mean(axis=0)
    np.testing.assert_allclose(sign_flips(values, 20_000, 1), exact, atol=0.012)
    assert sign_flips(np.ones((10, 1)), 20_000, 1)[0] == pytest.approx(2 / 2**10, abs=1e-3)
    assert sign_flips(np.zeros((10, 1)), 100, 1)[0] == 1.0


def test_chance_alone_is_rarely_called_a_reaction():
    p = sign_flips(np.random.default_rng(5).normal(size=(20, 2000)), 500, 1)
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.02)
    assert np.median(p) == pytest.approx(0.5, abs=0.05)


def test_moved_is_the_share_that_other_channels_make():
    share = np.zeros((4, 3, 6))
    share[:, :, 0] = 1.0
    other = np.zeros_like(share)
    other[:, 1, 0] = 1.0
    other[:, 2, 1], other[:, 2, 2] = 0.75, 0.25
    other[:, 0] = np.nan
    value, mean, high = moved(share, other, 400, 0)
    np.testing.assert_array_equal(value, [np.nan, 0.0, 1.0])
    assert mean[2] == pytest.approx(6 / 16, abs=0.04)  # |+-1 +-1 +-1 +-1| / 4 in the mean
    assert high[2] == 1.0


def test_settings_resemble_each_other_where_the_same_channels_change():
    rng = np.random.default_rng(7)
    change, other = rng.normal(size=(2, 6, 9))
    weights = resamples(6, 20, 1)
    found, again = resemblance(np.stack([change, 3 * change, -change, other]), weights)

    def halves(one, two, weight=(1,) * 6):
        rows = np.repeat(np.arange(6), weight)
        means = [[of[rows[rows % 2 == part]].mean(axis=0) for part in (0, 1)] for of in (one, two)]
        return np.mean([np.corrcoef(means[0][part], means[1][1 - part])[0, 1] for part in (0, 1)])

    np.testing.assert_allclose(found[0], [halves(change, of) for of in (change, change, -change, other)])
    np.testing.assert_allclose(again[5, 0, 3], halves(change, other, weights[5].astype(int)))


def test_what_settings_share_by_their_comparison_alone_is_no_resemblance():
    """All changes have the same unchanged trials taken off."""
    rng = np.random.default_rng(9)
    noise = rng.normal(size=(2, 40, 500)) - rng.normal(size=(40, 500))
    found, _ = resemblance(noise, np.ones((1, 40)))
    assert np.corrcoef(noise.mean(axis=1))[0, 1] > 0.4
    assert abs(found[0, 1]) < 0.15


def test_the_interval_of_a_median_comes_from_drawing_trials():
    rng = np.random.default_rng(6)
    trial, values = rng.integers(0, 5, 80), rng.integers(0, 30, 80) / 10
    weights = resamples(5, 50, 1)
    found = median_over_trials(trial, values, weights)

    def lower_median(weight):
        return float(np.quantile(np.repeat(values, weight[trial].astype(int)), 0.5, method='inverted_cdf'))

    assert found['value'] == lower_median(np.ones(5))
    low, high = np.percentile([lower_median(weight) for weight in weights], [2.5, 97.5])
    assert (found['low'], found['high']) == pytest.approx((low, high))
    assert np.isnan(median_over_trials(trial[:0], values[:0], weights)['value'])


@pytest.mark.parametrize(('successes', 'count'), [(0, 10), (10, 10), (3, 40), (1, 1)])
def test_the_interval_of_a_proportion_is_wilsons(successes, count):
    limits = binomtest(successes, count).proportion_ci(method='wilson')
    found = wilson(successes, count)
    assert (found['value'], found['low'], found['high']) == pytest.approx((successes / count, *limits), abs=1e-6)


def test_what_stays_of_a_trial_is_its_mean_contribution_in_each_ring():
    analysis = analyze(made_recording(300, 12))
    table = ring_table(analysis, 'a', 3)
    rings = analysis.recording.maze.rings + 1
    assert len(table) == rings * 12
    assert table.drop_duplicates('ring')['ring_steps'].sum() == 300
    for ring in np.unique(analysis.ring):
        rows = table[table['ring'] == ring]
        inside = (analysis.ring == ring) & analysis.contribution.defined
        np.testing.assert_allclose(rows['share'], analysis.contribution.share[inside].mean(axis=0), rtol=1e-5)
        assert rows['share'].sum() == pytest.approx(1.0, abs=1e-5)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('checkpoint') / 'untrained.safetensors'
    save(path, CnnLstm(NetworkConfig(n_l=24)), {})
    return path


def sweep(out, checkpoint, *more):
    return main(
        ['sweep', '--out', str(out), '--checkpoint', str(checkpoint), *SHORT, *SWEPT, '--theta-c', '0.05', *more]
    )


@pytest.fixture(scope='module')
def swept(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp('sweep') / 'out'
    assert sweep(out, checkpoint) == 0
    return out


def contents(out):
    """All trials of a sweep, byte by byte."""
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob('trial_*.parquet'))}


def test_a_sweep_leaves_events_numbers_and_a_figure(swept):
    assert sorted(path.name for path in (swept / 'events').iterdir()) == ['camera_delay_1', 'inference_2', 'unchanged']
    assert len(contents(swept)) == 2 * 3 * 2
    found = json.loads((swept / 'sweep.json').read_text(), parse_constant=pytest.fail)
    delay = found['suspects']['camera_delay']
    assert [setting['value'] for setting in delay['settings']] == [0.0, 1.0]
    unchanged, late = delay['settings']
    assert unchanged['reacting'] == 0
    assert unchanged['moved']['value'][-1] == 0.0
    events = read_events(sorted(swept.glob('events/unchanged/*.parquet')))
    assert len(events) > 10
    for gate, offsets in unchanged['offsets'].items():
        assert sum(offsets['n']) + sum(offsets['censored']) == (events['gate'] == gate).sum()
    assert late['success']['trials'] == 2
    assert late['seconds']['value'] == pytest.approx(1.0)
    assert found['suspects']['inference']['settings'][1]['name'] == 'camera_delay_1'
    table = pd.read_parquet(swept / 'sweep.parquet')
    assert len(table) == (2 + 3) * 5 * 24
    assert table.query('value == 0')['change'].abs().max() == 0.0
    assert (swept / 'sweep.png').stat().st_size > 10_000


def test_duckdb_counts_the_events_of_each_setting(swept):
    ours = read_events(sorted(swept.glob('events/*/*.parquet')))
    theirs = duckdb.sql(f"select source, count(*) n from '{swept}/events/*/*.parquet' group by source").df()
    assert theirs.set_index('source')['n'].to_dict() == ours['source'].value_counts().to_dict()


def test_values_and_trials_can_be_added_and_nothing_is_played_twice(swept, checkpoint, capsys):
    before = contents(swept)
    assert sweep(swept, checkpoint, '--inference', '1', '2', '3', '--count', '3') == 0
    assert '6 trials played now' in capsys.readouterr().out  # two of the new setting, and the third of all four
    after = contents(swept)
    assert len(after) == 2 * 4 * 3
    assert before.items() <= after.items()
    assert sweep(swept, checkpoint, '--theta-g', '0.6') == 2
    assert 'holds a sweep with other settings: theta_g 0.5 (now 0.6)' in capsys.readouterr().err


KILLED = """
import signal, sys
from maze_introspection.cli import main
from maze_introspection.validity import swept

told, *arguments = sys.argv[1:]
table, made = swept.ring_table, []

def wait(*of):
    made.append(of)
    if len(made) == 4:  # its events are written, and what says that it is done is not
        with open(told, 'w') as pipe:
            pipe.write('now')
        signal.pause()  # until it is killed
    return table(*of)

swept.ring_table = wait
main(arguments)
"""


def test_a_killed_sweep_goes_on_without_losing_or_doubling_a_row(swept, checkpoint, tmp_path):
    out, told = tmp_path / 'out', tmp_path / 'told'
    os.mkfifo(told)
    arguments = ['sweep', '--out', out, '--checkpoint', checkpoint, *SHORT, *SWEPT, '--theta-c', '0.05']
    process = subprocess.Popen(
        [sys.executable, '-c', KILLED, *map(str, [told, *arguments])], env=os.environ | {'PYTHONPATH': str(ROOT)}
    )
    assert told.read_text() == 'now'
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert (len(list(out.glob('trials/*/*'))), len(list(out.glob('events/*/*')))) == (3, 4)
    assert sweep(out, checkpoint) == 0
    unbroken = {path: content for path, content in contents(swept).items() if path in contents(out)}
    assert contents(out) == unbroken
    assert len(unbroken) == 2 * 3 * 2
    events = read_events(sorted(out.glob('events/*/*.parquet')))
    assert not events.duplicated([*KEY, 'trial']).any()
    assert pd.read_parquet(out / 'sweep.parquet')['trials'].max() == 2
