"""Offsets whose beginning nobody saw, by survival analysis instead of leaving them out.

An offset is a time to an event: from the opening of a gate to the contribution of its channel. What is *left*-censored
is the beginning of a run that is open already when it can first be seen; of the offset itself that makes a *right*-
censored one: it is at least so long as was seen. In short episodes these are a quarter of all offsets, and long ones
are more likely to be among them, so leaving them out makes offsets too short.

Duration here is offset + 1, the steps that the gate has been open, so that an offset of 0 is one. What is known of each
run (T its true duration): it contributed and was seen from its opening, T = offset + 1; it contributed but its opening
was not seen, T >= offset + 1; it never contributed, T > offset + 1. Half a step says the difference exactly.

The hidden beginnings are handled as Kaplan and Meier do, which is right when the recording cuts into a process that has
been going on as it goes on afterwards: then a run seen contributing c steps after the cut has P(T = k) proportional to
that of the others, for k >= c. Where memory was reset before the first step, nothing is hidden from the *policy*: its
memory is no older than the episode, and `offset` is then all there is (`floor`). The truth lies between the two.
"""

from __future__ import annotations

import warnings
from typing import Any

import lifelines
import numpy as np
import numpy.typing as npt
import pandas as pd

from maze_introspection.validity.events import CONTRIBUTED
from maze_introspection.validity.resample import Float, ratio


def durations(rows: pd.DataFrame) -> tuple[Float, npt.NDArray[np.bool_]]:
    """Duration of each run in the events table, steps, and whether its end is known; else it is longer than that."""
    contributed = (rows['ended'] == CONTRIBUTED).to_numpy()
    known = contributed & ~rows['censored'].to_numpy()
    seen = rows['offset'].to_numpy(dtype=np.float64) + 1
    return np.where(known, seen, np.where(contributed, seen - 0.5, seen + 0.5)), known


def product_limit(counts: Float, hidden: Float) -> Float:
    """P(offset > k), the estimate of Kaplan and Meier, from how often each offset occurs; the last axis is k.

    Args:
        counts: offsets that are known, shape (..., K).
        hidden: offsets that are at least k, shape (..., K).
    """
    lost = hidden.cumsum(axis=-1)  # a run of at least k steps is not at risk of an offset of k
    at_risk = counts[..., ::-1].cumsum(axis=-1)[..., ::-1] + lost[..., -1:] - lost
    hazard = ratio(counts, at_risk)
    survival: Float = np.cumprod(1 - np.where(np.isfinite(hazard), hazard, 0.0), axis=-1)
    return survival


def median_offset(counts: Float, hidden: Float) -> Float:
    """The smallest k with P(offset > k) <= 1/2, shape (...); NaN where more than half outlast all that was seen."""
    below = product_limit(counts, hidden) <= 0.5 + 1e-12
    return np.where(below.any(axis=-1), below.argmax(axis=-1), np.nan)


def inward_hazard(runs: pd.DataFrame, outermost: int, *, elapsed: bool) -> dict[str, Any]:
    """How much sooner a channel contributes after its gate has opened, for each ring further inwards (Cox's model).

    The ring and the elapsed time are those at the *opening* of the gate: those of the contribution would come later the
    longer the offset is, and so would be a consequence of what they are to explain. All runs of one gate whose opening
    was seen are in it, also those that close or are cut without a contribution, which ends the observation (a
    cause-specific hazard). Each channel has a baseline of its own, and the errors are robust to whatever the runs of an
    episode have in common (lifelines, `cluster_col`).

    Args:
        runs: events of one gate with the silent ones; those that open in the centre or before they can be seen are left
            out. (To count the latter as of unknown end would put all of them at elapsed time 0, and none of them would
            ever contribute.)
        outermost: number of the outermost ring.
        elapsed: hold the elapsed time constant, as steps and as log(1 + steps) (ours).

    Returns:
        `value`: hazard ratio per ring inwards, below 1 where contributions come later; `low`, `high`: 95 % interval;
        `p`, `runs`, `contributions`. None for numbers that the data do not determine.
    """
    runs = runs[(runs['ring_t0'] >= 1) & ~runs['censored']]
    since = (runs['elapsed'] - runs['offset']).to_numpy(dtype=np.float64)
    duration, known = durations(runs)
    table = pd.DataFrame(
        {
            'duration': duration,
            'known': known,
            'inwards': outermost - runs['ring_t0'].to_numpy(dtype=np.float64),
            'elapsed': since / 100,
            'log_elapsed': np.log1p(since),
            'channel': runs['channel'].to_numpy(),
            'episode': runs['episode'].to_numpy(),
        }
    )
    said: dict[str, Any] = {'runs': len(table), 'contributions': int(known.sum())}
    if not elapsed:
        table = table.drop(columns=['elapsed', 'log_elapsed'])
    if table['inwards'].nunique() < 2 or not known.any():
        return {'value': None, 'low': None, 'high': None, 'p': None, **said}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            model = lifelines.CoxPHFitter().fit(table, 'duration', 'known', strata=['channel'], cluster_col='episode')
    except (lifelines.exceptions.ConvergenceError, ValueError, KeyError):
        return {'value': None, 'low': None, 'high': None, 'p': None, **said}
    row = model.summary.loc['inwards']
    names = {'value': 'exp(coef)', 'low': 'exp(coef) lower 95%', 'high': 'exp(coef) upper 95%', 'p': 'p'}
    return {**{name: float(row[column]) for name, column in names.items()}, **said}
