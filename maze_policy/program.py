"""Run somebody's program beside a node, without waiting for it, and say how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence


class Program:
    """A program that runs now, in a process group of its own; no shell reads its arguments.

    Args:
        command: program and arguments.
        timeout_s: after this long it is killed, s.

    Raises:
        OSError: if it cannot be started.
    """

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._name = command[0]
        self._timeout_s = timeout_s
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (a pipe that nobody empties would stop it)
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._began_s = time.monotonic()

    def ended(self) -> str | None:
        """None while it runs; then why it failed, or an empty string."""
        code = self._process.poll()
        if code is None and time.monotonic() - self._began_s > self._timeout_s:
            self.stop()
            return f'{self._name} has not ended after {self._timeout_s:g} s'
        if code is None or code == 0:
            return None if code is None else ''
        self._output.seek(0)
        lines = self._output.read().decode(errors='replace').split('\n')
        last = next((line.strip() for line in reversed(lines) if line.strip()), 'it said nothing')
        return f'{self._name} ended with exit code {code}: {last}'

    def stop(self) -> None:
        """Kill it and what it started, if it still runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
