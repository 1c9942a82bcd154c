"""The Gazebo world: the maze's geometry, valid for sdformat, and rolling the ball as our MuJoCo engine does.

How it behaves in Gazebo itself is in docs/gazebo.md.
"""

import json
import math
import shutil
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from sdf_mujoco import SdfBoard

from maze_policy import topics
from maze_policy.actions import next_tilt
from maze_policy.board import BoardConfig
from maze_policy.cli import main
from maze_policy.config import CameraConfig, PhysicsConfig
from maze_policy.expert import Expert
from maze_policy.gazebo import CLOCK, SET_POSE, bridge, nodes, write
from maze_policy.maze import Maze, load_maze
from maze_policy.mujoco_model import wall_pieces
from maze_policy.mujoco_simulator import MujocoSimulator
from maze_policy.node_config import ArmNodeConfig, PolicyNodeConfig, TrialNodeConfig
from maze_policy.render import BALL, FLOOR, WALL
from maze_policy.sdf import BALL_TRUTH, BOARD_TRUTH, TILT, cup_m, world
from maze_policy.sdf_parts import FLAVOURS, MATTE_GAIN, SHEEN_GAIN
from maze_policy.share import checkpoint_path, share_path
from maze_policy.simulator import Simulator, half_gap_rad

MAZE, PHYSICS, CAMERA = load_maze(), PhysicsConfig(), CameraConfig()
OTHER = Maze.from_dict(MAZE.as_dict() | {'wall_radius_m': [0.03], 'openings_per_wall': [1], 'opening_deg': [45.0]})
STEP, LIMIT = math.radians(PHYSICS.tilt_step_deg), math.radians(PHYSICS.tilt_limit_deg)
# What SDF 1.9 has of what we use (sdformat.org/spec): element -> its children.
SPEC = {
    'sdf': 'world',
    'world': 'physics gravity plugin scene light model',
    'physics': 'max_step_size real_time_factor',
    'scene': 'ambient background',
    'light': 'pose direction diffuse specular cast_shadows',
    'model': 'static pose link joint plugin',
    'link': 'inertial collision visual sensor',
    'inertial': 'mass inertia',
    'inertia': 'ixx iyy izz ixy ixz iyz',
    'collision': 'pose geometry surface',
    'visual': 'pose geometry material',
    'geometry': 'box cylinder sphere plane',
    'box': 'size',
    'cylinder': 'radius length',
    'sphere': 'radius',
    'plane': 'normal size',
    'surface': 'friction bounce',
    'friction': 'ode',
    'ode': 'mu mu2',
    'bounce': 'restitution_coefficient',
    'material': 'ambient diffuse specular pbr',
    'pbr': 'metal',
    'metal': 'roughness metalness',
    'joint': 'parent child axis',
    'axis': 'xyz limit dynamics',
    'limit': 'lower upper',
    'dynamics': 'damping',
    'sensor': 'topic update_rate camera',
    'camera': 'horizontal_fov image lens clip',
    'lens': 'intrinsics projection',
    'intrinsics': 'fx fy cx cy s',
    'projection': 'p_fx p_fy p_cx p_cy tx ty',
    'image': 'width height format',
    'clip': 'near far',
}
# name: start (m), commanded tilt at step k (steps about x, y), control steps, least way rolled (m)
ROLLS = {
    'free rolling': ((0.0865, 0.0), lambda k: (min(k, 2), 0), 18, 0.008),
    'free rolling to and fro': ((0.0, 0.0865), lambda k: (0, k if k < 4 else max(8 - k, -4)), 30, 0.02),
    'bounce at the rim': ((0.0865, 0.0), lambda k: (0, 2), 40, 0.003),
    'bounce at a ring wall': ((0.003, 0.0865), lambda k: (2, 0), 45, 0.003),
}
TOLERANCE_M = 0.0007


@pytest.fixture(params=FLAVOURS)
def flavour(request):
    return request.param


