"""What the camera or the policy saw, as sheets of 8 x 8 small pictures (WebP), thinned out to fit."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from maze_introspection.bag import BagError, images
from maze_introspection.explore.collect import Bag, TrialSet
from maze_policy.topics import CAMERA_IMAGE, OBSERVATION, Topic

Pixels = npt.NDArray[np.uint8]

COLUMNS = 8
PER_SHEET = COLUMNS**2
TALLEST_PX = 168  # twice the policy's observation
QUALITY = 65


@dataclass(frozen=True)
class Frames:
    """Small pictures of some steps.

    Attributes:
        what: what they are, for the reader, or why there are none; '' where none are recorded.
        width_px, height_px: size of one.
        step: step that each picture is of, shape (pictures,).
        sheets: WebP files of up to `PER_SHEET` pictures, `COLUMNS` in a row.
        every: only every so many-th step has one.
        problems: why better ones cannot be shown.
    """

    what: str = ''
    width_px: int = 0
    height_px: int = 0
    step: tuple[int, ...] = ()
    sheets: tuple[bytes, ...] = ()
    every: int = 1
    problems: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What the page has to carry for them: the sheets, each with its place in the page, and their steps."""
        return sum(len(sheet) + 64 for sheet in self.sheets) + 4 * len(self.step)


def frames(trials: TrialSet, most_bytes: float) -> Frames:
    """Camera images where all bags have them, else what the policy saw; as many as fit into `most_bytes`."""
    problems: list[str] = []
    for topic, what in ((CAMERA_IMAGE, 'camera'), (OBSERVATION, 'what the policy saw')):
        try:
            if trials.bags and all(any(_pictures(bag, topic, 1, trials.namespace)) for bag in trials.bags):
                return replace(_fitting(trials, topic, what, most_bytes), problems=tuple(problems))
        except BagError as error:
            problems.append(f'no pictures of {topic.name}: {error}')
    return Frames(problems=tuple(problems))


def _fitting(trials: TrialSet, topic: Topic, what: str, most_bytes: float) -> Frames:
    """As many pictures of a topic as fit, evenly spread; how many these are is learned from the first sheet."""
    first = trials.bags[0]
    tiles = [_small(picture) for _, picture in islice(_pictures(first, topic, 1, trials.namespace), PER_SHEET)]
    steps = sum(len(bag.stamp_ns) for bag in trials.bags)
    every = max(1, math.ceil(steps * len(_sheet(tiles)) / len(tiles) / max(most_bytes, 1)))
    while every <= steps:
        found = _all(trials, topic, what, every)
        if found.size_bytes <= most_bytes:
            return found
        every = max(every + 1, math.ceil(every * found.size_bytes / most_bytes))
    return Frames(f'no room for pictures ({what})')


def _all(trials: TrialSet, topic: Topic, what: str, every: int) -> Frames:
    step: list[int] = []
    sheets: list[bytes] = []
    waiting: list[Pixels] = []
    size = (0, 0)
    for bag in tqdm(trials.bags, desc='pictures', unit='bag', leave=False, disable=None):
        for index, picture in _pictures(bag, topic, every, trials.namespace):
            tile = _small(picture, size)
            size = (tile.shape[1], tile.shape[0])
            step.append(bag.first + index)
            waiting.append(tile)
            if len(waiting) == PER_SHEET:
                sheets.append(_sheet(waiting))
                waiting.clear()
    if waiting:
        sheets.append(_sheet(waiting))
    return Frames(what, *size, tuple(step), tuple(sheets), every)


def _pictures(bag: Bag, topic: Topic, every: int, namespace: str | None) -> Iterator[tuple[int, Pixels]]:
    """Every so many-th picture of a bag, with the step in the bag that it belongs to."""
    step = {int(stamp): index for index, stamp in enumerate(bag.stamp_ns) if index % every == 0}
    for stamp_ns, picture in images(bag.path, topic, step, namespace):
        yield step[stamp_ns], picture


def _small(picture: Pixels, size: tuple[int, int] = (0, 0)) -> Pixels:
    """RGB, not taller than `TALLEST_PX`; of a given (width, height), if any."""
    height, width = picture.shape[:2]
    if not size[0]:
        scale = min(1.0, TALLEST_PX / height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(picture).convert('RGB')
    return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BOX))


def _sheet(tiles: list[Pixels]) -> bytes:
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // COLUMNS)
    whole = np.zeros((rows * height, COLUMNS * width, 3), dtype=np.uint8)
    for index, tile in enumerate(tiles):
        y, x = index // COLUMNS * height, index % COLUMNS * width
        whole[y : y + height, x : x + width] = tile
    out = io.BytesIO()
    Image.fromarray(whole).save(out, 'WEBP', quality=QUALITY, method=4)
    return out.getvalue()
