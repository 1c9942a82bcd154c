"""Files gone wrong, bags and YAML: refused with a message or taken, never a crash."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from random import Random

import pytest
from fuzzing import promised
from mutate import mutated, mutated_yaml

ROOT = Path(__file__).parent.parent
CAMERA_INFO = """\
image_width: 640
image_height: 480
camera_name: webcam
camera_matrix: {rows: 3, cols: 3, data: [600.0, 0, 319.5, 0, 600.0, 239.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.001, 0.0, 0.0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [600.0, 0, 319.5, 0, 0, 600.0, 239.5, 0, 0, 0, 1, 0]}
"""


@pytest.mark.promise(
    'Bad input', 'bags with a mutated header or metadata: read, verified, repaired', quick=60, full=10_000
)
def test_bags(promise):
    promised(promise, 'test_fuzz_files', 'bags', 500)


@pytest.mark.promise('Bad input', 'mutated YAML: maze, worlds, camera_info', quick=150, full=5000)
def test_yaml(promise):
    promised(promise, 'test_fuzz_files', 'yaml_files', 500)


def in_a_folder():
    """A folder to work in, until the process ends."""
    folder = tempfile.TemporaryDirectory()
    os.chdir(folder.name)
    return folder, Path(folder.name)


def bags():
    """Ours, and the same as rosbag2 would have written it, in either of its formats: without our checksums."""
    from made import made_recording, with_live
    from rosbags.rosbag2 import Reader, StoragePlugin, Writer

    from maze_introspection.bag import read_recording, write_recording
    from maze_introspection.bag.writer import TYPES
    from maze_introspection.repair import recurrence_says, repair
    from maze_introspection.verify import verify

    def mend(bag):
        done = repair(bag, folder / 'repaired')
        assert list(done.lines())
        if done.out:
            recurrence_says(done.out)

    uses = (read_recording, mend, lambda bag: verify(bag).text(5))
    keep, folder = in_a_folder()
    recording = with_live(made_recording(steps=8, channels=3, resets=(0, 4)))
    write_recording(folder / 'ours', recording)
    for plugin in StoragePlugin:
        with (
            Writer(folder / plugin.name, version=8, storage_plugin=plugin) as writer,
            Reader(folder / 'ours') as reader,
        ):
            writer.set_custom_data('maze', json.dumps(recording.maze.as_dict()))
            topics = {
                one.topic: writer.add_connection(one.topic, one.msgtype, typestore=TYPES) for one in reader.connections
            }
            for connection, stamp_ns, cdr in reader.messages():
                writer.write(topics[connection.topic], stamp_ns, cdr)
    good = []
    for path in sorted(folder.iterdir()):
        assert read_recording(path).steps == 8
        [data] = (file for file in path.iterdir() if file.suffix != '.yaml')
        good.append((path / data.name, data.read_bytes(), (path / 'metadata.yaml').read_text()))

    def one(seed, keep=keep):
        random = Random(seed)
        path, data, text = random.choice(good)
        which = random.choice(('metadata', 'head', 'tail', 'anywhere'))
        changed, said = data, text.encode()
        if which == 'metadata':
            said = mutated_yaml(random, text)
        elif which == 'anywhere':
            changed = mutated(random, data, data)
        else:
            size = random.choice((20, 100, 600))
            head, rest = (data[:size], data[size:]) if which == 'head' else (data[:-size], data[-size:])
            changed = mutated(random, head) + rest if which == 'head' else head + mutated(random, rest)
        path.write_bytes(changed)
        (path.parent / 'metadata.yaml').write_bytes(said)
        shutil.rmtree(folder / 'repaired', ignore_errors=True)
        try:
            random.choice(uses)(path.parent)
        finally:
            assert not (folder / 'canary').exists()

    return one


def yaml_files():
    from maze_policy.camera_info import load_calibration
    from maze_policy.maze import load_maze
    from maze_policy.world import load_world

    keep, folder = in_a_folder()
    path = folder / 'bad.yaml'
    profile = (ROOT / 'config/profiles/real_like.yaml').read_text()
    readers = (
        (load_maze, (ROOT / 'config/maze.yaml').read_text()),
        (load_world, profile),
        (load_calibration, CAMERA_INFO),
    )

    def one(seed, keep=keep):
        random = Random(seed)
        read, text = random.choice(readers)
        path.write_bytes(mutated_yaml(random, text))
        try:
            read(path)
        except ValueError as error:
            if len(str(error)) > 10_000:
                raise AssertionError('who is to read that?') from error
            raise
        finally:
            assert not (folder / 'canary').exists()

    return one
