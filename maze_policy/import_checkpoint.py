"""Take in a checkpoint that somebody pickled, once and on purpose: weights alone, in a process of its own, tried out.

Nothing else in this package unpickles what it did not write. docs/checkpoints.md tells the names that are wanted.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maze_policy.actions import ACTIONS
from maze_policy.checkpoint import WEIGHTS_MOST_B, CheckpointError, load_policy, network_of, save
from maze_policy.config import OBSERVATION_PX, NetworkConfig
from maze_policy.parameters import Config, parameter, shown

if TYPE_CHECKING:
    import torch

    from maze_policy.network import CnnLstm

Tensors = dict[str, 'torch.Tensor']

GATES = 'ifgo'  # input, forget, candidate, output: PyTorch's order and ours
STEPS = 30  # played to try it out
TOLERANCE = 1e-4  # between our step and torch.nn.LSTM, for scores of this size


@dataclass(frozen=True)
class ImportConfig(Config):
    """How somebody else's weights become ours."""

    rename: tuple[str, ...] = parameter(
        'beginnings of names to change, each THEIRS=OURS, such as rnn=lstm pi=actor', ()
    )
    leave_out: tuple[str, ...] = parameter('beginnings of names that are no part of the policy, such as critic', ())
    gates: str = parameter('order of the gates in their LSTM: i, f, g (the candidate) and o', GATES)
    limit_s: float = parameter('give up reading the file after this long, s', 60.0, low=1.0, high=3600.0)
    memory_mb: int = parameter('memory that reading may take, MB', 4096, low=64, high=65536)

    def __post_init__(self) -> None:
        super().__post_init__()
        if sorted(self.gates) != sorted(GATES):
            raise ValueError(f'gates wants the letters i, f, g and o in their order, got {shown(self.gates)}')
        for pair in self.rename:
            if pair.count('=') != 1 or pair.startswith('='):
                raise ValueError(f'rename wants THEIRS=OURS, got {shown(pair)}')


def import_checkpoint(source: Path, out: Path, config: ImportConfig) -> CnnLstm:
    """Write `out` (NAME.safetensors, NAME.json) with the weights of `source`, and return the network as it loads.

    Args:
        source: what `torch.save` wrote (a state dict, alone or within mappings), or a .safetensors file.
        out: must not exist.

    Raises:
        CheckpointError: if the file holds more than weights, or not those of a `CnnLstm`; nothing is then written.
    """
    if out.suffix != '.safetensors' or out.exists() or out.with_suffix('.json').exists():
        raise CheckpointError(f'want a new NAME.safetensors (and .json) to write, got {out}')
    if not source.is_file() or source.stat().st_size > WEIGHTS_MOST_B:
        raise CheckpointError(f'want a file of at most {WEIGHTS_MOST_B} B, got {source}')
    tensors = with_our_names(tensors_of(source, config), config)
    network = network_of(sizes(tensors), tensors, str(source))
    try_out(network)
    card = {
        'method': 'imported',
        'file': source.name,
        'sha256': hashlib.sha256(source.read_bytes()).hexdigest(),
        'import': config.as_dict(),
    }
    save(out, network, card)
    return load_policy(out)


def tensors_of(source: Path, config: ImportConfig) -> Tensors:
    """All tensors of a file, read by a process with limits (see `unpickle`).

    Raises:
        CheckpointError: saying what that process said, or how it ended.
    """
    import safetensors.torch

    with tempfile.TemporaryDirectory() as folder:
        tensors = Path(folder) / 'tensors'
        limits = [str(config.memory_mb * 1_000_000), str(int(config.limit_s))]
        command = [sys.executable, '-m', 'maze_policy.unpickle', str(source.absolute()), str(tensors), *limits]
        path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=os.environ | {'PYTHONPATH': path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=config.limit_s,
            )
        except subprocess.TimeoutExpired:
            raise CheckpointError(f'{source}: not read after {config.limit_s:g} s (limit_s)') from None
        if done.returncode:
            said = done.stderr.decode(errors='replace').strip().split('\n')[-1]
            how = f'signal {-done.returncode}' if done.returncode < 0 else said or 'it said nothing'
            raise CheckpointError(f'{source}: want a file with weights alone; reading it ended with {how}')
        return dict(safetensors.torch.load(tensors.read_bytes()))


