"""Try something with thousands of seeds in a process of its own, with limits on memory and time, and name the seed.

A target is a function of a test module that prepares once and returns `one(seed)`. `one` may return, or raise what a
user gets told: a ValueError or OSError with a message. Everything else (another exception, a signal, a seed that takes
longer than 2 s, more memory than the limit) fails, with the seed.
"""

import importlib
import json
import mmap
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SLOW_S = 2.0
DEAD_S = 20.0  # no answer to one seed for so long: it is not only the machine that is slow
MEMORY_MB = 500


def fuzz(module, target, seeds, *arguments):
    """Try `target` of `module` with a range of seeds; what was seen: counts, slowest s, memory taken MB."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder) / 'seed'
        at.write_bytes(struct.pack('<q', -1))
        output = Path(folder) / 'output'
        command = [sys.executable, str(HERE / 'fuzzing.py'), module, target, str(seeds[0]), str(seeds[-1] + 1), str(at)]
        with output.open('w+b') as stream:
            child = subprocess.Popen([*command, *map(str, arguments)], stdout=stream, stderr=stream)
            seed, since_s = -1, time.monotonic()
            while child.poll() is None:
                try:
                    child.wait(0.2)
                except subprocess.TimeoutExpired:
                    [now] = struct.unpack('<q', at.read_bytes())
                    if now != seed:
                        seed, since_s = now, time.monotonic()
                    elif seed >= 0 and time.monotonic() - since_s > DEAD_S:
                        child.kill()
        [seed] = struct.unpack('<q', at.read_bytes())
        said = output.read_text(errors='replace')
    if child.returncode:
        raise AssertionError(f'{module}.{target} with seed {seed} ended with {child.returncode}:\n{said[-3000:]}')
    found = json.loads(said.strip().split('\n')[-1])
    assert found['slowest_s'] < SLOW_S, f'{module}.{target}: seed {found["slowest"]} took {found["slowest_s"]:.2f} s'
    return found


def promised(promise, module, target, chunk, *arguments):
    """Keep a promise by fuzzing, `chunk` seeds to a process."""
    for seeds in promise.times(chunk):
        seeds = range(seeds, seeds + 1) if isinstance(seeds, int) else seeds
        found = fuzz(module, target, seeds, *arguments)
        assert found['accepted'] + found['refused'] == len(seeds)
        promise.saw('refused, %', 100 * found['refused'] / len(seeds))
        promise.saw('ms, slowest', found['slowest_s'] * 1e3)
        promise.saw('MB taken', found['taken_mb'])


def _main(module, target, first, end, at, *arguments):
    one = getattr(importlib.import_module(module), target)(*arguments)
    before_mb = _limit_memory()
    count = {'accepted': 0, 'refused': 0}
    slowest_s, slowest = 0.0, None
    with open(at, 'r+b') as file, mmap.mmap(file.fileno(), 8) as mark:
        for seed in range(int(first), int(end)):
            mark[:] = struct.pack('<q', seed)
            began_s = time.perf_counter()
            try:
                one(seed)
                count['accepted'] += 1
            except (ValueError, OSError) as error:
                if not str(error) or _of_memory(error):
                    raise
                count['refused'] += 1
            took_s = time.perf_counter() - began_s
            if took_s > slowest_s:
                slowest_s, slowest = took_s, seed
    taken_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before_mb
    print(json.dumps({**count, 'slowest_s': slowest_s, 'slowest': slowest, 'taken_mb': taken_mb}))


def _limit_memory():
    has_b = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has_b + MEMORY_MB * 1_000_000,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _of_memory(error):
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == '__main__':
    sys.path.insert(0, str(HERE))
    _main(*sys.argv[1:])
