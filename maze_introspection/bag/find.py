"""The bags that a folder holds."""

from __future__ import annotations

from pathlib import Path

from maze_introspection.bag.writer import BagError


def find_bags(path: Path) -> list[Path]:
    """The bag itself, or the bags in a folder, by name.

    Raises:
        BagError: if there is none.
    """
    if not path.is_dir() or (path / 'metadata.yaml').exists():
        return [path]
    inside = sorted(child for child in path.iterdir() if (child / 'metadata.yaml').exists())
    if inside:
        return inside
    if any(path.glob('*.mcap')) or any(path.glob('*.db3')):
        return [path]  # a recording without its metadata.yaml: reading it says what to do
    raise BagError(f'want a bag or a folder of bags, got {path}: there is no metadata.yaml in it or in its folders')
