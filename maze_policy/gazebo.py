"""What Gazebo needs of us: the world's files, the configuration of ros_gz_bridge, and the ball back in its ring."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from maze_policy.board import board_of
from maze_policy.config import CameraConfig, PhysicsConfig
from maze_policy.maze import WALL_HEIGHT_M, Maze, load_maze
from maze_policy.pinhole import Pinhole
from maze_policy.sdf import BALL_TRUTH, BOARD_TRUTH, TILT, cup_m, gazebo_name, world
from maze_policy.sdf_parts import FLAVOURS
from maze_policy.simulator import Simulator
from maze_policy.topics import CAMERA_IMAGE, CAMERA_INFO, Topic

CLOCK = Topic('/clock', 'rosgraph_msgs/msg/Clock', 10)
# What the bridge carries from Gazebo to ROS, with Gazebo's name and type.
FROM_GAZEBO = (
    (CAMERA_IMAGE, gazebo_name(CAMERA_IMAGE), 'Image'),
    (CAMERA_INFO, gazebo_name(CAMERA_INFO), 'CameraInfo'),
    (BALL_TRUTH, gazebo_name(BALL_TRUTH), 'Pose'),
    (BOARD_TRUTH, gazebo_name(BOARD_TRUTH), 'Model'),
    (CLOCK, CLOCK.name, 'Clock'),
)
SET_POSE = '/world/maze/set_pose'
ANSWER_MS = '5000'
AT_REST_M, LOOKS = 1e-5, 100  # moved less than this from one pose to the next; how many are waited for


def write(
    folder: Path,
    flavour: str,
    physics: PhysicsConfig,
    camera: CameraConfig,
    maze_file: Path | str | None = None,
) -> None:
    """Write `maze.sdf`, `bridge.yaml` and `nodes.yaml` into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'maze.sdf').write_text(world(flavour, load_maze(maze_file), physics, camera))
    (folder / 'bridge.yaml').write_text(bridge(flavour))
    (folder / 'nodes.yaml').write_text(nodes(flavour, camera, maze_file))


def nodes(flavour: str, camera: CameraConfig, maze_file: Path | str | None = None) -> str:
    """What our nodes want to be told to play in Gazebo, the camera's calibration too: a ROS parameter file."""
    maze = load_maze(maze_file)
    focal_px = camera.height_px * camera.distance_m / maze.view_m
    middle_px = (camera.width_px - 1) / 2, (camera.height_px - 1) / 2
    matrix = np.array([[focal_px, 0.0, middle_px[0]], [0.0, focal_px, middle_px[1]], [0.0, 0.0, 1.0]])
    above = Pinhole(matrix, np.zeros(5), np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, camera.distance_m]))
    board = board_of(above, camera.width_px, camera.height_px, maze, WALL_HEIGHT_M)
    again = ['python3', '-m', 'maze_policy.cli', *(['--maze', str(Path(maze_file).resolve())] if maze_file else [])]
    said = {
        'policy': {'checkpoint': 'robust'},
        'arm': {'interface': 'joints'},
        'trial': {'reset_command': [*again, 'gazebo-reset', '--flavour', flavour]},
    }
    content: dict[str, Any] = {'/**': {'ros__parameters': {'board': board.as_dict()}}}
    content |= {f'/**/{name}': {'ros__parameters': what} for name, what in said.items()}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None)


def bridge(flavour: str) -> str:
    """The `config_file` of ros_gz_bridge; ROS names are relative, so that the bridge's namespace counts."""
    rows = [(*row, 'GZ_TO_ROS') for row in FROM_GAZEBO]
    rows += [(topic, gazebo_name(topic), 'Double', 'ROS_TO_GZ') for topic in TILT]
    entries = [
        {
            'ros_topic_name': topic.name,
            'gz_topic_name': name,
            'ros_type_name': topic.type,
            'gz_type_name': f'{FLAVOURS[flavour].messages}.{message}',
            'direction': direction,
            'lazy': topic
            in (BALL_TRUTH, BOARD_TRUTH),  # said at every step of the physics, and only to be compared with
        }
        for topic, name, message, direction in rows
    ]
    return yaml.safe_dump(entries, sort_keys=False)


def reset(flavour: str, maze: Maze, seed: int) -> tuple[float, float]:
    """Put the ball of a running Gazebo at rest where a simulator of this seed begins; it comes to rest in the cup.

    Whoever commands the tilt levels the board.

    Returns:
        Where the ball is now, m.

    Raises:
        OSError: if Gazebo's command line is not there, does not answer or refuses, or the ball does not come to rest.
    """
    x, y = (float(value) for value in Simulator(maze, PhysicsConfig(), 1, seed).position_m[0])
    _put(flavour, cup_m(maze))
    before = _pose(flavour)
    for _ in range(LOOKS):
        now = _pose(flavour)
        if math.dist(before, now) < AT_REST_M:
            break
        before = now
    else:
        raise OSError(f'want the ball at rest in its cup, got {before} and then {now}')
    _put(flavour, (x, y, maze.ball_radius_m))
    return x, y


def _put(flavour: str, place_m: tuple[float, float, float]) -> None:
    kind = FLAVOURS[flavour]
    position = ', '.join(f'{axis}: {value}' for axis, value in zip('xyz', place_m))
    request = ['--reqtype', f'{kind.messages}.Pose', '--reptype', f'{kind.messages}.Boolean', '--timeout', ANSWER_MS]
    said = _ask(flavour, 'service', '-s', SET_POSE, *request, '--req', f'name: "ball", position: {{{position}}}')
    if 'data: true' not in said:
        raise OSError(f'want {SET_POSE} to put the ball at {place_m}, got {said!r}')


def _pose(flavour: str) -> tuple[float, float, float]:
    """The next that Gazebo says of where the ball is, m."""
    said = _ask(flavour, 'topic', '-e', '-n', '1', '-t', gazebo_name(BALL_TRUTH))
    place = re.search(r'position \{([^}]*)\}', said)
    if not place:
        raise OSError(f'want a position on {gazebo_name(BALL_TRUTH)}, got {said!r}')
    found = dict(re.findall(r'([xyz]): (\S+)', place[1]))  # protobuf leaves zeros out
    return float(found.get('x', 0)), float(found.get('y', 0)), float(found.get('z', 0))


def _ask(flavour: str, *words: str) -> str:
    command = [FLAVOURS[flavour].tool, *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * int(ANSWER_MS) / 1000, check=True)
    except subprocess.SubprocessError as error:
        said = getattr(error, 'stderr', None) or 'no answer'
        raise OSError(f'want an answer from Gazebo to `{" ".join(command)}`, got {said!r}: does it run?') from error
    return done.stdout
