"""Cost and memory of many trials: `python bench/trials.py`. Both must not depend on how many were played before.

Plays 100 and then 1,000 short trials with the nominal policy through `maze-introspection trials --no-summary`, bags and
events of each, in processes of their own so that time and peak memory can be read.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

# Of 1,000 trials against 100: cost of a trial (start of the processes taken off) and peak memory.
COST_RATIO, MEMORY_RATIO = 1.3, 1.2


class Run(NamedTuple):
    """What a run took: wall clock and processor time of all processes, s; peak memory of the largest process, MB."""

    trials: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    rows: int


def main() -> int:
    """Print each run; exit code 1 if cost or memory grows faster than the number of trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--counts', type=int, nargs=3, default=(2, 100, 1000), help='trials (default: %(default)s)')
    parser.add_argument('--jobs', type=int, default=2, help='(default: %(default)s)')
    parser.add_argument('--time-limit-s', type=float, default=2.0, help='simulated s of a trial (default: %(default)s)')
    options = parser.parse_args()
    print(
        f'trials of up to {options.time_limit_s:g} s, {options.jobs} jobs, scheduler policy {os.sched_getscheduler(0)}'
    )
    runs = []
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            runs.append(bench(Path(folder) / 'out', count, options.jobs, options.time_limit_s))
        run = runs[-1]
        print(
            f'{run.trials:5} trials: {run.wall_s:6.1f} s wall, {run.cpu_s:6.1f} s processor, '
            f'peak {run.peak_mb:4.0f} MB in the largest process, {run.rows} events',
            flush=True,
        )
    start, few, many = runs
    cost = [(run.cpu_s - start.cpu_s) / (run.trials - start.trials) for run in (few, many)]
    print(f'a trial: {1000 * cost[0]:.0f} ms of processor among {few.trials}, {1000 * cost[1]:.0f} among {many.trials}')
    grown = many.peak_mb / few.peak_mb
    print(
        f'{many.trials} against {few.trials}: memory {grown:.2f} (limit {MEMORY_RATIO}), '
        f'cost of a trial {cost[1] / cost[0]:.2f} (limit {COST_RATIO})'
    )
    return 0 if grown <= MEMORY_RATIO and cost[1] <= COST_RATIO * cost[0] else 1


def bench(out: Path, count: int, jobs: int, time_limit_s: float) -> Run:
    """Play `count` trials."""
    command = [sys.executable, '-m', 'maze_introspection.cli', 'trials', '--out', out, '--no-summary']
    command += ['--count', count, '--jobs', jobs, '--time-limit-s', time_limit_s]
    begin_s = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ChildProcessError(f'{command} ended with {process.returncode}')
    files = list((out / 'events').glob('*.parquet'))
    if len(files) != count:
        raise AssertionError(f'want the events of {count} trials, got {len(files)}')
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    wall_s = time.monotonic() - begin_s
    return Run(count, wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, rows)


if __name__ == '__main__':
    sys.exit(main())
