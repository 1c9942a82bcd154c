"""Where the board is in a picture, from nothing: by markers beside it or by its outer circle, then by its walls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
import numpy.typing as npt

from maze_policy.calibrate_config import MarkerConfig
from maze_policy.markers import find_markers
from maze_policy.maze import Maze
from maze_policy.pinhole import Pinhole
from maze_policy.simulator import half_gap_rad
from maze_policy.wall_fit import LEAST_SHARE, WallFit, WallsSeen, moved

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]

LEAST_MARKERS = 3
ROUNDS = 10  # from where the markers or the circle are to where the walls are
BEARINGS = 720  # at which openings are looked for
# Of the fit of the openings at a turn, which is 1 at best and 0 on average.
LEAST_FIT, AMBIGUOUS = 0.4, 0.1
APART_DEG, GIVEN_TO_DEG = 15.0, 15.0  # other turns than the best; how exact a given turn is
LEAST_CONTRAST = 0.08
BLOCKS = (0.04, 0.08, 0.16)  # neighbourhoods in which a wall is dark, by the picture's height
OUTLINES = 6
OFF_ELLIPSE, WIDEST_GAP = 0.015, 0.6  # share of the radius; rad


class BoardNotFound(ValueError):
    """The board is not in the picture; says what was looked for and what to do."""


@dataclass(frozen=True)
class Lens:
    """What is known of the camera itself: its matrix and distortion, or only how far away it is.

    Attributes:
        matrix: camera matrix, shape (3, 3), px; None if unknown.
        distortion: as in `Pinhole`.
        distance_m: of the camera from the maze centre, where the matrix is not known; a tape is good enough, because
            all that hangs on it is how far tilts and heights shift what is seen.
    """

    matrix: Float64 | None
    distortion: Float64
    distance_m: float


@dataclass(frozen=True)
class Found:
    """A board that was found.

    Attributes:
        seen: by its walls.
        markers: corners of the markers by id, px, where there are any.
        marker_residual_m: how far their middles are from their places, seen from the walls, root mean square, m.
    """

    seen: WallsSeen
    markers: dict[int, Float64]
    marker_residual_m: float


def find_board(
    grey: UInt8,
    maze: Maze,
    wall_height_m: float,
    lens: Lens,
    markers: MarkerConfig | None = None,
    turn_deg: float | None = None,
) -> Found:
    """The board in a picture.

    Args:
        grey: mono8, shape (height, width).
        maze: what to look for.
        wall_height_m: height of its walls, m.
        lens: what is known of the camera.
        markers: look for these; without, for the closed outer wall.
        turn_deg: how far the board's x axis is turned counter-clockwise from the right of the picture, deg, to 10 deg;
            without, the openings say it. Not used with markers.

    Raises:
        BoardNotFound: saying what was looked for and what was found.
    """
    walls = WallFit(maze, wall_height_m)
    corners: dict[int, Float64] = {}
    if markers is not None:
        corners = _markers(grey, markers)
        starts = [_from_markers(grey, corners, markers, lens)]
        how = (
            f'the walls are not where the {len(corners)} markers say: are marker_place_m, marker_side_m and the maze '
            'those of the board?'
        )
    else:
        starts = list(_from_circles(grey, maze, wall_height_m, lens, turn_deg))
        how = 'no closed outer wall with the openings of this maze inside: is all of it in view, lit and sharp?'
    fits = [_at_distance(walls, grey, walls.fit(grey, start, rounds=ROUNDS), lens) for start in starts]
    best = max(fits, key=lambda seen: seen.share, default=None)
    if best is None or best.share < LEAST_SHARE:
        share = 0.0 if best is None else best.share
        raise BoardNotFound(f'no board found: want walls on {LEAST_SHARE:.0%} of the lines, got {share:.0%}; {how}')
    off_m = 0.0
    if markers is not None:
        places, pixels = _matched(corners, markers)
        off = best.camera.points(pixels, markers.marker_height_m) - places[:, :2]
        middles = off.reshape(-1, 4, 2).mean(axis=1)  # blur draws all four corners inwards
        off_m = float(np.sqrt((middles**2).sum(axis=1).mean()))
    return Found(best, corners, off_m)


def _at_distance(walls: WallFit, grey: UInt8, seen: WallsSeen, lens: Lens) -> WallsSeen:
    """Where the camera matrix is not known: the same with the focal length that puts the camera so far away."""
    for _ in range(2 if lens.matrix is None else 0):
        camera = seen.camera
        longer = lens.distance_m / float(np.linalg.norm(camera.translation_m))
        matrix = camera.matrix * np.array([(longer,), (longer,), (1,)])
        matrix[:2, 2] = camera.matrix[:2, 2]
        further = Pinhole(matrix, camera.distortion, camera.rotation, camera.translation_m * longer)
        seen = walls.fit(grey, further, rounds=ROUNDS)
    return seen


def _matrix(grey: UInt8, lens: Lens, px_per_m: float) -> Float64:
    if lens.matrix is not None:
        return lens.matrix
    height, width = grey.shape
    focal_px = px_per_m * lens.distance_m
    return np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1]])


def _markers(grey: UInt8, markers: MarkerConfig) -> dict[int, Float64]:
    corners = find_markers(grey, markers)
    if len(corners) < LEAST_MARKERS:
        wanted = ', '.join(map(str, markers.marker_ids))
        raise BoardNotFound(
            f'no board found: want at least {LEAST_MARKERS} of the markers {wanted} of {markers.marker_dictionary}, '
            f'got {", ".join(map(str, corners)) or "none"}: are they in view, lit, sharp and with a white border? '
            'Without markers: --method circle'
        )
    return corners


def _matched(corners: dict[int, Float64], markers: MarkerConfig) -> tuple[Float64, Float64]:
    """Places of the corners that were found, m, shape (n, 3), and where they were, px, shape (n, 2)."""
    places = dict(zip(markers.marker_ids, markers.marker_corners_m))
    return np.concatenate([places[one] for one in corners]), np.concatenate(list(corners.values()))


def _from_markers(grey: UInt8, corners: dict[int, Float64], markers: MarkerConfig, lens: Lens) -> Pinhole:
    places, pixels = _matched(corners, markers)
    plane = np.asarray(cv2.findHomography(places[:, :2], pixels)[0], dtype=float)
    area = abs(np.linalg.det(plane)) / abs(plane[2, 2]) ** 3  # of the picture of a square metre at the maze centre
    matrix = _matrix(grey, lens, float(np.sqrt(area)))
    _, turn, shift = cv2.solvePnP(places, pixels, matrix, lens.distortion)
    rotation, _ = cv2.Rodrigues(turn)
    return Pinhole(matrix, lens.distortion, np.asarray(rotation, dtype=float), np.ravel(shift))


def _from_circles(
    grey: UInt8, maze: Maze, wall_height_m: float, lens: Lens, turn_deg: float | None
) -> Iterator[Pinhole]:
    """Everything that the outer wall may be, turned to where the openings fit best."""
    for outline in _outlines(grey):
        size_px = max(cv2.fitEllipse(outline)[1]) / 2
        matrix = _matrix(grey, lens, size_px / maze.rim_radius_m)
        for camera in _over_circle(outline, matrix, lens.distortion, maze.rim_radius_m, wall_height_m / 2):
            turn = _turn(grey, camera, maze, wall_height_m / 2, turn_deg)
            if turn is not None:
                yield moved(camera, np.array([0, 0, turn, 0, 0, 0]))


def _outlines(grey: UInt8) -> Iterator[npt.NDArray[np.float32]]:
    """Outlines of dark bands that are closed ellipses, at most a few, the largest first."""
    found = []
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.5)
    for block in BLOCKS:
        size = round(block * min(grey.shape)) | 1
        dark = cv2.adaptiveThreshold(smooth, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, size, 3)
        contours, _ = cv2.findContours(dark, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            points = np.asarray(contour[:, 0], dtype=np.float32)
            if len(points) > min(grey.shape) and _is_ellipse(points):
                found.append(points)
    found.sort(key=lambda points: -cv2.contourArea(points))
    yield from found[:OUTLINES]


def _is_ellipse(points: npt.NDArray[np.float32]) -> bool:
    """Whether the points lie on an ellipse that is not too flat, and all around it."""
    (x, y), axes, angle = cv2.fitEllipse(points)
    if min(axes) < 0.5 * max(axes):
        return False
    turn = np.radians(angle)
    along = (points - (x, y)) @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    scaled = along / (np.array(axes) / 2)
    bearing = np.sort(np.arctan2(scaled[:, 1], scaled[:, 0]))
    gap = max(np.diff(bearing).max(), bearing[0] + 2 * np.pi - bearing[-1])
    return bool(np.std(np.hypot(*scaled.T)) < OFF_ELLIPSE and gap < WIDEST_GAP)


def _over_circle(
    outline: npt.NDArray[np.float32], matrix: Float64, distortion: Float64, radius_m: float, height_m: float
) -> Iterator[Pinhole]:
    """The two poses in which a circle of this radius gives this ellipse, the board's x axis to the right.

    The rays to the ellipse make a cone; a circle of a given radius fits into it in two ways (Chen, Wu and Wada 2004).
    The middle of the ellipse is not that of the circle.
    """
    rays = cv2.undistortPoints(outline.reshape(-1, 1, 2), matrix, distortion).reshape(-1, 2)
    (x, y), axes, angle = cv2.fitEllipse((rays * 1000).astype(np.float32))
    turn = np.radians(angle)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = spin @ np.diag((2000 / np.array(axes)) ** 2) @ spin.T
    middle = np.array([x, y]) / 1000
    cone = np.block([[shape, -(shape @ middle)[:, np.newaxis]], [-(middle @ shape), middle @ shape @ middle - 1]])
    values, vectors = np.linalg.eigh(cone)
    (l3, l2, l1), vectors = values, vectors[:, ::-1]
    one, three = np.sqrt((l1 - l2) / (l1 - l3)), np.sqrt((l2 - l3) / (l1 - l3))
    depth = l2 * radius_m / np.sqrt(-l1 * l3)
    for s1, s2, s3 in product((1, -1), repeat=3):
        centre = s3 * depth * vectors @ np.array([s2 * l3 / l2 * one, 0, -s1 * l1 / l2 * three])
        normal = vectors @ np.array([s2 * one, 0, -s1 * three])
        if centre[2] > 0 and normal[2] < 0:
            right = np.array([1.0, 0, 0]) - normal[0] * normal
            right /= np.linalg.norm(right)
            rotation = np.stack([right, np.cross(normal, right), normal], axis=1)
            yield Pinhole(matrix, distortion, rotation, centre - height_m * normal)


def _turn(grey: UInt8, camera: Pinhole, maze: Maze, height_m: float, turn_deg: float | None) -> float | None:
    """How far the board is turned by its openings, rad; None where no turn fits."""
    bearing = np.arange(BEARINGS) * 2 * np.pi / BEARINGS
    fits = np.zeros(BEARINGS)
    for radius_m, openings, gap in zip(maze.wall_radius_m, maze.openings_rad, half_gap_rad(maze)):
        off_m = np.array([-6, -5, -2, -1, 0, 1, 2, 5, 6]) * 1e-3
        at_m = radius_m + off_m[:, np.newaxis]
        points = np.stack(np.broadcast_arrays(at_m * np.cos(bearing), at_m * np.sin(bearing), height_m), axis=-1)
        pixels = camera.pixels(points.reshape(-1, 3)).reshape(*points.shape[:2], 2).astype(np.float32)
        levels = cv2.remap(grey, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR).astype(float)
        beside = levels[[0, 1, -2, -1]].mean(axis=0)
        dark = (beside - levels[2:-2].min(axis=0)) / np.maximum(beside, 1)
        dark = np.clip(dark / max(np.percentile(dark, 75), LEAST_CONTRAST), 0, 1) - 0.5
        away = np.abs((bearing[:, np.newaxis] - openings + np.pi) % (2 * np.pi) - np.pi).min(axis=1)
        wall = np.where(away > gap, 1.0, -1.0)
        wall[wall < 0] /= (wall < 0).sum()
        wall[wall > 0] /= (wall > 0).sum()
        # How well wall and openings fit at each turn: a circular correlation.
        fits += np.fft.ifft(np.fft.fft(dark) * np.conj(np.fft.fft(wall))).real / maze.rings
    if turn_deg is not None:
        from_wanted = np.abs((bearing - np.radians(turn_deg) + np.pi) % (2 * np.pi) - np.pi)
        fits[from_wanted > np.radians(GIVEN_TO_DEG)] = -np.inf
    best = int(fits.argmax())
    if fits[best] < LEAST_FIT:
        return None
    apart = np.abs((bearing - bearing[best] + np.pi) % (2 * np.pi) - np.pi)
    second = fits[apart > np.radians(APART_DEG)].max()
    if turn_deg is None and fits[best] - second < AMBIGUOUS:
        raise BoardNotFound(
            f'no turn of the board found: {np.degrees(bearing[best]):.0f} and another fit the openings alike; give '
            '--turn-deg, or use markers'
        )
    return float(bearing[best])
