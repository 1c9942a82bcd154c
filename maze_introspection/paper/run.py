"""Run the experiments that are not done yet, several at a time; what was killed goes on when started again."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from maze_introspection.paper.experiments import Experiment
from maze_introspection.paper.numbers import numbers

INPUTS, DONE, LOG = 'inputs.txt', 'done.json', 'log.txt'


def run(experiments: Sequence[Experiment], out: Path, jobs: int) -> int:
    """Run those whose results are not in `out`, or were made of something else (another checkpoint, say).

    Returns:
        How many were run.

    Raises:
        ValueError: if one fails, with the end of what it printed.
    """
    todo = [experiment for experiment in experiments if result(experiment, out) is None]
    if not todo:
        return 0
    with ProcessPoolExecutor(min(jobs, len(todo)), mp_context=get_context('spawn'), initializer=_one_thread) as pool:
        running = [pool.submit(perform, experiment, out) for experiment in todo]
        try:
            for done in tqdm(
                as_completed(running), total=len(experiments), initial=len(experiments) - len(todo), unit='experiment'
            ):
                done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(todo)


def result(experiment: Experiment, out: Path) -> dict[str, Any] | None:
    """What is kept of an experiment, or None where it is not done or was made of something else."""
    try:
        done: dict[str, Any] = json.loads((out / experiment.name / DONE).read_text())
    except (OSError, ValueError):
        return None
    return done if done['inputs'] == experiment.inputs() else None


def perform(experiment: Experiment, out: Path) -> None:
    """Run one experiment and keep its numbers; trials played before a kill are kept.

    Raises:
        ValueError: if its command fails.
    """
    folder, inputs = out / experiment.name, experiment.inputs()
    if folder.exists() and _text(folder / INPUTS) != inputs:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INPUTS).write_text(inputs)
    command = experiment.command(folder)
    with open(folder / LOG, 'w') as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        code = _main(command)
    if code:
        said = ' / '.join(_text(folder / LOG).strip().splitlines()[-3:])
        raise ValueError(f'{command}\nfailed with exit code {code}: {said}\n(all it said: {folder / LOG})')
    kept = {'inputs': inputs, **experiment.values, **numbers(folder)}
    partial = folder / f'{DONE}.partial'
    partial.write_text(json.dumps(kept, allow_nan=False))
    os.replace(partial, folder / DONE)


def _main(command: str) -> int:
    from maze_introspection.cli import main as introspection
    from maze_policy.cli import main as policy

    program, *arguments = shlex.split(command)
    return {'maze-introspection': introspection, 'maze-policy': policy}[program](arguments)


def _one_thread() -> None:
    os.environ['LOKY_MAX_CPU_COUNT'] = '1'  # an experiment is one of several already
    import torch

    torch.set_num_threads(1)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ''
