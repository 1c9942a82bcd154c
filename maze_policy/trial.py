"""One trial as its referee sees it, from where the ball is alone: begun, solved, out of time, and the time per ring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from maze_policy.maze import Maze

Float64 = npt.NDArray[np.float64]

GAP_S = 0.5  # between two sightings further apart a hand may have moved the ball


class Settling:
    """Whether the ball has lain still in the outer ring for a while, so that a trial can begin.

    Args:
        maze: whose outer ring.
        settle_s: for how long, s.
    """

    def __init__(self, maze: Maze, settle_s: float) -> None:
        self._maze = maze
        self._settle_s = settle_s
        self._since_ns = self._last_ns = -1
        self._where_m: Float64 | None = None  # since then; None: not in the outer ring
        self.done = False
        self.says = 'no ball is seen'

    def see(self, stamp_ns: int, position_m: Float64) -> None:
        """Take a sighting: its stamp, ns, and the ball's centre in the maze frame, shape (2,), m."""
        ring = int(self._maze.ring(np.hypot(*position_m)))
        if ring != self._maze.rings:
            self._where_m, self.says = None, f'the ball is in {ring_name(ring)}'
        elif (
            self._where_m is None
            or not 0 <= stamp_ns - self._last_ns <= GAP_S * 1e9
            or np.hypot(*(position_m - self._where_m)) > self._maze.ball_radius_m
        ):
            self._where_m, self._since_ns, self.says = position_m, stamp_ns, 'the ball does not lie still yet'
        self._last_ns = stamp_ns
        self.done = self._where_m is not None and stamp_ns - self._since_ns >= self._settle_s * 1e9


class Trial:
    """A trial begins with its first sighting. Feed it every one; `outcome` says when it is over.

    Args:
        maze: what is played.
        time_limit_s: a trial that takes longer has failed, s.
        solved_frames: so many sightings in a row must be in the centre (one alone may be the tracker's mistake).

    Attributes:
        outcome: None as long as it is played, then `solved`, `out of time`, or why it is void.
        solved: whether it was.
        time_s: from the first sighting to the last, s; for a solved trial to the first one in the centre.
        ring_s: of this, the time in each ring, centre first, shape (rings + 1,), s. A sighting lasts until the next.
    """

    def __init__(self, maze: Maze, time_limit_s: float, solved_frames: int) -> None:
        self._maze, self._time_limit_s, self._solved_frames = maze, time_limit_s, solved_frames
        self._stamps_ns: list[int] = []
        self._rings: list[int] = []
        self._in_centre = 0  # sightings in a row
        self.outcome: str | None = None

    def see(self, stamp_ns: int, position_m: Float64) -> None:
        """Take a sighting: its stamp, ns, and the ball's centre in the maze frame, shape (2,), m."""
        if self.outcome or stamp_ns in self._stamps_ns[-1:]:
            return
        if self._stamps_ns and stamp_ns < self._stamps_ns[-1]:
            back_s = (self._stamps_ns[-1] - stamp_ns) * 1e-9
            self.outcome = f'void: the clock of the ball went back by {back_s:.3f} s'
            return
        distance_m = float(np.hypot(*position_m))
        self._stamps_ns.append(stamp_ns)
        self._rings.append(int(self._maze.ring(distance_m)))
        self._in_centre = self._in_centre + 1 if distance_m < self._maze.solved_radius_m else 0
        if self._in_centre == self._solved_frames:
            self.outcome = 'solved'
            del self._stamps_ns[len(self._stamps_ns) - self._solved_frames + 1 :]
        elif self.time_s > self._time_limit_s:
            self.outcome = 'out of time'

    def give_up(self, why: str) -> None:
        """Say that the trial counts for nothing, and why."""
        self.outcome = f'void: {why}'

    @property
    def solved(self) -> bool:
        """Whether the ball reached the centre in time."""
        return self.outcome == 'solved'

    @property
    def counts(self) -> bool:
        """Whether it was played to its end."""
        return self.outcome in ('solved', 'out of time')

    @property
    def time_s(self) -> float:
        """How long it took, s."""
        return (self._stamps_ns[-1] - self._stamps_ns[0]) * 1e-9 if self._stamps_ns else 0.0

    @property
    def ring_s(self) -> Float64:
        """Time in each ring, centre first, shape (rings + 1,), s."""
        spent_s = np.zeros(self._maze.rings + 1)
        lasting_s = np.diff(self._stamps_ns) * 1e-9
        np.add.at(spent_s, self._rings[: lasting_s.size], lasting_s)
        return spent_s


def ring_name(ring: int) -> str:
    """A ring in words; 0 is the centre."""
    return f'ring {ring}' if ring else 'the centre'


def times(ring_s: Sequence[float] | Float64) -> str:
    """Times per ring from the outermost in, where there are any."""
    return ', '.join(f'{ring_name(ring)} {s:.1f} s' for ring, s in reversed(list(enumerate(ring_s))) if s > 0)


def summary(trials: Sequence[Trial]) -> str:
    """Success, and the median times of the trials that were played to their end."""
    played = [trial for trial in trials if trial.counts]
    solved = sum(trial.solved for trial in played)
    void = len(trials) - len(played)
    text = f'solved {solved} of {len(played)}' + (f' ({void} void)' if void else '')
    if not played:
        return text
    per_ring = np.array([trial.ring_s for trial in played])
    medians_s = [float(np.median(spent[spent > 0])) if spent.any() else 0.0 for spent in per_ring.T]
    return f'{text}; median {np.median([trial.time_s for trial in played]):.1f} s: {times(medians_s)}'
