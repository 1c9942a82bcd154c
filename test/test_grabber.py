import threading
import time

import numpy as np
import pytest

from maze_policy.capture import CorruptFrame, Ended, Frame, Lost
from maze_policy.capture.grabber import Back, Finished, Gone, Grabber, Refused
from maze_policy.node_config import CameraNodeConfig

DEADLINE_S = 30.0


class Scripted:
    """A capture that gives what it is told: numbers become pictures, exceptions are raised, '' is waited for."""

    def __init__(self, *script, live=True):
        self.live, self.script, self.closed = live, list(script), 0
        self.go = threading.Event()

    def read(self):
        if not self.script:
            self.go.wait(DEADLINE_S)
            raise Lost('over')
        item = self.script.pop(0)
        if isinstance(item, Exception):
            raise item
        return Frame(np.full((48, 64, 3), item, np.uint8), time.monotonic())

    def close(self):
        self.closed += 1


class Listener:
    """Takes everything as it comes."""

    def __init__(self, capture, reopen=None, **settings):
        self.heard, self.news = [], threading.Event()
        config = CameraNodeConfig(retry_s=0.01, **settings)
        self.grabber = Grabber(capture, config, self.news.set, reopen or (lambda _: capture))
        self.grabber.start()

    def until(self, condition):
        end_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end_s, self.heard
            self.news.wait(0.02)
            self.news.clear()
            self.heard += self.grabber.take()

    def kinds(self):
        return [type(event) for event in self.heard]


@pytest.fixture
def listen():
    listeners = []

    def make(*given, **settings):
        listeners.append(Listener(*given, **settings))
        return listeners[-1]

    yield make
    for listener in listeners:
        capture = listener.grabber._capture
        if isinstance(capture, Scripted):
            capture.go.set()
        listener.grabber.close()


def numbers(events):
    return [int(event.image[0, 0, 0]) for event in events if isinstance(event, Frame)]


def test_a_file_waits_until_each_picture_is_taken(listen):
    capture = Scripted(1, 2, CorruptFrame('torn'), 3, Ended('ended after 3 pictures'), live=False)
    listener = listen(capture)
    listener.until(lambda: Finished in listener.kinds())
    assert numbers(listener.heard) == [1, 2, 3]
    assert [event for event in listener.heard if isinstance(event, Refused)] == [Refused('corrupt picture', 'torn')]
    assert listener.heard[-1] == Finished('ended after 3 pictures', well=True)
    assert capture.closed == 1


def test_of_a_live_camera_only_the_latest_picture_waits(listen):
    capture = Scripted(*range(50))
    grabber = Grabber(capture, CameraNodeConfig(), lambda: None)
    grabber.start()
    end_s = time.monotonic() + DEADLINE_S
    while capture.script:
        assert time.monotonic() < end_s
    capture.go.set()
    grabber.close()
    events = grabber.take()
    assert numbers(events) == [49]
    assert [event.kind for event in events if isinstance(event, Refused)] == ['late picture'] * 49
    assert not grabber.take()


def test_a_lost_camera_is_tried_again_twice_as_late_each_time_until_it_is_back(listen):
    answers = [ValueError('there is no camera')] * 4 + [Scripted(CorruptFrame('torn'), 2, 3)]

    def reopen(config):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    first = Scripted(1, Lost('is it plugged in?'))
    listener = listen(first, reopen, longest_retry_s=0.04)
    listener.until(lambda: 3 in numbers(listener.heard))
    gone = [event for event in listener.heard if isinstance(event, Gone)]
    assert [event.retry_s for event in gone] == pytest.approx([0.01, 0.02, 0.04, 0.04, 0.04])
    assert [event.why for event in gone] == ['is it plugged in?'] + ['there is no camera'] * 4
    assert [event for event in listener.heard if isinstance(event, Back)] == [Back(5)]
    assert first.closed == 1
    kinds = [kind for kind in listener.kinds() if kind is not Refused]
    assert kinds.index(Back) == 6  # after the first picture and five times nothing, before the next picture


def test_after_a_picture_the_waiting_begins_anew(listen):
    def reopen(_):
        return Scripted(next(shown), Lost('gone'))

    shown = iter(range(2, 1000))
    listener = listen(Scripted(1, Lost('gone')), reopen)
    listener.until(lambda: listener.kinds().count(Gone) >= 3)
    assert {event.retry_s for event in listener.heard if isinstance(event, Gone)} == {0.01}


def test_a_picture_that_never_changes_is_no_camera(listen):
    class Frozen(Scripted):
        def read(self):
            self.go.wait(0.005)
            return Frame(np.full((48, 64, 3), 7, np.uint8), time.monotonic())

    opened = []

    def reopen(_):
        opened.append(Frozen() if len(opened) < 2 else Scripted(8))
        return opened[-1]

    listener = listen(Frozen(), reopen, frozen_after_s=0.1)
    listener.until(lambda: 8 in numbers(listener.heard))
    gone = [event for event in listener.heard if isinstance(event, Gone)]
    assert {event.why for event in gone} == {'frozen: the same picture to the last bit for 0.1 s'}
    # Opening it again does not make the old picture a new one.
    assert [event.retry_s for event in gone] == pytest.approx([0.01, 0.02, 0.04])
    shown_s = [event.at_s for event in listener.heard if isinstance(event, Frame)]
    assert shown_s[-2] - shown_s[0] < 0.1


def test_a_camera_may_stand_still_where_that_is_wanted(listen):
    listener = listen(Scripted(*[7] * 20, 8), frozen_after_s=0.0)
    listener.until(lambda: 8 in numbers(listener.heard))
    assert Gone not in listener.kinds()


def test_a_file_may_stand_still(listen):
    listener = listen(Scripted(*[7] * 20, Ended('end'), live=False), frozen_after_s=1e-6)
    listener.until(lambda: Finished in listener.kinds())
    assert numbers(listener.heard) == [7] * 20


@pytest.mark.parametrize('error', [Lost('no picture that can be read'), MemoryError('no room')])
def test_a_file_that_cannot_be_read_has_not_ended_well(listen, error):
    listener = listen(Scripted(error, live=False))
    listener.until(lambda: listener.heard)
    assert not listener.heard[0].well
    assert str(error) in listener.heard[0].why


def test_closing_ends_the_thread_wherever_it_waits(listen):
    for capture, settings in ((Scripted(1, 2, live=False), {}), (Scripted(Lost('gone')), {'longest_retry_s': 3600.0})):
        grabber = Grabber(capture, CameraNodeConfig(retry_s=3600.0, **settings), lambda: None)
        grabber.start()
        end_s = time.monotonic() + DEADLINE_S
        while capture.script:
            assert time.monotonic() < end_s
        grabber.close()
        assert not grabber._thread.is_alive()
        assert capture.closed == 1
