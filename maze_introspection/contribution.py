"""How much each LSTM channel contributes to the chosen action's score (Lee et al. 2019, section 3).

The live node calls this step by step and the replay on whole recordings, and both must give the same bits, on any
machine. So there is no matrix product here (BLAS sums in an order of its own): products elementwise in float64,
sums by numpy along a contiguous row, whose order depends on n_l alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

_STEPS = 2048  # steps worked on at once: 4 MB of float64 at 256 channels


class Contribution(NamedTuple):
    """Contributions of T steps.

    Attributes:
        share: contribution of each channel, shape (T, n_l), 0 to 1, rows sum to 1; of the dtype of `hidden`.
        action: the action contributed to, shape (T,).
        score: that action's score with its bias, shape (T,).
        defined: False where no channel pulled towards the action, shape (T,); the share is then all zero.
        bias: the part of `score` that no channel contributed, shape (T,); 0 for a readout without bias.
    """

    share: Float
    action: npt.NDArray[np.int64]
    score: Float64
    defined: Bool
    bias: Float64


def contribution(
    hidden: Float, readout: Float, *, action: npt.ArrayLike | None = None, bias: npt.ArrayLike | None = None
) -> Contribution:
    """Share of each LSTM channel in the chosen action's score.

    c_t[j] = max(W_a[a_t, j] h_t[j], 0), divided by its sum over j (section 3). A step whose weighted activations are
    all <= 0 gets zeros and `defined` False (the paper is silent; ours). A bias belongs to no channel: no share (ours).

    Args:
        hidden: h_t, shape (T, n_l), in (-1, 1).
        readout: W_a, shape (n_a, n_l).
        action: the action really taken, shape (T,); without it, the first index of the highest score.
        bias: b of the readout, shape (n_a,).

    Raises:
        ValueError: if shapes do not fit, a value is not finite or an action does not exist.
    """
    hidden, readout = np.asarray(hidden), np.asarray(readout)
    if hidden.ndim != 2 or readout.ndim != 2 or hidden.shape[1] != readout.shape[1] or 0 in readout.shape:
        raise ValueError(f'want hidden (T, n_l) to match readout (n_a, n_l), got {hidden.shape} and {readout.shape}')
    steps, channels = hidden.shape
    actions = len(readout)
    offset = np.zeros(actions) if bias is None else np.asarray(bias, dtype=np.float64)
    if offset.shape != (actions,):
        raise ValueError(f'want bias ({actions},) to match readout {readout.shape}, got {offset.shape}')
    for name, values in (('hidden', hidden), ('readout', readout), ('bias', offset)):
        if not np.isfinite(values).all():
            where = tuple(int(index) for index in np.argwhere(~np.isfinite(values))[0])
            raise ValueError(f'want finite {name}, got a NaN or infinity at {where}')
    weight = readout.astype(np.float64)
    taken = None if action is None else _checked_action(action, steps, actions)

    share = np.zeros((steps, channels), dtype=np.result_type(hidden, np.float32))
    chosen = np.zeros(steps, dtype=np.int64)
    score = np.zeros(steps)
    defined = np.zeros(steps, dtype=np.bool_)
    for first in range(0, steps, _STEPS):
        rows = slice(first, first + _STEPS)
        h = hidden[rows].astype(np.float64, order='C')
        a = _best(h, weight, offset) if taken is None else taken[rows]
        weighted = weight[a] * h
        score[rows] = weighted.sum(axis=1) + offset[a]
        np.maximum(weighted, 0.0, out=weighted)
        total = weighted.sum(axis=1)
        defined[rows] = total > 0
        share[rows] = weighted / np.where(total > 0, total, 1.0)[:, None]
        chosen[rows] = a
    return Contribution(share, chosen, score, defined, offset[chosen])


def salient(share: Float, fraction: float = 0.5) -> Bool:
    """The fewest channels that together make up more than a fraction of the score (section 3), shape (T, n_l).

    Channels are taken by share, largest first, ties by lower index (ours), until their sum exceeds `fraction`. A
    channel without a share is never salient, so an undefined step has none, and `fraction` = 1 takes all that have one.

    Args:
        share: contributions, shape (T, n_l), 0 to 1.
        fraction: 0 to 1.

    Raises:
        ValueError: if the shape, a share or the fraction is out of range.
    """
    share = np.asarray(share)
    if share.ndim != 2:
        raise ValueError(f'want share (T, n_l), got {share.shape}')
    if not 0 <= fraction <= 1:
        raise ValueError(f'want a fraction 0 to 1, got {fraction}')
    steps, channels = share.shape
    mask = np.zeros(share.shape, dtype=np.bool_)
    for first in range(0, steps if channels else 0, _STEPS):
        rows = share[first : first + _STEPS]
        if not (rows >= 0).all():
            raise ValueError(f'want shares 0 to 1, got {rows[~(rows >= 0)][0]}')
        order = np.argsort(-rows, axis=1, kind='stable')
        order += np.arange(0, rows.size, channels)[:, None]
        ordered = rows.reshape(-1)[order].astype(np.float64)
        before = np.zeros(rows.shape)  # the sum of the larger shares
        ordered[:, :-1].cumsum(axis=1, out=before[:, 1:])
        mask[first : first + _STEPS].reshape(-1)[order] = ((before <= fraction) | (fraction == 1)) & (ordered > 0)
    return mask


def _best(hidden: Float64, weight: Float64, bias: Float64) -> npt.NDArray[np.int64]:
    """First index of the highest score of each step."""
    scores = np.stack([(hidden * row).sum(axis=1) for row in weight], axis=1) + bias
    best: npt.NDArray[np.int64] = np.argmax(scores, axis=1)
    return best


def _checked_action(action: npt.ArrayLike, steps: int, actions: int) -> npt.NDArray[np.int64]:
    taken = np.asarray(action)
    if taken.shape != (steps,) or taken.dtype.kind not in 'iu':
        raise ValueError(f'want whole action numbers ({steps},), got {taken.dtype} {taken.shape}')
    if steps and not 0 <= taken.min() <= taken.max() < actions:
        raise ValueError(f'want actions 0 to {actions - 1}, got {taken.min()} to {taken.max()}')
    return taken.astype(np.int64)
