"""Ground truth: LSTMs built by hand whose channels open a gate at a cue and contribute exactly `delay` steps later.

No weight is trained and nothing is written into a recording: inputs go in, and the LSTM equations do the rest.

The construction, for a delay d. Gates work as switches: an open one gets `gain` as its input, a shut one -`gain`.

- *Delay line*, d helper channels. Input 0 is 1 at a cue, else 0. It opens the input gate of helper 0; the hidden value
  of helper k opens the input gate of helper k + 1, one step later. The forget gates stay shut and the candidates are 1,
  so the helpers are a shift register: k + 1 steps after a cue it is helper k whose hidden value the others get. The
  readout does not see them. Several cues may be on their way.
- *Measured channels*, one for each gate. That gate is open while a cue is 0 to d steps old. What the others do:
  *input*: the candidate is 1 when the cue is d steps old, else -1; nothing is kept, the output gate is always open.
  *forget*: the textbook's memory: the input gate lets a 1 in at the cue, the forget gate holds it, the output gate lets
  it out when the cue is d steps old. *output*: the input gate lets a 1 in when the cue is d steps old, nothing is kept.
  All three pull at one action with weight 1.
- *Distractors*, random channels (random weights, slow random inputs of their own, connected among themselves) that pull
  at all actions and against them.

What departs from the ideal is in `ValidateConfig`: noise on inputs and weights, cues that overlap, gates that do not
shut well (`gain`) or rest nearer to open (`gate_bias`), and loud distractors. All of it is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maze_introspection.analysis import Analysis, analyze
from maze_introspection.config import IntrospectionConfig, ValidateConfig
from maze_introspection.validity.lstm import Lstm, play
from maze_policy.policy import CANDIDATE, FORGET, GATE_NAMES, INPUT, OUTPUT

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

ACTIONS = 5
SLOW_INPUTS = 8
SLOWNESS = 0.9  # correlation of a distractor's input with itself one step later
NEAR = 1  # an offset this near to the delay, in steps, is recovered
BAR = 0.95  # the least share of channels, at every delay, whose median offset is to be that near


class Trial(NamedTuple):
    """A hand-built LSTM that ran.

    Attributes:
        analysis: what the tool says of it.
        delay: the truth, steps.
        channel: gate -> the channel built to be measured by that gate.
        cue: steps with a cue, shape (T,).
    """

    analysis: Analysis
    delay: int
    channel: dict[int, int]
    cue: Bool


def build(delay: int, config: ValidateConfig, rng: np.random.Generator) -> tuple[Lstm, dict[int, int]]:
    """An LSTM with channels that contribute `delay` steps after a cue, as the module says; and which channel is whose.

    Raises:
        ValueError: if the delay is negative.
    """
    if delay < 0:
        raise ValueError(f'want a delay of 0 steps or more, got {delay}')
    channel = {gate: delay + index for index, gate in enumerate(GATE_NAMES)}
    built = delay + len(channel)
    n_l, gain = built + config.distractors, config.gain
    weight_in = np.zeros((4, n_l, 1 + SLOW_INPUTS))
    weight_back, bias = np.zeros((4, n_l, n_l)), np.zeros((4, n_l))
    open_gate = 1 / (1 + np.exp(-gain))
    loud = open_gate * np.tanh(open_gate * np.tanh(gain))  # the hidden value of a helper that was just switched on

    def when(gate: int, of: int, ages: Sequence[int]) -> None:
        """Switch: +gain while a cue is one of these numbers of steps old, else -gain."""
        bias[gate, of] = -gain
        for age in ages:
            if age == 0:
                weight_in[gate, of, 0] = 2 * gain
            else:
                weight_back[gate, of, age - 1] = 2 * gain / loud

    bias[[INPUT, FORGET, CANDIDATE, OUTPUT], :built] = np.array([[-gain], [-gain], [gain], [gain]])
    for helper in range(delay):
        when(INPUT, helper, [helper])
    held = range(delay + 1)
    for gate, of in channel.items():
        when(gate, of, held)
    when(CANDIDATE, channel[INPUT], [delay])
    when(INPUT, channel[FORGET], [0])
    when(OUTPUT, channel[FORGET], [delay])
    when(INPUT, channel[OUTPUT], [delay])
    for gate, of in channel.items():
        bias[gate, of] += config.gate_bias * gain
    for weights in (weight_in, weight_back, bias):
        weights[:, :built] += 2 * gain * config.weight_noise * rng.standard_normal(weights[:, :built].shape)

    others = config.distractors
    weight_in[:, built:, 1:] = rng.standard_normal((4, others, SLOW_INPUTS))
    weight_back[:, built:, built:] = rng.standard_normal((4, others, others)) / np.sqrt(max(others, 1))
    bias[:, built:] = rng.standard_normal((4, others))
    readout = np.zeros((ACTIONS, n_l))
    readout[rng.integers(ACTIONS), list(channel.values())] = 1
    readout[:, built:] = config.distractor_weight * rng.standard_normal((ACTIONS, others))
    lstm = Lstm(
        weight_in=weight_in.reshape(4 * n_l, -1).astype(np.float32),
        weight_back=weight_back.reshape(4 * n_l, n_l).astype(np.float32),
        bias=bias.ravel().astype(np.float32),
        readout=readout.astype(np.float32),
    )
    return lstm, channel


def cues(config: ValidateConfig, rng: np.random.Generator) -> list[npt.NDArray[Any]]:
    """Steps with a cue in each episode: from one to the next half to one and a half times `period`, evenly drawn."""
    found: list[npt.NDArray[Any]] = []
    for _ in range(config.episodes):
        cue = np.zeros(config.episode_steps, dtype=np.bool_)
        low, high = (max(1, round(part * config.period)) for part in (0.5, 1.5))
        at = rng.integers(1, high + 1)
        while at < len(cue):
            cue[at] = True
            at += rng.integers(low, high + 1)
        found.append(cue)
    return found


def inputs(cue: Bool, config: ValidateConfig, rng: np.random.Generator) -> Float32:
    """What the LSTM sees: the cue and the distractors' slow inputs, all with noise, shape (T, 1 + SLOW_INPUTS)."""
    seen = rng.standard_normal((len(cue), 1 + SLOW_INPUTS))
    for t in range(1, len(cue)):
        seen[t, 1:] = SLOWNESS * seen[t - 1, 1:] + np.sqrt(1 - SLOWNESS**2) * seen[t, 1:]
    seen[:, 0] = cue
    return (seen + config.input_noise * rng.standard_normal(seen.shape)).astype(np.float32)


