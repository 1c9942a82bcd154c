"""Recordings made up for tests: random, but the LSTM recurrence holds wherever nothing was broken on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from maze_introspection.config import IntrospectionConfig
from maze_introspection.introspection import Introspection
from maze_introspection.recording import LIVE_OFFSET, Live, Recording
from maze_policy.maze import load_maze

STEP_NS = 33_333_333


def lstm_steps(steps: int, channels: int, seed: int, resets: tuple[int, ...] = (0,)):
    """Gates (T, 4, n_l), hidden and cell (T, n_l) of an LSTM driven by slow random noise, float32."""
    rng = np.random.default_rng(seed)
    drive = np.cumsum(rng.normal(size=(steps, 4, channels)), axis=0) / 3 + rng.normal(size=(4, channels))
    gates = (1 / (1 + np.exp(-drive))).astype(np.float32)
    gates[:, 2] = np.tanh(drive[:, 2])
    hidden, cell = np.empty((2, steps, channels), dtype=np.float32)
    c = np.zeros(channels, dtype=np.float32)
    for t in range(steps):
        i, f, g, o = gates[t]
        c = f * (np.zeros_like(c) if t in resets else c) + i * g
        cell[t], hidden[t] = c, o * np.tanh(c)
    return gates, hidden, cell


def made_recording(
    steps: int = 300, channels: int = 16, seed: int = 0, resets: tuple[int, ...] = (0,), solved: bool = True
) -> Recording:
    """Each reset begins an episode, in which the ball spirals from the rim inwards, to the centre if `solved`."""
    gates, hidden, cell = lstm_steps(steps, channels, seed, resets)
    readout = np.random.default_rng(seed + 1).normal(size=(5, channels + 1)).astype(np.float32)
    readout[:, -1] = 0
    episode = np.cumsum(np.isin(np.arange(steps), resets)) - 1
    ball_m = np.empty((steps, 2))
    for index in range(len(resets)):
        here = episode == index
        angle = np.linspace(0, 9, here.sum())
        distance = np.linspace(0.088, 0.0 if solved else 0.03, here.sum())
        ball_m[here] = distance[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return Recording(
        stamp_ns=np.arange(1, steps + 1, dtype=np.int64) * STEP_NS,
        gates=gates,
        hidden=hidden,
        cell=cell,
        scores=(hidden.astype(np.float64) @ readout[:, :-1].T.astype(np.float64)).astype(np.float32),
        readout=readout,
        episode=episode,
        episode_ids=tuple(f'episode-{index}' for index in range(len(resets))),
        tilt_rad=np.zeros((steps, 2)),
        ball_m=ball_m,
        maze=load_maze(),
        source='made up',
    )


def keeping(recording: Recording, keep) -> Recording:
    """Only some of the steps, as if the others had been lost."""
    per_step = ('stamp_ns', 'gates', 'hidden', 'cell', 'scores', 'episode', 'tilt_rad', 'ball_m')
    return replace(recording, **{name: getattr(recording, name)[keep] for name in per_step})


def with_live(
    recording: Recording,
    config: IntrospectionConfig = IntrospectionConfig(),  # noqa: B008
    since: int = 0,
    changes: Mapping[int, IntrospectionConfig] | None = None,
) -> Recording:
    """With what a live node that came at step `since` would have said, computed step by step as it does.

    `changes` are other parameters that somebody set before these steps.
    """
    looking = Introspection(config)
    looking.set_readout(recording.readout)
    share, rows = np.full_like(recording.hidden, np.nan), [np.empty(0, dtype=LIVE_OFFSET)]
    changes = changes or {}
    config_of = np.zeros(recording.steps, np.int64)
    for t in range(since, recording.steps):
        if t in changes:
            looking.set_config(changes[t])
            config_of[t:] += 1
        parts = (recording.gates[t], recording.hidden[t], recording.cell[t], recording.scores[t])
        insight = looking.step(*parts, stamp_ns=int(recording.stamp_ns[t]))
        share[t] = insight.share
        live = np.empty(len(insight.offsets), dtype=LIVE_OFFSET)
        live['step'], live['action'], live['distance_m'] = t, insight.action, np.hypot(*recording.ball_m[t])
        for name in ('gate', 'channel', 'offset', 'censored'):
            live[name] = insight.offsets[name]
        rows.append(live)
    return replace(recording, live=Live(share, np.concatenate(rows), (config, *changes.values()), config_of))
