"""The tilting board as a lit scene before a pinhole camera: the observation in true perspective, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from maze_policy.maze import WALL_HEIGHT_M, Maze
from maze_policy.pinhole import Pinhole, tilted_axes
from maze_policy.render import BALL, FLOOR, TABLE, WALL, grey
from maze_policy.simulator import TURN, half_gap_rad

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]

SCENE = (
    'camera_x_m',
    'camera_y_m',
    'camera_z_m',
    'aim_x_m',
    'aim_y_m',
    'turn_rad',
    'zoom',
    'brightness',
    'gradient_x',
    'gradient_y',
    'tilt_cue_per_rad',
    'floor',
    'wall',
    'ball',
)
LAMP_XY = (-0.6, 0.8)  # where the lamp stands, seen from above in the board's frame
# A wall's side towards the lamp is brighter than its top by this share, the one away from it darker.
SIDE_LIGHT = 0.6
BEARINGS = 2048  # of the table of wall ends: at most 0.3 mm apart along the outermost wall
AREAS = 4096  # of the table of nearest walls, over the squared distance from the centre: to look it up takes no root
LEVELS = (grey(TABLE), grey(FLOOR), grey(WALL), grey(BALL))
GRAZING = 1e-3  # a ray flatter than this sees the table far away


class Perspective:
    """Images of one maze as a pinhole camera anywhere above it sees the tilting board, its walls and the ball.

    All is worked out per pixel from the maze's circles, without textures: where the pixel's ray meets the floor and
    the tops of the walls, how far that is from the nearest wall's mid-line, and so which shares of the pixel are wall
    top, wall side and floor: a box filter across the wall and along it, as wide as a pixel where the camera looks. The
    ball covers floor and sides, and tops cover the ball. The grey levels are those of `maze_policy.render`. All ours.
    """

    def __init__(self, maze: Maze) -> None:
        self._maze = maze
        radius_m = np.array([*maze.wall_radius_m, maze.rim_radius_m])
        middle_m = maze.rim_radius_m * np.sqrt((np.arange(AREAS) + 0.5) / AREAS)
        nearest = np.abs(middle_m[:, np.newaxis] - radius_m).argmin(axis=1)
        self._walls = (
            radius_m[nearest].astype(np.float32),
            (nearest * (BEARINGS + 1)).astype(np.uint32),
            _ends(maze).ravel(),
            np.float32(maze.rim_radius_m),
            np.float32(maze.wall_thickness_m / 2),
            np.float32(AREAS / maze.rim_radius_m**2),
        )

    def draw(
        self,
        images: UInt8,
        position_m: Float64,
        tilt_rad: Float64,
        ball_radius_m: Float64,
        scene: Float64,
        levels: tuple[float, float, float, float] = LEVELS,
    ) -> None:
        """Draw n boards.

        Args:
            images: filled in place, mono8, shape (n, height, width), C-contiguous; (n, 84, 84) for observations.
            position_m: ball centres in the maze frame, which tilts with the board, shape (n, 2), m.
            tilt_rad: true tilts about x and y, shape (n, 2), rad; signs as in `maze_policy.actions`.
            ball_radius_m: shape (n,), m.
            scene: camera and light, shape (n, len(SCENE)), columns as named in `SCENE`. The camera is at
                (camera_x, camera_y, camera_z) m above the centre of the level board and looks at (aim_x, aim_y, 0);
                `turn_rad` turns the picture counter-clockwise; straight above at height camera_z a square of
                maze.view_m / zoom would fill the image height. `brightness` is a factor on everything, `gradient_x`
                and `gradient_y` are the relative change of the light from the middle of that square to its right and
                upper edge, `tilt_cue_per_rad` makes the raised side brighter
                (`maze_policy.config.TILT_CUE_PER_RAD`), and `floor`, `wall` and `ball` are factors on their grey
                levels.
            levels: grey levels of table, floor, wall and ball; for one channel of a picture in color, that channel's.

        Raises:
            ValueError: if a shape is another, a number is not finite, or a camera is within the walls or has no zoom.
        """
        count = len(images)
        if images.ndim != 3 or images.dtype != np.uint8 or not images.flags.c_contiguous:
            raise ValueError(
                f'want contiguous uint8 images of shape (n, height, width), got {images.dtype} {images.shape}'
            )
        given = {
            'position_m': (position_m, (count, 2)),
            'tilt_rad': (tilt_rad, (count, 2)),
            'ball_radius_m': (ball_radius_m, (count,)),
            'scene': (scene, (count, len(SCENE))),
        }
        for name, (values, shape) in given.items():
            if values.shape != shape or not np.isfinite(values).all():
                raise ValueError(f'want finite {name} of shape {shape}, got shape {values.shape}')
        for name, low in (('camera_z_m', 2 * WALL_HEIGHT_M), ('zoom', 0.0)):
            lowest = scene[:, SCENE.index(name)].min(initial=np.inf)
            if lowest <= low:
                raise ValueError(f'want {name} above {low}, got {lowest}')
        height, width = images.shape[1:]
        eye_m, ray, pixel_m = _cameras(self._maze, tilt_rad, scene, width, height)
        ball_m = np.ascontiguousarray(np.column_stack([position_m, ball_radius_m]))
        lights = _lights(self._maze, tilt_rad, scene, height, levels)
        _draw(images, eye_m, ray, pixel_m, ball_m, lights, self._walls)


def draw_scenes(draw: Callable[[str], Float64]) -> Float64:
    """Cameras and lights of a world, shape (n, len(SCENE)).

    Args:
        draw: draws n values of a range of a `maze_policy.world.WorldConfig` by its name, shape (n,).
    """
    offset, aim, light = ((draw(name), draw(name)) for name in ('camera_offset_m', 'aim_offset_m', 'light_gradient'))
    scene = {
        'camera_x_m': offset[0],
        'camera_y_m': offset[1],
        'camera_z_m': draw('camera_distance_m'),
        'aim_x_m': aim[0],
        'aim_y_m': aim[1],
        'turn_rad': np.radians(draw('camera_turn_deg')),
        'gradient_x': light[0],
        'gradient_y': light[1],
    }
    return np.stack([scene[name] if name in scene else draw(name) for name in SCENE], axis=1)


def pinhole(maze: Maze, scene: Float64, width_px: int, height_px: int) -> Pinhole:
    """The camera that `Perspective` draws with, in the frame of the level board.

    Args:
        maze: what is looked at.
        scene: one row of `Perspective.draw`'s `scene`, shape (len(SCENE),).
        width_px: image width.
        height_px: image height.
    """
    eye, _, *axes = (values[0] for values in _axes(scene[np.newaxis]))
    rotation = np.stack(axes)
    focal_px = height_px * eye[2] * scene[SCENE.index('zoom')] / maze.view_m
    matrix = np.array([[focal_px, 0, (width_px - 1) / 2], [0, focal_px, (height_px - 1) / 2], [0, 0, 1]])
    return Pinhole(matrix, np.zeros(5), rotation, -rotation @ eye)


def _ends(maze: Maze) -> Float32:
    """How far inside a wall each bearing is, along the mid-line from the wall's nearest end, m, negative in an opening.

    Shape (walls, BEARINGS + 1). To say both in one number it is 1 + that, and negative where counter-clockwise leads
    out of the wall. A round end counts as a straight one of the same area.
    """
    bearing = _bearing_rad((np.arange(BEARINGS + 1) + 0.5) * 4 / BEARINGS)
    ends = np.full((maze.rings + 1, bearing.size), 1 + TURN * maze.rim_radius_m)  # the rim has none
    for wall, (radius_m, openings, gap) in enumerate(zip(maze.wall_radius_m, maze.openings_rad, half_gap_rad(maze))):
        off = (bearing[:, np.newaxis] - openings + TURN / 2) % TURN - TURN / 2
        nearest = off[np.arange(bearing.size), np.abs(off).argmin(axis=1)]
        inside_m = radius_m * (np.abs(nearest) - gap) + maze.wall_thickness_m / 2 * np.pi / 4
        ends[wall] = np.copysign(1 + inside_m, nearest)
    return ends.astype(np.float32)


def _bearing_rad(diamond: Float64) -> Float64:
    """The angle counter-clockwise from +x of what `_bearing` gives."""
    x = np.where(diamond < 2, 1 - diamond, diamond - 3)
    y = np.where(diamond < 2, 1, -1) * (1 - np.abs(x))
    angle: Float64 = np.arctan2(y, x)
    return angle


def _axes(scene: Float64) -> tuple[Float64, ...]:
    """Each camera's place, distance from what it looks at, and axes: right, down and forward in its picture."""
    eye, (aim_x, aim_y, turn) = scene[:, :3], scene[:, 3:6].T
    forward = np.stack([aim_x, aim_y, np.zeros(len(scene))], axis=1) - eye
    distance = np.linalg.norm(forward, axis=1, keepdims=True)
    forward = forward / distance
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    up = np.cross(right, forward)
    cos, sin = np.cos(turn)[:, np.newaxis], np.sin(turn)[:, np.newaxis]
    return eye, distance, cos * right - sin * up, -(sin * right + cos * up), forward


