"""MuJoCo's pictures beside our own perspective ones; where there is no EGL, only what is said about it."""

import sys

import numpy as np
import pytest

from maze_policy.maze import load_maze
from maze_policy.mujoco_camera import MujocoCamera
from maze_policy.perspective import SCENE, Perspective
from maze_policy.render import BALL, FLOOR, grey

MAZE = load_maze()
LEVEL = {'camera_z_m': 0.45, 'zoom': 1.0, 'brightness': 1.0, 'floor': 1.0, 'wall': 1.0, 'ball': 1.0}
ASKEW = LEVEL | {'camera_x_m': 0.02, 'camera_y_m': -0.03, 'aim_x_m': 0.003, 'turn_rad': 0.06, 'zoom': 1.04}
TILTED = (0.08, -0.06)
# White on black: only what is where. MuJoCo's is so bright that neither lamp nor shadow shows.
WHITE_BALL = {'floor': 0.0, 'wall': 0.0, 'ball': 255 / grey(BALL)}
WHITE_FLOOR = {'floor': 255 / grey(FLOOR), 'wall': 0.0, 'ball': 0.0}
GLARING_BALL, GLARING_FLOOR = WHITE_BALL | {'ball': 9.0}, WHITE_FLOOR | {'floor': 9.0}
POSITIONS = [(0.0, 0.0), (0.0865, 0.0), (-0.03, 0.038), (0.02, -0.083), (-0.0475, -0.007)]
CLEARLY = r'wants OpenGL without a screen \(EGL\), got .*; view perspective needs none$'


def egl_lacks() -> str:
    """What keeps MuJoCo from drawing over EGL on this machine, found out without our code; empty where nothing does."""
    try:
        from mujoco.egl import GLContext

        context = GLContext(84, 84)
        context.make_current()
        context.free()
    except Exception as error:  # ImportError, RuntimeError, AttributeError or OpenGL's own, as the drivers have it
        return f'{type(error).__name__}: {error}'
    return ''


@pytest.fixture(scope='module')
def camera():
    """MuJoCo's camera; where there is no EGL it says so, and there is nothing to look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv('MUJOCO_GL', raising=False)
        if lacking := egl_lacks():
            with pytest.raises(OSError, match=CLEARLY):
                MujocoCamera(MAZE)
            pytest.skip(f"no EGL on this machine to see MuJoCo's pictures by: {lacking}")
        return MujocoCamera(MAZE)


def draw(view, scene, position_m, tilt_rad=(0.0, 0.0), radius_m=MAZE.ball_radius_m) -> np.ndarray:
    images = np.empty((1, 84, 84), np.uint8)
    row = np.array([[scene.get(name, 0.0) for name in SCENE]])
    view.draw(images, np.array([position_m]), np.array([tilt_rad]), np.array([radius_m]), row)
    return images[0].astype(float)


def ball_px(image: np.ndarray) -> np.ndarray:
    """Centre (column, row) of what is brighter than the table, and how many pixels that is."""
    weight = np.clip((image - 90) / 165, 0, 1)
    rows, columns = np.mgrid[:84, :84]
    return np.array([(weight * columns).sum(), (weight * rows).sum(), weight.sum() ** 2]) / weight.sum()


@pytest.mark.parametrize('position_m', POSITIONS)
@pytest.mark.parametrize(('scene', 'tilt_rad', 'radius_m'), [(LEVEL, (0.0, 0.0), 0.0055), (ASKEW, TILTED, 0.0065)])
def test_ball_is_where_our_own_perspective_has_it(camera, position_m, scene, tilt_rad, radius_m):
    ours = ball_px(draw(Perspective(MAZE), scene | WHITE_BALL, position_m, tilt_rad, radius_m))
    assert 8 < ours[2] < 30
    theirs = ball_px(draw(camera, scene | GLARING_BALL, position_m, tilt_rad, radius_m))
    assert np.hypot(*(theirs - ours)[:2]) < 0.3
    assert theirs[2] == pytest.approx(ours[2], rel=0.2)


@pytest.mark.parametrize(('scene', 'tilt_rad'), [(LEVEL, (0.0, 0.0)), (ASKEW, TILTED)])
def test_walls_are_where_our_own_perspective_has_them(camera, scene, tilt_rad):
    ours = draw(Perspective(MAZE), scene | WHITE_FLOOR, (0.0, 0.0), tilt_rad)
    assert np.ptp(ours) > 200
    theirs = draw(camera, scene | GLARING_FLOOR, (0.0, 0.0), tilt_rad)
    both = np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]
    aside = max(np.corrcoef(ours.ravel(), np.roll(theirs, by, axis).ravel())[0, 1] for by in (-1, 1) for axis in (0, 1))
    assert both > 0.97
    assert both > aside + 0.05


def test_lamp_shadows_brightness_and_gradient(camera):
    plain = draw(camera, LEVEL, (0.0, 0.0))
    assert 85 < plain.mean() < 115
    darker = draw(camera, LEVEL | {'brightness': 0.5}, (0.0, 0.0))
    np.testing.assert_allclose(darker, plain / 2, atol=1)
    slanted = draw(camera, LEVEL | {'gradient_x': 0.2}, (0.0, 0.0))
    assert slanted[:, 42:].mean() / plain[:, 42:].mean() > 1.08 > 1 > slanted[:, :42].mean() / plain[:, :42].mean()
    # The lamp stands at the upper left: the floor is darker to the lower right of the outermost ring wall.
    x, y = (np.arange(84) + 0.5 - 42) / 420, -(np.arange(84)[:, None] + 0.5 - 42) / 420
    behind = (np.hypot(x, y) > 0.0785) & (np.hypot(x, y) < 0.082)
    towards = (-0.6 * x + 0.8 * y) / np.hypot(x, y)
    assert plain[behind & (towards > 0.8)].mean() > plain[behind & (towards < -0.8)].mean() + 30


def test_says_what_to_use_where_there_is_no_egl(monkeypatch):
    monkeypatch.delenv('MUJOCO_GL', raising=False)
    monkeypatch.setitem(sys.modules, 'mujoco.egl', None)
    with pytest.raises(OSError, match=CLEARLY):
        MujocoCamera(MAZE)
