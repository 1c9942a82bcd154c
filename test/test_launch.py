"""Launch files, evaluated with stand-ins for `launch` and `launch_ros`, which come with a ROS distribution only."""

import json
import re
import runpy
import sys
import types
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from maze_policy import topics
from maze_policy.maze import load_maze
from maze_policy.node_config import CameraNodeConfig, PolicyNodeConfig, SimulatorNodeConfig, TrialNodeConfig
from maze_policy.parameters import fields_of
from maze_policy.share import share_path
from maze_policy.topics import GIVEN_BY, RECORDED, TAKEN_BY

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
EVERYWHERE = {'namespace', 'params_file', 'checkpoint', 'record', 'use_sim_time', 'log_level', 'rqt'}


class Made:
    """An action, event or handler: what it was made with."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs


class LaunchConfiguration:
    def __init__(self, name):
        self.name = name


KINDS = {
    'launch': ['LaunchDescription'],
    'launch.actions': [
        'DeclareLaunchArgument', 'EmitEvent', 'ExecuteProcess', 'IncludeLaunchDescription', 'LogInfo',
        'OpaqueFunction', 'RegisterEventHandler', 'SetEnvironmentVariable', 'SetLaunchConfiguration',
    ],
    'launch.event_handlers': ['OnProcessExit', 'OnProcessIO', 'OnProcessStart'],
    'launch.events': ['Shutdown'],
    'launch.launch_description_sources': ['PythonLaunchDescriptionSource'],
    'launch.substitutions': [],
    'launch_ros': [],
    'launch_ros.actions': ['Node'],
}  # fmt: skip


class Launched:
    """What a launch file does with these arguments, its includes too."""

    def __init__(self, file, given):
        self.launch_configurations, self.is_shutdown = dict(given), False
        self.arguments, self.done = {}, []
        self._include(file)
        assert set(given) <= set(self.arguments), 'an argument that no file declares'

    def of_kind(self, name):
        return [action for action in self.done if type(action).__name__ == name]

    def nodes(self):
        """Ours, not ros_gz_bridge and the like."""
        made = [node.kwargs for node in self.of_kind('Node')]
        return {node['name']: node for node in made if node['package'] == 'maze_introspection'}

    def processes(self):
        return {process.kwargs['name']: process.kwargs['cmd'] for process in self.of_kind('ExecuteProcess')}

    def parameters(self, name):
        """What the files and arguments say for this node, the last word first in force, as rcl reads them."""
        said = {}
        for entry in self.nodes()[name]['parameters']:
            content = entry if isinstance(entry, dict) else self._in_file(entry, name)
            said |= content
        return said

    def _in_file(self, file, name):
        content = yaml.safe_load(Path(file).read_text())
        sections = [content.get(pattern, {}) for pattern in ('/**', f'/**/{name}')]
        return dict(chain(*(section.get('ros__parameters', {}).items() for section in sections)))

    def _include(self, file):
        [entities] = runpy.run_path(str(file))['generate_launch_description']().args
        for entity in entities:
            self._visit(entity)

    def _visit(self, entity):
        kind, values = type(entity).__name__, self.launch_configurations
        if kind == 'DeclareLaunchArgument':
            [name], said = entity.args, entity.kwargs
            self.arguments.setdefault(name, said)
            choices = said.get('choices') or [values.get(name) or f'some {name}']
            values.setdefault(name, choices[0] if said.get('default_value') is None else said['default_value'])
            if values[name] not in choices and said.get('choices'):
                raise ValueError(f'argument {name} wants one of {choices}, got {values[name]!r}')
        elif kind == 'SetLaunchConfiguration':
            values[entity.args[0]] = self._perform(entity.args[1])
        elif kind == 'OpaqueFunction':
            for action in entity.kwargs['function'](self):
                self._visit(action)
        elif kind == 'IncludeLaunchDescription':
            values |= {name: self._perform(value) for name, value in entity.kwargs['launch_arguments']}
            self._include(entity.args[0].args[0])
        else:
            self.done.append(entity)

    def _perform(self, value):
        return self.launch_configurations[value.name] if isinstance(value, LaunchConfiguration) else value


@pytest.fixture
def launched(monkeypatch):
    """Launch the file of a world; arguments that must be given get some value."""
    for name, kinds in KINDS.items():
        module = types.ModuleType(name)
        for kind in kinds:
            setattr(module, kind, type(kind, (Made,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules['launch.substitutions'].LaunchConfiguration = LaunchConfiguration

    return lambda name, **given: Launched(ROOT / f'launch/{name}.launch.py', given)


def name_of(file):
    return file.name.removesuffix('.launch.py')


every_file = pytest.mark.parametrize('name', [name_of(file) for file in FILES])


def test_these_are_the_worlds():
    assert set(map(name_of, FILES)) == {'maze', 'sim', 'gazebo', 'real', 'replay'}


@every_file
def test_every_argument_is_described_and_the_common_ones_are_everywhere(launched, name):
    arguments = launched(name).arguments
    assert set(arguments) >= EVERYWHERE
    for argument, said in arguments.items():
        assert len(said['description']) > 10, argument
        assert said['description'][-1] != '.', argument


@every_file
def test_every_node_is_an_executable_of_the_package_under_its_own_name(launched, name):
    entry_points = set(re.findall(r"'(\w+_node) = ", (ROOT / 'setup.py').read_text()))
    for node, made in launched(name, namespace='/lab').nodes().items():
        assert made['executable'] == f'{node}_node'
        assert made['executable'] in entry_points
        assert node in TAKEN_BY
        assert made['namespace'] == '/lab'


@every_file
def test_level_of_the_log_and_time_reach_every_node(launched, name):
    run = launched(name, log_level='debug', use_sim_time='true', record='true')
    for node, made in run.nodes().items():
        assert made['ros_arguments'] == ['--log-level', 'debug', '--enclave', f'/maze/{node}']
        assert run.parameters(node)['use_sim_time'] is True
    run = launched(name, use_sim_time='false')
    assert all('use_sim_time' not in run.parameters(node) for node in run.nodes())


@every_file
@pytest.mark.parametrize('record', ['true', 'false', 'ros2bag'])
def test_everybody_waits_for_those_who_take_what_he_gives_and_for_nobody_else(launched, name, record):
    run = launched(name, record=record)
    assert ('recorder' in run.nodes()) == (record == 'true')
    for node in run.nodes():
        given = {topics.DIAGNOSTICS, *GIVEN_BY[node]}
        takers = {other for other in run.nodes() if other != node and given & set(TAKEN_BY[other])}
        takers -= {'policy'} if 'trial' in run.nodes() else set()  # its referee starts it, and later
        assert set(run.parameters(node)['wait_for']) == takers, node


@every_file
def test_a_file_of_ones_own_comes_after_every_shipped_one(launched, name, tmp_path):
    mine = tmp_path / 'mine.yaml'
    mine.write_text('/**/introspection:\n  ros__parameters:\n    wait_for: [policy]\n    theta_g: 0.6\n')
    run = launched(name, params_file=str(mine), maze_file=str(share_path('config/maze.yaml')))
    for node in run.nodes().values():
        files = [entry for entry in node['parameters'] if isinstance(entry, str)]
        assert files[0] == str(share_path('config/maze.yaml'))
        assert files[-1] == str(mine)
    said = run.parameters('introspection')
    assert (said['wait_for'], said['theta_g']) == (['policy'], 0.6)


@every_file
def test_rqt_opens_when_asked_for(launched, name):
    perspective = str(share_path('config/maze.perspective'))
    assert launched(name, rqt='true').processes()['rqt'] == ['rqt', '--perspective-file', perspective]
    assert 'rqt' not in launched(name).processes()


def test_rqt_looks_into_the_namespace_of_the_launch(launched):
    made = Path(launched('sim', rqt='true', namespace='lab/left').processes()['rqt'][-1])
    text = made.read_text()
    made.unlink()
    assert "'/lab/left'" in text
    assert "'/lab/left/camera/image_raw'" in text
    assert "'/maze" not in text
    assert json.loads(text).keys() == json.loads(share_path('config/maze.perspective').read_text()).keys()
    made = Path(launched('sim', rqt='true', namespace='/').processes()['rqt'][-1])
    text = made.read_text()
    made.unlink()
    assert "'/camera/image_raw'" in text
    assert "'/'" in text


def test_each_world_has_its_nodes(launched):
    assert set(launched('maze').nodes()) == {'policy', 'introspection', 'recorder'}
    assert set(launched('sim').nodes()) == {'simulator', 'policy', 'introspection', 'recorder'}
    assert set(launched('replay').nodes()) == {'introspection'}
    robot = {'camera', 'ball_tracker', 'policy', 'arm', 'introspection', 'recorder'}
    assert set(launched('real').nodes()) == {*robot, 'trial'}
    assert set(launched('real', trial='false').nodes()) == robot


def test_arguments_reach_their_nodes_as_what_they_are_and_nobody_else(launched):
    run = launched('sim', seed='7', episodes='2', checkpoint='007', bag='here')
    said = {name: node['parameters'][-1] for name, node in run.nodes().items()}
    assert said['simulator'] == {'seed': 7, 'episodes': 2}
    assert said['policy'] == {'checkpoint': '007'}
    assert said['recorder'] == {'bag': 'here'}
    assert isinstance(said['introspection'], str)


def test_what_an_argument_sets_is_a_parameter_of_that_type(launched):
    configs = {
        'simulator': SimulatorNodeConfig, 'policy': PolicyNodeConfig, 'camera': CameraNodeConfig,
        'trial': TrialNodeConfig,
    }  # fmt: skip
    for argument, (takers, kind) in runpy.run_path(str(ROOT / 'launch/maze.launch.py'))['SETS'].items():
        for taker in takers:
            fields = {field.name: of for field, of in fields_of(configs[taker])}
            assert fields[argument] is kind, (argument, taker)


def test_the_robots_files_come_in_order_and_the_users_last(launched, tmp_path):
    for name in ('board', 'mine'):
        (tmp_path / f'{name}.yaml').write_text('{}')
    mine = {f'{name}_file': str(tmp_path / f'{file}.yaml') for name, file in (('board', 'board'), ('params', 'mine'))}
    run = launched('real', source='0', **mine)
    files = [Path(entry).name for entry in run.nodes()['camera']['parameters'][:-1]]
    assert files[0] == 'maze.yaml'
    assert files[2:] == ['real.yaml', 'board.yaml', 'mine.yaml']
    assert run.parameters('camera')['source'] == '0'
    shipped = yaml.safe_load(share_path('config/real.yaml').read_text())['/**/policy']['ros__parameters']
    assert run.parameters('policy')['checkpoint'] == shipped['checkpoint'] != 'nominal'
    assert launched('real', checkpoint='nominal').parameters('policy')['checkpoint'] == 'nominal'


def test_with_a_referee_the_policy_does_not_begin_by_itself_and_the_camera_not_wait_for_it(launched):
    run = launched('real', episodes='3')
    assert run.parameters('policy')['autostart'] is False
    assert set(run.parameters('policy')['wait_for']) == {'arm', 'introspection', 'recorder'}
    assert set(run.parameters('camera')['wait_for']) == {'ball_tracker', 'recorder'}
    assert set(run.parameters('ball_tracker')['wait_for']) == {'introspection', 'recorder', 'trial'}
    assert run.parameters('trial')['episodes'] == 3
    assert 'autostart' not in launched('real', trial='false').parameters('policy')


def test_ros2_bag_records_what_our_recorder_does(launched, monkeypatch, tmp_path):
    monkeypatch.delenv('ROS_DISTRO', raising=False)
    maze = tmp_path / 'maze.yaml'
    maze.write_text(share_path('config/maze.yaml').read_text().replace('0.0055', '0.005'))
    given = {'record': 'ros2bag', 'namespace': '/lab', 'bag': 'there', 'maze_file': str(maze)}
    command = launched('sim', **given).processes()['ros2bag']
    assert command[:7] == ['ros2', 'bag', 'record', '--storage', 'mcap', '--output', 'there']
    pattern = command[command.index('--regex') + 1]
    wanted = {topic.name if topic.name.startswith('/') else f'/lab/{topic.name}' for topic in RECORDED}
    heard = {f'/lab/{topic.name}' for topic in topics.ALL} | {'/diagnostics', '/lab/ball_tracker/x', '/other/lab/ball'}
    assert {name for name in heard if re.search(pattern, name)} == wanted
    geometry = command[command.index('--custom-data') + 1].removeprefix('maze=')
    assert json.loads(geometry) == load_maze(maze).as_dict()
    assert '--use-sim-time' not in command
    monkeypatch.setenv('ROS_DISTRO', 'humble')
    command = launched('sim', use_sim_time='true', **given).processes()['ros2bag']
    assert '--use-sim-time' in command
    assert '--custom-data' not in command


def test_a_bag_is_named_by_the_time_and_never_overwritten(launched, tmp_path):
    assert re.fullmatch(r'maze_\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d', launched('sim').parameters('recorder')['bag'])
    for record in ('true', 'ros2bag'):
        with pytest.raises(ValueError, match='exists already; a bag is never overwritten'):
            launched('sim', bag=str(tmp_path), record=record)
    assert launched('sim', bag=str(tmp_path), record='false').nodes()


def test_a_replay_plays_what_nobody_says_live_and_nothing_that_moves_an_arm(launched):
    run = launched('replay', namespace='/lab', rate='0.5', delay='1.0')
    command = run.processes()['player']
    assert command[:9] == ['ros2', 'bag', 'play', 'some bag', '--clock', '--rate', '0.5', '--delay', '1.0']
    assert '--loop' not in command
    played = set(command[command.index('--topics') + 1 :])
    needed = set(TAKEN_BY['introspection']) | {topics.CAMERA_IMAGE, topics.OBSERVATION}
    assert {f'/lab/{topic.name}' for topic in needed} <= played
    for topic in (topics.TILT_COMMAND, topics.CONTRIBUTION, topics.DIAGNOSTICS):
        assert not {topic.name, f'/lab/{topic.name}'} & played
    assert run.parameters('introspection')['use_sim_time'] is True


def test_a_replay_shows_the_camera_to_another_policy(launched):
    run = launched('replay', checkpoint='robust', loop='true')
    assert run.parameters('policy')['checkpoint'] == 'robust'
    command = run.processes()['player']
    assert '--loop' in command
    played = command[command.index('--topics') + 1 :]
    assert played == ['/maze/camera/image_raw', '/maze/camera/camera_info', '/maze/ball']


@pytest.mark.parametrize('flavour', ['fortress', 'harmonic'])
def test_gazebo_runs_its_world_with_bridge_and_referee_in_its_own_time(launched, flavour):
    run = launched('gazebo', flavour=flavour)
    assert set(run.nodes()) == {'ball_tracker', 'policy', 'arm', 'introspection', 'recorder', 'trial'}
    folder = share_path(f'gazebo/{flavour}')
    command = {'fortress': ['ign', 'gazebo', '-r'], 'harmonic': ['gz', 'sim', '-r']}[flavour]
    assert run.processes()['gazebo'] == [*command, str(folder / 'maze.sdf')]
    [bridge] = [node.kwargs for node in run.of_kind('Node') if node.kwargs['package'] == 'ros_gz_bridge']
    assert (bridge['executable'], bridge['namespace']) == ('parameter_bridge', '/maze')
    assert bridge['parameters'] == [{'config_file': str(folder / 'bridge.yaml')}]
    assert all(run.parameters(node)['use_sim_time'] is True for node in run.nodes())
    assert run.parameters('arm')['interface'] == 'joints'
    assert run.parameters('trial')['reset_command'][-1] == flavour
    assert launched('gazebo', flavour=flavour, checkpoint='nominal').parameters('policy')['checkpoint'] == 'nominal'
    server = launched('gazebo', flavour=flavour, gui='false').processes()['gazebo']
    assert server[3:] == ['-s', '--headless-rendering', str(folder / 'maze.sdf')]


def test_gazebo_gets_a_world_of_another_maze(launched, tmp_path):
    maze = tmp_path / 'maze.yaml'
    maze.write_text(share_path('config/maze.yaml').read_text().replace('0.0055', '0.005'))
    run = launched('gazebo', flavour='harmonic', maze_file=str(maze))
    made = Path(run.processes()['gazebo'][-1])
    assert '<radius>0.005</radius>' in made.read_text()
    assert run.parameters('trial')['reset_command'][3:5] == ['--maze', str(maze)]
    for file in made.parent.iterdir():
        file.unlink()
    made.parent.rmdir()


def test_a_replay_is_recorded_elsewhere(launched):
    run = launched('replay', record='true', record_to='elsewhere')
    assert run.parameters('recorder')['bag'] == 'elsewhere'
    assert run.processes()['player'][3] == 'some bag'


def test_a_dds_profile_of_ones_own_is_kept(launched, monkeypatch):
    for given, wanted in ((None, str(share_path('config/fastdds.xml'))), ('/mine.xml', '/mine.xml')):
        if given:
            monkeypatch.setenv('FASTDDS_DEFAULT_PROFILES_FILE', given)
        else:
            monkeypatch.delenv('FASTDDS_DEFAULT_PROFILES_FILE', raising=False)
        run = launched('sim')
        kinds = [type(action).__name__ for action in run.done]
        assert kinds.index('SetEnvironmentVariable') < kinds.index('Node')
        assert run.of_kind('SetEnvironmentVariable')[0].args == ('FASTDDS_DEFAULT_PROFILES_FILE', wanted)


class Ending:
    """A run whose processes say and do what the test wants."""

    def __init__(self, run):
        self.run = run
        self.processes = {
            action.kwargs['name']: action for action in run.of_kind('Node') + run.of_kind('ExecuteProcess')
        }
        self.handlers = {}
        for registered in run.of_kind('RegisterEventHandler'):
            self.handlers |= registered.args[0].kwargs
        for name in self.processes:
            self.handlers['on_start'](self._event(name), run)

    def says(self, name, text):
        self.handlers['on_stderr'](self._event(name, text=text.encode()))

    def ends(self, name, code=0):
        return self.handlers['on_exit'](self._event(name, returncode=code), self.run)

    def _event(self, name, **more):
        return SimpleNamespace(action=self.processes[name], process_name=name, **more)


def test_the_simulators_end_ends_all_and_its_last_line_is_said_last(launched):
    ending = Ending(launched('sim'))
    ending.says('simulator', '[INFO] [17.5] [maze.simulator]: solved 1 of 1: 4.5 s\n\n')
    end = ending.ends('simulator')
    assert type(end.kwargs['event']).__name__ == 'Shutdown'
    for name in ('recorder', 'policy'):
        assert ending.ends(name) is None
    assert ending.ends('introspection').kwargs['msg'] == 'simulator ended: solved 1 of 1: 4.5 s'


def test_a_failure_is_an_error_of_the_launch_too(launched):
    ending = Ending(launched('sim', record='false'))
    ending.says('policy', 'policy_node: want a checkpoint, got none\n')
    with pytest.raises(RuntimeError, match='policy ended with exit code 1: policy_node: want a checkpoint, got none'):
        ending.ends('policy', 1)
    ending.ends('introspection')
    assert ending.ends('simulator').kwargs['msg'].endswith('got none')


def test_nobody_misses_introspection_recorder_or_rqt(launched):
    ending = Ending(launched('sim', rqt='true'))
    for name in ('introspection', 'recorder', 'rqt'):
        assert ending.ends(name, -9) is None


def test_the_end_of_a_recording_ends_the_replay(launched):
    assert Ending(launched('replay')).ends('player').kwargs['event']


def test_an_interrupt_is_no_failure_of_anybody(launched):
    run = launched('sim')
    ending, run.is_shutdown = Ending(run), True
    assert ending.ends('policy', 1) is None


def test_the_geometry_file_is_the_maze():
    content = yaml.safe_load(share_path('config/maze.yaml').read_text())
    assert content['/**']['ros__parameters']['maze'] == load_maze().as_dict()
