"""Find the ball in a camera picture: its centre in the maze frame, to a fraction of a pixel. Ours.

The board is found by its walls first (`wall_fit`), so its tilt needs no other source; then the plane of the ball's
middle is seen from straight above. There the walls' own places are left out, because a wall in front of the ball looks
like one behind it, and a disc with a soft edge is fitted to what remains.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.board import BoardConfig
from maze_policy.board_watch import no_board
from maze_policy.maze import Maze
from maze_policy.pinhole import Pinhole
from maze_policy.simulator import half_gap_rad
from maze_policy.wall_fit import LEAST_SHARE, TILTING, WallFit

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

COARSE_M, FINE_M = 0.001, 0.0005  # steps of the search over the whole board and of the fit
MESH = 17  # points at which the view from above is worked out exactly
HEIGHTS = 9  # of a wall at which it is looked for in front of the ball
WINDOW_M = 0.010  # around the ball
LEAST_SEEN = 0.35  # of the ball, beside walls
NEAREST_WALL = 0.7  # ball radii between the ball's middle and a wall's side, to allow for what is not exact
SOME = 7  # every so many places tell the light
SOFTNESS_M, LEAST_SOFT_M, MOST_SOFT_M = 0.0006, 0.0002, 0.003  # of the ball's edge
EASE = np.array([1e-3, 1e-3, 0.4e-3, 0.5e-3])  # how far x, y, radius and softness may plausibly be off, m
SHADES = 4  # even, from left to right, from below to above, and towards the edge
EVENNESS = 2.0  # pixels that speak for a ball without any shading
OTHER_SIZE = 0.4  # what differs so much from the ball's size is none
LEAKS_M = (0.001, 0.002)  # blurs that bring the darkness of a wall onto the floor beside it
ROUNDS, LONGEST_STEP_M = 8, 2e-3


class NoBall(ValueError):
    """There is no ball in the picture, or no board; says what was seen instead."""


class NoBoard(NoBall):
    """There is no board where it was calibrated; says what to do."""


@dataclass(frozen=True)
class Ball:
    """A ball that was found.

    Attributes:
        position_m: its centre in the maze frame, which tilts with the board, shape (2,), m.
        contrast: by which share it is brighter than the floor beside it (darker, for a dark ball).
    """

    position_m: Float64
    contrast: float


class BallTracker:
    """Find the ball of one maze with one calibrated camera.

    Args:
        board: the calibration.
        maze: the geometry, with the ball's radius.
        brighter: whether the ball is brighter than the floor; else it is darker.
        least_contrast: what differs less from the floor is no ball.

    Raises:
        ValueError: if there is no calibration.
    """

    def __init__(self, board: BoardConfig, maze: Maze, brighter: bool = True, least_contrast: float = 0.08) -> None:
        self._board, self._camera = board, board.camera
        self._walls = WallFit(maze, board.wall_height_m)
        self._radius_m, self._sign, self._least = maze.ball_radius_m, 1.0 if brighter else -1.0, least_contrast
        radius_m = maze.rim_radius_m - maze.wall_thickness_m / 2
        self._x, self._y = _grid(radius_m, COARSE_M)
        self._fine_x, self._fine_y = _grid(radius_m, FINE_M)
        self._fine_free = self._is_free(maze, self._fine_x, self._fine_y)
        walls = 1 - self._fine_free.astype(np.float32)
        self._leaks = [cv2.GaussianBlur(walls, (0, 0), blur_m / FINE_M).astype(np.float64) for blur_m in LEAKS_M]
        at = np.linspace(0, MESH - 1, len(self._x), dtype=np.float32)
        self._mesh_x, self._mesh_y = np.meshgrid(at, at)
        self._free = self._is_free(maze, self._x, self._y)
        reach = int(self._radius_m / COARSE_M)
        offset_m = np.arange(-reach, reach + 1) * COARSE_M
        self._disc = (np.hypot(offset_m, offset_m[:, np.newaxis]) < self._radius_m).astype(np.float32)
        self._seen = self._sums(self._free.astype(np.float32))
        self._possible = _wall_distance(maze, self._x, self._y) > NEAREST_WALL * self._radius_m
        self._possible &= self._seen > LEAST_SEEN * self._disc.sum()
        x, y = (values[self._free] / maze.rim_radius_m for values in (self._x, self._y))
        self._light_at = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1).astype(np.float32)

    def find(self, image: UInt8) -> Ball:
        """The ball in a picture.

        Args:
            image: rgb8 (height, width, 3) or mono8 (height, width).

        Raises:
            NoBall: if there is none, or no board.
            ValueError: if the image is of another size than the calibration.
        """
        self._board.require_size(image)
        grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        board = self._walls.fit(grey, self._camera, TILTING, rounds=2)
        if board.share < LEAST_SHARE:
            raise NoBoard(no_board(board.share))
        brighter = self._sums(self._relative(self._from_above(grey, board.camera)))
        brighter = np.where(self._possible, brighter / np.maximum(self._seen, 1), -1.0)
        best = np.unravel_index(int(brighter.argmax()), brighter.shape)
        if brighter[best] < self._least / 2:
            raise NoBall(self._too_faint(float(brighter[best])))
        return self._fit(grey, board.camera, np.array([self._x[best], self._y[best]]))

    def _sums(self, values: Float32) -> Float32:
        """Sums over a disc as large as the ball around each place of the search."""
        return np.asarray(cv2.filter2D(values, -1, self._disc, borderType=cv2.BORDER_CONSTANT), dtype=np.float32)

    def _from_above(self, grey: UInt8, camera: Pinhole) -> Float32:
        """The plane of the ball's middle from straight above."""
        ends = np.linspace(self._x[0, 0], self._x[0, -1], MESH)
        x, y = np.meshgrid(ends, -ends)
        pixels = self._pixels(camera, x, y)
        maps = cv2.remap(pixels, self._mesh_x, self._mesh_y, cv2.INTER_LINEAR)
        seen = cv2.remap(grey, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(seen, dtype=np.float32)

    def _pixels(self, camera: Pinhole, x: Float64, y: Float64) -> Float32:
        points = np.stack([x, y, np.full_like(x, self._radius_m)], axis=-1).reshape(-1, 3)
        return camera.pixels(points).astype(np.float32).reshape(*x.shape, 2)

    def _relative(self, above: Float32) -> Float32:
        """By which share each place is brighter than the floor, whose light is a parabola over the board; walls: 0."""
        levels, at = above[self._free], self._light_at
        some, some_at = levels[::SOME], at[::SOME]
        keep = np.ones(some.size, bool)
        for _ in range(2):
            normal = some_at[keep].T @ some_at[keep]
            light = np.linalg.solve(normal, some_at[keep].T @ some[keep])
            off = np.abs(some - some_at @ light)
            keep = off < 3 * np.median(off)
        relative = np.zeros_like(above)
        relative[self._free] = self._sign * (levels / np.maximum(at @ light, 1) - 1)
        return relative

    def _fit(self, grey: UInt8, camera: Pinhole, start_m: Float64) -> Ball:
        """Least squares of a disc with a soft edge on the free floor around it."""
        reach, middle = round(WINDOW_M / FINE_M), len(self._fine_x) / 2
        row, column = round(middle - start_m[1] / FINE_M), round(middle + start_m[0] / FINE_M)
        window = slice(max(row - reach, 0), row + reach), slice(max(column - reach, 0), column + reach)
        free = self._fine_free[window]
        x, y = self._fine_x[window][free], self._fine_y[window][free]
        pixels = self._pixels(camera, x[:, np.newaxis], y[:, np.newaxis])
        seen = cv2.remap(grey, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        levels = np.asarray(seen, dtype=np.float64).ravel()
        values = np.array([*start_m, self._radius_m, SOFTNESS_M])
        base = np.stack([np.ones_like(x), *(leak[window][free] for leak in self._leaks), *[x] * SHADES], axis=1)
        light = np.zeros(base.shape[1])
        ease = np.full(light.size, 1e-6)
        ease[1 - SHADES :] = EVENNESS
        for _ in range(ROUNDS):
            dx, dy = x - values[0], y - values[1]
            distance = np.sqrt(dx * dx + dy * dy) + 1e-9
            off = (distance - values[2]) / values[3]
            within = 1 / (1 + np.exp(np.clip(off, -30, 30)))
            ahead, aside = dx / values[2], dy / values[2]
            shades = np.stack([np.ones_like(x), ahead, aside, ahead * ahead + aside * aside - 0.5], axis=1)
            base[:, -SHADES:] = within[:, np.newaxis] * shades
            # What is linear is known once the disc is: floor, what blur brings of the walls, the ball and its shading.
            light[:] = np.linalg.solve(base.T @ base + np.diag(ease), base.T @ levels)
            residual = levels - base @ light
            edge = (shades @ light[-SHADES:]) / values[3] * within * (1 - within)
            slopes = np.stack([dx / distance, dy / distance, np.ones_like(x), off], axis=1) * edge[:, np.newaxis]
            full = np.concatenate([slopes * EASE, base], axis=1)
            trust = max(float(residual @ residual) / residual.size, 0.25)
            prior = np.concatenate([(1e-6, 1e-6, trust, 1e-6), ease])
            off_prior = np.concatenate([(0, 0, (values[2] - self._radius_m) / EASE[2], 0), light])
            change = np.linalg.solve(full.T @ full + np.diag(prior), full.T @ residual - prior * off_prior)[:4] * EASE
            values += np.clip(change, -LONGEST_STEP_M, LONGEST_STEP_M)
            values[3] = np.clip(values[3], LEAST_SOFT_M, MOST_SOFT_M)
            if np.abs(change[:2]).max() < 1e-5:
                break
        contrast = float(self._sign * light[-SHADES] / max(light[0], 1.0))
        if contrast < self._least:
            raise NoBall(self._too_faint(contrast))
        if np.hypot(*(values[:2] - start_m)) > self._radius_m or abs(values[2] / self._radius_m - 1) > OTHER_SIZE:
            raise NoBall(
                f'no ball: want one of {self._radius_m * 1e3:.1f} mm radius, got something of {values[2] * 1e3:.1f} mm'
            )
        return Ball(values[:2].copy(), contrast)

    def _too_faint(self, contrast: float) -> str:
        kind = 'brighter' if self._sign > 0 else 'darker'
        return f'no ball: want something {self._least:.0%} {kind} than the floor, got {contrast:.0%}'

    def _is_free(self, maze: Maze, x: Float64, y: Float64) -> Bool:
        """Where, in the plane of the ball's middle, no wall is seen from the calibrated camera."""
        eye = self._camera.place_m
        free = np.hypot(x, y) < maze.rim_radius_m - maze.wall_thickness_m / 2
        for height in np.linspace(0, self._board.wall_height_m, HEIGHTS):
            share = (height - self._radius_m) / (eye[2] - self._radius_m)
            free &= _wall_distance(maze, x + share * (eye[0] - x), y + share * (eye[1] - y)) > 0
        return free


def _grid(radius_m: float, step_m: float) -> tuple[Float64, Float64]:
    """x and y of places that cover a disc, y up, shapes (n, n)."""
    half = round(radius_m / step_m)
    at_m = (np.arange(2 * half) + 0.5 - half) * step_m
    x, y = np.meshgrid(at_m, -at_m)
    return x, y


def _wall_distance(maze: Maze, x: Float64, y: Float64) -> Float64:
    """How far places are from the nearest wall's side, m; negative inside a wall."""
    radius, bearing = np.hypot(x, y), np.arctan2(y, x)
    half = maze.wall_thickness_m / 2
    nearest = np.abs(radius - maze.rim_radius_m) - half
    for radius_m, openings, gap in zip(maze.wall_radius_m, maze.openings_rad, half_gap_rad(maze)):
        away = np.full(x.shape, np.inf)
        ends = np.full(x.shape, np.inf)
        for opening in openings:
            away = np.minimum(away, np.abs((bearing - opening + np.pi) % (2 * np.pi) - np.pi))
            for end in (opening - gap, opening + gap):
                ends = np.minimum(ends, np.hypot(x - radius_m * np.cos(end), y - radius_m * np.sin(end)))
        nearest = np.minimum(nearest, np.where(away > gap, np.abs(radius - radius_m), ends) - half)
    return nearest
