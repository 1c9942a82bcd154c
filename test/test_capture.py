import os
import threading
import time

import cv2
import numpy as np
import pytest
from mjpeg import MjpegServer

from maze_policy import capture
from maze_policy.capture import CorruptFrame, Ended, Lost, live, open_capture, shown
from maze_policy.node_config import CameraNodeConfig


def pictures(count, size=(48, 64), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def write_video(path, images, rate_hz=200.0, fourcc='FFV1'):
    height, width = images.shape[1:3]
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*fourcc), rate_hz, (width, height))
    assert video.isOpened()
    for image in images:
        video.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    video.release()
    return str(path)


def write_folder(path, images):
    path.mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(path / f'frame{number}.png'), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return str(path)


def opened(source, **settings):
    return open_capture(CameraNodeConfig(source=str(source), **settings))


def read_all(source):
    for _ in range(1000):
        source.read()


@pytest.fixture(params=['video', 'folder'])
def recorded(request, tmp_path):
    """Twelve pictures (so that frame10 comes after frame9) and where they are."""
    images = pictures(12)
    if request.param == 'video':
        return images, write_video(tmp_path / 'run.avi', images)
    return images, write_folder(tmp_path / 'run', images)


def test_a_recording_is_given_to_the_last_bit_in_order_at_its_rate_and_ends(recorded):
    images, source = recorded
    video = opened(source, rate_hz=100.0)
    assert (video.width_px, video.height_px, video.rate_hz, video.live) == (64, 48, 100.0, False)
    assert not video.remarks
    began_s = time.monotonic()
    frames = [video.read() for _ in images]
    np.testing.assert_array_equal([frame.image for frame in frames], images)
    at_s = np.array([frame.at_s for frame in frames])
    assert (np.diff(at_s) >= 0.01 - 1e-9).all()
    assert at_s[0] >= began_s
    assert time.monotonic() >= at_s[-1]
    with pytest.raises(Ended, match='ended after 12 pictures'):
        video.read()
    video.close()


def test_in_a_loop_it_begins_again(recorded):
    images, source = recorded
    video = opened(source, rate_hz=1000.0, loop=True)
    got = [video.read().image for _ in range(30)]
    np.testing.assert_array_equal(got, np.concatenate([images, images, images[:6]]))


def test_what_is_late_is_not_caught_up_with(recorded):
    _, source = recorded
    video = opened(source, rate_hz=50.0)
    first = video.read()
    while time.monotonic() < first.at_s + 0.1:
        pass
    late, after = video.read(), video.read()
    assert late.at_s - first.at_s >= 0.1
    assert after.at_s - late.at_s >= 0.02 - 1e-6


def test_a_file_has_a_rate_of_its_own(tmp_path):
    assert opened(write_video(tmp_path / 'a.avi', pictures(2), 24.0)).rate_hz == pytest.approx(24.0)
    assert opened(write_folder(tmp_path / 'a', pictures(2))).rate_hz == 30.0


def test_a_size_that_a_recording_does_not_have_is_remarked_on(recorded):
    video = opened(recorded[1], width_px=640, height_px=48, rate_hz=100.0)
    assert [remark.split(':')[0] for remark in video.remarks] == ['wanted width_px 640, got 64']


def test_a_truncated_video_says_so(tmp_path):
    whole = tmp_path / 'run.avi'
    write_video(whole, pictures(40))
    part = tmp_path / 'part.avi'
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    video = opened(part)
    with pytest.raises(Ended, match=r'ended after \d+ pictures of the 40 that its header promises'):
        read_all(video)


def test_an_image_that_is_none_costs_one_picture_and_keeps_the_pace(tmp_path):
    images = pictures(3)
    folder = write_folder(tmp_path / 'run', images)
    (tmp_path / 'run/frame1.png').write_bytes(b'no image')
    video = opened(folder, rate_hz=100.0)
    first = video.read()
    with pytest.raises(CorruptFrame, match=r'frame1\.png is no image'):
        video.read()
    third = video.read()
    np.testing.assert_array_equal(third.image, images[2])
    assert third.at_s - first.at_s == pytest.approx(0.02, abs=0.015)


