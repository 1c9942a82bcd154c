"""See to it that there is a Chromium for the tests of the report; without one those tests fail, and say how to get it.

A browser of this machine is taken as it is. Otherwise root on Debian and the like installs the distribution's, and
anybody else lets Playwright fetch its own into the home directory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'test'))
from browser import HOW, chromium


def main() -> None:
    """Find a Chromium, or get one; never fails by itself."""
    with sync_playwright() as playwright:
        if chromium(playwright):
            return
    print('Getting a Chromium for the tests of the report ...')
    if os.geteuid() == 0 and shutil.which('apt-get'):
        install = ['apt-get', 'install', '-y', '-q', '--no-install-recommends', 'chromium']
        if subprocess.run(install).returncode:
            subprocess.run(['apt-get', 'update', '-q'])
            subprocess.run(install)
    else:
        subprocess.run([sys.executable, '-m', 'playwright', 'install', 'chromium'])
    with sync_playwright() as playwright:
        if not chromium(playwright):
            print(HOW)


if __name__ == '__main__':
    main()
