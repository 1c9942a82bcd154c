import os
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from conftest import DEADLINE_S, Probe
from mjpeg import MjpegServer
from stand_in_plant import read_number, write_number
from test_camera_info import WEBCAM
from test_capture import pictures, write_folder, write_video

from maze_policy import messages, topics
from maze_policy.camera_node import CameraNode


class Viewer:
    """Takes all that a camera says, under the name of the recorder, which a camera can be told to wait for."""

    def __init__(self, graph):
        import rclpy

        node = rclpy.create_node('recorder', context=graph.context, namespace='/maze', use_global_arguments=False)
        graph.executor.add_node(node)
        graph.nodes.append(node)
        self.graph, self.probe = graph, Probe(node)
        self.probe.hear(topics.CAMERA_IMAGE, topics.CAMERA_INFO, topics.DIAGNOSTICS)
        self.images, self.infos, self.diagnostics = self.probe.heard.values()

    def watch(self, source, **parameters):
        """A camera that begins when this listens."""
        return self.graph.add(CameraNode, source=str(source), wait_for=['recorder'], **parameters)

    def play(self, source, **parameters):
        """A camera that was watched to its end."""
        node = self.watch(source, **parameters)
        self.graph.until(lambda: node.exit_code is not None)
        self.graph.until(lambda: len(self.images) == len(self.infos) == node.health.counted('frames'))
        return node

    def stamps_ns(self):
        return np.array([messages.stamp_ns(message.header) for message in self.images])

    def pictures(self):
        return np.array([messages.picture(message, 'rgb8') for message in self.images])

    def told(self, key):
        """The last value of this key on /diagnostics."""
        values = [pair.value for message in self.diagnostics for pair in message.status[0].values if pair.key == key]
        return values[-1] if values else None


@pytest.fixture
def viewer(graph):
    return Viewer(graph)


@pytest.mark.parametrize(('write', 'name'), [(write_video, 'run.avi'), (write_folder, 'run')])
def test_every_picture_of_a_recording_arrives_to_the_last_bit_at_its_rate(viewer, tmp_path, write, name):
    images = pictures(30, (96, 128))
    node = viewer.play(write(tmp_path / name, images), rate_hz=60.0, frame_id='overhead')
    assert node.exit_code == 0
    np.testing.assert_array_equal(viewer.pictures(), images)
    steps_s = np.diff(viewer.stamps_ns()) / 1e9
    assert (steps_s > 0).all()
    assert np.median(steps_s) == pytest.approx(1 / 60, rel=0.02)
    assert steps_s.min() > 0.9 / 60  # the schedule's own times, not those of a busy machine
    assert [message.header for message in viewer.infos] == [message.header for message in viewer.images]
    assert {message.header.frame_id for message in viewer.images} == {'overhead'}


def test_stamps_are_on_the_nodes_clock(viewer, tmp_path):
    node = viewer.watch(write_folder(tmp_path / 'run', pictures(3)), rate_hz=100.0, loop=True)
    viewer.graph.until(lambda: len(viewer.images) >= 10)
    age_s = (node.now_ns() - viewer.stamps_ns()[-1]) / 1e9
    assert 0 < age_s < 1
    assert node.exit_code is None


def test_with_simulated_time_nothing_is_shown_before_the_clock_runs_and_then_on_it(viewer, tmp_path):
    from rosgraph_msgs.msg import Clock

    viewer.watch(write_folder(tmp_path / 'run', pictures(3)), rate_hz=100.0, loop=True, use_sim_time=True)
    viewer.graph.until(lambda: viewer.probe.matched())
    viewer.graph.spin_for(0.2)
    assert not viewer.images
    clock = viewer.probe.node.create_publisher(Clock, '/clock', 10)
    message = Clock()

    def runs():
        message.clock.sec += 1
        clock.publish(message)
        return len(viewer.images) >= 5

    message.clock.sec = 1000
    viewer.graph.until(runs)
    assert (viewer.stamps_ns() > 999e9).all()
    assert (viewer.stamps_ns() <= message.clock.sec * 1e9).all()
    assert (np.diff(viewer.stamps_ns()) > 0).all()


