"""The events table: one row per run of a gate, with the preceding offset of each run in which its channel contributes.

All that asks whether offsets mean something reads these rows, from an `Analysis` or from Parquet files of thousands of
recordings, so a row says by itself where and when it happened. `source`, `episode`, `gate`, `channel` and `t0` name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from maze_introspection.analysis import Analysis
from maze_introspection.offset import next_hit, open_runs
from maze_policy.policy import GATE_NAMES

CONTRIBUTED, CLOSED, CUT = 'contributed', 'closed', 'cut'

# Every column: its type and what it says. A schema written to Parquet carries these words.
COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    'source': (pa.string(), 'what was recorded, such as the folder of the trials'),
    'trial': (pa.string(), 'id that the policy gave the episode'),
    'episode': (pa.int32(), 'index of the episode in the source'),
    'gate': (pa.string(), 'input, forget or output'),
    'channel': (pa.int32(), 'LSTM channel, 0 to n_l - 1'),
    't0': (pa.int32(), 'first step of the run, a step of the source'),
    't': (
        pa.int32(),
        'first step of the run at which the channel contributes, a step of the source; else its last step',
    ),
    'offset': (pa.int32(), 'preceding offset t - t0, steps; where nothing was contributed, the steps gone by until t'),
    'censored': (pa.bool_(), 'the run was open when it could first be seen: the true offset is at least `offset`'),
    'ended': (
        pa.string(),
        f'{CONTRIBUTED}: the row has an offset; {CLOSED}: the gate closed without; {CUT}: the episode or the recording '
        'ended, or a step is missing, before either',
    ),
    'elapsed': (pa.int32(), 'steps from the first step of the episode to t; t0 is `elapsed` - `offset` steps after it'),
    'start_ring': (pa.int32(), 'ring the ball was in at the first step of the episode, 0 = centre; -1 unknown'),
    'ring_t0': (pa.int32(), 'ring the ball was in at t0, 0 = centre; -1 unknown'),
    'ring': (pa.int32(), 'ring the ball is in at t, 0 = centre; -1 unknown'),
    'distance_m': (pa.float64(), 'ball centre to maze centre at t, m; NaN unknown'),
    'action': (pa.int32(), 'action taken at t, which is what is contributed to'),
    'share': (pa.float32(), "the channel's contribution at t, 0 to 1"),
    'salient': (pa.bool_(), 'the channel is one of the salient ones at t'),
    'offset_s': (pa.float64(), 'the same offset by the stamps of both steps, s'),
}
SCHEMA = pa.schema([pa.field(name, kind, metadata={'doc': doc}) for name, (kind, doc) in COLUMNS.items()])
KEY = ['source', 'episode', 'gate', 'channel', 't0']


def events(analysis: Analysis, *, source: str | None = None, silent: bool = False) -> pd.DataFrame:
    """The events of an analysis, with the columns `COLUMNS`, sorted by (gate, channel, t0).

    Args:
        analysis: of all episodes of one source.
        source: its name in the table; without it, that of the recording.
        silent: also the runs in which the channel never contributes, which have no offset. They are what survival
            analysis needs besides; usually several times as many.
    """
    recording, share = analysis.recording, analysis.contribution.share
    name = recording.source if source is None else source
    first = np.searchsorted(recording.episode, recording.episode)
    contributes = next_hit(share > analysis.config.theta_c)
    parts = []
    for gate, gate_name in GATE_NAMES.items():
        channel, t0, end = open_runs(recording.gates[:, gate] > analysis.config.theta_g, analysis.begins)
        hit = contributes[t0, channel]
        contributed = hit < end
        t = np.where(contributed, hit, end - 1)
        ends_with_all = (end == recording.steps) | analysis.begins[np.minimum(end, recording.steps - 1)]
        keep = slice(None) if silent else contributed
        columns: dict[str, Any] = {
            'episode': recording.episode[t],
            'gate': np.full(len(t), gate_name, dtype=object),
            'channel': channel,
            't0': t0,
            't': t,
            'offset': t - t0,
            'censored': (t0 == 0) | analysis.begins[t0],
            'ended': np.where(contributed, CONTRIBUTED, np.where(ends_with_all, CUT, CLOSED)).astype(object),
            'elapsed': t - first[t],
            'start_ring': analysis.ring[first[t]],
            'ring_t0': analysis.ring[t0],
            'ring': analysis.ring[t],
            'distance_m': recording.distance_m[t],
            'action': analysis.contribution.action[t],
            'share': share[t, channel],
            'salient': analysis.salient[t, channel],
            'offset_s': (recording.stamp_ns[t] - recording.stamp_ns[t0]) / 1e9,
        }
        parts.append(pd.DataFrame({column: values[keep] for column, values in columns.items()}))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, 'source', name)
    table.insert(1, 'trial', table['episode'].map(dict(enumerate(recording.episode_ids))))
    return typed(table)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """The same rows with exactly the columns and types of the schema.

    Raises:
        ValueError: naming the columns that are missing or not known.
    """
    if set(table.columns) != set(COLUMNS):
        missing, more = sorted(set(COLUMNS) - set(table.columns)), sorted(set(table.columns) - set(COLUMNS))
        raise ValueError(f'want the columns of the events table, got none of {missing}, and {more} besides')
    kinds = {name: kind.to_pandas_dtype() for name, (kind, _) in COLUMNS.items() if kind != pa.string()}
    return table[list(COLUMNS)].astype(kinds)


def write_events(table: pd.DataFrame, path: Path) -> None:
    """Write the events as Parquet; the schema has a line about every column."""
    pq.write_table(pa.Table.from_pandas(typed(table), schema=SCHEMA, preserve_index=False), path, compression='zstd')


def read_events(paths: Path | Sequence[Path], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Events of one Parquet file or of several, one after the other; `columns` for only some of them."""
    paths = [paths] if isinstance(paths, Path) else list(paths)
    tables = [pq.read_table(path, columns=None if columns is None else list(columns)) for path in paths]
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return frame


def observed(table: pd.DataFrame, gate: str | None = None) -> pd.DataFrame:
    """The rows that have an offset of which nothing is hidden: contributed and not censored (what the paper counts)."""
    keep: npt.NDArray[np.bool_] = (~table['censored'] & (table['ended'] == CONTRIBUTED)).to_numpy()
    if gate is not None:
        keep &= (table['gate'] == gate).to_numpy()
    return table[keep]
