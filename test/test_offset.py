from __future__ import annotations

import numpy as np
import pytest

from maze_introspection.offset import OFFSET, OffsetTracker, interval_offsets, step_offsets


def naive(gate, share, theta_g, theta_c, begins):
    """The definition, word for word: (channel, t0, t, offset, censored), sorted by (t, channel)."""
    rows = []
    for channel in range(gate.shape[1]):
        t0 = None
        for t in range(len(gate)):
            if t == 0 or begins[t]:
                t0 = None
            if not gate[t, channel] > theta_g:
                t0 = None
                continue
            if t0 is None:
                t0, found = t, False
            if not found and share[t, channel] > theta_c:
                rows.append((channel, t0, t, t - t0, bool(t0 == 0 or begins[t0])))
                found = True
    return sorted(rows, key=lambda row: (row[2], row[0]))


def column(*values):
    return np.array(values, dtype=np.float32)[:, None]


def test_hand_worked_interval():
    gate = column(0.1, 0.6, 0.9, 0.9, 0.9, 0.5, 0.7, 0.2)
    share = column(0.5, 0.0, 0.0, 0.3, 0.3, 0.3, 0.0, 0.5)
    # Run [1, 4]: first contribution at 3. At 5 the gate is 0.5, not above it. Run [6, 6] never contributes.
    assert interval_offsets(gate, share, 0.5, 0.02).tolist() == [(0, 1, 3, 2, False)]
    assert interval_offsets(gate, share).dtype == OFFSET


def test_a_run_open_at_the_start_is_censored():
    rows = interval_offsets(column(0.9, 0.9, 0.9), column(0.0, 0.0, 0.5), 0.5, 0.02)
    assert rows.tolist() == [(0, 0, 2, 2, True)]


def test_a_new_beginning_ends_runs_and_censors_those_open_at_it():
    gate, share = column(0.1, 0.9, 0.9, 0.9, 0.1, 0.9), column(0.0, 0.5, 0.0, 0.5, 0.0, 0.5)
    begins = np.array([True, False, True, False, False, False])
    assert interval_offsets(gate, share, 0.5, 0.02, begins=begins).tolist() == [
        (0, 1, 1, 0, False),
        (0, 2, 3, 1, True),
        (0, 5, 5, 0, False),
    ]


def test_values_equal_to_a_threshold_do_not_exceed_it():
    assert len(interval_offsets(column(0.5, 0.5), column(1.0, 1.0), 0.5, 0.02)) == 0
    assert len(interval_offsets(column(0.1, 0.9), column(0.25, 0.25), 0.5, 0.25)) == 0


def test_step_offsets_count_every_salient_step_of_a_run():
    gate = column(0.1, 0.6, 0.9, 0.9, 0.2)
    mask = np.array([[True], [False], [True], [True], [True]])
    assert step_offsets(gate, mask).tolist() == [(0, 1, 2, 1, False), (0, 1, 3, 2, False)]


def test_sorted_by_step_then_channel():
    gate = np.array([[0.1] * 3, [0.9] * 3, [0.9] * 3])
    share = np.array([[0, 0, 0], [0, 0, 0.5], [0.3, 0.3, 0.3]])
    rows = interval_offsets(gate, share)
    assert [(row['t'], row['channel']) for row in rows] == [(1, 2), (2, 0), (2, 1)]


def random_case(seed):
    """Ties with the thresholds, silent (all-negative) steps, one-step episodes and runs open at the start included."""
    rng = np.random.default_rng(seed)
    steps, channels = int(rng.integers(1, 30)), int(rng.integers(1, 8))
    gate = rng.choice([0.0, 0.25, 0.5, 0.5000001, 0.75, 1.0], size=(steps, channels)).astype(np.float32)
    share = rng.choice([0.0, 0.1, 0.25, 0.5], size=(steps, channels)).astype(np.float32)
    share[rng.random(steps) < 0.2] = 0
    begins = rng.random(steps) < rng.choice([0.0, 0.1, 0.5])
    begins[0] = True
    return gate, share, float(rng.choice([0.25, 0.5])), float(rng.choice([0.0, 0.1, 0.25])), begins


