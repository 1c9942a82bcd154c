"""The LSTM recurrence as a proof of completeness: a missing step or a memory reset cannot hide.

Between consecutive steps c_t = f c_(t-1) + i g, and within each h_t = o tanh(c_t) (Hochreiter and Schmidhuber 1997).
Where the memory stands still (c_t = c_(t-1) in every channel) a missing step changes nothing and cannot be seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.config import IntrospectionConfig
from maze_policy.policy import CANDIDATE, FORGET, INPUT, OUTPUT

Float = npt.NDArray[np.floating[Any]]

# How a step relates to the one before it.
CONTINUES = 0  # memory carried over
RESET = 1  # memory was zero before this step
GAP = 2  # neither: a step is missing
CORRUPT = 3  # hidden, cell and output gate of the step itself do not fit together

_STEPS = 1024


def continuity(
    gates: Float,
    hidden: Float,
    cell: Float,
    tolerance: float = IntrospectionConfig.recurrence_tolerance,
    *,
    first_cell: npt.ArrayLike | None = None,
) -> npt.NDArray[np.int8]:
    """How each step relates to the one before it: CONTINUES, RESET, GAP or CORRUPT, shape (T,).

    Args:
        gates: input, forget, candidate and output gate after their nonlinearities, shape (T, 4, n_l).
        hidden: h_t, shape (T, n_l).
        cell: c_t, shape (T, n_l).
        tolerance: allowed error of c_t per |f c_(t-1)| + |i g| + 1, and of h_t.
        first_cell: the cell before the first step, shape (n_l,); without it the first step is RESET or GAP.

    Raises:
        ValueError: if shapes do not fit.
    """
    gates, hidden, cell = np.asarray(gates), np.asarray(hidden), np.asarray(cell)
    if gates.ndim != 3 or gates.shape[1] != 4 or {hidden.shape, cell.shape} != {(len(gates), gates.shape[2])}:
        raise ValueError(
            f'want gates (T, 4, n_l) with hidden and cell (T, n_l), got {gates.shape}, {hidden.shape}, {cell.shape}'
        )
    relation = np.full(len(gates), GAP, dtype=np.int8)
    before = None if first_cell is None else np.asarray(first_cell, dtype=np.float64)[None]
    for first in range(0, len(gates), _STEPS):
        rows = slice(first, first + _STEPS)
        gate, h, c = (values[rows].astype(np.float64) for values in (gates, hidden, cell))
        known = before is not None
        previous = np.concatenate([np.zeros_like(c[:1]) if before is None else before, c[:-1]])
        kept, added = gate[:, FORGET] * previous, gate[:, INPUT] * gate[:, CANDIDATE]
        allowed = tolerance * (np.abs(kept) + np.abs(added) + 1)
        follows = (np.abs(kept + added - c) <= allowed).all(axis=1)
        follows[0] &= known
        fresh = (np.abs(added - c) <= allowed).all(axis=1)
        whole = (np.abs(gate[:, OUTPUT] * np.tanh(c) - h) <= tolerance).all(axis=1)
        relation[rows][fresh] = RESET
        relation[rows][follows] = CONTINUES
        relation[rows][~whole] = CORRUPT
        before = c[-1:]
    return relation
