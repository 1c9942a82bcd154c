"""Independent jobs, run on the cores of this machine (joblib) or on a Ray cluster; what a kill interrupts goes on.

A job is a function of one item that leaves its result as a file or a folder, under a name that follows from the item,
all at once (`resume.whole`). So what is done can be seen from the names, no two jobs write the same, and neither the
number of workers nor the order in which they finish can change a result. Nothing comes back from a job: memory here
does not grow with their number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from importlib import import_module
from itertools import islice
from typing import Any, TypeVar

import joblib
from tqdm import tqdm

from maze_introspection.config import BackendConfig

T = TypeVar('T')
RAY_STORE_B = 100 * 2**20  # nothing but items goes through Ray's object store


def run(
    job: Callable[[T], None], items: Sequence[T], done: Callable[[T], bool], config: BackendConfig, unit: str
) -> int:
    """Do the job for every item for which it is not done yet.

    Args:
        job: a function of a module, or a `functools.partial` of one; both it and the items travel to other processes.
        items: what it is done for.
        done: whether the result of an item is there.
        config: where, and how many at once.
        unit: what an item is called on the progress bar.

    Returns:
        For how many it was done now.

    Raises:
        ValueError, OSError: what a job raised; a worker that died, or results that are nowhere to be seen.
    """
    todo = [item for item in items if not done(item)]
    if not todo:
        return 0
    finished = {'joblib': _joblib, 'ray': _ray}[config.backend](job, todo, config)
    for _ in tqdm(finished, desc=f'{unit}s', unit=unit, total=len(items), initial=len(items) - len(todo), disable=None):
        pass
    lost = sum(not done(item) for item in todo)
    if lost:
        raise FileNotFoundError(
            f'want the results of {len(todo)} {unit}s, got {len(todo) - lost}; the workers of a cluster must write to '
            'a folder that this machine sees under the same path'
        )
    return len(todo)


def _joblib(job: Callable[[T], None], todo: Sequence[T], config: BackendConfig) -> Iterator[None]:
    workers = min(config.jobs or joblib.cpu_count(), len(todo))
    parallel = joblib.Parallel(n_jobs=workers, batch_size=1, return_as='generator_unordered')
    try:
        yield from parallel(joblib.delayed(job)(item) for item in todo)
    except BrokenExecutor as error:
        raise _died() from error


def _ray(job: Callable[[T], None], todo: Sequence[T], config: BackendConfig) -> Iterator[None]:
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # nobody asked for telemetry
    try:
        ray: Any = import_module('ray')  # an extra, not typed, that one machine does not need
    except ImportError as error:
        raise ValueError("want Ray for --backend ray: pip install -c constraints.txt '.[policy,ray]'") from error

    begun = not ray.is_initialized()
    if begun:
        here = {'num_cpus': config.jobs or joblib.cpu_count(), 'object_store_memory': RAY_STORE_B}
        where = {'address': config.address} if config.address else {'address': 'local', **here}
        try:
            ray.init(**where, include_dashboard=False if not config.address else None, log_to_driver=False)
        except (ConnectionError, RuntimeError) as error:
            raise ValueError(f'want a Ray cluster at --address, got {config.address!r}: {error}') from error
    try:
        perform, given, items = ray.remote(_perform), ray.put(job), iter(todo)
        most = config.jobs or int(ray.cluster_resources()['CPU'])
        running = [perform.remote(given, item) for item in islice(items, most)]
        while running:
            (finished,), running = ray.wait(running)
            ray.get(finished)
            running += [perform.remote(given, item) for item in islice(items, 1)]
            yield
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.WorkerCrashedError as error:
        raise _died() from error
    finally:
        if begun:
            ray.shutdown()


def _perform(job: Callable[[Any], None], item: Any) -> None:
    job(item)


def _died() -> OSError:
    return ChildProcessError(
        'a worker died, perhaps for lack of memory; what is done is kept: start the same again, with fewer --jobs'
    )
