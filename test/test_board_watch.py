import dataclasses
import re

import numpy as np
import pytest
from looking import MAZE, scene

from maze_policy.board import board_of
from maze_policy.board_watch import BoardWatch
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
