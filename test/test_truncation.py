"""Needed memory: k = all is the recording, batched equals one by one, and LSTMs whose needed memory is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maze_introspection.analysis import analyze
from maze_introspection.bag import write_recording
from maze_introspection.cli import main
from maze_introspection.config import IntrospectionConfig, TrialsConfig
from maze_introspection.contribution import contribution
from maze_introspection.trials import play
from maze_introspection.validity.replay import deviation, features, replay, stretches
from maze_introspection.validity.truncation import Recorded, needed_memory, shares
from maze_policy.checkpoint import save
from maze_policy.config import NetworkConfig
from maze_policy.network import CnnLstm, Sequence
from maze_policy.world import load_world

TOLERANCES = (0.1, 0.02)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path: Path = tmp_path_factory.mktemp('checkpoint') / 'untrained.safetensors'
    network = CnnLstm(NetworkConfig(n_l=24))
    with torch.no_grad():  # livelier than an untrained one: gates that open and close
        network.lstm.weight_ih_l0.mul_(60)
        network.lstm.weight_hh_l0.mul_(4)
    save(path, network, {})
    return path


@pytest.fixture(scope='module')
def trials(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp('trials')
    play(TrialsConfig(count=4, time_limit_s=1.2), load_world('randomised'), out, checkpoint)
    return out


@pytest.fixture(scope='module')
def network(checkpoint):
    from maze_policy.checkpoint import load_policy

    return load_policy(checkpoint, threads=1)


@pytest.fixture
def stretch(trials):
    found, left_out = stretches(trials / 'trial_000', IntrospectionConfig())
    assert (len(found), left_out) == (1, 0)
    return found[0]


def recorded_of(network, stretch):
    recording, made = stretch.analysis.recording, stretch.analysis.contribution
    parts = (recording.hidden, recording.cell, made.action, made.share)
    seen = features(network, stretch.observations)
    return Recorded(seen, *(torch.from_numpy(stretch.of(part).copy()) for part in parts))


def test_all_of_the_memory_gives_the_recording_bit_for_bit(network, stretch):
    recording = stretch.analysis.recording
    assert recording.steps > 20
    for t, parts in enumerate(replay(network, stretch.observations)):
        for now, then in zip(parts, (recording.gates, recording.hidden, recording.cell, recording.scores)):
            assert now.tobytes() == then[t].tobytes()
    assert deviation(network, stretch) == 0.0


def test_another_bit_is_a_deviation(network, stretch):
    stretch.analysis.recording.cell[5, 3] = np.nextafter(stretch.analysis.recording.cell[5, 3], np.float32(9))
    assert 0 < deviation(network, stretch) < 1e-6


@pytest.fixture
def short(stretch):
    return replace(stretch, end=18, observations=stretch.observations[:18])


def brute_force(network, stretch, tolerances, others=None):
    """One truncation after the other, step by step through `CnnLstm.step`, as the words define it."""
    made = stretch.analysis.contribution
    steps, channels = stretch.of(stretch.analysis.recording.hidden).shape
    action, share = np.zeros(steps, int), np.zeros((len(tolerances), steps, channels), int)
    agrees = np.zeros(steps, int)
    for t in range(steps):
        for k in range(t):
            memory = network.initial_memory()
            if others is not None:
                memory = others[0][t - k].clone(), others[1][t - k].clone()
            for observation in stretch.observations[t - k : t + 1]:
                step = network.step(observation, memory)
                memory = step.memory
            same = step.scores.argmax() == made.action[t]
            agrees[k] += same
            if not same:
                action[t] = k + 1
            now = contribution(step.hidden[None], network.readout[:, :-1], action=made.action[t : t + 1]).share[0]
            for which, tolerance in enumerate(tolerances):
                share[which, t, np.abs(now - made.share[t]) > tolerance * made.share[t]] = k + 1
    return action, share, agrees


@pytest.mark.parametrize('replaced', ['zeros', 'others'])
def test_batched_is_what_one_by_one_gives(network, short, replaced):
    rng = np.random.default_rng(0)
    shape = (18, 24)
    others = None
    if replaced == 'others':
        others = tuple(torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for _ in range(2))
    found = needed_memory(network, recorded_of(network, short), TOLERANCES, others=others)
    action, share, agrees = brute_force(network, short, TOLERANCES, others)
    np.testing.assert_array_equal(found.action, action)
    contributes = short.of(short.analysis.contribution.share) > 0.01
    np.testing.assert_array_equal(found.share[:, contributes], share[:, contributes])
    np.testing.assert_array_equal(found.agrees, agrees)
    assert found.tried.tolist() == list(range(shape[0] - 1, -1, -1))
    assert found.rounding < 1e-6
    assert len(np.unique(share[:, contributes])) > 10  # there was something to find


def test_no_start_is_lost_where_they_do_not_fit_into_one_batch(network, stretch, monkeypatch):
    whole = needed_memory(network, recorded_of(network, stretch), TOLERANCES)
    monkeypatch.setattr('maze_introspection.validity.truncation.ROWS', 7)
    parts = needed_memory(network, recorded_of(network, stretch), TOLERANCES)
    contributes = stretch.analysis.contribution.share > 0.01
    np.testing.assert_array_equal(parts.action, whole.action)
    np.testing.assert_array_equal(parts.share[:, contributes], whole.share[:, contributes])
    np.testing.assert_array_equal(parts.agrees, whole.agrees)


class Cells:
    """LSTM channels that keep their input's last values: the forget gates decay, no channel hears another."""

    def __init__(self, forget, readout):
        self.forget = torch.tensor(forget)
        self.readout = np.concatenate([np.array(readout, np.float32), np.zeros((len(readout), 1), np.float32)], axis=1)
        self.rows = []

    def remember(self, seen, memory):
        self.rows.append(seen.shape[1])
        cell = self.forget * memory[1] + seen[0]
        hidden = cell.tanh()
        return Sequence((hidden @ torch.from_numpy(self.readout[:, :-1]).T)[None], hidden[None], (hidden, cell))


