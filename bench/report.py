"""The report in a real browser: size, time to write it, time until it is drawn, and what a step of the slider costs."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'test'))
from browser import cpu_s, opened, started  # noqa: E402
from made import made_recording  # noqa: E402

from maze_introspection.bag import write_recording  # noqa: E402
from maze_introspection.config import IntrospectionConfig, ReportConfig  # noqa: E402
from maze_introspection.explore import collect, write_page  # noqa: E402

CASES = {
    'a run of 60 s, 128 channels': (1800, 128, (0,)),
    '40 trials of 5 s, 128 channels': (6000, 128, tuple(range(0, 6000, 150))),
    'a run of 10 s, 1024 channels': (300, 1024, (0,)),
}
STEPS = """async () => { const side = report.sides[0], began = performance.now();
    for (let step = 0; step < 100; step++) side.setStep(step);
    return (performance.now() - began) / 100; }"""


def main() -> None:
    """Print one line for each case, and one for each bag or folder given as an argument."""
    with started() as browser, tempfile.TemporaryDirectory() as folder:
        for index, (name, (steps, channels, resets)) in enumerate(CASES.items()):
            bag = Path(folder) / f'bag{index}'
            noise = np.random.default_rng(0).integers(0, 60, (84, 84))
            pictures = (noise + np.arange(steps)[:, None, None] % 150).astype(np.uint8)
            write_recording(bag, made_recording(steps, channels, resets=resets), observations=pictures)
            measure(browser, name, bag, Path(folder))
        for path in map(Path, sys.argv[1:]):
            measure(browser, str(path), path, Path(folder))


def measure(browser, name: str, bag: Path, folder: Path) -> None:
    """Write one report, open it five times."""
    out = folder / 'report.html'
    began = time.perf_counter()
    size = write_page([collect([bag], IntrospectionConfig())], out, ReportConfig())
    wrote_s = time.perf_counter() - began
    took, cpu = [], []
    for _ in range(5):
        with opened(browser, out) as page:
            took.append(float(page.evaluate('document.body.dataset.ready')))
            cpu.append(cpu_s(page))
            step_ms = page.evaluate(STEPS)
    print(
        f'{name}: {size / 1e6:.1f} MB, written in {wrote_s:.1f} s, drawn {np.median(took):.1f} s after opening '
        f'(median of 5; {np.median(cpu):.1f} s of CPU), {step_ms:.1f} ms per step of the slider'
    )


if __name__ == '__main__':
    main()
