import dataclasses
import math

import numpy as np
import pytest
import yaml

from maze_policy.boards import Boards
from maze_policy.config import PhysicsConfig
from maze_policy.maze import load_maze
from maze_policy.share import share_path
from maze_policy.world import WorldConfig, load_world, profiles

RANGES = [field.name for field in dataclasses.fields(WorldConfig) if isinstance(field.default, tuple)]


def test_the_shipped_worlds():
    assert profiles() == ['nominal', 'randomised', 'real_like', 'varied']
    assert load_world() == load_world('nominal') == WorldConfig()


def test_the_nominal_world_is_that_of_the_nodes():
    physics = PhysicsConfig()
    for name in set(RANGES) & {field.name for field in dataclasses.fields(PhysicsConfig)}:
        assert getattr(WorldConfig(), name) == (getattr(physics, name),) * 2


def test_the_robot_like_world_is_what_it_is_said_to_be():
    world = load_world('real_like')
    assert (world.engine, world.view) == ('mujoco', 'perspective')
    assert world.rate_hz == (24.0, 24.0)
    assert world.latency_steps == (2, 3)
    assert world.latency_jitter > 0
    assert world.rate_jitter > 0
    assert world.missed_frames[0] > 0
    nominal = load_world('nominal')
    for name in ('rolling_resistance', 'wall_friction', 'tilt_lag_s', 'restitution'):
        assert getattr(world, name) != getattr(nominal, name)


def test_randomised_varies_all_that_a_robot_may_differ_in():
    world = load_world('randomised')
    fixed = [name for name in RANGES if math.isclose(*getattr(world, name))]
    assert fixed == []
    assert min(world.rate_jitter, world.latency_jitter) > 0


@pytest.mark.parametrize('name', profiles())
def test_every_world_can_be_played(name):
    boards = Boards(load_maze(), load_world(name), 4, 0)
    images = boards.observations(np.arange(4))
    for _ in range(6):  # longer than any command is on its way
        boards.step(np.full(4, 2), np.arange(4))
    assert images.std() > 10
    assert (boards.simulator.tilt_rad[:, 1] > 0).all()


def test_a_file_is_a_world_too(tmp_path):
    file = tmp_path / 'mine.yaml'
    file.write_text('latency_steps: 2\nrate_hz: [25, 35]\n')
    assert load_world(file) == WorldConfig(latency_steps=(2, 2), rate_hz=(25.0, 35.0))
    assert load_world(file, {'rate_hz': (20.0,)}).rate_hz == (20.0, 20.0)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('latency: 2', "no parameter 'latency'"),
        ('rate_hz: [40, 20]', r'rate_hz wants one number, or two of which the first is not larger, got \[40.0, 20.0\]'),
        ('rate_hz: [1, 2, 3]', r'rate_hz wants one number, or two'),
        ('rate_hz: fast', "rate_hz wants float, got 'fast'"),
        ('rate_hz: 0', 'rate_hz wants 1.0 to 200.0, got 0'),
        ('engine: bullet', 'engine wants one of planar, mujoco'),
        ('brightness: 0.5', 'the flat view cannot show brightness; use view perspective'),
        ('- 1', 'want names and values, got list'),
        ('a: [', 'want YAML'),
    ],
)
def test_a_bad_world_is_refused_with_its_file(tmp_path, text, message):
    file = tmp_path / 'bad.yaml'
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_world(file)
    assert 'bad.yaml' in str(caught.value)


def test_a_bad_change_is_not_blamed_on_the_file():
    with pytest.raises(ValueError, match='rate_hz wants one number, or two') as caught:
        load_world('nominal', {'rate_hz': (1.0, 2.0, 3.0)})
    assert 'yaml' not in str(caught.value)


def test_a_misspelt_profile_is_said():
    with pytest.raises(ValueError, match=r"want a profile or a YAML file, got randomized.*did you mean 'randomised'"):
        load_world('randomized')


def test_profiles_say_every_name_once():
    for name in profiles():
        text = share_path(f'config/profiles/{name}.yaml').read_text()
        names = [line.split(':')[0] for line in text.splitlines() if line and not line.startswith('#')]
        assert len(names) == len(set(names)) == len(yaml.safe_load(text))
