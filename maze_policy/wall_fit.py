"""Find the board in a picture by its walls: how it lies before the camera, to a fraction of a pixel. Ours.

Light, blur and noise move the edges of a wall, but not the middle of the dark band that it makes; and that middle is
where the wall's mid-line at half its height is. So it is looked for on short lines across the walls, and the middle of
the bright gap of every opening on lines along them; the board's pose is the one that brings all of them to their place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.maze import Maze
from maze_policy.pinhole import Pinhole
from maze_policy.simulator import half_gap_rad

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

SPACING_M = 0.006  # of the lines along a wall
STEP_M = 0.0005  # of the samples on a line
MARGIN_M = 0.004  # lines keep this far from the ends of a wall
LEAST_CONTRAST = 0.08  # by which a wall is darker than the floor beside it
TUKEY = 4.685  # residuals beyond this many standard deviations count nothing
LEAST_SCALE_M = 1e-4
LEAST_LINES = 12
LEAST_SHARE = 0.6  # of the lines, for what is seen to be the board
SMALL = 1e-4  # motions, rad and m
NEAR_M = 0.0015  # what is further off is no wall that the pose explains
LARGEST_SPREAD = 0.42  # of a dark band, by half the line's length; that of noise is 0.58
ANYHOW = (np.inf,) * 6
# How far a board may plausibly be from where the calibration has it: tilts and turn, rad; shifts along x, y, z, m.
TILTING = (0.06, 0.06, 0.01, 0.003, 0.003, 0.003)


@dataclass(frozen=True)
class WallsSeen:
    """What a picture shows of the walls.

    Attributes:
        camera: the camera as it stands over the board as it lies now.
        motion: how the board moved in the frame in which it was looked for: turns about x, y and z, rad, then shifts
            along them, m; shape (6,).
        residual_m: how far the middles of walls and openings are from their places, root mean square, m.
        share: share of the lines that show a wall or an opening where it should be; near 1 for a board.
    """

    camera: Pinhole
    motion: Float64
    residual_m: float
    share: float


class WallFit:
    """Look for the walls of one maze.

    Args:
        maze: its geometry.
        wall_height_m: height of the walls above the floor, m.
    """

    def __init__(self, maze: Maze, wall_height_m: float) -> None:
        self._across, self._along = _lines(maze, wall_height_m / 2)
        self._across_moved, self._along_moved = _motions(self._across), _motions(self._along)
        self._reach = (self._across.shape[1] // 2 * STEP_M, self._along.shape[1] // 2 * STEP_M)

    def fit(self, grey: UInt8, camera: Pinhole, likely: tuple[float, ...] = ANYHOW, rounds: int = 5) -> WallsSeen:
        """The board's pose in a picture, beginning with one that is off by less than half a ring, about 8 mm.

        Args:
            grey: mono8, shape (height, width).
            camera: where to begin.
            likely: standard deviations of the motion from there, as in `WallsSeen.motion`; infinite ones bind nothing.
            rounds: how often to look again from the better pose.
        """
        binding = 1 / np.square(likely)
        motion = np.zeros(6)
        now = camera
        for _ in range(rounds):
            residual, good, slope = self._look(grey, now)
            trust = self._trust(residual, good)
            if (trust > 0).sum() < LEAST_LINES:
                break
            normal = slope.T @ (slope * trust[:, np.newaxis]) + np.diag(binding)
            pull = slope.T @ (residual * trust) - binding * motion
            motion = motion + np.linalg.lstsq(normal, pull, rcond=1e-12)[0]
            now = moved(camera, motion)
        weight = trust / max(trust.max(), 1e-9)
        rms = float(np.sqrt((weight * residual**2).sum() / max(weight.sum(), 1e-9)))
        return WallsSeen(now, motion, rms, float((good & (np.abs(residual) < NEAR_M)).mean()))

    def _trust(self, residual: Float64, good: Bool) -> Float64:
        """What each line counts, 1/m^2; those across walls and those along openings are judged among themselves."""
        trust = np.zeros(residual.size)
        for lines in (slice(None, len(self._across)), slice(len(self._across), None)):
            off, fine = np.abs(residual[lines]), good[lines]
            scale = max(1.4826 * float(np.median(off[fine])), LEAST_SCALE_M) if fine.any() else LEAST_SCALE_M
            trust[lines] = fine * np.clip(1 - (off / (TUKEY * scale)) ** 2, 0, None) ** 2 / scale**2
        return trust

    def _look(self, grey: UInt8, camera: Pinhole) -> tuple[Float64, Bool, Float64]:
        """How far each middle is from its place, m; whether it is one; how motions move it, shape (lines, 6)."""
        height, width = grey.shape
        residuals, goods, slopes = [], [], []
        for lines, motions, reach_m, bright in (
            (self._across, self._across_moved, self._reach[0], False),
            (self._along, self._along_moved, self._reach[1], True),
        ):
            pixels = _on_lines(camera, lines)
            seen = cv2.remap(grey, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            levels = np.asarray(seen, dtype=np.float32)
            inside = ((pixels >= 0) & (pixels <= (width - 1, height - 1))).all(axis=(1, 2))
            offset, spread, contrast = _middle(255 - levels if bright else levels, reach_m)
            residuals.append(offset)
            goods.append(inside & (contrast > LEAST_CONTRAST) & (spread < LARGEST_SPREAD * reach_m))
            slopes.append(_slopes(camera, motions))
        return np.concatenate(residuals), np.concatenate(goods), np.concatenate(slopes)


def moved(camera: Pinhole, motion: Float64) -> Pinhole:
    """The same camera over the board moved by turns about x, y, z, rad, and shifts along them, m, shape (6,)."""
    turn, _ = cv2.Rodrigues(motion[:3])
    shift = camera.translation_m + camera.rotation @ motion[3:]
    return Pinhole(camera.matrix, camera.distortion, camera.rotation @ turn, shift)


def _on_lines(camera: Pinhole, lines: Float64) -> npt.NDArray[np.float32]:
    """Pixels of the samples, shape (lines, samples, 2); exact at ends and middle, a parabola through them between."""
    count = lines.shape[1]
    known = camera.pixels(lines[:, [0, count // 2, -1]].reshape(-1, 3)).reshape(-1, 3, 2)
    at = np.linspace(-1, 1, count)
    share = np.stack([at * (at - 1) / 2, 1 - at**2, at * (at + 1) / 2], axis=1)
    return np.asarray(share @ known, dtype=np.float32)


def _middle(levels: Float32, reach_m: float) -> tuple[Float64, Float64, Float64]:
    """The dark band on each line: its middle, m from the line's, its standard deviation, m, its contrast."""
    count = levels.shape[1]
    at = np.linspace(-1, 1, count, dtype=np.float32)
    end = max(count // 8, 2)
    first, last = levels[:, :end].mean(axis=1, keepdims=True), levels[:, -end:].mean(axis=1, keepdims=True)
    beside = (first + last) / 2 + (last - first) / 2 * at
    dark = np.clip(beside - levels, 0, None)
    contrast = dark.max(axis=1) / np.maximum(beside.mean(axis=1), 1.0)
    dark *= dark > 0.25 * dark.max(axis=1, keepdims=True)
    dark /= np.maximum(dark.sum(axis=1, keepdims=True), 1e-9)
    middle = dark @ at
    spread = np.sqrt(np.maximum(dark @ at**2 - middle**2, 0))
    return middle * reach_m, spread * reach_m, contrast


def _slopes(camera: Pinhole, moved_points: Float64) -> Float64:
    """How far the middle of each line moves along it, m per rad and per m, shape (lines, 6)."""
    start, along, *ends = camera.pixels(moved_points.reshape(-1, 3)).reshape(8, -1, 2)
    direction = (along - start) / STEP_M
    length = (direction**2).sum(axis=1) * SMALL
    return np.stack([((end - start) * direction).sum(axis=1) / length for end in ends], axis=1)


def _motions(lines: Float64) -> Float64:
    """The middle of each line, the sample after it, and the middle after each small motion, shape (8, lines, 3)."""
    centre = lines.shape[1] // 2
    middle = lines[:, centre]
    turned = [middle + SMALL * np.cross(axis, middle) for axis in np.eye(3)]
    return np.stack([middle, lines[:, centre + 1], *turned, *(middle + SMALL * axis for axis in np.eye(3))])


def _lines(maze: Maze, height_m: float) -> tuple[Float64, Float64]:
    """Samples on lines across the walls and along the openings, maze frame, m, shapes (lines, samples, 3)."""
    across, along = [], []
    rings = np.diff([*maze.wall_radius_m, maze.rim_radius_m]).min()
    reach = int((rings / 2 - maze.wall_thickness_m / 2) / STEP_M)
    offset_m = np.arange(-reach, reach + 1) * STEP_M
    reach = int((maze.opening_clear_m / 2 + MARGIN_M) / STEP_M)
    beside_m = np.arange(-reach, reach + 1) * STEP_M
    for radius_m, openings, gap in zip(maze.wall_radius_m, maze.openings_rad, half_gap_rad(maze)):
        bearing = np.linspace(0, 2 * np.pi, round(2 * np.pi * radius_m / SPACING_M), endpoint=False)
        off = np.abs((bearing[:, np.newaxis] - openings + np.pi) % (2 * np.pi) - np.pi).min(axis=1)
        bearing = bearing[off > gap + MARGIN_M / radius_m]
        across.append(_polar(radius_m + offset_m, bearing[:, np.newaxis], height_m))
        along.append(_polar(np.full((1, 1), radius_m), openings[:, np.newaxis] + beside_m / radius_m, height_m))
    return np.concatenate(across), np.concatenate(along)


def _polar(radius_m: Any, bearing: Any, height_m: float) -> Float64:
    x, y = radius_m * np.cos(bearing), radius_m * np.sin(bearing)
    return np.stack([x, y, np.full_like(x, height_m)], axis=-1)
