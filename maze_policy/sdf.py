"""The same maze as a Gazebo world in SDF: a board on two hinges, a ball, a lamp and a camera."""

from __future__ import annotations

import math
from collections.abc import Iterator

from maze_policy.config import CameraConfig, PhysicsConfig
from maze_policy.maze import WALL_HEIGHT_M, Maze
from maze_policy.mujoco_model import (
    BALL_KG,
    FLOOR_FRICTION,
    FLOOR_M,
    contact_restitution,
    wall_pieces,
)
from maze_policy.node_config import ARM_INTERFACES
from maze_policy.render import BALL, FLOOR, TABLE, WALL
from maze_policy.sdf_parts import FLAVOURS, Flavour, inertial, matte, sheen, surface
from maze_policy.simulator import ROLLING
from maze_policy.topics import CAMERA_IMAGE, NAMESPACE, Topic

# Of the physics; half of it is hardly more exact, and 1,000 ticks of /clock a second keep a node in Python busy.
STEP_S = 0.002
# The board is a thing with mass that a spring pulls to the commanded tilt against a damper: so stiff that a ball at the
# rim bends it by 3 % of an action in Gazebo, so damped that it follows like the simulator's first-order lag.
BOARD_KG = 1.0
STIFFNESS_N_M_RAD = 100.0
LEAST_LAG_S = 0.005  # with less damping the board would swing
STOP = 1.2  # the hinges stop at this many times the largest command
TABLE_M = -0.03

# Topics that only a world in Gazebo has. Gazebo has all under /maze, ROS under the bridge's namespace.
TILT = tuple(Topic(name, ARM_INTERFACES['joints'][1], 1) for name in ARM_INTERFACES['joints'][0])
BALL_TRUTH = Topic('gazebo/ball', 'geometry_msgs/msg/PoseStamped', 10)  # in the world's frame
BOARD_TRUTH = Topic('gazebo/board', 'sensor_msgs/msg/JointState', 10)


def gazebo_name(topic: Topic) -> str:
    """What a topic of ours is called in Gazebo, which names the ball's pose by itself."""
    return '/model/ball/pose' if topic is BALL_TRUTH else f'{NAMESPACE}/{topic.name}'


def cup_m(maze: Maze) -> tuple[float, float, float]:
    """Where the centre of a ball is that lies in the cup beside the board, m."""
    return 2 * maze.view_m, 0.0, 2 * maze.ball_radius_m


def world(flavour: str, maze: Maze, physics: PhysicsConfig, camera: CameraConfig) -> str:
    """The world as SDF 1.9, which both flavours read.

    The board hangs on two hinges, `tilt_x` and on it `tilt_y`, signs as in `maze_policy.actions`; each follows the
    angle on its topic with `physics.tilt_lag_s`. The world's frame is the maze's while the board is level.
    `physics.rolling_resistance` has no counterpart in Gazebo; `rate_hz` is the camera's.
    """
    kind = FLAVOURS[flavour]
    return f"""<?xml version="1.0"?>
<!-- Made by maze-policy gazebo for {flavour}. Do not edit: change config/maze.yaml and make it again. -->
<sdf version="1.9">
  <world name="maze">
    <physics name="maze" type="ignored">
      <max_step_size>{STEP_S}</max_step_size>
      <real_time_factor>1</real_time_factor>
    </physics>
    <gravity>0 0 {-physics.gravity_m_s2}</gravity>
    {kind.system('Physics')}
    {kind.system('UserCommands')}
    {kind.system('SceneBroadcaster')}
    {kind.system('Sensors', render_engine='ogre2')}
{_LIGHT}
    <model name="table">
      <static>true</static>
      <link name="table">
        <visual name="table look">
          <pose>0 0 {TABLE_M} 0 0 0</pose>
          <geometry><plane><normal>0 0 1</normal><size>2 2</size></plane></geometry>
          {matte(TABLE)}
        </visual>
      </link>
    </model>
{_board(kind, maze, physics)}
{_ball(kind, maze, physics)}
{_cup(maze)}
{_camera(maze, physics, camera)}
  </world>
</sdf>
"""


