import numpy as np
import pytest
import yaml

from maze_policy.maze import Maze, load_maze
from maze_policy.share import share_path


def test_the_shipped_maze():
    maze = load_maze()
    assert maze.rings == 4
    assert [len(angles) for angles in maze.openings_rad] == [1, 2, 3, 3]
    assert maze.openings_rad[1] == pytest.approx([0, np.pi])


def test_rings_count_outwards_from_the_centre():
    maze = load_maze()
    middles = [np.mean(maze.lane_m(ring)) for ring in range(maze.rings + 1)]
    assert maze.ring(middles).tolist() == [0, 1, 2, 3, 4]
    assert maze.ring([maze.wall_radius_m[0], np.nan]).tolist() == [1, -1]


def test_a_ball_fits_between_the_walls_of_every_ring():
    maze = load_maze()
    for ring in range(maze.rings + 1):
        inner, outer = maze.lane_m(ring)
        assert outer - inner > 0.005
    assert maze.lane_m(0)[0] == 0


def test_it_is_an_ordinary_ros_parameter_file():
    content = yaml.safe_load(share_path('config/maze.yaml').read_text())
    assert set(content['/**']['ros__parameters']['maze']) == set(load_maze().as_dict())


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('wall_radius_m', [0.02, 0.03, 0.01, 0.07], 'want to grow outwards'),
        ('openings_per_wall', [1, 2], 'one count for each of 4 walls'),
        ('opening_deg', [10.0], 'opening_deg wants 9 angles, got 1'),
        ('opening_clear_m', 0.011, 'at least 2.2 ball radii'),
        ('ball_radius_m', -1.0, 'ball_radius_m wants 0.0 to inf, got -1.0'),
        ('openings_per_wall', [4, 2, 2, 1], 'wants 1 to 3, got 4'),
    ],
)
def test_what_is_no_maze_is_refused(tmp_path, name, value, message):
    file = tmp_path / 'maze.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': {'maze': load_maze().as_dict() | {name: value}}}}))
    with pytest.raises(ValueError, match=message) as caught:
        load_maze(file)
    assert str(file) in str(caught.value)


def test_a_file_without_a_maze_is_refused(tmp_path):
    file = tmp_path / 'other.yaml'
    file.write_text('rate_hz: 30\n')
    with pytest.raises(ValueError, match='wants /\\*\\*: ros__parameters: maze'):
        load_maze(file)


def test_an_unknown_parameter_is_refused():
    with pytest.raises(ValueError, match="no parameter 'rings'"):
        Maze.from_dict(load_maze().as_dict() | {'rings': 4})


def test_a_missing_file_names_every_folder(monkeypatch):
    monkeypatch.setenv('AMENT_PREFIX_PATH', '/somewhere')
    with pytest.raises(FileNotFoundError, match='/somewhere/share/maze_introspection'):
        share_path('config/nothing.yaml')
