"""The tilting board as MuJoCo's own renderer sees it: lit, shadowed, in perspective, over EGL."""

from __future__ import annotations

import math
import os
import weakref
from typing import Any

import cv2
import mujoco
import numpy as np
import numpy.typing as npt

from maze_policy.config import OBSERVATION_PX
from maze_policy.maze import Maze
from maze_policy.mujoco_model import mjcf, wall_pieces
from maze_policy.perspective import LAMP_XY, SCENE
from maze_policy.render import BALL, FLOOR, TABLE, WALL

Float64 = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]

SUPERSAMPLE = 4  # pictures are drawn this much larger and shrunk by area
LAMP_UP = 2.0  # how high the lamp stands beside LAMP_XY
SHADE = 0.4  # share of the light that comes from everywhere; the lamp gives the rest
SHADOW_PX = 2048


class MujocoCamera:
    """Images of one maze by MuJoCo: the scene of `maze_policy.perspective.Perspective`, with true light and shadows.

    Drawing one takes about 50 ms where Mesa does it on the processor, so it is for looking and for trying a policy on
    a picture that nobody here made, not for training.
    """

    def __init__(self, maze: Maze) -> None:
        """Raises OSError where OpenGL draws nothing without a screen."""
        size = OBSERVATION_PX * SUPERSAMPLE
        self._view_m = maze.view_m
        self._model = _lit(maze)
        self._context, self._screen = _screen(self._model, size)
        self._data = mujoco.MjData(self._model)
        self._geoms = _kinds(self._model)
        self._ball = self._model.geom('ball').id
        self._scene = mujoco.MjvScene(self._model, maxgeom=self._model.ngeom + 10)
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = 0
        # In this order: MuJoCo's buffers live in the context. At exit the driver has taken both down by itself.
        weakref.finalize(self, _close, self._context, self._screen).atexit = False
        self._rectangle = mujoco.MjrRect(0, 0, size, size)
        self._picture = np.empty((size, size, 3), np.uint8)
        # Where a pixel lies, in halves of the picture.
        self._x = ((np.arange(OBSERVATION_PX, dtype=np.float32) + 0.5) * 2 / OBSERVATION_PX) - 1
        self._y = -self._x[:, np.newaxis]

    def draw(
        self, images: UInt8, position_m: Float64, tilt_rad: Float64, ball_radius_m: Float64, scene: Float64
    ) -> None:
        """Draw n boards; the arguments are those of `Perspective.draw`.

        `brightness`, the gradients and the tilt cue are laid over MuJoCo's picture, the cue along the picture's axes.
        """
        self._context.make_current()
        for image, position, tilt, radius_m, row in zip(images, position_m, tilt_rad, ball_radius_m, scene):
            image[:] = self._draw(position, tilt, radius_m, dict(zip(SCENE, row.tolist())))

    def _draw(self, position_m: Float64, tilt_rad: Float64, radius_m: float, scene: dict[str, float]) -> UInt8:
        model, data = self._model, self._data
        for kind, color in (('floor', FLOOR), ('wall', WALL), ('ball', BALL)):
            model.geom_rgba[self._geoms[kind], :3] = scene[kind] * np.array(color) / 255
        model.geom_size[self._ball, 0] = radius_m
        self._place_camera(scene)
        data.qpos[:2] = tilt_rad
        mujoco.mj_kinematics(model, data)
        board = data.body('board').xmat.reshape(3, 3)
        data.qpos[2:5] = board @ [*position_m, radius_m]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, self._camera, everything, self._scene)
        mujoco.mjr_render(self._rectangle, self._scene, self._screen)
        mujoco.mjr_readPixels(self._picture, None, self._rectangle, self._screen)
        grey = cv2.cvtColor(self._picture[::-1], cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (OBSERVATION_PX, OBSERVATION_PX), interpolation=cv2.INTER_AREA)
        along_x = scene['gradient_x'] - scene['tilt_cue_per_rad'] * tilt_rad[1]
        along_y = scene['gradient_y'] + scene['tilt_cue_per_rad'] * tilt_rad[0]
        light = np.float32(scene['brightness']) * (1 + np.float32(along_x) * self._x + np.float32(along_y) * self._y)
        return np.asarray(cv2.multiply(small, light, dtype=cv2.CV_8U), dtype=np.uint8)

    def _place_camera(self, scene: dict[str, float]) -> None:
        place = np.array([scene['camera_x_m'], scene['camera_y_m'], scene['camera_z_m']])
        back = place - [scene['aim_x_m'], scene['aim_y_m'], 0.0]
        back /= np.linalg.norm(back)
        right = np.cross((0.0, 1.0, 0.0), back)
        right /= np.linalg.norm(right)
        up = np.cross(back, right)
        cos, sin = math.cos(scene['turn_rad']), math.sin(scene['turn_rad'])
        axes = np.stack([cos * right - sin * up, sin * right + cos * up, back], axis=1)
        model = self._model
        model.cam_pos[0] = place
        mujoco.mju_mat2Quat(model.cam_quat[0], axes.ravel())
        half_rad = math.atan(self._view_m / scene['zoom'] / 2 / scene['camera_z_m'])
        model.cam_fovy[0] = 2 * math.degrees(half_rad)


