"""What the panel shows, without Qt and ROS."""

import numpy as np
import pytest
from made import made_recording

from maze_introspection.analysis import analyze
from maze_introspection.config import IntrospectionConfig
from maze_introspection.panel.model import FAR_BIN, LONG, PanelModel, Said
from maze_introspection.panel.steps import CAPACITY, MOST_ACTIONS, MOST_CHANNELS, MOVES_AT
from maze_introspection.panel.view import projection
from maze_policy import topics
from maze_policy.board import BoardConfig
from maze_policy.maze import load_maze
from maze_policy.policy import OUTPUT

STEP_NS = 33_333_333
CHANNELS = 6


def take(model, topic, stamp_ns, matrix):
    """As the node takes a message."""
    try:
        model.add(topic, stamp_ns, np.asarray(matrix, np.float32))
    except ValueError as error:
        model.refuse(topic, str(error))
    else:
        model.hear(topic)


def tell(model, t, salient=(), action=0, channels=CHANNELS, stamp_ns=None):
    """One made-up step."""
    stamp_ns = 10**18 + t * STEP_NS if stamp_ns is None else stamp_ns
    scores = np.zeros((1, 5))
    scores[0, action] = 1
    take(model, topics.LSTM_GATES, stamp_ns, np.full((4, channels), 0.1 + t % 2 / 10))
    take(model, topics.ACTION_SCORES, stamp_ns, scores)
    take(model, topics.CONTRIBUTION, stamp_ns, np.zeros((1, channels)))
    if salient:
        take(model, topics.SALIENT, stamp_ns, [(channel, 0.5, action) for channel in salient])


def offsets(*rows):
    """Rows of (gate, offset, distance_m, censored)."""
    return np.array([(gate, 0, offset, 0, distance, censored) for gate, offset, distance, censored in rows], np.float32)


def test_it_shows_what_an_analysis_of_the_same_steps_finds():
    model, recording = PanelModel(), made_recording(200)
    analysis = analyze(recording)
    for t in range(recording.steps):
        stamp = int(recording.stamp_ns[t])
        state = np.stack([recording.hidden[t], recording.cell[t]])
        take(model, topics.LSTM_GATES, stamp, recording.gates[t])
        take(model, topics.LSTM_STATE, stamp, state)
        take(model, topics.ACTION_SCORES, stamp, recording.scores[t][None])
        take(model, topics.CONTRIBUTION, stamp, analysis.contribution.share[t][None])
        which = np.flatnonzero(analysis.salient[t])
        rows = [(channel, 0.1, analysis.contribution.action[t]) for channel in which]
        if rows:
            take(model, topics.SALIENT, stamp, rows)
    view = model.heat_map(200)
    assert sorted(view.channels) == np.flatnonzero(analysis.salient.any(axis=0)).tolist()
    expected = np.where(analysis.salient, analysis.contribution.action[:, None] + 1, 0).T[view.channels]
    np.testing.assert_array_equal(view.pixels, expected)
    assert view.breaks.tolist() == np.flatnonzero(analysis.begins).tolist() == [0]
    found = analysis.step_offsets(OUTPUT)
    for channel in view.channels:
        shown = model.channel(int(channel), OUTPUT, 120)
        mine = found[(found['channel'] == channel) & ~found['censored'] & (found['t'] >= 80)]
        assert (shown.offsets['t'] + 80).tolist() == mine['t'].tolist()
        assert shown.offsets['offset'].tolist() == mine['offset'].tolist()
        assert (shown.offsets['t0'] + 80).tolist() == mine['t0'].tolist()
        np.testing.assert_array_equal(shown.share, analysis.contribution.share[80:, channel])
        np.testing.assert_array_equal(shown.salient, analysis.salient[80:, channel])


