"""Checkpoints gone wrong, by damage and on purpose: refused within a second, and nothing in them is ever executed."""

import hashlib
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import hostile
import numpy as np
import pytest
from fuzzing import fuzz
from mutate import mutated

from maze_policy.checkpoint import CheckpointError, load_policy
from maze_policy.share import checkpoint_path

HERE = Path(__file__).parent
WITHIN_S = 1.0


@pytest.mark.promise('Checkpoints', 'mutated checkpoints: all refused, within 1 s', quick=40, full=2000)
def test_damaged(promise):
    for seeds in promise.times(1000):
        found = fuzz('test_fuzz_checkpoint', 'damaged', seeds)
        assert found['accepted'] == 0
        assert found['slowest_s'] < WITHIN_S
        promise.saw('ms, slowest', found['slowest_s'] * 1e3)
        promise.saw('MB taken', found['taken_mb'])


@pytest.mark.promise(
    'Checkpoints', 'mutated and signed anew: refused, or finite weights of the right shape', quick=40, full=2000
)
def test_signed_anew(promise):
    for seeds in promise.times(1000):
        found = fuzz('test_fuzz_checkpoint', 'signed_anew', seeds)
        assert found['slowest_s'] < WITHIN_S
        promise.saw('refused, %', 100 * found['refused'] / len(seeds))
        promise.saw('ms, slowest', found['slowest_s'] * 1e3)
        promise.saw('MB taken', found['taken_mb'])


@pytest.mark.promise('Checkpoints', 'malicious pickles as checkpoints: refused, none executed', quick=30, full=30)
def test_pickles(promise, tmp_path):
    canary = tmp_path / 'canary'
    evil = list(hostile.pickles(canary).items())
    for seed in promise.times():
        name, content = evil[seed]
        path = tmp_path / f'evil{hostile.SUFFIXES[seed % len(hostile.SUFFIXES)]}'
        write(path, content, small()[1])
        began_s = time.perf_counter()
        with pytest.raises(CheckpointError, match='want a safetensors file, got one that does not parse'):
            load_policy(path)
        promise.saw('ms', (time.perf_counter() - began_s) * 1e3)
        assert time.perf_counter() - began_s < WITHIN_S, name
        assert not canary.exists(), name