def _lit(maze: Maze) -> Any:
    """The whole maze with a table, a lamp and a camera."""
    spec = mujoco.MjSpec.from_string(mjcf(maze, wall_pieces(maze)))
    size = OBSERVATION_PX * SUPERSAMPLE
    spec.visual.global_.offwidth = spec.visual.global_.offheight = size
    spec.visual.quality.shadowsize = SHADOW_PX
    spec.visual.headlight.ambient = [SHADE] * 3
    spec.visual.headlight.diffuse = spec.visual.headlight.specular = [0.0] * 3
    spec.worldbody.add_camera(name='camera')
    lamp = -np.array([*LAMP_XY, LAMP_UP])
    # Straight onto a level board it would give all that is not SHADE.
    diffuse = (1 - SHADE) * np.linalg.norm(lamp) / LAMP_UP
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, dir=lamp, diffuse=[diffuse] * 3, castshadow=True, pos=-lamp
    )
    table = [*(np.array(TABLE) / 255), 1.0]
    spec.worldbody.add_geom(
        name='table', type=mujoco.mjtGeom.mjGEOM_PLANE, pos=[0, 0, -0.03], size=[2, 2, 1], rgba=table,
        contype=0, conaffinity=0,
    )  # fmt: skip
    return spec.compile()


def _kinds(model: Any) -> dict[str, list[int]]:
    """Indices of the geoms of each kind."""
    kinds: dict[str, list[int]] = {}
    for index in range(model.ngeom):
        kinds.setdefault(model.geom(index).name.split()[0], []).append(index)
    return kinds


def _close(context: Any, screen: Any) -> None:
    context.make_current()
    screen.free()
    context.free()


def _screen(model: Any, size: int) -> tuple[Any, Any]:
    """An OpenGL context that needs no screen, by EGL or what MUJOCO_GL says, and MuJoCo's buffers in it."""
    try:
        if os.environ.get('MUJOCO_GL', 'egl') == 'egl':
            from mujoco.egl import GLContext  # MuJoCo chose when it was first imported, perhaps without MUJOCO_GL
        else:
            from mujoco import GLContext
        context = GLContext(size, size)
        context.make_current()
        screen = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    except Exception as error:  # ImportError, RuntimeError, AttributeError or OpenGL's own, as the drivers have it
        raise OSError(
            f"MuJoCo's renderer wants OpenGL without a screen (EGL), got {type(error).__name__}: {error}; "
            'view perspective needs none'
        ) from error
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, screen)
    return context, screen