def test_a_calibration_is_passed_on_and_must_be_of_this_size(viewer, tmp_path):
    (tmp_path / 'camera.yaml').write_text(WEBCAM)
    source = write_folder(tmp_path / 'run', pictures(2, (480, 640)))
    viewer.play(source, calibration=str(tmp_path / 'camera.yaml'))
    info = viewer.infos[0]
    assert (info.width, info.height, info.distortion_model) == (640, 480, 'plumb_bob')
    assert list(info.d) == [-0.25, 0.0625, 0.001, -0.002, 0]
    assert list(info.k) == [533.5, 0, 316.25, 0, 534, 244.75, 0, 0, 1]
    assert list(info.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert list(info.p) == [500, 0, 315, 0, 0, 520, 245, 0, 0, 0, 1, 0]
    small = write_folder(tmp_path / 'small', pictures(2))
    with pytest.raises(ValueError, match='for pictures of 640 x 480 px, the camera gives 64 x 48 px'):
        viewer.watch(small, calibration=str(tmp_path / 'camera.yaml'))
    with pytest.raises(ValueError, match=r'none\.yaml: No such file'):
        viewer.watch(small, calibration=str(tmp_path / 'none.yaml'))


def test_without_a_calibration_camera_info_is_zero_and_one_warning_says_so(viewer, tmp_path, capfd):
    viewer.play(write_folder(tmp_path / 'run', pictures(2)))
    info = viewer.infos[0]
    assert (info.width, info.height, info.distortion_model, list(info.d)) == (64, 48, '', [])
    assert not any([*info.k, *info.r, *info.p])
    assert capfd.readouterr().err.count('no calibration: camera_info is all zeros') == 1


def test_what_the_source_does_not_accept_is_told(viewer, tmp_path, capfd):
    viewer.play(write_folder(tmp_path / 'run', pictures(2)), width_px=640)
    what = 'wanted width_px 640, got 64: the images have the size that they have'
    assert what in capfd.readouterr().err
    viewer.graph.until(lambda: viewer.told('not accepted'))
    assert viewer.told('not accepted') == what


def test_a_torn_image_and_one_of_another_size_are_refused_and_the_others_pass(viewer, tmp_path):
    images = pictures(5)
    folder = write_folder(tmp_path / 'run', images)
    (tmp_path / 'run/frame1.png').write_bytes(b'no image')
    cv2.imwrite(str(tmp_path / 'run/frame3.png'), np.zeros((96, 128, 3), np.uint8))
    node = viewer.play(folder)
    np.testing.assert_array_equal(viewer.pictures(), images[[0, 2, 4]])
    assert node.health.refused('corrupt picture') == 1
    assert node.health.refused('picture of another size') == 1
    assert node.exit_code == 0


class Webcam:
    """A camera on the network that moves, and can be unplugged and plugged in again."""

    def __init__(self):
        self._image = cv2.resize(pictures(1, (6, 8))[0], (128, 96))
        self._server = MjpegServer()
        self.url, self._port = self._server.url, self._server.port
        self.frozen, self.moved, self._ended = False, 0, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._ended.wait(0.01):
            self.moved += not self.frozen
            if self._server:
                image = np.roll(self._image, self.moved, axis=1)
                write_number(image, self.moved)
                self._server.show(image)

    def unplug(self):
        server, self._server = self._server, None
        server.close()

    def plug_in(self):
        self._server = MjpegServer(self._port)

    def close(self):
        self._ended.set()
        self._thread.join()
        if self._server:
            self._server.close()


@pytest.fixture
def webcam():
    made = Webcam()
    yield made
    made.close()


def test_a_camera_that_is_unplugged_is_waited_for_and_counted(viewer, webcam, capfd):
    node = viewer.watch(webcam.url, retry_s=0.02, longest_retry_s=0.1, timeout_s=1.0)
    viewer.graph.until(lambda: len(viewer.images) >= 5)
    webcam.unplug()
    viewer.graph.until(lambda: node.health.counted('attempts to find the camera') >= 4)
    viewer.graph.until(lambda: 'gives no video' in (viewer.told('last reason: lost camera') or ''))
    viewer.graph.until(lambda: viewer.diagnostics[-1].status[0].level == b'\2')
    assert 'is the server up' in viewer.diagnostics[-1].status[0].message
    assert node.exit_code is None
    count = len(viewer.images)
    webcam.plug_in()
    viewer.graph.until(lambda: len(viewer.images) >= count + 5)
    assert node.health.counted('times the camera came back') == 1
    viewer.graph.until(lambda: viewer.diagnostics[-1].status[0].level == b'\0')
    assert (np.diff(viewer.stamps_ns()) > 0).all()
    log = capfd.readouterr().err
    assert 'gives no more pictures; trying again in 0.02 s' in log
    assert 'trying again in 0.04 s' in log
    assert 'the camera is back after' in log


def test_a_camera_that_stands_still_to_the_last_bit_is_reported(viewer, webcam):
    node = viewer.watch(webcam.url, retry_s=0.05, frozen_after_s=0.3)
    viewer.graph.until(lambda: len(viewer.images) >= 5)
    webcam.frozen = True
    viewer.graph.until(lambda: 'frozen: the same picture' in (viewer.told('last reason: lost camera') or ''))
    webcam.frozen = False
    viewer.graph.until(lambda: node.health.counted('times the camera came back') == 1)


def test_nothing_old_is_shown_when_the_listeners_come_late(viewer, webcam):
    """The stream was open all the time, and a socket holds seconds of it."""
    node = viewer.graph.add(CameraNode, source=webcam.url, wait_for=['policy'])
    viewer.graph.until(lambda: webcam.moved >= 100)
    assert not viewer.images
    before = webcam.moved
    node._missing = lambda _: []  # somebody listens
    viewer.graph.until(lambda: viewer.images)
    assert read_number(viewer.pictures()[0]) > before - 20


def run_node(domain, *parameters):
    command = [sys.executable, '-m', 'maze_policy.camera_node', '--ros-args', '-r', '__ns:=/maze']
    for parameter in parameters:
        command += ['-p', parameter]
    return subprocess.Popen(
        command,
        env=os.environ | {'ROS_DOMAIN_ID': str(domain)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ('parameters', 'why'),
    [
        (['source:=/dev/video73'], 'camera_node: there is no /dev/video73 (No such file or directory); there are '),
        (['source:=none.avi'], 'camera_node: there is no none.avi; the parameter source wants a /dev/video path'),
        (['sauce:=/dev/video0', 'source:=none.avi'], "there is no parameter 'sauce'; did you mean 'source'?"),
    ],
)
def test_what_is_missing_at_the_start_is_one_sentence_and_exit_code_1(domain, parameters, why):
    process = run_node(domain, *parameters)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert why in errors
    assert 'Traceback' not in errors


def test_as_a_process_it_ends_with_its_file_or_by_a_signal(viewer, domain, tmp_path):
    images = pictures(20)
    source = write_folder(tmp_path / 'run', images)
    process = run_node(domain, f'source:={source}', 'wait_for:=[recorder]')
    viewer.graph.until(lambda: process.poll() is not None)
    viewer.graph.until(lambda: len(viewer.images) == 20)
    assert process.wait(DEADLINE_S) == 0, process.communicate()
    np.testing.assert_array_equal(viewer.pictures(), images)
    process.communicate()

    endless = run_node(domain, f'source:={source}', 'wait_for:=[recorder]', 'loop:=true')
    viewer.graph.until(lambda: len(viewer.images) >= 45)
    began_s = time.monotonic()
    endless.send_signal(signal.SIGTERM)
    assert endless.wait(DEADLINE_S) == 0
    assert time.monotonic() - began_s < 10
    endless.communicate()
