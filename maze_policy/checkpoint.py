"""Checkpoints: the weights in `NAME.safetensors`, what they are and their SHA-256 in `NAME.json`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from maze_policy.config import NetworkConfig
from maze_policy.network import CnnLstm
from maze_policy.parameters import did_you_mean
from maze_policy.share import CHECKPOINTS, checkpoint_path, policy_name

ENTRIES = ('network', 'sha256', 'card')


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or not ours; the message says what was wanted and what came."""


def save(path: Path, network: CnnLstm, card: Mapping[str, Any]) -> None:
    """Write `path` (NAME.safetensors) and NAME.json beside it; `card` says how the weights came about, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = safetensors.torch.save({name: value.contiguous() for name, value in network.state_dict().items()})
    text = json.dumps(
        {
            'network': network.config.as_dict(),
            'sha256': hashlib.sha256(weights).hexdigest(),
            'card': dict(card),
        },
        indent=2,
    )
    for target, content in ((path, weights), (path.with_suffix('.json'), text.encode() + b'\n')):
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
    if threads:
        torch.set_num_threads(threads)
    path = checkpoint_path(path)
    description = _read_description(path.with_suffix('.json'))
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f'want the weights {path}, got {error.strerror}') from error
    digest = hashlib.sha256(weights).hexdigest()
    if digest != description['sha256']:
        raise CheckpointError(f'{path}: want SHA-256 {description["sha256"]}, got {digest}: the file is damaged')
    try:
        network = CnnLstm(NetworkConfig.from_dict(description['network']))
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f'{path.with_suffix(".json")}: {error}') from error
    try:
        tensors = safetensors.torch.load(weights)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f'{path}: want a safetensors file, got one that does not parse: {error}') from error
    _fill(network, tensors, path)
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
    try:
        description: Any = json.loads(path.read_bytes())
    except OSError as error:
        shipped = sorted(file.stem for file in CHECKPOINTS.glob('*.safetensors'))
        hint = did_you_mean(path.stem, shipped) if path.parent == Path() else ''
        raise CheckpointError(f'want the description {path}, got {error.strerror}{hint}') from error
    except ValueError as error:
        raise CheckpointError(f'{path}: want JSON, got {error}') from error
    if not isinstance(description, dict) or sorted(description) != sorted(ENTRIES):
        got = sorted(description) if isinstance(description, dict) else type(description).__name__
        raise CheckpointError(f'{path}: want the entries {sorted(ENTRIES)}, got {got}')
    return description


def _fill(network: CnnLstm, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """The tensors as the network's weights, or a CheckpointError that names the first that does not fit."""
    want = {name: (tuple(value.shape), value.dtype) for name, value in network.state_dict().items()}
    for name in sorted({*want, *tensors}):
        value = tensors.get(name)
        got = None if value is None else (tuple(value.shape), value.dtype)
        if got != want.get(name):
            raise CheckpointError(f'{path}: want {name} of {want.get(name)}, got {got}')
        if value is not None and not torch.isfinite(value).all():
            raise CheckpointError(f'{path}: want finite weights, got a NaN or infinity in {name}')
    network.load_state_dict(tensors)
