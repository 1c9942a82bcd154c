"""Simulator, policy, introspection and (unless record:=false) the recorder, under a ROS 2 distribution.

    ros2 launch maze_introspection sim.launch.py episodes:=1 seed:=1

The same nodes and parameter files as the demo. Ends when the simulator ends.
"""

import os
from datetime import datetime
from typing import Any

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from maze_policy.share import share_path
from maze_policy.topics import NAMESPACE

ARGUMENTS = {
    'namespace': (NAMESPACE, 'namespace of all nodes'),
    'maze_file': ('', 'parameter file with another geometry than config/maze.yaml'),
    'params_file': ('', 'parameter file of your own; it wins over the shipped ones, an argument here over it'),
    'checkpoint': ('', 'policy to play: NAME.safetensors, or the name of a shipped one; empty plays nominal'),
    'seed': ('', 'seed of the starting positions'),
    'episodes': ('', 'end after so many episodes; 0, the default, plays on'),
    'record': ('true', 'record into a bag: true or false'),
    'bag': ('', 'folder of the bag, which must not exist; empty names it by the time'),
}


def generate_launch_description() -> LaunchDescription:
    """The arguments, and the nodes once their values are known."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=graph)])


def graph(context: Any) -> list[Any]:
    """The nodes, with the parameter files that the arguments ask for."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    if given['record'] not in ('true', 'false'):
        raise ValueError(f'record wants true or false, got {given["record"]!r}')
    record = given['record'] == 'true'
    files = [given['maze_file'] or shipped('maze'), shipped('sim')]
    files += [shipped('record')] * record + [given['params_file']] * bool(given['params_file'])

    def node(name: str, **parameters: Any) -> Node:
        return Node(
            package='maze_introspection',
            executable=f'{name}_node',
            name=name,
            namespace=given['namespace'],
            parameters=[*files, *([parameters] if parameters else [])],
            output='screen',
        )

    seed = {'seed': int(given['seed'])} if given['seed'] else {}
    episodes = {'episodes': int(given['episodes'])} if given['episodes'] else {}
    checkpoint = {'checkpoint': given['checkpoint']} if given['checkpoint'] else {}
    bag = given['bag'] or datetime.now().strftime('maze_%Y_%m_%d-%H_%M_%S')
    simulator = node('simulator', **seed, **episodes)
    nodes = [simulator, node('policy', **checkpoint), node('introspection')]
    nodes += [node('recorder', bag=bag)] * record
    end = OnProcessExit(target_action=simulator, on_exit=[EmitEvent(event=Shutdown(reason='the simulator ended'))])
    profile = os.environ.get('FASTDDS_DEFAULT_PROFILES_FILE', shipped('fastdds', 'xml'))
    return [
        SetEnvironmentVariable('FASTDDS_DEFAULT_PROFILES_FILE', profile),
        RegisterEventHandler(end),
        *nodes,
    ]


def shipped(name: str, kind: str = 'yaml') -> str:
    """Path of a file in config/."""
    return str(share_path(f'config/{name}.{kind}'))
