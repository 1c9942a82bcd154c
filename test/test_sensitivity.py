import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made import made_recording

from maze_introspection.analysis import analyze
from maze_introspection.bag import write_recording
from maze_introspection.cli import main
from maze_introspection.config import IntrospectionConfig, SensitivityConfig
from maze_introspection.figures.sensitivity import outline
from maze_introspection.null import against_null
from maze_introspection.statistics import summary
from maze_introspection.validity.sensitivity import CONCLUSIONS, concluded, connected, fractions, regions, thresholds
from maze_policy.policy import GATE_NAMES, OUTPUT

EPISODES = (0, 150, 260)
QUICK = SensitivityConfig(theta_gs=(0.4, 0.6), theta_cs=(0.02, 0.1), fractions=(0.3, 0.5), draws=5, resamples=30)


@pytest.fixture(scope='module')
def recording():
    return made_recording(400, 16, resets=EPISODES)


@pytest.fixture(scope='module')
def table(recording):
    return thresholds(analyze(recording), QUICK)


def test_each_point_is_an_analysis_of_its_own(recording, table):
    assert len(table) == 2 * 2 * 3 * 5
    for (theta_g, theta_c, gate), rows in table.groupby(['theta_g', 'theta_c', 'gate']):
        analysis = analyze(recording, IntrospectionConfig(theta_g=theta_g, theta_c=theta_c))
        offsets = summary(analysis)['offsets_per_ring'][gate]
        for name in ('n', 'mean', 'median', 'q1', 'q3', 'censored'):
            expected = np.array([ring[name] for ring in offsets], dtype=float)
            np.testing.assert_array_equal(rows.sort_values('ring')[name], expected)
        null = against_null(analysis, 5, 1, np.ones(400, dtype=bool))[gate]
        assert rows['growth'].iloc[0] == pytest.approx(null['growth'])
        assert rows['p'].iloc[0] == pytest.approx(null['p'])


def test_each_fraction_is_an_analysis_of_its_own(recording):
    for row in fractions(analyze(recording), QUICK):
        alone = summary(analyze(recording, IntrospectionConfig(fraction=row['fraction'])))
        assert row['channels_needed'] == alone['channels_needed']
        assert row['ever_salient'] == alone['ever_salient_channels']
        assert row['judged'] == alone['judged_channels']
        assert row['single_action'] == len(alone['single_action_channels'])
        assert row['single_ring'] == len(alone['single_ring_channels'])


def test_the_interval_holds_the_growth(table):
    inside = (table['growth_low'] <= table['growth']) & (table['growth'] <= table['growth_high'])
    assert inside.mean() > 0.9


@pytest.mark.parametrize(
    ('mean', 'high', 'p', 'low', 'expected'),
    [
        ([9, 4, 3, 2, 1], [0, 3, 2, 1, 9], 0.01, 1.0, (True, True, True, True)),  # above in three rings of four
        ([9, 4, 2, 3, 1], [0, 3, 9, 9, 9], 0.05, 0.0, (False, False, False, False)),  # in one; 0 is not above 0
        ([9, 4, 3, 2, None], [0, 3, 2, 9, 9], None, np.nan, (False, False, False, False)),  # half is not most
    ],
)
def test_conclusions_by_hand(mean, high, p, low, expected):
    found = concluded({'mean': mean, 'null_high': high, 'p': p}, low)
    assert tuple(found[name] for name in ('precedes', 'grows', 'grows_every_ring', 'beyond_chance')) == expected


def grid(holds):
    rows = [
        {'theta_g': g / 10, 'theta_c': c / 100, 'gate': 'output', 'ring': 0, **dict.fromkeys(CONCLUSIONS, bool(value))}
        for (g, c), value in np.ndenumerate(holds)
    ]
    return pd.DataFrame(rows)


def test_a_region_by_hand():
    holds = np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]], dtype=bool)
    found = regions(grid(holds), 0.11, 0.012)['output']['grows']  # nearest to (0.1, 0.01)
    assert found == {
        'holds': True,
        'share': 5 / 12,
        'holds_share': 5 / 12,
        'points': 3,  # the two at the right hold, but cannot be reached
        'theta_g': [0.0, 0.1],
        'theta_c': [0.0, 0.01],
    }
    other = regions(grid(holds), 0.2, 0.0)['output']['grows']
    assert (other['holds'], other['share'], other['points']) == (False, 7 / 12, 7)


@given(arrays(np.bool_, (4, 5)), st.integers(0, 3), st.integers(0, 4))
def test_what_is_connected_is_what_a_walk_reaches(cells, row, column):
    reached, todo = set(), [(row, column)]
    while todo:
        at = todo.pop()
        if at not in reached and 0 <= at[0] < 4 and 0 <= at[1] < 5 and cells[at]:
            reached.add(at)
            todo += [(at[0] + 1, at[1]), (at[0] - 1, at[1]), (at[0], at[1] + 1), (at[0], at[1] - 1)]
    assert set(zip(*np.nonzero(connected(cells, (row, column))))) == reached


@given(arrays(np.bool_, (3, 4)))
def test_the_outline_has_an_edge_wherever_a_cell_that_holds_ends(holds):
    padded = np.pad(holds, 1).astype(int)
    borders = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    lines = outline(holds, 0.1)
    assert len(lines) == borders
    for line in lines:
        middle = np.mean(line, axis=0)
        column, row = np.round(middle).astype(int)
        assert holds[row, column]  # it lies inside of a cell that holds


def test_the_command_leaves_rows_numbers_and_a_figure(tmp_path, capsys, recording):
    write_recording(tmp_path / 'bag', recording)
    options = [
        '--theta-gs',
        '0.4',
        '0.5',
        '--theta-cs',
        '0.05',
        '0.1',
        '--fractions',
        '0.5',
        '--draws',
        '4',
        '--resamples',
        '9',
        '--theta-c',
        '0.05',
    ]
    assert main(['sensitivity', str(tmp_path / 'bag'), '--out', str(tmp_path / 'out'), *options]) == 0
    said = json.loads((tmp_path / 'out' / 'sensitivity.json').read_text())
    assert set(said['regions']) == set(GATE_NAMES.values())
    assert said['sensitivity']['draws'] == 4
    table = pd.read_parquet(tmp_path / 'out' / 'sensitivity.parquet')
    output = table[table['gate'] == GATE_NAMES[OUTPUT]]
    assert said['ranges']['output']['growth'] == {'low': output['growth'].min(), 'high': output['growth'].max()}
    assert (tmp_path / 'out' / 'sensitivity.png').stat().st_size > 10_000
    out = capsys.readouterr().out
    assert 'output gate, at theta_g 0.5 and theta_c 0.05' in out
    assert '50% of the score: ' in out


def test_a_value_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r'theta_gs wants 0\.0 to 1\.0, got 1\.5'):
        SensitivityConfig(theta_gs=(1.5,))
