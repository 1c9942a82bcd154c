import dataclasses

import numpy as np
import pytest
from looking import MAZE, PLACES, scene_camera

from maze_policy.board import BoardConfig, board_of
from maze_policy.pinhole import Pinhole

CAMERA = scene_camera('real_like', 0).pinhole
BOARD = board_of(CAMERA, 640, 480, MAZE, 0.01)


def test_says_the_camera_it_was_made_of():
    lens = Pinhole(CAMERA.matrix, np.array([-0.2, 0.1, 0.001, 0.002, 0.03]), CAMERA.rotation, CAMERA.translation_m)
    again = board_of(lens, 640, 480, MAZE, 0.01).camera
    np.testing.assert_allclose(again.pixels(PLACES), lens.pixels(PLACES), atol=1e-9)


def test_its_values_are_those_of_a_parameter_file():
    assert BoardConfig.from_dict(BOARD.as_dict()) == BOARD
    assert BOARD.calibrated


def test_empty_is_no_calibration():
    assert not BoardConfig().calibrated
    with pytest.raises(ValueError, match='want a calibration of the board: run maze-policy calibrate'):
        _ = BoardConfig().camera


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'camera_matrix': (1.0, 2.0)}, 'camera_matrix wants 4 numbers, got 2; maze-policy calibrate writes them all'),
        ({'rotation_rad': ()}, 'rotation_rad wants 3 numbers, got 0'),
        ({'distortion': (1.0,) * 3}, 'distortion wants 0, 4, 5, 8, 12 or 14 numbers, got 3'),
        ({'translation_m': (0.0, 0.0, -1.0)}, 'a board before the camera, got 480 px'),
        ({'height_px': 0}, 'want a picture with a height'),
    ],
)
def test_refuses_half_a_calibration(changes, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(BOARD, **changes)


def test_refuses_a_picture_of_another_size():
    BOARD.require_size(np.empty((480, 640, 3), np.uint8))
    with pytest.raises(ValueError, match='want pictures of 640 x 480 px as calibrated, got 320 x 240 px'):
        BOARD.require_size(np.empty((240, 320, 3), np.uint8))