def played(cells, seen):
    """Run over inputs (T, n_l) from a memory of zeros."""
    hidden, cell, memory = [], [], 2 * (torch.zeros(1, seen.shape[1]),)
    for now in seen:
        memory = cells.remember(now[None, None], memory).memory
        hidden.append(memory[0][0])
        cell.append(memory[1][0])
    made = contribution(torch.stack(hidden).numpy(), cells.readout[:, :-1])
    return Recorded(
        seen, torch.stack(hidden), torch.stack(cell), torch.from_numpy(made.action), torch.from_numpy(made.share)
    )


def test_a_cell_that_holds_a_cue_needs_all_since_the_cue():
    """Channel 0 holds a 1 from step 4 on and pulls at action 1, channel 1 pulls at action 0 by what comes in now."""
    seen = torch.zeros(20, 2)
    seen[4, 0] = 2.0
    seen[:, 1] = 0.3
    cells = Cells([1.0, 0.0], [[0.0, 1.0], [1.0, 0.0]])
    found = needed_memory(cells, played(cells, seen), (0.1,))
    after = np.maximum(np.arange(20) - 4, 0)  # k = t - 4 is the first truncation with the cue in it
    assert found.action.tolist() == after.tolist()
    assert found.share[0, :, 0].tolist() == after.tolist()
    assert (found.share[0, :4] == 0).all()  # before the cue nothing is in the memory


@pytest.mark.parametrize('forget', [0.5, 0.8, 0.9])
@pytest.mark.parametrize('tolerance', [0.1, 0.02])
def test_a_leaking_cell_needs_what_its_leak_leaves(forget, tolerance):
    """Closed form: with constant small input, h after k + 1 steps is (1 - f^(k+1)) of the limit, less tanh's bend.

    Channel 1 forgets at once and holds the denominator, so that share 0 = h0 / (h0 + h1), h1 >> h0.
    """
    seen = torch.tensor([[1e-4, 1.0]]).repeat(150, 1)
    cells = Cells([forget, 0.0], [[1.0, 1.0]])
    found = needed_memory(cells, played(cells, seen), (tolerance,))
    # 1 - f^(k+1) >= 1 - tolerance
    wanted = int(np.ceil(np.log(tolerance) / np.log(forget))) - 1
    assert found.share[0, 100, 0] == wanted
    assert found.share[0, 100, 1] == 0
    assert found.action.max() == 0  # there is one action


def test_settled_runs_are_not_continued_and_it_makes_no_difference():
    rng = np.random.default_rng(3)
    seen = torch.from_numpy(rng.normal(size=(200, 6)).astype(np.float32))
    cells = Cells([0.2, 0.4, 0.5, 0.6, 0.7, 0.8], rng.normal(size=(3, 6)))
    recorded = played(cells, seen)
    cells.rows.clear()
    every = needed_memory(cells, recorded, TOLERANCES)
    tried = sum(cells.rows)
    assert tried == 200 * 201 / 2
    cells.rows.clear()
    found = needed_memory(cells, recorded, TOLERANCES, settled=1e-5)
    assert sum(cells.rows) < tried / 2
    contributes = recorded.share.numpy() > 0.01
    np.testing.assert_array_equal(found.action, every.action)
    np.testing.assert_array_equal(found.share[:, contributes], every.share[:, contributes])
    np.testing.assert_array_equal(found.agrees, every.agrees)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.25, 0.5, 4.0]), st.integers(1, 9))
