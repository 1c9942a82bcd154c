import json

import pytest
import torch

from maze_policy.cli import main
from maze_policy.share import checkpoint_path
from maze_policy.world import load_world

torch.set_num_threads(1)


def test_evaluate_prints_and_writes_a_summary(tmp_path, capsys):
    out = tmp_path / 'summary.json'
    assert main(['evaluate', '--count', '3', '--seed', '2', '--out', str(out)]) == 0
    assert 'of 3 trials' in capsys.readouterr().out
    summary = json.loads(out.read_text())
    assert summary['count'] == summary['config']['count'] == 3
    assert summary['config']['memory'] is True


def test_no_memory_reaches_the_config(tmp_path):
    out = tmp_path / 'summary.json'
    assert main(['evaluate', '--count', '1', '--time-limit-s', '1', '--no-memory', '--out', str(out)]) == 0
    assert json.loads(out.read_text())['config']['memory'] is False


def test_the_world_is_a_profile_and_changes_to_it(tmp_path):
    out = tmp_path / 'summary.json'
    words = ['evaluate', '--count', '1', '--time-limit-s', '1', '--profile', 'varied', '--latency-steps', '3', '--out']
    assert main([*words, str(out)]) == 0
    world = json.loads(out.read_text())['world']
    assert world == load_world('varied', {'latency_steps': (3, 3)}).as_dict()


def test_the_expert_can_be_tried_out_too(tmp_path):
    out = tmp_path / 'summary.json'
    assert main(['evaluate', '--expert', '--count', '6', '--latency-steps', '3', '--out', str(out)]) == 0
    summary = json.loads(out.read_text())
    assert summary['success'] == 1
    assert summary['time_s']['mean'] < 9


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['evaluate', '--checkpoint', 'nothing.safetensors'], 'want the description nothing.json'),
        (['evaluate', '--profile', 'nominaal'], "did you mean 'nominal'?"),
        (['evaluate', '--latency-steps', '3', '2'], 'latency_steps wants one number, or two'),
        (['evaluate', '--zoom', '1.1'], 'the flat view cannot show zoom; use view perspective'),
        (['evaluate', '--checkpoint', 'robus'], "did you mean 'robust'?"),
        (['evaluate', '--expert', '--no-memory'], '--expert has no memory to take away'),
        (['transfer', '--out', 'unused', '--seeds', '0'], '--seeds wants 1 or more, got 0'),
        (['evaluate', '--count', '0'], 'count wants 1 to 100000, got 0'),
        (['--maze', 'nothing.yaml', 'evaluate'], 'nothing.yaml'),
        (['train', '--out', '/dev/null/folder'], '/dev/null/folder'),
        (['train', '--out', 'unused', '--boards', '0'], 'boards wants 1'),
    ],
)
def test_bad_input_is_said_in_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1


def test_damaged_checkpoint_is_refused(tmp_path, capsys):
    weights = bytearray(checkpoint_path().read_bytes())
    weights[-1] ^= 1
    (tmp_path / 'bad.safetensors').write_bytes(weights)
    (tmp_path / 'bad.json').write_bytes(checkpoint_path().with_suffix('.json').read_bytes())
    assert main(['evaluate', '--checkpoint', str(tmp_path / 'bad.safetensors')]) == 2
    assert 'the file is damaged' in capsys.readouterr().err


def test_out_that_cannot_be_written_is_said_before_the_trials(tmp_path, capsys):
    assert main(['evaluate', '--count', '100', '--out', str(tmp_path / 'no' / 'folder.json')]) == 2
    captured = capsys.readouterr()
    assert 'folder.json' in captured.err
    assert 'solved' not in captured.out


def test_each_stage_of_training_has_its_own_options(capsys):
    for stage, has, has_not in (('distil', '--chunks', '--clip'), ('rl', '--clip', '--chunks')):
        with pytest.raises(SystemExit) as end:
            main(['train', '--stage', stage, '--help'])
        text = capsys.readouterr().out
        assert end.value.code == 0
        assert has + ' ' in text
        assert has_not + ' ' not in text
        assert '--latency-steps' in text
    with pytest.raises(SystemExit):
        main(['train', '--stage', 'magic', '--out', 'unused'])
    assert "invalid choice: 'magic'" in capsys.readouterr().err


def test_a_shipped_policy_goes_by_its_name(tmp_path):
    out = tmp_path / 'summary.json'
    for checkpoint in ('nominal', str(checkpoint_path())):
        words = ['evaluate', '--checkpoint', checkpoint, '--count', '1', '--time-limit-s', '1', '--out', str(out)]
        assert main(words) == 0
