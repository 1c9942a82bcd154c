"""A real Chromium for the tests of the report: found, never downloaded here."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager

import pytest
from playwright.sync_api import Error, sync_playwright

HOW = (
    'want a Chromium to test the report in, found none that starts: `apt-get install chromium`, or '
    '`.venv/bin/playwright install --with-deps chromium`, or set CHROMIUM to one'
)
NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
FLAGS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
]
SIZE = {'width': 1280, 'height': 800}


def launched(playwright):
    """The first that starts: only $CHROMIUM where that is set, else this machine's, else Playwright's, else None."""
    own = playwright.chromium.executable_path
    named = os.environ.get('CHROMIUM')
    for path in [named] if named else [*map(shutil.which, NAMES), own if os.path.exists(own) else None]:
        if path:
            try:
                return playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=60_000)
            except Error as error:  # such as Ubuntu's chromium-browser, which but says where to find a snap
                print(f'{path} does not start: {error.message.splitlines()[0]}', file=sys.stderr)
    return None


@contextmanager
def started():
    """The browser; without one the test fails and says how to get it."""
    with sync_playwright() as playwright:
        browser = launched(playwright)
        if browser is None:
            pytest.fail(HOW)
        yield browser
        browser.close()


@contextmanager
def opened(browser, path):
    """A page with the report, once it is ready; afterwards it must not have complained or asked the network."""
    page = browser.new_page(viewport=SIZE)
    complaints = []
    page.on('console', lambda message: complaints.append(message.text) if message.type == 'error' else None)
    page.on('pageerror', lambda error: complaints.append(str(error)))
    page.on('request', lambda request: complaints.append(request.url) if request.url.startswith('http') else None)
    page.goto(path.as_uri())
    page.wait_for_selector('body[data-ready]', timeout=60_000)
    yield page
    assert not complaints
    page.close()


def cpu_s(page) -> float:
    """CPU time of the page's process so far, s: what opening takes, whatever else the machine does meanwhile."""
    told = page.context.new_cdp_session(page)
    told.send('Performance.enable')
    return next(row['value'] for row in told.send('Performance.getMetrics')['metrics'] if row['name'] == 'ProcessTime')
