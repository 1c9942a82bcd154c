"""Preceding offset: for how many steps a gate was open before its channel contributed (Lee et al. 2019, section 4).

A run is a maximal interval of steps with gate > theta_g. A run already open at the first step, or at the first step
after a gap or a reset, has no observed beginning: its offset counts from that step, is a lower bound, and is marked
censored (ours; the paper is silent). The gates here are the LSTM's: input, forget or output gate, one at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.config import IntrospectionConfig

Float = npt.NDArray[np.floating[Any]]
Bool = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.void]
Steps = npt.NDArray[np.int64]

# `t` is the step that the offset belongs to, `t0` the first step of the run, `offset` t - t0.
OFFSET = np.dtype(
    [('channel', np.int32), ('t0', np.int32), ('t', np.int32), ('offset', np.int32), ('censored', np.bool_)]
)


def interval_offsets(
    gate: Float,
    share: Float,
    theta_g: float = IntrospectionConfig.theta_g,
    theta_c: float = IntrospectionConfig.theta_c,
    *,
    begins: Bool | None = None,
) -> Rows:
    """One offset per run: from its beginning to the first step whose contribution exceeds theta_c (the paper's text).

    Args:
        gate: one gate of every channel, shape (T, n_l), 0 to 1; a run is gate > theta_g, strictly.
        share: contributions, shape (T, n_l), 0 to 1; a channel contributes where share > theta_c, strictly.
        begins: True where memory does not continue from the step before, shape (T,): runs end before such a step and
            those open at it are censored. The first step always is one.

    Returns:
        Rows of dtype `OFFSET`, sorted by (t, channel).

    Raises:
        ValueError: if shapes differ or a value is not finite.
    """
    gate, share = _checked('gate', gate), _checked('share', share)
    if gate.shape != share.shape:
        raise ValueError(f'want share {gate.shape} to match gate, got {share.shape}')
    return _offsets(gate > theta_g, share > theta_c, begins, first_only=True)


def step_offsets(
    gate: Float, salient_mask: Bool, theta_g: float = IntrospectionConfig.theta_g, *, begins: Bool | None = None
) -> Rows:
    """One offset per salient step with an open gate, back to the beginning of its run (the paper's figure 5).

    Arguments, result and errors as for `interval_offsets`; `salient_mask` is boolean, shape (T, n_l).
    """
    gate, salient_mask = _checked('gate', gate), np.asarray(salient_mask)
    if gate.shape != salient_mask.shape or salient_mask.dtype != np.bool_:
        raise ValueError(f'want a mask bool {gate.shape} to match gate, got {salient_mask.dtype} {salient_mask.shape}')
    return _offsets(gate > theta_g, salient_mask, begins, first_only=False)


class OffsetTracker:
    """The rows of `interval_offsets`, step by step as they happen.

    Args:
        channels: n_l.
        theta_g: a gate above this is open.
        theta_c: a channel above this share contributes.
    """

    def __init__(
        self,
        channels: int,
        theta_g: float = IntrospectionConfig.theta_g,
        theta_c: float = IntrospectionConfig.theta_c,
    ) -> None:
        self._theta_g, self._theta_c = theta_g, theta_c
        self._open: Bool = np.zeros(channels, dtype=np.bool_)
        self._pending: Bool = np.zeros(channels, dtype=np.bool_)  # open, and has not contributed in this run
        self._t0 = np.zeros(channels, dtype=np.int32)
        self._t = 0

    def reset(self) -> None:
        """Forget every run; the next step has index 0, and runs open at it are censored."""
        self._open[:] = False
        self._t = 0

    def step(self, gate: Float, share: Float) -> Rows:
        """Offsets of this step, dtype `OFFSET`, by channel; `gate` and `share` have shape (n_l,).

        Raises:
            ValueError: if a shape is wrong or a value is not finite; the step then has not happened.
        """
        gate, share = np.asarray(gate), np.asarray(share)
        if gate.shape != self._open.shape or share.shape != self._open.shape:
            raise ValueError(f'want gate and share {self._open.shape}, got {gate.shape} and {share.shape}')
        if not (np.isfinite(gate).all() and np.isfinite(share).all()):
            raise ValueError('want finite gate and share, got a NaN or infinity')
        is_open = gate > self._theta_g
        opened = is_open & ~self._open
        self._t0[opened] = self._t
        self._pending = is_open & (self._pending | opened)
        hit = self._pending & (share > self._theta_c)
        self._pending &= ~hit
        self._open = is_open
        channel = np.flatnonzero(hit)
        t0 = self._t0[channel]
        rows = _rows(channel, t0, self._t, t0 == 0)
        self._t += 1
        return rows


def open_runs(is_open: Bool, begins: Bool) -> tuple[Steps, Steps, Steps]:
    """Every run of every channel: its channel, its first step and the step after its last; sorted by (channel, t0).

    Args:
        is_open: gate > theta_g, shape (T, n_l).
        begins: as for `interval_offsets`, shape (T,).
    """
    starts, ends = is_open.copy(), is_open.copy()
    breaks = ~is_open[:-1] | ~is_open[1:] | begins[1:, None]
    starts[1:] &= breaks
    ends[:-1] &= breaks
    channel, t0 = np.nonzero(starts.T)
    return channel, t0, np.nonzero(ends.T)[1] + 1


def next_hit(hit: Bool) -> Steps:
    """The first step from each step on that is hit, in each channel; T where none is. Shapes (T, n_l)."""
    at = np.where(hit, np.arange(len(hit))[:, None], len(hit))
    return np.minimum.accumulate(at[::-1], axis=0)[::-1]


def _offsets(is_open: Bool, hit: Bool, begins: Bool | None, *, first_only: bool) -> Rows:
    """Offsets of the steps that are `hit` while open, or only of the first in each run."""
    steps, channels = is_open.shape
    if begins is None:
        begins = np.zeros(steps, dtype=np.bool_)
    elif begins.shape != (steps,):
        raise ValueError(f'want begins ({steps},), got {begins.shape}')
    starts = is_open.copy()
    starts[1:] &= ~is_open[:-1] | begins[1:, None]
    # Channel by channel, so that the run a hit lies in is the last one that starts at or before it.
    start = np.flatnonzero(starts.T)
    at = np.flatnonzero((hit & is_open).T)
    run = np.searchsorted(start, at, side='right') - 1
    if first_only:
        first = np.diff(run, prepend=-1) > 0
        at, run = at[first], run[first]
    channel, t = np.divmod(at, max(steps, 1))
    t0 = start[run] - channel * steps
    order = np.argsort(t * channels + channel)
    channel, t, t0 = channel[order], t[order], t0[order]
    return _rows(channel, t0, t, (t0 == 0) | begins[t0])


def _rows(channel: npt.NDArray[Any], t0: npt.NDArray[Any], t: npt.NDArray[Any] | int, censored: Bool) -> Rows:
    rows = np.empty(len(t0), dtype=OFFSET)
    rows['channel'], rows['t0'], rows['t'], rows['offset'], rows['censored'] = channel, t0, t, t - t0, censored
    return rows


def _checked(name: str, values: Float) -> Float:
    values = np.asarray(values)
    if values.ndim != 2:
        raise ValueError(f'want {name} (T, n_l), got {values.shape}')
    if not np.isfinite(values).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(values))[0])
        raise ValueError(f'want finite {name}, got a NaN or infinity at {where}')
    return values
