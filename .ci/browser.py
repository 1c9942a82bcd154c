"""See to it that there is a Chromium for the tests of the report; without one those tests fail, and say how to get it.

A browser of this machine that starts is taken as it is. Otherwise root on Debian installs the distribution's; anybody
else, and root on Ubuntu, where that is but a door to a snap, lets Playwright fetch its own into the home directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'test'))
from browser import HOW, launched

LIMIT_S = 600.0  # a network that answers nothing must not keep `make test` waiting
APT = ['apt-get', '-q', '-y', '-oAcquire::http::Timeout=20', '-oAcquire::Retries=1', '-oDPkg::Lock::Timeout=60']


def main() -> None:
    """Find a Chromium, or get one; never fails by itself."""
    if found():
        return
    if 'CHROMIUM' not in os.environ:
        print('Getting a Chromium for the tests of the report ...', flush=True)
        for command in ways():
            if run(command) and 'install' in command and found():
                return
    print(HOW, flush=True)


def run(command: list[str]) -> bool:
    """Whether a command ended well, and in time; asks nothing."""
    print(' '.join(command), flush=True)
    quietly = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=quietly, start_new_session=True)
    try:
        return process.wait(LIMIT_S) == 0
    except subprocess.TimeoutExpired:
        print(f'given up after {LIMIT_S:g} s', flush=True)
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)  # what it has started, too
            process.wait()


def found() -> bool:
    """Whether there is a browser that starts."""
    with sync_playwright() as playwright:
        browser = launched(playwright)
        if browser:
            browser.close()
        return browser is not None


def ways() -> Iterator[list[str]]:
    """Commands that may bring one, the better ones first."""
    fetch = [sys.executable, '-m', 'playwright', 'install']
    if os.geteuid() == 0 and shutil.which('apt-get'):
        yield [*APT, 'update']
        yield [*APT, '--no-install-recommends', 'install', 'chromium']
        yield [*fetch, '--with-deps', 'chromium']
    yield [*fetch, 'chromium']


if __name__ == '__main__':
    main()
