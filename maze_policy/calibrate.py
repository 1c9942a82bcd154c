"""`maze-policy calibrate`: find the level board in pictures of the camera, show it, and write it down."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from maze_policy.board import BoardConfig, board_of
from maze_policy.board_pose import Found, Lens, find_board
from maze_policy.calibrate_config import CalibrateConfig, MarkerConfig
from maze_policy.camera_info import load_calibration
from maze_policy.capture import Ended, open_capture
from maze_policy.maze import Maze
from maze_policy.node_config import CameraNodeConfig
from maze_policy.parameters import fields_of
from maze_policy.simulator import half_gap_rad

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]

SETTLING = 15  # pictures in which a camera finds its exposure
GOOD_M, USABLE_M, GOOD_SHARE = 0.0003, 0.001, 0.9
# How the picture shows what was found, rgb.
WALLS, MARKED, X_AXIS, Y_AXIS, TEXT = (80, 255, 80), (255, 0, 255), (255, 60, 60), (70, 150, 255), (255, 255, 255)
ZOOM = 2  # the picture is drawn this much larger than the camera's


@dataclass(frozen=True)
class Calibrated:
    """A board, and how it was found.

    Attributes:
        board: the parameters.
        found: where, in which picture.
        image: that picture, rgb8.
        text: what to tell the user.
    """

    board: BoardConfig
    found: Found
    image: UInt8
    text: str


def calibrate(
    source: str,
    maze: Maze,
    config: CalibrateConfig,
    markers: MarkerConfig,
    camera_info: Path | None = None,
    turn_deg: float | None = None,
) -> Calibrated:
    """Find the level board in what a source shows.

    Args:
        source: an image file, or anything that `camera_node` reads.
        maze: what to look for.
        config: how.
        markers: the markers, for method markers.
        camera_info: the camera's own calibration, a `camera_info` YAML.
        turn_deg: see `find_board`.

    Raises:
        ValueError: if the source cannot be read, or the board is not found; says what to do.
    """
    image = average(source, config)
    lens = _lens(image, camera_info, config.distance_m)
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    wanted = markers if config.method == 'markers' else None
    found = find_board(grey, maze, config.wall_height_m, lens, wanted, turn_deg)
    height, width = grey.shape
    board = board_of(found.seen.camera, width, height, maze, config.wall_height_m)
    return Calibrated(board, found, image, _report(source, config.method, found))


def average(source: str, config: CalibrateConfig) -> UInt8:
    """The mean of some pictures of a source, rgb8; of an image file, the image.

    Raises:
        ValueError: if it gives no pictures.
    """
    if Path(source).is_file() and (image := cv2.imread(source)) is not None:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    capture = open_capture(CameraNodeConfig(source=source, width_px=config.width_px, height_px=config.height_px))
    images = []
    try:
        for _ in range(config.pictures + (SETTLING if capture.live else 0)):
            images.append(capture.read().image)
    except Ended:
        pass
    finally:
        capture.close()
    images = images[-config.pictures :]
    return np.asarray(np.mean(images, axis=0).round(), dtype=np.uint8)


def _lens(image: UInt8, camera_info: Path | None, distance_m: float) -> Lens:
    if camera_info is None:
        if distance_m == 0:
            raise ValueError(
                'want --camera-info FILE (from `ros2 run camera_calibration cameracalibrator`), or --distance-m: how '
                'far the camera is from the middle of the maze, by a tape'
            )
        return Lens(None, np.zeros(5), distance_m)
    calibration = load_calibration(camera_info)
    calibration.require_size(image.shape[1], image.shape[0])
    if not calibration.calibrated or calibration.model not in ('plumb_bob', 'rational_polynomial'):
        raise ValueError(
            f'{camera_info}: want a calibration of model plumb_bob or rational_polynomial, got '
            f'{calibration.model if calibration.calibrated else "zeros"}'
        )
    return Lens(calibration.k, calibration.d, 0.0)


def _report(source: str, method: str, found: Found) -> str:
    camera, residual_m = found.seen.camera, found.seen.residual_m
    x, y, z = camera.place_m
    right = camera.rotation[:2, 0] * (1, -1)
    scale = np.linalg.norm(np.diff(camera.pixels(np.array([(0, 0, 0), (0.01, 0, 0)])), axis=0)) / 0.01
    verdict = 'good' if residual_m < GOOD_M else 'usable' if residual_m < USABLE_M else 'poor'
    if found.seen.share < GOOD_SHARE:
        verdict = 'poor'
    lines = [
        f'board found in {source} by method {method}',
        f'camera {z:.3f} m above the floor, {x * 1e3:.0f} mm right of and {y * 1e3:.0f} mm above the maze centre',
        f'the board is turned by {np.degrees(np.arctan2(right[1], right[0])):.1f} deg in the picture',
        f'walls on {found.seen.share:.0%} of the lines, residual {residual_m * 1e3:.2f} mm '
        f'({residual_m * scale:.2f} px): {verdict}',
    ]
    if found.markers:
        lines.append(
            f'markers {", ".join(map(str, found.markers))} are {found.marker_residual_m * 1e3:.1f} mm from where '
            'marker_place_m has them, seen from the walls'
        )
    if verdict == 'poor':
        lines.append(
            'better: a calibrated lens (--camera-info), a sharp picture, more even light, and the maze that --maze says'
        )
    return '\n'.join(lines)


def as_parameter_file(calibrated: Calibrated) -> str:
    """The calibration as a ROS parameter file, every value with what it means."""
    lines = [f'# {line}' for line in calibrated.text.splitlines()]
    lines += [
        '#',
        '# An ordinary parameter file for policy and ball_tracker, made by `maze-policy calibrate`.',
        '/**:',
        '  ros__parameters:',
        '    board:',
    ]
    values = calibrated.board.as_dict()
    for field, _ in fields_of(BoardConfig):
        about = textwrap.wrap(field.metadata['description'], 100)
        lines += [f'      # {line}' for line in about]
        lines.append(f'      {field.name}: {values[field.name]}')
    return '\n'.join(lines) + '\n'


def drawn(calibrated: Calibrated, maze: Maze, markers: MarkerConfig) -> UInt8:
    """The picture with what was found drawn over it: rgb8, twice as large, with what was told below.

    Walls at half their height, the circle within which the maze is solved, the axes, every found marker's place as seen
    from the walls, and a cross where its middle is.
    """
    camera, found = calibrated.found.seen.camera, calibrated.found
    size = calibrated.image.shape[1] * ZOOM, calibrated.image.shape[0] * ZOOM
    canvas = np.asarray(cv2.resize(calibrated.image, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)

    def line(points_m: Float64, color: tuple[int, int, int], closed: bool = False, thickness: int = 1) -> None:
        pixels = np.round(((camera.pixels(points_m) + 0.5) * ZOOM - 0.5) * 16).astype(np.int32)
        cv2.polylines(canvas, [pixels], closed, color, thickness, cv2.LINE_AA, 4)

    for radius_m, openings, gap in zip(maze.wall_radius_m, maze.openings_rad, half_gap_rad(maze)):
        starts = openings + gap
        for start in starts:
            length = ((openings - gap - start) % (2 * np.pi)).min()
            line(_arc(radius_m, start, length, calibrated.board.wall_height_m / 2), WALLS)
    line(_arc(maze.rim_radius_m, 0, 2 * np.pi, calibrated.board.wall_height_m / 2), WALLS, closed=True)
    line(_arc(maze.solved_radius_m, 0, 2 * np.pi, 0), WALLS, closed=True)
    half = maze.wall_radius_m[-1]
    for axis, color, name in (((1, 0, 0), X_AXIS, 'x'), ((0, 1, 0), Y_AXIS, 'y')):
        tip = half * np.array(axis, dtype=float)
        line(np.stack([np.zeros(3), tip]), color, thickness=2)
        _write(canvas, name, (camera.pixels(1.07 * tip[np.newaxis])[0] + 0.5) * ZOOM, color)
    for identity, place_m in zip(markers.marker_ids, markers.marker_corners_m):
        if identity in found.markers:
            line(place_m, MARKED, closed=True)
            middle = (found.markers[identity].mean(axis=0) + 0.5) * ZOOM
            cv2.drawMarker(canvas, (round(middle[0]), round(middle[1])), MARKED, cv2.MARKER_CROSS, 16, 1, cv2.LINE_AA)
            _write(canvas, str(identity), middle - (24, 0), MARKED)
    lines = calibrated.text.splitlines()[1:]
    canvas = np.pad(canvas, ((0, 12 + 28 * len(lines)), (0, 0), (0, 0)))
    for number, text in enumerate(lines):
        _write(canvas, text, np.array([12, size[1] + 26 + 28 * number]), TEXT, centred=False)
    return canvas


def _arc(radius_m: float, start: float, length: float, height_m: float) -> Float64:
    bearing = start + np.linspace(0, length, 120)
    return np.stack([radius_m * np.cos(bearing), radius_m * np.sin(bearing), np.full_like(bearing, height_m)], axis=1)


def _write(image: UInt8, text: str, at: Float64, color: tuple[int, int, int], centred: bool = True) -> None:
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.6
    (width, height), _ = cv2.getTextSize(text, font, size, 2)
    x, y = (at - (width / 2, -height / 2)).astype(int) if centred else at.astype(int)
    cv2.putText(image, text, (int(x), int(y)), font, size, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.putText(image, text, (int(x), int(y)), font, size, color, 1, cv2.LINE_AA)


def save_picture(path: Path, image: UInt8) -> None:
    """Write an rgb8 picture as what the path's ending says."""
    Image.fromarray(image).save(path)
