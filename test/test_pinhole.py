import numpy as np
import pytest

from maze_policy.maze import load_maze
from maze_policy.perspective import SCENE, Perspective, pinhole
from maze_policy.pinhole import Pinhole, tilted_axes

MAZE = load_maze()
ABOVE = dict.fromkeys(SCENE, 0.0) | {'camera_z_m': 0.5, 'zoom': 1.0, 'brightness': 1.0, 'floor': 1.0}
ABOVE |= {'wall': 1.0, 'ball': 1.0}
POSES = {
    'above': {},
    'beside': {'camera_x_m': 0.05, 'camera_y_m': -0.08},
    'aimed': {'aim_x_m': 0.01, 'aim_y_m': -0.01, 'zoom': 0.8},
    'all': {'camera_x_m': 0.04, 'camera_z_m': 0.4, 'aim_y_m': 0.02, 'turn_rad': -0.2, 'zoom': 1.1},
}
TILTS = ((0.0, 0.0), (0.0873, 0.0), (0.06, -0.08))


def view(**changes):
    return np.array([(ABOVE | changes)[name] for name in SCENE])


def lens():
    camera = pinhole(MAZE, view(**POSES['all']), 640, 480)
    return Pinhole(camera.matrix, np.array([-0.2, 0.05, 0.001, -0.002, 0.01]), camera.rotation, camera.translation_m)


@pytest.mark.parametrize('size', [(640, 480), (84, 84), (320, 480)])
@pytest.mark.parametrize('tilt', TILTS)
@pytest.mark.parametrize('pose', POSES)
def test_is_the_camera_that_the_scene_is_drawn_with(pose, tilt, size):
    """The ball's middle to 0.1 px where no wall is near, in pictures of any size."""
    width, height = size
    images = np.empty((2, height, width), np.uint8)
    position, tilts = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([tilt, tilt])
    scene = view(**POSES[pose])
    Perspective(MAZE).draw(images, position, tilts, np.full(2, 0.0055), np.stack([scene, scene]))
    weight = images[0].astype(float) - images[1]
    rows, columns = np.mgrid[:height, :width]
    seen = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    board = tilted_axes(np.array(tilt))
    at = pinhole(MAZE, scene, width, height).pixels(np.array([[0.0, 0.0, 0.0055]]), board)[0]
    np.testing.assert_allclose(seen, at, atol=0.1)


def test_place_is_where_the_scene_has_the_camera():
    np.testing.assert_allclose(pinhole(MAZE, view(**POSES['all']), 640, 480).place_m, [0.04, 0, 0.4], atol=1e-12)


@pytest.mark.parametrize('tilt', TILTS)
def test_points_are_those_that_pixels_show(tilt):
    camera, board = lens(), tilted_axes(np.array(tilt))
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (50, 2))
    pixels = camera.pixels(np.column_stack([points, np.full(50, 0.0055)]), board)
    np.testing.assert_allclose(camera.points(pixels, 0.0055, board), points, atol=1e-6)


def test_lens_distortion_bends_what_is_far_from_the_middle():
    camera = lens()
    straight = Pinhole(camera.matrix, np.zeros(5), camera.rotation, camera.translation_m)
    corner, middle = np.array([[0.1, 0.1, 0.0]]), np.array([[0.0, 0.02, 0.0]])
    assert np.linalg.norm(camera.pixels(corner) - straight.pixels(corner)) > 2
    assert np.linalg.norm(camera.pixels(middle) - straight.pixels(middle)) < 0.5


def test_a_positive_tilt_about_x_raises_y_and_one_about_y_lowers_x():
    assert (tilted_axes(np.array([0.1, 0.0])) @ [0, 1, 0])[2] > 0
    assert (tilted_axes(np.array([0.0, 0.1])) @ [1, 0, 0])[2] < 0
    many = tilted_axes(np.array([[0.1, 0.0], [0.02, 0.03]]))
    np.testing.assert_array_equal(many[1], tilted_axes(np.array([0.02, 0.03])))
    np.testing.assert_allclose(many @ np.swapaxes(many, 1, 2), [np.eye(3)] * 2, atol=1e-15)
