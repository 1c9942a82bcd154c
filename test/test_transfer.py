import csv

import pytest
import torch

from maze_policy import checkpoint, rl
from maze_policy.cli import main
from maze_policy.config import NetworkConfig, RlConfig
from maze_policy.maze import load_maze
from maze_policy.network import CnnLstm
from maze_policy.transfer import COLUMNS, transfer
from maze_policy.world import WorldConfig, load_world

torch.set_num_threads(1)
CONFIG = RlConfig(
    seed=5,
    iterations=2,
    boards=2,
    rollout_steps=8,
    minibatch_boards=2,
    critic_iterations=1,
    episode_s=1.0,
    evaluate_every=1,
    evaluate_count=2,
    save_every=1,
    threads=1,
)


@pytest.fixture
def starts(tmp_path):
    made = {}
    for seed, name in enumerate(('plain', 'sturdy')):
        torch.manual_seed(seed)
        made[name] = tmp_path / f'{name}.safetensors'
        checkpoint.save(made[name], CnnLstm(NetworkConfig(conv_channels=(2, 2, 2), features=8, n_l=8)), {'name': name})
    return made


@pytest.fixture(autouse=True)
def _short_evaluations(monkeypatch):
    monkeypatch.setattr(rl, 'EVALUATION_LIMIT_S', 0.5)


def read(path):
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def test_every_start_is_fine_tuned_with_every_seed_and_goes_on_where_it_was(starts, tmp_path, monkeypatch):
    out, world = tmp_path / 'runs', WorldConfig(latency_steps=1)
    rows = read(transfer(starts, CONFIG, 2, load_maze(), world, out))
    assert tuple(rows[0]) == COLUMNS
    runs = [(row['start'], row['seed'], row['iteration']) for row in rows]
    assert runs == [(name, str(seed), str(iteration)) for seed in (5, 6) for name in starts for iteration in range(3)]
    for name, start in starts.items():
        card = checkpoint.load_card(out / f'{name}_6' / 'policy.safetensors')
        assert card['begun_with'] == checkpoint.provenance(start)
        assert (card['train']['seed'], card['world']) == (6, world.as_dict())
    monkeypatch.setattr(rl.PpoTrainer, '_iterate', None)  # nothing is trained twice
    assert read(transfer(starts, CONFIG, 2, load_maze(), world, out)) == rows


def test_the_command_moves_to_the_robot_like_world(starts, tmp_path, capsys):
    words = ['transfer', '--out', str(tmp_path / 'runs'), '--init', str(starts['plain']), '--seeds', '1']
    small = {'iterations': 1, 'boards': 2, 'rollout-steps': 8, 'minibatch-boards': 2, 'evaluate-count': 1}
    assert main([*words, *(part for name, value in small.items() for part in (f'--{name}', str(value)))]) == 0
    assert capsys.readouterr().out.endswith('transfer.csv\n')
    card = checkpoint.load_card(tmp_path / 'runs' / 'plain_0' / 'policy.safetensors')
    assert card['world'] == load_world('real_like').as_dict()


def test_two_starts_of_one_name_are_refused(starts, tmp_path, capsys):
    words = ['transfer', '--out', str(tmp_path), '--init', str(starts['plain']), str(starts['plain'])]
    assert main(words) == 2
    assert '--init wants policies of different names' in capsys.readouterr().err
