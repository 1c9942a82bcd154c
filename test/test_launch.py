"""Launch files, evaluated with stand-ins for `launch` and `launch_ros`, which come with a ROS distribution only."""

import re
import runpy
import sys
import types
from pathlib import Path

import pytest
import yaml

from maze_policy.maze import load_maze
from maze_policy.share import share_path
from maze_policy.topics import TAKEN_BY

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / 'launch').glob('*.launch.py'))


class Record:
    """An action or event: what it was made with."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs


class LaunchConfiguration:
    def __init__(self, name):
        self.name = name

    def perform(self, context):
        return context[self.name]


def kind(name):
    return type(name, (Record,), {})


MODULES = {
    'launch': ['LaunchDescription'],
    'launch.actions': [
        'DeclareLaunchArgument', 'EmitEvent', 'OpaqueFunction', 'RegisterEventHandler', 'SetEnvironmentVariable',
    ],
    'launch.event_handlers': ['OnProcessExit'],
    'launch.events': ['Shutdown'],
    'launch.substitutions': [],
    'launch_ros': [],
    'launch_ros.actions': ['Node'],
}  # fmt: skip


@pytest.fixture
def evaluate(monkeypatch):
    """Run a launch file with these arguments; what it would do, by kind."""
    for name, kinds in MODULES.items():
        module = types.ModuleType(name)
        for kind_name in kinds:
            setattr(module, kind_name, kind(kind_name))
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules['launch.substitutions'].LaunchConfiguration = LaunchConfiguration

    def run(file, **given):
        [entities] = runpy.run_path(str(file))['generate_launch_description']().args
        arguments, functions = {}, []
        for entity in entities:
            if type(entity).__name__ == 'DeclareLaunchArgument':
                arguments[entity.args[0]] = entity.kwargs['default_value']
                assert entity.kwargs['description']
            else:
                functions.append(entity.kwargs['function'])
        assert set(given) <= set(arguments)
        done = {}
        for function in functions:
            for action in function(arguments | given):
                done.setdefault(type(action).__name__, []).append(action)
        return done

    return run


def nodes(done):
    return {node.kwargs['name']: node.kwargs for node in done['Node']}


def entry_points():
    return set(re.findall(r"'(\w+_node) = ", (ROOT / 'setup.py').read_text()))


def test_there_are_launch_files():
    assert [file.name for file in FILES] == ['sim.launch.py']


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_every_node_is_an_executable_of_the_package_under_its_own_name(evaluate, file):
    for name, node in nodes(evaluate(file)).items():
        assert node['package'] == 'maze_introspection'
        assert node['executable'] == f'{name}_node'
        assert node['executable'] in entry_points()
        assert name in TAKEN_BY
        assert node['namespace'] == '/maze'


def test_the_whole_graph_is_started_with_the_shipped_files(evaluate):
    started = nodes(evaluate(ROOT / 'launch/sim.launch.py'))
    assert set(started) == {'simulator', 'policy', 'introspection', 'recorder'}
    for name, node in started.items():
        files = [Path(entry).name for entry in node['parameters'] if isinstance(entry, str)]
        assert files == ['maze.yaml', 'sim.yaml', 'record.yaml'], name
        assert all(Path(entry).is_file() for entry in node['parameters'] if isinstance(entry, str))
        assert 'use_sim_time' not in str(node['parameters'])


def test_without_record_nobody_waits_for_a_recorder(evaluate):
    started = nodes(evaluate(ROOT / 'launch/sim.launch.py', record='false'))
    assert set(started) == {'simulator', 'policy', 'introspection'}
    for node in started.values():
        for file in node['parameters']:
            assert 'recorder' not in str(yaml.safe_load(Path(file).read_text()))


def test_arguments_reach_their_nodes_and_win_over_files(evaluate, tmp_path):
    mine = tmp_path / 'mine.yaml'
    started = nodes(
        evaluate(
            ROOT / 'launch/sim.launch.py', namespace='/lab', seed='7', episodes='2', checkpoint='x.safetensors',
            bag='here', params_file=str(mine), maze_file='other.yaml',
        )
    )  # fmt: skip
    last = {name: node['parameters'][-1] for name, node in started.items()}
    assert last['simulator'] == {'seed': 7, 'episodes': 2}
    assert last['policy'] == {'checkpoint': 'x.safetensors'}
    assert last['recorder'] == {'bag': 'here'}
    assert last['introspection'] == str(mine)
    for node in started.values():
        assert node['namespace'] == '/lab'
        assert node['parameters'][0] == 'other.yaml'
        assert str(mine) in node['parameters']


def test_the_simulators_end_ends_all(evaluate):
    done = evaluate(ROOT / 'launch/sim.launch.py')
    [handler] = [action.args[0] for action in done['RegisterEventHandler']]
    assert handler.kwargs['target_action'].kwargs['name'] == 'simulator'
    [end] = handler.kwargs['on_exit']
    assert type(end.kwargs['event']).__name__ == 'Shutdown'


def test_a_dds_profile_of_ones_own_is_kept(evaluate, monkeypatch):
    monkeypatch.delenv('FASTDDS_DEFAULT_PROFILES_FILE', raising=False)
    [ours] = evaluate(ROOT / 'launch/sim.launch.py')['SetEnvironmentVariable']
    assert ours.args == ('FASTDDS_DEFAULT_PROFILES_FILE', str(share_path('config/fastdds.xml')))
    monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', '/mine.xml')
    [theirs] = evaluate(ROOT / 'launch/sim.launch.py')['SetEnvironmentVariable']
    assert theirs.args == ('FASTDDS_DEFAULT_PROFILES_FILE', '/mine.xml')


def test_record_wants_true_or_false(evaluate):
    with pytest.raises(ValueError, match="record wants true or false, got 'maybe'"):
        evaluate(ROOT / 'launch/sim.launch.py', record='maybe')


def test_the_geometry_file_is_the_maze():
    content = yaml.safe_load(share_path('config/maze.yaml').read_text())
    assert content['/**']['ros__parameters']['maze'] == load_maze().as_dict()
