import dataclasses

import cv2
import numpy as np
import pytest

from maze_policy.calibrate_config import MarkerConfig
from maze_policy.config import CameraConfig
from maze_policy.markers import find_markers, marker_picture
from maze_policy.maze import load_maze
from maze_policy.scene_camera import SceneCamera, draw_scene
from maze_policy.world import load_world

MAZE, MARKERS = load_maze(), MarkerConfig()


def grey(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def test_corners_are_around_the_places():
    corners = MARKERS.marker_corners_m
    np.testing.assert_allclose(corners[0, 0], [-0.124, 0.09, 0.0])
    np.testing.assert_allclose(corners[2], [(0.1, -0.066, 0), (0.124, -0.066, 0), (0.124, -0.09, 0), (0.1, -0.09, 0)])


@pytest.mark.parametrize('dictionary', ['DICT_4X4_50', 'DICT_6X6_250', 'DICT_APRILTAG_36h11'])
def test_finds_its_own_print_upright_and_nothing_else(dictionary):
    config = dataclasses.replace(MARKERS, marker_dictionary=dictionary, marker_ids=(7, 5, 2, 9))
    page = np.full((400, 400), 200, np.uint8)
    for identity, corner in ((7, (20, 20)), (2, (220, 210)), (3, (20, 220))):
        print_ = marker_picture(config, identity, 15)
        page[corner[1] : corner[1] + len(print_), corner[0] : corner[0] + len(print_)] = print_
    found = find_markers(page, config)
    assert list(found) == [7, 2]
    side = len(marker_picture(config, 7, 15)) - 30
    square = np.array([(0, 0), (side, 0), (side, side), (0, side)])
    np.testing.assert_allclose(found[7], square + 35 - 0.5, atol=0.6)


@pytest.mark.parametrize('profile', ['nominal', 'real_like', 'randomised'])
def test_finds_the_four_in_light_blur_and_noise(profile):
    """At least three in every picture. What blur does to their corners it does to all sides: not to the middle."""
    found, off_px = [], []
    for seed in range(8):
        camera = SceneCamera(MAZE, draw_scene(load_world(profile), MAZE, np.random.default_rng(seed)), markers=MARKERS)
        corners = find_markers(grey(camera.picture((0.03, 0.06), (0, 0))), MARKERS)
        true = camera.pinhole.pixels(MARKERS.marker_corners_m.reshape(-1, 3)).reshape(4, 4, 2)
        found.append(len(corners))
        off_px += [np.abs(corners[i].mean(axis=0) - true[i].mean(axis=0)).max() for i in corners]
    assert min(found) >= 3
    assert np.mean(found) > 3.7
    assert np.median(off_px) < 0.8
    assert max(off_px) < 2


def test_they_do_not_tilt_with_the_board():
    scene = draw_scene(load_world('nominal'), MAZE, np.random.default_rng(0))
    camera = SceneCamera(MAZE, scene, CameraConfig(width_px=800, height_px=600), MARKERS)
    level, tilted = (find_markers(grey(camera.picture((0, 0.03), tilt)), MARKERS) for tilt in ((0, 0), (0.08, -0.08)))
    for identity, corners in level.items():
        np.testing.assert_allclose(tilted[identity], corners, atol=0.05)


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'marker_ids': (1, 2, 3, 3)}, 'four different ids'),
        ({'marker_place_m': (0.1, 0.1)}, 'x and y of four markers, got 2 numbers'),
    ],
)
def test_refuses_what_makes_no_markers(changes, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(MARKERS, **changes)


def test_an_unknown_family_is_an_error():
    with pytest.raises(ValueError, match="got 'DICT_4X4_51'; did you mean 'DICT_4X4_50'"):
        marker_picture(dataclasses.replace(MARKERS, marker_dictionary='DICT_4X4_51'), 0, 4)


def test_an_id_that_the_family_does_not_have_is_an_error():
    with pytest.raises(ValueError, match='DICT_4X4_50 has no marker 50'):
        marker_picture(MARKERS, 50, 4)
