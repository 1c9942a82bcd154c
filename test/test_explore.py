from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from made import keeping, made_recording
from PIL import Image
from rosbags.rosbag2 import Reader
from test_statistics import hand_made

from maze_introspection.analysis import analyze
from maze_introspection.bag import BagError, BagWriter, read_recording, write_recording
from maze_introspection.bag.writer import TYPES
from maze_introspection.cli import main
from maze_introspection.config import IntrospectionConfig, ReportConfig
from maze_introspection.explore.bookmarks import crossings, flips, stalls
from maze_introspection.explore.change import changes, roles
from maze_introspection.explore.collect import TrialSet, collect, find_bags
from maze_introspection.explore.frames import frames
from maze_introspection.explore.pack import Blobs, side
from maze_introspection.explore.page import write_page
from maze_introspection.recording import join
from maze_introspection.selection import of_episode, telling_channel
from maze_policy.policy import OUTPUT
from maze_policy.topics import ALL, CAMERA_IMAGE, NAMESPACE

CONFIG = IntrospectionConfig()
RINGS = [[0.085, 0], [0.085, 0], [0.067, 0], [np.nan, np.nan], [0.05, 0], [0.05, 0]]  # 4 4 3 - 2 2


def test_flips_are_reversals_about_one_axis():
    made = hand_made(np.ones((6, 2)), [0, 1, 2, 3, 4, 0], RINGS)
    assert flips(made).tolist() == [1, 3]
    of_two_actions = replace(made.recording, readout=made.recording.readout[:2], scores=made.recording.scores[:, :2])
    assert flips(replace(made, recording=of_two_actions)).tolist() == [1, 2, 3, 4, 5]


def test_a_ring_crossing_wants_a_ring_on_both_sides_and_one_episode():
    made = hand_made(np.ones((6, 2)), [0] * 6, RINGS)
    assert crossings(made).tolist() == [2]
    two = replace(made.recording, episode=np.array([0, 0, 1, 1, 1, 1]), episode_ids=('a', 'b'))
    assert crossings(replace(made, recording=two)).tolist() == []
    assert crossings(replace(made, recording=replace(made.recording, maze=None))).tolist() == []


def test_a_stall_is_a_long_stay_in_one_place():
    x = np.concatenate([np.linspace(0, 0.04, 20), np.full(40, 0.04), np.linspace(0.05, 0.08, 10), np.full(20, 0.08)])
    ball_m = np.column_stack([x, np.zeros(len(x))])
    made = hand_made(np.ones((len(x), 1)), [0] * len(x), ball_m)
    ((begin, end),) = stalls(made, ReportConfig(stall_s=1.0, stall_m=0.001))
    assert (begin, end) == (19, 59)
    assert stalls(made, ReportConfig(stall_s=2.0, stall_m=0.001)) == []
    ball_m[40] = np.nan  # nobody knows that it stayed
    assert stalls(hand_made(np.ones((len(x), 1)), [0] * len(x), ball_m), ReportConfig(stall_m=0.001)) == []


def test_change_is_the_share_of_time_that_would_have_to_be_spent_otherwise():
    ball_m = np.full((4, 2), 0.05)
    one = hand_made([[1, 1], [1, 0], [0, 0], [0, 0]], [0, 0, 1, 1], ball_m)
    other = hand_made([[0, 1], [0, 0], [1, 0], [0, 0]], [0, 0, 1, 1], ball_m)
    np.testing.assert_allclose(roles(one)[0], [0.5, 0, 0, 0, 0, 0.5])
    np.testing.assert_allclose(roles(one).sum(axis=1), 1)
    np.testing.assert_allclose(changes(one, other), [0.5, 0])
    np.testing.assert_allclose(changes(one, one), 0)
    with pytest.raises(ValueError, match='got 2 and 3 channels'):
        changes(one, hand_made([[1, 0, 0]] * 4, [0] * 4, ball_m))


@pytest.fixture
def folder(tmp_path):
    """Two good bags that both begin at the same time, and one that is empty."""
    recording = made_recording(120, 8, resets=(0, 70))
    for name in ('a', 'b'):
        write_recording(tmp_path / name, recording, observations=np.full((120, 84, 84), 90, dtype=np.uint8))
    write_recording(tmp_path / 'c', replace(keeping(recording, np.zeros(120, dtype=bool)), episode_ids=()))
    (tmp_path / 'figures').mkdir()
    return tmp_path