def _cameras(
    maze: Maze, tilt_rad: Float64, scene: Float64, width: int, height: int
) -> tuple[Float64, Float64, Float32]:
    """The camera in the tilted board's frame.

    Returns:
        eye_m: its place, shape (n, 3).
        ray: direction through the middle of the first pixel, and its change per column and per row, shape (n, 3, 3).
        pixel_m: width of a pixel where the camera looks, shape (n,).
    """
    eye, distance, right, down, forward = _axes(scene)
    focal_px = (height * eye[:, 2] * scene[:, 6] / maze.view_m)[:, np.newaxis]
    column, row = right / focal_px, down / focal_px
    corner = forward - (height - 1) / 2 * (column + row) - (width - height) / 2 * column
    board = np.moveaxis(tilted_axes(tilt_rad), 0, -1)
    seen = np.einsum('nvi,ijn->nvj', np.stack([eye, corner, column, row], axis=1), board)
    pixel_m = (distance / focal_px)[:, 0].astype(np.float32)
    return np.ascontiguousarray(seen[:, 0]), np.ascontiguousarray(seen[:, 1:]), pixel_m


def _lights(maze: Maze, tilt_rad: Float64, scene: Float64, height: int, levels: tuple[float, ...]) -> Float32:
    """Light in the middle, its change per pixel right and down and per m along x and y of the board; grey levels.

    Shape (n, 9): the last four are those of table, floor, wall and ball.
    """
    brightness, gradient_x, gradient_y, cue, floor, wall, ball = scene[:, 7:].T
    per_px, per_m = 2 / height, cue * 2 / maze.view_m
    lights = [
        brightness,
        brightness * gradient_x * per_px,
        -brightness * gradient_y * per_px,
        -brightness * per_m * tilt_rad[:, 1],
        brightness * per_m * tilt_rad[:, 0],
        np.full(len(scene), levels[0]),
        floor * levels[1],
        wall * levels[2],
        ball * levels[3],
    ]
    return np.stack(lights, axis=1).astype(np.float32, order='C')


