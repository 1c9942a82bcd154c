"""Who may import what: the ROS boundary, the one-way dependency, and a core that needs numpy alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROS = {'rclpy', 'cv_bridge', 'rcl_interfaces', 'launch', 'launch_ros', 'rqt_gui_py', 'qt_gui'}
ROS |= {'sensor_msgs', 'std_msgs', 'std_srvs', 'geometry_msgs', 'diagnostic_msgs', 'builtin_interfaces'}
ROS |= {'trajectory_msgs', 'lifecycle_msgs'}
QT = {'python_qt_binding', 'pyqtgraph', 'PyQt5'}
QT_OK = ('rqt_panel', 'axes', 'plots', 'widget')
TORCH_OK = {'network', 'checkpoint', 'import_checkpoint', 'unpickle', 'resume', 'train', 'ppo', 'rl', 'evaluate'}
CORE = ('contribution', 'offset', 'recurrence', 'introspection', 'recording', 'config', 'join')


def files(module):
    return sorted((ROOT / module).rglob('*.py'))


def imported(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            names.add(node.module)
    return names


@pytest.mark.parametrize('path', [*files('maze_policy'), *files('maze_introspection')], ids=lambda path: path.stem)
def test_only_nodes_touch_ros(path):
    ros = {name for name in imported(path) if name.split('.')[0] in ROS}
    if not (path.stem.endswith('_node') or path.stem in ('messages', 'qos', 'rqt_panel')):
        assert not ros
        others = {name for name in imported(path) if name.endswith(('_node', '.messages', '.qos'))}
        assert not others, 'the core must not lean on a node'


@pytest.mark.parametrize('path', [*files('maze_policy'), *files('maze_introspection')], ids=lambda path: path.stem)
def test_only_the_panel_touches_qt(path):
    if path.stem not in QT_OK:
        assert not {name for name in imported(path) if name.split('.')[0] in QT}
        assert not {name for name in imported(path) if name.startswith('maze_introspection') and name.endswith(QT_OK)}


@pytest.mark.parametrize('path', files('maze_policy'), ids=lambda path: path.stem)
def test_the_policy_knows_nothing_of_introspection(path):
    assert not {name for name in imported(path) if name.startswith('maze_introspection')}


@pytest.mark.parametrize('path', files('maze_policy'), ids=lambda path: path.stem)
def test_torch_lives_with_the_network(path):
    if path.stem not in TORCH_OK:
        assert not {name for name in imported(path) if name.split('.')[0] == 'torch'}


def test_the_simulation_and_the_analysis_do_without_launch_and_ros_tools():
    for module in ('maze_policy', 'maze_introspection'):
        for path in files(module):
            assert not {name for name in imported(path) if name.split('.')[0] in ('launch', 'launch_ros', 'ros2cli')}


@pytest.mark.parametrize('name', CORE)
def test_the_core_needs_numpy_alone(name):
    """In a fresh interpreter: importing it must not pull in anything big."""
    heavy = (
        'torch',
        'cv2',
        'numba',
        'matplotlib',
        'pandas',
        'pyarrow',
        'rosbags',
        'mcap',
        'rclpy',
        'gymnasium',
        'yaml',
    )
    code = f'import sys, maze_introspection.{name}\nprint([n for n in {heavy} if n in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


@pytest.mark.parametrize('name', ['cli', 'bag', 'analysis', 'figures', 'statistics'])
def test_a_laptop_without_ros_and_torch_can_analyse(name):
    code = (
        'import sys\n'
        "for absent in ('torch', 'rclpy', 'cv_bridge', 'cv2', 'numba', 'gymnasium', 'sensor_msgs'):\n"
        '    sys.modules[absent] = None\n'
        f'import maze_introspection.{name}'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize(
    'command',
    [
        "maze_policy.cli import main; code = main(['evaluate'])",
        "maze_introspection.cli import main; code = main(['trials', '--out', 'x'])",
    ],
)
def test_what_needs_the_policy_says_how_to_install_it(tmp_path, command):
    code = f"import sys; sys.modules['torch'] = None\nfrom {command}; sys.exit(code)"
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "'.[policy]'" in done.stderr
    assert 'Traceback' not in done.stderr
