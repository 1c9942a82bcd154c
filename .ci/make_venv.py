"""Make the virtual environment that `make demo` and `make test` use; standard library only.

Without a ROS distribution: the pinned packages and the ROS 2 wheels. With one sourced: its Python packages are seen
(--system-site-packages, PYTHONPATH), and only what cannot be imported is installed beside them, so that its rclpy,
cv_bridge and the numpy and OpenCV these were built with stay in use.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

from dependencies import DEPENDENCIES

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / 'constraints.txt'


def main(folder: Path) -> None:
    """Make `folder`, or bring it up to date."""
    if sys.version_info[:2] < (3, 10):  # noqa: UP036 - this file is what says so
        sys.exit(f'want Python 3.10 or newer (3.11 is what the pins were tried with), got {sys.version.split()[0]}')
    distribution = os.environ.get('ROS_DISTRO')
    if distribution and importlib.util.find_spec('rclpy') is None:
        sys.exit(
            f'ROS_DISTRO is {distribution}, but this Python ({sys.executable}) has no rclpy: source its setup.bash'
        )
    print(f'Making {folder} ({"on top of ROS " + distribution if distribution else "with the ROS 2 wheels"}) ...')
    venv.create(folder, with_pip=True, system_site_packages=bool(distribution))
    python = folder / 'bin' / 'python'
    if not distribution:
        pip(python, '-c', str(CONSTRAINTS), '-e', f'{ROOT}[policy,ros,test]')
        return
    pip(python, 'setuptools>=64', 'wheel')
    pip(python, '--no-deps', '--no-build-isolation', '-e', str(ROOT))
    missing = [row.distribution for row in DEPENDENCIES if row.extra != 'ros' and not importable(python, row.module)]
    if missing:
        pip(python, *[pin for pin in pins() if pin.split('==')[0].lower() in missing])


def pins() -> list[str]:
    """Lines of constraints.txt."""
    return [line for line in CONSTRAINTS.read_text().splitlines() if '==' in line]


def importable(python: Path, module: str) -> bool:
    """Whether the environment finds a module, without importing it."""
    code = f'import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)'
    return subprocess.run([python, '-c', code]).returncode == 0


def pip(python: Path, *arguments: str) -> None:
    """Install; pip's own message tells what went wrong."""
    done = subprocess.run([python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', *arguments])
    if done.returncode:
        sys.exit(f'pip install {" ".join(arguments)} failed')


if __name__ == '__main__':
    main(Path(sys.argv[1]).absolute())
