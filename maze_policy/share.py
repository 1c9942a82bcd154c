"""Find the files that ship beside the code: config, launch, Gazebo models.

The same call works in a source tree, after `pip install`, and in a colcon workspace, without ROS.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from pathlib import Path

PACKAGE = 'maze_introspection'
CHECKPOINTS = Path(__file__).resolve().parent / 'checkpoints'


def share_path(relative: str) -> Path:
    """Path of a shipped file, such as `config/maze.yaml`.

    Raises:
        FileNotFoundError: naming every folder that was looked in.
    """
    roots = [Path(__file__).resolve().parent.parent]
    roots += [
        Path(prefix) / 'share' / PACKAGE for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(':') if prefix
    ]
    prefixes = (sys.prefix, sysconfig.get_path('data'), site.getuserbase())
    roots += [Path(prefix) / 'share' / PACKAGE for prefix in dict.fromkeys(prefixes)]
    for root in roots:
        if (root / relative).exists():
            return root / relative
    raise FileNotFoundError(f'{relative} of {PACKAGE} is in none of: {", ".join(map(str, roots))}')


def checkpoint_path(name: str | Path | None = None) -> Path:
    """The weights of a policy that ships with the package, by its name (without: nominal), or the path as it is."""
    shipped = CHECKPOINTS / f'{name or "nominal"}.safetensors'
    return shipped if os.path.exists(shipped) else Path(name or shipped)  # Path.exists minds names that are too long


def policy_name(path: Path) -> str:
    """What to call a policy: its file's name, or its folder's where a training has called the file `policy`."""
    return path.absolute().parent.name if path.stem == 'policy' else path.stem
