import functools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from looking import MAZE, scene
from scripted import Scripted
from std_srvs.srv import Trigger

from maze_policy import messages, topics
from maze_policy.board import board_of
from maze_policy.observation import observe
from maze_policy.policy_node import PolicyNode
from maze_policy.scene_camera import SceneCamera

OUTPUTS = (
    topics.OBSERVATION,
    topics.LSTM_GATES,
    topics.LSTM_STATE,
    topics.ACTION_SCORES,
    topics.TILT_COMMAND,
    topics.READOUT,
    topics.EPISODE,
)
STEP_RAD = np.radians(0.5)
PATIENT = {'max_age_s': 10.0, 'level_after_s': 10.0, 'forget_after_s': 100.0}  # a busy machine is no silence


class Bench:
    """A policy node, and a camera and ears in the test's hands."""

    def __init__(self, graph, policy=None, **parameters):
        self.graph, self.policy = graph, policy or Scripted()
        self.probe = graph.probe()
        self.probe.hear(*OUTPUTS)
        self.probe.publisher(topics.CAMERA_IMAGE)
        self.node = graph.add(functools.partial(PolicyNode, self.policy), **(PATIENT | parameters))
        graph.until(lambda: self.probe.matched(topics.CAMERA_IMAGE))
        graph.until(lambda: self.heard(topics.READOUT))

    def heard(self, topic):
        return self.probe.heard[topic]

    def frame(self, grey=0, age_s=0.0, stamp_ns=None):
        stamp_ns = stamp_ns or self.node.now_ns() - int(age_s * 1e9)
        return messages.picture_message(messages.header_at(stamp_ns, 'camera'), np.full((84, 84, 3), grey, np.uint8))

    def show(self, message):
        self.probe.say(topics.CAMERA_IMAGE, message)

    def play(self, *greys):
        """Show frames, each once the one before was answered."""
        for grey in greys:
            frame = self.frame(grey)
            self.show(frame)
            self.graph.until(lambda frame=frame: all(self.answered(topic, frame) for topic in OUTPUTS[:5]))

    def answered(self, topic, frame):
        return any(message.header == frame.header for message in self.heard(topic)[-5:])

    def refused(self, kind):
        self.graph.until(lambda: self.node.health.refused(kind))

    @property
    def last_tilt(self):
        return messages.tilt(self.heard(topics.TILT_COMMAND)[-1])

    def reset(self):
        client = self.probe.node.create_client(Trigger, topics.RESET_SERVICE)
        self.graph.until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.graph.until(future.done)
        return future.result()


@pytest.fixture
def bench(graph):
    return functools.partial(Bench, graph)


def test_everything_about_a_frame_carries_its_header(bench):
    b = bench()
    frame = b.frame(grey=90)
    b.show(frame)
    b.graph.until(lambda: all(b.heard(topic) for topic in OUTPUTS))
    for topic in OUTPUTS[:5]:
        assert b.heard(topic)[0].header == frame.header, topic.name
    assert (messages.picture(b.heard(topics.OBSERVATION)[0], 'mono8', (84, 84)) == 90).all()
    assert messages.matrix(b.heard(topics.LSTM_GATES)[0]).shape == (4, 3)
    assert messages.matrix(b.heard(topics.LSTM_STATE)[0]).tolist() == [[0.5] * 3] * 2
    assert messages.matrix(b.heard(topics.ACTION_SCORES)[0]).tolist() == [[1, 0, 0, 0, 0]]
    np.testing.assert_array_equal(messages.matrix(b.heard(topics.READOUT)[0]), b.policy.readout)
    episode = b.heard(topics.EPISODE)[0]
    assert (episode.stamp, episode.frame_id) == (frame.header.stamp, 'episode-0001')


def test_memory_carries_over_and_the_tilt_adds_up_to_its_limit(bench):
    b = bench(physics__tilt_limit_deg=1.0)
    b.play(10, 20, 30)
    assert b.policy.seen == [(10, 0), (20, 1), (30, 2)]
    commands = [messages.tilt(message).tolist() for message in b.heard(topics.TILT_COMMAND)]
    np.testing.assert_allclose(commands, [[STEP_RAD, 0], [2 * STEP_RAD, 0], [2 * STEP_RAD, 0]])