def test_parts_that_come_after_the_next_step_began_still_tell_that_memory_continued():
    model, recording = PanelModel(), made_recording(40)

    def state(t):
        take(model, topics.LSTM_STATE, int(recording.stamp_ns[t]), [recording.hidden[t], recording.cell[t]])

    def gates(t):
        take(model, topics.LSTM_GATES, int(recording.stamp_ns[t]), recording.gates[t])

    for t in range(0, 40, 2):
        for part, of in ((gates, t), (gates, t + 1), (state, t + 1), (state, t)):
            part(of)
    assert not model.refused
    assert model.channel(0, OUTPUT, 40).breaks.tolist() == [0]


@pytest.mark.parametrize('lost', [topics.LSTM_GATES, topics.LSTM_STATE])
def test_a_step_that_lacks_a_part_is_a_break_on_both_sides(lost):
    model, recording = PanelModel(), made_recording(40)
    for t in range(40):
        state = [recording.hidden[t], recording.cell[t]]
        for topic, matrix in ((topics.LSTM_GATES, recording.gates[t]), (topics.LSTM_STATE, state)):
            if (t, topic) != (20, lost):
                take(model, topic, int(recording.stamp_ns[t]), matrix)
    assert model.channel(0, OUTPUT, 40).breaks.tolist() == [0, 20, 21]


def test_a_clock_that_leaps_is_a_break_as_for_the_analysis():
    model, recording = PanelModel(), made_recording(60)
    recording.stamp_ns[30:] += 2_000_000_000
    for t in range(60):
        take(model, topics.LSTM_GATES, int(recording.stamp_ns[t]), recording.gates[t])
        take(model, topics.LSTM_STATE, int(recording.stamp_ns[t]), [recording.hidden[t], recording.cell[t]])
    assert model.channel(0, OUTPUT, 60).breaks.tolist() == np.flatnonzero(analyze(recording).begins).tolist() == [0, 30]


def test_a_step_that_is_missing_is_a_break_and_no_offset_spans_it():
    model, recording = PanelModel(), made_recording(40)
    for t in (t for t in range(40) if t != 20):
        take(model, topics.LSTM_GATES, int(recording.stamp_ns[t]), recording.gates[t])
        take(model, topics.LSTM_STATE, int(recording.stamp_ns[t]), [recording.hidden[t], recording.cell[t]])
    assert model.channel(0, OUTPUT, 39).breaks.tolist() == [0, 20]


def test_rows_keep_their_order_and_new_ones_come_last_in_their_group():
    model = PanelModel()
    for t, (channel, action) in enumerate([(4, 1), (2, 0), (1, 1), (0, 0)]):
        tell(model, t, [channel], action)
    assert model.heat_map(30).channels.tolist() == [2, 0, 4, 1]
    tell(model, 4, [5], 0)
    assert model.heat_map(30).channels.tolist() == [2, 0, 5, 4, 1]
    for t in range(5, 5 + CAPACITY):
        tell(model, t)
    view = model.heat_map(CAPACITY)
    assert view.channels.tolist() == [2, 0, 5, 4, 1], 'also when they are salient no more'
    assert not view.pixels.any()


def test_a_channel_moves_to_another_action_only_after_a_clear_change():
    model = PanelModel()
    for t in range(6):
        tell(model, t, [3], 0)
    homes = []
    for t in range(6, 30):
        tell(model, t, [3], 1)
        homes.append(int(model.heat_map(30).home[0]))
    assert homes.index(1) == max(MOVES_AT, 2 * 6 + 1) - 1
    assert homes[-1] == 1


def test_only_the_window_is_shown_and_a_young_one_is_empty_on_the_left():
    model = PanelModel()
    for t in range(10):
        tell(model, t, [1], 2)
    view = model.heat_map(30)
    assert view.pixels.tolist() == [[0] * 20 + [3] * 10]
    assert view.breaks.tolist() == list(range(20, 30)), 'without states nobody knows'
    for t in range(10, CAPACITY + 50):
        tell(model, t, [1] if t % 2 else [], 2)
    assert model.heat_map(30).pixels.tolist() == [[0, 3] * 15]


