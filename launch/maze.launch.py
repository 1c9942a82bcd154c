"""What every world shares: our nodes, with their parameters, a recording, and one end for all.

    ros2 launch maze_introspection maze.launch.py

By itself it starts policy, introspection and recorder, for a camera and an arm of your own. `sim`, `real`, `gazebo` and
`replay` include it; by launch configurations that are no arguments here they say

    nodes       which of our nodes to start, separated by spaces; the recorder comes by `record`
    trial       true: the referee of the trials too, who then starts and stops the policy
    config      the world's own file in config/, such as real.yaml, or nothing
    board_file  what `maze-policy calibrate` wrote, or nothing

and an argument of theirs that is named in SETS below becomes a parameter. When any process ends, theirs too, all
end: with its last line as the last of all, and with exit code 1 if it failed. Only introspection, recorder and rqt are
not missed.
"""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit, OnProcessIO, OnProcessStart
from launch.events import Shutdown
from launch_ros.actions import Node

from launch import LaunchDescription
from maze_policy.maze import load_maze
from maze_policy.share import PACKAGE, share_path
from maze_policy.topics import NAMESPACE, RECORDED, listeners

NODES = 'policy introspection'
DISPENSABLE = ('introspection', 'recorder', 'ros2bag', 'rqt')
LOG_PREFIX = r'^(\[[^]]*\] ?)+: '
YES_NO = ['true', 'false']

# name: default, description, choices
ARGUMENTS: Mapping[str, tuple[str, str, list[str] | None]] = {
    'namespace': (NAMESPACE, 'namespace of all nodes', None),
    'params_file': ('', 'parameter file of your own; it wins over the shipped ones, an argument here over it', None),
    'maze_file': ('', 'parameter file with another geometry than config/maze.yaml', None),
    'checkpoint': (
        '',
        'policy to play: NAME.safetensors, or the name of a shipped one; empty: as in the parameter files, or nominal',
        None,
    ),
    'record': (
        'true',
        'true: record with our recorder, from the very first step on; ros2bag: with `ros2 bag record` (MCAP), which '
        'may miss the first steps; false: record nothing',
        [*YES_NO, 'ros2bag'],
    ),
    'bag': ('', 'folder of the bag to make, which must not exist; empty names it by the time', None),
    'use_sim_time': ('false', 'take the time from /clock, in every node; they wait until it runs', YES_NO),
    'log_level': ('info', 'of every node', ['debug', 'info', 'warn', 'error', 'fatal']),
    'rqt': ('false', 'open rqt too, with the panel, image views and plots of config/maze.perspective', YES_NO),
}
# Arguments, here and in the files that include this one, that set a parameter of the same name, and whose.
SETS: Mapping[str, tuple[tuple[str, ...], type]] = {
    'checkpoint': (('policy',), str),
    'seed': (('simulator',), int),
    'episodes': (('simulator', 'trial'), int),
    'source': (('camera',), str),
}


def generate_launch_description() -> LaunchDescription:
    """The arguments, and the nodes once their values are known."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=graph)])


def graph(context: Any) -> list[Any]:
    """Everything that is started here, and what happens when a process ends."""
    given = context.launch_configurations
    names = given.get('nodes', NODES).split()
    names += ['trial'] * (given.get('trial') == 'true') + ['recorder'] * (given['record'] == 'true')
    bag = given['bag'] or datetime.now().strftime('maze_%Y_%m_%d-%H_%M_%S')
    if given['record'] != 'false' and Path(bag).exists():  # said here, or everybody would wait for a recorder in vain
        raise ValueError(f'{bag} exists already; a bag is never overwritten: remove it or name another')
    files = parameter_files(given, names)
    started = {name: node(name, given, files, {'bag': bag} if name == 'recorder' else {}) for name in names}
    if given['record'] == 'ros2bag':
        started['ros2bag'] = ExecuteProcess(cmd=ros2_bag_record(given, bag), name='ros2bag', output='screen')
    if given['rqt'] == 'true':
        started['rqt'] = ExecuteProcess(cmd=rqt(given['namespace']), name='rqt', output='screen')
    profile = os.environ.get('FASTDDS_DEFAULT_PROFILES_FILE', str(share_path('config/fastdds.xml')))
    return [
        SetEnvironmentVariable('FASTDDS_DEFAULT_PROFILES_FILE', profile),
        *one_end_for_all([started[name] for name in DISPENSABLE if name in started]),
        *started.values(),
    ]


def parameter_files(given: Mapping[str, str], names: list[str]) -> list[str]:
    """The geometry, how to begin, the world's own file, the board's, and last the user's."""
    begin: dict[str, dict[str, Any]] = {name: {'wait_for': listeners(name, names)} for name in names}
    if 'trial' in names:  # the referee activates the policy once the ball is seen; so the camera must not wait for it
        begin['policy']['autostart'] = False
        for said in begin.values():
            said['wait_for'] = [other for other in said['wait_for'] if other != 'policy']
    with tempfile.NamedTemporaryFile('w', prefix='launch_params_', suffix='.yaml', delete=False) as made:
        yaml.safe_dump({f'/**/{name}': {'ros__parameters': said} for name, said in begin.items()}, made)
    world = str(share_path('config') / given['config']) if given.get('config') else ''
    geometry = given['maze_file'] or str(share_path('config/maze.yaml'))
    files = [geometry, made.name, world, given.get('board_file', ''), given['params_file']]
    return [file for file in files if file]


