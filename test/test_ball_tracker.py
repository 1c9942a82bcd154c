import functools

import cv2
import numpy as np
import pytest
from looking import LEVEL, MARKERS, MAZE, average, bent, grey, scene_camera, tilted

from maze_policy.ball_tracker import BallTracker, NoBall, NoBoard
from maze_policy.board import BoardConfig, board_of
from maze_policy.board_pose import Lens, find_board
from maze_policy.pinhole import Pinhole

TILT = np.radians(5)
AWAY = (1.0, 1.0)  # a board without a ball


def anywhere(random):
    """Where a ball can be: in every ring alike, two in five beside a wall, one in eight in an opening."""
    if random.random() < 0.125:
        wall = random.integers(MAZE.rings)
        radius = MAZE.wall_radius_m[wall]
        spare = (MAZE.opening_clear_m / 2 - MAZE.ball_radius_m) / radius
        bearing = random.choice(MAZE.openings_rad[wall]) + random.uniform(-spare, spare)
    else:
        low, high = MAZE.lane_m(int(random.integers(MAZE.rings + 1)))
        radius = np.clip(random.uniform(-1 / 3, 4 / 3), 0, 1) * (high - max(low, 0)) + max(low, 0)
        bearing = random.uniform(-np.pi, np.pi)
    return radius * np.array([np.cos(bearing), np.sin(bearing)])


def calibrated(camera, random, method):
    """A tracker with the calibration that is made from level pictures with a tape that is up to 5 % off."""
    lens = Lens(None, np.zeros(5), np.linalg.norm(camera.pinhole.place_m) * random.uniform(0.95, 1.05))
    picture = grey(average(camera, anywhere(random)))
    found = find_board(picture, MAZE, 0.01, lens, MARKERS if method == 'markers' else None)
    return BallTracker(board_of(found.seen.camera, 640, 480, MAZE, 0.01), MAZE)


@functools.cache
def tried(profile, cameras, pictures):
    """Distances between where the ball is and where it was found, m; NaN for a miss."""
    random, off = np.random.default_rng(7), []
    for seed in range(cameras):
        camera = scene_camera(profile, 100 + seed)
        tracker = calibrated(camera, random, ('markers', 'circle')[seed % 2])
        for _ in range(pictures):
            position, tilt = anywhere(random), random.uniform(-TILT, TILT, 2)
            try:
                off.append(np.linalg.norm(tracker.find(camera.picture(position, tilt)).position_m - position))
            except NoBall:
                off.append(np.nan)
    return np.array(off)


@pytest.mark.parametrize(('profile', 'cameras', 'pictures'), [('randomised', 20, 8), ('real_like', 3, 20)])
def test_accuracy(profile, cameras, pictures):
    """The bar: median 1 mm, 1 % misses, 1 % more than 5 mm off. It is far better."""
    off = tried(profile, cameras, pictures)
    found = off[np.isfinite(off)]
    print(
        f'{profile}: {off.size} pictures, median {np.median(found) * 1e3:.2f} mm, p95 '
        f'{np.percentile(found, 95) * 1e3:.2f}, largest {found.max() * 1e3:.2f}, {off.size - found.size} misses'
    )
    assert np.median(found) < 0.15e-3
    assert np.percentile(found, 95) < 0.5e-3
    assert found.max() < 3e-3
    assert found.size >= 0.99 * off.size


def test_sees_no_ball_where_there_is_none():
    random = np.random.default_rng(3)
    for seed in range(4):
        camera = scene_camera('randomised', 200 + seed)
        tracker = calibrated(camera, random, 'markers')
        for _ in range(2):
            with pytest.raises(NoBall, match='no ball: want'):
                tracker.find(camera.picture(AWAY, random.uniform(-TILT, TILT, 2)))


def true_tracker(camera, **options):
    return BallTracker(board_of(camera.pinhole, 640, 480, MAZE, 0.01), MAZE, **options)


def test_a_ball_that_rolls_is_followed_without_a_bias():
    """Round the outer ring on a tilted board the error averages out to less than a third of its size."""
    camera = scene_camera('nominal', 0)
    tracker = true_tracker(camera)
    off = []
    for bearing in np.linspace(0, 2 * np.pi, 40, endpoint=False):
        position = 0.0865 * np.array([np.cos(bearing), np.sin(bearing)])
        off.append(tracker.find(camera.picture(position, (0.08, -0.05))).position_m - position)
    off = np.array(off)
    assert np.linalg.norm(off.mean(axis=0)) < 1e-4
    assert np.linalg.norm(off, axis=1).max() < 4e-4


