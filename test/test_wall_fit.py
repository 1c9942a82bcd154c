import cv2
import numpy as np
import pytest
from looking import MAZE, grey, off_m, scene_camera, tilted

from maze_policy.wall_fit import ANYHOW, TILTING, WallFit, moved

WALLS = WallFit(MAZE, 0.01)
LIKELY = {'free': ANYHOW, 'tilting': TILTING}


@pytest.mark.parametrize('profile', ['nominal', 'real_like', 'randomised'])
def test_finds_the_pose_of_a_tilted_board_in_light_blur_and_noise(profile):
    """From up to 5 mm off to 0.2 mm on average, with a ball that hides some of the walls."""
    random = np.random.default_rng(0)
    for seed in range(6):
        camera = scene_camera(profile, seed)
        tilt, angle = random.uniform(-0.087, 0.087, 2), random.uniform(-3, 3)
        image = grey(camera.picture(0.0675 * np.array([np.cos(angle), np.sin(angle)]), tilt))
        true = tilted(camera.pinhole, tilt)
        start = moved(camera.pinhole, random.normal(0, 1, 6) * (0.01, 0.01, 0.02, 0.001, 0.001, 0.003))
        seen = WALLS.fit(image, start)
        assert off_m(seen.camera, true).mean() < 2e-4
        assert off_m(seen.camera, true).max() < 5e-4
        assert seen.share > 0.95
        assert seen.residual_m < 2e-4


@pytest.mark.parametrize('likely', LIKELY)
def test_says_how_the_board_moved(likely):
    camera = scene_camera('nominal', 0)
    tilt = np.array([0.07, -0.04])
    seen = WALLS.fit(grey(camera.picture((0, 0.03), tilt)), camera.pinhole, LIKELY[likely])
    np.testing.assert_allclose(seen.motion[:2], tilt, atol=0.01)
    np.testing.assert_allclose(seen.motion[2:5], 0, atol=2e-3)


def test_moved_turns_about_the_boards_axes_and_then_shifts():
    camera = scene_camera('nominal', 0).pinhole
    at = moved(camera, np.array([0, 0, np.pi / 2, 0.01, 0, 0])).pixels(np.array([[0.02, 0, 0]]))
    np.testing.assert_allclose(at, camera.pixels(np.array([[0.01, 0.02, 0]])), atol=1e-6)


@pytest.mark.parametrize('what', ['grey', 'noise', 'clouds', 'black'])
def test_sees_no_board_where_there_is_none(what):
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (480, 640), dtype=np.uint8)
    image = {
        'grey': np.full((480, 640), 120, np.uint8),
        'noise': noise,
        'clouds': cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX),
        'black': np.zeros((480, 640), np.uint8),
    }[what]
    assert WALLS.fit(image, scene_camera('nominal', 0).pinhole).share < 0.35
