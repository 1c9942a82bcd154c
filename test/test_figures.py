from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from made import made_recording
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from test_statistics import ACTION, BALL_M, MASK, hand_made

from maze_introspection.analysis import analyze
from maze_introspection.colors import ACTION_COLORS, GATE_BLUE, OFFSET_GREEN, SALIENT_RED
from maze_introspection.config import IntrospectionConfig
from maze_introspection.figures import channel, distance, figures, heatmap, histogram, places, write
from maze_introspection.figures.channel import draw_channel
from maze_introspection.figures.heatmap import salient_actions
from maze_introspection.figures.histogram import joint_histogram
from maze_introspection.figures.style import draw_seeds, px_per_m
from maze_introspection.selection import confined_channels, enough_steps, rows_by_action, telling_channel
from maze_introspection.statistics import channels
from maze_policy.actions import ACTIONS
from maze_policy.maze import load_maze
from maze_policy.policy import OUTPUT

CONFIG = IntrospectionConfig(theta_c=0.05)


@pytest.fixture(scope='module')
def analysis():
    return analyze(made_recording(400, 32, resets=(0, 150)), CONFIG)


def image_of(axes):
    return axes.images[0]


def test_heatmap_pixels_have_the_colour_of_the_action():
    made = hand_made(MASK, ACTION, BALL_M)
    figure = heatmap(made)
    axes = figure.axes[0]
    image = image_of(axes)
    colors = image.to_rgba(image.get_array())
    rows = rows_by_action(channels(made))
    assert rows.tolist() == [0, 1, 2]
    for row, which in enumerate(rows):
        for step in range(5):
            if MASK[step][which]:
                assert to_hex(colors[row, step]) == ACTION_COLORS[ACTION[step]].lower()
            else:
                assert colors[row, step, 3] == 0
    assert axes.get_xlim() == (-0.5, 4.5)
    bar = figure.axes[1]
    assert [label.get_text() for label in bar.get_yticklabels()] == list(ACTIONS)
    assert '3 of 4 channels' in axes.get_title(loc='left')


def test_a_long_recording_is_binned_not_thinned_out():
    steps = 6001
    mask = np.zeros((steps, 2), dtype=bool)
    mask[5, 0] = mask[5999, 1] = mask[6000, 1] = True
    action = np.zeros(steps, dtype=int)
    action[5], action[5999:] = 3, 1
    pixels, per_column = salient_actions(hand_made(mask, action, np.zeros((steps, 2))), np.array([0, 1]))
    assert (per_column, pixels.shape) == (4, (2, 1501))
    assert np.argwhere(pixels >= 0).tolist() == [[0, 1], [1, 1499], [1, 1500]]
    assert pixels[pixels >= 0].tolist() == [3, 1, 1]


def test_distance_is_in_pixels_with_four_numbered_images(analysis):
    recording = analysis.recording
    stamps = recording.stamp_ns
    images = {int(stamp): np.full((480, 640, 3), 7, dtype=np.uint8) for stamp in stamps}
    figure = distance(analysis, images, 'camera images')
    top, *pictures = figure.axes
    curve = top.lines[0]
    np.testing.assert_allclose(curve.get_ydata(), recording.distance_m * 84 / recording.maze.view_m)
    points = next(line for line in top.lines if line.get_marker() == 'o')
    assert points.get_color() == SALIENT_RED
    assert len(points.get_xdata()) == len(pictures) == 4
    assert all((image_of(axes).get_array() == 7).all() for axes in pictures)
    assert [re.findall(r'ring \d', axes.get_title()) for axes in pictures] == [
        ['ring 4'],
        ['ring 3'],
        ['ring 2'],
        ['ring 1'],
    ]
    walls = [line.get_ydata()[0] for line in top.lines if line.get_linestyle() == '--']
    np.testing.assert_allclose(walls, px_per_m(recording.maze) * np.array(recording.maze.wall_radius_m))


def test_distance_without_images_draws_the_maze(analysis):
    figure = distance(analysis, {}, 'no image recorded')
    for axes in figure.axes[1:]:
        assert not axes.images
        assert len(axes.lines) == 6  # five walls and the ball


def test_distance_without_a_maze(analysis):
    bare = analyze(replace(analysis.recording, maze=None), CONFIG)
    (axes,) = distance(bare, {}, '').axes
    assert 'mm' in axes.get_ylabel()
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 1000 * analysis.recording.distance_m)


def test_places_are_ball_positions_coloured_by_action(analysis):
    in_space, to_ring = confined_channels(channels(analysis), enough_steps(analysis))
    assert len(in_space) == 2
    figure = places(analysis)
    for axes, which in zip(figure.axes, in_space + to_ring):
        (dots,) = [collection for collection in axes.collections if len(collection.get_offsets())]
        steps = np.flatnonzero(analysis.salient[:, which])
        np.testing.assert_allclose(dots.get_offsets(), 1000 * analysis.recording.ball_m[steps])
        assert dots.get_array().tolist() == analysis.contribution.action[steps].tolist()
        assert f'channel {which}' in axes.get_title()
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == list(ACTIONS)