def run(
    delay: int,
    config: ValidateConfig,
    seed: Sequence[int],
    introspection: IntrospectionConfig = IntrospectionConfig(),  # noqa: B008 (frozen)
) -> Trial:
    """Build one, run it over its cues and analyse it as any recording is analysed."""
    rng = np.random.default_rng(seed)
    lstm, channel = build(delay, config, rng)
    cue = cues(config, rng)
    recording = play(lstm, [inputs(one, config, rng) for one in cue], f'hand-built, delay {delay}')
    return Trial(analyze(recording, introspection), delay, channel, np.concatenate(cue))


def read(trial: Trial) -> list[dict[str, Any]]:
    """What each gate says of each measured channel: one row per channel (by the gate it is `built` for) and gate.

    Columns: `delay`; `built`; `gate`; `cues` whose contribution falls into their episode; `runs` of the gate;
    `offsets`, not censored; `censored`; `median`, `q1`, `q3` of the offsets, NaN without any; `near`, how many are
    within `NEAR` of the delay; `exact`, how many are the delay; `found`, how many of the cues have an offset within
    `NEAR` in a run that begins at the cue; `step_median`, of the offsets per salient step.
    """
    analysis, delay = trial.analysis, trial.delay
    episode = analysis.recording.episode
    at = np.flatnonzero(trial.cue)
    due = at[at + delay < len(episode)]
    due = due[episode[due] == episode[due + delay]]
    rows = []
    for gate, name in GATE_NAMES.items():
        every = analysis.of_gate(gate)
        salient = analysis.step_offsets(gate)
        for built, channel in trial.channel.items():
            own = every[every['channel'] == channel]
            steps = salient[(salient['channel'] == channel) & ~salient['censored']]
            is_open = analysis.recording.gates[:, gate, channel] > analysis.config.theta_g
            begins = is_open & (np.diff(is_open, prepend=False) | analysis.begins)
            sure = own[~own['censored']]
            near = np.abs(sure['offset'] - delay) <= NEAR
            quartiles = np.percentile(sure['offset'], [25, 50, 75]) if len(sure) else [np.nan] * 3
            rows.append(
                {
                    'delay': delay,
                    'built': GATE_NAMES[built],
                    'gate': name,
                    'cues': len(due),
                    'runs': int(begins.sum()),
                    'offsets': len(sure),
                    'censored': len(own) - len(sure),
                    'q1': quartiles[0],
                    'median': quartiles[1],
                    'q3': quartiles[2],
                    'near': int(near.sum()),
                    'exact': int((sure['offset'] == delay).sum()),
                    'found': int(np.isin(sure['t0'][near], due).sum()),
                    'step_median': np.median(steps['offset']) if len(steps) else np.nan,
                }
            )
    return rows
