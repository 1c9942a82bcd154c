import subprocess
import sys
from pathlib import Path

import pytest
from equivalent import EQUIVALENT
from mutants import mutants

HERE = Path(__file__).parent
ALL = mutants()
STRIDE = 97  # the first few are from everywhere; no divisor of their number, so that in the end all come


@pytest.mark.promise(
    'Verification',
    'one thing changed in contribution.py or offset.py: a test fails, or no number changes',
    quick=3,
    full=len(ALL),
)
def test_every_mutant_is_found_out(promise):
    assert len(ALL) % STRIDE
    for seeds in promise.times(20):
        numbers = [str(seed * STRIDE % len(ALL)) for seed in seeds]
        done = subprocess.run([sys.executable, HERE / 'mutants.py', *numbers], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        promise.saw('equivalent, %', 100 * done.stdout.count('| equivalent:') / len(numbers))


def test_every_argument_is_about_a_mutant_that_there_is():
    there = {(mutant.module.rsplit('.')[-1], mutant.code, mutant.change) for mutant in ALL}
    told = {
        (module, code, change) for module, codes in EQUIVALENT.items() for code, why in codes.items() for change in why
    }
    assert told <= there
