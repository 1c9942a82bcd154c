import json
from dataclasses import replace

import numpy as np
import pytest
from made import made_recording
from test_null import linked_recording

from maze_introspection.analysis import analyze, gated_offsets
from maze_introspection.bag import write_recording
from maze_introspection.cli import main
from maze_introspection.config import ChanceConfig, IntrospectionConfig
from maze_introspection.null import against_null
from maze_introspection.validity.chance import chance, growth_of
from maze_introspection.validity.events import observed, read_events

CONFIG = IntrospectionConfig(theta_c=0.05)
QUICK = ChanceConfig(draws=8, resamples=40)
EPISODES = (0, 150, 260, 420)


@pytest.fixture(scope='module')
def analysis():
    return analyze(made_recording(600, 16, resets=EPISODES), CONFIG)


@pytest.fixture(scope='module')
def found(analysis):
    return chance(analysis, QUICK)


def test_what_is_measured_and_its_null_are_those_of_the_trials(analysis, found):
    """The same numbers by the other way: `against_null`, which counts no episodes."""
    numbers, _ = found
    expected = against_null(analysis, QUICK.draws, QUICK.seed, np.ones(600, dtype=bool))
    for gate, of in expected.items():
        against = numbers[gate]['against']['permutation']
        np.testing.assert_allclose(against['rings']['mean']['value'], of['mean'])
        assert numbers[gate]['growth']['raw']['value'] == pytest.approx(of['growth'])
        assert numbers[gate]['growth']['raw_above_permutation']['p'] == pytest.approx(of['p'])


def test_differences_are_differences_and_lie_in_their_intervals(found):
    for numbers in found[0].values():
        for against in numbers['against'].values():
            rings = against['rings']
            above = np.subtract(rings['mean']['value'], rings['null_mean']['value'])
            np.testing.assert_allclose(rings['above']['value'], above)
            low, value, high = (np.array(rings['mean'][name]) for name in ('low', 'value', 'high'))
            assert (low <= value).all()
            assert (value <= high).all()
            assert (low < high).any()
            assert sum(against['n']) == numbers['offsets']


def test_left_out_as_seen_and_estimated_are_in_this_order(found):
    """Hidden beginnings only ever add to an offset."""
    for numbers in found[0].values():
        hidden = numbers['hidden']
        assert sum(hidden['hidden']) > 10
        as_seen, estimated = (np.array(hidden[way]['mean']['value']) for way in ('as_seen', 'estimated'))
        assert (estimated >= as_seen - 1e-9).all()
        assert (estimated > as_seen + 0.1).any()


def test_without_long_offsets_the_mean_of_the_survival_curve_is_the_mean(analysis, found):
    numbers, table = found
    rows = observed(table, 'output')
    short = rows.assign(offset=rows['offset'].clip(upper=30)).groupby('ring')['offset'].mean()
    np.testing.assert_allclose(numbers['output']['hidden']['left_out']['mean']['value'], short.to_numpy())


def test_the_order_of_channels_does_not_matter(analysis, found):
    order = np.random.default_rng(0).permutation(16)
    recording = analysis.recording
    readout = np.concatenate([recording.readout[:, :-1][:, order], recording.readout[:, -1:]], axis=1)
    moved = replace(
        recording,
        gates=recording.gates[:, :, order],
        hidden=recording.hidden[:, order],
        cell=recording.cell[:, order],
        readout=readout,
    )
    again, _ = chance(analyze(moved, CONFIG), QUICK)
    for gate, numbers in found[0].items():
        for name in ('raw', 'matched', 'raw_of_shift', 'matched_above_shift'):
            assert again[gate]['growth'][name] == pytest.approx(numbers['growth'][name])
        assert again[gate]['hidden'] == numbers['hidden']
        assert again[gate]['against']['shift'] == numbers['against']['shift']


def test_a_planted_link_between_gates_and_their_own_contributions_is_found():
    """Every channel contributes 7 steps after its own gate has opened: neither null does that."""
    recording = linked_recording(lag=7)
    episode = np.arange(recording.steps) // 250
    recording = replace(recording, episode=episode, episode_ids=tuple(map(str, range(8))))
    analysis = analyze(recording, CONFIG)
    begins = np.arange(recording.steps) % 250 == 0  # made-up gates obey no recurrence
    offsets = gated_offsets(recording.gates, analysis.contribution.share, begins, CONFIG)
    numbers, table = chance(replace(analysis, begins=begins, offsets=offsets), ChanceConfig(draws=20, resamples=100))
    assert set(observed(table)['offset']) == {7}
    for kind, against in numbers['output']['against'].items():
        assert against['all_rings']['mean']['value'] == 7
        null = against['all_rings']['null_mean']
        assert not null['low'] <= 7 <= null['high'], kind
    assert numbers['output']['growth']['raw'] == {'value': 0, 'low': 0, 'high': 0}


def test_a_window_counts_only_what_lies_in_it(analysis):
    numbers, table = chance(analysis, ChanceConfig(draws=2, resamples=10, window_steps=12))
    assert table['elapsed'].max() == 11
    assert (table['ring'] == table['start_ring']).all()
    assert numbers['output']['offsets'] == len(observed(table, 'output'))


def test_growth_by_hand():
    assert growth_of(np.array([9.0, 7.0, 5.0, 2.0])) == 5


def test_without_a_ball_there_are_no_rings(analysis):
    recording = made_recording(60, 4)
    recording.ball_m[:] = np.nan
    with pytest.raises(ValueError, match='want a recorded ball and maze, got none'):
        chance(analyze(recording, CONFIG), QUICK)


def test_the_command_leaves_rows_numbers_and_a_figure(tmp_path, capsys):
    bags, out = tmp_path / 'bags', tmp_path / 'out'
    for index in range(3):
        write_recording(bags / f'trial_{index}', made_recording(120, 8, seed=index, resets=(0,)))
    # Three seeds are three policies: refused as one set.
    assert main(['chance', str(bags), '--out', str(out)]) == 2
    assert 'want one policy' in capsys.readouterr().err
    one = ['chance', str(bags / 'trial_0'), str(bags / 'trial_0'), '--out', str(out)]
    assert main([*one, '--draws', '3', '--resamples', '10', '--theta-c', '0.05']) == 0
    said = json.loads((out / 'chance.json').read_text())
    assert (said['episodes'], said['steps'], said['chance']['seed']) == (2, 240, 1)
    assert said['parameters']['theta_c'] == 0.05
    assert len(said['digest']) == 64
    table = read_events(out / 'chance.parquet')
    for gate, numbers in said['gates'].items():
        assert numbers['offsets'] == len(observed(table, gate)) > 0
        assert f'{gate} gate, {numbers["offsets"]} offsets' in capsys.readouterr().out or gate != 'input'
    assert (out / 'chance.png').stat().st_size > 10_000
    assert (out / 'chance.svg').exists()
