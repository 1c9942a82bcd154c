from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maze_introspection.explore.codes import GATE_STEPS, SHARE_STEPS, choosable, codes, grid

NEAR = st.floats(0, 1, width=32)


@given(st.lists(NEAR, min_size=1, max_size=50), st.sampled_from([0.5, 0.022, 0.0225, 1 / 3, 0.0, 1.0]))
def test_a_code_exceeds_what_its_value_exceeds(values, configured):
    values = np.array(values, dtype=np.float32)
    for steps in (GATE_STEPS, SHARE_STEPS):
        points = grid(steps, configured)
        coded = codes(values, points)
        for k in {0, 1, steps // 3, len(points) - 1, int(np.searchsorted(points, configured))}:
            np.testing.assert_array_equal(coded > k, values > float(points[k]))


def test_exact_on_the_grid_itself_and_beside_it():
    """The hardest values: each point of the grid as float32, and its two neighbours."""
    for steps, kind in ((GATE_STEPS, np.uint8), (SHARE_STEPS, np.uint16)):
        points = grid(steps, 0.0225)
        exact = points.astype(np.float32)
        values = np.concatenate([exact, np.nextafter(exact, np.float32(2)), np.nextafter(exact, np.float32(-1))])
        values = values[(values >= 0) & (values <= 1)]
        coded = codes(values, points)
        assert coded.dtype == kind
        for k in range(len(points)):
            np.testing.assert_array_equal(coded > k, values > float(points[k]))


def test_the_slider_has_the_configured_threshold_wherever_it_lies():
    points = grid(SHARE_STEPS, 0.02225)
    offered = choosable(points, 0.001, 0.05, 0.02225)
    assert [value for _, value in offered] == sorted([*(k / 1000 for k in range(51)), 0.02225])
    assert all(points[code] == value for code, value in offered)
    assert len(grid(SHARE_STEPS, 0.022)) == SHARE_STEPS + 1