def test_the_pickles_are_thirty_and_malicious(tmp_path):
    assert len(hostile.pickles(tmp_path / 'canary')) == 30
    done = subprocess.run([sys.executable, HERE / 'hostile.py', tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip().split('\n')[-1] == '[]'


def small():
    """Weights and description of a small network, as bytes and as a dict."""
    import torch

    from maze_policy.checkpoint import save
    from maze_policy.config import NetworkConfig
    from maze_policy.network import CnnLstm

    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'small.safetensors'
        save(path, CnnLstm(NetworkConfig(conv_channels=(2, 2, 2), features=8, n_l=8)), {'seed': 0, 'method': 'none'})
        return path.read_bytes(), json.loads(path.with_suffix('.json').read_text())


def write(path, weights, description, text=None):
    """A checkpoint with digests that fit; `text` in place of the description."""
    if text is None:
        entries = {**description, 'sha256': hashlib.sha256(weights).hexdigest()}
        entries.pop('description_sha256', None)
        digest = hashlib.sha256(json.dumps(entries).encode()).hexdigest()
        text = json.dumps({**entries, 'description_sha256': digest}, indent=2).encode() + b'\n'
    path.write_bytes(weights)
    path.with_suffix('.json').write_bytes(text)


def damaged():
    """Mutate one of both files, or both; the digests stay."""
    folder, shipped = tempfile.TemporaryDirectory(), checkpoint_path('sparse')
    path = Path(folder.name) / 'copy.safetensors'
    weights, text = (shipped.with_suffix(suffix).read_bytes() for suffix in ('.safetensors', '.json'))
    description = json.loads(text)

    def one(seed, folder=folder):
        random = Random(seed)
        which = random.choice(('weights', 'weights', 'description', 'both'))
        bad, said = weights, text
        if which != 'description':
            bad = random.choice((mutated, *WEIGHTS.values()))(random, weights)
        if which != 'weights' or bad == weights:
            said = mutated(random, text) if random.random() < 0.5 else _told(_edited(random, description))
        if (bad, said) == (weights, text):
            said = text[:-1]
        write(path, bad, description, said)
        load_policy(path)

    return one


def signed_anew():
    """Mutate, with digests that fit: what somebody could hand out on purpose."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / 'small.safetensors'
    weights, description = small()
    seen = np.random.default_rng(0).integers(0, 256, (84, 84), dtype=np.uint8)

    def one(seed, folder=folder):
        random = Random(seed)
        kind = random.choice(('bytes', 'description', *WEIGHTS))
        if kind == 'description':
            write(path, weights, _edited(random, description))
        else:
            write(path, WEIGHTS.get(kind, mutated)(random, weights), description)
        network = load_policy(path)
        assert kind in ('bytes', 'description'), f'{kind} was taken'
        step = network.step(seen, network.initial_memory())
        assert all(np.isfinite(tensor.numpy()).all() for tensor in network.state_dict().values())
        assert not np.isnan(step.hidden).any()

    return one


def _told(description):
    return json.dumps(description, indent=2).encode() + b'\n'


def _edited(random, description):
    """A description that says something else."""
    network = dict(description['network'])
    name = random.choice(list(network))
    odd = (0, -1, 1, 4096, 10**30, 1e400, float('nan'), None, True, 'many', [], {}, [2, 2], [2] * 1000, {'a': 1}, 8.0)
    how = random.randrange(5)
    if how == 0:
        network[name] = random.choice([value for value in odd if value != network[name]])
    elif how == 1:
        network[random.choice(('layers', '__class__', 'n_L', ''))] = random.choice(odd)
    elif how == 2:
        del network[name]
    edited = {**description, 'network': network}
    if how == 3:
        edited['network'] = random.choice(odd)
    elif how == 4:
        entry = random.choice(('network', 'card', 'sha256', 'pickle'))
        edited[entry] = random.choice(odd[:-1])
    return edited


def _parts(weights):
    """Header as a dict, and the numbers."""
    [size] = struct.unpack('<Q', weights[:8])
    return json.loads(weights[8 : 8 + size]), weights[8 + size :]


def _joined(header, numbers):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    return struct.pack('<Q', len(text)) + text + numbers


def _header_length(random, weights):
    lengths = (0, 1, 7, len(weights), len(weights) * 2, 2**32, 2**63, 2**64 - 1)
    return struct.pack('<Q', random.choice(lengths)) + weights[8:]


def _with_entry(change):
    """An edit of one tensor's entry in the header."""

    def edit(random, weights):
        header, numbers = _parts(weights)
        name = random.choice([name for name, entry in header.items() if len(set(entry['shape'])) > 1])
        change(random, header, name, len(numbers))
        return _joined(header, numbers)

    return edit


def _dtype(random, header, name, size):
    header[name]['dtype'] = random.choice(('F64', 'F16', 'BF16', 'I32', 'I64', 'U8', 'BOOL', 'F8_E4M3', 'X9', '', None))


def _shape(random, header, name, size):
    shape = header[name]['shape']
    others = ([*shape, 1], shape[::-1], [*shape, 2**40], [2**63], [2**64], [-1, *shape], [0], [], ['4'], None, [1.5])
    header[name]['shape'] = random.choice([other for other in others if other != shape])


def _offsets(random, header, name, size):
    begin, end = header[name]['data_offsets']
    others = ([end, begin], [begin, end + 4], [begin + 4, end + 4], [0, size], [0, 2**63], [-4, end], [begin], None, [])
    header[name]['data_offsets'] = random.choice([other for other in others if other != [begin, end]])


def _renamed(random, header, name, size):
    header[random.choice((name + 'x', '', '../../x', '\0', 'a' * 10_000))] = header.pop(name)


def _missing(random, weights):
    import safetensors.numpy

    tensors = safetensors.numpy.load(weights)
    del tensors[random.choice(list(tensors))]
    return safetensors.numpy.save(tensors)


def _extra(random, weights):
    import safetensors.numpy

    extra = {
        random.choice(('extra', 'actor.bias', 'lstm.weight_ih_l1')): np.zeros(random.choice((0, 1, 5)), np.float32)
    }
    return safetensors.numpy.save({**safetensors.numpy.load(weights), **extra})


def _twice(random, weights):
    """A second entry of the same name, of another shape."""
    header, numbers = _parts(weights)
    name = random.choice([name for name in header if name != '__metadata__'])
    second = {**header[name], 'shape': [*header[name]['shape'], 1]}
    return _joined(json.dumps(header)[:-1].encode() + f', "{name}": {json.dumps(second)}}}'.encode(), numbers)


def _not_finite(random, weights):
    header, numbers = _parts(weights)
    at = 4 * random.randrange(len(numbers) // 4)
    value = struct.pack('<f', random.choice((float('nan'), float('inf'), float('-inf'))))
    return _joined(header, numbers[:at] + value + numbers[at + 4 :])


def _metadata(random, weights):
    header, numbers = _parts(weights)
    return _joined(
        {'__metadata__': random.choice(({'a': 1}, {'a': None}, [], 'a', {'a': {'b': 'c'}})), **header}, numbers
    )


def _deep(random, weights):
    depth = random.choice((100, 10_000, 300_000))
    return _joined(random.choice((b'[', b'{"a":')) * depth, b'')


def _numbers_cut(random, weights):
    header, numbers = _parts(weights)
    return _joined(header, numbers[: random.randrange(len(numbers))])


WEIGHTS = {
    'header length': _header_length,
    'dtype': _with_entry(_dtype),
    'shape': _with_entry(_shape),
    'offsets': _with_entry(_offsets),
    'renamed': _with_entry(_renamed),
    'missing': _missing,
    'extra': _extra,
    'name twice': _twice,
    'not finite': _not_finite,
    'metadata': _metadata,
    'deep': _deep,
    'numbers cut': _numbers_cut,
}
