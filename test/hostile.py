"""Thirty pickles that do something when they are unpickled: each makes a file, the canary.

python test/hostile.py FOLDER      unpickles all of them, to show that they really do
"""

import io
import marshal
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import timeit
from pathlib import Path

SUFFIXES = ('.safetensors', '.pt', '.pth', '.bin', '.ckpt', '.pkl')


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def pickles(canary):
    """Name -> bytes; unpickled they make the file (or folder) `canary`."""
    touch, write = f'touch {canary}', f'open({str(canary)!r}, "w").close()'
    system = Call(os.system, touch)
    made = {f'os.system, protocol {protocol}': pickle.dumps(system, protocol) for protocol in (0, 2, 4, 5)}
    calls = {
        'subprocess.run': Call(subprocess.run, ['touch', str(canary)]),
        'subprocess.call': Call(subprocess.call, touch, 0, None, None, None, None, None, True, True),
        'eval': Call(eval, f'__import__("os").system({touch!r})'),
        'exec': Call(exec, write),
        'open': Call(open, str(canary), 'w'),
        'Path.touch': Call(Path.touch, Path(canary)),
        'os.mkdir': Call(os.mkdir, str(canary)),
        'shutil.copy': Call(shutil.copy, __file__, str(canary)),
        'timeit': Call(timeit.timeit, write, 'pass', timeit.default_timer, 1),
        'list of map': Call(list, map(os.system, [touch])),
        'pickle in a pickle': Call(pickle.loads, pickle.dumps(system)),
        'in a list in a dict': {'state_dict': {'lstm.weight_ih_l0': [1, 2, (system,)]}},
        'as a key': {'a': {(1, 2): 3}, 'b': [{'c': system}]},
    }
    made |= {name: pickle.dumps(value) for name, value in calls.items()}
    text = touch.encode()
    code = marshal.dumps(compile(write, 'x', 'exec'))
    code = len(code).to_bytes(4, 'little') + code
    made |= {
        'GLOBAL REDUCE': b"cos\nsystem\n(S'" + text + b"'\ntR.",
        'GLOBAL of posix': b"cposix\nsystem\n(S'" + text + b"'\ntR.",
        'INST': b"(S'" + text + b"'\nios\nsystem\n.",
        'OBJ': b"(cos\nsystem\nS'" + text + b"'\no.",
        'STACK_GLOBAL': b'\x80\x04\x8c\x02os\x8c\x06system\x93\x8c' + bytes([len(text)]) + text + b'\x85R.',
        'a name with dots': b'\x80\x04\x8c\x09posixpath\x8c\x09os.system\x93\x8c'
        + bytes([len(text)])
        + text
        + b'\x85R.',
        'a name of Python 2': b'\x80\x02c__builtin__\neval\n(V' + write.replace('.close()', '').encode() + b'\ntR.',
        # an object that is told its own __setstate__, then its state
        'BUILD': b"cargparse\nNamespace\n)\x81}S'__setstate__'\ncos\nsystem\nsbS'" + text + b"'\nb.",
        # a code of the registry, registered first
        'EXT1': b"ccopyreg\nadd_extension\n(S'os'\nS'system'\nK\xf0tR0\x82\xf0(S'" + text + b"'\ntR.",
        'marshalled code': b'\x80\x03ctypes\nFunctionType\n(cmarshal\nloads\n(B' + code + b'tR}tR)R.',
    }
    return made | _with_torch(system)


def _with_torch(system):
    import torch

    def saved(value, zipped):
        stream = io.BytesIO()
        torch.save(value, stream, _use_new_zipfile_serialization=zipped)
        return stream.getvalue()

    state = {'lstm.weight_ih_l0': torch.zeros(4, 4)}
    return {
        'torch, zip': saved({'state_dict': state, 'optimizer': system}, True),
        'torch, legacy': saved({'state_dict': state, 'optimizer': system}, False),
        'torch, tar': _tar(pickle.dumps(system, 2)),
    }


def _tar(evil):
    """The format before the legacy one."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w') as tar:
        for name, content in (
            ('storages', pickle.dumps(0, 2) + pickle.dumps([], 2)),
            ('tensors', pickle.dumps(0, 2)),
            ('pickle', evil),
        ):
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return stream.getvalue()


def prove(folder):
    """Unpickle all, each with a canary of its own; the names of those whose canary did not appear."""
    import torch

    silent = []
    for number, name in enumerate(pickles(folder / 'x')):
        canary = folder / f'canary{number}'
        content = pickles(canary)[name]
        try:
            if name.startswith('torch'):
                (folder / 'evil').write_bytes(content)
                torch.load(folder / 'evil', weights_only=False)
            else:
                pickle.loads(content)
        except Exception:  # after what it came for, it need not be a good checkpoint
            pass
        if not canary.exists():
            silent.append(name)
    return silent


if __name__ == '__main__':
    print(prove(Path(sys.argv[1])))
