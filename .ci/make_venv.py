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

from dependencies import DEPENDENCIES, Dependency

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / 'constraints.txt'


def main(folder: Path) -> None:
    """Make `folder`, or bring it up to date."""
    distribution = os.environ.get('ROS_DISTRO')
    least = (3, 10) if distribution else (3, 11)
    if sys.version_info[:2] < least:
        sys.exit(f'want Python {least[0]}.{least[1]} or newer, got {sys.version.split()[0]}: set PYTHON=python3.x')
    if distribution and importlib.util.find_spec('rclpy') is None:
        sys.exit(f'ROS_DISTRO is {distribution}, but {sys.executable} has no rclpy: source its setup.bash')
    print(f'Making {folder} ({"on top of ROS " + distribution if distribution else "with the ROS 2 wheels"}) ...')
    venv.create(folder, with_pip=True, system_site_packages=bool(distribution))
    python = folder / 'bin' / 'python'
    if not distribution:
        pip(python, '-c', str(CONSTRAINTS), '-e', f'{ROOT}[policy,train,ray,ros,test]')
        return
    pip(python, 'setuptools>=64', 'wheel')
    pip(python, '--no-deps', '--no-build-isolation', '-e', str(ROOT))
    missing = [row for row in DEPENDENCIES if row.extra != 'ros' and not there(python, row)]
    if missing:
        pinned = pins()
        wanted = [pinned.get(row.distribution, row.distribution) for row in missing]
        pip(python, *wanted, *keep_numpy(python))


def pins() -> dict[str, str]:
    """Lines of constraints.txt by distribution; none before Python 3.11, for which some of them do not exist."""
    if sys.version_info[:2] < (3, 11):
        return {}
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if '==' in line]
    return {line.split('==')[0].lower().replace('_', '-'): line for line in lines}


def there(python: Path, row: Dependency) -> bool:
    """Whether the environment has a module, new enough."""
    code = f'import importlib.util, sys; sys.exit(importlib.util.find_spec({row.module!r}) is None)'
    if subprocess.run([python, '-c', code]).returncode:
        return False
    return not row.least or version(python, row.distribution) >= row.least


def version(python: Path, distribution: str) -> tuple[int, ...]:
    """First two numbers of an installed distribution's version."""
    code = f'import importlib.metadata; print(importlib.metadata.version({distribution!r}))'
    said = subprocess.run([python, '-c', code], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.strip().split('.')[:2])


def keep_numpy(python: Path) -> list[str]:
    """A requirement that keeps the distribution's numpy, which its cv_bridge and OpenCV were built with."""
    said = subprocess.run([python, '-c', 'import numpy; print(numpy.__version__)'], capture_output=True, text=True)
    return [f'numpy=={said.stdout.strip()}'] if said.returncode == 0 else []


def pip(python: Path, *arguments: str) -> None:
    """Install; pip's own message tells what went wrong."""
    done = subprocess.run([python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', *arguments])
    if done.returncode:
        sys.exit(f'pip install {" ".join(arguments)} failed')


if __name__ == '__main__':
    main(Path(sys.argv[1]).absolute())
