"""One trial of a sweep, played and forgotten: what stays are its events and a row per ring and channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maze_introspection.analysis import Analysis, analyze
from maze_introspection.config import BackendConfig, IntrospectionConfig
from maze_introspection.statistics import episodes
from maze_introspection.trials import Stage
from maze_introspection.validity.backends import run
from maze_introspection.validity.events import events, write_events
from maze_introspection.validity.resume import clear, same_settings, whole
from maze_policy.world import WorldConfig

Item = tuple[str, int]  # name of the setting, index of the trial
EVENTS, TRIALS = 'events', 'trials'


def play_settings(
    stage: Stage, worlds: Mapping[str, WorldConfig], out: Path, config: IntrospectionConfig, backend: BackendConfig
) -> int:
    """Play the trials of every world that are not in `out` yet; returns how many were played.

    Leaves `events/NAME/trial_N.parquet` (the events table, whose `source` is NAME) and `trials/NAME/trial_N.parquet`
    (see `ring_table`).

    Raises:
        ValueError: if the checkpoint cannot be used, or `out` holds a sweep of other settings.
    """
    stage.check()
    same_settings(out / 'settings.json', {**stage.settings(), **config.as_dict()}, 'a sweep')
    clear(out)
    items = list(product(worlds, range(stage.config.count)))
    job = partial(_leave, stage, dict(worlds), config, out)
    played = run(job, items, lambda item: path(out, TRIALS, item).exists(), backend, 'trial')
    clear(out)
    return played


def path(out: Path, what: str, item: Item) -> Path:
    """Where the events or the rows of a trial are."""
    name, index = item
    return out / what / name / f'trial_{index:03}.parquet'


def paths(out: Path, what: str, names: Sequence[str], count: int) -> list[Path]:
    """The same of all trials of some settings, in order."""
    return [path(out, what, item) for item in product(names, range(count))]


def _leave(stage: Stage, worlds: Mapping[str, WorldConfig], config: IntrospectionConfig, out: Path, item: Item) -> None:
    name, index = item
    recording, _ = replace(stage, world=worlds[name]).play(index)
    analysis = analyze(recording, config)
    with whole(path(out, EVENTS, item), out) as unfinished:
        write_events(events(analysis, source=name), unfinished)
    with whole(path(out, TRIALS, item), out) as unfinished:  # the last: it says that the trial is done
        ring_table(analysis, name, index).to_parquet(unfinished, index=False)


def ring_table(analysis: Analysis, source: str, trial: int) -> pd.DataFrame:
    """A row per (ring, channel) of one trial.

    Columns: `source`, `trial`; `solved`, `seconds` (until solved, or until ended) and `steps` of the trial; `ring`,
    with `ring_s` and `ring_steps` spent in it; `channel`, with `share`, its mean contribution, and `salient`, the share
    of the steps at which it is salient; both are NaN in a ring without a step at which contributions are defined.
    """
    (played,), c = episodes(analysis), analysis.contribution
    rings, channels = len(played.ring_s), analysis.recording.channels
    columns: dict[str, Any] = {
        name: np.full((rings, channels), np.nan, dtype=np.float32) for name in ('share', 'salient')
    }
    for ring in range(rings):
        inside = c.defined & (analysis.ring == ring)
        if inside.any():
            columns['share'][ring] = c.share[inside].mean(axis=0, dtype=np.float64)
            columns['salient'][ring] = analysis.salient[inside].mean(axis=0)
    of = np.repeat(np.arange(rings), channels)
    return pd.DataFrame(
        {
            'source': source,
            'trial': trial,
            'solved': played.solved,
            'seconds': played.solved_s if played.solved else played.seconds,
            'steps': played.steps,
            'ring': of,
            'ring_s': np.array(played.ring_s)[of],
            'ring_steps': np.bincount(analysis.ring, minlength=rings)[of],
            'channel': np.tile(np.arange(channels), rings),
            **{name: column.ravel() for name, column in columns.items()},
        }
    )