def test_memory_does_not_grow():
    model, sizes = PanelModel(), []
    for t in range(2 * CAPACITY):
        tell(model, t, [t % CHANNELS], t % 5)
        model.add_ball(t, np.zeros(2))
        model.add(topics.PRECEDING_OFFSET, t, offsets((OUTPUT, t, 0.01 * t, 0)))
        if t in (CAPACITY, 2 * CAPACITY - 1):
            steps = model._steps
            sizes.append((len(steps._row_of), len(model._balls), steps.gates.nbytes, model._counts.nbytes))
    assert sizes[0] == sizes[1]
    assert model._counts.sum() == 2 * CAPACITY
    assert model._counts[OUTPUT, LONG, FAR_BIN] > 0


def test_the_histogram_counts_what_is_observed_and_has_a_place():
    model = PanelModel()
    tell(model, 0)
    assert model.histogram(OUTPUT) == 'No preceding offset of the output gate yet (0 censored).'
    model.add(topics.PRECEDING_OFFSET, 0, offsets((OUTPUT, 3, np.nan, 0)))
    assert model.histogram(OUTPUT) == '1 offsets, but no ball on ball at any of them.'
    model.add(topics.PRECEDING_OFFSET, 0, offsets((OUTPUT, 3, 0.051, 0), (OUTPUT, 5, 0.02, 1), (0, 7, 0.02, 0)))
    found = model.histogram(OUTPUT)
    assert np.argwhere(found.counts).tolist() == [[3, 25]]
    assert (found.censored, found.unplaced) == (1, 1)
    assert np.argwhere(model.histogram(0).counts).tolist() == [[7, 10]]


def test_other_thresholds_begin_the_histogram_anew():
    model = PanelModel()
    tell(model, 0)
    said = {f'{topics.PARAMETER_KEY}theta_g': '0.5', topics.PARAMETERS_SINCE_KEY: '17'}
    model.add_node('introspection', Said(0, 'ok', said))
    model.add(topics.PRECEDING_OFFSET, 0, offsets((OUTPUT, 3, 0.05, 0)))
    model.add_node('introspection', Said(0, 'ok', said))
    model.add_node('policy', Said(0, 'ok', {}))
    assert model.histogram(OUTPUT).counts.sum() == 1
    changed = {f'{topics.PARAMETER_KEY}theta_g': '0.7', topics.PARAMETERS_SINCE_KEY: '42'}
    model.add_node('introspection', Said(0, 'ok', changed))
    assert isinstance(model.histogram(OUTPUT), str)
    assert model.config.theta_g == 0.7


@pytest.mark.parametrize(
    ('values', 'says'),
    [
        ({f'{topics.PARAMETER_KEY}theta_g': 'high'}, 'Expecting value'),
        ({f'{topics.PARAMETER_KEY}theta_g': 'NaN'}, 'theta_g wants a finite number'),
        ({f'{topics.PARAMETER_KEY}theta_c': '7.0'}, 'theta_c wants 0.0 to 1.0'),
        ({f'{topics.PARAMETER_KEY}theta_c': '0.1', topics.PARAMETERS_SINCE_KEY: 'noon'}, 'invalid literal'),
    ],
)
def test_thresholds_that_cannot_be_are_not_taken(values, says):
    model = PanelModel()
    with pytest.raises(ValueError, match=says):
        model.add_node('introspection', Said(0, 'ok', values))
    assert not model.nodes
    assert model.config == IntrospectionConfig()
    model.add_node('left/introspection', Said(0, 'ok', values))  # not the one of this policy
    assert model.config == IntrospectionConfig()


