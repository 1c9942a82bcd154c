"""docs/results.md says what docs/results/ says, and that belongs to the policies and worlds as they are now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maze_introspection.paper.document import by_hand, fill
from maze_introspection.paper.experiments import FAMILIES, TRANSFER_COMMAND
from maze_introspection.paper.numbers import load
from maze_introspection.paper.report import load_transfer, summaries
from maze_introspection.paper.tables import tables

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / 'docs/results.md').read_text()
RESULTS = ROOT / 'docs/results'


def test_every_table_is_what_the_results_say():
    made = tables(load(RESULTS, FAMILIES), FAMILIES, load_transfer(RESULTS / 'transfer.csv'))
    assert fill(TEXT, made) == TEXT, 'run `maze-introspection results`'


@pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.name)
def test_no_result_is_of_another_policy_world_or_command(family):
    kept = {
        tuple(row[name] for together in family.over for name in together): row
        for row in load(RESULTS, [family])[family.name]
    }
    for experiment in family.experiments():
        row = kept.get(tuple(experiment.values.values()))
        if row is not None:
            assert row['inputs'] == experiment.inputs(), f'{experiment.name}: run `maze-introspection results`'


def test_no_percentage_is_written_by_hand():
    text = re.sub(r'"[^"]*"', '', by_hand(TEXT))  # but for what the paper says
    text = '\n'.join(line for line in text.splitlines() if not line.startswith('>'))
    assert not re.findall(r'.*\d ?%.*', text)


def test_make_does_what_the_document_says():
    assert f'{TRANSFER_COMMAND}\n' in (ROOT / 'Makefile').read_text()


def test_every_picture_is_there_and_shown():
    shown = set(re.findall(r'\((pictures/\S+\.png)\)', TEXT))
    for path in shown:
        assert (ROOT / 'docs' / path).exists(), path
    drawn = summaries(load(RESULTS, FAMILIES), load_transfer(RESULTS / 'transfer.csv'))
    assert {f'pictures/{name}.png' for name in drawn} <= shown
