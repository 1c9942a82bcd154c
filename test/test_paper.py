"""The paper's experiments: the table, running it, what is kept, the document."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maze_introspection.cli import main
from maze_introspection.colors import ACTION_COLORS, rgb
from maze_introspection.paper.document import by_hand, fill
from maze_introspection.paper.experiments import FAMILIES, PAIRS, Experiment, Family, experiments
from maze_introspection.paper.numbers import keep, load
from maze_introspection.paper.report import load_transfer, report
from maze_introspection.paper.run import DONE, INPUTS, perform, result, run
from maze_introspection.paper.tables import tables

ROOT = Path(__file__).resolve().parent.parent
SHORTER = (('--count 40', '--count 2'), ('--count 160', '--count 4')) + tuple(
    (f'--count {count}', '--count 2') for count in (200, 100, 50)
)
torch.set_num_threads(1)


def one_of_each():
    """Every family of the table with its first experiment only, and that cut down to seconds."""
    for family in FAMILIES:
        command = family.command
        for long, short in SHORTER:
            command = command.replace(long, short)
        command = command.replace('--null-draws 200 --grid', '--null-draws 2 --grid')
        first = {names: values[:1] for names, values in family.over.items()}
        limit = '' if '--time-limit-s' in command else ' --time-limit-s 3'
        yield replace(family, command=command + limit, over=first)


TINY = list(one_of_each())
EXPERIMENTS = [experiment for family in TINY for experiment in family.experiments()]
TRIALS, LATENCY = EXPERIMENTS[0], EXPERIMENTS[-1]


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    """All of them, done."""
    folder = tmp_path_factory.mktemp('experiments')
    assert run(EXPERIMENTS, folder, 1) == len(FAMILIES)
    return folder


@pytest.fixture
def docs(tmp_path):
    text = (ROOT / 'docs/results.md').read_text()
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs/results.md').write_text(text)
    return tmp_path / 'docs'


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()}


def test_names_tell_experiments_apart_and_commands_hold_their_values():
    names = [experiment.name for experiment in experiments()]
    assert len(set(names)) == len(names)
    for experiment in experiments():
        words = experiment.command(Path('somewhere')).split()
        assert not [word for word in words if '{' in word]
        assert {str(value) for name, value in experiment.values.items() if name != 'checkpoint'} <= set(words)
        assert any(word.startswith('somewhere') for word in words)
    assert [family.name for family in TINY] == ['trials', 'windows', 'worlds', 'expert', 'memoryless', 'latency']


def test_what_is_done_is_not_done_again(out):
    before = times(out)
    assert run(EXPERIMENTS, out, 1) == 0
    assert times(out) == before


def test_what_was_killed_goes_on(out):
    folder = out / TRIALS.name
    kept, numbers = folder / 'trial_000', json.loads((folder / DONE).read_text())
    (folder / DONE).write_text('{"inputs": "half a')  # as no kill can leave it, but a full disk might
    shutil.rmtree(folder / 'trial_001')
    before = times(kept)
    assert result(TRIALS, out) is None
    perform(TRIALS, out)
    assert times(kept) == before
    assert (folder / 'trial_001').exists()
    assert json.loads((folder / DONE).read_text()) == numbers


def test_what_was_made_of_something_else_is_made_anew(out):
    folder = out / LATENCY.name
    numbers = result(LATENCY, out)
    (folder / INPUTS).write_text('of another checkpoint')
    (folder / DONE).write_text(json.dumps({**numbers, 'inputs': 'of another checkpoint'}))
    (folder / 'left_over').write_text('')
    assert result(LATENCY, out) is None
    perform(LATENCY, out)
    assert result(LATENCY, out) == numbers
    assert not (folder / 'left_over').exists()


def test_inputs_tell_policies_worlds_and_commands_apart(tmp_path, monkeypatch):
    digests = [experiment.inputs() for experiment in experiments() if experiment.values.get('checkpoint') == 'nominal']
    assert len(set(digests)) == len(digests)
    before = TRIALS.inputs()
    path = Path(shutil.copy(TRIALS.checkpoint, tmp_path))
    monkeypatch.setattr('maze_introspection.paper.experiments.CHECKPOINTS', tmp_path)
    assert TRIALS.inputs() == before
    path.write_bytes(path.read_bytes() + b'.')
    assert TRIALS.inputs() != before


def test_a_failure_says_what_was_run_and_why(tmp_path):
    family = Family('bad', 'maze-policy evaluate --profile {world} --out {out}/x', {('world',): [('nominal',)]})
    bad = replace(family, command=family.command + ' --count 0')
    with pytest.raises(ValueError, match=r'--count 0\nfailed with exit code 2: .*count wants 1') as error:
        perform(Experiment(bad, {'world': 'nominal'}), tmp_path)
    assert str(tmp_path / 'bad/nominal/log.txt') in str(error.value)


def test_the_report_keeps_numbers_draws_pictures_and_fills_the_document(out, docs, tmp_path):
    report(TINY, EXPERIMENTS, out, tmp_path / 'no transfer', docs)
    for family, experiment in zip(TINY, EXPERIMENTS):
        text = (docs / 'results' / f'{family.name}.json').read_text()
        kept = json.loads(text, parse_constant=pytest.fail)
        assert kept['command'] == family.shown()
        assert kept['results'] == [result(experiment, out)]
        assert len(text) < 10_000  # 186 of these go into git
    pictures = {path.name: path.stat().st_size for path in (docs / 'pictures').iterdir()}
    assert {f'distilled_in_nominal_figure{number}.png' for number in range(2, 7)} < set(pictures)
    assert {'offsets.png', 'latency.png'} < set(pictures)
    with Image.open(docs / 'pictures' / 'distilled_in_nominal_figure4.png') as places:
        seen = np.asarray(places.convert('RGB')).reshape(-1, 3).astype(int)
    for color in ACTION_COLORS:
        assert np.abs(seen - rgb(color)).sum(axis=1).min() < 20, f'{color} is lost'
    assert max(pictures.values()) < 200_000
    text = (docs / 'results.md').read_text()
    assert (
        '*Not measured yet: distilled in nominal, nominal in nominal, robust in nominal' in text
    )  # seeds 2 and 3 are not there
    before = {path: path.read_bytes() for path in docs.rglob('*') if path.is_file()}
    report(TINY, EXPERIMENTS, tmp_path / 'nothing done here', tmp_path / 'no transfer', docs)
    assert {path: path.read_bytes() for path in docs.rglob('*') if path.is_file()} == before


def test_new_rows_replace_those_of_the_same_experiment_and_of_none(tmp_path):
    family = Family('some', 'x', {('world',): [('a',), ('b',)], ('seed',): [(1,)]})
    a, b = family.experiments()
    keep(tmp_path, [family], [(b, {'world': 'b', 'seed': 1, 'n': 1}), (a, {'world': 'a', 'seed': 1, 'n': 2})])
    assert [row['n'] for row in load(tmp_path, [family])['some']] == [2, 1]  # in the order of the table
    keep(tmp_path, [family], [(b, {'world': 'b', 'seed': 1, 'n': 3})])
    assert [row['n'] for row in load(tmp_path, [family])['some']] == [2, 3]
    fewer = replace(family, over={('world',): [('b',)], ('seed',): [(1,)]})
    keep(tmp_path, [fewer], [])
    assert [row['n'] for row in load(tmp_path, [fewer])['some']] == [3]


def evaluation(**values):
    return {'success': 1.0, 'time_s': {'mean': 6.0, 'median': 5.5}, 'ring_s': {'1': {'median': 1.0}}, **values}


def test_tables_by_hand():
    rows = {family.name: [] for family in FAMILIES}
    which = {'checkpoint': 'nominal', 'world': 'nominal'}
    rows['worlds'] = [evaluation(**which, seed=seed) for seed in (11, 12, 13)]
    lost = {'success': 0.305, 'time_s': {'mean': 24.0, 'median': 60.0}, 'ring_s': {'1': {'median': 4.0}}}
    rows['memoryless'] = [evaluation(**which, seed=seed) | lost for seed in (13, 12, 11)]
    rows['latency'] = [
        evaluation(checkpoint='robust', view='flat', latency=2, seed=seed, success=share)
        for seed, share in ((11, 1.0), (12, 0.995), (13, 1.0))
    ]
    made = tables(rows, FAMILIES, [])
    assert '| nominal in nominal | 100, 100, 100 % | 6.00, 6.00, 6.00 | 30.5, 30.5, 30.5 % |' in made['memory']
    assert made['memory'].splitlines()[2].endswith('| 4.0 |')
    assert '| nominal in nominal | 1 | 1.00, 1.00, 1.00 | 4.00, 4.00, 4.00 | 4.0 |' in made['rings']
    assert '| robust | flat | 100, 99.5, 100 %; 6.00, 6.00, 6.00 s |' in made['latency']
    assert '*Not measured yet: nominal.*' in made['latency']
    assert made['sparsity'].count(' in ') == len(PAIRS)  # all of them named as not measured
    assert '`maze-policy evaluate --checkpoint CHECKPOINT' in made['worlds']
    del rows['worlds'][1]
    assert (
        'Not measured yet: distilled in nominal, nominal in nominal' in tables(rows, FAMILIES, [])['memory']
    )  # two seeds are not three


def test_a_transfer_becomes_a_table_and_a_picture(docs, tmp_path):
    path = tmp_path / 'transfer.csv'
    with open(path, 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['start', 'seed', 'iteration', 'episodes', 'frames', 'success', 'mean_s', 'median_s'])
        for start, seed, end in (('nominal', 0, 0.5), ('nominal', 1, 0.7), ('robust', 0, 1.0)):
            writer.writerow([start, seed, 0, 0, 0, 0.1, 50.0, 60.0])
            writer.writerow([start, seed, 9, 300 + seed, 90_000, end, 20.0, 10.0])  # not quite as many episodes each
    report(TINY, [], tmp_path / 'nothing', path, docs)
    kept = load_transfer(docs / 'results/transfer.csv')
    assert len(kept) == 6
    assert kept[1] == {
        'start': 'nominal', 'seed': 0, 'episodes': 300, 'frames': 90_000, 'success': 0.5, 'mean_s': 20.0,
        'median_s': 10.0,
    }  # fmt: skip
    text = (docs / 'results.md').read_text()
    assert '| nominal | 300 | 90000 | 2 | 60 % [50 %, 70 %] | 20.0 [20.0, 20.0] |' in text
    assert '(pictures/transfer.png)' in text
    assert (docs / 'pictures/transfer.png').exists()


def test_a_document_with_other_parts_is_not_filled():
    text = 'a\n<!-- begin one -->\nold\n<!-- end one -->\nb\n'
    filled = fill(text, {'one': 'new'})
    assert filled == 'a\n<!-- begin one -->\n\nnew\n\n<!-- end one -->\nb\n'
    assert fill(filled, {'one': 'new'}) == filled
    assert by_hand(filled) == 'a\n\nb\n'
    for parts in ({}, {'two': ''}, {'one': '', 'two': ''}):
        with pytest.raises(ValueError, match=r"got \['one'\]"):
            fill(text, parts)


def test_the_command_says_what_is_missing(tmp_path, monkeypatch, capsys, docs):
    words = ['results', '--out', str(tmp_path / 'out')]
    assert main([*words, '--docs', str(docs), '--only', 'nothing/*']) == 2
    assert 'to match some of trials/distilled-nominal-1' in capsys.readouterr().err
    monkeypatch.setattr('maze_introspection.paper.experiments.CHECKPOINTS', Path('nowhere'))
    assert main([*words, '--docs', str(docs), '--only', 'trials/sparse-*']) == 1
    said = capsys.readouterr()
    assert '3 experiments left out: there is no nowhere/sparse.safetensors' in said.err
    assert '0 experiments done now, 0 were done' in said.out
    monkeypatch.chdir(docs / 'results')
    assert main(words) == 2
    assert 'want to be run in the repository' in capsys.readouterr().err