def tree(flavour, maze=MAZE, physics=PHYSICS, camera=CAMERA):
    return ElementTree.fromstring(world(flavour, maze, physics, camera)).find('world')


def walls(element, kind):
    """(pose, shape, size) of every wall of the board's `kind` of thing."""
    board = element.find("model[@name='board']/link[@name='board']")
    for thing in board.findall(kind):
        if thing.get('name').startswith('wall'):
            shape = thing.find('geometry')[0]
            yield [float(value) for value in thing.findtext('pose').split()], shape.tag, ' '.join(shape.itertext())


def to_walls_m(element, points_m):
    """Distance from each point of the board's plane to the nearest wall, negative inside, by the SDF's shapes."""
    distances = []
    for (x, y, _, _, _, angle), shape, size in walls(element, 'collision'):
        numbers = [float(value) for value in size.split()]
        off = np.asarray(points_m) - (x, y)
        if shape == 'cylinder':
            distances.append(np.hypot(*off.T) - numbers[0])
            continue
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        beside = np.abs(off @ turn) - np.array(numbers[:2]) / 2
        distances.append(np.hypot(*np.maximum(beside, 0).T) + np.minimum(beside.max(axis=1), 0))
    return np.min(distances, axis=0)


def level(visual, gain):
    """What an image's levels are of light that a material gives back (IEC 61966-2-1)."""
    light = gain * np.array([float(share) for share in visual.findtext('material/diffuse').split()[:3]])
    return 255 * (1.055 * light ** (1 / 2.4) - 0.055)


def circle(radius_m, angles):
    return radius_m * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def test_shipped_files_are_what_the_generator_makes(flavour, tmp_path):
    write(tmp_path, flavour, PHYSICS, CAMERA)
    shipped = share_path(f'gazebo/{flavour}')
    assert {file.name for file in shipped.iterdir()} == {'maze.sdf', 'bridge.yaml', 'nodes.yaml'}
    for file in shipped.iterdir():
        assert file.read_text() == (tmp_path / file.name).read_text(), (
            f'make it again: maze-policy gazebo --flavour {flavour} --out gazebo/{flavour}'
        )


def test_command_line_makes_a_world_of_another_maze(flavour, tmp_path):
    file = tmp_path / 'maze.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': {'maze': OTHER.as_dict()}}}))
    out = tmp_path / 'deep/out'
    options = ['--flavour', flavour, '--out', str(out), '--distance-m', '0.7', '--tilt-lag-s', '0.1']
    assert main(['--maze', str(file), 'gazebo', *options]) == 0
    wanted = world(flavour, OTHER, PhysicsConfig(tilt_lag_s=0.1), CameraConfig(distance_m=0.7))
    assert (out / 'maze.sdf').read_text() == wanted
    assert (out / 'bridge.yaml').read_text() == bridge(flavour)
    said = yaml.safe_load((out / 'nodes.yaml').read_text())['/**/trial']['ros__parameters']
    assert said['reset_command'] == [
        'python3',
        '-m',
        'maze_policy.cli',
        '--maze',
        str(file),
        'gazebo-reset',
        '--flavour',
        flavour,
    ]


@pytest.mark.parametrize('maze', [MAZE, OTHER], ids=['shipped', 'other'])
def test_walls_are_where_the_maze_has_them_and_open_where_it_is_open(maze):
    element = tree('fortress', maze)
    assert len(list(walls(element, 'collision'))) == len(wall_pieces(maze))
    all_round = np.linspace(0, 2 * math.pi, 720, endpoint=False)
    for radius_m, openings, gap in zip(maze.wall_radius_m, maze.openings_rad, half_gap_rad(maze)):
        off = np.abs((all_round[:, np.newaxis] - openings + math.pi) % (2 * math.pi) - math.pi).min(axis=1)
        inside = to_walls_m(element, circle(radius_m, all_round[off < gap - maze.wall_thickness_m / radius_m]))
        assert (inside > 0).all()
        assert (to_walls_m(element, circle(radius_m, all_round[off > gap])) < 0).all()
        for opening in openings:  # the ball's way through it is as wide as the maze says
            way = np.linspace(radius_m - 0.004, radius_m + 0.004, 41)[:, np.newaxis]
            narrowest = to_walls_m(element, way * circle(1.0, opening)).min()
            assert narrowest == pytest.approx(maze.opening_clear_m / 2, abs=2e-5)
            assert narrowest > maze.ball_radius_m
    assert (to_walls_m(element, circle(maze.rim_radius_m, all_round)) < 0).all()
    radii = (0.0, *maze.wall_radius_m, maze.rim_radius_m)
    for inner, outer in pairwise(radii):  # and nothing stands in a lane
        assert (to_walls_m(element, circle((inner + outer) / 2, all_round)) > maze.ball_radius_m).all()


