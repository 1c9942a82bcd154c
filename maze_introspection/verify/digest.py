"""A digest of an episode that depends on its numbers alone: not on the bag's format, nor on when a message arrived."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

# Arrays in this order; little-endian floats and integers.
ARRAYS = {
    'stamp_ns': '<i8',
    'gates': '<f4',
    'hidden': '<f4',
    'cell': '<f4',
    'scores': '<f4',
    'readout': '<f4',
    'tilt_rad': '<f8',
    'ball_m': '<f8',
}


def digest(arrays: dict[str, npt.NDArray[Any]]) -> str:
    """SHA-256 over every array: a line `name dtype shape`, then its bytes in C order; every NaN is numpy's.

    Args:
        arrays: `ARRAYS` of one episode, shapes as in `Recording`; NaN where nothing was recorded.
    """
    sha = hashlib.sha256()
    for name, dtype in ARRAYS.items():
        values = np.ascontiguousarray(arrays[name], dtype=np.dtype(dtype))
        if values.dtype.kind == 'f':
            values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
        shape = 'x'.join(map(str, values.shape))
        sha.update(f'{name} {dtype} {shape}\n'.encode())
        sha.update(values.tobytes())
    return sha.hexdigest()
