"""What fine-tuning in another world brings, against the number of episodes it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from maze_introspection.colors import policy_color
from maze_introspection.figures.style import draw_seeds, label_success_and_time, new_figure


def transfer(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Left success, right mean time, over episodes of fine-tuning: thick the mean, thin each seed, shaded their range.

    Args:
        rows: `start` (the policy that was fine-tuned), `seed`, `episodes`, `success` (0 to 1), `mean_s`.
    """
    figure = new_figure(2.8)
    left, right = figure.subplots(1, 2)
    for index, start in enumerate(dict.fromkeys(row['start'] for row in rows)):
        own = [row for row in rows if row['start'] == start]
        seeds = [row['seed'] for row in own]
        style: dict[str, Any] = {'color': policy_color(start), 'linestyle': ('-', (0, (4, 2)))[index % 2]}
        episodes = [row['episodes'] for row in own]
        draw_seeds(left, episodes, [100 * row['success'] for row in own], seeds, label=f'begun with {start}', **style)
        draw_seeds(right, episodes, [row['mean_s'] for row in own], seeds, **style)
    label_success_and_time(left, right, 'episodes of fine-tuning')
    if rows:
        left.legend(loc='center right')
    return figure
