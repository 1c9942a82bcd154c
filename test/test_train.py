import csv
import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.nn import functional

from maze_policy import train
from maze_policy.checkpoint import load_card, load_policy
from maze_policy.config import NetworkConfig, TrainConfig
from maze_policy.evaluate import evaluate
from maze_policy.maze import load_maze
from maze_policy.parameters import fields_of
from maze_policy.train import Trainer
from maze_policy.world import WorldConfig, load_world

VARIED = load_world('varied')
NETWORK = NetworkConfig(conv_channels=(4, 4, 4), features=16, n_l=16)
DEADLINE_S = 120.0


def config(**changed):
    tiny = {
        'chunks': 24,
        'boards': 16,
        'chunk_steps': 12,
        'minibatch_boards': 8,
        'replay_chunks': 4,
        'expert_chunks': 8,
        'learning_rate': 0.003,
        'replays': 3,
        'evaluate_every': 8,
        'evaluate_count': 2,
        'save_every': 3,
        'threads': 1,
    }
    return TrainConfig(**tiny | changed)


def trainer(out, init=None, world=VARIED, **changed):
    return Trainer(config(**changed), NETWORK, load_maze(), world, out, init=init)


@pytest.fixture(autouse=True)
def _short_evaluations(monkeypatch):
    monkeypatch.setattr(train, 'EVALUATION_LIMIT_S', 1.0)


@torch.no_grad()
def loss_on(network, chunks):
    scores = torch.cat([network.sequence(chunk.images).scores.flatten(0, 1) for chunk in chunks])
    return functional.cross_entropy(
        scores, torch.cat([chunk.preferences.flatten(0, 1).argmax(dim=1) for chunk in chunks])
    ).item()


def options(settings):
    """A config as command line options."""
    words = []
    for field, _ in fields_of(type(settings)):
        value = getattr(settings, field.name)
        values = [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
        name = field.name.replace('_', '-')
        switch = isinstance(value, bool)
        words += [('--' if value else '--no-') + name] if switch else ['--' + name, *values]
    return words


def learns(made):
    """Whether the loss on the last chunk falls when it is learnt from again and again."""
    chunk = made.kept[-1]
    before = loss_on(made.network, [chunk])
    for group in made.optimizer.param_groups:
        group['lr'] = 0.003
    for _ in range(60):
        made._learn(chunk, torch.arange(16))
    return loss_on(made.network, [chunk]) < before - 0.1


def test_loss_falls_and_what_is_written_can_be_read(tmp_path):
    made = trainer(tmp_path)
    made.run()
    rows = list(csv.DictReader((tmp_path / 'log.csv').open()))
    assert [int(row['chunk']) for row in rows] == list(range(24))
    assert all(0 < float(row['loss']) < 3 for row in rows)
    assert [bool(row['success']) for row in rows] == [chunk in (7, 15, 23) for chunk in range(24)]
    loaded = load_policy(tmp_path / 'policy.safetensors').state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in made.network.state_dict().items())
    card = load_card(tmp_path / 'policy.safetensors')
    assert card['frames'] == 24 * 16 * 12
    assert TrainConfig.from_dict(card['train']) == config()
    assert WorldConfig.from_dict(card['world']) == VARIED
    assert card['begun_with'] is None
    assert learns(made)