def test_what_is_seen_is_what_is_touched(flavour):
    element = tree(flavour)
    assert list(walls(element, 'visual')) == list(walls(element, 'collision'))
    board = element.find("model[@name='board']/link[@name='board']")
    for visual in board.findall('visual'):
        floor = visual.get('name').startswith('floor')
        np.testing.assert_allclose(level(visual, SHEEN_GAIN), FLOOR if floor else WALL, atol=1)
    ball = element.find("model[@name='ball']")
    np.testing.assert_allclose(level(ball.find('link/visual'), MATTE_GAIN), BALL, atol=1)
    assert [float(radius.text) for radius in ball.iter('radius')] == [MAZE.ball_radius_m] * 2
    x, y, z = (float(value) for value in ball.findtext('pose').split()[:3])
    assert MAZE.ring(math.hypot(x, y)) == MAZE.rings
    assert z == MAZE.ball_radius_m


def test_camera_sees_the_view_upright(flavour):
    element = tree(flavour, camera=CameraConfig(distance_m=0.8, width_px=320, height_px=240))
    camera = element.find("model[@name='camera']")
    x, y, z, roll, pitch, yaw = (float(value) for value in camera.findtext('pose').split())
    assert (x, y, z, roll) == (0, 0, 0.8, 0)
    # A camera of Gazebo's looks along its x, with y to the left and z up in the image.
    turn = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
    tip = np.array([[math.cos(pitch), 0, math.sin(pitch)], [0, 1, 0], [-math.sin(pitch), 0, math.cos(pitch)]])
    np.testing.assert_allclose(turn @ tip, [[0, -1, 0], [0, 0, 1], [-1, 0, 0]], atol=1e-5)
    half_rad = float(camera.findtext('.//horizontal_fov')) / 2
    assert 2 * 0.8 * math.tan(half_rad) * 240 / 320 == pytest.approx(MAZE.view_m, abs=1e-5)
    lens = [float(camera.findtext(f'.//intrinsics/{name}')) for name in ('fx', 'fy', 'cx', 'cy')]
    assert lens == pytest.approx([160 / math.tan(half_rad), 120 / (MAZE.view_m / 2 / 0.8), 160, 120], rel=1e-5)
    assert lens == [float(camera.findtext(f'.//projection/p_{name}')) for name in ('fx', 'fy', 'cx', 'cy')]
    assert [camera.findtext(f'.//image/{name}') for name in ('width', 'height', 'format')] == ['320', '240', 'R8G8B8']
    assert float(camera.findtext('.//update_rate')) == PHYSICS.rate_hz


