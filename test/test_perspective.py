import dataclasses
import math

import numpy as np
import pytest

from maze_policy.config import TILT_CUE_PER_RAD
from maze_policy.maze import WALL_HEIGHT_M, load_maze
from maze_policy.perspective import LAMP_XY, SCENE, SIDE_LIGHT, Perspective
from maze_policy.render import BALL, FLOOR, TABLE, WALL, Renderer, grey
from maze_policy.simulator import half_gap_rad

MAZE = load_maze()
PERSPECTIVE = Perspective(MAZE)
OPEN = Perspective(dataclasses.replace(MAZE, wall_radius_m=(0.02,), openings_per_wall=(1,), opening_deg=(0.0,)))
LEVEL = (0.0, 0.0)
AWAY = (1.0, 1.0)  # outside the view: a board without a ball
ABOVE = dict.fromkeys(SCENE, 0.0) | {
    'camera_z_m': 0.5,
    'zoom': 1.0,
    'brightness': 1.0,
    'tilt_cue_per_rad': TILT_CUE_PER_RAD,
    'floor': 1.0,
    'wall': 1.0,
    'ball': 1.0,
}
POSES = {
    'above': {},
    'near': {'camera_z_m': 0.3},
    'beside': {'camera_x_m': 0.05, 'camera_y_m': -0.08},
    'oblique': {'camera_x_m': -0.3, 'camera_y_m': 0.2, 'zoom': 1.2},
    'aimed': {'aim_x_m': 0.02, 'aim_y_m': -0.01, 'zoom': 0.8},
    'turned': {'turn_rad': 0.4},
    'all': {'camera_x_m': 0.04, 'camera_z_m': 0.4, 'aim_y_m': 0.02, 'turn_rad': -0.2, 'zoom': 1.1},
}
TILTS = (LEVEL, (0.0873, 0.0), (0.0, -0.0873), (0.06, 0.08))


def row(**changes):
    assert changes.keys() <= ABOVE.keys()
    return np.array([[(ABOVE | changes)[name] for name in SCENE]])


def picture(position=AWAY, tilt=LEVEL, radius=MAZE.ball_radius_m, perspective=PERSPECTIVE, **changes):
    images = np.empty((1, 84, 84), np.uint8)
    perspective.draw(images, np.array([position]), np.array([tilt]), np.array([radius]), row(**changes))
    return images[0].astype(float)


def turned(axis, angle):
    """Rodrigues' formula: the matrix that turns by an angle about an axis."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def camera(changes):
    """Place of the camera, its (right, down, forward) in the room, and its focal length, px: by the book."""
    scene = ABOVE | changes
    eye = np.array([scene['camera_x_m'], scene['camera_y_m'], scene['camera_z_m']])
    forward = np.array([scene['aim_x_m'], scene['aim_y_m'], 0.0]) - eye
    forward /= np.linalg.norm(forward)
    down = np.array([0.0, -1.0, 0.0])
    down -= forward * (down @ forward)
    down /= np.linalg.norm(down)
    turn = turned(forward, scene['turn_rad'])
    axes = np.stack([turn @ np.cross(down, forward), turn @ down, forward])
    return eye, axes, 84 * scene['camera_z_m'] * scene['zoom'] / MAZE.view_m


def board_axes(tilt):
    return turned((1, 0, 0), tilt[0]) @ turned((0, 1, 0), tilt[1])


def pixel(point, tilt, changes):
    """Where a point of the board is in the picture: (column, row) from the picture's corner, px."""
    eye, axes, focal = camera(changes)
    x, y, depth = axes @ (board_axes(tilt) @ np.asarray(point) - eye)
    return np.array([42 + focal * x / depth, 42 + focal * y / depth])


def centroid(weight):
    rows, columns = np.mgrid[:84, :84] + 0.5
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


def test_from_far_away_it_is_the_flat_picture():
    """To 0.5 grey levels on average, and to 5 in 99 of 100 pixels."""
    renderer = Renderer(MAZE)
    random = np.random.default_rng(0)
    differences = []
    for _ in range(50):
        distance, angle = random.choice([0.0, 0.0295, 0.0485, 0.0675, 0.0865]), random.uniform(-math.pi, math.pi)
        position = distance * np.array([math.cos(angle), math.sin(angle)])
        differences.append(np.abs(picture(position, camera_z_m=50.0) - renderer.observation(position, LEVEL)))
    assert np.mean(differences) < 0.5
    assert np.percentile(differences, 99) <= 5
    assert np.max(differences) <= 12


