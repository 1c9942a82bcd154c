"""What a training leaves in its folder: its state, to go on from when started again, and its log."""

from __future__ import annotations

import csv
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch


def save_state(path: Path, settings: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write `state` (tensors, plain values) and the settings it belongs to; a kill leaves the old file or the new."""
    partial = path.with_suffix('.partial')
    torch.save({**state, 'settings': dict(settings)}, partial)
    os.replace(partial, path)


def load_state(path: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state to go on from, or None where there is none yet.

    Raises:
        ValueError: if the file is damaged, or was written with other settings (each is quoted: then, now).
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f'{path} is damaged ({error}); remove it or name another --out') from error
    then = state.pop('settings', {})
    changed = {name: (then.get(name), value) for name, value in settings.items() if then.get(name) != value}
    if changed:
        raise ValueError(f'{path} was begun with other settings; (then, now): {changed}; name another --out')
    return state


def write_log(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, float]]) -> None:
    """The curves as CSV; a row may lack columns (no evaluation in that step)."""
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
