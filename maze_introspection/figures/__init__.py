"""The paper's figures 2 to 6 of an analysis, and those over several experiments; each can be written as PNG and SVG.

`draw_heatmap`, `draw_distance`, `draw_places`, `draw_channel` and `draw_histogram` (figures 2 to 6) draw into Axes of
yours instead, in a notebook for example (docs/notebook.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from maze_introspection.analysis import Analysis
from maze_introspection.figures.channel import channel, draw_channel
from maze_introspection.figures.distance import distance, draw_distance
from maze_introspection.figures.heatmap import draw_heatmap, heatmap
from maze_introspection.figures.histogram import draw_histogram, histogram
from maze_introspection.figures.latency import latency
from maze_introspection.figures.memory import memory
from maze_introspection.figures.places import draw_places, places
from maze_introspection.figures.rings import rings
from maze_introspection.figures.style import write
from maze_introspection.figures.transfer import transfer

__all__ = [
    'channel',
    'distance',
    'draw_channel',
    'draw_distance',
    'draw_heatmap',
    'draw_histogram',
    'draw_places',
    'figures',
    'heatmap',
    'histogram',
    'latency',
    'memory',
    'places',
    'rings',
    'transfer',
    'write',
]


def figures(
    whole: Analysis,
    episode: Analysis,
    *,
    which: int,
    gate: int,
    images: Mapping[int, npt.NDArray[np.uint8]],
    image_source: str,
) -> dict[str, Callable[[], Figure]]:
    """Figures 2 to 6 by file name: 2, 3 and 5 of one episode, 4 and 6 over all of them.

    Args:
        whole: all episodes.
        episode: the one to show.
        which: channel of figure 5.
        gate: gate of figures 5 and 6.
        images: overhead images by stamp, ns.
        image_source: what they are, for the caption.
    """
    return {
        'figure2_salient_channels': lambda: heatmap(episode),
        'figure3_distance': lambda: distance(episode, images, image_source),
        'figure4_places': lambda: places(whole),
        'figure5_channel': lambda: channel(episode, which, gate),
        'figure6_offsets': lambda: histogram(whole, gate),
    }
