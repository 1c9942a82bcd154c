"""Parameters gone wrong, of every set that there is: refused with a message or taken, never a crash."""

import importlib
from pathlib import Path
from random import Random

import pytest
from fuzzing import promised
from mutate import mutated_yaml
from test_fuzz_files import in_a_folder

ROOT = Path(__file__).parent.parent
MODULES = (
    'maze_introspection.config',
    'maze_policy.board',
    'maze_policy.calibrate_config',
    'maze_policy.import_checkpoint',
    'maze_policy.maze',
    'maze_policy.node_config',
    'maze_policy.world',
)
QUIET = {'use_global_arguments': False, 'start_parameter_services': False, 'enable_rosout': False}
BOARD = """\
/**:
  ros__parameters:
    board:
      width_px: 640
      height_px: 480
      camera_matrix: [1100.0, 1100.0, 319.5, 239.5]
      distortion: [0.0, 0.0, 0.0, 0.0, 0.0]
      rotation_rad: [3.14159, 0.0, 0.0]
      translation_m: [0.0, 0.0, 0.45]
"""


@pytest.mark.promise('Bad input', 'sets of parameters, of every kind that there is', quick=1000, full=100_000)
def test_parameter_sets(promise):
    promised(promise, 'test_fuzz_parameters', 'parameter_sets', 20_000)


@pytest.mark.promise('Bad input', 'parameters given to a ROS node, at the start and later', quick=60, full=5000)
def test_parameters_of_a_node(promise, domain):
    promised(promise, 'test_fuzz_parameters', 'parameters_of_a_node', 500, domain)


@pytest.mark.promise('Bad input', 'mutated parameter files given to a ROS node', quick=60, full=5000)
def test_parameter_files_of_a_node(promise, domain):
    promised(promise, 'test_fuzz_parameters', 'parameter_files_of_a_node', 500, domain)


def _configs():
    """Every set of parameters that there is."""
    from maze_policy.parameters import Config

    for name in MODULES:
        importlib.import_module(name)
    found, left = [], [Config]
    while left:
        left += left.pop().__subclasses__()
        found += [config for config in left if config not in found]
    return sorted(found, key=lambda config: config.__qualname__)


def _value(random, field, kind):
    """A value for a field: mostly of its kind, mostly near its limits."""
    from maze_policy.parameters import ELEMENT

    element = ELEMENT[kind]
    low, high = (field.metadata[name] for name in ('low', 'high'))
    odd = [
        None,
        True,
        0,
        -1,
        1,
        2**31,
        -(2**63),
        2**63 - 1,
        1e308,
        float('nan'),
        float('inf'),
        -0.0,
        5e-324,
        '',
        'x' * 300,
    ]
    odd += [[], [1], ['a'], [float('nan')], [1.5] * 3, ['\udcff'], '\0', b'\xff']
    good = [field.default, *(field.metadata['choices'] or ())]
    for limit in (low, high):
        if limit is not None:
            good += [
                limit,
                element(limit),
                element(limit) - 1,
                element(limit) + 1,
                (low or 0) * 0.5 + (high or 0) * 0.5,
            ]
    value = random.choice(good if random.random() < 0.6 else odd)
    if kind is not element and not isinstance(value, (list, tuple)) and random.random() < 0.7:
        value = [value] * random.choice((0, 1, 2, 3, 4, 5, 9))
    return value


def _values(random, config):
    """Some values for a set, and seldom a name that it does not have."""
    import dataclasses

    from maze_policy.parameters import fields_of

    values = {}
    for field, kind in fields_of(config):
        if field.default is dataclasses.MISSING or random.random() < 0.15:
            values[field.name] = _value(random, field, kind)
    if random.random() < 0.05:
        values[random.choice(('', 'n_L', 'x' * 10_000, 5, None, 'rate_Hz'))] = 1
    return {name: value for name, value in values.items() if value is not dataclasses.MISSING}


def parameter_sets():
    import argparse

    from maze_policy.parameters import add_options, from_options

    configs = _configs()

    def one(seed):
        random = Random(seed)
        config = random.choice(configs)
        values = _values(random, config)
        if values and random.random() < 0.05:
            values[random.choice(list(values))] = random.choice((2**70, 10**400, -(10**400)))
        made = config.from_dict(values)
        assert config.from_dict(made.as_dict()) == made
        parser = argparse.ArgumentParser(exit_on_error=False)
        add_options(parser, config, defaults=False)
        assert isinstance(from_options(config, argparse.Namespace(**made.as_dict())), config)

    return one


def _ros(domain):
    """A context in which nodes may be made."""
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(domain))
    return context


def parameters_of_a_node(domain):
    from rclpy.node import Node
    from rclpy.parameter import Parameter

    from maze_policy.base_node import SHARED, declare, refuse_unknown_parameters
    from maze_policy.maze import load_maze

    context, configs = _ros(domain), _configs()

    def given(values):
        made = []
        for name, value in values.items():
            if isinstance(name, str) and name:
                made.append(Parameter(name, value=value))
        return made

    def one(seed):
        random = Random(seed)
        config = random.choice(configs)
        prefix = random.choice(('', *SHARED))
        values = {f'{prefix}.{name}' if prefix else name: value for name, value in _values(random, config).items()}
        try:
            overrides = given(values)
        except (TypeError, AssertionError) as error:  # rclpy's: no parameter can hold that
            raise ValueError(f'no parameter: {error}') from error
        node = Node('fuzzed', context=context, parameter_overrides=overrides, **QUIET)
        try:
            defaults = load_maze() if config.__name__ == 'Maze' else None
            made = declare(node, config, prefix, defaults, on_change=lambda changed: None)
            refuse_unknown_parameters(node)
            later = {f'{prefix}.{name}' if prefix else name: value for name, value in _values(random, config).items()}
            try:
                changes = [change for change in given(later) if node.has_parameter(change.name)]
            except (TypeError, AssertionError):
                return
            for result in node.set_parameters(changes):
                assert result.successful or result.reason
            assert {name: node.get_parameter(f'{prefix}.{name}' if prefix else name) for name in made.as_dict()}
        finally:
            node.destroy_node()

    return one


def parameter_files_of_a_node(domain):
    import rclpy

    from maze_policy.base_node import SHARED, declare
    from maze_policy.board import BoardConfig
    from maze_policy.maze import load_maze
    from maze_policy.node_config import ArmNodeConfig

    context = _ros(domain)
    keep, folder = in_a_folder()
    path = folder / 'bad.yaml'
    texts = [(ROOT / 'config' / name).read_text() for name in ('maze.yaml', 'real.yaml')] + [BOARD]

    def one(seed, keep=keep):
        random = Random(seed)
        path.write_bytes(mutated_yaml(random, random.choice(texts)))
        arguments = ['--ros-args', '--params-file', str(path)]
        try:
            node = rclpy.create_node('arm', context=context, cli_args=arguments, **QUIET)
        except Exception as error:
            if 'RCL' not in type(error).__name__ and not isinstance(error, (ValueError, UnicodeError)):
                raise
            raise ValueError(f'rclpy refuses: {error}') from error
        try:
            declare(node, ArmNodeConfig)
            declare(node, BoardConfig, 'board')
            declare(node, SHARED['maze'], 'maze', load_maze())
        finally:
            node.destroy_node()

    return one