@pytest.mark.parametrize('tilt', TILTS)
@pytest.mark.parametrize('pose', POSES)
def test_ball_is_where_a_pinhole_camera_sees_it(pose, tilt):
    """To 0.1 px, on a board where no wall is near enough to hide part of it."""
    changes = POSES[pose] | {'tilt_cue_per_rad': 0.0, 'perspective': OPEN}
    empty = picture(tilt=tilt, **changes)
    for angle in np.arange(0.3, 6.0, 0.7):
        position = 0.058 * np.array([math.cos(angle), math.sin(angle)])
        seen = centroid(picture(position, tilt, **changes) - empty)
        np.testing.assert_allclose(seen, pixel([*position, MAZE.ball_radius_m], tilt, POSES[pose]), atol=0.1)


@pytest.mark.parametrize('radius', [0.004, 0.0055, 0.007])
def test_ball_is_as_large_as_it_is_near(radius):
    changes = {'tilt_cue_per_rad': 0.0, 'perspective': OPEN, 'camera_z_m': 0.3}
    position = (0.04, 0.04)
    covered = (picture(position, radius=radius, **changes) - picture(**changes)).sum() / (grey(BALL) - grey(FLOOR))
    focal = 84 * 0.3 / MAZE.view_m
    # A sphere's outline is an ellipse of which the cone around it cuts the picture's plane.
    distance, depth = math.hypot(*position, 0.3 - radius), 0.3 - radius
    sine = radius / distance
    solid = 2 * math.pi * (1 - math.sqrt(1 - sine**2))
    assert covered == pytest.approx(solid * (distance / depth) ** 3 * focal**2, rel=0.03)


@pytest.mark.parametrize('pose', [{}, {'camera_x_m': 0.2}, {'camera_x_m': -0.1, 'camera_z_m': 0.4}])
@pytest.mark.parametrize('tilt', [0.0, 0.0873, -0.0873])
@pytest.mark.parametrize('along', [0, 1])
def test_walls_are_where_their_height_puts_them(along, tilt, pose):
    """The band between a black wall's outermost and innermost edge in the picture, its middle to 0.1 px."""
    if along == 1:
        pose = {name.replace('_x_', '_y_'): value for name, value in pose.items()}
    tilts = (0.0, tilt) if along == 0 else (tilt, 0.0)
    dark = grey(FLOOR) - picture(tilt=tilts, wall=0.0, tilt_cue_per_rad=0.0, **pose)
    # Across the middle of the picture, where the walls run straight up or to the side.
    profile = dark[41:43].mean(axis=0) if along == 0 else dark[:, 41:43].mean(axis=1)
    solid = (-0.077, -0.058, -0.02, 0.02, 0.058, 0.077) if along == 0 else (-0.058, -0.039, 0.039, 0.02)
    for middle in solid:
        edges = []
        for height in (0.0, WALL_HEIGHT_M):
            for side in (-1, 1):
                point = np.zeros(3)
                point[along], point[2] = middle + side * MAZE.wall_thickness_m / 2, height
                edges.append(pixel(point, tilts, pose)[along])
        expected = (min(edges) + max(edges)) / 2
        first, last = int(min(edges) - 1.5), int(max(edges) + 2.5)
        weight = profile[first:last]
        assert weight.sum() / grey(FLOOR) == pytest.approx(max(edges) - min(edges), abs=0.15)
        seen = (weight * (np.arange(first, last) + 0.5)).sum() / weight.sum()
        assert seen == pytest.approx(expected, abs=0.1)


def in_wall(x, y):
    """Whether points are within half a thickness of a wall's mid-line, and where they are from there, m."""
    inside, from_x, from_y = np.zeros(x.shape, bool), np.zeros(x.shape), np.zeros(x.shape)
    bearing = np.arctan2(y, x)
    walls = [*zip(MAZE.wall_radius_m, MAZE.openings_rad, half_gap_rad(MAZE)), (MAZE.rim_radius_m, (), 0.0)]
    for radius, openings, gap in walls:
        near = bearing
        for opening in openings:
            off = (bearing - opening + math.pi) % (2 * math.pi) - math.pi
            near = np.where(np.abs(off) < gap, opening + np.copysign(gap, off), near)
        to_x, to_y = x - radius * np.cos(near), y - radius * np.sin(near)
        here = np.hypot(to_x, to_y) < MAZE.wall_thickness_m / 2
        inside |= here
        from_x, from_y = np.where(here, to_x, from_x), np.where(here, to_y, from_y)
    return inside, from_x, from_y


