"""What the report's page needs to know of a set of trials: small values as JSON, arrays apart and compressed."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from maze_introspection.analysis import Analysis
from maze_introspection.config import ReportConfig
from maze_introspection.explore.bookmarks import crossings, flips, stalls
from maze_introspection.explore.codes import GATE_STEPS, SHARE_STEPS, choosable, codes, grid
from maze_introspection.explore.collect import TrialSet
from maze_introspection.explore.frames import PER_SHEET, Frames
from maze_introspection.figures.style import action_names, distance_axis, px_per_m
from maze_introspection.recording import Recording
from maze_introspection.selection import of_episode, rows_by_action, telling_channel
from maze_introspection.statistics import Episode, channels, episodes, plain
from maze_policy.maze import Maze
from maze_policy.policy import GATE_NAMES, OUTPUT

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

EPISODE = ('id', 'steps', 'seconds', 'solved', 'solved_s', 'whole')


class Blobs:
    """Blobs of text that stand in the page under an id each, beside its JSON."""

    def __init__(self) -> None:
        self.text: dict[str, str] = {}

    def array(self, values: Array) -> dict[str, Any]:
        """Put an array in, deflated; returns what the page needs to find and read it."""
        values = np.ascontiguousarray(values)
        key = self.raw(zlib.compress(values.tobytes(), 9))
        return {'blob': key, 'type': values.dtype.name, 'shape': list(values.shape)}

    def raw(self, content: bytes) -> str:
        """Put bytes in as they are; returns their id."""
        key = f'blob{len(self.text)}'
        self.text[key] = base64.b64encode(content).decode()
        return key


def side(trials: TrialSet, config: ReportConfig, blobs: Blobs) -> dict[str, Any]:
    """Everything but the pictures of one side of the page; `analysis` is None in it where there is nothing to show."""
    said = {'label': trials.label, 'problems': list(trials.problems), 'bags': len(trials.bags)}
    analysis = trials.analysis
    if analysis is None:
        return {**said, 'steps': 0}
    recording, parameters, share = analysis.recording, analysis.config, analysis.contribution.share
    maze, played = recording.maze, episodes(analysis)
    theta_g, theta_c = grid(GATE_STEPS, parameters.theta_g), grid(SHARE_STEPS, parameters.theta_c)
    first = np.searchsorted(recording.episode, np.arange(len(recording.episode_ids) + 1))
    return {
        **said,
        'steps': recording.steps,
        'channels': recording.channels,
        'actions': list(action_names(recording.readout.shape[0])),
        'episodes': [plain({name: getattr(row, name) for name in EPISODE}) for row in played],
        'first': first.tolist(),
        'period_s': period_s(recording),
        'missing': analysis.gaps.tolist(),
        'corrupt': analysis.corrupt.tolist(),
        'fraction': parameters.fraction,
        'maze': outline(maze),
        'rings': maze.rings + 1 if maze else 0,
        'ball_seen': bool(np.isfinite(recording.ball_m).any()),
        'distance': {'unit': 'px' if maze else 'mm', 'per_m': distance_axis(analysis)[0]},
        'gates': {name: index for index, name in enumerate(GATE_NAMES.values())},
        'theta_g': {'configured': parameters.theta_g, 'points': choosable(theta_g, 0.01, 1.0, parameters.theta_g)},
        'theta_c': {
            'configured': parameters.theta_c,
            'points': choosable(theta_c, 0.001, float(share.max()) + 0.001, parameters.theta_c),
        },
        'grid': {'g': blobs.array(theta_g), 'c': blobs.array(theta_c)},
        'start': start(analysis, played),
        'arrays': {name: blobs.array(values) for name, values in arrays(analysis, first, theta_g, theta_c).items()},
        'bookmarks': {
            'flips': flips(analysis).tolist(),
            'crossings': crossings(analysis).tolist(),
            'stalls': stalls(analysis, config),
        },
        'tables': tables(analysis, blobs),
        'check': check(analysis),
    }


def arrays(analysis: Analysis, first: Array, theta_g: Float64, theta_c: Float64) -> dict[str, Array]:
    """What the page draws and counts, one row per channel and one column per step; `first` step of each episode."""
    recording = analysis.recording
    gates = recording.gates[:, list(GATE_NAMES)].transpose(1, 2, 0)
    return {
        'gate': codes(gates, theta_g),
        'share': codes(analysis.contribution.share.T, theta_c),
        'salient': analysis.salient.T.astype(np.uint8),
        'action': analysis.contribution.action.astype(np.uint8),
        'begins': analysis.begins.astype(np.uint8),
        'ring': analysis.ring.astype(np.int8),
        'time_s': (recording.stamp_ns - recording.stamp_ns[first[recording.episode]]) / 1e9,
        'ball_m': recording.ball_m.T,
        'away': distance_axis(analysis)[0] * recording.distance_m,
        'tilt_deg': np.degrees(recording.tilt_rad.T).astype(np.float32),
    }


def period_s(recording: Recording) -> float:
    """The usual time from one step to the next, s; a thirtieth where no episode has two."""
    ahead_ns = np.diff(recording.stamp_ns)[np.diff(recording.episode) == 0]
    return float(np.median(ahead_ns)) / 1e9 if ahead_ns.size else 1 / 30


def start(analysis: Analysis, played: Sequence[Episode]) -> dict[str, int]:
    """The episode and channel that the page opens with, chosen as `maze-introspection analyze` chooses its figure 5."""
    episode = next((index for index, row in enumerate(played) if row.solved), 0)
    return {'episode': episode, 'channel': telling_channel(of_episode(analysis, episode), OUTPUT)}


def outline(maze: Maze | None) -> dict[str, Any] | None:
    """The maze as the page draws it, in mm and rad."""
    if maze is None:
        return None
    return {
        'wall_mm': [1000 * radius for radius in maze.wall_radius_m],
        'rim_mm': 1000 * maze.rim_radius_m,
        'thickness_mm': 1000 * maze.wall_thickness_m,
        'ball_mm': 1000 * maze.ball_radius_m,
        'clear_mm': 1000 * maze.opening_clear_m,
        'openings_rad': [angles.tolist() for angles in maze.openings_rad],
        'px_per_mm': px_per_m(maze) / 1000,
    }


def tables(analysis: Analysis, blobs: Blobs) -> list[dict[str, Any]]:
    """`statistics.channels` and the rows of figure 2, of all episodes and then of each."""
    count = len(analysis.recording.episode_ids)
    parts = [analysis, *(of_episode(analysis, episode) for episode in range(count) if count > 1)]
    found = []
    for part in parts:
        table = channels(part)
        values = np.column_stack(table).astype(np.float64)
        found.append({'values': blobs.array(values), 'rows': rows_by_action(table).tolist()})
    return found


def check(analysis: Analysis) -> list[dict[str, Any]]:
    """What the page must find itself at the configured thresholds; it says so where it does not."""
    found = []
    for gate, name in GATE_NAMES.items():
        rows = analysis.of_gate(gate)
        observed = rows[~rows['censored']]
        found.append(
            {
                'gate': name,
                'count': len(observed),
                'censored': len(rows) - len(observed),
                'sum': int(observed['offset'].sum()),
            }
        )
    return found  # fmt: skip


def pictures(frames: Frames, blobs: Blobs) -> dict[str, Any]:
    """The pictures of one side of the page."""
    return {
        'what': frames.what,
        'width': frames.width_px,
        'height': frames.height_px,
        'every': frames.every,
        'per_sheet': PER_SHEET,
        'step': blobs.array(np.array(frames.step, dtype=np.int32)),
        'sheets': [blobs.raw(sheet) for sheet in frames.sheets],
    }
