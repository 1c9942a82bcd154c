"""Trained ground truth: small LSTMs that must recall a symbol a known number of steps after they saw it.

A symbol is shown for one step, `delay` steps later a go signal comes, and in that very step the action must be the
symbol's; in every other step it must be the no-op. When both come is drawn anew for each episode, so nothing but the
memory of the step `delay` steps ago can answer (and `needed` shows for each trained LSTM that it does). Which gates do
what is left to the training. The task is ours, the simplest of those of Hochreiter and Schmidhuber 1997, section 5.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from maze_introspection.analysis import Analysis, analyze
from maze_introspection.config import IntrospectionConfig
from maze_introspection.offset import step_offsets
from maze_introspection.validity.ground_truth import NEAR
from maze_introspection.validity.lstm import Lstm, play
from maze_policy.policy import GATE_NAMES

Float32 = npt.NDArray[np.float32]
Steps = npt.NDArray[np.int64]

SYMBOLS, NOISES, CHANNELS = 4, 3, 32
LATEST, AFTER = 40, 10  # the symbol is shown at step 0 to LATEST - 1; an episode ends AFTER steps after the go signal
NOISE = 0.1  # standard deviation, on the lines of symbols and go; the others are nothing but noise, of 1
BATCH, LEARNING_RATE, CLIP = 64, 5e-3, 1.0
ITERATIONS, SURE = 3000, 25  # ends early when so many batches in a row were all answered rightly (99 %)
EPISODES = 100
DRAWS = 20


class Recall(NamedTuple):
    """Episodes of the task: inputs (E, T, m), the action wanted at each step (E, T), the step of the go signal (E,)."""

    inputs: Float32
    action: Steps
    go: Steps


def episodes(delay: int, count: int, rng: np.random.Generator) -> Recall:
    """So many episodes, each of LATEST + delay + AFTER steps."""
    steps = LATEST + delay + AFTER
    seen = rng.standard_normal((count, steps, SYMBOLS + 1 + NOISES))
    seen[..., : SYMBOLS + 1] *= NOISE
    each, symbol, shown = np.arange(count), rng.integers(SYMBOLS, size=count), rng.integers(LATEST, size=count)
    go = shown + delay
    seen[each, shown, symbol] += 1
    seen[each, go, SYMBOLS] += 1
    action = np.full((count, steps), SYMBOLS)
    action[each, go] = symbol
    return Recall(seen.astype(np.float32), action, go)


def train(delay: int, seed: int) -> tuple[Lstm, int]:
    """An LSTM trained on the task, and the number of batches that it took; the same seed gives the same one.

    As in our policy: readout without bias, forget bias +1 at first, five actions.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, delay])
    lstm = nn.LSTM(SYMBOLS + 1 + NOISES, CHANNELS, batch_first=True)
    readout = nn.Linear(CHANNELS, SYMBOLS + 1, bias=False)
    _, _, bias_in, bias_back = lstm.all_weights[0]
    with torch.no_grad():
        bias_back[CHANNELS : 2 * CHANNELS] = 1.0
    weights = [*lstm.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(weights, lr=LEARNING_RATE)
    right = batches = 0
    while right < SURE and batches < ITERATIONS:
        batch = episodes(delay, BATCH, rng)
        scores = readout(lstm(torch.from_numpy(batch.inputs))[0])
        wanted, each = torch.from_numpy(batch.action), torch.arange(BATCH)
        asked = scores[each, batch.go]
        symbol = wanted[each, batch.go]
        # The one step that is asked for weighs as much as all others together.
        loss = functional.cross_entropy(scores.flatten(0, 1), wanted.flatten()) + functional.cross_entropy(
            asked, symbol
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        right = right + 1 if (asked.argmax(dim=1) == symbol).float().mean() >= 0.99 else 0
        batches += 1
    weight_in, weight_back = (part.detach().numpy() for part in lstm.all_weights[0][:2])
    bias = (bias_in + bias_back).detach().numpy()
    return Lstm(weight_in, weight_back, bias, readout.weight.detach().numpy()), batches


def needed(lstm: Lstm, test: Recall) -> tuple[int, list[float]]:
    """How many steps of memory the answer needs, and the share of right answers for each number of steps kept.

    Memory is zeroed k steps before the go signal, k = 0, 1, ... as far as the earliest symbol allows; needed is the
    smallest k from which on at least 95 % of what is answered rightly with all memory still is.
    """
    each = np.arange(len(test.go))
    symbol = test.action[each, test.go]
    right = []
    for kept in range(int(test.go.min()) + 1):
        late = [inputs[go - kept : go + 1] for inputs, go in zip(test.inputs, test.go)]
        action = play(lstm, late).action.reshape(len(late), -1)[:, -1]
        right.append(float((action == symbol).mean()))
    everything = [inputs[: go + 1] for inputs, go in zip(test.inputs, test.go)]
    ends = np.cumsum([len(inputs) for inputs in everything]) - 1
    whole = float((play(lstm, everything).action[ends] == symbol).mean())
    short = np.flatnonzero(np.array(right) < 0.95 * whole)
    return int(short.max() + 1 if len(short) else 0), [*right, whole]


def read(delay: int, seed: int, config: IntrospectionConfig = IntrospectionConfig()) -> list[dict[str, Any]]:  # noqa: B008
    """Train one and say what the offsets at the go signal say of it: one row per gate, see `judge`."""
    lstm, batches = train(delay, seed)
    return [{'delay': delay, 'seed': seed, 'batches': batches, **row} for row in judge(lstm, delay, seed, config)]


def judge(lstm: Lstm, delay: int, seed: int, config: IntrospectionConfig) -> list[dict[str, Any]]:
    """What the offsets at the go signal say of an LSTM trained for a delay: one row per gate.

    Counted are the salient channels at the steps with the go signal (`events`): those whose gate is then `shut`, whose
    run is `censored`, whose offset is `shorter` than the delay, `near` it (within `NEAR`) or `longer`. `chance_near` is
    the mean of the same share as `near` / `events` when each channel's gate is that of another, drawn DRAWS times.
    """
    test = episodes(delay, EPISODES, np.random.default_rng([seed, delay, 1]))
    need, right = needed(lstm, test)
    analysis = analyze(play(lstm, list(test.inputs), f'recall, delay {delay}, seed {seed}'), config)
    asked = np.arange(EPISODES) * test.inputs.shape[1] + test.go
    about = {
        'right': right[-1],
        'right_without_cue': right[delay - 1] if delay else np.nan,
        'right_with_cue': right[delay] if delay < len(right) - 1 else np.nan,
        'needed': need,
        'salient': int(analysis.salient[asked].sum()),
    }
    return [{**about, 'gate': name, **_at(analysis, gate, asked, delay, seed)} for gate, name in GATE_NAMES.items()]


def _at(analysis: Analysis, gate: int, asked: Steps, delay: int, seed: int) -> dict[str, Any]:
    """The counts of `read` and the offsets that are not censored."""
    gates, config = analysis.recording.gates[:, gate], analysis.config
    events = int(analysis.salient[asked].sum())

    def offsets(pairing: Steps | slice) -> npt.NDArray[np.void]:
        rows = step_offsets(gates[:, pairing], analysis.salient, config.theta_g, begins=analysis.begins)
        return rows[np.isin(rows['t'], asked)]

    rng = np.random.default_rng([seed, delay, 2])
    chance = []
    for _ in range(DRAWS):
        drawn = offsets(rng.permutation(gates.shape[1]))
        chance.append(int((~drawn['censored'] & (np.abs(drawn['offset'] - delay) <= NEAR)).sum()) / max(events, 1))
    rows = offsets(slice(None))
    sure = rows['offset'][~rows['censored']]
    quartiles = np.percentile(sure, [25, 50, 75]) if len(sure) else [np.nan] * 3
    return {
        'events': events,
        'shut': events - len(rows),
        'censored': len(rows) - len(sure),
        'shorter': int((sure < delay - NEAR).sum()),
        'near': int((np.abs(sure - delay) <= NEAR).sum()),
        'longer': int((sure > delay + NEAR).sum()),
        'q1': quartiles[0],
        'median': quartiles[1],
        'q3': quartiles[2],
        'chance_near': float(np.mean(chance)),
    }