def test_a_folder_is_one_set_of_episodes(folder):
    assert [path.name for path in find_bags(folder)] == ['a', 'b', 'c']
    trials = collect([folder], CONFIG)
    assert trials.label == folder.name
    assert [(bag.path.name, bag.first) for bag in trials.bags] == [('a', 0), ('b', 120)]
    assert len(trials.problems) == 1
    assert 'c holds no message' in trials.problems[0]
    recording, alone = trials.analysis.recording, made_recording(120, 8, resets=(0, 70))
    assert recording.episode_ids == ('episode-0', 'episode-1') * 2
    assert trials.analysis.complete
    offsets = analyze(alone, CONFIG).offsets
    for first in (0, 120):
        found = trials.analysis.offsets[(trials.analysis.offsets['t'] // 120) == first // 120]
        np.testing.assert_array_equal(found['t'] - first, offsets['t'])
        np.testing.assert_array_equal(found['offset'], offsets['offset'])


def test_what_is_no_bag_says_so(folder):
    with pytest.raises(BagError, match='want a bag or a folder of bags'):
        find_bags(folder / 'figures')
    assert 'there is no bag' in collect([folder / 'nothing'], CONFIG).problems[0]
    other = made_recording(50, 8, seed=5)
    write_recording(folder / 'other', other)
    with pytest.raises(ValueError, match='want one policy'):
        collect([folder], CONFIG)


def test_pictures_are_thinned_out_to_fit(folder):
    trials = collect([folder / 'a', folder / 'b'], CONFIG)
    every = frames(trials, 1e6)
    assert (every.what, every.every, len(every.step)) == ('what the policy saw', 1, 240)
    assert len(every.sheets) == 4
    room = sum(map(len, every.sheets)) / 3
    fewer = frames(trials, room)
    assert fewer.every >= 3
    assert sum(map(len, fewer.sheets)) <= room
    assert list(fewer.step) == [first + step for first in (0, 120) for step in range(0, 120, fewer.every)]
    assert 'no room' in frames(trials, 1).what
    assert frames(collect([folder / 'c'], CONFIG), 1e6).step == ()


def test_the_page_is_told_what_is_missing_how_fast_it_was_and_where_to_begin():
    first, second = made_recording(40, 8, solved=False), made_recording(60, 8, seed=0)
    second = keeping(
        replace(second, readout=first.readout, scores=second.hidden @ first.readout[:, :-1].T),
        ~np.isin(np.arange(60), 20),
    )
    joined = join([first, replace(second, stamp_ns=second.stamp_ns + 10**12)], 'both')
    gates = joined.gates.copy()
    gates[70, 3, 0] /= 2
    analysis = analyze(replace(joined, gates=gates), CONFIG)
    told = side(TrialSet('both', analysis, (), ()), ReportConfig(), Blobs())
    assert (told['missing'], told['corrupt']) == ([60], analysis.corrupt.tolist())
    assert 70 in told['corrupt']
    assert told['period_s'] == pytest.approx(1 / 30, rel=1e-6)
    assert told['start']['episode'] == 1, 'the first that was solved'
    assert told['start']['channel'] == telling_channel(of_episode(analysis, 1), OUTPUT)


def test_another_maze_takes_the_place_of_the_recorded_one(folder):
    maze = replace(made_recording(2, 2).maze, rim_radius_m=0.0975)
    trials = collect([folder / 'a', folder / 'b'], CONFIG, maze=maze)
    assert trials.analysis.recording.maze == maze


def filmed(path, name, pictures, encoding='rgb8'):
    """A copy of a bag with the camera's pictures: by step, (H, W, 3)."""
    with Reader(path) as bag, BagWriter(path.with_name(name), bag.storage.metadata.custom) as writer:
        for connection in bag.connections:
            writer.add_topic(connection.topic, next(topic for topic in ALL if connection.topic.endswith(topic.name)))
        camera = f'{NAMESPACE}/{CAMERA_IMAGE.name}'
        writer.add_topic(camera, CAMERA_IMAGE)
        for connection, stamp, cdr in bag.messages():
            writer.write(connection.topic, bytes(cdr), stamp, stamp)
        for step, stamp in enumerate(read_recording(path).stamp_ns.tolist()):
            if step in pictures:
                picture = pictures[step]
                time = TYPES.types['builtin_interfaces/msg/Time'](*divmod(stamp, 1_000_000_000))
                message = TYPES.types[CAMERA_IMAGE.type](
                    header=TYPES.types['std_msgs/msg/Header'](time, 'camera'),
                    height=picture.shape[0],
                    width=picture.shape[1],
                    encoding=encoding,
                    is_bigendian=0,
                    step=picture[0].nbytes,
                    data=picture.reshape(-1),
                )
                writer.write(camera, TYPES.serialize_cdr(message, CAMERA_IMAGE.type), stamp, stamp)
    return path.with_name(name)


def tiles(found):
    """The pictures of all sheets, (N, H, W, 3)."""
    sheets = [np.asarray(Image.open(io.BytesIO(sheet)).convert('RGB')) for sheet in found.sheets]
    shape = (-1, found.height_px, 8, found.width_px, 3)
    rows = np.concatenate([sheet.reshape(shape).swapaxes(1, 2) for sheet in sheets])
    return rows.reshape(-1, found.height_px, found.width_px, 3)[: len(found.step)]


def test_camera_pictures_are_those_of_their_steps(folder):
    """Red tells the step, green the row: neither may be swapped, shifted or turned."""
    there = [step for step in range(120) if step not in (3, 70)]  # the camera's picture of two steps was lost
    picture = np.zeros((480, 640, 3), dtype=np.uint8)
    picture[:240, :, 1] = 200
    bag = filmed(folder / 'a', 'film', {step: picture + np.uint8([2 * step, 0, 0]) for step in there})
    found = frames(collect([bag], CONFIG), 1e6)
    assert (found.what, found.width_px, found.height_px, list(found.step)) == ('camera', 224, 168, there)
    seen = tiles(found).astype(int)
    np.testing.assert_allclose(seen[:, 40, 100, 1] - seen[:, 120, 100, 1], 200, atol=12)
    np.testing.assert_allclose(seen[:, 120, 100, 0], 2 * np.array(there), atol=12)


def test_without_the_camera_in_every_bag_it_is_what_the_policy_saw(folder):
    picture = {step: np.zeros((48, 64, 3), dtype=np.uint8) for step in range(120)}
    filmed(folder / 'a', 'film', picture)
    both = frames(collect([folder / 'film', folder / 'b'], CONFIG), 1e6)
    assert (both.what, len(both.step), both.problems) == ('what the policy saw', 240, ())
    trials = collect([filmed(folder / 'b', 'blue', picture, encoding='bgr8')], CONFIG)
    found = frames(trials, 1e6)
    assert (found.what, len(found.step)) == ('what the policy saw', 120)
    assert 'want mono8 or rgb8 on camera/image_raw, got bgr8' in found.problems[0]
    write_page([trials], folder / 'blue.html', ReportConfig())
    assert 'got bgr8' in (folder / 'blue.html').read_text()


def test_the_file_is_never_larger_than_the_limit(tmp_path):
    """A bag whose pictures compress badly: more than there is room for."""
    pictures = np.random.default_rng(0).integers(0, 256, (130, 84, 84), dtype=np.uint8)
    write_recording(tmp_path / 'bag', made_recording(130, 4), observations=pictures)
    noisy, out = collect([tmp_path / 'bag'], CONFIG), tmp_path / 'report.html'
    numbers = write_page([noisy], out, ReportConfig(limit_mb=1.0))
    whole = write_page([noisy], out, ReportConfig(limit_mb=100.0))
    assert whole - numbers > 400_000
    for limit in (whole, whole - 1, *np.linspace(numbers + 50_000, whole, 4).astype(int).tolist()):
        size = write_page([noisy], out, ReportConfig(limit_mb=limit / 1e6))
        assert size == out.stat().st_size
        assert numbers + (limit - numbers) / 3 < size <= limit


def test_sets_of_one_name_are_told_apart(folder, capsys):
    (folder / 'x').mkdir()
    (folder / 'x' / 'a').symlink_to(folder / 'a')
    out = folder / 'both.html'
    assert main(['report', str(folder / 'a'), '--compare', str(folder / 'x' / 'a'), '--out', str(out)]) == 0
    said = capsys.readouterr().out
    assert f'{folder / "a"}: 1 bag' in said
    assert f'{folder / "x" / "a"}: 1 bag' in said


def test_the_command_says_what_it_left_out_and_how_large_the_file_is(folder, tmp_path, capsys):
    out = tmp_path / 'made' / 'report.html'
    assert main(['report', str(folder), '--out', str(out)]) == 1
    said = capsys.readouterr()
    assert f'{out}: {out.stat().st_size / 1e6:.1f} MB' in said.out
    assert 'c holds no message' in said.err
    assert 'limit' not in said.err
    main(['report', str(folder / 'a'), '--out', str(out), '--limit-mb', '1'])
    assert 'more than --limit-mb 1' in capsys.readouterr().err
    assert main(['report', str(folder / 'c'), '--out', str(out)]) == 2
    assert main(['report', str(folder / 'figures'), '--out', str(out)]) == 2
    assert main(['report', str(folder / 'a'), '--out', str(folder)]) == 2
    assert 'want a file to write for --out, got the folder' in capsys.readouterr().err
    assert (
        main(['report', str(folder / 'a'), str(folder / 'b'), '--compare', str(folder / 'b'), '--out', str(out)]) == 0
    )
