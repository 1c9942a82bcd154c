"""A live run recorded once over DDS, on another machine: here its numbers must come out the same to the last bit.

test/data/live_run is `make demo`'s bag without pictures, plots and camera: one solved episode of the shipped policy.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from maze_introspection.analysis import analyze, compare_live
from maze_introspection.bag import BagWriter, read_recording
from maze_introspection.cli import main
from maze_introspection.config import IntrospectionConfig
from maze_introspection.statistics import episodes
from maze_policy import topics
from maze_policy.checkpoint import load_policy

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


def test_it_is_the_shipped_policy_that_played(recording):
    np.testing.assert_array_equal(recording.readout, load_policy().readout)


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


def gates_at(recording, step):
    return f'{topics.NAMESPACE}/{topics.LSTM_GATES.name}', int(recording.stamp_ns[step])


def rewrite(target, change):
    """Copy the run, each message through `change`; None leaves it out."""
    with Reader(RUN) as reader, BagWriter(target, reader.storage.metadata.custom) as writer:
        for connection in reader.connections:
            writer.add_topic(connection.topic, BY_NAME[connection.topic])
        for connection, stamp, cdr in reader.messages():
            header = np.frombuffer(cdr[4:12], dtype=np.int32)
            changed = change(connection.topic, int(header[0]) * 1_000_000_000 + int(header[1]), cdr)
            if changed is not None:
                writer.write(connection.topic, changed, stamp, stamp)
