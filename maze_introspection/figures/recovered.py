"""Recovered against true offsets, and where recovering them fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from maze_introspection.colors import GATE_BLUE, OFFSET_GREEN, SALIENT_RED
from maze_introspection.figures.style import new_figure
from maze_introspection.validity.ground_truth import BAR
from maze_policy.policy import GATE_NAMES

GATES = tuple(GATE_NAMES.values())
AXIS_LABELS = {
    'period': 'overlap: steps\nfrom cue to cue',
    'input_noise': 'input noise\n(a cue is 1)',
    'weight_noise': 'weight noise\n(built weight is 1)',
    'gain': 'gain of the gates,\nlogits',
    'gate_bias': 'bias of the gate,\ngains',
    'distractor_weight': 'weight of distractors\n(measured: 1)',
}
# How the salient channels at a recall fall, from below: column, label, colour.
PARTS = (
    ('near', 'the delay, within 1 step', OFFSET_GREEN),
    ('shorter', 'shorter', '#56B4E9'),
    ('longer', 'longer', '#E69F00'),
    ('censored', 'censored: gate open since the first step', '0.68'),
    ('shut', 'gate shut: no offset', '0.88'),
)


def recovered(table: pd.DataFrame) -> Figure:
    """A panel for each gate that holds the delay (rows) and each gate that is read (columns).

    Args:
        table: of `validate.measure`.
    """
    figure = new_figure(5.8)
    grid = figure.subplots(len(GATES), len(GATES), sharex=True, sharey=True)
    for line, built in zip(grid, GATES):
        for axes, gate in zip(line, GATES):
            rows = table[(table['built'] == built) & (table['gate'] == gate)]
            _draw_recovered(axes, rows)
            axes.set_title(f'{built} gate holds, {gate} gate read', loc='left', fontsize=7)
    for axes in grid[-1]:
        axes.set_xlabel('true delay, steps')
    for axes in grid[:, 0]:
        axes.set_ylabel('median offset, steps')
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc='outside upper center', ncols=3)
    return figure


def _draw_recovered(axes: Axes, rows: pd.DataFrame) -> None:
    longest = int(rows['delay'].max())
    axes.plot([0, longest], [0, longest], color='0.6', linewidth=0.8, zorder=1, label='identity')
    noisy, clean = (rows[rows['condition'] == condition] for condition in ('noisy', 'clean'))
    style: dict[str, Any] = {'marker': 'o', 'linewidths': 0.5, 'zorder': 2, 'rasterized': True}
    axes.scatter(
        noisy['delay'],
        noisy['median'],
        s=9,
        edgecolors=SALIENT_RED,
        facecolors='none',
        alpha=0.5,
        label='with noise, a ring for each channel',
        **style,
    )
    axes.scatter(clean['delay'], clean['median'], s=2, color=GATE_BLUE, label='without noise', **style)
    silent = clean.groupby('delay')['median'].apply(lambda medians: medians.isna().all())
    if silent.any():
        first = silent.index[silent].min()
        says = 'no offset' if first == 0 else f'no offset from delay {first} on'
        axes.text(0.05, 0.9, says, transform=axes.transAxes, va='top', color=GATE_BLUE, fontsize=7)


def failure(table: pd.DataFrame, levels: Mapping[str, Sequence[float]]) -> Figure:
    """A map for each gate (rows) and each departure from the ideal (columns) over the delay.

    Args:
        table: of `validate.measure`.
        levels: what is varied -> its levels, each a column of the map.
    """
    figure = new_figure(5.0)
    grid = figure.subplots(len(GATES), len(levels), sharey=True, squeeze=False)
    own = table[table['built'] == table['gate']]
    for line, gate in zip(grid, GATES):
        for axes, (axis, values) in zip(line, levels.items()):
            rows = own[(own['condition'] == axis) & (own['gate'] == gate)]
            by = rows.groupby(['delay', 'level'])[['recovered', 'found', 'cues']].agg(
                {'recovered': 'mean', 'found': 'sum', 'cues': 'sum'}
            )
            share = by['recovered'].unstack()
            found = (by['found'] / by['cues'].clip(lower=1)).unstack()
            image = axes.pcolormesh(found.to_numpy(), cmap='cividis', vmin=0, vmax=1, rasterized=True)
            _outline(axes, share.to_numpy() < BAR)
            shown = range(0, len(values), 2)
            axes.set_xticks(
                [index + 0.5 for index in shown], [f'{values[index]:g}' for index in shown], fontsize=5.5, rotation=90
            )
            delays = share.index.tolist()
            marks = range(0, len(delays), 2)
            axes.set_yticks([index + 0.5 for index in marks], [str(delays[index]) for index in marks], fontsize=6)
    for axes, axis in zip(grid[-1], levels):
        axes.set_xlabel(AXIS_LABELS[axis], fontsize=6.5)
    for axes, gate in zip(grid[:, 0], GATES):
        axes.set_ylabel(f'{gate} gate\ndelay, steps', fontsize=7)
    bar = figure.colorbar(image, ax=grid, location='top', shrink=0.5, aspect=40)
    bar.set_label(
        'share of the cues with an offset within 1 step of the delay\n'
        f'on the dark side of the red line the medians of fewer than {BAR:.0%} of the channels are within 1 step'
    )
    return figure


def _outline(axes: Axes, inside: npt.NDArray[np.bool_]) -> None:
    """A red line around the cells of a map that are inside."""
    rows, columns = inside.shape
    sides = [
        *(([x, x], [y, y + 1]) for y, x in product(range(rows), range(1, columns)) if inside[y, x] != inside[y, x - 1]),
        *(([x, x + 1], [y, y]) for y, x in product(range(1, rows), range(columns)) if inside[y, x] != inside[y - 1, x]),
    ]
    axes.add_collection(LineCollection([list(zip(*side)) for side in sides], colors=SALIENT_RED, linewidths=1.2))


def recalled(table: pd.DataFrame) -> Figure:
    """What offsets say at the recall of trained LSTMs: a panel for each gate, a bar for each delay and seed.

    Args:
        table: of `validate.train_and_read`.
    """
    figure = new_figure(3.0)
    line = figure.subplots(1, len(GATES), sharey=True)
    delays = sorted(table['delay'].unique())
    for axes, gate in zip(line, GATES):
        rows = table[table['gate'] == gate].sort_values(['delay', 'seed'])
        seeds = rows.groupby('delay').cumcount().to_numpy()
        width = 0.8 / (seeds.max() + 1)
        at = np.array([delays.index(delay) for delay in rows['delay']]) - 0.4 + width * (seeds + 0.5)
        below = np.zeros(len(rows))
        for name, label, color in PARTS:
            height = 100 * (rows[name] / rows['events']).to_numpy()
            axes.bar(at, height, 0.92 * width, bottom=below, color=color, label=label, linewidth=0)
            below += height
        axes.plot(
            at,
            100 * rows['chance_near'],
            linestyle='',
            marker='_',
            markersize=4,
            color=SALIENT_RED,
            label='the same by chance',
        )
        axes.set_title(f'{gate} gate', loc='left')
        axes.set_xticks(range(len(delays)), [str(delay) for delay in delays])
        axes.set_xlabel('delay trained for, steps')
    line[0].set_ylabel('salient channels at the recall, %\n(a bar for each trained LSTM)')
    figure.legend(*line[0].get_legend_handles_labels(), loc='outside upper center', ncols=3)
    return figure
