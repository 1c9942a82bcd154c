from __future__ import annotations

import numpy as np
import pytest
from made import made_recording
from test_statistics import hand_made

from maze_introspection.analysis import analyze
from maze_introspection.config import IntrospectionConfig
from maze_introspection.selection import (
    confined_channels,
    enough_steps,
    of_episode,
    ring_moments,
    rows_by_action,
    telling_channel,
)
from maze_introspection.statistics import Channels, channels
from maze_policy.policy import OUTPUT

CONFIG = IntrospectionConfig(theta_c=0.05)


def test_rows_are_sorted_by_action_purest_first_without_the_silent():
    mask = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 1]]
    table = channels(hand_made(mask, [2, 2, 0], [[0.085, 0]] * 3))
    assert rows_by_action(table).tolist() == [3, 0, 1]


def test_moments_are_the_middles_of_the_longest_stays():
    ball = [0.085] * 3 + [0.067] * 2 + [0.085] * 5 + [0.067] * 4 + [0.01]
    analysis = hand_made([[1]] * 15, [0] * 15, [[d, 0] for d in ball])
    assert ring_moments(analysis).tolist() == [7, 12, 14]
    assert ring_moments(analysis, count=2).tolist() == [7, 12]


def test_no_ball_no_moments():
    assert ring_moments(hand_made([[1]] * 3, [0] * 3, [[np.nan, np.nan]] * 3)).tolist() == []


def test_a_shown_channel_has_ten_salient_steps_or_one_percent():
    config = IntrospectionConfig(least_steps=10)
    few, many = (hand_made(np.ones((n, 1)), np.zeros(n), np.zeros((n, 2)), config=config) for n in (300, 3000))
    assert (enough_steps(few), enough_steps(many)) == (10, 30)


def table(**values):
    n = len(values['salient_steps'])
    filled = {name: np.array(values.get(name, np.zeros(n))) for name in Channels._fields}
    return Channels(**filled)


def test_confined_channels_follow_the_rule():
    made = table(
        salient_steps=[50, 50, 50, 9, 50, 50, 50],
        spread_m=[0.03, 0.002, 0.001, 0.0001, 0.04, 0.05, 0.06],
        ring=[4, 4, 3, 2, 4, 2, 0],
        ring_share=[0.9, 1, 1, 1, 0.9, 0.7, 1],
        turn=[0.5, 0, 0, 0, 0.9, 0.4, 1.0],
    )
    # 3 has too few steps, 6 is in the centre, 0 shares its ring with 4, which reaches further around it.
    assert confined_channels(made, least_steps=10) == ([2, 1], [4, 5])


def test_fewer_confined_channels_than_wanted():
    made = table(salient_steps=[50, 50, 50], spread_m=[0.1, 0.2, np.nan], ring=[1, 1, 1], ring_share=[0.5, 0.6, 0.7])
    assert confined_channels(made, least_steps=10) == ([0, 1], [])  # the third was never seen with a ball


def test_the_telling_channel_has_the_most_runs_that_open_well_ahead():
    analysis = analyze(made_recording(600, 32, seed=2), CONFIG)
    ahead = np.zeros(32, dtype=int)
    first = {}
    for channel, t0, _, offset, censored in analysis.step_offsets(OUTPUT).tolist():
        if (channel, t0) not in first and not censored:
            first[channel, t0] = offset
            ahead[channel] += offset >= 3
    assert ahead.max() > 1
    assert ahead[telling_channel(analysis, OUTPUT)] == ahead.max()


def test_an_episode_of_an_analysis_is_the_analysis_of_the_episode():
    recording = made_recording(300, 16, resets=(0, 140))
    part = of_episode(analyze(recording, CONFIG), 1)
    alone = analyze(recording.only(1), CONFIG)
    assert part.offsets.tolist() == alone.offsets.tolist()
    assert part.salient.tolist() == alone.salient.tolist()
    assert part.contribution.share.tobytes() == alone.contribution.share.tobytes()
    assert part.continuity.tolist() == alone.continuity.tolist()
    assert part.begins.tolist() == alone.begins.tolist()


def test_no_such_episode():
    with pytest.raises(IndexError, match='episode 0 to 0, got 3'):
        of_episode(analyze(made_recording(), CONFIG), 3)