def test_invariant_to_channel_order_readout_scale_and_a_later_start(seed, scale, shift):
    """A readout scaled by a power of two and channels in another order change nothing; nor do steps without input.

    Steps of zeros before the episode leave its memory empty: everything that was needed still is, and nothing more.
    """
    rng = np.random.default_rng(seed)
    seen = torch.from_numpy(rng.normal(size=(25, 5)).astype(np.float32))
    forget, readout = rng.uniform(0.3, 1.0, 5).astype(np.float32), rng.normal(size=(3, 5))
    plain = needed_memory(cells := Cells(forget, readout), played(cells, seen), TOLERANCES)
    scaled = needed_memory(cells := Cells(forget, scale * readout), played(cells, seen), TOLERANCES)
    np.testing.assert_array_equal(scaled.action, plain.action)
    np.testing.assert_array_equal(scaled.share, plain.share)
    later = torch.cat([torch.zeros(shift, 5), seen])
    moved = needed_memory(cells := Cells(forget, readout), played(cells, later), TOLERANCES)
    np.testing.assert_array_equal(moved.action[shift:], plain.action)
    np.testing.assert_array_equal(moved.share[:, shift:], plain.share)
    order = rng.permutation(5)
    turned = needed_memory(cells := Cells(forget[order], readout[:, order]), played(cells, seen[:, order]), TOLERANCES)
    contributes = played(Cells(forget, readout), seen).share.numpy() > 0.01
    np.testing.assert_array_equal(turned.share[..., np.argsort(order)][:, contributes], plain.share[:, contributes])


def test_shares_are_the_contributions():
    rng = np.random.default_rng(1)
    hidden, readout = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(4, 8)).astype(np.float32)
    action = rng.integers(0, 4, 50)
    hidden[0], readout[action[0]] = -1, np.abs(readout[action[0]])  # nothing pulls
    want = contribution(hidden, readout, action=action).share
    got = shares(torch.from_numpy(hidden), torch.from_numpy(readout), torch.from_numpy(action))
    np.testing.assert_allclose(got.numpy(), want, atol=1e-6)
    assert (got[0] == 0).all()


def test_the_command_measures_all_of_it(trials, checkpoint, tmp_path, capsys):
    out = tmp_path / 'out'
    command = ['needed-memory', str(trials), '--checkpoint', str(checkpoint), '--resamples', '5', '--theta-c', '0.005']
    assert main([*command, '--out', str(out)]) == 0
    assert '(4 to the last bit)' in capsys.readouterr().out
    numbers = json.loads((out / 'needed_memory.json').read_text(), parse_constant=pytest.fail)
    assert (numbers['largest_deviation'], numbers['episodes'], numbers['steps_left_out']) == (0.0, 4, 0)
    events, steps = pd.read_parquet(out / 'needed_memory.parquet'), pd.read_parquet(out / 'needed_steps.parquet')
    assert len(steps) == numbers['steps'] == numbers['actions']['steps']
    assert sum(found['events'] for found in numbers['offsets'].values()) == len(events) > 50
    assert (events[['needed', 'needed_others', 'needed_0.05']].to_numpy() <= events[['elapsed']].to_numpy()).all()
    assert (events['needed_0.05'] >= events['needed']).all()
    assert (events['needed'] >= events['needed_0.2']).all()
    assert (out / 'needed_memory.png').stat().st_size > 10_000
    again = tmp_path / 'again'
    assert main([*command, '--out', str(again)]) == 0
    assert (again / 'needed_memory.json').read_bytes() == (out / 'needed_memory.json').read_bytes()


def test_another_policy_is_refused(trials, tmp_path, capsys):
    assert main(['needed-memory', str(trials), '--out', str(tmp_path / 'out')]) == 2
    assert 'another readout' in capsys.readouterr().err


def test_what_was_not_seen_is_left_out_and_said(trials, checkpoint, tmp_path, capsys):
    """A bag without observations beside one with them."""
    from maze_introspection.bag import read_recording

    recording = read_recording(trials / 'trial_001')
    folder = tmp_path / 'bags'
    folder.mkdir()
    write_recording(folder / 'b', recording)
    command = ['needed-memory', str(folder), '--checkpoint', str(checkpoint), '--resamples', '2']
    (folder / 'a').symlink_to(trials / 'trial_000')
    assert main([*command, '--out', str(tmp_path / 'out')]) == 1
    assert f'{recording.steps} steps could not be replayed' in capsys.readouterr().err
    (folder / 'a').unlink()
    assert main([*command, '--out', str(tmp_path / 'out')]) == 2
    assert 'want recordings with every observation' in capsys.readouterr().err


def test_donors_are_of_another_bag_and_of_the_same_ring(trials):
    from maze_introspection.config import NeededConfig
    from maze_introspection.validity.measure import Donors

    bags = sorted(trials.glob('trial_*'))
    pool = Donors(bags, NeededConfig(donors=4), IntrospectionConfig(), None)
    own = stretches(bags[1], IntrospectionConfig())[0][0]
    hidden, cell = pool.memories(bags[1], own)
    ring = np.roll(own.analysis.ring, 1)
    places = {}
    for bag in (bags[0], *bags[2:]):
        analysis = analyze(stretches(bag, IntrospectionConfig())[0][0].analysis.recording)
        for row, where in zip(analysis.recording.hidden, analysis.ring):
            places.setdefault(row.tobytes(), int(where))
    drawn = [places[row.numpy().tobytes()] for row in hidden]  # none is of the bag itself
    known = {where for where in ring.tolist() if where in places.values()}
    assert known
    assert all(got == where for got, where in zip(drawn, ring.tolist()) if where in known)
    assert cell.shape == hidden.shape == own.analysis.recording.hidden.shape
