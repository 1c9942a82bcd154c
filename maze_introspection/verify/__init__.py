"""Is a recording whole, and are its numbers what it says they are? See docs/verify.md for what is proven, and how."""

from maze_introspection.verify.bag import verify
from maze_introspection.verify.verdict import Check, Episode, Finding, Verdict

__all__ = ['Check', 'Episode', 'Finding', 'Verdict', 'verify']