def traced(position, tilt, changes, fine=4):
    """The picture, every ray followed down from above the ball: no tilt cue, no light."""
    eye, axes, focal = camera(changes)
    to_board = board_axes(tilt)
    v, u = (np.mgrid[: 84 * fine, : 84 * fine] + 0.5) / fine - 42
    rays, eye = np.stack([u / focal, v / focal, np.ones(u.shape)], axis=-1) @ axes @ to_board, eye @ to_board

    def at(height):
        return np.moveaxis(eye[:2] + (height - eye[2]) * rays[..., :2] / rays[..., 2:], -1, 0)

    level = np.where(np.hypot(*at(0.0)) < MAZE.rim_radius_m, grey(FLOOR), grey(TABLE)).astype(float)
    free = np.ones(level.shape, bool)
    above = np.linspace(2 * MAZE.ball_radius_m, WALL_HEIGHT_M, 4, endpoint=False)
    for height in (*above, *np.linspace(WALL_HEIGHT_M, 0.0, 15)):
        x, y = at(height)
        apart = (x - position[0]) ** 2 + (y - position[1]) ** 2 + (height - MAZE.ball_radius_m) ** 2
        hit = free & (apart < MAZE.ball_radius_m**2)
        level[hit] = grey(BALL)
        free &= ~hit
        if height <= WALL_HEIGHT_M:
            inside, from_x, from_y = in_wall(x, y)
            hit = free & inside
            lit = (from_x * LAMP_XY[0] + from_y * LAMP_XY[1])[hit] / np.hypot(from_x, from_y)[hit]
            level[hit] = grey(WALL) * (1 + SIDE_LIGHT * lit * (height < WALL_HEIGHT_M))
            free &= ~hit
    return level.reshape(84, fine, 84, fine).mean(axis=(1, 3))


@pytest.mark.parametrize('pose', POSES)
def test_it_is_what_following_every_ray_gives(pose):
    """To 0.7 grey levels on average and to 8 in 99 of 100 pixels; at 36 degrees from above less well."""
    tilt, position = (0.07, -0.06), (-0.03, 0.0)
    seen = picture(position, tilt, tilt_cue_per_rad=0.0, **POSES[pose])
    difference = np.abs(seen - traced(position, tilt, POSES[pose]))
    mean, most = (1.2, 14) if pose == 'oblique' else (0.7, 8)
    assert difference.mean() < mean
    assert np.percentile(difference, 99) < most


@pytest.mark.parametrize(('beside', 'lit'), [(-0.25, -LAMP_XY[0]), (0.25, LAMP_XY[0])])
def test_the_side_of_a_wall_that_faces_the_camera_is_seen(beside, lit):
    """Half way up the outer wall's one side, wide enough to fill pixels; the other side shows the floor there."""
    pose = {'camera_x_m': beside, 'zoom': 6.0, 'aim_x_m': -0.058}
    image = picture(tilt_cue_per_rad=0.0, **pose)
    towards = math.copysign(1.0, beside)

    def level(from_middle, height):
        column, line = pixel((-0.058 + from_middle, 0.0, height), LEVEL, pose)
        return image[int(line), int(column)]

    half = MAZE.wall_thickness_m / 2
    assert level(0.0, WALL_HEIGHT_M) == grey(WALL)
    # The side is lit by how far it faces the lamp: towards -x, or away from it.
    assert level(towards * half, WALL_HEIGHT_M / 2) == pytest.approx(grey(WALL) * (1 + SIDE_LIGHT * lit), abs=1)
    assert level(towards * 2 * half, 0.0) == grey(FLOOR)
    assert level(-towards * 2 * half, WALL_HEIGHT_M) == grey(FLOOR)


def test_a_quarter_turn_turns_the_picture_counter_clockwise():
    pose = {'aim_x_m': 0.01, 'camera_x_m': 0.03, 'zoom': 1.2}
    still, quarter = picture((0.05, 0.06), **pose), picture((0.05, 0.06), turn_rad=math.pi / 2, **pose)
    assert np.abs(quarter - np.rot90(still)).max() <= 1


def test_light():
    plain = picture(wall=0.0)
    rows, columns = (np.mgrid[:84, :84] + 0.5) / 42 - 1
    np.testing.assert_allclose(picture(wall=0.0, brightness=1.3), np.round(1.3 * plain), atol=1)
    np.testing.assert_allclose(picture(wall=0.0, gradient_x=0.3), plain * (1 + 0.3 * columns), atol=1.2)
    np.testing.assert_allclose(picture(wall=0.0, gradient_y=0.3), plain * (1 - 0.3 * rows), atol=1.2)
    assert picture((0.0865, 0.0), brightness=3.0).max() == 255
    assert picture(gradient_x=-3.0).min() == 0


