"""Hand-built LSTMs: that they are LSTMs, that their delay is what it claims, and that the tool finds it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maze_introspection.analysis import analyze
from maze_introspection.config import IntrospectionConfig, ValidateConfig
from maze_introspection.recording import join
from maze_introspection.validity.ground_truth import build, cues, inputs, read, run
from maze_introspection.validity.lstm import APART_NS, Lstm, play
from maze_policy.policy import FORGET, GATE_NAMES, INPUT, OUTPUT

SHORT = ValidateConfig(episodes=1, episode_steps=300, input_noise=0.0, weight_noise=0.0, distractors=16)
ours = settings(deadline=None, max_examples=12, derandomize=True)


def cue_at(steps, *at):
    cue = np.zeros(steps, dtype=np.bool_)
    cue[list(at)] = True
    return cue


def ran(delay, cue, config=SHORT, seed=0):
    """Built with this seed and run over these cues: analysis and the channel of each gate."""
    rng = np.random.default_rng(seed)
    lstm, channel = build(delay, config, rng)
    return analyze(play(lstm, [inputs(cue, config, rng)])), channel


def of_channel(rows, channel):
    return [(row['t0'], row['t'], row['offset'], row['censored']) for row in rows[rows['channel'] == channel]]


def own(rows):
    return {row['gate']: row for row in rows if row['gate'] == row['built']}


def test_it_is_the_lstm_of_torch():
    torch = pytest.importorskip('torch')
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(5, 7)
    _, _, bias_in, bias_back = theirs.all_weights[0]
    weight_in, weight_back = (part.detach().numpy() for part in theirs.all_weights[0][:2])
    lstm = Lstm(weight_in, weight_back, (bias_in + bias_back).detach().numpy(), np.eye(3, 7, dtype=np.float32))
    episodes = [np.random.default_rng(episode).normal(size=(40, 5)) for episode in range(2)]
    recording = play(lstm, episodes)
    for episode, seen in enumerate(episodes):
        with torch.no_grad():
            hidden, (_, cell) = theirs(torch.tensor(seen, dtype=torch.float32))
        mine = recording.only(episode)
        np.testing.assert_allclose(mine.hidden, hidden.numpy(), atol=1e-6)
        np.testing.assert_allclose(mine.cell[-1], cell[0].numpy(), atol=1e-6)
    analysis = analyze(recording)
    assert analysis.complete
    assert np.flatnonzero(analysis.begins).tolist() == [0, 40]


def test_weights_that_do_not_fit_are_refused():
    zeros = np.zeros((8, 2), np.float32)
    with pytest.raises(ValueError, match=r'want bias of shape \(8,\), got \(4,\)'):
        Lstm(zeros, zeros, np.zeros(4, np.float32), np.zeros((5, 2), np.float32))
    with pytest.raises(ValueError, match='want a delay of 0 steps or more, got -1'):
        build(-1, SHORT, np.random.default_rng(0))


@pytest.mark.parametrize('delay', [0, 1, 2, 13, 60])
def test_the_truth_does_not_come_from_the_tool_that_it_judges(delay):
    """Gate open for the whole delay, and the pull at the action due then, read off the arrays without offset.py."""
    at = np.array([5, 90, 170])
    analysis, channel = ran(delay, cue_at(300, *at))
    recording = analysis.recording
    for gate, own_channel in channel.items():
        is_open = np.flatnonzero(recording.gates[:, gate, own_channel] > 0.5)
        assert is_open.tolist() == [t for cue in at for t in range(cue, cue + delay + 1)]
        pull = recording.readout[:, own_channel].max() * recording.hidden[:, own_channel]
        assert np.flatnonzero(pull > 0.01).tolist() == (at + delay).tolist()
        assert pull[at + delay] == pytest.approx(0.76, abs=0.02)


def test_without_noise_every_offset_is_the_delay_at_every_delay():
    for delay in range(61):
        trial = run(delay, SHORT, [1, delay])
        for gate, row in own(read(trial)).items():
            assert row['offsets'] == row['exact'] == row['found'] == row['cues'] > 0, (delay, gate, row)
            assert row['censored'] == 0
            assert row['median'] == delay
        for gate, channel in trial.channel.items():
            steps = trial.analysis.step_offsets(gate)
            assert set(steps[steps['channel'] == channel]['offset'].tolist()) <= {delay}


def test_with_noise_channels_are_recovered_and_with_a_lot_they_are_not():
    noisy = replace(SHORT, input_noise=0.1, weight_noise=0.02, episodes=2)
    loud = replace(SHORT, input_noise=0.5, episodes=2)
    for delay in (0, 20, 60):
        for copy in range(3):
            for row in own(read(run(delay, noisy, [2, delay, copy]))).values():
                assert abs(row['median'] - delay) <= 1, row
    for copy in range(3):
        for row in own(read(run(60, loud, [3, copy]))).values():
            assert row['found'] < row['cues'] / 2  # a single run may go through the whole episode, and begin with 60


def test_another_gate_than_the_one_that_holds_says_nothing_or_zero():
    said = {(row['built'], row['gate']): row for row in read(run(20, SHORT, [4]))}
    memory = said['forget', 'forget']
    assert memory['exact'] == memory['cues'] > 0
    assert said['forget', 'input']['offsets'] == said['forget', 'input']['censored'] == 0
    assert said['forget', 'input']['runs'] == memory['runs'], 'it did open, at every cue'
    assert said['forget', 'output']['median'] == 0
    assert said['output', 'input']['median'] == 0
    assert said['output', 'forget']['runs'] == 0
    assert said['input', 'output']['offsets'] == 0
    assert said['input', 'output']['censored'] == 1


def test_cues_that_overlap_share_a_run_and_only_the_first_has_an_offset():
    analysis, channel = ran(5, cue_at(60, 10, 13, 40))
    for gate in GATE_NAMES:
        assert of_channel(analysis.of_gate(gate), channel[gate]) == [(10, 15, 5, False), (40, 45, 5, False)]
    # Per salient step, the second cue's contribution counts from the first cue: 8, not 5.
    steps = analysis.step_offsets(FORGET)
    found = of_channel(steps, channel[FORGET])
    assert (10, 18, 8, False) in found or not analysis.salient[18, channel[FORGET]]
    alone = replace(analysis.recording, readout=analysis.recording.readout.copy())
    alone.readout[:, [channel[INPUT], channel[OUTPUT]]] = 0
    alone = replace(alone, scores=(alone.hidden @ alone.readout[:, :-1].T).astype(np.float32))
    steps = analyze(alone).step_offsets(FORGET)
    assert of_channel(steps, channel[FORGET]) == [(10, 15, 5, False), (10, 18, 8, False), (40, 45, 5, False)]


@pytest.mark.parametrize(('bias', 'censored'), [(1.5, True), (-1.5, False)])
def test_a_gate_stuck_open_is_censored_and_one_stuck_shut_says_nothing(bias, censored):
    rows = own(read(run(8, replace(SHORT, gate_bias=bias), [5])))
    assert all(row['offsets'] == 0 for row in rows.values())
    assert [row['censored'] > 0 for row in rows.values()] == [censored] * 3


def test_a_cue_too_near_to_the_end_is_not_due_and_one_at_the_first_step_is_censored():
    analysis, channel = ran(6, cue_at(30, 0, 27))
    assert of_channel(analysis.of_gate(OUTPUT), channel[OUTPUT]) == [(0, 6, 6, True)]
    trial = run(20, replace(SHORT, episode_steps=60, episodes=4, period=30), [6])
    begin = np.flatnonzero(trial.analysis.begins)
    assert len(begin) == 4
    due = sum(t + 20 < end for t, end in zip(np.flatnonzero(trial.cue), np.repeat([60, 120, 180, 240], 60)[trial.cue]))
    assert own(read(trial))['output']['cues'] == due < trial.cue.sum()


def test_cues_come_as_often_as_asked():
    config = replace(SHORT, period=20, episodes=40)
    found = cues(config, np.random.default_rng(0))
    gaps = np.concatenate([np.diff(np.flatnonzero(cue)) for cue in found])
    assert gaps.mean() == pytest.approx(20, abs=0.6)
    assert (gaps.min(), gaps.max()) == (10, 30)


@ours
@given(st.integers(0, 25), st.integers(0, 2**16), st.randoms(use_true_random=False))
def test_the_order_of_the_channels_does_not_matter(delay, seed, random):
    trial = run(delay, replace(SHORT, input_noise=0.2), [seed])
    recording = trial.analysis.recording
    order = np.array(random.sample(range(recording.channels), recording.channels))
    readout = recording.readout.copy()
    readout[:, :-1] = recording.readout[:, order]
    moved = replace(
        recording,
        gates=recording.gates[:, :, order],
        hidden=recording.hidden[:, order],
        cell=recording.cell[:, order],
        readout=readout,
    )
    place = np.argsort(order)
    found = trial._replace(
        analysis=analyze(moved), channel={gate: int(place[channel]) for gate, channel in trial.channel.items()}
    )
    keep = [{name: value for name, value in row.items() if name != 'step_median'} for row in read(trial)]
    assert str([{name: row[name] for name in keep[0]} for row in read(found)]) == str(keep)


@ours
@given(st.integers(0, 25), st.integers(0, 2**16), st.integers(1, 120))
def test_when_it_happens_does_not_matter(delay, seed, before):
    """The same steps after another episode, and an hour later, have the same offsets."""
    analysis = run(delay, replace(SHORT, input_noise=0.2), [seed]).analysis
    recording = analysis.recording
    earlier = run(delay, replace(SHORT, input_noise=0.2, episode_steps=before + 1), [seed]).analysis.recording
    both = join([earlier, replace(recording, stamp_ns=recording.stamp_ns + APART_NS)], 'both')
    found = analyze(both).offsets
    found = found[found['t'] >= earlier.steps]
    for name in ('t', 't0'):
        found[name] -= earlier.steps
    assert found.tolist() == analysis.offsets.tolist()


@ours
@given(st.integers(0, 25), st.integers(0, 2**16), st.floats(0.01, 100))
def test_the_scale_of_the_readout_does_not_matter(delay, seed, scale):
    analysis = run(delay, replace(SHORT, input_noise=0.2), [seed]).analysis
    recording = analysis.recording
    readout = (recording.readout * scale).astype(np.float32)
    scores = (recording.hidden.astype(np.float64) @ readout[:, :-1].T.astype(np.float64)).astype(np.float32)
    scaled = analyze(replace(recording, readout=readout, scores=scores), IntrospectionConfig())
    assert (scaled.contribution.action == analysis.contribution.action).all()
    assert scaled.offsets.tolist() == analysis.offsets.tolist()
