"""Pictures of the scenes of a world, with their truth, for the tests of whatever looks at them."""

import cv2
import numpy as np

from maze_policy.calibrate_config import MarkerConfig
from maze_policy.maze import load_maze
from maze_policy.pinhole import Pinhole, tilted_axes
from maze_policy.scene_camera import SceneCamera, draw_scene
from maze_policy.world import load_world

MAZE, MARKERS = load_maze(), MarkerConfig()
LEVEL = (0.0, 0.0)
# Places all over the board, in the plane of the middle of the ball.
PLACES = np.array(
    [
        (x, y, 0.0055)
        for x in np.linspace(-0.09, 0.09, 13)
        for y in np.linspace(-0.09, 0.09, 13)
        if np.hypot(x, y) < 0.09
    ]
)


def scene(profile, seed):
    return draw_scene(load_world(profile), MAZE, np.random.default_rng(seed))


def scene_camera(profile, seed, **options):
    return SceneCamera(MAZE, scene(profile, seed), seed=seed, **({'markers': MARKERS} | options))


def grey(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def average(camera, position=(0.0, 0.0675), tilt=LEVEL, count=4):
    return np.mean([camera.picture(position, tilt) for _ in range(count)], axis=0).round().astype(np.uint8)


def tilted(camera, tilt):
    """The true camera over the tilted board."""
    axes = tilted_axes(np.array(tilt))
    return Pinhole(camera.matrix, camera.distortion, camera.rotation @ axes, camera.translation_m)


def off_m(camera, true):
    """How far places on the board are off where a camera has them."""
    return np.linalg.norm(camera.points(true.pixels(PLACES), 0.0055) - PLACES[:, :2], axis=1)


def bent(image, camera, distortion):
    """The picture of the same camera with a lens that distorts."""
    height, width = image.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    straight = cv2.undistortPoints(
        np.stack([columns, rows], axis=-1).reshape(-1, 1, 2), camera.matrix, distortion, P=camera.matrix
    ).reshape(height, width, 2)
    return cv2.remap(image, straight[..., 0], straight[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