@pytest.mark.parametrize(
    ('source', 'why'),
    [
        ('', 'source wants a /dev/video path .* it is empty, and there are '),
        ('/dev/video73', r'there is no /dev/video73 \(No such file or directory\); there are '),
        ('73', r'there is no /dev/video73 '),
        ('/dev/shm', r'/dev/shm is no device'),
        ('{tmp}/none.avi', r'there is no .*none\.avi; the parameter source wants '),
        ('{tmp}/board.yaml', r'board\.yaml is no video that FFmpeg can read'),
        ('{tmp}/empty', r'empty has no images: want files ending in \.bmp'),
        ('http://127.0.0.1:9/stream', r'gives no video within 0\.5 s: is the server up'),
        ('videotestsrc ! videoconvert ! appsink', r'is a GStreamer pipeline, but this OpenCV .* without GStreamer'),
    ],
)
def test_whatever_is_missing_is_said_with_what_to_do(tmp_path, source, why):
    (tmp_path / 'board.yaml').write_text('no video\n' * 100)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=why):
        opened(source.format(tmp=tmp_path), timeout_s=0.5)


def test_a_device_that_is_not_ours_names_the_group(monkeypatch):
    monkeypatch.setattr(os, 'access', lambda *_: False)
    with pytest.raises(ValueError, match='permission denied for /dev/null: join the group video'):
        opened('/dev/null')


def test_a_device_that_is_no_camera_is_said():
    with pytest.raises(ValueError, match=r'/dev/null cannot be opened for video: another program may have it'):
        opened('/dev/null')


def test_the_devices_that_there_are_are_listed(monkeypatch, tmp_path):
    for number in (10, 2):
        (tmp_path / f'video{number}').touch()
    monkeypatch.setattr(live, 'DEVICES', tmp_path)
    assert live.devices_in_words() == f'{tmp_path}/video2, {tmp_path}/video10'


def test_a_password_is_not_shown():
    assert shown('rtsp://me:secret@10.0.0.7:554/a@b') == 'rtsp://...@10.0.0.7:554/a@b'
    with pytest.raises(ValueError, match=r'http://\.\.\.@127') as caught:
        opened('http://me:secret@127.0.0.1:9/stream', timeout_s=0.5)
    assert 'secret' not in str(caught.value)


class Driver:
    """cv2.VideoCapture for a V4L2 camera with a few modes and a clock of its own."""

    def __init__(self, *_):
        self.values = {cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480, cv2.CAP_PROP_FPS: 30}
        self.values |= {cv2.CAP_PROP_AUTO_EXPOSURE: 3, cv2.CAP_PROP_EXPOSURE: 156, cv2.CAP_PROP_FRAME_COUNT: -1}
        self.age_s, self.plugged, self.image = 0.02, True, np.zeros((480, 640, 3), np.uint8)

    def isOpened(self):
        return True

    def set(self, name, value):
        nearest = {cv2.CAP_PROP_FRAME_WIDTH: [640, 1280], cv2.CAP_PROP_FRAME_HEIGHT: [480, 720]}
        choices = nearest | {cv2.CAP_PROP_FPS: [15, 30], cv2.CAP_PROP_EXPOSURE: range(1, 5001)}
        if name in choices:
            self.values[name] = min(choices[name], key=lambda choice: abs(choice - value))
        elif name in (cv2.CAP_PROP_AUTO_EXPOSURE, cv2.CAP_PROP_BUFFERSIZE):
            self.values[name] = value
        return name in self.values

    def get(self, name):
        if name == cv2.CAP_PROP_POS_MSEC:
            return (time.monotonic() - self.age_s) * 1e3
        return self.values.get(name, -1.0)

    def grab(self):
        return self.plugged

    def retrieve(self):
        return self.image is not None, self.image