def _ball(kind: Flavour, maze: Maze, physics: PhysicsConfig) -> str:
    """The ball at rest in the outer ring at +x, on the level board.

    Its drag is that of `physics.viscous_per_s`, from Gazebo's system for bodies in a fluid, without the fluid's mass.
    """
    radius = maze.ball_radius_m
    inertia = 0.4 * BALL_KG * radius**2
    drag = dict.fromkeys(('xU', 'yV', 'zW'), -physics.viscous_per_s * BALL_KG / ROLLING)
    nothing = dict.fromkeys(('xDotU', 'yDotV', 'zDotW', 'kDotP', 'mDotQ', 'nDotR', 'kP', 'mQ', 'nR'), 0)
    # Without the nested models' (there are none) Fortress publishes no pose at all.
    said = {'publish_link_pose': 'false', 'publish_model_pose': 'true', 'publish_nested_model_pose': 'true'}
    pose = kind.system('PosePublisher', **said, update_frequency=physics.rate_hz)
    return f"""    <model name="ball">
      <pose>{sum(maze.lane_m(maze.rings)) / 2:.6g} 0 {radius} 0 0 0</pose>
      <link name="ball">
        {inertial(BALL_KG, inertia, inertia)}
        <collision name="ball">
          <geometry><sphere><radius>{radius}</radius></sphere></geometry>
          {surface(1.0, 1.0)}
        </collision>
        <visual name="ball look">
          <geometry><sphere><radius>{radius}</radius></sphere></geometry>
          {matte(BALL)}
        </visual>
      </link>
      {pose}
      {kind.system('Hydrodynamics', link_name='ball', **nothing, **drag)}
    </model>"""


_LIGHT = """    <scene>
      <ambient>0 0 0 1</ambient>
      <background>0 0 0 1</background>
    </scene>
    <light type="directional" name="lamp">
      <pose>0 0 1 0 0 0</pose>
      <direction>0 0 -1</direction>
      <diffuse>1 1 1 1</diffuse>
      <specular>1 1 1 1</specular>
      <cast_shadows>false</cast_shadows>
    </light>"""


def _board(kind: Flavour, maze: Maze, physics: PhysicsConfig) -> str:
    radius_m = maze.rim_radius_m + maze.wall_thickness_m / 2
    flat, up = BOARD_KG * (radius_m**2 / 4 + FLOOR_M**2 / 12), BOARD_KG * radius_m**2 / 2
    floor = f'<cylinder><radius>{radius_m}</radius><length>{FLOOR_M}</length></cylinder>'
    place = f'<pose>0 0 {-FLOOR_M / 2} 0 0 0</pose>'
    stop_rad = math.radians(physics.tilt_limit_deg) * STOP
    damping = STIFFNESS_N_M_RAD * max(physics.tilt_lag_s, LEAST_LAG_S)

    def hinge(name: str, parent: str, child: str, axis: str) -> str:
        return f"""      <joint name="{name}" type="revolute">
        <parent>{parent}</parent>
        <child>{child}</child>
        <axis>
          <xyz>{axis}</xyz>
          <limit><lower>{-stop_rad:.6g}</lower><upper>{stop_rad:.6g}</upper></limit>
          <dynamics><damping>{damping:.6g}</damping></dynamics>
        </axis>
      </joint>"""

    controllers = '\n'.join(
        '      '
        + kind.system(
            'JointPositionController',
            joint_name=topic.name.split('/')[-1],
            topic=gazebo_name(topic),
            p_gain=STIFFNESS_N_M_RAD,
            i_gain=0,
            d_gain=0,
        )
        for topic in TILT
    )
    return f"""    <model name="board">
      <link name="frame">
        {inertial(BOARD_KG, flat, up)}
      </link>
      <link name="board">
        {inertial(BOARD_KG, flat, up)}
        <collision name="floor">{place}<geometry>{floor}</geometry>{surface(FLOOR_FRICTION, 0.0)}</collision>
        <visual name="floor look">{place}<geometry>{floor}</geometry>{sheen(FLOOR)}</visual>
{chr(10).join(_walls(maze, physics))}
      </link>
{hinge('tilt_x', 'world', 'frame', '1 0 0')}
{hinge('tilt_y', 'frame', 'board', '0 1 0')}
{controllers}
      {kind.system('JointStatePublisher', topic=gazebo_name(BOARD_TRUTH))}
    </model>"""


