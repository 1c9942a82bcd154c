import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from maze_policy.checkpoint import CheckpointError, load_card, load_policy, save
from maze_policy.config import EvaluateConfig, NetworkConfig
from maze_policy.evaluate import evaluate
from maze_policy.maze import Maze, load_maze
from maze_policy.network import CnnLstm
from maze_policy.share import CHECKPOINTS, checkpoint_path
from maze_policy.world import WorldConfig, load_world

torch.set_num_threads(1)
SHIPPED = sorted(path.stem for path in CHECKPOINTS.glob('*.safetensors'))
SMALL = NetworkConfig(conv_channels=(2, 2, 2), features=8, n_l=8)


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    save(tmp_path / 'small.safetensors', CnnLstm(SMALL), {'seed': 0})
    return tmp_path / 'small.safetensors'


def rewrite(path, change, *, signed=True):
    """Change the tensors of a checkpoint, with a digest that fits them."""
    tensors = safetensors.torch.load(path.read_bytes())
    change(tensors)
    path.write_bytes(safetensors.torch.save(tensors))
    if signed:
        describe(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def describe(path, **changes):
    """Change what the description says, with a digest that fits it."""
    file = path.with_suffix('.json')
    entries = json.loads(file.read_text()) | changes
    del entries['description_sha256']
    digest = hashlib.sha256(json.dumps(entries).encode()).hexdigest()
    file.write_text(json.dumps({**entries, 'description_sha256': digest}, indent=2) + '\n')


def test_loads_what_was_saved(path):
    torch.manual_seed(0)
    saved, loaded = CnnLstm(SMALL).state_dict(), load_policy(path).state_dict()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)
    assert load_policy(path).config == SMALL
    assert load_card(path) == {'seed': 0}


def test_the_shipped_policies():
    assert SHIPPED == ['distilled', 'nominal', 'robust', 'robust_finetuned', 'sparse']


@pytest.mark.parametrize('name', SHIPPED)
def test_every_shipped_policy_is_small_and_says_how_it_came_about(name):
    path = checkpoint_path(name)
    assert path.stat().st_size < 3e6
    assert load_policy(name).n_a == 5
    card = load_card(name)
    assert card['frames'] > 0
    assert card['train']['seed'] >= 0
    assert card['method']
    assert card['results']['count'] >= 50
    assert card['results']['success'] >= 0.9
    assert Maze.from_dict(card['maze']) == load_maze()
    assert path.with_suffix('.csv').exists()


@pytest.mark.parametrize('name', [name for name in SHIPPED if name != 'distilled'])
def test_a_policy_that_began_with_another_says_with_which(name):
    """Down to the first: every one of them began with what imitates the expert alone."""
    ancestor = load_card(name)['begun_with']
    digests = []
    while ancestor:
        digests.append(ancestor['sha256'])
        ancestor = ancestor['card'].get('begun_with')
    assert digests[-1] == hashlib.sha256(checkpoint_path('distilled').read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ('name', 'profile'),
    [('nominal', 'nominal'), ('robust', 'randomised'), ('robust_finetuned', 'real_like'), ('sparse', 'nominal')],
)
def test_a_policy_was_trained_in_its_world_and_solves_it(name, profile):
    """A few trials; the numbers are those of docs/results.md."""
    world = load_world(profile)
    trained = WorldConfig.from_dict(load_card(name)['world'])
    assert trained == load_world('varied' if profile == 'nominal' else profile)
    evaluation = evaluate(load_policy(name), EvaluateConfig(count=10, seed=21, time_limit_s=45.0), load_maze(), world)
    assert evaluation.solved.mean() >= 0.9


def test_every_flipped_byte_is_found_before_anything_parses_it(path, monkeypatch):
    def never(_):
        raise AssertionError('parsed')

    monkeypatch.setattr(safetensors.torch, 'load', never)
    whole = path.read_bytes()
    for index in np.linspace(0, len(whole) - 1, 40, dtype=int):
        damaged = bytearray(whole)
        damaged[index] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r'want SHA-256 \w{64}, got \w{64}'):
            load_policy(path)


def test_every_flipped_byte_of_the_description_is_found_too(path):
    file = path.with_suffix('.json')
    whole = file.read_bytes()
    says = r'want JSON, got|want the entries|want names and values|want description_sha256 \w{64}, got'
    for index in range(len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=says):
            load_policy(path)
    file.write_bytes(whole)
    load_policy(path)


