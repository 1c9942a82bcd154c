"""`maze-introspection validate`: what it writes, and that its verdict can be no."""

import json

import pandas as pd
import pytest

from maze_introspection.cli import main
from maze_introspection.config import IntrospectionConfig, ValidateConfig
from maze_introspection.validity.ground_truth import BAR
from maze_introspection.validity.validate import AXES, bar_met, measure, summarise

QUICK = ValidateConfig(longest=3, copies=2, map_copies=0, episodes=1, episode_steps=300, distractors=8)


@pytest.fixture(scope='module')
def table():
    return measure(QUICK, IntrospectionConfig())


def test_no_cue_overlaps_another_unless_asked_to():
    config = ValidateConfig()
    assert round(0.5 * config.period) > config.longest + 1


def test_the_bar_is_met_and_the_counts_are_those_of_a_plain_loop(table):
    said = summarise(table)
    assert bar_met(said)
    rows = table.to_dict('records')
    for condition in ('clean', 'noisy'):
        for gate in ('input', 'forget', 'output'):
            own = [row for row in rows if (row['condition'], row['gate'], row['built']) == (condition, gate, gate)]
            numbers = said[condition][gate]
            assert numbers['delays'] == 4
            assert numbers['channels'] == len(own) == 8
            assert numbers['recovered'] == sum(abs(row['median'] - row['delay']) <= 1 for row in own)
            assert numbers['cues_found'] == sum(row['found'] for row in own) > 10
    assert {(row['built'], row['gate']) for row in said['read_by_another_gate']} == {
        (built, gate)
        for built in ('input', 'forget', 'output')
        for gate in ('input', 'forget', 'output')
        if built != gate
    }
    assert said['maps'] == {}


@pytest.mark.parametrize('spoil', ['a channel', 'an offset', 'a cue'])
def test_the_bar_is_not_met_when_a_delay_is_missed(table, spoil):
    spoilt = table.copy()
    condition = 'noisy' if spoil == 'a channel' else 'clean'
    row = spoilt.index[
        (spoilt['condition'] == condition) & (spoilt['gate'] == 'output') & (spoilt['built'] == 'output')
    ][3]
    if spoil == 'a channel':
        spoilt.loc[row, 'recovered'] = False
    else:
        spoilt.loc[row, 'exact' if spoil == 'an offset' else 'found'] -= 1
    said = summarise(spoilt)
    assert not bar_met(said)
    if spoil == 'a channel':
        assert said['noisy']['output']['delays_below_bar'] == [int(spoilt.loc[row, 'delay'])]
        assert said['noisy']['output']['recovered_at_worst_delay'] == 0.5 < BAR


def test_the_command_writes_rows_summary_and_figures(tmp_path, capsys):
    options = '--longest 0 --copies 1 --map-copies 1 --episodes 1 --episode-steps 200 --distractors 8 --seed 7'
    code = main(['validate', '--out', str(tmp_path), *options.split(), '--recall-delays', '0', '--recall-seeds', '1'])
    assert code == 0
    rows = pd.read_parquet(tmp_path / 'validate.parquet')
    assert len(rows) == 9 * (2 + sum(map(len, AXES.values())))
    said = json.loads((tmp_path / 'validate.json').read_text())
    assert said['config']['seed'] == 7
    assert said['bar_met'] is True
    assert set(said['maps']) == set(AXES)
    stuck = said['maps']['gate_bias'][-1]
    assert stuck['level'] == max(AXES['gate_bias'])
    assert stuck['forget'] == {'recovered': 0.0, 'cues_found': 0.0, 'salient_step_error': None}
    trained = pd.read_parquet(tmp_path / 'validate_recall.parquet')
    assert trained['gate'].tolist() == ['input', 'forget', 'output']
    assert said['recall'][0]['near_share'] == [round(trained['near'][0] / trained['events'][0], 4)]
    for name in ('validate_recovered', 'validate_failure', 'validate_recall'):
        assert (tmp_path / f'{name}.png').stat().st_size > 10_000
        assert (tmp_path / f'{name}.svg').exists()
    assert 'as it must be' in capsys.readouterr().out


def test_a_tool_that_does_not_recover_the_truth_is_exit_code_1(tmp_path, capsys):
    options = '--longest 2 --copies 1 --map-copies 0 --episodes 1 --episode-steps 200 --theta-g 0.99999 --recall-delays'
    assert main(['validate', '--out', str(tmp_path), *options.split()]) == 1
    assert 'NOT as it must be' in capsys.readouterr().out
    assert not (tmp_path / 'validate_failure.png').exists()


def test_bad_input_is_exit_code_2(tmp_path, capsys):
    assert main(['validate', '--out', str(tmp_path), '--longest', '-1']) == 2
    assert 'longest wants 0 to 500, got -1' in capsys.readouterr().err
