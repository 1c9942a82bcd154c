import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from made import made_recording

from maze_introspection.analysis import analyze
from maze_introspection.config import IntrospectionConfig
from maze_introspection.validity.events import COLUMNS, KEY, events, observed, read_events, typed, write_events
from maze_policy.policy import GATE_NAMES

BY_GATE = {name: gate for gate, name in GATE_NAMES.items()}
CONFIG = IntrospectionConfig(theta_c=0.05)


@pytest.fixture(scope='module')
def analysis():
    return analyze(made_recording(400, 16, resets=(0, 150)), CONFIG)


def test_events_are_the_offsets_of_the_analysis(analysis):
    table = events(analysis).assign(row=lambda table: table['gate'].map(BY_GATE))
    table = table.sort_values(['t', 'row', 'channel'])
    for name in ('channel', 't0', 't', 'offset', 'censored'):
        np.testing.assert_array_equal(table[name], analysis.offsets[name])
    np.testing.assert_array_equal(table['row'], analysis.offsets['gate'])
    assert (table['ended'] == 'contributed').all()


def test_every_run_is_one_row_and_says_how_it_ended(analysis):
    """Against a walk through every channel, step by step."""
    recording, share = analysis.recording, analysis.contribution.share
    expected = set()
    for gate, name in GATE_NAMES.items():
        for channel in range(recording.channels):
            is_open = recording.gates[:, gate, channel] > CONFIG.theta_g
            t0 = None
            for t in range(recording.steps + 1):
                over = t == recording.steps or analysis.begins[t]
                if t0 is not None and (over or not is_open[t]):
                    hits = [step for step in range(t0, t) if share[step, channel] > CONFIG.theta_c]
                    ended = 'contributed' if hits else 'cut' if over else 'closed'
                    expected.add((name, channel, t0, hits[0] if hits else t - 1, ended, bool(analysis.begins[t0])))
                    t0 = None
                if t < recording.steps and t0 is None and is_open[t]:
                    t0 = t
    table = events(analysis, silent=True)
    found = list(zip(*(table[name] for name in ('gate', 'channel', 't0', 't', 'ended', 'censored'))))
    assert len(found) == len(set(found)) == len(expected)
    assert set(found) == expected
    assert set(table['ended']) == {'contributed', 'closed', 'cut'}
    assert not table.duplicated(KEY).any()


def test_a_row_says_where_and_when_it_happened(analysis):
    table, recording = events(analysis, silent=True), analysis.recording
    second = table['episode'] == 1
    assert second.any()
    assert (table['trial'][second] == 'episode-1').all()
    np.testing.assert_array_equal(table['elapsed'], table['t'] - 150 * second)
    assert (table['start_ring'] == 4).all()
    np.testing.assert_array_equal(table['distance_m'], recording.distance_m[table['t']])
    np.testing.assert_array_equal(table['ring_t0'], analysis.ring[table['t0']])
    np.testing.assert_array_equal(table['share'], analysis.contribution.share[table['t'], table['channel']])
    np.testing.assert_allclose(table['offset_s'], table['offset'] / 30, rtol=1e-7)


def test_parquet_keeps_every_row_type_and_word(tmp_path, analysis):
    table = events(analysis, source='one')
    write_events(table, tmp_path / 'a.parquet')
    pd.testing.assert_frame_equal(read_events(tmp_path / 'a.parquet'), table)
    for field in pq.read_schema(tmp_path / 'a.parquet'):
        assert field.metadata[b'doc'].decode() == COLUMNS[field.name][1]
    write_events(events(analysis, source='two'), tmp_path / 'b.parquet')
    both = read_events([tmp_path / 'a.parquet', tmp_path / 'b.parquet'], ['source', 'offset'])
    assert both.groupby('source').size().to_dict() == {'one': len(table), 'two': len(table)}


def test_a_table_without_its_columns_is_refused(analysis):
    with pytest.raises(ValueError, match=r"none of \['offset_s'\], and \['more'\] besides"):
        typed(events(analysis).drop(columns='offset_s').assign(more=1))


def test_nothing_open_is_an_empty_table_that_can_be_written(tmp_path):
    table = events(analyze(made_recording(60, 4), IntrospectionConfig(theta_g=1.0)))
    write_events(table, tmp_path / 'empty.parquet')
    assert len(read_events(tmp_path / 'empty.parquet')) == 0
    assert list(table.columns) == list(COLUMNS)


def test_observed_leaves_out_what_is_censored_or_silent(analysis):
    table = observed(events(analysis, silent=True), 'output')
    rows = analysis.offsets[~analysis.offsets['censored']]
    assert len(table) == (rows['gate'] == BY_GATE['output']).sum() > 10