def test_streaming_equals_batch_equals_the_double_loop_on_1000_cases():
    censored = one_step = ties = silent = found = 0
    for seed in range(1000):
        gate, share, theta_g, theta_c, begins = random_case(seed)
        want = naive(gate, share, theta_g, theta_c, begins)
        batch = interval_offsets(gate, share, theta_g, theta_c, begins=begins)
        tracker, first, streamed = OffsetTracker(gate.shape[1], theta_g, theta_c), 0, []
        for t in range(len(gate)):
            if begins[t]:
                tracker.reset()
                first = t
            for row in tracker.step(gate[t], share[t]).tolist():
                streamed.append((row[0], row[1] + first, row[2] + first, *row[3:]))
        assert batch.tolist() == want == streamed
        mask = share > theta_c
        every = step_offsets(gate, mask, theta_g, begins=begins)
        assert len(every) == int((mask & (gate > theta_g)).sum())
        earliest = {row[:2]: row for row in reversed(every.tolist())}
        assert sorted(earliest.values()) == sorted(want)
        found += len(want)
        censored += sum(row[4] for row in want)
        one_step += int(np.any(begins[:-1] & begins[1:])) or len(gate) == 1
        ties += int(np.any(gate == theta_g) and np.any(share == theta_c))
        silent += int(np.any(~share.any(axis=1)))
    assert min(found, censored, one_step, ties, silent) > 100


def test_a_refused_step_has_not_happened():
    tracker = OffsetTracker(2, 0.5, 0.02)
    tracker.step(np.array([0.1, 0.9]), np.zeros(2))
    good = np.zeros(2)
    for gate, share in (
        (np.array([0.9, np.nan]), good),
        (np.zeros(3), good),
        (good, good[:1]),
        (good, np.array([0, np.inf])),
    ):
        with pytest.raises(ValueError, match='got'):
            tracker.step(gate, share)
    assert tracker.step(np.array([0.9, 0.9]), np.ones(2)).tolist() == [(0, 1, 1, 0, False), (1, 0, 1, 1, True)]


@pytest.mark.parametrize(
    ('gate', 'share', 'message'),
    [
        (np.zeros(3), np.zeros(3), r'want gate \(T, n_l\), got \(3,\)'),
        (np.zeros((3, 2)), np.zeros((3, 4)), r'want share \(3, 2\) to match gate, got \(3, 4\)'),
        (np.array([[0.0, np.nan], [np.nan, 0.0]]), np.zeros((2, 2)), r'finite gate.*\(0, 1\)'),
        (np.zeros((1, 2)), np.array([[np.inf, 0.0]]), r'finite share.*\(0, 0\)'),
    ],
)
def test_bad_input(gate, share, message):
    with pytest.raises(ValueError, match=message):
        interval_offsets(gate, share)


def test_bad_mask_and_beginnings():
    for mask in (np.zeros((2, 2)), np.zeros((2, 3), dtype=bool)):
        with pytest.raises(ValueError, match='mask bool'):
            step_offsets(np.zeros((2, 2)), mask)
    with pytest.raises(ValueError, match='finite gate'):
        step_offsets(np.array([[np.nan]]), np.ones((1, 1), dtype=bool))
    with pytest.raises(ValueError, match=r'begins \(2,\), got \(3,\)'):
        interval_offsets(np.zeros((2, 2)), np.zeros((2, 2)), begins=np.zeros(3, dtype=bool))


def test_no_steps_no_offsets():
    assert len(interval_offsets(np.zeros((0, 4)), np.zeros((0, 4)))) == 0


def test_offsets_of_an_hour_fit_into_their_rows():
    want = [('channel', '<i4'), ('t0', '<i4'), ('t', '<i4'), ('offset', '<i4'), ('censored', '|b1')]
    assert OFFSET.descr == want
    gate, share = np.ones((100_000, 1)), np.zeros((100_000, 1))
    gate[0], share[-1] = 0, 1
    assert interval_offsets(gate, share).tolist() == [(0, 1, 99_999, 99_998, False)]
    tracker, gate, share = OffsetTracker(1), np.zeros(1), np.ones(1)
    for _ in range(40_000):
        tracker.step(gate, share)
    assert tracker.step(gate + 1, share).tolist() == [(0, 40_000, 40_000, 0, False)]
