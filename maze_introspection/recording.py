"""Recording: everything a bag (or a trial played in process) says, as arrays aligned step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.config import IntrospectionConfig
from maze_policy.maze import Maze

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# One row of what `introspection/preceding_offset` said, with the step that it came with.
LIVE_OFFSET = np.dtype(
    [
        ('step', np.int64),
        ('gate', np.int64),
        ('channel', np.int64),
        ('offset', np.int64),
        ('action', np.int64),
        ('distance_m', np.float32),
        ('censored', np.bool_),
    ]
)


@dataclass(frozen=True)
class Live:
    """What the live introspection node published, for comparison with the replay.

    Attributes:
        share: contribution of every channel, shape (T, n_l); a NaN row where none was recorded.
        offsets: rows of dtype `LIVE_OFFSET`, in the order of steps.
        configs: the parameters that the node had, one after the other; the defaults where it did not say.
        config_of: index into `configs` of each step, shape (T,), never decreasing; None: one for all. With each change
            (and each start of the node) the node begins all runs anew.
    """

    share: Float32
    offsets: npt.NDArray[np.void]
    configs: tuple[IntrospectionConfig, ...] = (IntrospectionConfig(),)
    config_of: npt.NDArray[np.int64] | None = None

    def spans(self) -> list[tuple[int, int, IntrospectionConfig]]:
        """First step, step after the last, and parameters of each stretch of steps with one set of parameters."""
        of = np.zeros(len(self.share), dtype=np.int64) if self.config_of is None else self.config_of
        edges = [*np.flatnonzero(np.diff(of, prepend=-1)).tolist(), len(of)]
        return [(first, end, self.configs[of[first]]) for first, end in pairwise(edges)]


@dataclass(frozen=True)
class Recording:
    """T policy steps of n_l LSTM channels and n_a actions, in the order of their stamps.

    Attributes:
        stamp_ns: stamp of the camera frame behind each step, shape (T,), strictly increasing, ns.
        gates: input, forget, candidate, output after their nonlinearities, shape (T, 4, n_l).
        hidden: h_t, shape (T, n_l).
        cell: c_t, shape (T, n_l).
        scores: action scores as the policy had them, shape (T, n_a).
        readout: [W_a | b], shape (n_a, n_l + 1).
        episode: index into `episode_ids` of each step, shape (T,), never decreasing.
        episode_ids: the ids that the policy gave its episodes.
        tilt_rad: commanded tilt about x and y, shape (T, 2), rad; NaN where none was recorded.
        ball_m: ball centre in the maze frame, shape (T, 2), m; NaN where none was recorded.
        maze: geometry as the recording itself carries it; None where it carries none.
        begins_late: whether the recording began after its first episode did; then no step before the first is a loss.
        live: what the live introspection node said; None where it was not recorded.
        source: where this came from, for messages and titles.
    """

    stamp_ns: npt.NDArray[np.int64]
    gates: Float32
    hidden: Float32
    cell: Float32
    scores: Float32
    readout: Float32
    episode: npt.NDArray[np.int64]
    episode_ids: tuple[str, ...]
    tilt_rad: Float64
    ball_m: Float64
    maze: Maze | None = None
    begins_late: bool = False
    live: Live | None = None
    source: str = ''

    def __post_init__(self) -> None:
        steps, channels, actions = len(self.stamp_ns), self.hidden.shape[-1], self.readout.shape[0]
        want = {
            'gates': (steps, 4, channels),
            'hidden': (steps, channels),
            'cell': (steps, channels),
            'scores': (steps, actions),
            'readout': (actions, channels + 1),
            'episode': (steps,),
            'tilt_rad': (steps, 2),
            'ball_m': (steps, 2),
        }
        for name, shape in want.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f'{self.source}: want {name} of shape {shape}, got {getattr(self, name).shape}')
        for name in ('gates', 'hidden', 'cell', 'scores', 'readout'):
            finite = np.isfinite(getattr(self, name))
            if not finite.all():
                where = tuple(int(index) for index in np.argwhere(~finite)[0])
                raise ValueError(f'{self.source}: want finite {name}, got a NaN or infinity at {where}')
        if self.gates.size and not -1 <= self.gates.min() <= self.gates.max() <= 1:
            raise ValueError(f'{self.source}: want gates -1 to 1, got {self.gates.min():g} to {self.gates.max():g}')

    @property
    def steps(self) -> int:
        """T."""
        return len(self.stamp_ns)

    @property
    def channels(self) -> int:
        """n_l."""
        return int(self.hidden.shape[1])

    @property
    def action(self) -> npt.NDArray[np.int64]:
        """Chosen action of each step: first index of the highest score, shape (T,)."""
        action: npt.NDArray[np.int64] = np.argmax(self.scores, axis=1)
        return action

    @property
    def distance_m(self) -> Float64:
        """Ball centre to maze centre, shape (T,), m; NaN where the ball was not recorded."""
        return np.hypot(self.ball_m[:, 0], self.ball_m[:, 1])

    def only(self, episode: int) -> Recording:
        """The steps of one episode.

        Raises:
            IndexError: naming the episodes that there are.
        """
        if not 0 <= episode < len(self.episode_ids):
            raise IndexError(f'{self.source}: want an episode 0 to {len(self.episode_ids) - 1}, got {episode}')
        keep = self.episode == episode
        live = None
        if self.live is not None:
            first = int(np.argmax(keep))
            rows = self.live.offsets[keep[self.live.offsets['step']]]
            rows = rows.copy()
            rows['step'] -= first
            of = self.live.config_of
            live = Live(self.live.share[keep], rows, self.live.configs, None if of is None else of[keep])
        return Recording(
            stamp_ns=self.stamp_ns[keep],
            gates=self.gates[keep],
            hidden=self.hidden[keep],
            cell=self.cell[keep],
            scores=self.scores[keep],
            readout=self.readout,
            episode=np.zeros(int(keep.sum()), dtype=np.int64),
            episode_ids=(self.episode_ids[episode],),
            tilt_rad=self.tilt_rad[keep],
            ball_m=self.ball_m[keep],
            maze=self.maze,
            begins_late=self.begins_late and episode == 0,
            live=live,
            source=self.source,
        )


def join(recordings: Sequence[Recording], source: str) -> Recording:
    """Several recordings of one policy in one maze as the episodes of one; each begins after the one before has ended.

    Raises:
        ValueError: if policies or mazes differ or the stamps overlap.
    """
    first = recordings[0]
    for other in recordings[1:]:
        if not np.array_equal(other.readout, first.readout):
            raise ValueError(f'want one policy, got another readout in {other.source} than in {first.source}')
        if other.maze != first.maze:
            raise ValueError(f'want one maze, got another in {other.source} than in {first.source}')
    stamp_ns = np.concatenate([recording.stamp_ns for recording in recordings])
    if not (np.diff(stamp_ns) > 0).all():
        raise ValueError(f'{source}: want recordings one after the other, got overlapping stamps')
    begun = np.cumsum([0, *(len(recording.episode_ids) for recording in recordings[:-1])])

    def stacked(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(recording, name) for recording in recordings])

    return Recording(
        stamp_ns=stamp_ns,
        gates=stacked('gates'),
        hidden=stacked('hidden'),
        cell=stacked('cell'),
        scores=stacked('scores'),
        readout=first.readout,
        episode=np.concatenate([recording.episode + before for recording, before in zip(recordings, begun)]),
        episode_ids=tuple(name for recording in recordings for name in recording.episode_ids),
        tilt_rad=stacked('tilt_rad'),
        ball_m=stacked('ball_m'),
        maze=first.maze,
        begins_late=first.begins_late,
        source=source,
    )