def test_cup_holds_a_ball_beside_the_view():
    place = np.array(cup_m(MAZE))
    assert place[0] - 2 * MAZE.ball_radius_m > MAZE.view_m / 2 * CAMERA.width_px / CAMERA.height_px
    cup = tree('fortress').find("model[@name='cup']")
    np.testing.assert_allclose([float(value) for value in cup.findtext('pose').split()], [*place, 0, 0, 0])
    ways = []
    for slope in cup.iter('collision'):
        x, y, z, roll, pitch, _ = (float(value) for value in slope.findtext('pose').split())
        about_x = [[1, 0, 0], [0, math.cos(roll), -math.sin(roll)], [0, math.sin(roll), math.cos(roll)]]
        about_y = [[math.cos(pitch), 0, math.sin(pitch)], [0, 1, 0], [-math.sin(pitch), 0, math.cos(pitch)]]
        up = np.array(about_y) @ np.array(about_x) @ (0, 0, 1)
        half_m = float(slope.findtext('geometry/box/size').split()[2]) / 2
        np.testing.assert_allclose(-np.array([x, y, z]), (MAZE.ball_radius_m + half_m) * up, atol=1e-5)
        ways.append(tuple(np.round(up * math.sqrt(2)).tolist()))
    assert sorted(ways) == [(-1, 0, 1), (0, -1, 1), (0, 1, 1), (1, 0, 1)]


def test_systems_have_the_names_of_their_flavour(flavour):
    plugins = {(plugin.get('filename'), plugin.get('name')) for plugin in tree(flavour).iter('plugin')}
    start, namespace = {
        'fortress': ('ignition-gazebo-', 'ignition::gazebo::systems::'),
        'harmonic': ('gz-sim-', 'gz::sim::systems::'),
    }[flavour]
    systems = {
        'physics': 'Physics',
        'user-commands': 'UserCommands',
        'scene-broadcaster': 'SceneBroadcaster',
        'sensors': 'Sensors',
        'joint-position-controller': 'JointPositionController',
        'joint-state-publisher': 'JointStatePublisher',
        'pose-publisher': 'PosePublisher',
        'hydrodynamics': 'Hydrodynamics',
    }
    assert plugins == {(f'{start}{file}-system', namespace + name) for file, name in systems.items()}


def test_flavours_differ_in_nothing_but_names():
    fortress, harmonic = (world(flavour, MAZE, PHYSICS, CAMERA) for flavour in ('fortress', 'harmonic'))
    for old, new in (
        ('ignition-gazebo-', 'gz-sim-'),
        ('ignition::gazebo::', 'gz::sim::'),
        ('for fortress', 'for harmonic'),
    ):
        fortress = fortress.replace(old, new)
    assert fortress == harmonic


def test_bridge_carries_our_topics(flavour):
    entries = yaml.safe_load(bridge(flavour))
    by_name = {entry['ros_topic_name']: entry for entry in entries}
    assert len(by_name) == len(entries)
    for topic in (topics.CAMERA_IMAGE, topics.CAMERA_INFO, BALL_TRUTH, CLOCK):
        entry = by_name[topic.name]
        assert (entry['ros_type_name'], entry['direction']) == (topic.type, 'GZ_TO_ROS')
    for topic in TILT:
        entry = by_name[topic.name]
        assert (entry['ros_type_name'], entry['direction']) == ('std_msgs/msg/Float64', 'ROS_TO_GZ')
    assert {name for name, entry in by_name.items() if entry['lazy']} == {BALL_TRUTH.name, BOARD_TRUTH.name}
    prefix = {'fortress': 'ignition.msgs.', 'harmonic': 'gz.msgs.'}[flavour]
    assert all(entry['gz_type_name'].startswith(prefix) for entry in entries)
    # What the world says and hears is what the bridge carries.
    element = tree(flavour)
    names = {entry['gz_topic_name'] for entry in entries}
    assert {said.text for said in element.iter('topic')} <= names


def test_nodes_are_told_what_they_can_be_told(flavour):
    said = {name: what['ros__parameters'] for name, what in yaml.safe_load(nodes(flavour, CAMERA)).items()}
    arm = ArmNodeConfig.from_dict(said['/**/arm'])
    assert arm.topics == tuple(topic.name for topic in TILT)
    assert arm.angle_limit_deg == PHYSICS.tilt_limit_deg
    assert set(arm.joint_names) == {joint.get('name') for joint in tree(flavour).iter('joint')}
    trial = TrialNodeConfig.from_dict(said['/**/trial'])
    assert trial.reset_command == ('python3', '-m', 'maze_policy.cli', 'gazebo-reset', '--flavour', flavour)
    assert checkpoint_path(PolicyNodeConfig.from_dict(said['/**/policy']).checkpoint).exists()
    assert set(said) == {'/**', '/**/arm', '/**/trial', '/**/policy'}
    camera = BoardConfig.from_dict(said['/**']['board']).camera
    corners = np.array([[x, y, 0.0] for x in (-0.1, 0.1) for y in (-0.1, 0.1)])
    edges = [[x, y] for x in (79.5, 559.5) for y in (479.5, -0.5)]
    np.testing.assert_allclose(camera.pixels(corners), edges, atol=1e-6)


