import functools
import os
import subprocess
import sys

import numpy as np
import pytest
from looking import LEVEL, MAZE, scene_camera

from maze_policy import messages, topics
from maze_policy.ball_tracker_node import BallTrackerNode
from maze_policy.board import board_of

CAMERA = scene_camera('real_like', 0)
BOARD = {
    f'board__{name}': value for name, value in board_of(CAMERA.pinhole, 640, 480, MAZE, 0.01).as_dict().items() if value
}
AWAY = (1.0, 1.0)  # a board without a ball


@functools.cache
def picture(position=(0.0675, 0.0), tilt=LEVEL):
    return CAMERA.picture(position, tilt)


class Bench:
    """A ball tracker, and a camera and ears in the test's hands."""

    def __init__(self, graph, **parameters):
        self.graph, self.probe = graph, graph.probe()
        self.probe.hear(topics.BALL, topics.DIAGNOSTICS)
        self.probe.publisher(topics.CAMERA_IMAGE)
        self.node = graph.add(BallTrackerNode, **({'max_age_s': 10.0} | BOARD | parameters))
        graph.until(lambda: self.probe.matched(topics.CAMERA_IMAGE))

    @property
    def balls(self):
        return self.probe.heard[topics.BALL]

    def show(self, image, stamp_ns=None):
        header = messages.header_at(stamp_ns or self.node.now_ns(), 'camera')
        self.probe.say(topics.CAMERA_IMAGE, messages.picture_message(header, image))
        return messages.stamp_ns(header)

    def looked_at(self, count):
        self.graph.until(lambda: self.node.health.counted('frames') >= count)

    def told(self, key):
        """Wait for /diagnostics to tell something, and return the last of it."""

        def values():
            statuses = (status for message in self.probe.heard[topics.DIAGNOSTICS] for status in message.status)
            return [pair.value for status in statuses for pair in status.values if pair.key == key]

        self.graph.until(values)
        return values()[-1]


@pytest.fixture
def bench(graph):
    return functools.partial(Bench, graph)


def test_says_where_the_ball_is_under_the_frames_stamp(bench):
    b = bench()
    for count, (position, tilt) in enumerate([((0.0675, 0.0), LEVEL), ((-0.03, 0.08), (0.05, -0.06))], 1):
        stamp_ns = b.show(picture(position, tilt))
        b.graph.until(lambda count=count: len(b.balls) == count)
        assert messages.stamp_ns(b.balls[-1].header) == stamp_ns
        assert b.balls[-1].header.frame_id == 'maze'
        assert b.balls[-1].point.z == 0
        np.testing.assert_allclose(messages.ball(b.balls[-1]), position, atol=4e-4)
    assert int(b.told('balls')) >= 1
    assert float(b.told('stamp to ball, longest, ms')) > 0


def test_a_frame_without_a_ball_says_nothing_and_is_counted(bench):
    b = bench()
    b.show(picture(AWAY))
    b.looked_at(1)
    b.show(picture())
    b.graph.until(lambda: b.balls)
    assert len(b.balls) == 1
    assert b.node.health.counted('misses') == 1
    assert int(b.told('misses')) == 1
    assert 'no ball: want something 8% brighter than the floor' in b.told('last reason: frame without a ball')


def test_without_a_board_it_says_what_to_do(bench):
    b = bench()
    b.show(np.full_like(picture(), 90))
    b.looked_at(1)
    assert 'run maze-policy calibrate again' in b.told('last reason: frame without the board')
    assert not b.balls


@pytest.mark.parametrize(
    ('later_ns', 'kind'),
    [
        (0, 'repeated frame'),
        (-1, 'out-of-order frame'),
        (60 * 10**9, 'frame from the future'),
        (-(10**11), 'stale frame'),
    ],
)
def test_a_frame_at_the_wrong_time_is_not_looked_at(bench, later_ns, kind):
    b = bench()
    stamp_ns = b.show(picture())
    b.looked_at(1)
    b.show(picture(), stamp_ns + later_ns)
    b.graph.until(lambda: b.node.health.refused(kind))
    b.show(picture())
    b.graph.until(lambda: len(b.balls) == 2)


def test_a_picture_of_another_size_is_refused(bench):
    b = bench()
    b.show(np.zeros((240, 320, 3), np.uint8))
    b.graph.until(lambda: b.node.health.refused('malformed frame'))
    assert 'want pictures of 640 x 480 px as calibrated, got 320 x 240 px' in b.told('last reason: malformed frame')


def test_an_old_recording_may_be_played_again_after_a_pause(bench):
    """A frame after a second of silence may be of an earlier time; nothing else may."""
    b = bench(max_age_s=10.0)
    stamp_ns = b.show(picture())
    b.looked_at(1)
    b.node._used_s -= 2
    b.show(picture(), stamp_ns - 10**6)
    b.graph.until(lambda: len(b.balls) == 2)


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [
        (
            [],
            'ball_tracker_node: want a calibration of the board: run maze-policy calibrate and give its file',
        ),
        (['-p', 'board.width_px:=640'], 'ball_tracker_node: parameters board: camera_matrix wants 4 numbers, got 0'),
        (['-p', 'least_contrats:=0.1'], "there is no parameter 'least_contrats'; did you mean 'least_contrast'?"),
    ],
)
def test_without_a_calibration_it_says_what_to_do(arguments, says):
    command = [sys.executable, '-m', 'maze_policy.ball_tracker_node', '--ros-args', *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=60)
    assert ended.returncode == 1
    assert says in ended.stderr
    assert 'Traceback' not in ended.stderr