def test_channel_shows_gate_contribution_salient_steps_and_offsets(analysis):
    which = telling_channel(analysis, OUTPUT)
    figure = Figure()
    axes = figure.add_subplot()
    draw_channel(axes, analysis, which, OUTPUT)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), analysis.recording.gates[:, OUTPUT, which])
    assert axes.lines[0].get_color() == GATE_BLUE
    shares = figure.axes[1].lines[0]
    np.testing.assert_array_equal(shares.get_ydata(), analysis.contribution.share[:, which])

    lines = {}
    for collection in axes.collections:
        assert isinstance(collection, LineCollection)
        for segment in collection.get_segments():
            lines.setdefault(tuple(collection.get_color()[0][:3]), []).append(segment)
    red, green = to_rgba(SALIENT_RED)[:3], to_rgba(OFFSET_GREEN)[:3]
    assert [segment[0][0] for segment in lines[red]] == np.flatnonzero(analysis.salient[:, which]).tolist()
    rows = analysis.step_offsets(OUTPUT)
    rows = rows[rows['channel'] == which]
    drawn = sorted((segment[0][0], segment[1][0]) for segment in lines[green])
    assert drawn == sorted(zip(rows['t0'].tolist(), rows['t'].tolist()))
    assert len(drawn) > 10


def test_histogram_counts_every_uncensored_offset_once(analysis):
    rows = analysis.of_gate(OUTPUT)
    count, distance_edges, offset_edges, censored = joint_histogram(analysis, OUTPUT)
    assert censored == rows['censored'].sum() > 0
    assert count.sum() == len(rows) - censored > 0
    row = rows[~rows['censored']][7]
    away = analysis.recording.distance_m[row['t']] * px_per_m(load_maze())
    x = np.searchsorted(distance_edges, away, side='right') - 1
    y = np.searchsorted(offset_edges, row['offset'], side='right') - 1
    assert count[x, y] >= 1
    figure = histogram(analysis, OUTPUT)
    mesh = next(axes for axes in figure.axes if axes.get_ylabel().startswith('preceding')).collections[0]
    drawn = np.asarray(mesh.get_array()).reshape(count.T.shape)
    np.testing.assert_array_equal(np.nan_to_num(drawn), count.T)
    assert mesh.norm(1.0) == 0.0


def test_histogram_of_very_long_offsets_has_few_bins():
    steps = 1500
    made = hand_made(np.ones((steps, 1)), np.zeros(steps, dtype=int), np.full((steps, 2), 0.05))
    rows = np.zeros(2, dtype=made.offsets.dtype)
    rows['gate'], rows['t'], rows['offset'] = OUTPUT, [10, 1400], [3, 1399]
    count, _, offset_edges, _ = joint_histogram(replace(made, offsets=rows), OUTPUT)
    assert count.sum() == 2
    assert len(offset_edges) <= 121


def test_all_five_are_written_as_png_and_svg_with_text(analysis, tmp_path):
    made = figures(analysis, analysis, which=3, gate=OUTPUT, images={}, image_source='drawn')
    for name, draw in made.items():
        png, svg = write(draw, tmp_path, name)
        assert png.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
        again = tmp_path / 'again'
        again.mkdir(exist_ok=True)
        assert write(draw, again, name)[1].read_bytes() == svg.read_bytes()
    assert 'time, steps' in (tmp_path / 'figure5_channel.svg').read_text()
    assert sorted(path.stem[:7] for path in tmp_path.glob('*.png')) == [f'figure{number}' for number in range(2, 7)]


def test_a_policy_with_other_actions_gets_numbered_actions(analysis):
    recording = analysis.recording
    wide = analyze(
        replace(recording, readout=np.tile(recording.readout, (2, 1)), scores=np.tile(recording.scores, 2)), CONFIG
    )
    bar = heatmap(wide).axes[1]
    assert bar.get_yticklabels()[9].get_text() == 'action 9'
    assert len(places(wide).legends[0].get_texts()) == 10


def test_no_offset_at_all(analysis):
    silent = analyze(analysis.recording, IntrospectionConfig(theta_g=1.0))
    assert joint_histogram(silent, OUTPUT)[0].sum() == 0
    assert histogram(silent, OUTPUT).axes
    assert channel(silent, telling_channel(silent, OUTPUT), OUTPUT).axes


def test_seeds_are_averaged_at_every_place_that_all_of_them_reach():
    axes = Figure().add_subplot()
    draw_seeds(axes, [0, 10, 20, 0, 20, 30], [1, 2, 3, 1, 5, 9], [7, 7, 7, 8, 8, 8], color='black')
    mean, *seeds = axes.get_lines()
    assert mean.get_xydata().tolist() == [[0, 1], [10, 2.5], [20, 4]]  # 30 is one seed's only
    assert [line.get_xydata().tolist() for line in seeds] == [[[0, 1], [10, 2], [20, 3]], [[0, 1], [20, 5], [30, 9]]]