@pytest.fixture
def camera(monkeypatch):
    """What a V4L2 camera's settings, stamps and ends become; there is no device to try it on."""
    monkeypatch.setattr(cv2, 'VideoCapture', Driver)
    return lambda **settings: opened('/dev/null', **settings)


def test_what_the_driver_takes_is_not_remarked_on(camera):
    device = camera(width_px=1280, height_px=720, rate_hz=15.0, exposure_s=0.01)
    assert (device.width_px, device.height_px, device.rate_hz, device.remarks) == (1280, 720, 15.0, [])
    assert device.video.get(cv2.CAP_PROP_EXPOSURE) == 100
    assert device.video.get(cv2.CAP_PROP_AUTO_EXPOSURE) == live.V4L2_MANUAL
    assert device.video.get(cv2.CAP_PROP_BUFFERSIZE) == live.V4L2_BUFFERS


def test_what_the_driver_does_not_take_is_told(camera):
    device = camera(width_px=800, height_px=600, rate_hz=60.0, exposure_s=1.0, pixel_format='MJPG')
    assert [remark.split(':')[0] for remark in device.remarks] == [
        'wanted width_px 800, got 640',
        'wanted height_px 600, got 480',
        'wanted rate_hz 60, got 30',
        'wanted exposure_s 1, got 0.5',
        'wanted pixel_format MJPG, the driver keeps another',
    ]


def test_exposure_is_automatic_unless_a_value_is_given(camera):
    assert camera().video.get(cv2.CAP_PROP_AUTO_EXPOSURE) == live.V4L2_AUTO


@pytest.mark.parametrize(('age_s', 'from_driver'), [(0.02, True), (0.0, True), (-100.0, False), (1.7e9, False)])
def test_the_drivers_stamp_is_taken_if_it_is_on_our_clock(camera, age_s, from_driver):
    device = camera()
    device.video.age_s = age_s
    before_s = time.monotonic()
    frame = device.read()
    assert frame.from_driver == from_driver
    assert before_s <= frame.at_s + (age_s if from_driver else 0.0) <= time.monotonic()


def test_a_device_that_is_unplugged_is_lost_and_a_torn_picture_is_not(camera):
    device = camera()
    device.video.image = None
    with pytest.raises(CorruptFrame):
        device.read()
    device.video.image = np.zeros((480, 640, 3), np.uint16)
    with pytest.raises(CorruptFrame, match='want a picture of 8 bits in 1 or 3 channels, got uint16'):
        device.read()
    device.video.image = np.full((480, 640), 7, np.uint8)
    assert device.read().image.tolist() == np.full((480, 640, 3), 7).tolist()
    device.video.plugged = False
    with pytest.raises(Lost, match='is it plugged in'):
        device.read()


def test_a_stream_is_read_as_it_comes_and_is_lost_with_its_server():
    server = MjpegServer()
    ended = threading.Event()
    image = cv2.resize(pictures(1, (6, 8))[0], (640, 480))

    def show():
        while not ended.wait(0.02):
            server.show(image)

    thread = threading.Thread(target=show)
    thread.start()
    try:
        stream = opened(server.url, width_px=640, height_px=480, rate_hz=50.0)
        assert (stream.width_px, stream.height_px, stream.live) == (640, 480, True)
        assert stream.remarks == [
            'wanted rate_hz 50, and what comes is not known: a stream has the size and rate that its server gives it'
        ]
        frame = stream.read()
        assert np.abs(frame.image.astype(int) - image).mean() < 3  # JPEG
        assert time.monotonic() - frame.at_s < 0.5
    finally:
        ended.set()
        thread.join()
        server.close()
    with pytest.raises(Lost, match='gives no more pictures'):
        read_all(stream)


def test_a_server_that_says_nothing_is_given_up_in_time():
    server = MjpegServer()
    began_s = time.monotonic()
    with pytest.raises(ValueError, match=r'gives no video within 0\.5 s'):
        opened(server.url, timeout_s=0.5)
    assert time.monotonic() - began_s < 5.0
    server.close()


def test_all_names_are_there():
    assert all(hasattr(capture, name) for name in capture.__all__)
