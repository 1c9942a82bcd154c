import dataclasses
import re
import threading

import numpy as np
import pytest
from looking import MAZE, scene

from maze_policy.board import board_of
from maze_policy.board_watch import LATE_S, NOT_YET, PATIENCE, BoardGuard, BoardWatch
from maze_policy.perspective import SCENE
from maze_policy.scene_camera import SceneCamera

SEEDS = [('real_like', 0), ('real_like', 1), *(('randomised', seed) for seed in range(6))]
LIMIT = np.radians(5.0)


def watched(profile, seed, **changes):
    """A watch calibrated with the true camera, and that camera moved."""
    drawn = scene(profile, seed)
    board = board_of(SceneCamera(MAZE, drawn).pinhole, 640, 480, MAZE, 0.01)
    view = drawn.view.copy()
    for name, change in changes.items():
        view[SCENE.index(name)] += change
    return BoardWatch(board, MAZE), SceneCamera(MAZE, dataclasses.replace(drawn, view=view), seed=seed)


@pytest.mark.parametrize(('profile', 'seed'), SEEDS)
def test_has_no_objection_to_a_tilted_board(profile, seed):
    watch, camera = watched(profile, seed)
    for tilt in ((0, 0), (LIMIT, 0), (-LIMIT, 0), (0, LIMIT), (0, -LIMIT), (LIMIT, LIMIT), (-LIMIT, LIMIT)):
        assert watch.objection(camera.picture((0.0, 0.0675), tilt)) is None


@pytest.mark.parametrize('tilt', [(0.0, 0.0), (0.06, -0.06)])
@pytest.mark.parametrize(('profile', 'seed'), SEEDS)
def test_objects_to_a_camera_that_moved_by_3_mm_or_turned_by_2_deg(profile, seed, tilt):
    for changes in (
        {'camera_x_m': 0.003, 'aim_x_m': 0.003},
        {'camera_y_m': -0.003, 'aim_y_m': -0.003},
        {'turn_rad': np.radians(2)},
        {'turn_rad': np.radians(-2)},
    ):
        watch, camera = watched(profile, seed, **changes)
        says = watch.objection(camera.picture((0.0, 0.0675), tilt))
        assert says
        assert says.startswith(
            'camera or board moved since the calibration: want the middle within 2.5 mm and the turn'
        )
        assert 'run maze-policy calibrate again' in says


def test_says_by_how_much_it_moved():
    watch, camera = watched('nominal', 0, camera_x_m=0.006, aim_x_m=0.006)
    says = watch.objection(camera.picture((0.0, 0.0675), (0, 0)))
    assert re.search(r'got (5\.9|6\.[01]) mm and 0\.0 deg', says)


def test_objects_to_no_board():
    watch, camera = watched('nominal', 0, camera_x_m=0.05, aim_x_m=0.05)
    for image in (camera.picture((0, 0.03), (0, 0)), np.full((480, 640), 90, np.uint8)):
        assert watch.objection(image).startswith('the board is not where it was calibrated: want its walls on 60%')


def test_a_pivot_below_the_board_shifts_it_with_the_tilt():
    """As on a wrist 5 cm under the board: 3 mm at 3.4 deg."""
    watch, camera = watched('nominal', 0, camera_x_m=-0.003, aim_x_m=-0.003)
    image = camera.picture((0.0, 0.0675), (0.0, 0.06))
    assert watch.objection(image)
    lenient = BoardWatch(dataclasses.replace(watch.board, pivot_m=0.05), MAZE)
    assert lenient.objection(image) is None
    assert lenient.objection(camera.picture((0.0, 0.0675), (0.0, 0.0))), 'level it must be in its place'


def test_refuses_another_size():
    watch, _ = watched('nominal', 0)
    with pytest.raises(ValueError, match='got 320 x 240 px'):
        watch.objection(np.zeros((240, 320, 3), np.uint8))


class Judge:
    """Answers when it is told to; the guard's thread waits for it meanwhile."""

    def __init__(self):
        self.asked, self.answers, self.may_answer = 0, [], threading.Semaphore(0)
        self.guard = BoardGuard(self.objection, every_s=1.0)

    def objection(self, image):
        assert image is PICTURE
        self.asked += 1
        self.may_answer.acquire()
        return self.answers.pop(0)

    def say(self, answer):
        """Let it answer what it was asked, and wait until the answer is there."""
        self.answers.append(answer)
        self.may_answer.release()
        self.guard._asked.exception(timeout=60)

    def look(self, now_s):
        self.guard.look(PICTURE, now_s)
        return self.guard.trouble


PICTURE = np.zeros((480, 640), np.uint8)


@pytest.fixture
def judge():
    made = Judge()
    yield made
    made.guard.forget()
    made.answers += [None] * 9
    made.may_answer.release(9)
    made.guard.close()


def test_plays_only_after_a_first_good_answer_and_asks_only_now_and_then(judge):
    assert judge.guard.trouble == NOT_YET
    assert judge.look(0.0) == judge.look(0.03) == NOT_YET, 'asked, no answer yet'
    judge.say(None)
    assert judge.look(0.06) == ''
    for now_s in (0.1, 0.5, 0.99):
        assert judge.look(now_s) == ''
    assert judge.asked == 1
    judge.look(1.0)
    judge.say(None)
    assert judge.look(1.1) == ''
    assert judge.asked == 2


def test_the_first_objection_counts_before_anything_was_played(judge):
    judge.look(0.0)
    judge.say('no board')
    assert judge.look(0.03) == 'no board'
    judge.say(None)
    assert judge.look(0.06) == '', 'asked at once again, and well'


def test_while_playing_only_objections_in_a_row_count(judge):
    judge.look(0.0)
    judge.say(None)
    judge.look(0.1)
    judge.look(1.0)
    for _ in range(PATIENCE - 1):
        judge.say('a hand')
        assert judge.look(1.1) == '', 'asked again with the next picture'
    judge.say(None)
    assert judge.look(1.2) == ''
    judge.look(3.0)
    for now_s in np.arange(PATIENCE) / 30 + 3.0:
        judge.say('moved')
        trouble = judge.look(now_s)
    assert trouble == 'moved'


def test_after_forgetting_an_old_answer_counts_no_more(judge):
    judge.look(0.0)
    judge.guard.forget()
    judge.answers.append(None)
    judge.may_answer.release()
    assert judge.look(0.1) == NOT_YET
    judge.say('no board')
    assert judge.look(0.2) == 'no board'


def test_no_answer_for_long_ends_the_play_until_there_is_one(judge):
    judge.look(0.0)
    judge.say(None)
    judge.look(0.1)
    judge.look(1.0)
    assert judge.look(1.0 + LATE_S) == ''
    assert judge.look(1.1 + LATE_S).startswith('the look at the board has not ended after 5 s')
    judge.say(None)
    assert judge.look(1.2 + LATE_S) == ''


def test_an_error_of_the_watch_is_no_silence(judge):
    guard = BoardGuard(lambda _: 1 / 0, every_s=1.0)
    guard.look(PICTURE, 0.0)
    guard.close()
    with pytest.raises(ZeroDivisionError):
        guard.look(PICTURE, 0.1)