def _cup(maze: Maze) -> str:
    """Four slopes beside the board, out of the camera's sight, between which a ball can neither roll nor spin.

    Gazebo keeps the speed of what it is told to put elsewhere: put here, a ball comes to rest.
    """
    away_m = (maze.ball_radius_m + maze.wall_thickness_m / 2) * math.sqrt(0.5)  # of a slope's middle from the ball's
    size = f'{4 * maze.ball_radius_m} {4 * maze.ball_radius_m} {maze.wall_thickness_m}'
    slopes = '\n'.join(
        f'        <collision name="slope {index}"><pose>{x * away_m:.6f} {y * away_m:.6f} {-away_m:.6f} '
        f'{y * math.pi / 4:.5f} {-x * math.pi / 4:.5f} 0</pose><geometry><box><size>{size}</size></box></geometry>'
        f'{surface(1.0, 0.0)}</collision>'
        for index, (x, y) in enumerate(((1, 0), (-1, 0), (0, 1), (0, -1)))
    )
    return f"""    <model name="cup">
      <static>true</static>
      <pose>{' '.join(map(str, cup_m(maze)))} 0 0 0</pose>
      <link name="cup">
{slopes}
      </link>
    </model>"""


def _walls(maze: Maze, physics: PhysicsConfig) -> Iterator[str]:
    touch = surface(physics.wall_friction, float(contact_restitution(physics.restitution, physics.wall_friction)))
    look = sheen(WALL)
    for index, (x, y, angle, half_t, half_length) in enumerate(wall_pieces(maze)):
        place = f'<pose>{x:.6f} {y:.6f} {WALL_HEIGHT_M / 2} 0 0 {angle:.5f}</pose>'
        if half_length:
            size = f'{2 * half_t:.6g} {2 * half_length:.6f} {WALL_HEIGHT_M}'
            shape = f'<geometry><box><size>{size}</size></box></geometry>'
        else:
            size = f'<radius>{half_t:.6g}</radius><length>{WALL_HEIGHT_M}</length>'
            shape = f'<geometry><cylinder>{size}</cylinder></geometry>'
        yield f'        <collision name="wall {index}">{place}{shape}{touch}</collision>'
        yield f'        <visual name="wall {index} look">{place}{shape}{look}</visual>'


def _camera(maze: Maze, physics: PhysicsConfig, camera: CameraConfig) -> str:
    wide_m = maze.view_m * camera.width_px / camera.height_px
    focal_px = camera.height_px * camera.distance_m / maze.view_m
    middle_px = (camera.width_px / 2, camera.height_px / 2)
    # Said too because Fortress tells some other camera's numbers else.
    lens, told = (
        ''.join(f'<{name}>{value:.6g}</{name}>' for name, value in zip(names, (focal_px, focal_px, *middle_px)))
        for names in (('fx', 'fy', 'cx', 'cy'), ('p_fx', 'p_fy', 'p_cx', 'p_cy'))
    )
    return f"""    <model name="camera">
      <static>true</static>
      <pose>0 0 {camera.distance_m} 0 {math.pi / 2:.6f} {math.pi / 2:.6f}</pose>
      <link name="camera">
        <sensor name="camera" type="camera">
          <topic>{gazebo_name(CAMERA_IMAGE)}</topic>
          <update_rate>{physics.rate_hz}</update_rate>
          <camera>
            <horizontal_fov>{2 * math.atan(wide_m / 2 / camera.distance_m):.6f}</horizontal_fov>
            <image><width>{camera.width_px}</width><height>{camera.height_px}</height><format>R8G8B8</format></image>
            <lens><intrinsics>{lens}<s>0</s></intrinsics><projection>{told}<tx>0</tx><ty>0</ty></projection></lens>
            <clip><near>{camera.distance_m / 10:.6g}</near><far>{camera.distance_m * 10:.6g}</far></clip>
          </camera>
        </sensor>
      </link>
    </model>"""
