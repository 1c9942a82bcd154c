"""From results to the document: keep the numbers, draw the pictures, fill in the tables."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from maze_introspection.figures import latency, memory, rings, transfer, write
from maze_introspection.paper.document import fill
from maze_introspection.paper.experiments import PAIRS, SHOWN_SEED, Experiment, Family
from maze_introspection.paper.numbers import Row, Rows, keep, load
from maze_introspection.paper.run import result
from maze_introspection.paper.tables import picture, tables

COLORS = 256  # with fewer, an action that is rare in a picture loses its colour in the legend
TRANSFER: dict[str, Callable[[str], Any]] = {
    'start': str,
    'seed': int,
    'episodes': int,
    'frames': int,
    'success': float,
    'mean_s': float,
    'median_s': float,
}


def report(
    families: Sequence[Family], experiments: Sequence[Experiment], out: Path, transfer_csv: Path, docs: Path
) -> None:
    """Bring docs/results/, docs/pictures/ and docs/results.md up to date with whatever is done.

    Args:
        families: the whole table of experiments.
        experiments: those that may be done in `out`.
        out: what `run` ran in.
        transfer_csv: what `maze-policy transfer` left; where it is not, what is kept stays.
        docs: the documentation's folder.
    """
    done = [(experiment, row) for experiment in experiments if (row := result(experiment, out)) is not None]
    keep(docs / 'results', families, done)
    if curve := load_transfer(transfer_csv):
        _keep_transfer(docs / 'results' / 'transfer.csv', curve)
    for experiment, row in done:
        if experiment.family.name == 'trials' and row['seed'] == SHOWN_SEED:
            for number in range(2, 7):
                drawn = next((out / experiment.name).glob(f'figure{number}_*.png'))
                _shrink(drawn, docs / picture(row['checkpoint'], row['world'], number))
    rows, curve = load(docs / 'results', families), load_transfer(docs / 'results' / 'transfer.csv')
    for name, draw in summaries(rows, curve).items():
        with tempfile.TemporaryDirectory() as scratch:
            drawn, _ = write(draw, Path(scratch), name)
            _shrink(drawn, docs / 'pictures' / f'{name}.png')
    document = docs / 'results.md'
    document.write_text(fill(document.read_text(), tables(rows, families, curve)))


def summaries(rows: Rows, curve: Sequence[Row]) -> dict[str, Callable[[], Figure]]:
    """The figures over several experiments, by file name."""
    remembering, measuring = {}, {}
    for policy, world in PAIRS:
        of = {
            family: [row for row in rows[family] if (row['checkpoint'], row['world']) == (policy, world)]
            for family in ('worlds', 'memoryless', 'trials', 'windows')
        }
        title = policy if policy == world else f'{policy} in {world}'
        if of['worlds'] and of['memoryless']:
            remembering[title] = (of['worlds'], of['memoryless'])
        if of['trials'] and of['windows']:
            trials, windows = ([row['against_null'] for row in of[name]] for name in ('trials', 'windows'))
            measuring[title.replace(' in ', '\nin ')] = (trials, windows)
    drawn: dict[str, Callable[[], Figure]] = {}
    if remembering:
        drawn['memory'] = lambda: memory(remembering)
    if measuring:
        drawn['offsets'] = lambda: rings(measuring)
    if rows['latency']:
        drawn['latency'] = lambda: latency(rows['latency'])
    if curve:
        drawn['transfer'] = lambda: transfer(curve)
    return drawn


def load_transfer(path: Path) -> list[Row]:
    """The rows of what `maze-policy transfer` leaves; none where there is no such file."""
    if not path.exists():
        return []
    with open(path, newline='') as file:
        rows = list(csv.DictReader(file))
    return [{name: kind(row[name]) for name, kind in TRANSFER.items()} for row in rows]


def _keep_transfer(path: Path, curve: Sequence[Row]) -> None:
    with open(path, 'w', newline='') as file:
        writer = csv.DictWriter(file, list(TRANSFER), lineterminator='\n')
        writer.writeheader()
        writer.writerows(curve)


def _shrink(drawn: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(drawn) as image:
        reduced = image.convert('RGB').quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        reduced.save(target, optimize=True)