def node(name: str, given: Mapping[str, str], files: list[str], parameters: Mapping[str, Any]) -> Node:
    """One of our nodes, with what the arguments say for it over what the files say."""
    said = dict(parameters)
    for argument, (takers, kind) in SETS.items():
        if name in takers and given.get(argument):
            said[argument] = kind(given[argument])
    if given['use_sim_time'] == 'true':
        said['use_sim_time'] = True
    return Node(
        package=PACKAGE,
        executable=f'{name}_node',
        name=name,
        namespace=given['namespace'],
        parameters=[*files, said] if said else files,
        # Says nothing unless ROS_SECURITY_ENABLE is true; then it is which keys and permissions the node has.
        ros_arguments=['--log-level', given['log_level'], '--enclave', f'{given["namespace"].rstrip("/")}/{name}'],
        output='screen',
    )


def ros2_bag_record(given: Mapping[str, str], bag: str) -> list[str]:
    """`ros2 bag record` of what our recorder records, with the geometry where rosbag2 can hold it (not in Humble)."""
    namespace = given['namespace'].rstrip('/')
    names = [topic.name if topic.name.startswith('/') else f'{namespace}/{topic.name}' for topic in RECORDED]
    command = ['ros2', 'bag', 'record', '--storage', 'mcap', '--output', bag, '--regex', f'^({"|".join(names)})$']
    command += ['--use-sim-time'] * (given['use_sim_time'] == 'true')
    if os.environ.get('ROS_DISTRO') != 'humble':
        command += ['--custom-data', f'maze={json.dumps(load_maze(given["maze_file"]).as_dict())}']
    return command


def rqt(namespace: str) -> list[str]:
    """rqt with our perspective, in which the topics are those of this namespace."""
    shipped, namespace = share_path('config/maze.perspective'), '/' + namespace.strip('/')
    if namespace == NAMESPACE:
        return ['rqt', '--perspective-file', str(shipped)]
    prefix = namespace.rstrip('/')
    text = shipped.read_text().replace(f"'{NAMESPACE}'", f"'{namespace}'").replace(f"'{NAMESPACE}/", f"'{prefix}/")
    with tempfile.NamedTemporaryFile('w', prefix='maze_', suffix='.perspective', delete=False) as made:
        made.write(text)
    return ['rqt', '--perspective-file', made.name]


def one_end_for_all(dispensable: list[Any]) -> list[Any]:
    """When any other process ends, all end, and its last line is said once more when all have ended."""
    running, last_line, why = set(), {}, []

    def on_start(event: Any, _: Any) -> None:
        running.add(event.action)

    def on_output(event: Any) -> None:
        for line in filter(str.strip, event.text.decode(errors='replace').splitlines()):
            last_line[event.action] = re.sub(LOG_PREFIX, '', line.strip())

    def on_exit(event: Any, context: Any) -> Any:
        running.discard(event.action)
        if why or context.is_shutdown or event.action in dispensable:
            return LogInfo(msg=why[0]) if why and not running else None
        how = f'ended with exit code {event.returncode}' if event.returncode else 'ended'
        why.append(f'{event.process_name} {how}: {last_line.get(event.action, "it said nothing")}')
        if event.returncode:
            raise RuntimeError(why[0])  # the only way to give `ros2 launch` an exit code of its own
        return EmitEvent(event=Shutdown(reason=why[0]))

    return [
        RegisterEventHandler(OnProcessStart(on_start=on_start)),
        RegisterEventHandler(OnProcessIO(on_stdout=on_output, on_stderr=on_output)),
        RegisterEventHandler(OnProcessExit(on_exit=on_exit)),
    ]
