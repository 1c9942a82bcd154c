from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maze_introspection.analysis import analyze
from maze_introspection.bag import read_images, read_recording
from maze_introspection.cli import main
from maze_introspection.config import IntrospectionConfig, TrialsConfig
from maze_introspection.recurrence import CONTINUES, RESET, continuity
from maze_introspection.statistics import episodes
from maze_introspection.trials import play
from maze_policy.checkpoint import save
from maze_policy.config import NetworkConfig
from maze_policy.network import CnnLstm
from maze_policy.topics import OBSERVATION
from maze_policy.world import load_world, profiles

SHORT = ('--count', '3', '--time-limit-s', '1', '--null-draws', '3', '--jobs', '1')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path: Path = tmp_path_factory.mktemp('checkpoint') / 'untrained.safetensors'
    save(path, CnnLstm(NetworkConfig(n_l=24)), {})
    return path


@pytest.fixture(scope='module')
def played(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp('trials') / 'out'
    assert main(['trials', '--out', str(out), '--checkpoint', str(checkpoint), *SHORT]) == 0
    return out


def again(played, checkpoint, *more):
    return main(['trials', '--out', str(played), '--checkpoint', str(checkpoint), *SHORT, *more])


def test_every_trial_is_a_bag_that_proves_its_completeness(played):
    starts = []
    for index in range(3):
        recording = read_recording(played / f'trial_{index:03}')
        assert recording.steps == 31  # one second at 30 Hz, and the observation at its end
        relation = continuity(recording.gates, recording.hidden, recording.cell)
        assert relation.tolist() == [RESET] + [CONTINUES] * 30
        assert recording.maze.ring(recording.distance_m[0]) == 4
        np.testing.assert_allclose(np.diff(recording.stamp_ns), 1e9 / 30, atol=1)
        assert np.abs(np.diff(recording.tilt_rad, axis=0)).max() <= np.radians(0.5) + 1e-12
        images = read_images(played / f'trial_{index:03}', OBSERVATION, recording.stamp_ns)
        assert len(images) == 31
        starts.append(recording.ball_m[0].tolist())
    assert len({tuple(start) for start in starts}) == 3


def test_the_results_are_over_all_trials(played):
    numbers = json.loads((played / 'summary.json').read_text(), parse_constant=pytest.fail)
    assert numbers['success']['episodes'] == 3
    assert numbers['steps'] == 93
    assert (numbers['trials']['seed'], numbers['trials']['count']) == (1, 3)
    assert set(numbers['against_null']) == {'input', 'forget', 'output'}
    assert numbers['shown']['images'] == 'what the policy saw (84 x 84)'
    assert (played / 'figure6_offsets.png').exists()


def test_a_second_start_plays_only_what_is_missing(played, checkpoint, capsys):
    files = {index: next((played / f'trial_{index:03}').glob('*.mcap')) for index in range(3)}
    lost = files[1].read_bytes()
    kept = files[0].stat().st_mtime_ns
    for path in files[1].parent.iterdir():
        path.unlink()
    files[1].parent.rmdir()
    (played / 'partial' / 'trial_001').mkdir(parents=True)  # as a kill in the middle would leave it
    assert again(played, checkpoint) == 0
    assert files[0].stat().st_mtime_ns == kept
    assert files[1].read_bytes() == lost  # the same trial, bit for bit
    assert not (played / 'partial').exists()


def test_trials_of_other_settings_are_not_mixed(played, checkpoint, tmp_path, capsys):
    assert again(played, checkpoint, '--seed', '2') == 2
    assert 'other settings: seed 1 (now 2); name another --out' in capsys.readouterr().err
    assert again(played, checkpoint, '--no-memory') == 2
    assert 'other settings: memory True (now False)' in capsys.readouterr().err
    torch.manual_seed(1)
    other = tmp_path / 'other.safetensors'
    save(other, CnnLstm(NetworkConfig(n_l=24)), {})
    assert again(played, other) == 2
    assert 'other settings: policy ' in capsys.readouterr().err


def test_without_memory_every_step_is_a_reset(checkpoint, tmp_path, capsys):
    out = tmp_path / 'out'
    assert again(out, checkpoint, '--no-memory', '--count', '1') == 0
    recording = read_recording(out / 'trial_000')
    assert set(continuity(recording.gates, recording.hidden, recording.cell)) == {RESET}
    numbers = json.loads((out / 'summary.json').read_text())
    rings = numbers['offsets_per_ring']['output']
    assert sum(ring['n'] for ring in rings) == 0
    assert sum(ring['censored'] for ring in rings) > 0


def test_trials_can_begin_in_any_ring(checkpoint, tmp_path, capsys):
    out = tmp_path / 'out'
    assert again(out, checkpoint, '--start-rings', '2', '3', '--count', '3', '--window-steps', '10') == 0
    recordings = [read_recording(out / f'trial_{index:03}') for index in range(3)]
    assert [recording.maze.ring(recording.distance_m[0]) for recording in recordings] == [2, 3, 2]
    assert again(tmp_path / 'other', checkpoint, '--start-rings', '1', '9') == 2
    assert 'start_rings up to 4, got [1, 9]' in capsys.readouterr().err


@pytest.mark.parametrize('profile', profiles())
def test_every_world_can_be_played_and_replayed(checkpoint, tmp_path, profile):
    world = load_world(profile)
    config = TrialsConfig(count=2, time_limit_s=3.0)
    recording, look = play(config, world, tmp_path, checkpoint)
    assert analyze(recording, IntrospectionConfig()).complete  # a missed frame is no missing step
    assert set(look(recording.stamp_ns.tolist())[0]) == set(recording.stamp_ns.tolist())
    for episode in range(2):
        stamp_ns = recording.only(episode).stamp_ns
        steps_s = np.diff(stamp_ns) / 1e9
        assert steps_s.min() >= (1 - world.rate_jitter) / world.rate_hz[1] - 1e-8
        assert steps_s.max() <= 2 * (1 + world.rate_jitter) / world.rate_hz[0] + 1e-8
        assert stamp_ns[-2] - stamp_ns[0] < 3e9 <= stamp_ns[-1] - stamp_ns[0]
    lost = next((tmp_path / 'trial_001').glob('*.mcap')).read_bytes()
    shutil.rmtree(tmp_path / 'trial_001')
    play(config, world, tmp_path, checkpoint)
    assert next((tmp_path / 'trial_001').glob('*.mcap')).read_bytes() == lost  # whatever was played before it
    late = replace(world, latency_steps=(7, 7))
    with pytest.raises(ValueError, match=rf'latency_steps {re.escape(str(list(world.latency_steps)))} \(now \[7, 7\]'):
        play(config, late, tmp_path, checkpoint)


def test_a_missed_frame_is_no_step_and_no_gap(checkpoint, tmp_path):
    recording, _ = play(
        TrialsConfig(count=1, time_limit_s=4.0), load_world('nominal', {'missed_frames': 0.4}), tmp_path, checkpoint
    )
    periods = np.diff(recording.stamp_ns) * 30e-9
    np.testing.assert_allclose(periods, periods.round(), atol=1e-6)
    assert set(periods.round()) == {1, 2}
    assert recording.steps < 110  # of 121 frames
    analysis = analyze(recording, IntrospectionConfig())
    assert analysis.begins.tolist() == [True] + [False] * (recording.steps - 1)
    played = episodes(analysis)[0]
    assert played.seconds == pytest.approx(4, abs=0.04)
    assert sum(played.ring_s) == pytest.approx(played.seconds)


def test_the_command_line_names_a_world_and_changes_to_it(checkpoint, tmp_path, capsys):
    out = tmp_path / 'out'
    assert again(out, checkpoint, '--profile', 'varied', '--latency-steps', '4', '--count', '1') == 0
    world = load_world('varied', {'latency_steps': (4, 4)})
    assert json.loads((out / 'summary.json').read_text())['world'] == world.as_dict()
    assert json.loads((out / 'trials.json').read_text())['latency_steps'] == [4, 4]


def test_a_checkpoint_that_cannot_be_used_is_named(checkpoint, tmp_path, capsys):
    broken = tmp_path / 'broken.safetensors'
    weights = bytearray(checkpoint.read_bytes())
    weights[-5] ^= 1
    broken.write_bytes(weights)
    broken.with_suffix('.json').write_text(checkpoint.with_suffix('.json').read_text())
    assert again(tmp_path / 'out', broken) == 2
    assert 'SHA-256' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
