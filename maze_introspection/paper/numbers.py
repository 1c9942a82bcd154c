"""What is kept in git of an experiment: the numbers that the document needs, rounded, a few kilobytes each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maze_introspection.paper.experiments import Experiment, Family
from maze_policy.policy import GATE_NAMES

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]  # of each family
DIGITS = 4


class Missing(Exception):
    """An experiment that is not done yet."""


def numbers(folder: Path) -> Row:
    """Of an experiment's folder, whichever command it was."""
    evaluation = folder / 'evaluation.json'
    found = of_evaluation(json.loads(evaluation.read_text())) if evaluation.exists() else None
    rounded: Row = _rounded(found or of_trials(json.loads((folder / 'summary.json').read_text())))
    return rounded


def of_evaluation(summary: Row) -> Row:
    """Of what `maze-policy evaluate --out` writes."""
    return {name: summary[name] for name in ('count', 'success', 'time_s', 'ring_s')}


def of_trials(summary: Row) -> Row:
    """Of what `maze-introspection trials` leaves in summary.json."""
    best = max(summary['theta_c_agreement'], key=lambda row: row['f1'])
    return {
        **{name: summary[name] for name in ('steps', 'channels', 'success', 'time_per_ring_s', 'undefined_steps')},
        **{name: summary[name] for name in ('channels_needed', 'gaussian_channels_needed', 'ever_salient_channels')},
        'judged_channels': summary['judged_channels'],
        'single_action_channels': len(summary['single_action_channels']),
        'single_ring_channels': len(summary['single_ring_channels']),
        'best_theta_c': best['theta_c'],
        'offsets_per_ring': summary['offsets_per_ring'],
        'against_null': summary['against_null'],
        'grid': _columns(summary.get('grid', [])),
    }


def _columns(grid: Sequence[Row]) -> Row:
    """A grid of thresholds column by column: the same numbers in half the characters."""
    found: Row = {theta: [point[theta] for point in grid] for theta in ('theta_g', 'theta_c')}
    for gate in GATE_NAMES.values():
        of = [point['gates'][gate] for point in grid]
        found[gate] = {name: [point[name] for point in of] for name in ('growth', 'null_growth', 'p')}
    return found


def load(folder: Path, families: Iterable[Family]) -> dict[str, list[Row]]:
    """The kept rows of each family; none where nothing has been kept."""
    found = {}
    for family in families:
        path = folder / f'{family.name}.json'
        found[family.name] = json.loads(path.read_text())['results'] if path.exists() else []
    return found


def keep(folder: Path, families: Sequence[Family], new: Sequence[tuple[Experiment, Row]]) -> None:
    """Put new rows in the place of those of the same experiments; rows of no experiment of the table go."""
    kept = load(folder, families)
    folder.mkdir(parents=True, exist_ok=True)
    for family in families:
        rows = {_values(family, row): row for row in kept[family.name]}
        rows |= {_values(family, row): row for experiment, row in new if experiment.family.name == family.name}
        ordered = [rows.get(tuple(experiment.values.values())) for experiment in family.experiments()]
        lines = ',\n'.join(json.dumps(row, separators=(',', ':')) for row in ordered if row is not None)
        text = f'{{"command": {json.dumps(family.shown())},\n"results": [\n{lines}\n]}}\n'
        (folder / f'{family.name}.json').write_text(text)


def of_seeds(rows: Rows, family: str, seeds: Sequence[int], **values: Any) -> list[Row]:
    """The rows of all seeds of an experiment.

    Raises:
        Missing: if there is not one for each.
    """
    matching = {row['seed']: row for row in rows[family] if all(row[name] == value for name, value in values.items())}
    if not set(seeds) <= set(matching):
        raise Missing
    return [matching[seed] for seed in seeds]


def _values(family: Family, row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for together in family.over for name in together)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f'{value:.{DIGITS}g}') if isinstance(value, float) else value