def test_a_late_listener_still_gets_readout_and_episode(bench):
    b = bench()
    b.play(10)
    late = b.graph.probe()
    late.hear(topics.READOUT, topics.EPISODE)
    b.graph.until(lambda: late.heard[topics.READOUT] and late.heard[topics.EPISODE])


def test_the_reset_service_levels_the_board_and_starts_an_episode(bench):
    b = bench()
    b.play(10, 20)
    assert b.reset().success
    b.graph.until(lambda: not b.last_tilt.any())
    b.play(30)
    assert b.policy.seen[-1] == (30, 0)
    b.graph.until(lambda: b.heard(topics.EPISODE)[-1].frame_id == 'episode-0002')
    assert b.heard(topics.EPISODE)[-1].stamp == b.heard(topics.ACTION_SCORES)[-1].header.stamp
    np.testing.assert_allclose(b.last_tilt, [STEP_RAD, 0])


@pytest.mark.parametrize(
    ('spoil', 'kind'),
    [
        (lambda b, last: b.frame(age_s=11.0), 'stale frame'),
        (lambda b, last: b.frame(age_s=-60.0), 'frame from the future'),
        (lambda b, last: last, 'repeated frame'),
        (lambda b, last: b.frame(stamp_ns=messages.stamp_ns(last.header) - 1), 'out-of-order frame'),
    ],
)
def test_a_frame_at_the_wrong_time_never_reaches_the_memory(bench, spoil, kind):
    b = bench()
    b.probe.hear(topics.DIAGNOSTICS)
    last = b.frame(10)
    b.show(last)
    b.graph.until(lambda: b.policy.seen)
    b.show(spoil(b, last))
    b.refused(kind)
    b.play(20)
    assert b.policy.seen == [(10, 0), (20, 1)]
    b.graph.until(lambda: any(kind in status.message for m in b.probe.heard[topics.DIAGNOSTICS] for status in m.status))


def changed(**fields):
    def spoil(b):
        message = b.frame()
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    return spoil


@pytest.mark.parametrize(
    ('spoil', 'says'),
    [
        (changed(encoding='bgr8'), "want encoding rgb8, got 'bgr8'"),
        (changed(height=83), 'want 20916 B of data, got 21168 B'),
        (changed(step=253), 'want a step of 252 B'),
        (changed(is_bigendian=1), 'want little-endian'),
        (changed(height=0, width=0, step=0, data=b''), 'got 0 x 0'),
        (changed(height=42, data=b'\0' * 42 * 252), 'want an image at least as wide as high and 84 px high'),
    ],
)
def test_a_malformed_frame_never_reaches_the_memory(bench, spoil, says):
    b = bench()
    b.show(spoil(b))
    b.refused('malformed frame')
    assert says in b.node.health.report(1.0).summary
    b.play(20)
    assert b.policy.seen == [(20, 0)]


def test_scores_that_are_not_finite_level_the_board_and_are_reported(bench):
    b = bench()
    b.play(10, 20)
    b.policy.fault = 'nan'
    frame = b.frame(30)
    b.show(frame)
    b.graph.until(lambda: b.heard(topics.TILT_COMMAND)[-1].header == frame.header)
    assert not b.last_tilt.any()
    report = b.node.health.report(1.0)
    assert report.level == 2
    assert 'want finite scores' in report.summary
    b.policy.fault = None
    b.play(40)
    assert b.policy.seen[-1] == (40, 0), 'a memory that may be poisoned is not used again'
    assert len(b.heard(topics.LSTM_GATES)) == 3, 'nothing that is not finite is told'


def test_a_silent_camera_levels_the_board_once_with_a_reason(bench):
    b = bench(level_after_s=0.3)
    b.play(10)
    b.graph.until(lambda: not b.last_tilt.any())
    count = len(b.heard(topics.TILT_COMMAND))
    b.graph.spin_for(0.5)
    assert len(b.heard(topics.TILT_COMMAND)) == count
    b.play(20)
    assert b.policy.seen[-1] == (20, 1), 'a short silence keeps the memory'


