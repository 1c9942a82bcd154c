import numpy as np
import pytest

from maze_introspection.colors import ACTION_COLORS, GATE_BLUE, OFFSET_GREEN, rgb
from maze_introspection.config import IntrospectionConfig
from maze_introspection.introspection import GATED_OFFSET, Insight
from maze_introspection.pictures import BOTTOM, LEFT, RIGHT, TOP, Pictures
from maze_introspection.recurrence import CONTINUES, RESET
from maze_policy.policy import OUTPUT

CHANNELS = 6


def insight(action, salient, offsets=(), continuity=CONTINUES):
    share = np.zeros(CHANNELS, np.float32)
    share[list(salient)] = 1 / max(len(salient), 1)
    rows = np.array([(channel, share[channel], action) for channel in salient], np.float32).reshape(-1, 3)
    table = np.zeros(len(offsets), GATED_OFFSET)
    for row, (offset, censored) in zip(table, offsets):
        row['gate'], row['offset'], row['censored'] = OUTPUT, offset, censored
    return Insight(action, share, True, rows, table, continuity, continuity != CONTINUES)


def gates(open_channels=()):
    made = np.full((4, CHANNELS), 0.1, np.float32)
    made[:, list(open_channels)] = 0.9
    return made


def pictures(steps=40):
    return Pictures(IntrospectionConfig(), steps)


def inside(image):
    return image[TOP + 1 : BOTTOM, LEFT + 1 : RIGHT].reshape(-1, 3)


def share_of(image, color):
    return float((inside(image) == color).all(axis=1).mean())


@pytest.mark.parametrize('name', ['heatmap', 'histogram'])
def test_before_the_first_step_there_is_an_empty_frame(name):
    image = getattr(pictures(), name)()
    assert (image.shape, image.dtype) == ((540, 960, 3), np.uint8)
    assert (inside(image) == 255).all()


def test_the_heat_map_colours_by_action_and_sorts_rows_by_it():
    made = pictures()
    for step in range(40):
        made.add(insight(step // 20, [4] if step < 20 else [1]), gates(), 0.05)
    image = made.heatmap()
    left = image[(TOP + BOTTOM) // 2 - 100, LEFT + 100]
    right = image[(TOP + BOTTOM) // 2 + 100, RIGHT - 100]
    assert left.tolist() == list(rgb(ACTION_COLORS[0])), 'channel 4 is on top, it contributes to action 0'
    assert right.tolist() == list(rgb(ACTION_COLORS[1]))
    assert share_of(image, rgb(ACTION_COLORS[0])) == pytest.approx(0.25, abs=0.01)
    assert share_of(image, rgb(ACTION_COLORS[2])) == 0


def test_only_the_last_steps_are_shown():
    made = pictures(steps=10)
    for step in range(30):
        made.add(insight(0 if step < 20 else 1, [2]), gates(), 0.05)
    assert share_of(made.heatmap(), rgb(ACTION_COLORS[0])) == 0


def test_a_reset_is_a_line_in_the_heat_map():
    made = pictures()
    for step in range(40):
        made.add(insight(0, [], continuity=RESET if step == 20 else CONTINUES), gates(), 0.05)
    column = made.heatmap()[TOP + 5 : BOTTOM - 5, (LEFT + RIGHT) // 2]
    assert (column == column[0]).all()
    assert column[0].tolist() != [255, 255, 255]


def test_the_channel_shows_its_gate_and_an_offset_that_was_observed_to_begin():
    made = pictures()
    for step in range(40):
        made.add(insight(0, [3] if step == 25 else []), gates([3] if step >= 10 else []), 0.05)
    image = made.channel(3)
    assert share_of(image, rgb(GATE_BLUE)) > 0.002
    green = np.argwhere((image[TOP + 1 : BOTTOM, LEFT + 1 : RIGHT] == rgb(OFFSET_GREEN)).all(axis=2))
    width = (RIGHT - LEFT) / 40
    assert green[:, 1].min() == pytest.approx(10 * width, abs=3)
    assert green[:, 1].max() == pytest.approx(25 * width, abs=3)


def test_a_censored_offset_is_not_drawn():
    made = pictures()
    for step in range(40):
        made.add(insight(0, [3] if step == 25 else []), gates([3]), 0.05)
    assert share_of(made.channel(3), rgb(OFFSET_GREEN)) == 0


def test_a_channel_that_the_policy_lacks_is_said_to():
    made = pictures()
    made.add(insight(0, [1]), gates(), 0.05)
    assert (inside(made.channel(99)) != 255).any()


def test_the_histogram_counts_what_is_observed_and_has_a_place():
    made = pictures()
    made.add(insight(0, [1], [(3, False), (5, True)]), gates(), 0.051)
    made.add(insight(0, [1], [(7, False)]), gates(), float('nan'))
    assert dict(made._offsets) == {(25, 3): 1}
    assert made._censored == 1
    image = made.histogram()
    row = BOTTOM - round(3.5 * (BOTTOM - TOP) / 10)
    column = LEFT + round(51 / 100 * (RIGHT - LEFT))
    assert image[row, column].tolist() != [255, 255, 255]
    assert (image[row - 60, column] == 255).all()


def test_another_number_of_channels_starts_a_new_window():
    made = pictures()
    made.add(insight(0, [1]), gates(), 0.05)
    other = insight(0, [1])._replace(share=np.zeros(9, np.float32))
    made.add(other, np.full((4, 9), 0.1, np.float32), 0.05)
    assert len(made._moments) == 1
    made.heatmap()