def with_our_names(tensors: Tensors, config: ImportConfig) -> Tensors:
    """The tensors as `CnnLstm` has them: its names, float32, gates in the order i, f, g, o.

    First what `leave_out` names goes, then the beginning that all remaining names have in common, then `rename`.

    Raises:
        CheckpointError: where two tensors get one name, or one is not of floating-point numbers.
    """
    import torch

    kept = {name: value for name, value in tensors.items() if not any(begins(name, out) for out in config.leave_out)}
    parts = [name.split('.')[:-1] for name in kept]
    common = len([*takewhile(lambda same: len(set(same)) == 1, zip(*parts))])
    renames = dict(pair.split('=') for pair in config.rename)
    ours: Tensors = {}
    for theirs, value in kept.items():
        name = '.'.join(theirs.split('.')[common:])
        # The longest beginning is the one that is meant.
        beginning = max((begin for begin in renames if begins(name, begin)), key=len, default='')
        name = renames[beginning] + name.removeprefix(beginning) if beginning else name
        if name in ours:
            raise CheckpointError(f'want each name once, got {name:.80} twice: see --rename')
        if not value.is_floating_point():
            raise CheckpointError(f'want floating-point weights, got {value.dtype} in {name:.80}: see --leave-out')
        ours[name] = value.to(torch.float32)
    bias = ours.get('actor.bias')
    if bias is not None and not bias.any():  # a bias of zeros is none
        del ours['actor.bias']
    for name, value in ours.items():
        if name.startswith('lstm.') and config.gates != GATES and value.ndim and len(value) % 4 == 0:
            blocks = value.chunk(4)
            ours[name] = torch.cat([blocks[config.gates.index(gate)] for gate in GATES])
    return ours


def begins(name: str, beginning: str) -> bool:
    """Whether a dotted name is this, or begins with this and a dot."""
    return name == beginning or name.startswith(f'{beginning}.')


def sizes(tensors: Mapping[str, Any]) -> NetworkConfig:
    """The sizes of the network that these weights are of; whether all of them fit it, `network_of` finds out.

    Raises:
        CheckpointError: if a tensor that tells a size is missing, listing what there is.
    """
    telling = ('eye.0.weight', 'eye.2.weight', 'eye.4.weight', 'eye.7.weight', 'lstm.weight_hh_l0', 'actor.weight')
    missing = [name for name in telling if name not in tensors or tensors[name].ndim < 2]
    if missing:
        there = {name: tuple(value.shape) for name, value in sorted(tensors.items())}
        raise CheckpointError(f'want {", ".join(missing)} (see --rename), got {shown(there)}')
    first, second, third, features, _, actions = (len(tensors[name]) for name in telling)
    if actions != len(ACTIONS):
        raise CheckpointError(f'want actor.weight with a row for each of {len(ACTIONS)} actions, got {actions}')
    n_l = tensors['lstm.weight_hh_l0'].shape[1]
    try:
        return NetworkConfig(conv_channels=(first, second, third), features=features, n_l=n_l, n_a=actions)
    except ValueError as error:
        raise CheckpointError(f'want the sizes of a network: {error}') from error


def try_out(network: CnnLstm) -> None:
    """Play random pictures, step by step and with torch.nn.LSTM: both must agree, and all be finite.

    Raises:
        CheckpointError: saying by how much they do not.
    """
    import torch

    seen = np.random.default_rng(0).integers(0, 256, (STEPS, OBSERVATION_PX, OBSERVATION_PX), dtype=np.uint8)
    memory, played = network.initial_memory(), []
    for observation in seen:
        step = network.step(observation, memory)
        memory = step.memory
        played.append(step.scores)
    with torch.inference_mode():
        wanted = network.sequence(torch.from_numpy(seen)[:, None]).scores[:, 0].numpy()
    apart = float(np.abs(np.stack(played) - wanted).max())
    if not apart <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):  # also where it is NaN
        raise CheckpointError(f'want our steps to play as torch.nn.LSTM does, got scores that are {apart:g} apart')
