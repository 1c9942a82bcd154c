"""A recorded run as if it were live: `ros2 bag play`, and introspection looking into it; all ends when the bag ends.

    ros2 launch maze_introspection replay.launch.py bag:=maze_run rqt:=true

The recorded introspection is left out, the live one takes its place. With a `checkpoint` that policy is shown the
recorded camera images in place of the recorded policy; not beside a running arm, which would follow its commands.
"""

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
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription
from maze_policy.topics import DIAGNOSTICS, GIVEN_BY, RECORDED, TILT_COMMAND

YES_NO = ['true', 'false']
# name: default (None: it must be given), description, choices; they go before those of the same name in maze.launch.py
ARGUMENTS: dict[str, tuple[str | None, str, list[str] | None]] = {
    'bag': (None, 'recording to play: a rosbag2 folder', None),
    'rate': ('1.0', 'how many times as fast as recorded; for a checkpoint frames age as many times as fast', None),
    'loop': ('false', 'begin again at its end', YES_NO),
    'delay': ('5.0', 'begin after so many seconds, so that the first step finds everybody listening', None),
    'checkpoint': ('', 'policy to show the recorded camera images to; empty looks into the recorded policy', None),
    'record': (
        'false',
        'true: record the replay with our recorder; ros2bag: with `ros2 bag record`',
        [*YES_NO, 'ros2bag'],
    ),
    'record_to': ('', 'folder of the bag to make, which must not exist; empty names it by the time', None),
    'use_sim_time': ('true', 'take the time from /clock, which the player keeps, in every node', YES_NO),
}


def generate_launch_description() -> LaunchDescription:
    """The arguments, the player, and the shared part."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in ARGUMENTS.items()
    ]
    shared = PythonLaunchDescriptionSource(str(Path(__file__).with_name('maze.launch.py')))
    to_make = {'bag': LaunchConfiguration('record_to')}  # there, `bag` is the one to make
    return LaunchDescription(
        [
            *declared,
            SetLaunchConfiguration('played', LaunchConfiguration('bag')),
            OpaqueFunction(function=look),
            IncludeLaunchDescription(shared, launch_arguments=to_make.items()),
            OpaqueFunction(function=play),
        ]
    )


def look(context: Any) -> list[Any]:
    """Which nodes are live."""
    with_policy = context.launch_configurations['checkpoint'] != ''
    return [SetLaunchConfiguration('nodes', 'policy introspection' if with_policy else 'introspection')]


def play(context: Any) -> list[Any]:
    """The player, with what nobody live says; no tilt command, lest a recording moves an arm."""
    given = context.launch_configurations
    live = {DIAGNOSTICS, TILT_COMMAND}.union(*(GIVEN_BY[name] for name in given['nodes'].split()))
    namespace = given['namespace'].rstrip('/')
    command = ['ros2', 'bag', 'play', given['played'], '--clock', '--rate', given['rate'], '--delay', given['delay']]
    command += ['--disable-keyboard-controls'] + ['--loop'] * (given['loop'] == 'true')
    command += ['--topics', *(f'{namespace}/{topic.name}' for topic in RECORDED if topic not in live)]
    return [ExecuteProcess(cmd=command, name='player', output='screen')]
