"""Speed and memory of the introspection, each beside its floor: `python bench/introspection.py`.

One step at 256 channels without DDS, and `maze-introspection analyze` of one hour at 30 Hz without images, in a process
of its own so that its peak memory can be read.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import Reader
from tqdm import trange

from maze_introspection.analysis import analyze, replayed_as_live
from maze_introspection.bag import write_recording
from maze_introspection.config import IntrospectionConfig
from maze_introspection.introspection import Introspection
from maze_introspection.recording import Live, Recording
from maze_policy.maze import load_maze

CHANNELS, ACTIONS = 256, 5
HOUR_STEPS = 108_000
EPISODE_STEPS = 300
STEP_MS, ANALYZE_S, ANALYZE_MB = 0.3, 60.0, 2000.0


def main() -> int:
    """Print each number with its floor; exit code 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--steps', type=int, default=HOUR_STEPS, help='steps of the recording (default: %(default)s)')
    steps = parser.parse_args().steps
    within = bench_step()
    within &= bench_analyze(steps)
    return 0 if within else 1


def made_recording(steps: int) -> Recording:
    """Random gates that drift slowly, and the LSTM memory that follows from them; an episode every ten seconds."""
    rng = np.random.default_rng(0)
    gates = np.empty((steps, 4, CHANNELS), dtype=np.float32)
    hidden, cell = np.empty((2, steps, CHANNELS), dtype=np.float32)
    drive = rng.normal(size=(4, CHANNELS)).astype(np.float32)
    for t in trange(steps, desc='making', unit='step', leave=False, disable=None):
        drive = 0.95 * drive + 0.4 * rng.standard_normal(drive.shape, dtype=np.float32)
        gates[t] = 1 / (1 + np.exp(-drive))
        gates[t, 2] = np.tanh(drive[2])
        i, f, g, o = gates[t]
        before = cell[t - 1] if t % EPISODE_STEPS else np.zeros(CHANNELS, dtype=np.float32)
        cell[t] = f * before + i * g
        hidden[t] = o * np.tanh(cell[t])
    readout = rng.normal(size=(ACTIONS, CHANNELS + 1)).astype(np.float32)
    readout[:, -1] = 0
    angle, phase = np.arange(steps) / 40, (np.arange(steps) % EPISODE_STEPS) / EPISODE_STEPS
    return Recording(
        stamp_ns=np.arange(1, steps + 1, dtype=np.int64) * 33_333_333,
        gates=gates,
        hidden=hidden,
        cell=cell,
        scores=hidden @ readout[:, :-1].T,
        readout=readout,
        episode=np.arange(steps) // EPISODE_STEPS,
        episode_ids=tuple(f'episode-{index}' for index in range(-(-steps // EPISODE_STEPS))),
        tilt_rad=np.zeros((steps, 2)),
        ball_m=(0.088 * (1 - phase))[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]),
        maze=load_maze(),
        source='bench',
    )


def bench_step() -> bool:
    """One step of `Introspection`."""
    recording = made_recording(2000)
    looking = Introspection(IntrospectionConfig())
    looking.set_readout(recording.readout)
    stamps = recording.stamp_ns.tolist()

    def step(t: int) -> None:
        parts = (recording.gates[t], recording.hidden[t], recording.cell[t], recording.scores[t])
        looking.step(*parts, stamp_ns=stamps[t])

    def floor(t: int) -> None:
        recording.gates[t].copy(), recording.hidden[t].copy(), recording.cell[t].copy()
        np.argsort(recording.hidden[t], kind='stable')

    took_ms, floor_ms = 1000 * median_s(step), 1000 * median_s(floor)
    print(f'one step, {CHANNELS} channels: {took_ms:.3f} ms (limit {STEP_MS} ms)')
    print(f'  floor, copying its matrices and sorting its channels once: {floor_ms:.3f} ms')
    return took_ms <= STEP_MS


def median_s(work: Callable[[int], None]) -> float:
    """Median time of a call in the best of five rounds, so that a busy neighbour does not count."""
    medians = []
    for _ in range(5):
        took = []
        for t in range(2000):
            began = time.perf_counter()
            work(t)
            took.append(time.perf_counter() - began)
        medians.append(float(np.median(took)))
    return min(medians)


def bench_analyze(steps: int) -> bool:
    """`maze-introspection analyze` of a bag with the live contributions and offsets in it."""
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / 'bag'
        recording = made_recording(steps)
        analysis = analyze(recording, IntrospectionConfig())
        live = Live(np.asarray(analysis.contribution.share, dtype=np.float32), replayed_as_live(analysis))
        write_recording(bag, replace(recording, live=live))
        size = sum(path.stat().st_size for path in bag.iterdir())
        del recording, analysis, live

        began = time.perf_counter()
        for path in bag.iterdir():
            path.read_bytes()
        bytes_s = time.perf_counter() - began
        began = time.perf_counter()
        with Reader(bag) as reader:
            messages = sum(1 for _ in reader.messages())
        messages_s = time.perf_counter() - began

        command = [sys.executable, '-m', 'maze_introspection.cli', 'analyze', str(bag), '--out', f'{folder}/out']
        began = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        took_s = time.perf_counter() - began
        peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    print(f'analyze {steps} x {CHANNELS} ({size / 1e6:.0f} MB): {took_s:.1f} s (limit {ANALYZE_S:.0f} s)')
    print(f'  floor, reading the bytes of the bag: {bytes_s:.1f} s')
    print(f'  floor, reading its {messages} messages with rosbags, undecoded: {messages_s:.1f} s')
    arrays_mb = steps * CHANNELS * 4 * 7 / 1e6
    print(f'  peak memory {peak_mb:.0f} MB (limit {ANALYZE_MB:.0f} MB)')
    print(f'  floor, gates, hidden, cell and live contribution alone: {arrays_mb:.0f} MB')
    if done.returncode:
        print(done.stdout)
    return done.returncode == 0 and took_s <= ANALYZE_S and peak_mb <= ANALYZE_MB


if __name__ == '__main__':
    sys.exit(main())
