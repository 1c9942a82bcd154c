"""Gates held in closed loop: holding nothing, everything or what is unused; rankings by hand; going on after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from maze_introspection.cli import main
from maze_introspection.config import InterveneConfig
from maze_introspection.contribution import contribution
from maze_introspection.validity.effects import effects, grouped, ranked, reliability
from maze_introspection.validity.interventions import FILE, Intervened, Intervention, Watched, holding, plan
from maze_policy.checkpoint import load_policy, save
from maze_policy.config import EvaluateConfig, NetworkConfig
from maze_policy.evaluate import evaluate
from maze_policy.maze import load_maze
from maze_policy.network import CnnLstm
from maze_policy.policy import FORGET, INPUT, OUTPUT
from maze_policy.world import load_world

UNUSED = (3, 8)  # channels that no other channel hears and that no action reads


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path: Path = tmp_path_factory.mktemp('checkpoint') / 'untrained.safetensors'
    network = CnnLstm(NetworkConfig(n_l=12))
    with torch.no_grad():
        network.lstm.weight_ih_l0.mul_(60)
        network.lstm.weight_hh_l0.mul_(4)
        network.lstm.weight_hh_l0[:, UNUSED] = 0
        network.actor.weight[:, UNUSED] = 0
    save(path, network, {})
    return path


@pytest.fixture(scope='module')
def network(checkpoint):
    return load_policy(checkpoint, threads=1)


@pytest.fixture(scope='module')
def observations():
    return np.random.default_rng(0).integers(0, 256, (9, 2, 84, 84), dtype=np.uint8)


def held(network, gate, value, *channels):
    values = torch.full((4, network.n_l), torch.nan)
    values[gate, list(channels)] = value
    return Intervened(network, values)


def test_with_nothing_held_it_is_the_policy(network, observations):
    with torch.inference_mode():
        plain = network.sequence(torch.from_numpy(observations))
        same = Intervened(network).sequence(torch.from_numpy(observations))
    for one, other in zip((plain.scores, plain.hidden, *plain.memory), (same.scores, same.hidden, *same.memory)):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_one_board_is_one_of_many_and_its_gates_are_held(network, observations):
    wrapped = held(network, FORGET, 0.25, 1, 2)
    np.testing.assert_array_equal(wrapped.readout, network.readout)
    with torch.inference_mode():
        scores = wrapped.sequence(torch.from_numpy(observations)).scores[:, 0].numpy()
    memory, cell = wrapped.initial_memory(), np.zeros(12, np.float32)
    for t, observation in enumerate(observations[:, 0]):
        step = wrapped.step(observation, memory)
        assert (step.gates[FORGET, [1, 2]] == 0.25).all()
        cell = step.gates[1] * cell + step.gates[0] * step.gates[2]
        np.testing.assert_allclose(step.cell, cell, atol=1e-5)
        np.testing.assert_allclose(step.hidden, step.gates[3] * np.tanh(cell), atol=1e-5)
        np.testing.assert_allclose(step.scores, scores[t], atol=1e-5)
        memory = step.memory


def test_no_input_is_no_output(network, observations):
    """An input gate at 0 leaves an empty cell empty, so both silence the channel, for itself and for the others."""
    seen = torch.from_numpy(observations)
    with torch.inference_mode():
        no_input, no_output = (held(network, gate, 0.0, 5, 6).sequence(seen) for gate in (INPUT, OUTPUT))
        free = network.sequence(seen)
    torch.testing.assert_close(no_input.hidden, no_output.hidden)
    torch.testing.assert_close(no_input.scores, no_output.scores)
    assert (no_output.hidden[..., [5, 6]] == 0).all()
    assert (no_output.scores - free.scores).abs().max() > 1e-3


def test_no_memory_in_any_channel_is_the_memory_ablation(network, observations):
    """With every forget gate at 0, and nothing heard from hidden, each step stands alone."""
    seen = torch.from_numpy(observations)
    deaf = CnnLstm(network.config)
    deaf.load_state_dict(network.state_dict())
    with torch.no_grad():
        deaf.lstm.weight_hh_l0.zero_()
        together = held(deaf, FORGET, 0.0, *range(12)).sequence(seen).hidden
        alone = torch.cat([deaf.sequence(step[None]).hidden for step in seen])
    torch.testing.assert_close(together, alone)


class Diary(Intervened):
    """Keeps what the channels that matter had after every step."""

    def saw(self, gates, hidden, cell):
        self.said = [*getattr(self, 'said', []), np.delete(hidden.numpy(), UNUSED, axis=1)]


def test_channels_that_do_not_matter_change_nothing(network):
    """Bit for bit, in the loop, with noise on every image: the boards, and what is drawn for them, are the same."""
    trials = EvaluateConfig(count=2, seed=5, time_limit_s=1.5)
    diaries = [
        Diary(network, holding(Intervention('output', 'zero', 'top', which), np.zeros((4, 12))))
        for which in ((), UNUSED, (0, 1, *UNUSED))
    ]
    for diary in diaries:
        evaluate(diary, trials, load_maze(), load_world('randomised'))
    without, same, other = ([step.tobytes() for step in diary.said] for diary in diaries)
    assert len(without) > 30
    assert same == without
    assert other[10:] != without[10:]


def test_what_was_watched_is_the_mean_over_all_steps(network, observations):
    watched = Watched(network)
    with torch.inference_mode():
        hidden = watched.sequence(torch.from_numpy(observations)).hidden.reshape(-1, 12).numpy()
    share = contribution(hidden, network.readout[:, :-1]).share
    np.testing.assert_allclose(watched.mean_share, share.mean(axis=0), atol=1e-6)
    gates = []
    for board in range(2):
        memory = network.initial_memory()
        for observation in observations[:, board]:
            step = network.step(observation, memory)
            memory = step.memory
            gates.append(step.gates)
    np.testing.assert_allclose(watched.mean_gates, np.mean(gates, axis=0), atol=1e-5)
    frozen = holding(Intervention('forget', 'freeze', 'one', (4,)), watched.mean_gates)
    assert frozen[FORGET, 4] == pytest.approx(watched.mean_gates[FORGET, 4])
    assert int((~frozen.isnan()).sum()) == 1
    assert holding(Intervention('input', 'force', 'one', (4,)), watched.mean_gates)[INPUT, 4] == 1


def test_the_plan_is_every_intervention_once_and_its_groups_stay_the_same():
    share = np.random.default_rng(0).random(12)
    config = InterveneConfig(group_sizes=(2, 5, 99), group_draws=3, gates=('output', 'input'), kinds=('zero', 'force'))
    found = list(plan(share, config))
    assert len({each.name for each in found}) == len(found) == 2 * 2 * (12 + 2 * (1 + 3))
    top = next(each for each in found if each.group == 'top' and len(each.channels) == 5)
    assert set(top.channels) == set(np.argsort(-share)[:5].tolist())
    fewer = InterveneConfig(group_sizes=(5,), group_draws=1, gates=('input',), kinds=('zero',), channels=4)
    names = {each.name: each.channels for each in found}
    some = list(plan(share, fewer))
    assert len(some) == 2 + 4
    assert all(names[each.name] == each.channels for each in some)


def line(name, times, solved=None, channels=(), group='one', **more):
    solved = [True] * len(times) if solved is None else solved
    about = {'name': name, 'gate': 'output', 'kind': 'zero', 'group': group, 'draw': 0, 'channels': list(channels)}
    return {**about, 'solved': solved, 'time_s': list(times), 'ring_s': [[0.0, time] for time in times], **more}


def made(costs, seed=0, trials=10, noise=0.0):
    """Interventions on one channel each, which cost so many seconds in every trial."""
    rng = np.random.default_rng(seed)
    without = rng.uniform(4, 8, trials)
    lines = [line('without', without, group='none', gate='none')]
    for channel, cost in enumerate(costs):
        lines.append(line(f'one/{channel}', without + cost + noise * rng.normal(size=trials), channels=(channel,)))
    return lines


CONFIG = InterveneConfig(resamples=200)


def test_effects_are_paired():
    lines = made([1.5, -0.5])
    table = effects(lines, np.array([0.1, 0.2]), CONFIG)
    assert table['longer_s'].tolist() == pytest.approx([0, 1.5, -0.5])
    assert table['longer_low_s'].tolist() == pytest.approx([0, 1.5, -0.5])  # the same in every trial: no spread
    assert table['share'].tolist() == pytest.approx([0, 0.1, 0.2])
    lines.append(line('lost', lines[0]['time_s'], solved=[False] * 5 + [True] * 5, channels=(0, 1), group='top'))
    lost = effects(lines, np.array([0.1, 0.2]), CONFIG).iloc[-1]
    assert (lost['lost'], lost['success'], lost['size']) == (0.5, 0.5, 2)
    assert 0 < lost['lost_low'] < 0.5 < lost['lost_high'] < 1


@pytest.mark.parametrize(('sign', 'common'), [(1, 10), (-1, 0)])
def test_channels_that_cost_what_they_contribute(sign, common):
    share = np.random.default_rng(3).permutation(40) / 780
    lines = made(sign * share)
    found = ranked(lines, effects(lines, share, CONFIG).iloc[1:], share, CONFIG)
    assert list(found['rho'].values()) == pytest.approx([sign] * 3)
    assert found['reliability'] == pytest.approx(1)
    assert (found['common'], found['common_chance']) == (common, 2.5)
    assert found['most'][0]['channel'] == (np.argmax(share) if sign > 0 else np.argmin(share))


def test_noise_has_no_rank_that_repeats_itself():
    share = np.random.default_rng(3).random(60)
    lines = made(np.zeros(60), noise=1.0)
    found = ranked(lines, effects(lines, share, CONFIG).iloc[1:], share, CONFIG)
    assert found['rho']['low'] < 0.1
    assert found['rho']['high'] > -0.1
    assert abs(found['reliability']) < 0.4
    assert np.isnan(reliability(np.zeros((4, 1)), 0))


def test_groups_by_hand():
    lines = made([])
    without = np.array(lines[0]['time_s'])
    lines.append(line('top', without + 4, channels=(0, 1), group='top', solved=[False] * 10))
    lines += [line(f'random{draw}', without + draw, channels=(2, draw), group='random') for draw in range(3)]
    table = effects(lines, np.full(4, 0.25), CONFIG)
    (found,) = grouped(lines, table.iloc[1:], CONFIG)
    assert (found['size'], found['draws']) == (2, 3)
    assert found['more_longer_s'] == pytest.approx({'value': 3, 'low': 3, 'high': 3})
    assert found['more_lost'] == pytest.approx({'value': 1, 'low': 1, 'high': 1})
    assert found['random_longer_s'] == pytest.approx([0, 2])


COMMAND = ('--count', '2', '--time-limit-s', '1', '--gates', 'output', '--kinds', 'zero', 'freeze', '--channels', '3')
COMMAND += ('--group-sizes', '2', '6', '--group-draws', '1', '--resamples', '10')


def test_the_command_goes_on_after_a_kill_and_gives_the_same(checkpoint, tmp_path, capsys):
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    command = ['intervene', '--checkpoint', str(checkpoint), *COMMAND]
    assert main([*command, '--out', str(whole)]) == 0
    assert 'without intervention: solved' in capsys.readouterr().out
    text = (whole / FILE).read_text()
    killed.mkdir()
    (killed / FILE).write_text(text[: int(0.6 * len(text))])  # in the middle of a line
    assert main([*command, '--out', str(killed)]) == 0
    assert (killed / FILE).read_text() == text
    for name in ('intervene.json', 'intervene.parquet', 'intervene_effects.parquet'):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    rows = pd.read_parquet(whole / 'intervene.parquet')
    assert len(rows) == 2 * (1 + 2 * (3 + 4))
    assert not rows.duplicated(['name', 'trial']).any()
    numbers = json.loads((whole / 'intervene.json').read_text(), parse_constant=pytest.fail)
    assert set(numbers['held']) == {'output zero', 'output freeze'}
    assert [group['size'] for group in numbers['held']['output zero']['groups']] == [2, 6]
    assert (whole / 'intervene.png').stat().st_size > 10_000
    assert main([*command, '--out', str(whole), '--seed', '5']) == 2
    assert 'other settings: seed 21 (now 5)' in capsys.readouterr().err
