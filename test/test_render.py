import math

import numpy as np
import pytest

from maze_policy.config import CameraConfig
from maze_policy.maze import load_maze
from maze_policy.observation import observe
from maze_policy.render import Renderer
from maze_policy.simulator import half_gap_rad

MAZE = load_maze()
RENDERER = Renderer(MAZE)
LEVEL = (0.0, 0.0)
AWAY = (1.0, 1.0)  # outside the view: a board without a ball


def test_shapes_follow_the_camera():
    renderer = Renderer(MAZE, CameraConfig(width_px=320, height_px=240))
    assert renderer.camera_image(LEVEL, LEVEL).shape == (240, 320, 3)
    assert renderer.observation(LEVEL, LEVEL).shape == (84, 84)
    assert renderer.camera_image(LEVEL, LEVEL).dtype == renderer.observation(LEVEL, LEVEL).dtype == np.uint8


def centroid_m(picture, empty):
    """Centre of what the ball changed in an image, in the maze frame, m."""
    change = np.abs(picture.astype(float) - empty)
    change = change.sum(axis=2) if change.ndim == 3 else change
    height, width = change.shape
    rows, columns = np.mgrid[:height, :width] + 0.5
    x = (change * columns).sum() / change.sum() - width / 2
    y = height / 2 - (change * rows).sum() / change.sum()
    return np.array([x, y]) * MAZE.view_m / height


@pytest.mark.parametrize('image', ['camera_image', 'observation'])
def test_ball_is_where_it_is_to_a_tenth_of_a_pixel(image):
    draw = getattr(RENDERER, image)
    empty = draw(AWAY, LEVEL)
    px_m = MAZE.view_m / len(empty)
    random = np.random.default_rng(0)
    for _ in range(20):
        # In the middle of the outer ring, where it hides no wall.
        angle = random.uniform(-math.pi, math.pi)
        position = 0.0865 * np.array([math.cos(angle), math.sin(angle)])
        np.testing.assert_allclose(centroid_m(draw(position, LEVEL), empty), position, atol=0.1 * px_m)


def test_walls_and_openings_are_where_the_maze_says():
    image = RENDERER.camera_image(AWAY, LEVEL).mean(axis=2)
    px_per_m = 480 / MAZE.view_m

    def grey(radius_m, angle):
        x, y = radius_m * math.cos(angle), radius_m * math.sin(angle)
        return image[int(240 - y * px_per_m), int(320 + x * px_per_m)]

    floor = grey(0.0, 0.0)
    for radius_m, openings, half in zip(MAZE.wall_radius_m, MAZE.openings_rad, half_gap_rad(MAZE)):
        half_clear = half - 1.2 * MAZE.wall_thickness_m / radius_m
        for opening in openings:
            assert grey(radius_m, opening) == floor
            assert grey(radius_m, opening - half_clear) == grey(radius_m, opening + half_clear) == floor
            assert grey(radius_m, opening - half) < floor / 2
            assert grey(radius_m, opening + half) < floor / 2
    assert grey(MAZE.rim_radius_m, 1.0) < floor / 2


@pytest.mark.parametrize(
    ('tilt', 'brighter'), [((0.05, 0), 'top'), ((-0.05, 0), 'bottom'), ((0, 0.05), 'left'), ((0, -0.05), 'right')]
)
def test_raised_side_is_brighter(tilt, brighter):
    change = RENDERER.observation(AWAY, tilt).astype(float) - RENDERER.observation(AWAY, LEVEL)
    sides = {'top': change[:42], 'bottom': change[42:], 'left': change[:, :42], 'right': change[:, 42:]}
    assert max(sides, key=lambda side: sides[side].mean()) == brighter
    assert sides[brighter].mean() > 2


def test_largest_tilt_saturates_nothing():
    for tilt in ((0.0873, 0.0873), (-0.0873, 0.0873)):
        assert RENDERER.observation((0.0865, 0.0), tilt).max() < 255


def test_direct_observation_agrees_with_the_camera_path():
    """The two are drawn at different scales; they agree to 15 grey levels in any pixel, 1 on average."""
    random = np.random.default_rng(1)
    for _ in range(50):
        position, tilt = random.uniform(-0.09, 0.09, 2), random.uniform(-0.087, 0.087, 2)
        seen = observe(RENDERER.camera_image(position, tilt)).astype(int)
        difference = np.abs(seen - RENDERER.observation(position, tilt))
        assert difference.max() <= 15
        assert difference.mean() < 1


def test_ball_at_the_edge_of_the_view_is_cut_off():
    image = RENDERER.observation((0.1, 0.0), LEVEL).astype(int) - RENDERER.observation(AWAY, LEVEL)
    assert image[:, 80:].any()
    assert not image[:, :80].any()


def test_drawing_leaves_no_trace():
    before = RENDERER.camera_image(AWAY, LEVEL)
    RENDERER.camera_image((0.05, 0.05), (0.01, 0.0))
    np.testing.assert_array_equal(RENDERER.camera_image(AWAY, LEVEL), before)
