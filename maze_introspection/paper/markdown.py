"""Numbers as text, and text as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Line = tuple[str, ...]
NOTHING = '-'


def percent(share: float) -> str:
    """Three digits of a share, 0 to 1."""
    return f'{100 * share:.3g} %'


def number(value: Any, digits: int) -> str:
    """With so many digits after the point, or a dash where there is none."""
    return NOTHING if value is None or not np.isfinite(value) else f'{round(value, digits) + 0.0:.{digits}f}'


def listed(values: Iterable[Any]) -> str:
    """One value per seed; a unit that all share is written once."""
    texts = [str(value) for value in values]
    if all(text.endswith(' %') for text in texts):
        return ', '.join(text[:-2] for text in texts) + ' %'
    return ', '.join(texts)


def table(heads: Sequence[str], lines: Iterable[Line]) -> str:
    """A table with these heads."""
    rows = [heads, ['---'] * len(heads), *lines]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in rows)


def not_yet(missing: Sequence[str]) -> str:
    """What a table lacks, as a paragraph below it; nothing where it lacks nothing."""
    return f'\n\n*Not measured yet: {", ".join(missing)}.*' if missing else ''