def test_without_the_tilt_it_would_be_wrong():
    """What the tilt shifts is 1 mm here: the walls tell it."""
    camera = scene_camera('real_like', 0)
    position, tilt = np.array([0.0865, 0.0]), np.array([0.0, TILT])
    ball = true_tracker(camera).find(camera.picture(position, tilt))
    assert np.linalg.norm(ball.position_m - position) < 3e-4
    pixel = tilted(camera.pinhole, tilt).pixels(np.array([[*position, MAZE.ball_radius_m]]))
    level = camera.pinhole.points(pixel, MAZE.ball_radius_m)[0]
    assert np.linalg.norm(level - position) > 0.9e-3


def test_undoes_the_lens():
    camera = scene_camera('nominal', 0)
    distortion = np.array([-0.25, 0.08, 0.001, -0.002, 0.0])
    pose = camera.pinhole
    lens = Pinhole(pose.matrix, distortion, pose.rotation, pose.translation_m)
    tracker = BallTracker(board_of(lens, 640, 480, MAZE, 0.01), MAZE)
    for position in ((0.06, 0.06), (-0.0865, 0.0)):
        image = bent(camera.picture(position, (0.05, 0.05)), pose, distortion)
        np.testing.assert_allclose(tracker.find(image).position_m, position, atol=3e-4)


def test_a_ball_with_light_and_shade():
    """A sphere that a lamp beside the camera lights, its edge there no brighter than the floor."""
    camera = scene_camera('nominal', 0)
    image = camera.picture(AWAY, LEVEL)
    position = np.array([0.0865, 0.0])
    x, y = camera.pinhole.pixels(np.array([[*position, MAZE.ball_radius_m]]))[0]
    rows, columns = np.mgrid[:480, :640]
    across, down = (columns - x) / 13.35, (rows - y) / 13.35
    up = np.sqrt(np.clip(1 - across**2 - down**2, 0, None))
    lit = np.clip(0.35 * across - 0.1 * down + 0.93 * up, 0, None)
    image[up > 0] = (60 + 150 * lit[up > 0])[:, np.newaxis]
    ball = true_tracker(camera).find(cv2.GaussianBlur(image, (0, 0), 0.7))
    np.testing.assert_allclose(ball.position_m, position, atol=5e-4)


def test_a_dark_ball():
    camera = scene_camera('nominal', 0)
    tracker = true_tracker(camera, brighter=False)
    position = (0.0295, 0.0)
    bright = camera.picture(position, LEVEL)
    image = np.where(bright > 170, 60, bright)  # the ball alone is so bright on this board
    image = cv2.GaussianBlur(image.astype(np.uint8), (0, 0), 1)
    np.testing.assert_allclose(tracker.find(image).position_m, position, atol=5e-4)
    with pytest.raises(NoBall, match='darker than the floor'):
        tracker.find(bright)


@pytest.mark.parametrize('level', [0, 90, 255])
def test_no_board_is_no_ball(level):
    tracker = true_tracker(scene_camera('nominal', 0))
    with pytest.raises(NoBoard, match=r'the board is not where it was calibrated: want its walls on 60% .* got 0%'):
        tracker.find(np.full((480, 640, 3), level, np.uint8))


def test_another_bright_thing_of_another_size_is_no_ball():
    camera = scene_camera('nominal', 0)
    tracker = true_tracker(camera)
    image = camera.picture(AWAY, LEVEL)
    x, y = camera.pinhole.pixels(np.array([[0.0865, 0.0, 0.0]]))[0]
    cv2.circle(image, (round(x), round(y)), 5, (220, 220, 220), cv2.FILLED)  # 2 mm, a drop of glare
    with pytest.raises(NoBall):
        tracker.find(image)


def test_wants_a_calibration_and_its_size():
    with pytest.raises(ValueError, match='want a calibration of the board: run maze-policy calibrate'):
        BallTracker(BoardConfig(), MAZE)
    with pytest.raises(ValueError, match='want pictures of 640 x 480 px'):
        true_tracker(scene_camera('nominal', 0)).find(np.zeros((240, 320, 3), np.uint8))
