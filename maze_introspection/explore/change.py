"""How much each channel's role differs between two sets of trials."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maze_introspection.analysis import Analysis

Float64 = npt.NDArray[np.float64]


def roles(analysis: Analysis) -> Float64:
    """Share of the steps at which each channel is salient for each action and, last, for none; (n_l, n_a + 1)."""
    actions = analysis.recording.readout.shape[0]
    salient = analysis.salient.T.astype(np.float64)
    taken = analysis.contribution.action[:, None] == np.arange(actions)
    share = salient @ taken / analysis.recording.steps
    return np.column_stack([share, 1 - share.sum(axis=1)])


def changes(one: Analysis, other: Analysis) -> Float64:
    """Total variation distance between the roles of each channel, shape (n_l,): 0 the same, 1 nothing in common.

    Half the sum of |difference| over "salient for action 0, 1, ..., for none": the least share of the steps at which
    the channel would have to do something else to turn one set into the other (ours; the paper compares by eye).

    Raises:
        ValueError: if the policies have other numbers of channels or actions.
    """
    shapes = [analysis.recording.readout.shape for analysis in (one, other)]
    if shapes[0] != shapes[1]:
        (a, n), (b, m) = shapes
        raise ValueError(
            f'want policies of one size to compare channel by channel, got {n - 1} and {m - 1} channels, '
            f'{a} and {b} actions'
        )
    difference: Float64 = np.abs(roles(one) - roles(other)).sum(axis=1) / 2
    return difference
