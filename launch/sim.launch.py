"""The maze on the built-in simulator, which plays camera, ball tracker and arm; all ends when it ends.

    ros2 launch maze_introspection sim.launch.py episodes:=1 seed:=1

The same nodes with the same parameters as `make demo`. The exit code is 0 if every episode was solved.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription

ARGUMENTS = {
    'seed': 'seed of the starting positions; empty is 0',
    'episodes': 'end after so many episodes; empty or 0 plays on',
}


def generate_launch_description() -> LaunchDescription:
    """The simulator's arguments, and the shared part with the simulator in it."""
    declared = [DeclareLaunchArgument(name, default_value='', description=what) for name, what in ARGUMENTS.items()]
    shared = PythonLaunchDescriptionSource(str(Path(__file__).with_name('maze.launch.py')))
    nodes = {'nodes': 'simulator policy introspection'}
    return LaunchDescription([*declared, IncludeLaunchDescription(shared, launch_arguments=nodes.items())])
