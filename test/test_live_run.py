"""A live run recorded once over DDS, on another machine: here its numbers must come out the same to the last bit.

test/data/live_run is `make demo`'s bag without pictures, plots and camera: one solved episode of the shipped policy.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import with_live
from rosbags.rosbag2 import Reader

from maze_introspection.analysis import analyze, compare_live
from maze_introspection.bag import BagWriter, read_recording
from maze_introspection.cli import main
from maze_introspection.config import IntrospectionConfig
from maze_introspection.statistics import episodes
from maze_policy import topics
from maze_policy.checkpoint import load_policy
from maze_policy.share import share_path

RUN = Path(__file__).parent / 'data' / 'live_run'
BY_NAME = {f'{topics.NAMESPACE}/{topic.name}': topic for topic in topics.ALL}


@pytest.fixture(scope='module')
def recording():
    return read_recording(RUN)


def test_live_and_replay_agree_across_machines(recording):
    analysis = analyze(recording, IntrospectionConfig())
    comparison = compare_live(analysis)
    assert comparison.identical, str(comparison)
    assert comparison.steps == recording.steps == 178
    assert len(recording.live.offsets) > 300
    assert analysis.complete
    assert analysis.resets.tolist() == [0]
    (played,) = episodes(analysis)
    assert played.solved


def test_it_is_a_shipped_policy_that_played(recording):
    np.testing.assert_array_equal(recording.readout, load_policy('distilled').readout)


def test_analyze_accepts_it_as_it_is(tmp_path, capsys):
    shutil.copytree(RUN, tmp_path / 'bag')
    assert main(['analyze', str(tmp_path / 'bag')]) == 0
    assert 'identical, bit for bit, at all 178 steps' in capsys.readouterr().out


@pytest.mark.parametrize('lost', [1, 60, 176])
def test_a_step_that_was_lost_is_found(tmp_path, recording, lost):
    rewrite(tmp_path / 'bag', lambda name, stamp, cdr: None if (name, stamp) == gates_at(recording, lost) else cdr)
    analysis = analyze(read_recording(tmp_path / 'bag'), IntrospectionConfig())
    assert analysis.gaps.tolist() == [lost]
    assert main(['analyze', str(tmp_path / 'bag')]) == 1


def test_a_recording_that_begins_late_is_whole_as_far_as_it_goes(tmp_path, recording, capsys):
    late = int(recording.stamp_ns[20])
    rewrite(tmp_path / 'bag', lambda name, stamp, cdr: cdr if stamp >= late or 'readout' in name else None)
    analysis = analyze(read_recording(tmp_path / 'bag'), IntrospectionConfig())
    assert analysis.recording.steps == recording.steps - 20
    assert analysis.complete
    assert analysis.starts_midway
    assert not analyze(recording, IntrospectionConfig()).starts_midway
    assert main(['analyze', str(tmp_path / 'bag')]) == 0
    assert 'it begins in the middle of an episode' in capsys.readouterr().out


def test_a_flipped_bit_in_a_gate_is_found_where_it_is(tmp_path, recording):
    def flip(name, stamp, cdr):
        if (name, stamp) != gates_at(recording, 90):
            return cdr
        changed = bytearray(cdr)
        changed[-4 * recording.channels + 2] ^= 0x10  # in the output gate, four digits down
        return bytes(changed)

    rewrite(tmp_path / 'bag', flip)
    analysis = analyze(read_recording(tmp_path / 'bag'), IntrospectionConfig())
    assert analysis.corrupt.tolist() == [90]


def test_the_first_step_alone_is_missed_too(tmp_path, recording):
    """The episode's own message says when it began, and the ball of that moment is there."""
    rewrite(tmp_path / 'bag', lambda name, stamp, cdr: None if (name, stamp) == gates_at(recording, 0) else cdr)
    analysis = analyze(read_recording(tmp_path / 'bag'), IntrospectionConfig())
    assert analysis.gaps.tolist() == [0]
    assert not analysis.complete


def test_an_episode_that_is_only_partly_there_counts_nowhere(tmp_path, recording, capsys):
    late = int(recording.stamp_ns[20])
    rewrite(tmp_path / 'bag', lambda name, stamp, cdr: cdr if stamp >= late or 'readout' in name else None)
    assert main(['analyze', str(tmp_path / 'bag')]) == 0
    assert 'solved: unknown' in capsys.readouterr().out


def test_without_a_ball_only_what_needs_it_is_unknown(tmp_path, capsys):
    rewrite(tmp_path / 'bag', lambda name, stamp, cdr: None if name == '/maze/ball' else cdr)
    assert main(['analyze', str(tmp_path / 'bag')]) == 0
    out = capsys.readouterr().out
    assert 'solved: unknown' in out
    assert 'identical, bit for bit, at all 178 steps' in out


def test_an_introspection_that_came_late_lacks_steps_and_nothing_else(recording):
    late = with_live(recording, since=30)
    comparison = compare_live(analyze(late, IntrospectionConfig()))
    assert (comparison.missing, comparison.share, comparison.offsets) == (30, None, None)
    assert not comparison.identical
    changed = late.live.offsets.copy()
    changed['offset'][changed['step'] > 100] += 1
    assert (
        compare_live(analyze(replace(late, live=replace(late.live, offsets=changed)), IntrospectionConfig())).offsets
        is not None
    )


def test_a_readout_that_is_not_the_policys_is_refused(recording):
    other = recording.readout.copy()
    other[:, -1] += 0.5
    with pytest.raises(ValueError, match='the readout is not the one of this policy'):
        analyze(replace(recording, readout=other), IntrospectionConfig())


def test_what_is_no_gate_is_refused(recording):
    gates = recording.gates.copy()
    gates[3, 0, 5] = 7.0
    with pytest.raises(ValueError, match='want gates -1 to 1, got -'):
        replace(recording, gates=gates)


def test_a_bag_without_a_maze_takes_one_from_a_file(tmp_path, capsys):
    rewrite(tmp_path / 'bag', lambda name, stamp, cdr: cdr, about={})
    assert main(['analyze', str(tmp_path / 'bag')]) == 0
    assert 'solved: unknown' in capsys.readouterr().out
    assert main(['analyze', str(tmp_path / 'bag'), '--maze', str(share_path('config/maze.yaml'))]) == 0
    assert 'solved: 1 of 1' in capsys.readouterr().out


def gates_at(recording, step):
    return f'{topics.NAMESPACE}/{topics.LSTM_GATES.name}', int(recording.stamp_ns[step])


def rewrite(target, change, about=None):
    """Copy the run, each message through `change`; None leaves it out."""
    with Reader(RUN) as reader, BagWriter(target, reader.storage.metadata.custom if about is None else about) as writer:
        for connection in reader.connections:
            writer.add_topic(connection.topic, BY_NAME[connection.topic])
        for connection, stamp, cdr in reader.messages():
            header = np.frombuffer(cdr[4:12], dtype=np.int32)
            changed = change(connection.topic, int(header[0]) * 1_000_000_000 + int(header[1]), cdr)
            if changed is not None:
                writer.write(connection.topic, changed, stamp, stamp)
