import dataclasses

import numpy as np
import pytest
from looking import MAZE, bent, scene, scene_camera

from maze_policy.board import BoardConfig, board_of
from maze_policy.observation import observe
from maze_policy.perspective import SCENE, Perspective
from maze_policy.pinhole import Pinhole
from maze_policy.scene_camera import SceneCamera


def test_takes_the_centre_square():
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, :80] = image[:, 560:] = 255
    assert not observe(image).any()
    image[:, 80:560] = (10, 10, 10)
    assert (observe(image) == 10).all()


def test_keeps_the_direction_of_the_axes_and_averages_areas():
    image = np.zeros((168, 168, 3), np.uint8)
    image[:2, :2] = 200  # the top left observation pixel
    image[2, 166] = 100  # a quarter of the pixel one below the top right
    small = observe(image)
    assert small[0, 0] == 200
    assert small[1, 83] == 25
    assert np.count_nonzero(small) == 2


def test_grey_weighs_the_channels_as_the_eye_does():
    greys = [int(observe(np.full((84, 84, 3), color, np.uint8))[0, 0]) for color in np.eye(3, dtype=np.uint8) * 255]
    assert greys == [76, 150, 29]


@pytest.mark.parametrize(
    ('shape', 'dtype', 'message'),
    [
        ((480, 640), np.uint8, 'want an rgb8 image'),
        ((480, 640, 4), np.uint8, 'want an rgb8 image'),
        ((480, 640, 3), np.float32, 'want an rgb8 image'),
        ((480, 320, 3), np.uint8, 'at least as wide as high.*got 320 x 480'),
        ((60, 80, 3), np.uint8, '84 px high, got 80 x 60'),
    ],
)
def test_rejects_other_images(shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        observe(np.zeros(shape, dtype))


def true_board(camera):
    return board_of(camera.pinhole, 640, 480, MAZE, 0.01)


def seen_from_straight_above(drawn, position, tilt):
    """The same scene drawn directly, the camera at its place but not askew."""
    view = drawn.view.copy()
    for name, value in {'aim_x_m': 0.0, 'aim_y_m': 0.0, 'turn_rad': 0.0, 'zoom': 1.0}.items():
        view[SCENE.index(name)] = value
    small = np.empty((1, 84, 84), np.uint8)
    where, radius = np.array([position]), np.array([drawn.ball_radius_m])
    Perspective(MAZE).draw(small, where, np.array([tilt]), radius, view[np.newaxis])
    return small[0].astype(float)


@pytest.mark.parametrize('tilt', [(0.0, 0.0), (0.05, -0.03)])
@pytest.mark.parametrize(('profile', 'most'), [('nominal', 0.7), ('randomised', 1.2), ('real_like', 3.5)])
def test_with_a_calibration_it_is_what_the_policies_were_trained_on(profile, most, tilt):
    """To this many grey levels on average, and nearer by far than the centre square of a camera askew."""
    position = (0.03, 0.06)
    for seed in range(3):
        drawn = dataclasses.replace(scene(profile, seed), blur_m=0.0, noise_levels=0.0)
        camera = SceneCamera(MAZE, drawn)
        image, wanted = camera.picture(position, tilt), seen_from_straight_above(drawn, position, tilt)
        off = np.abs(observe(image, true_board(camera)) - wanted).mean()
        assert off < most
        assert profile == 'nominal' or off < 0.4 * np.abs(observe(image) - wanted).mean()


def test_a_calibration_undoes_the_lens():
    camera = scene_camera('real_like', 0)
    straight = camera.picture((0.03, 0.06), (0, 0))
    distortion = np.array([-0.25, 0.08, 0.001, -0.002, 0.0])
    pose = camera.pinhole
    lens = board_of(Pinhole(pose.matrix, distortion, pose.rotation, pose.translation_m), 640, 480, MAZE, 0.01)
    wanted = observe(straight, true_board(camera)).astype(float)
    image = bent(straight, pose, distortion)
    assert np.abs(observe(image, lens) - wanted)[4:-4, 4:-4].mean() < 0.5
    assert np.abs(observe(image, true_board(camera)) - wanted)[4:-4, 4:-4].mean() > 1


def test_an_empty_calibration_is_none():
    image = scene_camera('real_like', 0).picture((0.03, 0.06), (0, 0))
    np.testing.assert_array_equal(observe(image, BoardConfig()), observe(image))


def test_fine_patterns_are_averaged_not_sampled():
    camera = scene_camera('nominal', 0)
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 200
    np.testing.assert_allclose(observe(stripes, true_board(camera)), 100, atol=8)


def test_refuses_a_picture_that_the_calibration_is_not_for():
    board = true_board(scene_camera('nominal', 0))
    with pytest.raises(ValueError, match='want pictures of 640 x 480 px as calibrated, got 320 x 240 px'):
        observe(np.zeros((240, 320, 3), np.uint8), board)
    with pytest.raises(ValueError, match='want an rgb8 image'):
        observe(np.zeros((480, 640), np.uint8), board)
