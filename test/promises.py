"""What we promise, each with a test: quick in `make test`, its full count in `make soak`, which writes the table.

    @pytest.mark.promise('Safety of control', 'camera stops: level and no-op within 150 ms', quick=2, full=20)
    def test_a_camera_that_stops(promise, ...):
        for seed in promise.times():
            ...
            promise.saw('ms after the last good frame', 103.2)

In the text `{name}` stands for the test's parameter of that name.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
RESULTS, DOCUMENT = ROOT / 'out' / 'soak', ROOT / 'docs' / 'reliability.md'
BEGIN, END = '<!-- written by `make soak` -->\n', '<!-- end -->\n'
AREAS = ('Safety of control', 'Recordings', 'Verification', 'Checkpoints', 'Bad input', 'Load')


class Promise:
    """Counts how often a promise was put to the test, and keeps what was measured."""

    def __init__(self, area, text, quick, full, soak):
        assert area in AREAS, f'want one of {AREAS}, got {area!r}'
        self.area, self.text, self.soak = area, text, soak
        self.count = full if soak else quick
        self.kept, self.seen = 0, {}

    def times(self, chunk=1):
        """Seeds 0, 1, ..., one for each time; with `chunk`, ranges of so many. What ends a turn well was kept."""
        with tqdm(total=self.count, desc=self.text[:60], file=sys.__stderr__, disable=not self.soak) as bar:
            for begin in range(0, self.count, chunk):
                end = min(begin + chunk, self.count)
                yield begin if chunk == 1 else range(begin, end)
                self.kept = end
                bar.update(end - begin)

    def saw(self, what, value):
        """Keep a number; `what` says what it is and its unit."""
        self.seen.setdefault(what, []).append(float(value))

    def result(self):
        """For the table: counts, and of each number median and most."""
        seen = {what: [len(all_), statistics.median(all_), max(all_)] for what, all_ in self.seen.items()}
        return {'area': self.area, 'promise': self.text, 'count': self.count, 'kept': self.kept, 'seen': seen}


@pytest.fixture
def promise(request):
    """The promise that marks the test."""
    mark = request.node.get_closest_marker('promise')
    area, text = mark.args
    parameters = request.node.callspec.params if hasattr(request.node, 'callspec') else {}
    made = Promise(area, text.format(**parameters), **mark.kwargs, soak=request.config.getoption('soak'))
    yield made
    request.node.user_properties.append(('promise', made.result()))


def pytest_addoption(parser):
    parser.addoption('--soak', action='store_true', help='promises with their full counts, and the table of them')


def pytest_configure(config):
    config.addinivalue_line('markers', 'promise(area, text, quick, full): how often it is tested; see test/promises.py')


def pytest_collection_modifyitems(config, items):
    """With --soak only promises, and none that this very commit kept already: a soak goes on where it was."""
    if not config.getoption('soak'):
        return
    kept = {line['test'] for line in results() if line['commit'] == commit() and line['outcome'] == 'passed'}
    left = [item for item in items if item.get_closest_marker('promise') and item.nodeid not in kept]
    config.hook.pytest_deselected(items=[item for item in items if item not in left])
    items[:] = left


def pytest_runtest_logreport(report):
    """Where all reports arrive, also those of other processes; the promise itself comes with the last one."""
    made = dict(report.user_properties).get('promise')
    if report.when == 'call' and report.failed:
        _FAILED.add(report.nodeid)
    if report.when != 'teardown' or made is None or not _SOAK:
        return
    outcome = 'failed' if report.nodeid in _FAILED else 'passed'
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = report.nodeid.replace('/', '_').replace('::', '.')
    (RESULTS / f'{name}.json').write_text(
        json.dumps({'test': report.nodeid, 'commit': commit(), 'outcome': outcome, **made}) + '\n'
    )


def pytest_sessionstart(session):
    if session.config.getoption('soak') and not hasattr(session.config, 'workerinput'):
        _SOAK.append(True)


def pytest_sessionfinish(session):
    if _SOAK and results():
        write_table()


_SOAK, _FAILED = [], set()


def results():
    """What was found so far."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob('*.json'))]


def commit():
    """What was tested: a commit, or one with changes, which is another each time."""
    name = _git('rev-parse', '--short', 'HEAD') or 'unknown'
    changed = _git('status', '--porcelain', '--untracked-files=no', '--', '.', f':!{DOCUMENT.relative_to(ROOT)}')
    return f'{name}-dirty {os.getpid()}' if changed else name


def _git(*arguments):
    return subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def write_table():
    """Put all results into the document."""
    rows = ['| promise | times | kept | measured | commit |', '|---|---|---|---|---|']
    for area in AREAS:
        found = [line for line in results() if line['area'] == area]
        rows += [f'| **{area}** | | | | |'] * bool(found)
        for line in found:
            seen = '; '.join(
                f'{what}: {middle:.4g}, at most {most:.4g}' if n > 1 else f'{what}: {most:.4g}'
                for what, (n, middle, most) in line['seen'].items()
            )
            whole = line['outcome'] == 'passed' and line['kept'] == line['count']
            kept = f'{line["kept"]:,}' if whole else f'**BROKEN after {line["kept"]:,}**'
            rows.append(f'| {line["promise"]} | {line["count"]:,} | {kept} | {seen} | {line["commit"].split()[0]} |')
    text = DOCUMENT.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    DOCUMENT.write_text(before + BEGIN + '\n' + '\n'.join(rows) + '\n\n' + END + after)
