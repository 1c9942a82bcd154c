"""An analysis as tables for pandas and friends: offsets, steps and channels, one Parquet file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from maze_introspection.analysis import Analysis
from maze_introspection.statistics import channels
from maze_policy.policy import CANDIDATE, GATE_NAMES


def offsets_table(analysis: Analysis) -> pd.DataFrame:
    """One row per preceding offset (per interval): steps t0 and t of the recording, offset in steps, distance in m."""
    rows, recording = analysis.offsets, analysis.recording
    t = rows['t']
    return pd.DataFrame(
        {
            'episode': recording.episode[t],
            'gate': np.array([GATE_NAMES.get(gate, '') for gate in range(max(GATE_NAMES) + 1)])[rows['gate']],
            'channel': rows['channel'],
            't0': rows['t0'],
            't': t,
            'offset': rows['offset'],
            'censored': rows['censored'],
            'action': analysis.contribution.action[t],
            'ring': analysis.ring[t],
            'distance_m': recording.distance_m[t],
        }
    )


def steps_table(analysis: Analysis) -> pd.DataFrame:
    """One row per policy step; `begins` where memory or clock does not continue from the step before."""
    recording, c = analysis.recording, analysis.contribution
    return pd.DataFrame(
        {
            'episode': recording.episode,
            'step': np.arange(recording.steps),
            'stamp_ns': recording.stamp_ns,
            'action': c.action,
            'score': c.score,
            'bias': c.bias,
            'defined': c.defined,
            'salient_channels': analysis.salient.sum(axis=1),
            'x_m': recording.ball_m[:, 0],
            'y_m': recording.ball_m[:, 1],
            'distance_m': recording.distance_m,
            'ring': analysis.ring,
            'tilt_x_rad': recording.tilt_rad[:, 0],
            'tilt_y_rad': recording.tilt_rad[:, 1],
            'continuity': analysis.continuity,
            'begins': analysis.begins,
        }
    )


def channels_table(analysis: Analysis) -> pd.DataFrame:
    """One row per LSTM channel, with the fields of `statistics.Channels`."""
    table = pd.DataFrame(channels(analysis)._asdict())
    table.insert(0, 'channel', np.arange(len(table)))
    return table


def arrays_table(analysis: Analysis) -> pd.DataFrame:
    """One row per (step, channel): gates, candidate, hidden, cell, contribution, and whether it is salient.

    With xarray installed `arrays_table(analysis).to_xarray()` has them as arrays over step and channel.
    """
    recording = analysis.recording
    index = pd.MultiIndex.from_product([range(recording.steps), range(recording.channels)], names=['step', 'channel'])
    values: dict[str, npt.NDArray[Any]] = {f'{name}_gate': recording.gates[:, row] for row, name in GATE_NAMES.items()}
    values |= {
        'candidate': recording.gates[:, CANDIDATE],
        'hidden': recording.hidden,
        'cell': recording.cell,
        'contribution': analysis.contribution.share,
        'salient': analysis.salient,
    }
    return pd.DataFrame({name: array.ravel() for name, array in values.items()}, index=index)


def write_tables(analysis: Analysis, out: Path) -> list[Path]:
    """Write offsets.parquet, steps.parquet and channels.parquet."""
    tables = {'offsets': offsets_table, 'steps': steps_table, 'channels': channels_table}
    paths = [out / f'{name}.parquet' for name in tables]
    for path, table in zip(paths, tables.values()):
        table(analysis).to_parquet(path, index=False)
    return paths
