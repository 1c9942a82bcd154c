"""What it does to a policy to hold gates of some of its channels, against what these channels contribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maze_introspection.colors import GATE_BLUE, SALIENT_RED
from maze_introspection.figures.style import new_figure


def interventions_figure(table: pd.DataFrame, numbers: Mapping[str, Any]) -> Figure:
    """One line for each gate and kind: single channels, groups by success and by time, time in each ring.

    Args:
        table: of `effects.effects`.
        numbers: what `intervene` writes as JSON.
    """
    held = numbers['held']
    figure = new_figure(0.4 + 1.75 * max(len(held), 1))
    grid = figure.subplots(max(len(held), 1), 4, squeeze=False, width_ratios=(1.3, 1, 1, 1))
    for line, (what, found) in zip(grid, held.items()):
        gate, kind = what.split(' ')
        part = table[(table['gate'] == gate) & (table['kind'] == kind)]
        _draw_channels(line[0], part[part['group'] == 'one'])
        line[0].set_title(f'{gate} gate, {kind}' + _correlation(found['channels']), loc='left', fontsize=7)
        _draw_groups(line[1], part, 'success', 100, 'solved, %')
        line[1].set_ylim(0, 103)
        _draw_groups(line[2], part, 'longer_s', 1, 'slower by, s')
        _draw_rings(line[3], table, part)
    low, high = grid[0, 2].get_ylim()
    grid[0, 2].set_ylim(low, high + 0.3 * (high - low))
    grid[0, 2].legend(fontsize=6, loc='upper left')
    grid[0, 3].legend(fontsize=6, loc='upper left')
    grid[-1, 0].set_xlabel('mean contribution of the channel, %')
    for axes in grid[-1, 1:3]:
        axes.set_xlabel('channels held')
    return figure


def _correlation(channels: Mapping[str, Any]) -> str:
    rho = channels.get('rho')
    if not rho or rho['value'] is None:
        return ''
    return f': rank correlation {rho["value"]:.2f} [{rho["low"]:.2f}, {rho["high"]:.2f}]'


def _draw_channels(axes: Axes, singles: pd.DataFrame) -> None:
    share = 100 * singles['share']
    axes.vlines(share, singles['longer_low_s'], singles['longer_high_s'], color='0.8', linewidth=0.6)
    certain = (singles['longer_low_s'] > 0) | (singles['longer_high_s'] < 0)
    for which, color in ((~certain, '0.5'), (certain, SALIENT_RED)):
        axes.plot(share[which], singles['longer_s'][which], linestyle='', marker='o', markersize=2, color=color)
    axes.axhline(0, color='0.6', linewidth=0.6, zorder=0)
    axes.set_ylabel('slower by, s')


def _draw_groups(axes: Axes, part: pd.DataFrame, column: str, scale: float, label: str) -> None:
    for group, color, name in (('random', '0.5', 'random channels'), ('top', SALIENT_RED, 'largest contribution')):
        rows = part[part['group'] == group]
        if rows.empty:
            continue
        if group == 'random':
            axes.plot(rows['size'], scale * rows[column], linestyle='', marker='.', markersize=3, color='0.7')
        mean = rows.groupby('size')[column].mean()
        axes.plot(mean.index, scale * mean, color=color, marker='o', markersize=3, label=name)
    axes.set_xscale('log', base=2)
    sizes = sorted(set(part['size'][part['group'] != 'one']))
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylabel(label)


def _draw_rings(axes: Axes, table: pd.DataFrame, part: pd.DataFrame) -> None:
    """Mean time in each ring without, and with the groups of the middle size."""
    rings = sorted((name for name in table.columns if name.startswith('ring_')), reverse=True)
    rings = [name for name in rings if name != 'ring_0_s']
    sizes = sorted(set(part['size'][part['group'] == 'top']))
    size = sizes[len(sizes) // 2] if sizes else 0
    lines = [('without', table[table['group'] == 'none'], GATE_BLUE, 'o')]
    if size:
        own = part[part['size'] == size]
        lines.append((f'{size} of largest contribution', own[own['group'] == 'top'], SALIENT_RED, 's'))
        lines.append((f'{size} random', own[own['group'] == 'random'], '0.5', '^'))
    for label, rows, color, marker in lines:
        axes.plot(np.arange(len(rings)), rows[rings].mean(), color=color, marker=marker, markersize=3, label=label)
    axes.set_xticks(range(len(rings)), [name.removesuffix('_s').replace('_', ' ') for name in rings], fontsize=6)
    axes.set(ylabel='time in it, s')
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
