from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made import keeping, made_recording, with_live
from rosbags.rosbag2 import Reader

from maze_introspection.bag import BagWriter, write_recording
from maze_introspection.cli import main
from maze_introspection.recording import Live
from maze_policy.topics import ALL, BALL, LSTM_GATES, READOUT


@pytest.fixture
def recording():
    return with_live(made_recording(260, 16, resets=(0, 120)))


def written(path, recording, **more):
    write_recording(path, recording, **more)
    return path


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_analyze_writes_all_and_says_what_it_found(tmp_path, recording, capsys):
    observations = np.zeros((recording.steps, 84, 84), dtype=np.uint8)
    bag = written(tmp_path / 'bag', recording, observations=observations)
    code, out, err = run(capsys, 'analyze', bag)
    assert code == 0, err
    results = tmp_path / 'bag_analysis'
    names = ['figure2_salient_channels', 'figure3_distance', 'figure4_places', 'figure5_channel', 'figure6_offsets']
    want = {f'{name}.{kind}' for name in names for kind in ('png', 'svg')}
    want |= {'summary.json', 'offsets.parquet', 'steps.parquet', 'channels.parquet'}
    assert {path.name for path in results.iterdir()} == want
    assert 'solved: 2 of 2' in out
    table = [line.split() for line in out.splitlines() if line.startswith(('   ', 'time', 'output gate'))]
    assert table[0] == ['ring', '4', 'ring', '3', 'ring', '2', 'ring', '1', 'centre', 'censored']
    assert table[1][:3] == ['time,', 's,', 'median']
    assert table[2][:4] == ['output', 'gate,', 'median', '[quartiles]']
    assert '50% of the score takes' in out
    assert 'single-action channels' in out
    assert 'complete: the LSTM recurrence holds at every step (2 memory reset(s))' in out
    assert 'identical, bit for bit, at all 260 steps' in out

    numbers = json.loads((results / 'summary.json').read_text(), parse_constant=pytest.fail)
    assert numbers['live'] == {'compared': True, 'identical': True, 'says': numbers['live']['says']}
    assert numbers['shown']['images'] == 'no camera recorded: what the policy saw'
    offsets = pd.read_parquet(results / 'offsets.parquet')
    assert len(offsets) == len(recording.live.offsets)
    assert (offsets['t'] - offsets['t0'] == offsets['offset']).all()
    assert sorted(offsets['gate'].unique()) == ['forget', 'input', 'output']
    live = recording.live.offsets
    assert offsets['censored'].tolist() == live['censored'].tolist()
    np.testing.assert_array_equal(offsets['distance_m'].astype(np.float32), live['distance_m'])
    steps = pd.read_parquet(results / 'steps.parquet')
    assert steps['action'].tolist() == recording.action.tolist()
    assert steps['begins'].sum() == 2
    channels = pd.read_parquet(results / 'channels.parquet')
    assert channels['salient_steps'].sum() == steps['salient_channels'].sum()


def test_options_reach_the_figures(tmp_path, recording, capsys):
    bag = written(tmp_path / 'bag', recording)
    more = ('--episode', 1, '--channel', 3, '--gate', 'forget', '--fraction', 0.25, '--out', tmp_path / 'a' / 'b')
    code, out, _ = run(capsys, 'analyze', bag, *more)
    assert code == 0
    numbers = json.loads((tmp_path / 'a' / 'b' / 'summary.json').read_text())
    shown = {'episode': 1, 'channel': 3, 'gate': 'forget'}
    assert numbers['shown'] == {**shown, 'images': 'no image recorded: outline from the recorded maze and ball'}
    assert '25% of the score takes' in out
    assert 'forget gate of channel 3' in (tmp_path / 'a' / 'b' / 'figure5_channel.svg').read_text()


def test_other_thresholds_than_live_are_no_difference(tmp_path, recording, capsys):
    """The live node ran with the defaults; looking again with another threshold must not cry wolf."""
    bag = written(tmp_path / 'bag', recording)
    code, out, _ = run(capsys, 'analyze', bag, '--theta-c', 0.2)
    assert code == 0
    assert 'identical' in out
    numbers = json.loads((tmp_path / 'bag_analysis' / 'summary.json').read_text())
    assert numbers['parameters']['theta_c'] == 0.2
    assert len(pd.read_parquet(tmp_path / 'bag_analysis' / 'offsets.parquet')) < len(recording.live.offsets)


def test_a_missing_step_is_exit_code_1_and_named(tmp_path, capsys):
    bag = written(tmp_path / 'bag', keeping(made_recording(), np.arange(300) != 70))
    code, out, _ = run(capsys, 'analyze', bag)
    assert code == 1
    assert 'NOT COMPLETE: at least one step is missing before step 70' in out
    assert 'nothing to compare' in out
    assert (tmp_path / 'bag_analysis' / 'summary.json').exists()