def test_a_long_silence_resets_the_memory(bench):
    b = bench(level_after_s=0.1, forget_after_s=0.3)
    b.play(10, 20)
    b.graph.until(lambda: b.node._memory is None)
    b.play(30)
    assert b.policy.seen[-1] == (30, 0)
    b.graph.until(lambda: b.heard(topics.EPISODE)[-1].stamp == b.heard(topics.ACTION_SCORES)[-1].header.stamp)
    assert b.heard(topics.EPISODE)[-1].frame_id != 'episode-0001'


def test_refused_frames_do_not_feed_the_watchdog(bench):
    b = bench(level_after_s=0.3, max_age_s=10.0)
    b.play(10)

    def levelled():
        b.show(b.frame(age_s=20.0))
        return not b.last_tilt.any()

    b.graph.until(levelled)


def test_the_board_is_levelled_at_the_end(bench):
    b = bench()
    b.play(10)
    assert b.last_tilt.any()
    b.node.last_words()
    b.graph.until(lambda: not b.last_tilt.any())


def start(domain, *parameters, **options):
    arguments = ['--ros-args', '-r', '__ns:=/maze']
    for parameter in parameters:
        arguments += ['-p', parameter]
    return subprocess.Popen(
        [sys.executable, '-m', 'maze_policy.policy_node', *arguments],
        env=os.environ | {'ROS_DOMAIN_ID': str(domain)},
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        **options,
    )


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_levels_the_board_within_a_moment_and_ends_with_0(graph, domain, number):
    probe = graph.probe()
    probe.hear(topics.TILT_COMMAND, topics.LSTM_STATE)
    probe.publisher(topics.CAMERA_IMAGE)
    process = start(domain, 'max_age_s:=10.0', 'level_after_s:=10.0')
    try:
        graph.until(lambda: probe.matched(topics.CAMERA_IMAGE), 120)

        def tilted():
            now = messages.header_at(time.time_ns(), 'camera')
            probe.say(topics.CAMERA_IMAGE, messages.picture_message(now, np.full((480, 640, 3), 80, np.uint8)))
            return any(messages.tilt(message).any() for message in probe.heard[topics.TILT_COMMAND][-1:])

        graph.until(tilted)
        process.send_signal(number)
        graph.until(lambda: not messages.tilt(probe.heard[topics.TILT_COMMAND][-1]).any())
        graph.until(lambda: process.poll() is not None)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def test_an_exception_levels_the_board(bench):
    """The end of `run` is tested with base_node; here: what the node leaves behind when its policy fails."""
    b = bench()
    b.play(10)
    b.policy.fault = RuntimeError('the policy broke')
    b.show(b.frame(20))
    with pytest.raises(RuntimeError, match='the policy broke'):
        b.graph.until(lambda: False, 30)
    b.node.last_words()
    b.graph.until(lambda: not b.last_tilt.any())


@pytest.mark.parametrize(
    ('make', 'says'),
    [
        (lambda folder: None, 'want the description'),
        (lambda folder: copy_with_flipped_byte(folder), 'want SHA-256'),
    ],
)
def test_a_bad_checkpoint_ends_with_one_clear_line(domain, tmp_path, make, says):
    make(tmp_path)
    process = start(domain, f'checkpoint:={tmp_path}/mine.safetensors')
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.fullmatch(rf'policy_node: .*{says}.*\n', error), error


