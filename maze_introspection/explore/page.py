"""The page: template, style and scripts of this folder, Plotly, and the data, in one file."""

from __future__ import annotations

import html
import json
import re
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from maze_introspection.colors import GATE_BLUE, OFFSET_GREEN, SALIENT_RED, action_color
from maze_introspection.config import ReportConfig
from maze_introspection.explore.change import changes
from maze_introspection.explore.collect import TrialSet
from maze_introspection.explore.frames import frames
from maze_introspection.explore.pack import Blobs, pictures, side
from maze_policy.policy import GATE_NAMES

SCRIPTS = (
    'data.js',
    'offsets.js',
    'plots.js',
    'heatmap.js',
    'channel.js',
    'places.js',
    'side.js',
    'moment.js',
    'table.js',
    'main.js',
)
SPARE = 2000  # bytes for what is said about the pictures


def write_page(sides: Sequence[TrialSet], out: Path, config: ReportConfig) -> int:
    """Write the report of one set of trials, or of two to compare, and return its size in bytes.

    Pictures get what the other data leave of `limit_mb`; where these alone are more, the file is larger than that.
    """
    blobs = Blobs()
    script = blobs.raw(_plotly())
    said = [side(trials, config, blobs) for trials in sides]
    page: dict[str, Any] = {
        'sides': said,
        'plotly': script,
        'gates': list(GATE_NAMES.values()),
        'colors': {
            'actions': [action_color(index) for index in range(max(len(one.get('actions', [])) for one in said))],
            'gate': GATE_BLUE,
            'salient': SALIENT_RED,
            'offset': OFFSET_GREEN,
        },
        'change': None,
    }
    if len(sides) > 1:
        page |= _change(sides)
    for index, (trials, one) in enumerate(zip(sides, said)):
        room = 1e6 * config.limit_mb - len(_text(sides, page, blobs).encode()) - SPARE
        share = room * len(trials.bags) / max(1, sum(len(later.bags) for later in sides[index:]))
        found = frames(trials, 3 / 4 * share)  # base64 writes three bytes as four
        one['pictures'] = pictures(found, blobs)
        one['problems'] += found.problems
    content = _text(sides, page, blobs).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    return len(content)


@cache
def _plotly() -> bytes:
    return zlib.compress(get_plotlyjs().encode(), 9)


def _change(sides: Sequence[TrialSet]) -> dict[str, Any]:
    one, other = (trials.analysis for trials in sides)
    if one is None or other is None:
        return {'incomparable': 'one side has nothing to compare with'}
    try:
        return {'change': changes(one, other).tolist()}
    except ValueError as error:
        return {'incomparable': str(error)}


def _text(sides: Sequence[TrialSet], page: dict[str, Any], blobs: Blobs) -> str:
    here = files(__package__)
    title = ' | '.join(trials.label for trials in sides)
    data = json.dumps(page, allow_nan=False).replace('<', '\\u003c')  # nothing in it can end the script
    parts = {
        'title': html.escape(title),
        'style': here.joinpath('style.css').read_text(),
        'data': data,
        'blobs': '\n'.join(f'<script type="text/plain" id="{key}">{text}</script>' for key, text in blobs.text.items()),
        'scripts': '\n'.join(here.joinpath(name).read_text() for name in SCRIPTS),
    }
    return re.sub('@([a-z]+)@', lambda found: parts[found[1]], here.joinpath('page.html').read_text())