def test_a_different_live_value_is_exit_code_1_and_named(tmp_path, recording, capsys):
    share = recording.live.share.copy()
    share[33, 5] += 0.25
    bag = written(tmp_path / 'bag', replace(recording, live=Live(share, recording.live.offsets)))
    code, out, _ = run(capsys, 'analyze', bag)
    assert code == 1
    assert 'contributions differ first at step 33, channel 5' in out


def missing(path, recording):
    return 'there is no bag'


def truncated(path, recording):
    written(path, recording)
    (mcap,) = path.glob('*.mcap')
    mcap.write_bytes(mcap.read_bytes()[: mcap.stat().st_size // 2])
    return 'truncated'


def without_our_topics(path, recording):
    with BagWriter(path) as writer:
        writer.add_topic('/somewhere/else', BALL)
    return 'no topic policy/lstm_gates; it has: /somewhere/else'


def wrong_channels(path, recording):
    object.__setattr__(recording, 'readout', recording.readout[:, 2:])
    written(path, recording)
    return READOUT.name


def not_a_number(path, recording):
    """The writer would not write it, so the last value of step 0 is changed on the way from one bag to another."""
    good = written(path.with_name('good'), recording)
    with Reader(good) as reader, BagWriter(path) as writer:
        topics = {connection.topic: connection.topic.removeprefix('/maze/') for connection in reader.connections}
        for name, ours in topics.items():
            writer.add_topic(name, next(topic for topic in ALL if topic.name == ours))
        spoilt = False
        for connection, stamp, cdr in reader.messages():
            if topics[connection.topic] == LSTM_GATES.name and not spoilt:
                cdr, spoilt = cdr[:-4] + np.float32(np.nan).tobytes(), True
            writer.write(connection.topic, cdr, stamp, stamp)
    return 'finite gates, got a NaN or infinity at (0, 3, 15)'


def empty(path, recording):
    written(path, keeping(replace(recording, live=None), np.zeros(recording.steps, dtype=bool)))
    return 'no message'


@pytest.mark.parametrize('spoil', [missing, truncated, without_our_topics, wrong_channels, not_a_number, empty])
def test_a_bad_bag_is_a_clear_error_and_leaves_nothing(tmp_path, recording, capsys, spoil):
    message = spoil(tmp_path / 'bag', recording)
    code, out, err = run(capsys, 'analyze', tmp_path / 'bag', '--out', tmp_path / 'out')
    assert (code, out) == (2, '')
    assert err.startswith('maze-introspection: ')
    assert message in err
    assert 'Traceback' not in err
    assert not (tmp_path / 'out').exists()


def test_out_is_checked_before_the_work(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    code, _, err = run(capsys, 'analyze', tmp_path / 'no bag', '--out', tmp_path / 'file' / 'out')
    assert code == 2
    assert 'cannot write to --out' in err
    assert 'no bag' not in err


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (('--theta-x', '1'), 'unrecognized arguments: --theta-x'),
        (('--theta', '1'), 'unrecognized arguments: --theta'),
        (('--theta-g', 'high'), 'invalid float value'),
        (('--gate', 'candidate'), 'invalid choice'),
    ],
)
def test_an_unknown_parameter_is_refused(tmp_path, capsys, option, message):
    with pytest.raises(SystemExit) as ended:
        main(['analyze', str(tmp_path), *option])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (('--theta-g', 1.5), 'theta_g wants 0.0 to 1.0, got 1.5'),
        (('--theta-c', 'nan'), 'theta_c wants a finite number'),
        (('--episode', 7), 'episode 0 to 1, got 7'),
        (('--episode', -1), 'episode 0 to 1, got -1'),
        (('--channel', 16), 'channel 0 to 15, got 16'),
        (('--namespace', '/other'), 'no policy in namespace /other'),
    ],
)
def test_a_parameter_out_of_range_is_refused(tmp_path, recording, capsys, option, message):
    bag = written(tmp_path / 'bag', recording)
    code, _, err = run(capsys, 'analyze', bag, *option)
    assert code == 2
    assert message in err
    assert not (tmp_path / 'bag_analysis').exists()


def test_help_says_what_the_exit_codes_mean(capsys):
    with pytest.raises(SystemExit):
        main(['analyze', '--help'])
    said = ' '.join(capsys.readouterr().out.split())
    assert '1 steps are missing between the first and the last recorded one' in said
    assert '--theta-c' in said


def test_analyze_needs_neither_ros_nor_torch():
    """On a laptop: nothing that `analyze` imports may pull in the playing half's libraries."""
    code = (
        'import sys; from maze_introspection import cli, results; '
        "print(*sorted({'torch', 'rclpy', 'cv2', 'cv_bridge', 'numba', 'gymnasium'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ''