def test_a_damaged_one_is_refused_before_torch_is_imported(path):
    path.write_bytes(path.read_bytes()[:-1])
    code = (
        'import sys; from maze_policy.checkpoint import load_policy, CheckpointError\n'
        'try: load_policy(sys.argv[1])\n'
        "except CheckpointError as error: print(error, 'torch' in sys.modules, 'safetensors' in sys.modules)"
    )
    done = subprocess.run([sys.executable, '-c', code, path], capture_output=True, text=True, check=True)
    assert 'want SHA-256' in done.stdout
    assert done.stdout.endswith('False False\n')


def test_what_has_no_end_is_not_read(path, tmp_path):
    path.unlink()
    path.symlink_to('/dev/zero')
    with pytest.raises(CheckpointError, match=r'in a file of at most 1073741824 B, got no file'):
        load_policy(path)
    os.mkfifo(tmp_path / 'pipe.json')
    with pytest.raises(CheckpointError, match=r'want the description .* B, got no file'):
        load_policy(tmp_path / 'pipe.safetensors')
    with (tmp_path / 'long.json').open('wb') as file:
        file.truncate(2 << 20)
    with pytest.raises(CheckpointError, match=r'want the description .* at most 1048576 B, got 2097152 B'):
        load_policy(tmp_path / 'long.safetensors')
    with pytest.raises(CheckpointError, match='null'):
        load_policy('a\0b')


def test_a_lie_about_the_sizes_costs_nothing(path):
    describe(path, network=SMALL.as_dict() | {'n_l': 4096, 'features': 4096, 'conv_channels': [512] * 3})
    with pytest.raises(CheckpointError, match=r'want actor.weight of \(\(5, 4096\)'):
        load_policy(path)


def test_missing_files_are_named(path):
    with pytest.raises(CheckpointError, match=r'want the description .*nothing.json, got No such file'):
        load_policy(path.with_name('nothing.safetensors'))
    path.unlink()
    with pytest.raises(CheckpointError, match=r'want the weights .*small.safetensors, got No such file'):
        load_policy(path)


def test_description_that_is_no_json_or_has_other_entries(path):
    describe(path, licence='?')
    with pytest.raises(CheckpointError, match=r"want the entries \['card', .*\], got .*licence"):
        load_policy(path)
    path.with_suffix('.json').write_text('{')
    with pytest.raises(CheckpointError, match='want JSON, got'):
        load_policy(path)


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        (SMALL.as_dict() | {'n_layers': 2}, "no parameter 'n_layers'"),
        (SMALL.as_dict() | {'n_l': 'many'}, "n_l wants int, got 'many'"),
        (SMALL.as_dict() | {'conv_channels': [2]}, 'conv_channels wants 3 numbers'),
        ([], 'json: '),
    ],
)
def test_unknown_or_wrong_network_config(path, network, message):
    describe(path, network=network)
    with pytest.raises(CheckpointError, match=message):
        load_policy(path)


def test_weights_of_another_network(path):
    describe(path, network=SMALL.as_dict() | {'n_l': 16})
    with pytest.raises(CheckpointError, match=r'want actor.weight of \(\(5, 16\), .*got \(\(5, 8\)'):
        load_policy(path)


def test_missing_and_surplus_weights(path):
    rewrite(path, lambda tensors: tensors.pop('actor.weight'))
    with pytest.raises(CheckpointError, match=r'want actor.weight of .*, got None'):
        load_policy(path)
    rewrite(path, lambda tensors: tensors.update({'actor.weight': torch.zeros(5, 8), 'extra': torch.zeros(1)}))
    with pytest.raises(CheckpointError, match='want extra of None, got'):
        load_policy(path)


def test_weights_that_are_not_finite(path):
    rewrite(path, lambda tensors: tensors['lstm.bias_ih_l0'].__setitem__(3, float('nan')))
    with pytest.raises(CheckpointError, match=r'want finite weights, got a NaN or infinity in lstm.bias_ih_l0'):
        load_policy(path)


def test_signed_file_that_is_no_safetensors(path):
    path.write_bytes(b'hello')
    describe(path, sha256=hashlib.sha256(b'hello').hexdigest())
    with pytest.raises(CheckpointError, match='want a safetensors file'):
        load_policy(path)
