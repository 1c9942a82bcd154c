"""Checkpoints: the weights in `NAME.safetensors`, what they are in `NAME.json`, and the SHA-256 of both there.

Sizes and digests are checked before torch is even imported, and nothing in a file is ever executed. The digests find
damage; they do not say who wrote the files.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maze_policy.config import NetworkConfig
from maze_policy.parameters import did_you_mean, shown
from maze_policy.share import CHECKPOINTS, checkpoint_path, policy_name

if TYPE_CHECKING:
    import torch

    from maze_policy.network import CnnLstm

ENTRIES = ('network', 'sha256', 'card', 'description_sha256')
WEIGHTS_MOST_B = 1 << 30  # the largest network that NetworkConfig allows has 0.98e9 B
DESCRIPTION_MOST_B = 1 << 20


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or not ours; the message says what was wanted and what came."""


def save(path: Path, network: CnnLstm, card: Mapping[str, Any]) -> None:
    """Write `path` (NAME.safetensors) and NAME.json beside it; `card` says how the weights came about, as JSON."""
    import safetensors.torch

    path.parent.mkdir(parents=True, exist_ok=True)
    weights = safetensors.torch.save({name: value.contiguous() for name, value in network.state_dict().items()})
    text = _described(network.config.as_dict(), hashlib.sha256(weights).hexdigest(), dict(card))
    for target, content in ((path, weights), (path.with_suffix('.json'), text)):
        partial = target.with_name(target.name + '.partial')
        partial.write_bytes(content)
        os.replace(partial, target)


def load_policy(path: str | Path | None = None, *, threads: int | None = None) -> CnnLstm:
    """The network of a checkpoint (without: the shipped nominal one); its digest is checked before anything parses it.

    Args:
        path: NAME.safetensors, with NAME.json beside it; a bare name is that of a shipped one.
        threads: of torch in this process from now on; one is fastest for one frame and leaves cores to others.

    Raises:
        CheckpointError: on a missing file, a flipped byte, an unknown entry, wrong shapes or a weight that is not
            finite.
    """
    path = checkpoint_path(path)
    config, weights = verified(path)

    import safetensors.torch
    import torch

    if threads:
        torch.set_num_threads(threads)
    try:
        tensors = safetensors.torch.load(weights)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:  # KeyError: a type torch lacks
        raise CheckpointError(
            f'{path}: want a safetensors file, got one that does not parse: {error}; what was pickled is taken in by '
            'maze-policy import'
        ) from error
    return network_of(config, tensors, str(path))


def verified(path: Path) -> tuple[NetworkConfig, bytes]:
    """The sizes of the network and the serialized weights of NAME.safetensors, once their digest is right.

    Raises:
        CheckpointError: as for `load_policy`; the weights themselves are not looked at.
    """
    description = _read_description(path.with_suffix('.json'))
    weights = _read(path, 'weights', WEIGHTS_MOST_B)
    digest = hashlib.sha256(weights).hexdigest()
    if digest != description['sha256']:
        raise CheckpointError(f'{path}: want SHA-256 {description["sha256"]!s:.80}, got {digest}: the file is damaged')
    try:
        return NetworkConfig.from_dict(description['network']), weights
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f'{path.with_suffix(".json")}: {error}') from error


def network_of(config: NetworkConfig, tensors: Mapping[str, torch.Tensor], source: str) -> CnnLstm:
    """A network of these sizes with these weights, to play with.

    Args:
        config: its sizes.
        tensors: float32, named as in `CnnLstm.state_dict()`.
        source: what an error names.

    Raises:
        CheckpointError: naming the first tensor that is missing, surplus, of another shape or type, or not finite.
    """
    import torch

    from maze_policy.network import CnnLstm

    try:
        with torch.device('meta'):  # shapes alone: a lie about the sizes costs no memory
            wanted = CnnLstm(config).state_dict()
    except ValueError as error:
        raise CheckpointError(f'{source}: {error}') from error
    want = {name: (tuple(value.shape), value.dtype) for name, value in wanted.items()}
    for name in sorted({*want, *tensors}):
        value = tensors.get(name)
        got = None if value is None else (tuple(value.shape), value.dtype)
        if got != want.get(name):
            raise CheckpointError(f'{source}: want {name:.80} of {want.get(name)}, got {got}')
        if value is not None and not torch.isfinite(value).all():
            raise CheckpointError(f'{source}: want finite weights, got a NaN or infinity in {name}')
    network = CnnLstm(config)
    network.load_state_dict(dict(tensors))
    return network.eval()


def load_card(path: str | Path | None = None) -> dict[str, Any]:
    """What the checkpoint says about how it was trained.

    Raises:
        CheckpointError: if it cannot be read.
    """
    card: dict[str, Any] = _read_description(checkpoint_path(path).with_suffix('.json'))['card']
    return card


def provenance(path: str | Path | None) -> dict[str, Any]:
    """Which checkpoint another training began with: digest and card, for the card of what comes out."""
    path = checkpoint_path(path)
    description = _read_description(path.with_suffix('.json'))
    return {'name': policy_name(path), 'sha256': description['sha256'], 'card': description['card']}


def _read_description(path: Path) -> dict[str, Any]:
    text = _read(path, 'description', DESCRIPTION_MOST_B)
    try:
        description: Any = json.loads(text)
        if not isinstance(description, dict) or sorted(description) != sorted(ENTRIES):
            got = sorted(description) if isinstance(description, dict) else type(description).__name__
            raise CheckpointError(f'{path}: want the entries {sorted(ENTRIES)}, got {shown(got)}')
        if not isinstance(description['card'], dict):
            raise CheckpointError(f'{path}: want names and values as card, got {shown(description["card"])}')
        meant = _described(description['network'], description['sha256'], description['card'])
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f'{path}: want JSON, got {error}') from error
    if text != meant:
        digest = json.loads(meant)['description_sha256']
        raise CheckpointError(
            f'{path}: want description_sha256 {digest}, got {description["description_sha256"]!s:.80}: the file is '
            'damaged, or not as it was written'
        )
    return description


def _described(network: Any, sha256: Any, card: Any) -> bytes:
    """NAME.json, byte for byte."""
    entries = {'network': network, 'sha256': sha256, 'card': card}
    digest = hashlib.sha256(json.dumps(entries).encode()).hexdigest()
    return json.dumps({**entries, 'description_sha256': digest}, indent=2).encode() + b'\n'


def _read(path: Path, what: str, most_b: int) -> bytes:
    """A file that has an end, and not a distant one: no device, no pipe."""
    try:
        about = path.stat()
        is_file = stat.S_ISREG(about.st_mode)
        if is_file and about.st_size <= most_b:
            return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a null in it
        shipped = sorted(file.stem for file in CHECKPOINTS.glob('*.safetensors'))
        hint = did_you_mean(path.stem, shipped) if path.parent == Path() else ''
        raise CheckpointError(f'want the {what} {path}, got {getattr(error, "strerror", error)}{hint}') from error
    got = f'{about.st_size} B' if is_file else 'no file'
    raise CheckpointError(f'want the {what} {path} in a file of at most {most_b} B, got {got}')
