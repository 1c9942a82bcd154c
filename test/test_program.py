import sys
import time

import pytest

from maze_policy.program import Program


def python(code):
    return [sys.executable, '-c', code]


def end_of(program):
    give_up_s = time.monotonic() + 30.0
    while (ended := program.ended()) is None:
        assert time.monotonic() < give_up_s
        time.sleep(0.005)
    return ended


def test_its_arguments_arrive_as_they_are(tmp_path):
    code = 'import sys; open(sys.argv[1], "w").write(sys.argv[2])'
    assert end_of(Program([*python(code), str(tmp_path / 'x'), '$HOME; "a b"'], 30.0)) == ''
    assert (tmp_path / 'x').read_text() == '$HOME; "a b"'


def test_a_failure_is_told_with_its_last_line():
    code = 'import sys; print("fine so far"); sys.stderr.write("no such ball\\n\\n"); sys.exit(3)'
    assert end_of(Program(python(code), 30.0)) == f'{sys.executable} ended with exit code 3: no such ball'
    assert end_of(Program(python('raise SystemExit(4)'), 30.0)).endswith('exit code 4: it said nothing')


def test_much_output_stops_nobody():
    assert end_of(Program(python('print("x" * 10_000_000)'), 30.0)) == ''


def test_what_takes_too_long_is_killed_with_all_that_it_started(tmp_path):
    alive, late = str(tmp_path / 'alive'), str(tmp_path / 'late')
    child = f'import time; open({alive!r}, "w").close(); time.sleep(1.0); open({late!r}, "w")'
    code = f'import subprocess, sys, time; subprocess.Popen([sys.executable, "-c", {child!r}]); time.sleep(60)'
    program = Program(python(code), 30.0)
    give_up_s = time.monotonic() + 30.0
    while not (tmp_path / 'alive').exists():
        assert program.ended() is None
        assert time.monotonic() < give_up_s
    program._timeout_s = 0.0
    assert end_of(program) == f'{sys.executable} has not ended after 0 s'
    time.sleep(1.2)  # long enough for the child, if it lived
    assert not (tmp_path / 'late').exists()


def test_a_program_that_is_not_there_is_an_error_that_names_it():
    with pytest.raises(FileNotFoundError, match='no_such_program'):
        Program(['no_such_program'], 1.0)
