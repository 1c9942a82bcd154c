"""Success and time of policies whose commands take effect late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from maze_introspection.colors import policy_color
from maze_introspection.figures.style import draw_seeds, label_success_and_time, new_figure


def latency(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Left success, right mean time, over the delay; colour is the policy, dashed lines the perspective view.

    Args:
        rows: `checkpoint`, `view`, `latency` (control steps), `seed`, `success` (0 to 1), `time_s` with its `mean`.
    """
    figure = new_figure(2.6)
    left, right = figure.subplots(1, 2)
    for policy, view in dict.fromkeys((row['checkpoint'], row['view']) for row in rows):
        own = [row for row in rows if (row['checkpoint'], row['view']) == (policy, view)]
        style: dict[str, Any] = {'color': policy_color(policy), 'linestyle': '-' if view == 'flat' else (0, (4, 2))}
        delays, seeds = [row['latency'] for row in own], [row['seed'] for row in own]
        draw_seeds(left, delays, [100 * row['success'] for row in own], seeds, label=f'{policy}, {view}', **style)
        draw_seeds(right, delays, [row['time_s']['mean'] for row in own], seeds, **style)
    label_success_and_time(left, right, 'delay from frame to board, control steps of 33 ms')
    if rows:
        left.legend(loc='lower left')
    return figure