def test_sdformat_would_take_it(flavour, tmp_path):
    """As `ign sdf -k` and `gz sdf -k` check it, which are asked too where they are installed."""
    text = world(flavour, MAZE, PHYSICS, CAMERA)
    root = ElementTree.fromstring(text)
    assert (root.tag, root.get('version')) == ('sdf', '1.9')
    for element in root.iter():
        if element.tag == 'plugin' or not len(element):
            continue
        names = [child.get('name') for child in element if child.get('name') and child.tag != 'plugin']
        assert len(set(names)) == len(names), f'two things of {element.tag} {element.get("name")} share a name'
        assert {child.tag for child in element} <= set(SPEC[element.tag].split()), element.tag
    for inertia in root.iter('inertia'):
        x, y, z = (float(inertia.findtext(name)) for name in ('ixx', 'iyy', 'izz'))
        assert min(x, y, z) > 0
        assert 2 * max(x, y, z) <= x + y + z + 1e-12
    file = tmp_path / 'maze.sdf'
    file.write_text(text)
    for tool in ('ign', 'gz'):
        if shutil.which(tool) and not subprocess.run([tool, 'sdf', '--versions'], capture_output=True).returncode:
            said = subprocess.run([tool, 'sdf', '-k', str(file)], capture_output=True, text=True)
            assert 'Valid.' in said.stdout, said.stderr[:2000]
            assert 'Warning' not in said.stderr


@pytest.mark.parametrize('case', ROLLS)
def test_converted_to_mujoco_it_rolls_the_ball_like_our_engine(case):
    """Without rolling resistance, which Gazebo has not."""
    physics = PhysicsConfig(rolling_resistance=0.0)
    start, command, steps, least_m = ROLLS[case]
    ours, converted = MujocoSimulator(MAZE, physics), SdfBoard(world('fortress', MAZE, physics, CAMERA))
    ours.position_m[0] = start
    converted.put(start)
    way = []
    for k in range(steps):
        tilt = STEP * np.array(command(k), float)
        ours.step(tilt[np.newaxis])
        ended = [round(number / PHYSICS.rate_hz / converted.step_s) for number in (k, k + 1)]  # at whole steps
        converted.play(tilt, (ended[1] - ended[0]) * converted.step_s)
        way.append([ours.position_m[0].copy(), converted.position_m[:2]])
        assert np.abs(converted.tilt_rad - ours.tilt_rad[0]).max() < 0.08 * STEP
    way, other = np.array(way).transpose(1, 0, 2)
    assert np.hypot(*np.diff(way, axis=0).T).sum() > least_m
    assert np.hypot(*(way - other).T).max() < TOLERANCE_M


def test_joints_follow_their_command():
    board = SdfBoard(world('fortress', MAZE, PHYSICS, CAMERA))
    board.put((0.0865, 0.0))  # where the ball weighs most on a hinge
    board.play(np.array([LIMIT, -LIMIT]), PHYSICS.tilt_lag_s)
    np.testing.assert_allclose(board.tilt_rad, (1 - math.exp(-1)) * np.array([LIMIT, -LIMIT]), rtol=0.03)
    board.play(np.array([LIMIT, -LIMIT]), 0.5)
    np.testing.assert_allclose(board.tilt_rad, [LIMIT, -LIMIT], atol=0.02 * STEP)
    for joint in tree('fortress').iter('joint'):
        ends = [float(joint.findtext(f'axis/limit/{end}')) for end in ('lower', 'upper')]
        assert 1.1 * LIMIT < ends[1] == -ends[0] < 1.5 * LIMIT