@njit(cache=True, inline='always')
def _share(x: Any) -> Any:
    """Share of a pixel, its middle at 0 and one wide, that lies below x."""
    return min(max(x + np.float32(0.5), np.float32(0.0)), np.float32(1.0))


@njit(cache=True, inline='always')
def _bearing(x: Any, y: Any) -> Any:
    """Like the angle of (x, y) counter-clockwise from +x, but on a diamond and counted in quarters."""
    along = x / (abs(x) + abs(y) + np.float32(1e-9))
    return np.float32(1.0) - along if y >= np.float32(0.0) else np.float32(3.0) + along


# No shortcut that takes all numbers for finite. Each loop over a row either looks something up or calculates: those
# that only calculate become vector instructions, which makes all of it six times as fast.
@njit(cache=True, error_model='numpy', fastmath={'contract', 'arcp', 'nsz', 'reassoc'})
def _draw(
    images: UInt8, eye: Float64, ray: Float64, pixel_m: Float32, ball: Float64, lights: Float32, walls: Any
) -> None:
    nearest, first, ends, rim, half, areas = walls
    height, width = images.shape[1:]
    zero, one, tiny = np.float32(0.0), np.float32(1.0), np.float32(1e-9)
    mid = np.float32(WALL_HEIGHT_M / 2)
    quarter, last = np.float32(BEARINGS / 4), np.float32(AREAS - 1)
    lamp_x, lamp_y, contrast = np.float32(LAMP_XY[0]), np.float32(LAMP_XY[1]), np.float32(SIDE_LIGHT)
    flattest = np.float32(-GRAZING)
    at_area, at_bearing = np.empty(width, np.uint32), np.empty(width, np.uint32)
    radius, end = np.empty(width, np.float32), np.empty(width, np.float32)
    for board in range(images.shape[0]):
        eye_x, eye_y, eye_z = np.float32(eye[board, 0]), np.float32(eye[board, 1]), np.float32(eye[board, 2])
        by_x, by_y, by_z = np.float32(ray[board, 1, 0]), np.float32(ray[board, 1, 1]), np.float32(ray[board, 1, 2])
        ball_x, ball_y, ball_r = np.float32(ball[board, 0]), np.float32(ball[board, 1]), np.float32(ball[board, 2])
        bright, per_column, per_row, per_x, per_y, table, floor, wall, ball_level = lights[board]
        per_px = one / pixel_m[board]
        per_ball_px = per_px / (ball_r + ball_r)
        # The ray to the ball's middle, as a unit vector: its part along the board.
        lean_x, lean_y, lean_z = ball_x - eye_x, ball_y - eye_y, ball_r - eye_z
        lean_r = np.sqrt(lean_x * lean_x + lean_y * lean_y + lean_z * lean_z)
        lean_x, lean_y = lean_x / lean_r, lean_y / lean_r
        for row in range(height):
            ray_x = np.float32(ray[board, 0, 0] + row * ray[board, 2, 0])
            ray_y = np.float32(ray[board, 0, 1] + row * ray[board, 2, 1])
            ray_z = np.float32(ray[board, 0, 2] + row * ray[board, 2, 2])
            first_light = np.float32(bright + (row - (height - 1) / 2) * per_row - (width - 1) / 2 * per_column)
            for column in range(width):
                c = np.float32(column)
                down = one / min(ray_z + c * by_z, flattest)
                slope_x, slope_y = (ray_x + c * by_x) * down, (ray_y + c * by_y) * down
                x, y = eye_x - eye_z * slope_x, eye_y - eye_z * slope_y
                mid_x, mid_y = x + mid * slope_x, y + mid * slope_y
                at_area[column] = np.uint32(min((mid_x * mid_x + mid_y * mid_y) * areas, last))
                at_bearing[column] = np.uint32(quarter * _bearing(mid_x, mid_y))
            for column in range(width):
                index = at_area[column]
                radius[column] = nearest[index]
                end[column] = ends[first[index] + at_bearing[column]]
            for column in range(width):
                c = np.float32(column)
                # The ray at height h is at (x + h * slope_x, y + h * slope_y).
                down = one / min(ray_z + c * by_z, flattest)
                slope_x, slope_y = (ray_x + c * by_x) * down, (ray_y + c * by_y) * down
                x, y = eye_x - eye_z * slope_x, eye_y - eye_z * slope_y
                # Across the nearest wall, its mid-line at 0, all as at half its height.
                mid_x, mid_y = x + mid * slope_x, y + mid * slope_y
                r = np.sqrt(mid_x * mid_x + mid_y * mid_y) + tiny
                per_r = one / r
                out_x, out_y = mid_x * per_r, mid_y * per_r
                across = r - radius[column]
                lean = mid * (slope_x * out_x + slope_y * out_y)
                reach = half + abs(lean)
                outside = one - _share((reach - across) * per_px)
                band = one - outside - _share((-reach - across) * per_px)
                top = _share((half - lean - across) * per_px) - _share((-half - lean - across) * per_px)
                # Along it.
                inside = abs(end[column]) - one
                along = out_x * slope_y - out_y * slope_x
                onward = mid * (along if end[column] > zero else -along)
                stands = _share((inside + onward) * per_px)
                reaches = max(stands, _share((inside - onward) * per_px))
                lit_face, lit_tip = out_x * lamp_x + out_y * lamp_y, out_x * lamp_y - out_y * lamp_x
                face, tip = (band - top) * reaches, top * (reaches - stands)
                lit = (lit_face if lean > zero else -lit_face) * face + (lit_tip if along > zero else -lit_tip) * tip
                top *= stands
                # The sphere: how far its middle is from the ray.
                to_x, to_y = x + ball_r * slope_x - ball_x, y + ball_r * slope_y - ball_y
                to_lean = to_x * lean_x + to_y * lean_y
                apart = to_x * to_x + to_y * to_y - to_lean * to_lean
                hidden = _share((ball_r * ball_r - apart) * per_ball_px)
                ground = floor * (one - face - tip - top)
                ground += (table - floor) * outside if radius[column] == rim else zero
                level = ground + wall * (face + tip + contrast * lit)
                level += hidden * (ball_level * (one - top) - level) + wall * top
                light = first_light + c * per_column + per_x * x + per_y * y
                images[board, row, column] = np.uint8(
                    np.int32(min(max(level * light + np.float32(0.5), zero), np.float32(255.0)))
                )
