import dataclasses

import numpy as np
import pytest
from looking import MARKERS, MAZE, average, bent, grey, off_m, scene, scene_camera

from maze_policy.board_pose import BoardNotFound, Lens, find_board
from maze_policy.perspective import SCENE
from maze_policy.pinhole import Pinhole
from maze_policy.scene_camera import SceneCamera

SEEDS = [('nominal', 0), ('real_like', 0), *(('randomised', seed) for seed in range(6))]
METHODS = {'markers': MARKERS, 'circle': None}


def known(camera):
    return Lens(camera.pinhole.matrix, np.zeros(5), 0.0)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize(('profile', 'seed'), SEEDS)
def test_finds_the_board_with_a_calibrated_lens_or_a_tape(profile, seed, method):
    """To 0.2 mm on average and 0.5 mm anywhere; a tape that is 5 % off changes nothing."""
    camera = scene_camera(profile, seed)
    image = grey(average(camera))
    distance = float(np.linalg.norm(camera.pinhole.place_m))
    for lens in (known(camera), Lens(None, np.zeros(5), 1.05 * distance)):
        found = find_board(image, MAZE, 0.01, lens, METHODS[method])
        off = off_m(found.seen.camera, camera.pinhole)
        assert off.mean() < 2e-4
        assert off.max() < 5e-4
        assert found.seen.share > 0.95
        assert np.linalg.norm(found.seen.camera.translation_m) == pytest.approx(distance, rel=0.06)
        if method == 'markers':
            assert len(found.markers) >= 3
            assert found.marker_residual_m < 1e-3


def seen_from(profile='nominal', **changes):
    drawn = scene(profile, 0)
    view = drawn.view.copy()
    for name, value in changes.items():
        view[SCENE.index(name)] = value
    return SceneCamera(MAZE, dataclasses.replace(drawn, view=view), markers=MARKERS)


@pytest.mark.parametrize('turn_deg', [-160.0, -90.0, -37.0, 25.0, 75.0, 120.0, 180.0])
def test_the_openings_say_how_the_board_is_turned(turn_deg):
    camera = seen_from(turn_rad=np.radians(turn_deg))
    found = find_board(grey(average(camera)), MAZE, 0.01, known(camera))
    assert off_m(found.seen.camera, camera.pinhole).max() < 3e-4


@pytest.mark.parametrize('method', METHODS)
def test_finds_it_from_far_beside(method):
    """From 35 deg beside the axis, where the circle is an ellipse whose middle is not the circle's."""
    camera = seen_from(camera_x_m=0.3, camera_y_m=-0.2, zoom=0.8)
    found = find_board(grey(average(camera)), MAZE, 0.01, known(camera), METHODS[method])
    assert off_m(found.seen.camera, camera.pinhole).max() < 5e-4


@pytest.mark.parametrize('method', METHODS)
def test_undoes_the_lens(method):
    camera = scene_camera('nominal', 0)
    distortion = np.array([-0.25, 0.08, 0.001, -0.002, 0.0])
    image = grey(bent(average(camera), camera.pinhole, distortion))
    found = find_board(image, MAZE, 0.01, Lens(camera.pinhole.matrix, distortion, 0.0), METHODS[method])
    true = Pinhole(camera.pinhole.matrix, distortion, camera.pinhole.rotation, camera.pinhole.translation_m)
    assert off_m(found.seen.camera, true).max() < 3e-4
    straight = find_board(image, MAZE, 0.01, known(camera), METHODS[method])
    assert straight.seen.residual_m > 2 * found.seen.residual_m, 'a lens that is not calibrated shows'


def test_a_turn_that_the_openings_do_not_say_must_be_given():
    symmetric = dataclasses.replace(
        MAZE, openings_per_wall=(1, 2, 3, 2), opening_deg=(90.0, 90.0, 270.0, 90.0, 210.0, 330.0, 90.0, 270.0)
    )
    symmetric = dataclasses.replace(symmetric, openings_per_wall=(3,) * 4, opening_deg=(90.0, 210.0, 330.0) * 4)
    drawn = scene('nominal', 0)
    camera = SceneCamera(symmetric, drawn)
    image = grey(average(camera))
    with pytest.raises(BoardNotFound, match='fit the openings alike; give --turn-deg, or use markers'):
        find_board(image, symmetric, 0.01, known(camera))
    found = find_board(image, symmetric, 0.01, known(camera), turn_deg=-8.0)
    assert off_m(found.seen.camera, camera.pinhole).max() < 3e-4
    third = find_board(image, symmetric, 0.01, known(camera), turn_deg=115.0)
    right = third.seen.camera.rotation[:, 0] @ found.seen.camera.rotation[:, 0]
    assert np.degrees(np.arccos(right)) == pytest.approx(120, abs=0.5)


@pytest.mark.parametrize(
    ('method', 'says'),
    [
        ('markers', 'want at least 3 of the markers 0, 1, 2, 3 of DICT_4X4_50, got none.*--method circle'),
        ('circle', 'no closed outer wall with the openings of this maze inside'),
    ],
)
def test_says_what_to_do_where_there_is_no_board(method, says):
    noise = np.random.default_rng(0).integers(0, 256, (480, 640), dtype=np.uint8)
    for image in (noise, np.full((480, 640), 90, np.uint8)):
        with pytest.raises(BoardNotFound, match=says):
            find_board(image, MAZE, 0.01, Lens(None, np.zeros(5), 0.5), METHODS[method])


def test_another_maze_is_not_this_one():
    other = dataclasses.replace(MAZE, opening_deg=(70.0, 90.0, 270.0, 0.0, 120.0, 240.0, 60.0, 180.0, 300.0))
    camera = SceneCamera(other, scene('nominal', 0), markers=MARKERS)
    image = grey(average(camera))
    found = find_board(image, MAZE, 0.01, known(camera), MARKERS)
    assert found.seen.share < 0.9


def test_markers_elsewhere_than_said_are_noticed():
    camera = scene_camera('nominal', 0)
    image = grey(average(camera))
    moved = dataclasses.replace(MARKERS, marker_place_m=tuple(np.array(MARKERS.marker_place_m) + 0.003))
    assert find_board(image, MAZE, 0.01, known(camera), moved).marker_residual_m == pytest.approx(0.0042, abs=5e-4)
    far = dataclasses.replace(MARKERS, marker_place_m=tuple(np.array(MARKERS.marker_place_m) + 0.03))
    with pytest.raises(BoardNotFound, match='the walls are not where the 4 markers say: are marker_place_m'):
        find_board(image, MAZE, 0.01, known(camera), far)
