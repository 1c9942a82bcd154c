import dataclasses

import cv2
import numpy as np
import pytest

from maze_policy.calibrate_config import MarkerConfig
from maze_policy.config import CameraConfig
from maze_policy.maze import load_maze
from maze_policy.observation import observe
from maze_policy.perspective import Perspective
from maze_policy.render import BALL, FLOOR, TABLE
from maze_policy.scene_camera import SceneCamera, draw_scene
from maze_policy.world import load_world

MAZE = load_maze()


def scene(profile, seed=0, **changes):
    drawn = draw_scene(load_world(profile), MAZE, np.random.default_rng(seed))
    return dataclasses.replace(drawn, **changes)


def test_colors_are_those_of_the_renderer():
    image = SceneCamera(MAZE, scene('nominal', noise_levels=0.0)).picture((0.0, 0.0295), (0, 0))
    assert image.shape == (480, 640, 3)
    np.testing.assert_allclose(image[5, 5], TABLE, atol=1)
    np.testing.assert_allclose(image[240, 320], FLOOR, atol=1)
    np.testing.assert_allclose(image[round(239.5 - 0.0295 * 2400), 320], BALL, atol=3)


@pytest.mark.parametrize('tilt', [(0.0, 0.0), (0.06, -0.08)])
def test_its_centre_square_is_the_picture_that_the_policies_were_trained_on(tilt):
    """To half a grey level on average: the same light, walls, ball and tilt cue."""
    for seed in range(4):
        drawn = scene('randomised', seed, blur_m=0.0, noise_levels=0.0)
        small = np.empty((1, 84, 84), np.uint8)
        where, radius = np.array([[0.03, 0.06]]), np.array([drawn.ball_radius_m])
        Perspective(MAZE).draw(small, where, np.array([tilt]), radius, drawn.view[np.newaxis])
        seen = observe(SceneCamera(MAZE, drawn).picture(where, tilt)).astype(float)
        assert abs(seen - small[0]).mean() < 0.7


def test_blur_is_as_wide_on_the_board_at_every_size_and_noise_is_that_of_a_pixel():
    sharp, blurred = scene('nominal', noise_levels=0.0), scene('nominal', noise_levels=0.0, blur_m=0.001)
    for height in (240, 480):
        config = CameraConfig(width_px=320, height_px=height)
        images = [SceneCamera(MAZE, one, config).picture((0, 0.03), (0, 0)) for one in (sharp, blurred)]
        expected = cv2.GaussianBlur(images[0], (0, 0), 0.001 * height / MAZE.view_m)
        np.testing.assert_array_equal(images[1], expected)
    noisy = SceneCamera(MAZE, scene('nominal', noise_levels=5.0))
    difference = noisy.picture((0, 0.03), (0, 0)).astype(float) - noisy.picture((0, 0.03), (0, 0))
    assert difference.std() == pytest.approx(5 * 2**0.5, rel=0.03)


def test_markers_cover_nothing_of_the_board():
    drawn = scene('nominal', noise_levels=0.0)
    plain, marked = (SceneCamera(MAZE, drawn, markers=m).picture((0, 0.03), (0, 0)) for m in (None, MarkerConfig()))
    changed = (plain != marked).any(axis=2)
    rows, columns = np.nonzero(changed)
    distance_m = np.hypot(rows - 239.5, columns - 319.5) / 2400
    assert changed.sum() > 4 * (0.024 * 2400) ** 2
    assert distance_m.min() > MAZE.rim_radius_m + 0.01


def test_the_same_seed_gives_the_same_pictures():
    images = [SceneCamera(MAZE, scene('randomised', 3), seed=4).picture((0.05, 0.0), (0, 0.05)) for _ in range(2)]
    np.testing.assert_array_equal(*images)