@pytest.mark.parametrize(
    ('topic', 'matrix', 'says'),
    [
        (topics.LSTM_GATES, np.full((4, CHANNELS), np.nan), 'want finite numbers, got a NaN or infinity'),
        (topics.CONTRIBUTION, np.zeros((1, 7)), 'want 6 channels as in policy/lstm_gates, got 7'),
        (topics.LSTM_GATES, np.zeros((4, MOST_CHANNELS + 1)), f'want at most {MOST_CHANNELS} columns, got 8193'),
        (topics.ACTION_SCORES, np.zeros((1, MOST_ACTIONS + 1)), f'want at most {MOST_ACTIONS} columns, got 255'),
        (topics.SALIENT, [(6, 0.5, 0)], 'want channels 0 to 5, got 6 to 6'),
        (topics.SALIENT, [(6, 0.5)], 'want 3 columns, got 2'),
        (topics.SALIENT, [(1, 0.5, 5)], 'want actions below 5 as in policy/action_scores'),
        (topics.PRECEDING_OFFSET, [(1, 2, 3)], 'want 6 columns, got 3'),
        (topics.PRECEDING_OFFSET, offsets((2, 3, 0.05, 0)), 'want gates'),
        (topics.PRECEDING_OFFSET, offsets((3, -1, 0.05, 0)), 'offsets and distances from 0, got [3.0, 0.0, -1.0'),
        (topics.PRECEDING_OFFSET, offsets((3, 3, 0.05, 0), (3, 1, -9, 0)), 'distances from 0, got [3.0, 0.0, 1.0'),
    ],
)
def test_what_does_not_fit_is_refused_and_the_rest_goes_on(topic, matrix, says):
    model = PanelModel()
    tell(model, 0, [1])
    take(model, topic, 10**18 + STEP_NS, matrix)
    assert says in model.refused[topic.name]
    tell(model, 2, [1])
    tell(model, 3, [1])
    assert model.heat_map(30).pixels.sum() == 3
    if topic is not topics.PRECEDING_OFFSET:
        assert topic.name not in model.refused, 'the next one is good'


