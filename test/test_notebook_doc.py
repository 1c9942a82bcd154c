"""docs/notebook.md: every block runs, in its order, on a real bag; and what it draws is what the figures draw."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from maze_introspection.analysis import analyze
from maze_introspection.bag import read_recording
from maze_introspection.selection import telling_channel
from maze_introspection.tables import arrays_table
from maze_policy.policy import OUTPUT

ROOT = Path(__file__).resolve().parent.parent
LIVE = ROOT / 'test' / 'data' / 'live_run'
BLOCKS = re.findall(r'```python\n(.*?)```', (ROOT / 'docs' / 'notebook.md').read_text(), re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the bag that the document names."""
    matplotlib.use('agg')
    (tmp_path / 'maze_run').symlink_to(LIVE)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures('here')
def test_five_lines_make_figure_5():
    import matplotlib.pyplot as plt

    plt.close('all')
    assert len(list(filter(None, BLOCKS[0].splitlines()))) == 5
    exec(BLOCKS[0], {})
    analysis = analyze(read_recording(LIVE))
    (drawn,) = plt.get_fignums()
    axes = plt.figure(drawn).axes[0]
    which = telling_channel(analysis, OUTPUT)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), analysis.recording.gates[:, OUTPUT, which])
    assert f'channel {which}' in axes.get_ylabel()


@pytest.mark.usefixtures('here')
def test_every_block_runs():
    import matplotlib.pyplot as plt

    plt.close('all')
    space = {}
    for block in BLOCKS:
        exec(block, space)
    assert all(axes.has_data() for axes in space['axes'].flat)
    plt.gcf().savefig('all.png')
    arrays = space['arrays']
    recording = space['analysis'].recording
    assert dict(arrays.sizes) == {'step': recording.steps, 'channel': recording.channels}
    np.testing.assert_array_equal(arrays['forget_gate'].values, recording.gates[:, 1])
    np.testing.assert_array_equal(arrays['salient'].values, space['analysis'].salient)


def test_arrays_as_one_table():
    analysis = analyze(read_recording(LIVE))
    table = arrays_table(analysis)
    assert table.index.names == ['step', 'channel']
    row = table.loc[(100, 17)]
    recording = analysis.recording
    want = [*recording.gates[100, [0, 1, 3, 2], 17], recording.hidden[100, 17], recording.cell[100, 17]]
    assert row[:6].tolist() == want
    assert row['contribution'] == analysis.contribution.share[100, 17]
