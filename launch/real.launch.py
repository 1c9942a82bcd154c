"""The maze on a real arm under a real camera; docs/robot.md goes through it, config/real.yaml is what to edit.

    ros2 launch maze_introspection real.launch.py params_file:=my_real.yaml board_file:=board.yaml

Begins when the arm's controller listens, the arm is level and the ball lies in the outer ring. When camera, ball
tracker, policy, arm or referee end, all end, and the last line says why.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription

YES_NO = ['true', 'false']
# name: default, description, choices
ARGUMENTS: dict[str, tuple[str, str, list[str] | None]] = {
    'board_file': ('', 'where the board is in the picture: the file that `maze-policy calibrate` wrote', None),
    'source': ('', 'camera, URL, video file or folder of images; empty is the one of the parameter files', None),
    'trial': (
        'true',
        'true: a referee stops the policy after each trial until the ball is put back; false: none',
        YES_NO,
    ),
    'episodes': ('', 'end after so many trials; empty or 0 goes on', None),
}


def generate_launch_description() -> LaunchDescription:
    """The robot's arguments, and the shared part with its nodes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, (default, description, choices) in ARGUMENTS.items()
    ]
    shared = PythonLaunchDescriptionSource(str(Path(__file__).with_name('maze.launch.py')))
    world = {'nodes': 'camera ball_tracker policy arm introspection', 'config': 'real.yaml'}
    return LaunchDescription([*declared, IncludeLaunchDescription(shared, launch_arguments=world.items())])
