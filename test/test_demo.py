"""The demo as a user runs it: real processes over real DDS."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader

from maze_introspection.analysis import analyze, compare_live
from maze_introspection.bag import read_recording
from maze_introspection.config import IntrospectionConfig
from maze_introspection.demo import DemoError, check, main, new_folder

ROOT = Path(__file__).parent.parent


def start(domain, out, *options):
    return subprocess.Popen(
        [sys.executable, '-m', 'maze_introspection.demo', '--out', str(out), '--domain-id', str(domain), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


def children_of(out):
    """Process ids of what runs with this folder on its command line or in its environment."""
    found = []
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            words = (entry / 'cmdline').read_bytes() + (entry / 'environ').read_bytes()
        except OSError:
            continue
        if str(out).encode() in words and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def gone(out, deadline_s=60.0):
    end_s = time.monotonic() + deadline_s
    while children_of(out):
        assert time.monotonic() < end_s, f'still there: {children_of(out)}'
        time.sleep(0.05)
    return True


def read_until(process, text, deadline_s=180.0):
    end_s, lines = time.monotonic() + deadline_s, []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
        assert time.monotonic() < end_s, lines
    raise AssertionError(f'{text!r} was not printed: {"".join(lines)}')


def refused_frames(bag):
    """How many frames the policy refused, by its last words on /diagnostics."""
    values = {}
    with AnyReader([bag]) as reader:
        wanted = [connection for connection in reader.connections if connection.topic == '/diagnostics']
        for connection, _, raw in reader.messages(wanted):
            for status in reader.deserialize(raw, connection.msgtype).status:
                if status.name == '/maze/policy':
                    values = {pair.key: pair.value for pair in status.values}
    return sum(int(value) for key, value in values.items() if key.startswith('refused: '))


def test_a_maze_is_solved_live_recorded_completely_and_explained_identically(domain, tmp_path):
    out = tmp_path / 'demo'
    process = start(domain, out, '--seed', '2')
    try:
        said, _ = process.communicate(timeout=400)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert gone(out)
    assert 'solved 1 of 1' in said
    assert 'live and replayed contributions and offsets are identical, bit for bit' in said
    assert 'PASSED: 15 proven, 0 FALSE, 0 not checked' in said
    for figure in range(2, 7):
        for kind in ('png', 'svg'):
            assert list((out / 'analysis').glob(f'figure{figure}*.{kind}')), (figure, kind)

    recording = read_recording(out / 'bag')
    analysis = analyze(recording, IntrospectionConfig())
    assert analysis.complete
    live = compare_live(analysis)
    assert live is not None
    assert live.identical
    assert live.steps == recording.steps
    assert recording.maze is not None
    assert recording.episode_ids == ('episode-0001',)

    content = yaml.safe_load((out / 'bag/metadata.yaml').read_text())['rosbag2_bagfile_information']
    count = {e['topic_metadata']['name']: e['message_count'] for e in content['topics_with_message_count']}
    for name in ('policy/observation', 'policy/lstm_gates', 'policy/lstm_state', 'policy/action_scores',
                 'introspection/contribution', 'introspection/watched'):  # fmt: skip
        assert count[f'/maze/{name}'] == recording.steps, name
    frames = count['/maze/camera/image_raw']
    assert count['/maze/camera/camera_info'] == count['/maze/ball'] == frames
    # On a busy machine frames may be too old for the policy; it says so, and every other one's chain is there.
    assert frames == recording.steps + refused_frames(out / 'bag')
    assert np.isfinite(recording.tilt_rad).all()
    assert np.isfinite(recording.ball_m).all()
    assert recording.distance_m[-1] < recording.maze.solved_radius_m


def test_a_node_that_fails_fails_the_demo_and_leaves_nothing_running(domain, tmp_path):
    out = tmp_path / 'demo'
    process = start(domain, out, '--checkpoint', str(tmp_path / 'none.safetensors'))
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    assert 'none.json' in said
    assert 'demo failed: policy ended with exit code 1' in said
    assert gone(out)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_demo_ends_it_leaves_nothing_running_and_a_readable_bag(domain, tmp_path, number):
    out = tmp_path / 'demo'
    process = start(domain, out, '--episodes', '50')
    try:
        read_until(process, 'ball in ring 3')
        process.send_signal(number)
        process.wait(100)
    finally:
        process.kill()
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert gone(out)
    assert read_recording(out / 'bag').steps > 10


def test_an_earlier_runs_results_are_kept(tmp_path):
    assert [new_folder(tmp_path / 'demo').name for _ in range(3)] == ['demo', 'demo-2', 'demo-3']


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    assert main(['--out', str(tmp_path / 'file/demo')]) == 1
    assert 'demo failed: ' in capsys.readouterr().err


def test_a_missing_figure_and_a_difference_are_failures(tmp_path):
    with pytest.raises(DemoError, match='want figure2, figure3, figure4, figure5, figure6'):
        check(tmp_path)
    for figure in range(2, 7):
        (tmp_path / f'figure{figure}_x.png').touch()
    summary = {
        'completeness': {'starts_midway': False},
        'live': {'identical': False, 'says': 'contributions differ first at 3'},
    }
    (tmp_path / 'summary.json').write_text(json.dumps(summary))
    with pytest.raises(DemoError, match='live and replayed results differ: contributions differ first at 3'):
        check(tmp_path)
    summary['completeness']['starts_midway'] = True
    (tmp_path / 'summary.json').write_text(json.dumps(summary))
    with pytest.raises(DemoError, match='the first step of the run is not in the bag'):
        check(tmp_path)


def test_the_demo_itself_needs_no_ros():
    code = 'import sys, maze_introspection.demo; sys.exit(any(m.startswith("rclpy") for m in sys.modules))'
    assert subprocess.run([sys.executable, '-c', code], check=False, cwd=ROOT).returncode == 0
