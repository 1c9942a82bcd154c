"""Colour-blind readers tell the colours apart: Machado et al. 2009, distances in CAM02-UCS (1 is just noticeable)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from colorspacious import cspace_convert, deltaE

from maze_introspection.colors import ACTION_COLORS, GATE_BLUE, OFFSET_GREEN, SALIENT_RED, rgb

WHITE, BLACK = '#FFFFFF', '#000000'
BARS = '#EEB7C0'  # 30 % of SALIENT_RED on white, as the bars of figure 5 are drawn
BLINDNESS = (None, 'deuteranomaly', 'protanomaly', 'tritanomaly')


def seen(color, blindness):
    """A colour as a dichromat sees it, sRGB 0 to 1."""
    value = np.array(rgb(color)) / 255
    if blindness is None:
        return value
    space = {'name': 'sRGB1+CVD', 'cvd_type': blindness, 'severity': 100}
    return np.clip(cspace_convert(value, space, 'sRGB1'), 0, 1)


def least_distance(colors, blindness):
    pairs = combinations([seen(color, blindness) for color in colors], 2)
    return min(float(deltaE(one, other, input_space='sRGB1')) for one, other in pairs)


@pytest.mark.parametrize(
    ('blindness', 'least'), [*zip(BLINDNESS, (21, 15, 20, 18))], ids=lambda value: str(value or 'none')
)
def test_actions_are_told_apart_on_white(blindness, least):
    assert least_distance((*ACTION_COLORS, WHITE), blindness) >= least


@pytest.mark.parametrize(
    ('blindness', 'least', 'pale'),
    [*zip(BLINDNESS, (34, 17, 28, 11), (22, 17, 20, 11))],
    ids=lambda value: str(value or 'none'),
)
def test_the_lines_of_figure_5_are_told_apart(blindness, least, pale):
    assert least_distance((GATE_BLUE, SALIENT_RED, OFFSET_GREEN, BLACK, WHITE), blindness) >= least
    assert least_distance((GATE_BLUE, BARS, OFFSET_GREEN, BLACK, WHITE), blindness) >= pale


def test_the_measure_knows_a_bad_pair():
    """Red and green of one lightness: plain to most, nearly one to a deuteranope."""
    assert least_distance(('#D05050', '#808000'), None) > 30
    assert least_distance(('#D05050', '#808000'), 'deuteranomaly') < 12
