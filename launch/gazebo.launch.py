"""The maze in Gazebo, with its camera, its hinges and its clock over ros_gz_bridge; docs/gazebo.md goes through it.

    ros2 launch maze_introspection gazebo.launch.py flavour:=harmonic

The world is the shipped one (gazebo/), or made here for another `maze_file`. Between trials the ball is put back.
"""

import tempfile
from pathlib import Path
from typing import Any

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from launch import LaunchDescription
from maze_policy.config import CameraConfig, PhysicsConfig
from maze_policy.gazebo import write
from maze_policy.sdf_parts import FLAVOURS
from maze_policy.share import share_path

YES_NO = ['true', 'false']
# name: default (None: it must be given), description, choices; they go before those of the same name in maze.launch.py
ARGUMENTS: dict[str, tuple[str | None, str, list[str] | None]] = {
    'flavour': (None, 'generation of Gazebo', list(FLAVOURS)),
    'gui': ('true', "Gazebo's window too; false runs the server alone, which needs no screen", YES_NO),
    'trial': ('true', 'a referee stops the policy after each trial and has the ball put back', YES_NO),
    'episodes': ('', 'with trial:=true, end after so many trials; empty or 0 goes on', None),
    'maze_file': ('', 'parameter file with another geometry than config/maze.yaml', None),
    'use_sim_time': ('true', 'take the time from /clock, which Gazebo keeps, in every node', YES_NO),
}


def generate_launch_description() -> LaunchDescription:
    """The arguments, the shared part, and Gazebo with its bridge."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in ARGUMENTS.items()
    ]
    shared = PythonLaunchDescriptionSource(str(Path(__file__).with_name('maze.launch.py')))
    nodes = {'nodes': 'ball_tracker policy arm introspection'}
    return LaunchDescription(
        [
            *declared,
            OpaqueFunction(function=world),
            IncludeLaunchDescription(shared, launch_arguments=nodes.items()),
            OpaqueFunction(function=gazebo),
        ]
    )


def world(context: Any) -> list[Any]:
    """Where the world's files are."""
    given = context.launch_configurations
    folder = share_path(f'gazebo/{given["flavour"]}')
    if given['maze_file']:
        folder = Path(tempfile.mkdtemp(prefix='launch_gazebo_'))
        write(folder, given['flavour'], PhysicsConfig(), CameraConfig(), given['maze_file'])
    return [SetLaunchConfiguration('world', str(folder)), SetLaunchConfiguration('config', str(folder / 'nodes.yaml'))]


def gazebo(context: Any) -> list[Any]:
    """Gazebo itself and the bridge; the server draws what the camera sees over EGL."""
    given = context.launch_configurations
    kind, folder = FLAVOURS[given['flavour']], Path(given['world'])
    server = ['-s', '--headless-rendering'] * (given['gui'] == 'false')
    command = [kind.tool, kind.simulate, '-r', *server, str(folder / 'maze.sdf')]
    bridge = Node(
        package='ros_gz_bridge',
        executable='parameter_bridge',
        name='bridge',
        namespace=given['namespace'],
        parameters=[{'config_file': str(folder / 'bridge.yaml')}],
        output='screen',
    )
    return [ExecuteProcess(cmd=command, name='gazebo', output='screen'), bridge]
