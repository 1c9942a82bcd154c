"""What a command leaves in its folder: figures 2 to 6, tables, summary.json."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from maze_introspection.analysis import Analysis
from maze_introspection.figures import figures, write
from maze_introspection.selection import of_episode, ring_moments, telling_channel
from maze_introspection.statistics import episodes
from maze_introspection.tables import write_tables
from maze_policy.policy import GATE_NAMES

Image = npt.NDArray[np.uint8]
# Stamps, ns -> images by stamp, and what they are.
Look = Callable[[Sequence[int]], tuple[Mapping[int, Image], str]]


def prepare(out: Path) -> None:
    """Prove before any long work that the folder can be made and written; leaves nothing behind.

    Raises:
        ValueError: saying why not.
    """
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryDirectory(dir=existing):
            pass
    except OSError as error:
        raise ValueError(f'cannot write to --out {out}: {existing}: {error.strerror}') from error


def write_results(
    analysis: Analysis,
    summary: Mapping[str, Any],
    out: Path,
    look: Look,
    *,
    episode: int | None = None,
    channel: int | None = None,
    gate: str,
) -> list[Path]:
    """Write figures, tables and summary.json.

    Args:
        analysis: of all episodes.
        summary: for summary.json; what the figures show is added to it.
        out: folder, see `prepare`.
        look: where figure 3 gets its images from.
        episode: of figures 2, 3 and 5; without it the first that was solved, else the first.
        channel: of figure 5; without it `selection.telling_channel`.
        gate: of figures 5 and 6, by name.

    Raises:
        ValueError: if there is no such episode or channel.
    """
    if episode is None:
        episode = next((index for index, played in enumerate(episodes(analysis)) if played.solved), 0)
    try:
        shown = of_episode(analysis, episode)
    except IndexError as error:
        raise ValueError(str(error)) from error
    if channel is not None and not 0 <= channel < analysis.recording.channels:
        raise ValueError(f'want a channel 0 to {analysis.recording.channels - 1}, got {channel}')
    row = next(row for row, name in GATE_NAMES.items() if name == gate)
    which = telling_channel(shown, row) if channel is None else channel
    stamps = shown.recording.stamp_ns[ring_moments(shown)].tolist()
    images, image_source = look(stamps)
    drawings = figures(analysis, shown, which=which, gate=row, images=images, image_source=image_source)

    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in tqdm(drawings.items(), desc='figures', unit='figure', leave=False, disable=None):
        paths += write(draw, out, name)
    paths += write_tables(analysis, out)
    path = out / 'summary.json'
    about = {'episode': episode, 'channel': which, 'gate': gate, 'images': image_source}
    path.write_text(json.dumps({**summary, 'shown': about}, indent=2, allow_nan=False) + '\n')
    return [*paths, path]
