"""Trials in parallel: the same bits however many workers, wherever they are, and after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import torch

from maze_introspection.cli import main
from maze_introspection.config import BackendConfig, IntrospectionConfig, TrialsConfig
from maze_introspection.trials import Stage, play_missing
from maze_introspection.validity.backends import run
from maze_introspection.validity.events import KEY, read_events
from maze_introspection.validity.resume import whole
from maze_policy.checkpoint import save
from maze_policy.config import NetworkConfig
from maze_policy.network import CnnLstm
from maze_policy.world import load_world

ROOT = Path(__file__).resolve().parent.parent
COUNT = 4
LOOSE = IntrospectionConfig(theta_c=0.05)


@pytest.fixture(scope='module')
def stage(tmp_path_factory):
    torch.manual_seed(0)
    checkpoint = tmp_path_factory.mktemp('checkpoint') / 'untrained.safetensors'
    save(checkpoint, CnnLstm(NetworkConfig(n_l=24)), {})
    return Stage(TrialsConfig(count=COUNT, time_limit_s=1.0), load_world('varied'), checkpoint)


@pytest.fixture(scope='module')
def alone(stage, tmp_path_factory):
    out = tmp_path_factory.mktemp('alone') / 'out'
    play_missing(stage, out, BackendConfig(jobs=1), LOOSE)
    return out


def contents(out):
    """All that is in a folder of trials, byte by byte."""
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob('*')) if path.is_file()}


@pytest.mark.parametrize('backend', ['joblib', 'ray'])
def test_two_workers_leave_what_one_leaves(stage, alone, tmp_path, backend):
    play_missing(stage, tmp_path, BackendConfig(jobs=2, backend=backend), LOOSE)
    assert contents(tmp_path) == contents(alone)
    assert len(list(tmp_path.glob('events/*.parquet'))) == COUNT


def test_the_command_takes_a_backend_and_leaves_out_the_summary(stage, alone, tmp_path, capsys):
    out = tmp_path / 'out'
    options = ('--profile', 'varied', '--count', str(COUNT), '--time-limit-s', '1', '--theta-c', '0.05', '--jobs', '1')
    assert main(['trials', '--out', str(out), '--checkpoint', str(stage.checkpoint), *options, '--no-summary']) == 0
    assert contents(out) == contents(alone)
    assert f'{COUNT} bags' in capsys.readouterr().out


def test_events_of_other_thresholds_are_made_anew_from_the_same_bags(stage, alone, tmp_path):
    play_missing(stage, tmp_path, BackendConfig(jobs=1), IntrospectionConfig(theta_c=0.2))
    bag = next((tmp_path / 'trial_001').glob('*.mcap'))
    before, few = bag.stat().st_mtime_ns, len(read_events(sorted(tmp_path.glob('events/*.parquet'))))
    play_missing(stage, tmp_path, BackendConfig(jobs=1), LOOSE)
    assert bag.stat().st_mtime_ns == before
    assert few < len(read_events(sorted(tmp_path.glob('events/*.parquet'))))
    assert contents(tmp_path) == contents(alone)


def test_duckdb_reads_the_folder_of_events(alone):
    ours = read_events(sorted(alone.glob('events/*.parquet')))
    theirs = duckdb.sql(f"select * from '{alone}/events/*.parquet'").df()
    assert len(ours) > 50
    pd.testing.assert_frame_equal(
        ours.sort_values(KEY, ignore_index=True),
        theirs.sort_values(KEY, ignore_index=True),
        check_dtype=False,
        check_column_type=False,
    )
    per_trial = duckdb.sql(f"select source, count(*) n from '{alone}/events/*.parquet' group by source").df()
    assert sorted(per_trial['source']) == [f'trial_{index:03}' for index in range(COUNT)]


KILLED_IN_TURN = """
import signal, sys
from maze_introspection import trials
from maze_introspection.config import BackendConfig, IntrospectionConfig, TrialsConfig
from maze_policy.world import load_world

checkpoint, out, told = sys.argv[1:]
write, written = trials.write_events, []

def write_and_wait(table, path):
    written.append(write(table, path))
    if len(written) == 3:  # the file is whole, and not where it belongs yet
        with open(told, 'w') as pipe:
            pipe.write('now')
        signal.pause()  # until it is killed

trials.write_events = write_and_wait
stage = trials.Stage(TrialsConfig(count=4, time_limit_s=1.0), load_world('varied'), checkpoint)
trials.play_missing(stage, trials.Path(out), BackendConfig(jobs=1), IntrospectionConfig(theta_c=0.05))
"""

KILLED_IN_TWO_WORKERS = """
import os, signal, sys
from functools import partial
from pathlib import Path
from maze_introspection.config import BackendConfig
from maze_introspection.validity.backends import run
from maze_introspection.validity.resume import whole

