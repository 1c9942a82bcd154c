"""The tensors of a pickled checkpoint as a safetensors file: what `import_checkpoint` runs in a process of its own.

    python -m maze_policy.unpickle FILE OUT MEMORY_B CPU_S

Even with `weights_only` a pickle is a program for a small machine, and that machine has had bugs: so what runs it has
nothing to lose, and limits. Exit code 1 with one line on stderr where the file is not taken.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SAFE_TORCH = (2, 10)  # before it, weights_only could be made to run code: CVE-2025-32434, CVE-2026-24747


def main(arguments: list[str]) -> int:
    """Read FILE, write OUT."""
    source, out, memory_b, cpu_s = Path(arguments[0]), Path(arguments[1]), int(arguments[2]), int(arguments[3])
    import safetensors.torch
    import torch

    limit(memory_b, cpu_s)
    try:
        if source.suffix == '.safetensors':
            tensors = safetensors.torch.load(source.read_bytes())
        elif tuple(map(int, torch.__version__.split('.')[:2])) < SAFE_TORCH:
            raise ValueError(f'want torch {".".join(map(str, SAFE_TORCH))} or newer, got {torch.__version__}')
        else:
            content = torch.load(source, map_location='cpu', weights_only=True)
            tensors = {name: value.detach().clone().contiguous() for name, value in named_tensors(content)}
        out.write_bytes(safetensors.torch.save(tensors))
    except Exception as error:  # whatever it stumbles over, the answer is no
        print(f'{type(error).__name__}: {" ".join(str(error).split())[:300]}', file=sys.stderr)
        return 1
    return 0


def limit(memory_b: int, cpu_s: int) -> None:
    """Let this process have so many bytes more than it has, so many CPU seconds, and no core file."""
    has_b = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has_b + memory_b,) * 2)
    used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(used_s) + 1 + cpu_s,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (memory_b,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def named_tensors(content: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """Every tensor in mappings within mappings, under its names joined by dots; what is none of both is left out."""
    import torch

    if isinstance(content, torch.Tensor):
        yield name, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from named_tensors(value, f'{name}.{key}' if name else str(key))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