def copy_with_flipped_byte(folder):
    from maze_policy.share import checkpoint_path

    weights = bytearray(checkpoint_path().read_bytes())
    weights[len(weights) // 2] ^= 1
    (folder / 'mine.safetensors').write_bytes(weights)
    (folder / 'mine.json').write_bytes(checkpoint_path().with_suffix('.json').read_bytes())


@pytest.mark.parametrize('reset', [False, True])
def test_after_a_long_silence_the_clock_may_have_been_set_back(bench, reset):
    made = bench(forget_after_s=0.2, max_age_s=10.0)
    made.play(1)
    if reset:
        made.reset()
    made.graph.until(lambda: made.node._memory is None and made.node._fresh._last_ns is None)
    earlier = made.frame(2, age_s=5.0)
    made.show(earlier)
    made.graph.until(lambda: made.answered(topics.LSTM_GATES, earlier))
    assert made.policy.seen[-1] == (2, 0)


def test_a_malformed_frame_does_not_use_up_its_stamp(bench):
    made = bench()
    good = made.frame(3)
    bad = messages.picture_message(good.header, np.zeros((84, 84, 3), np.uint8))
    bad.step += 1
    made.show(bad)
    made.refused('malformed frame')
    made.show(good)
    made.graph.until(lambda: made.answered(topics.LSTM_GATES, good))


@pytest.fixture(scope='module')
def over_the_board():
    """Pictures of a calibrated camera over the board, over a table without one, and its parameters."""
    camera = SceneCamera(MAZE, scene('randomised', 0))
    board = board_of(camera.pinhole, 640, 480, MAZE, 0.01)
    picture = camera.picture((0.03, 0.04), (0.0, 0.0))
    return picture, np.full_like(picture, 90), board


class Camera(Bench):
    """Shows pictures at a steady pace, as a camera does, whether they are answered or not."""

    def film(self, picture, until):
        frames = []

        def shown():
            frame = messages.picture_message(messages.header_at(self.node.now_ns(), 'camera'), picture)
            frames.append(frame)
            self.show(frame)
            return until()

        self.graph.until(shown)
        return frames


def board_parameters(board):
    return {f'board__{name}': value for name, value in board.as_dict().items() if value != ()}


def test_sees_the_board_from_straight_above_where_it_was_calibrated(graph, over_the_board):
    picture, _, board = over_the_board
    bench = Camera(graph, board_check_s=0.05, **board_parameters(board))
    bench.film(picture, lambda: bench.heard(topics.TILT_COMMAND))
    seen = messages.picture(bench.heard(topics.OBSERVATION)[0], 'mono8', (84, 84))
    assert (seen == observe(picture, board)).all()
    assert not (seen == observe(picture)).all()


def test_without_the_board_in_view_it_never_plays_and_says_why(graph, over_the_board):
    _, table, board = over_the_board
    bench = Camera(graph, board_check_s=0.05, **board_parameters(board))
    bench.film(table, lambda: bench.node.health.refused('frame without the board') > 5)
    assert not bench.heard(topics.TILT_COMMAND)
    assert not bench.heard(topics.LSTM_GATES)
    assert not bench.policy.seen
    reason = bench.node.health.report(1.0).values['last reason: frame without the board']
    assert reason.startswith('the board is not where it was calibrated')


def test_a_board_that_goes_away_levels_and_a_new_episode_begins_when_it_is_back(graph, over_the_board):
    picture, table, board = over_the_board
    bench = Camera(graph, board_check_s=0.05, **board_parameters(board))
    bench.film(picture, lambda: len(bench.heard(topics.TILT_COMMAND)) > 3)
    assert messages.tilt(bench.heard(topics.TILT_COMMAND)[-1]).any()
    bench.film(table, lambda: bench.node.health.refused('frame without the board') > 3)
    graph.until(lambda: not messages.tilt(bench.heard(topics.TILT_COMMAND)[-1]).any())
    said = len(bench.heard(topics.TILT_COMMAND))
    bench.film(picture, lambda: len(bench.heard(topics.TILT_COMMAND)) > said)
    graph.until(lambda: len(bench.heard(topics.EPISODE)) == 2)


def test_a_policy_that_is_activated_again_looks_for_the_board_before_it_plays(graph, over_the_board):
    picture, table, board = over_the_board
    bench = Camera(graph, board_check_s=0.05, **board_parameters(board))
    bench.film(picture, lambda: len(bench.heard(topics.TILT_COMMAND)) > 3)
    bench.node.trigger_deactivate()
    seen = len(bench.policy.seen)
    bench.node.trigger_activate()
    bench.film(table, lambda: bench.node.health.refused('frame without the board') > 3)
    assert len(bench.policy.seen) == seen


def test_the_first_frame_need_not_wait_for_the_top_view_to_be_worked_out(graph, over_the_board, monkeypatch):
    picture, _, board = over_the_board
    bench = Camera(graph, board_check_s=0.05, **board_parameters(board))
    monkeypatch.setattr(type(board), 'camera', property(lambda _: pytest.fail('worked out late')))
    observe(picture, bench.node._board)