def test_a_late_part_is_refused_and_a_clock_that_was_set_back_begins_anew():
    model = PanelModel()
    for t in range(5):
        tell(model, t, [1])
    take(model, topics.LSTM_GATES, 10**18 + STEP_NS // 2, np.zeros((4, CHANNELS)))
    assert 'came after the next step' in model.refused[topics.LSTM_GATES.name]
    tell(model, 0, [2], stamp_ns=10**17)
    assert model.heat_map(30).channels.tolist() == [2]


def test_a_bag_that_is_played_in_a_loop_begins_anew_though_its_stamps_are_known():
    model = PanelModel()
    for _ in range(3):
        for t in range(100):
            tell(model, t, [1] if t < 50 else [])
        assert not model.refused
    tell(model, 0, [1])
    assert model.heat_map(30).pixels.tolist() == [[0] * 29 + [1]]


def test_a_part_that_comes_twice_is_refused_and_a_late_one_taken():
    model = PanelModel()
    for t in range(60):
        tell(model, t)
    for t in (59, 10):
        take(model, topics.SALIENT, 10**18 + t * STEP_NS, [(2, 0.5, 0)])
        assert topics.SALIENT.name not in model.refused
    assert np.flatnonzero(model.heat_map(60).pixels).tolist() == [10, 59]
    for topic, matrix in ((topics.LSTM_GATES, np.zeros((4, CHANNELS))), (topics.SALIENT, [(3, 0.5, 0)])):
        take(model, topic, 10**18 + 59 * STEP_NS, matrix)
        assert model.refused[topic.name] == 'a part of a step came twice'
    assert np.flatnonzero(model.heat_map(60).pixels).tolist() == [10, 59]


def test_a_second_policy_does_not_wipe_out_the_first():
    model = PanelModel()
    for t in range(20):
        tell(model, t, [1])
        take(model, topics.LSTM_GATES, 10**18 + t * STEP_NS, np.zeros((4, CHANNELS + 2)))
        assert 'two policies?' in model.refused[topics.LSTM_GATES.name]
        take(model, topics.ACTION_SCORES, 10**18 + t * STEP_NS, np.zeros((1, 3)))
        assert 'two policies?' in model.refused[topics.ACTION_SCORES.name]
    assert model.heat_map(20).pixels.sum() == 20


def test_nothing_is_a_sentence():
    model = PanelModel()
    assert model.heat_map(30) == 'Nothing on policy/lstm_gates yet; it comes from policy.'
    assert model.scores() == 'Nothing on policy/action_scores yet; it comes from policy.'
    assert model.picture() == 'Nothing on camera/image_raw yet; it comes from simulator or camera.'
    tell(model, 0)
    assert model.heat_map(30) == 'No channel has been salient in 1 steps.'
    assert model.channel(2, OUTPUT, 30) == 'One step so far; a curve needs two.'
    tell(model, 1)
    assert not model.channel(2, OUTPUT, 30).salient.any()


def test_a_policy_of_1024_channels_is_shown_and_another_policy_begins_anew():
    model = PanelModel()
    tell(model, 0, range(1024), channels=1024)
    assert model.heat_map(30).pixels.shape == (1024, 30)
    model.add(topics.PRECEDING_OFFSET, 0, offsets((OUTPUT, 3, 0.05, 0)))
    tell(model, 1, [3])
    assert model.heat_map(30).channels.tolist() == [3]
    assert isinstance(model.histogram(OUTPUT), str)


def test_the_ball_is_marked_in_its_own_picture():
    model, image = PanelModel(), np.zeros((120, 160, 3), np.uint8)
    model.project = lambda ball_m, shape: (ball_m[0] + shape[1], ball_m[1] + shape[0])
    model.add_picture(1, image)
    assert model.picture().ball_px is None
    model.add_ball(1, np.array([0.25, 0.5]))
    assert model.picture().ball_px == (160.25, 120.5)
    model.add_picture(2, image + 1)
    assert model.picture().image.max() == 0, 'the one that has its ball'
    model.add_picture(3, image + 2)
    assert model.picture().ball_px is None


def test_one_wild_score_does_not_flatten_the_others_for_ever():
    model = PanelModel()
    tell(model, 0)
    take(model, topics.ACTION_SCORES, 10**18 + STEP_NS, [(0, 0, -900, 0, 0)])
    tell(model, 2, action=3)
    assert (model.scores().scores.tolist(), model.scores().largest) == ([0, 0, 0, 1, 0], 900)
    for t in range(3, 3 + CAPACITY):
        tell(model, t)
    assert model.scores().largest == 1


def test_a_snapshot_stands_still():
    model = PanelModel()
    tell(model, 0, [1])
    still = model.snapshot()
    tell(model, 1, [1])
    assert (still.heat_map(30).pixels.sum(), model.heat_map(30).pixels.sum()) == (1, 2)


def test_the_ball_is_where_the_calibration_says():
    maze = {f'maze.{name}': value for name, value in load_maze().as_dict().items()}
    flat = projection({**maze, **{f'board.{name}': value for name, value in BoardConfig().as_dict().items()}})
    assert flat(np.zeros(2), (480, 640)) == (319.5, 239.5)
    assert flat(np.array([0.1, 0.1]), (480, 640)) == pytest.approx((559.5, -0.5))
    board = BoardConfig(
        width_px=640, height_px=480, camera_matrix=(1000.0, 1000.0, 319.5, 239.5), rotation_rad=(np.pi, 0.0, 0.0),
        translation_m=(0.0, 0.0, 0.5),
    )  # fmt: skip
    seen = projection({**maze, **{f'board.{name}': value for name, value in board.as_dict().items()}})
    scale = 1000 / (0.5 - load_maze().ball_radius_m)
    assert seen(np.array([0.05, 0.02]), (480, 640)) == pytest.approx((319.5 + 0.05 * scale, 239.5 - 0.02 * scale))
    with pytest.raises(ValueError, match='Maze wants'):
        projection({})
