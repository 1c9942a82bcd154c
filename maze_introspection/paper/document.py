"""A document with generated parts: what stands between two marks comes from results, the rest is written by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping

PART = re.compile(r'(?P<begin><!-- begin (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end (?P=name) -->)', re.DOTALL)


def fill(text: str, parts: Mapping[str, str]) -> str:
    """The document with its generated parts as they should be; what is between `begin` and `end` of each is replaced.

    Raises:
        ValueError: if the document has a part that there is nothing for, or lacks one.
    """
    there = [match['name'] for match in PART.finditer(text)]
    if sorted(there) != sorted(parts):
        raise ValueError(f'want the generated parts {sorted(parts)} once each, got {sorted(there)}')
    return PART.sub(lambda match: f'{match["begin"]}\n{parts[match["name"]]}\n\n{match["end"]}', text)


def by_hand(text: str) -> str:
    """The document without its generated parts."""
    return PART.sub('', text)