def test_same_seed_same_weights(tmp_path):
    weights = []
    for name, seed in (('one', 3), ('same', 3), ('other', 4)):
        made = trainer(tmp_path / name, seed=seed, chunks=4)
        made.run()
        weights.append(torch.cat([value.flatten() for value in made.network.state_dict().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_killed_training_goes_on_from_its_last_save(tmp_path):
    settings = config(chunks=300, evaluate_every=300)
    command = [sys.executable, '-m', 'maze_policy.cli', 'train', '--out', str(tmp_path)]
    training = subprocess.Popen([*command, *options(settings), *options(NETWORK)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + DEADLINE_S
    while not (tmp_path / 'log.csv').exists():
        assert training.poll() is None, 'the training ended before it was killed'
        assert time.monotonic() < deadline, 'nothing saved in time'
        time.sleep(0.02)
    os.kill(training.pid, signal.SIGKILL)
    training.wait()

    saved = torch.load(tmp_path / 'state.pt', weights_only=True)
    resumed = trainer(tmp_path, chunks=300, evaluate_every=300)
    assert 0 < resumed.chunk == saved['chunk'] == len(resumed.log) < 300
    assert resumed.chunk % 3 == 0
    for name, value in resumed.network.state_dict().items():
        assert torch.equal(value, saved['network'][name])
    assert resumed.optimizer.state_dict()['state'].keys() == saved['optimizer']['state'].keys()
    assert len(resumed.kept) == 0  # what is said not to come back
    before = resumed.chunk
    resumed._learn_chunk(np.random.default_rng(0))
    assert before == resumed.chunk


def test_a_resumed_training_plays_other_episodes(tmp_path):
    starts = []
    for chunks in (0, 1, 1):
        made = trainer(tmp_path, evaluate_every=300)
        assert made.chunk == chunks
        starts.append(made.boards.simulator.position_m.copy())
        if not chunks:
            made.chunk = 1
            made._save()
    assert not np.array_equal(starts[0], starts[1])
    np.testing.assert_array_equal(starts[1], starts[2])


def test_what_is_solved_or_late_begins_anew_without_memory(tmp_path):
    made = trainer(tmp_path, episode_s=5.0)
    made.memory = (torch.ones(16, 16), torch.ones(16, 16))
    made.boards.elapsed_s[:] = 4.9
    made.boards.simulator.solved[3] = True
    made.boards.elapsed_s[[8, 9]] = 5.0
    before = made.boards.simulator.position_m.copy()
    made._reset_ended(np.random.default_rng(0))
    anew = [3, 8, 9]
    assert np.flatnonzero((made.boards.simulator.position_m != before).any(axis=1)).tolist() == anew
    assert np.flatnonzero(made.boards.elapsed_s == 0).tolist() == anew
    for part in made.memory:
        assert np.flatnonzero((part == 0).all(dim=1)).tolist() == anew
        assert np.flatnonzero((part == 1).all(dim=1)).tolist() == [board for board in range(16) if board not in anew]


def test_evaluations_play_trials_of_their_own_for_every_seed(tmp_path, monkeypatch):
    seeds = {}

    def noted(network, config, *world):
        seeds[made.config.seed] = config.seed
        return evaluate(network, config, *world)

    monkeypatch.setattr(train, 'evaluate', noted)
    for seed in (3, 7):
        made = trainer(tmp_path / str(seed), seed=seed)
        made._evaluate()
    assert seeds[3] != seeds[7]
    assert all(evaluated != seed for seed, evaluated in seeds.items())


def test_resume_wants_the_same_config(tmp_path):
    trainer(tmp_path, chunks=3, evaluate_every=300, evaluate_count=1).run()
    with pytest.raises(ValueError, match=r"begun with other settings.*'learning_rate': \(0.003, 0.02\)"):
        trainer(tmp_path, chunks=3, evaluate_every=300, evaluate_count=1, learning_rate=0.02)


def test_finished_training_has_nothing_left_to_do(tmp_path):
    trainer(tmp_path, chunks=2, evaluate_count=1).run()
    again = trainer(tmp_path, chunks=2, evaluate_count=1)
    again.run()
    assert again.chunk == len(again.log) == 2


def test_a_damaged_state_and_a_wrong_number_of_actions_are_said(tmp_path):
    trainer(tmp_path, chunks=1, evaluate_every=300, evaluate_count=1).run()
    state = tmp_path / 'state.pt'
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r'state\.pt is damaged'):
        trainer(tmp_path, chunks=1, evaluate_every=300, evaluate_count=1)
    with pytest.raises(ValueError, match='n_a wants 5, one for each action of the maze, got 3'):
        Trainer(TrainConfig(), NetworkConfig(n_a=3), load_maze(), VARIED, tmp_path / 'other')


def test_a_training_begins_with_the_weights_it_is_given_and_says_which(tmp_path):
    first = trainer(tmp_path / 'first', chunks=2, evaluate_every=300, evaluate_count=1)
    first.run()
    init = tmp_path / 'first' / 'policy.safetensors'
    second = trainer(tmp_path / 'second', init=init, chunks=1, learning_rate=0.0, evaluate_count=1)
    second.run()
    for name, value in second.network.state_dict().items():
        assert torch.equal(value, first.network.state_dict()[name])
    begun_with = load_card(tmp_path / 'second' / 'policy.safetensors')['begun_with']
    assert begun_with['sha256'] == hashlib.sha256(init.read_bytes()).hexdigest()
    assert begun_with['card'] == load_card(init)
    with pytest.raises(ValueError, match=r"begun with other settings.*'begun_with': \('[0-9a-f]{64}', None\)"):
        trainer(tmp_path / 'second', chunks=1, learning_rate=0.0, evaluate_count=1)
    with pytest.raises(ValueError, match=r'wants NetworkConfig.*to go on from, got NetworkConfig'):
        Trainer(config(), NetworkConfig(n_l=32), load_maze(), VARIED, tmp_path / 'third', init=init)


def test_penalties_make_the_lstm_sparse(tmp_path):
    """With both L1 penalties hidden values and readout weights are smaller than without, and readout weights die."""
    settings = {'chunks': 12, 'learning_rate': 0.01, 'evaluate_every': 300, 'evaluate_count': 1}
    plain, sparse = (
        trainer(tmp_path / 'plain', **settings),
        trainer(tmp_path / 'sparse', activation_l1=1.0, readout_l1=0.02, **settings),
    )
    measures = []
    for made in (plain, sparse):
        made.run()
        with torch.no_grad():
            hidden = made.network.sequence(made.kept[-1].images).hidden
        measures.append((hidden.abs().mean().item(), made.network.actor.weight.abs().sum().item()))
    assert measures[1][0] < 0.7 * measures[0][0]
    assert measures[1][1] < 0.7 * measures[0][1]


def test_bfloat16_learns_as_well(tmp_path):
    made = trainer(tmp_path, bfloat16=True, chunks=2, evaluate_count=1)
    made.run()
    assert all(value.dtype == torch.float32 for value in made.network.state_dict().values())
    assert learns(made)


def test_learns_in_a_randomised_world(tmp_path):
    made = trainer(tmp_path, world=load_world('randomised'), chunks=2, evaluate_count=1)
    made.run()
    assert len({image.float().mean().item() for image in made.kept[-1].images[0]}) > 10  # lights of their own


def test_soft_targets_lead_to_what_the_expert_wants_most(tmp_path):
    made = trainer(tmp_path, softness=1.0, chunks=2, evaluate_count=1)
    made.run()
    assert learns(made)