@pytest.mark.parametrize('tilt', [(0.08, 0.0), (0.0, 0.08), (-0.05, 0.06)])
def test_raised_side_is_brighter_by_as_much_as_in_the_flat_picture(tilt):
    """The cue belongs to the board: seen from elsewhere it turns with it."""
    pose = {'camera_x_m': 0.1, 'turn_rad': 0.5}
    with_cue, without = picture(tilt=tilt, **pose), picture(tilt=tilt, tilt_cue_per_rad=0.0, **pose)
    for angle in np.arange(0.0, 6.0, 0.5):
        x, y = 0.0485 * math.cos(angle), 0.0485 * math.sin(angle)
        column, line = pixel((x, y, 0.0), tilt, pose).astype(int)
        ratio = 1 + TILT_CUE_PER_RAD * (tilt[0] * y - tilt[1] * x) / (MAZE.view_m / 2)
        assert with_cue[line, column] == pytest.approx(ratio * without[line, column], abs=1.5)


def test_floor_wall_and_ball_have_their_own_grey():
    ball = (-0.0675, 0.01)
    pose = {'camera_x_m': -0.0675, 'aim_x_m': -0.0675, 'zoom': 4.0}  # near enough that each fills pixels
    points = {'floor': (-0.0675, -0.01, 0.0), 'wall': (-0.058, 0.0, WALL_HEIGHT_M), 'ball': (*ball, 0.0055)}
    levels = {'floor': grey(FLOOR), 'wall': grey(WALL), 'ball': grey(BALL)}
    for changed in (None, *points):
        image = picture(ball, **pose, **({changed: 0.7} if changed else {}))
        for name, point in points.items():
            column, line = pixel(point, LEVEL, pose).astype(int)
            assert image[line, column] == pytest.approx(levels[name] * (0.7 if name == changed else 1.0), abs=0.51)


def batch(count, seed=0):
    random = np.random.default_rng(seed)
    scene = np.repeat(row(), count, axis=0)
    scene[:, :6] += random.uniform(-0.05, 0.05, (count, 6))
    scene[:, 6:] *= random.uniform(0.8, 1.2, (count, len(SCENE) - 6))
    return [
        random.uniform(-0.07, 0.07, (count, 2)),
        random.uniform(-0.08, 0.08, (count, 2)),
        random.uniform(0.004, 0.007, count),
        scene,
    ]


def test_every_picture_depends_on_its_own_row_alone():
    given = batch(20)
    together = np.zeros((20, 84, 84), np.uint8)
    PERSPECTIVE.draw(together, *given)
    alone = np.full((20, 84, 84), 255, np.uint8)
    for index in range(20):
        one = slice(index, index + 1)
        PERSPECTIVE.draw(alone[one], *(values[one] for values in given))
    np.testing.assert_array_equal(together, alone)
    assert len(np.unique(together.reshape(20, -1), axis=0)) == 20


def test_no_boards_are_no_pictures():
    PERSPECTIVE.draw(np.empty((0, 84, 84), np.uint8), *batch(0))


def test_a_camera_that_looks_past_the_board_sees_the_table():
    assert np.unique(picture(aim_x_m=0.4)).tolist() == [grey(TABLE)]
    sky = picture(camera_z_m=0.1, camera_x_m=-0.3, zoom=0.4)  # its upper rays never come down
    assert grey(TABLE) in sky


def test_wrong_input_is_refused():
    def refused(match, index=None, value=None, images=None):
        given = batch(3)
        if index is not None:
            given[index] = value
        with pytest.raises(ValueError, match=match):
            PERSPECTIVE.draw(np.empty((3, 84, 84), np.uint8) if images is None else images, *given)

    refused(r'images of shape \(n, height, width\), got uint8 \(3, 84\)', images=np.empty((3, 84), np.uint8))
    refused(r'uint8 images .* got float32 \(3, 84, 84\)', images=np.empty((3, 84, 84), np.float32))
    refused('contiguous', images=np.empty((3, 84, 168), np.uint8)[:, :, ::2])
    refused(r'position_m of shape \(3, 2\), got shape \(2, 2\)', 0, np.zeros((2, 2)))
    refused(r'tilt_rad of shape \(3, 2\), got shape \(3,\)', 1, np.zeros(3))
    refused(r'ball_radius_m of shape \(3,\), got shape \(3, 1\)', 2, np.zeros((3, 1)))
    refused(rf'scene of shape \(3, {len(SCENE)}\), got shape \(3, 4\)', 3, np.zeros((3, 4)))
    refused('finite tilt_rad', 1, np.full((3, 2), np.nan))
    refused('zoom above 0.0, got 0.0', 3, np.repeat(row(zoom=0.0), 3, axis=0))
    refused('camera_z_m above 0.02, got 0.01', 3, np.repeat(row(camera_z_m=0.01), 3, axis=0))
