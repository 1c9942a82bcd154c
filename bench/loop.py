"""From the camera's stamp to the tilt command, with everything running and recorded: `python bench/loop.py`.

`test/whole_graph.py` says how: every node a process of its own, a film of 640 x 480 at 30 Hz for a camera, all topics
recorded (10 minutes take about 15 GB, in the temporary folder).

The stamp of such a camera is when FFmpeg has read and decoded the picture; how long that takes stands on a line of its
own. (The stamp of a V4L2 camera is the driver's, from before.)

With `--look` the panel and a listener to all live figures come and go every half minute: what does looking cost?
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from maze_introspection.demo import Child
from maze_policy import topics

sys.path.append(str(Path(__file__).parent.parent / 'test'))
from whole_graph import Bag, Run, counts, film, grown_mb, latency_ms, played_ns, read, run

RATE_HZ, LIMIT_MS = 30.0, 20.0
COST_MS = 2.0  # that looking may add at p99
SETTLE_S, LOOK_S = 12.0, 30.0  # what a start or an end takes, and how long is measured then
BYTES_PER_FRAME = 1_000_000  # of the bag, at most


def main() -> int:
    """Run, print, and exit with 1 if a limit is exceeded or something is lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=10.0, help='of recording (default: %(default)s)')
    parser.add_argument('--checkpoint', default='robust_finetuned', help='policy (default: %(default)s)')
    parser.add_argument('--look', action='store_true', help='compare with and without panel and live figures')
    options = parser.parse_args()
    frames = round(options.minutes * 60 * RATE_HZ)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if free < frames * BYTES_PER_FRAME:
            raise SystemExit(f'want {frames * BYTES_PER_FRAME / 1e9:.0f} GB in {folder}, got {free / 1e9:.0f} GB')
        looks: list[tuple[int, int, bool]] = []
        meanwhile = [lambda over: come_and_go(looks, over)] if options.look else []
        done = run(folder, film(folder), frames, checkpoint=options.checkpoint, meanwhile=meanwhile)
        bag = read(folder / 'bag')
        code = verdict(bag, done)
        return max(code, cost_of_looking(bag, looks)) if options.look else code


def come_and_go(looks: list[Any], over: threading.Event) -> None:
    """Start and end who looks; what a start itself takes is left out, as is what follows an end."""
    command = [sys.executable, str(Path(__file__).parent / 'panel.py'), '--watch']
    over.wait(SETTLE_S)
    while not over.is_set():
        for somebody in (False, True):
            watcher = Child('panel', command, dict(os.environ)) if somebody else None
            over.wait(SETTLE_S)
            since_ns = time.time_ns()
            over.wait(LOOK_S)
            if watcher and watcher.poll() is not None:
                print('the panel ended', file=sys.stderr)
                return
            if not over.is_set():
                looks.append((since_ns, time.time_ns(), somebody))
            if watcher:
                watcher.clear_away()


def cost_of_looking(bag: Bag, looks: list[tuple[int, int, bool]]) -> int:
    """Print how the latency changes when somebody looks; the exit code."""
    tilt = bag.times_ns[topics.TILT_COMMAND.name]
    latency_ms = {False: np.empty(0), True: np.empty(0)}
    for since_ns, until_ns, somebody in looks:
        part = tilt[(tilt[:, 0] >= since_ns) & (tilt[:, 0] < until_ns)]
        latency_ms[somebody] = np.append(latency_ms[somebody], (part[:, 1] - part[:, 0]) / 1e6)
    if not (latency_ms[False].size and latency_ms[True].size):
        print(f'want at least {2 * (SETTLE_S + LOOK_S) / 60:.1f} minutes with a panel, got too few to compare')
        return 1
    for somebody, values in latency_ms.items():
        print(line(f'{"panel and live figures" if somebody else "nobody looks":24} ({len(values)} frames)', values))
    cost_ms = np.percentile(latency_ms[True], 99) - np.percentile(latency_ms[False], 99)
    print(f'cost of looking: {cost_ms:+.1f} ms at p99 (limit {COST_MS:g} ms)')
    return 0 if cost_ms <= COST_MS else 1


def verdict(bag: Bag, done: Run) -> int:
    """Print latencies, counts and memory; the exit code."""
    image, latency = bag.times_ns[topics.CAMERA_IMAGE.name], latency_ms(bag)
    before = done.served_ns[np.searchsorted(done.served_ns, image[:, 0]) - 1]
    print(f'{len(image)} frames of 640 x 480 in {np.ptp(image[:, 0]) / 6e10:.1f} minutes, {os.cpu_count()} cores')
    print(line('picture served to its stamp (read, decoded)', (image[:, 0] - before) / 1e6))
    print(line('stamp to tilt command', latency) + f' (limit {LIMIT_MS:g} ms at p99)')
    print(f'{"topic":32}{"published":>10}{"recorded":>10}')
    found = counts(bag)
    for count in found:
        print(f'{count.topic:32}{count.published:10}{count.recorded:10}')
    print(f'({len(image) - len(played_ns(bag))} more pictures came before the board was found)')
    refused = [
        f'{node} {key} {value}'
        for node, values in bag.told.items()
        for key, value in values.items()
        if key.startswith('refused: ')
    ]
    print('refused: ' + (', '.join(refused) or 'nothing'))
    for name, values in done.memory_mb.items():
        print(f'memory of {name:14}{values[-1]:6.0f} MB at the end, grown by {grown_mb(values):+.1f} MB')
    lost = sum(abs(count.published - count.recorded) for count in found)
    good = bool(np.percentile(latency, 99) <= LIMIT_MS) and not lost
    print(f'{"within the limit" if good else "NOT within the limit"}; lost: {lost}')
    return 0 if good else 1


def line(what: str, values_ms: Any) -> str:
    """Percentiles in words."""
    middle, high, most = np.percentile(values_ms, [50, 99, 100])
    return f'{what}: p50 {middle:.1f} ms, p99 {high:.1f} ms, max {most:.1f} ms'


if __name__ == '__main__':
    sys.exit(main())
