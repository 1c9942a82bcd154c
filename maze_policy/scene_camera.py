"""A color camera of any size before the scene of `maze_policy.perspective`: what stands in for the real one in trials.

Every profile with a perspective view is a scene for it: camera, light, ball, blur and noise are those of the profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.calibrate_config import MarkerConfig
from maze_policy.config import OBSERVATION_PX, CameraConfig
from maze_policy.markers import marker_picture
from maze_policy.maze import Maze
from maze_policy.perspective import SCENE, Perspective, draw_scenes, pinhole
from maze_policy.render import BALL, FLOOR, TABLE, WALL
from maze_policy.world import WorldConfig

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

LEVELS = np.array([TABLE, FLOOR, WALL, BALL], dtype=float).T  # by channel
PAPER, INK = 230.0, 25.0  # grey levels of the printed markers
SUPERSAMPLE = 4
LEAST_BLUR_PX = 0.2  # less cannot be seen


@dataclass(frozen=True)
class Scene:
    """What one world looks like in one episode.

    Attributes:
        view: camera and light, columns as in `maze_policy.perspective.SCENE`, shape (14,).
        ball_radius_m: true radius of the ball, m.
        blur_m: standard deviation of the blur, as far as it reaches on the board, m.
        noise_levels: standard deviation of the noise of every pixel and channel, grey levels.
    """

    view: Float64
    ball_radius_m: float
    blur_m: float
    noise_levels: float


def draw_scene(world: WorldConfig, maze: Maze, random: np.random.Generator) -> Scene:
    """A scene of a world. Its blur, which a profile gives in pixels of the observation, stays the same on the board."""

    def draw(name: str) -> Float64:
        low, high = getattr(world, name)
        return random.uniform(low, high, 1)

    view = draw_scenes(draw)[0]
    radius_m = maze.ball_radius_m * draw('ball_size')[0]
    return Scene(view, radius_m, draw('blur_px')[0] * maze.view_m / OBSERVATION_PX, draw('noise_levels')[0])


class SceneCamera:
    """Pictures of one scene: `picture(position_m, tilt_rad)` is rgb8, 640 x 480 unless `camera` says otherwise.

    The image height shows about `maze.view_m`, the width more, so that markers beside the board are in view. With
    `markers` the four are there: they lie in the plane of the level board's floor (or `marker_height_m` above it) on
    the fixed frame around the board, which does not tilt.

    Attributes:
        pinhole: the true camera over the level board.
    """

    def __init__(
        self,
        maze: Maze,
        scene: Scene,
        camera: CameraConfig = CameraConfig(),  # noqa: B008 (frozen)
        markers: MarkerConfig | None = None,
        seed: int = 0,
    ) -> None:
        self._scene, self._random = scene, np.random.default_rng(seed)
        self._height, self._width = camera.height_px, camera.width_px
        self._perspective = Perspective(maze)
        self.pinhole = pinhole(maze, scene.view, self._width, self._height)
        self._planes = np.empty((3, 1, self._height, self._width), np.uint8)
        self._printed = [] if markers is None else self._prints(markers)
        self._blur_px = scene.blur_m * self._height / maze.view_m
        size = self._height * self._width * 3
        self._noise = self._random.standard_normal(size + (1 << 20), dtype=np.float32) * np.float32(scene.noise_levels)

    def picture(self, position_m: npt.ArrayLike, tilt_rad: npt.ArrayLike) -> UInt8:
        """The board with a ball at (x, y), m, under a true tilt about (x, y), rad: rgb8, shape (height, width, 3)."""
        scene = self._scene
        position, tilt = np.reshape(position_m, (1, 2)), np.reshape(tilt_rad, (1, 2))
        for plane, levels in zip(self._planes, LEVELS):
            radius_m, view = np.array([scene.ball_radius_m]), scene.view[np.newaxis]
            self._perspective.draw(plane, position, tilt, radius_m, view, tuple(levels))
        image = np.asarray(cv2.merge([plane[0] for plane in self._planes]), dtype=np.uint8)
        for rows, columns, cover, paper in self._printed:
            image[rows, columns] = image[rows, columns] * (1 - cover) + paper
        if self._blur_px > LEAST_BLUR_PX:
            cv2.GaussianBlur(image, (0, 0), self._blur_px, dst=image)
        if scene.noise_levels > 0:
            start = self._random.integers(self._noise.size - image.size)
            noise = self._noise[start : start + image.size].reshape(image.shape)
            cv2.add(image, noise, dst=image, dtype=cv2.CV_8U)
        return image

    def _prints(self, markers: MarkerConfig) -> list[tuple[slice, slice, Float32, Float32]]:
        """For each marker: its rows and columns, which share of each pixel its paper covers, and its light there."""
        size = np.array([self._width, self._height])
        view = dict(zip(SCENE, self._scene.view))
        prints = []
        for identity, corners_m in zip(markers.marker_ids, markers.marker_corners_m):
            sheet = marker_picture(markers, identity, cell_px=8)
            side = len(sheet)
            outer_m = corners_m + (corners_m - np.roll(corners_m, 2, axis=0)) * 8 / (side - 16)
            outer_px = self.pinhole.pixels(outer_m) + 0.5
            low = np.clip(np.floor(outer_px.min(axis=0)), 0, size).astype(int)
            high = np.clip(np.ceil(outer_px.max(axis=0)), low, size).astype(int)
            if (low == high).any():
                continue
            sheet_px = np.array([(0, 0), (side, 0), (side, side), (0, side)]) - 0.5
            at_px = (outer_px - low) * SUPERSAMPLE - 0.5
            to_image = cv2.getPerspectiveTransform(sheet_px.astype(np.float32), at_px.astype(np.float32))
            ink = INK + (PAPER - INK) / 255 * sheet.astype(np.float32)
            piece = int(high[0] - low[0]), int(high[1] - low[1])
            fine = piece[0] * SUPERSAMPLE, piece[1] * SUPERSAMPLE
            cover, paper = (
                _shrunk(cv2.warpPerspective(values, to_image, fine), piece) for values in (np.ones_like(ink), ink)
            )
            x, y = (outer_px.mean(axis=0) * 2 - size) / self._height
            light = view['brightness'] * (1 + view['gradient_x'] * x - view['gradient_y'] * y)
            rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
            prints.append((rows, columns, cover[..., np.newaxis], np.minimum(paper * light, 255)[..., np.newaxis]))
        return prints


def _shrunk(values: npt.NDArray[Any], size: tuple[int, int]) -> Float32:
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
