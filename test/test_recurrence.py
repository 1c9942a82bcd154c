from __future__ import annotations

import numpy as np
import pytest
from made import lstm_steps

from maze_introspection.recurrence import CONTINUES, CORRUPT, GAP, RESET, continuity


def test_whole_episodes_reset_and_continue():
    steps = lstm_steps(50, 12, seed=1, resets=(0, 20, 21))
    relation = continuity(*steps)
    assert np.flatnonzero(relation == RESET).tolist() == [0, 20, 21]
    assert (np.delete(relation, [0, 20, 21]) == CONTINUES).all()


@pytest.mark.parametrize('missing', [1, 5, 48])
def test_a_missing_step_is_a_gap(missing):
    gates, hidden, cell = (np.delete(values, missing, axis=0) for values in lstm_steps(50, 12, seed=2))
    assert np.flatnonzero(continuity(gates, hidden, cell) == GAP).tolist() == [missing]


def test_a_missing_first_step_is_a_gap():
    gates, hidden, cell = (values[1:] for values in lstm_steps(50, 12, seed=3))
    assert np.flatnonzero(continuity(gates, hidden, cell) == GAP).tolist() == [0]


def test_one_wrong_channel_of_hidden_is_corrupt():
    gates, hidden, cell = lstm_steps(50, 12, seed=4)
    hidden[17, 3] += 1e-3
    relation = continuity(gates, hidden, cell)
    assert np.flatnonzero(relation == CORRUPT).tolist() == [17]


def test_one_wrong_channel_of_cell_shows_there_and_in_the_next_step():
    gates, hidden, cell = lstm_steps(50, 12, seed=5)
    cell[17, 3] += 1e-3
    hidden[17, 3] = gates[17, 3, 3] * np.tanh(cell[17, 3])
    assert np.flatnonzero(continuity(gates, hidden, cell) == GAP).tolist() == [17, 18]


def test_float32_rounding_of_large_cells_is_allowed():
    rng = np.random.default_rng(6)
    gates = np.full((200, 4, 8), 0.999999, dtype=np.float32)
    gates[:, 2] = rng.uniform(0.9, 1, size=(200, 8))
    cell, c = np.empty((200, 8), dtype=np.float32), np.zeros(8, dtype=np.float32)
    for t, (i, f, g, _) in enumerate(gates):
        c = cell[t] = f * c + i * g
    assert cell.max() > 150
    relation = continuity(gates, gates[:, 3] * np.tanh(cell), cell)
    assert relation[0] == RESET
    assert (relation[1:] == CONTINUES).all()


def test_step_by_step_equals_batch():
    steps = lstm_steps(3000, 5, seed=7, resets=(0, 1000))
    gates, hidden, cell = (np.delete(values, [500, 1024], axis=0) for values in steps)
    batch = continuity(gates, hidden, cell)
    before = None
    for t in range(len(gates)):
        rows = slice(t, t + 1)
        assert continuity(gates[rows], hidden[rows], cell[rows], first_cell=before)[0] == batch[t]
        before = cell[t]
    assert set(batch.tolist()) == {CONTINUES, RESET, GAP}


def test_bad_shapes():
    with pytest.raises(ValueError, match=r'got \(3, 4, 2\), \(3, 2\), \(3, 5\)'):
        continuity(np.zeros((3, 4, 2)), np.zeros((3, 2)), np.zeros((3, 5)))
