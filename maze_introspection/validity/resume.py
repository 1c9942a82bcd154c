"""Folders of results that survive a kill: every result appears all at once, and all are of the same settings."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTIAL = 'partial'


@contextmanager
def whole(path: Path, out: Path) -> Iterator[Path]:
    """Where to write a file or a folder that shall be `path`; it is renamed when all of it is written, or not at all.

    Args:
        path: the result; its name is also that of what is yielded.
        out: the folder of all results, on the same file system; nothing but `path` stays in it.
    """
    (out / PARTIAL).mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out / PARTIAL) as folder:
        partial = Path(folder) / path.name
        yield partial
        try:
            os.replace(partial, path)
        except OSError:  # a worker that outlived its killed master was first; equal jobs have equal results
            if not path.is_dir():
                raise


def clear(out: Path) -> None:
    """Remove what a kill may have left half written."""
    shutil.rmtree(out / PARTIAL, ignore_errors=True)


def same_settings(path: Path, settings: Mapping[str, Any], what: str) -> None:
    """Keep the settings in a JSON file beside the results, or prove that they are those of the results there.

    Raises:
        ValueError: naming those that are different, as they were and as they are.
    """
    now = json.loads(json.dumps(settings))
    if not path.exists():
        with whole(path, path.parent) as partial:
            partial.write_text(json.dumps(now, indent=2) + '\n')
        clear(path.parent)
        return
    before = json.loads(path.read_text())
    different = [name for name in now if before.get(name) != now[name]]
    if different:
        said = ', '.join(f'{name} {before.get(name)} (now {now[name]})' for name in different)
        raise ValueError(f'{path.parent} holds {what} with other settings: {said}; name another --out')
