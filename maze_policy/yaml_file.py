"""YAML of a file that may come from anywhere: small, plain, and never more than it looks like."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

MOST_B = 50_000  # read within a second; the largest of ours has 6,000
MOST_DEEP = 32  # brackets within brackets; PyYAML's time grows with the square


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, of plain types.

    Aliases (`*name`) are refused (ours): a few lines of them can stand for terabytes.

    Raises:
        ValueError: naming the file, if it is no such YAML.
        OSError: if it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f'{path}: want a file')
    with path.open('rb') as file:
        text = file.read(MOST_B + 1)
    if len(text) > MOST_B:
        raise ValueError(f'{path}: want at most {MOST_B} B of YAML, got more')
    refuse_deep(path, text)
    try:
        return yaml.load(text.decode(), _Plain)
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: want YAML, got what is not a text file') from error
    except Exception as error:  # PyYAML stumbles over wrong tags in many ways, over deep nesting by recursion
        raise ValueError(f'{path}: want YAML, got {error}') from error


def refuse_deep(path: Path, text: bytes) -> None:
    """Refuse what takes a reader of YAML for ever.

    Raises:
        ValueError: naming the file and its depth.
    """
    deep = max(accumulate((byte in b'[{') - (byte in b']}') for byte in text), default=0)
    if deep > MOST_DEEP:
        raise ValueError(f'{path}: want YAML with at most {MOST_DEEP} brackets within each other, got {deep}')


class _Plain(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f'an alias, *{event.anchor}', event.start_mark)
        return super().compose_node(parent, index)