out, told = map(Path, sys.argv[1:])

def job(out, told, index):
    with whole(out / f'{index}.txt', out) as path:
        path.write_text(f'result {index}\\n')
        if index >= 3:
            with open(told, 'w') as pipe:
                pipe.write(f'{os.getpid()}\\n')
            signal.pause()

run(partial(job, out, told), range(8), lambda index: (out / f'{index}.txt').exists(), BackendConfig(jobs=2), 'job')
"""


def killed(script, *arguments, told):
    """Run a script until it says through a pipe that it is in the middle of something; then kill -9 all of it."""
    os.mkfifo(told)
    process = subprocess.Popen(
        [sys.executable, '-c', script, *map(str, arguments), str(told)],
        start_new_session=True,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
        stderr=subprocess.PIPE,
    )
    said = told.read_text()  # returns when what was written there is complete
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr.read()
    return said


def test_a_killed_run_goes_on_without_losing_or_doubling_a_row(stage, alone, tmp_path):
    out = tmp_path / 'out'
    assert killed(KILLED_IN_TURN, stage.checkpoint, out, told=tmp_path / 'told') == 'now'
    assert len(list(out.glob('events/*.parquet'))) == 2
    assert list(out.glob('partial/*/trial_002.parquet'))  # written, but nobody takes it for a result
    kept = {path: path.stat().st_mtime_ns for path in out.glob('events/*.parquet')}
    play_missing(stage, out, BackendConfig(jobs=2), LOOSE)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert contents(out) == contents(alone)
    assert not read_events(sorted(out.glob('events/*.parquet'))).duplicated(KEY).any()


def leave(out, index):
    with whole(out / f'{index}.txt', out) as path:
        path.write_text(f'result {index}\n')


def done(out, index):
    return (out / f'{index}.txt').exists()


def test_killed_workers_leave_whole_results_or_none(tmp_path):
    out = tmp_path / 'out'
    assert killed(KILLED_IN_TWO_WORKERS, out, told=tmp_path / 'told')
    before = {path.name: path.read_text() for path in out.glob('*.txt')}
    assert 0 < len(before) < 8
    assert all(text == f'result {Path(name).stem}\n' for name, text in before.items())
    new = run(partial(leave, out), range(8), partial(done, out), BackendConfig(jobs=1), 'job')
    assert new == 8 - len(before)
    assert sorted(path.read_text() for path in out.glob('*.txt')) == [f'result {index}\n' for index in range(8)]


def fail_midway(out):
    with whole(out / 'a' / 'x', out) as path:
        path.write_text('half')
        raise ValueError('in the middle')


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match='in the middle'):
        fail_midway(tmp_path)
    assert not list(tmp_path.rglob('x'))


def test_a_result_that_another_has_left_meanwhile_stays(tmp_path):
    """A bag is a folder, which cannot be renamed over another one."""
    bag = tmp_path / 'bag'
    with whole(bag, tmp_path) as path:
        for folder in (path, bag):
            folder.mkdir()
            (folder / 'x').write_text('the same')
    assert (bag / 'x').read_text() == 'the same'
    with pytest.raises(FileNotFoundError), whole(tmp_path / 'never', tmp_path):
        pass


def die(index):
    os._exit(9)


@pytest.mark.parametrize(
    ('job', 'jobs', 'said'),
    [(die, 2, 'a worker died.*fewer --jobs'), (abs, 1, r'want the results of 2 jobs, got 0; .* a folder that this')],
)
def test_what_cannot_succeed_says_why(tmp_path, job, jobs, said):
    with pytest.raises(OSError, match=said):
        run(job, range(2), partial(done, tmp_path), BackendConfig(jobs=jobs), 'job')


def test_without_ray_its_backend_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(ValueError, match=r"pip install .*'\.\[policy,ray\]'"):
        run(abs, range(2), partial(done, tmp_path), BackendConfig(backend='ray'), 'job')


def test_trials_with_other_settings_are_refused(stage, alone, capsys):
    other = Stage(TrialsConfig(count=COUNT, time_limit_s=2.0), stage.world, stage.checkpoint)
    with pytest.raises(ValueError, match=r'holds trials played with other settings: time_limit_s 1.0 \(now 2.0\)'):
        play_missing(other, alone, BackendConfig(jobs=1), LOOSE)
    assert json.loads((alone / 'trials.json').read_text())['time_limit_s'] == 1.0