def test_expert_solves_the_converted_world():
    board, expert = SdfBoard(world('fortress', MAZE, PHYSICS, CAMERA)), Expert(MAZE, PHYSICS)
    for start_rad in (0.3, 2.0, 4.2):
        board.put(circle(0.0865, start_rad))
        position, command = board.position_m[:2], np.zeros((1, 2))
        for _ in range(20 * 30):
            before = position
            board.play(command[0], 1 / PHYSICS.rate_hz)
            position = board.position_m[:2]
            if np.hypot(*position) < MAZE.solved_radius_m:
                break
            velocity = (position - before) * PHYSICS.rate_hz
            command = next_tilt(command, expert.act(position[np.newaxis], velocity[np.newaxis], command), STEP, LIMIT)
        assert np.hypot(*position) < MAZE.solved_radius_m, f'not solved from {start_rad} rad'


GAZEBO = f"""#!{sys.executable}
import json, pathlib, sys
said = pathlib.Path(__file__).with_name('said')
lines = said.read_text().splitlines() if said.exists() else []
said.write_text('\\n'.join([*lines, json.dumps(sys.argv)]))
if sys.argv[1] == 'service':
    print('data: ANSWER')
else:  # it rolls, and then it lies
    print('header {{\\n}}\\nname: "ball"\\nposition {{\\n  x: %s\\n  z: 1e-2\\n}}' % max(0.4, 0.5 - 0.01 * len(lines)))
"""


def gazebo(folder, monkeypatch, tool, answer='true'):
    """A Gazebo command line that notes what it was asked; returns what reads the notes."""
    (folder / tool).write_text(GAZEBO.replace('ANSWER', answer))
    (folder / tool).chmod(0o755)
    monkeypatch.setenv('PATH', str(folder))
    return lambda: [json.loads(line) for line in (folder / 'said').read_text().splitlines()]


def test_reset_puts_the_ball_to_rest_and_then_where_the_seed_says(flavour, tmp_path, monkeypatch, capsys):
    tool, messages = {'fortress': ('ign', 'ignition.msgs'), 'harmonic': ('gz', 'gz.msgs')}[flavour]
    said = gazebo(tmp_path, monkeypatch, tool)
    assert main(['gazebo-reset', '--flavour', flavour, '--seed', '7']) == 0
    x, y = Simulator(MAZE, PHYSICS, 1, 7).position_m[0]
    assert capsys.readouterr().out == f'ball at {x:.4f}, {y:.4f} m, seed 7\n'
    first, *looks, last = said()
    for call, place in ((first, cup_m(MAZE)), (last, (x, y, MAZE.ball_radius_m))):
        assert call[1:4] == ['service', '-s', SET_POSE]
        assert call[call.index('--reqtype') + 1] == f'{messages}.Pose'
        request = call[call.index('--req') + 1]
        assert request == f'name: "ball", position: {{x: {place[0]}, y: {place[1]}, z: {place[2]}}}'
    assert len(looks) == 11  # as long as it rolled, and once more
    assert all(call[1:] == ['topic', '-e', '-n', '1', '-t', '/model/ball/pose'] for call in looks)


def test_reset_says_what_gazebo_did_not_do(tmp_path, monkeypatch, capsys):
    gazebo(tmp_path, monkeypatch, 'gz', answer='false')
    assert main(['gazebo-reset', '--flavour', 'harmonic']) == 2
    assert f"want {SET_POSE} to put the ball at (0.4, 0.0, 0.011), got 'data: false" in capsys.readouterr().err
    assert main(['gazebo-reset', '--flavour', 'fortress']) == 2
    assert "No such file or directory: 'ign'" in capsys.readouterr().err


def test_a_flavour_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(['gazebo', '--flavour', 'classic', '--out', 'x'])
    assert 'fortress' in capsys.readouterr().err
