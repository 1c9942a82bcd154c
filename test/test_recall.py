"""LSTMs trained to recall after a known delay: that they need that delay, and that the counts are what they say."""

from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from maze_introspection.analysis import analyze  # noqa: E402
from maze_introspection.config import IntrospectionConfig  # noqa: E402
from maze_introspection.validity.lstm import Lstm, play  # noqa: E402
from maze_introspection.validity.recall import EPISODES, SYMBOLS, episodes, judge, needed, train  # noqa: E402
from maze_policy.policy import FORGET  # noqa: E402

DELAY = 2


@cache
def trained():
    torch.set_num_threads(1)
    return train(DELAY, 1)[0]


def test_the_answer_is_in_the_step_the_delay_ago_and_nowhere_else():
    task = episodes(DELAY, 300, np.random.default_rng(0))
    each = np.arange(300)
    symbol = task.action[each, task.go]
    shown = task.inputs[each, task.go - DELAY, :SYMBOLS]
    assert (shown.argmax(axis=1) == symbol).mean() > 0.99
    assert (task.inputs[:, :, SYMBOLS].argmax(axis=1) == task.go).mean() > 0.99
    for other in (task.go, task.go - DELAY + 1, task.go - DELAY - 1):
        assert (task.inputs[each, other, :SYMBOLS].argmax(axis=1) == symbol).mean() < 0.4
    assert ((task.action == SYMBOLS).sum(axis=1) == task.inputs.shape[1] - 1).all()
    assert len(set(task.go.tolist())) == 40, 'elapsed time tells nothing'


def test_what_is_trained_answers_and_needs_exactly_the_delay():
    need, right = needed(trained(), episodes(DELAY, 60, np.random.default_rng(5)))
    assert right[-1] == 1
    assert need == DELAY
    assert max(right[:DELAY]) < 0.6


def test_what_looks_at_nothing_needs_nothing():
    lstm = trained()
    blind = Lstm(np.zeros_like(lstm.weight_in), lstm.weight_back, lstm.bias, lstm.readout)
    task = episodes(DELAY, 40, np.random.default_rng(6))
    assert needed(blind, task)[0] in (0, int(task.go.min()) + 1)
    constant = Lstm(*(np.zeros_like(part) for part in (lstm.weight_in, lstm.weight_back, lstm.bias, lstm.readout)))
    need, right = needed(constant, task)
    assert need == 0
    assert set(right) == {right[-1]}
    assert right[-1] == (task.action[np.arange(40), task.go] == 0).mean()


def test_the_same_seed_trains_the_same_weights():
    one, again, other = (train(0, seed)[0].weight_back.tobytes() for seed in (1, 1, 2))
    assert one == again != other


def test_the_counts_are_those_of_a_plain_loop():
    rows = {row['gate']: row for row in judge(trained(), DELAY, 1, IntrospectionConfig())}
    task = episodes(DELAY, EPISODES, np.random.default_rng([1, DELAY, 1]))
    analysis = analyze(play(trained(), list(task.inputs)), IntrospectionConfig())
    steps = task.inputs.shape[1]
    want = dict.fromkeys(('shut', 'censored', 'shorter', 'near', 'longer'), 0)
    for episode, go in enumerate(task.go):
        gate = analysis.recording.gates[episode * steps : (episode + 1) * steps, FORGET]
        for channel in np.flatnonzero(analysis.salient[episode * steps + go]):
            t0 = go
            while t0 >= 0 and gate[t0, channel] > 0.5:
                t0 -= 1
            offset = go - t0 - 1
            if offset < 0:
                want['shut'] += 1
            elif t0 < 0:
                want['censored'] += 1
            else:
                want['near' if abs(offset - DELAY) <= 1 else 'shorter' if offset < DELAY else 'longer'] += 1
    assert {name: rows['forget'][name] for name in want} == want
    for row in rows.values():
        assert (
            sum(row[name] for name in want)
            == row['events']
            == row['salient']
            == analysis.salient[np.arange(EPISODES) * steps + task.go].sum()
        )
        assert row['needed'] == DELAY
        assert 0 <= row['chance_near'] <= 1
