"""Mutants that no test can kill, and why: what they change is no number that anybody gets. See `mutants.py`."""

WORK = 'how many steps are worked on at once; a test holds that no bit depends on where a block ends'
FILLED = 'every element is written before it is read'

UNKNOWN = 'numpy takes any negative size as the unknown one'
MASK = 'mask[first : first + _STEPS].reshape(-1)[order] = ((before <= fraction) | (fraction == 1)) & (ordered > 0)'

# module -> statement -> change -> why
EQUIVALENT = {
    'contribution': {
        '_STEPS = 2048  # steps worked on at once: 4 MB of float64 at 256 channels': {
            '2048 -> 2049': WORK,
            '2048 -> 2047': WORK,
        },
        'share = np.zeros((steps, channels), dtype=np.result_type(hidden, np.float32))': {'zeros -> ones': FILLED},
        'chosen = np.zeros(steps, dtype=np.int64)': {'zeros -> ones': FILLED},
        'score = np.zeros(steps)': {'zeros -> ones': FILLED},
        'defined = np.zeros(steps, dtype=np.bool_)': {'zeros -> ones': FILLED},
        'for first in range(0, steps if channels else 0, _STEPS):': {
            '0 -> -1 #2': 'a range to -1 is as empty as one to 0'
        },
        'share[rows] = weighted / np.where(total > 0, total, 1.0)[:, None]': {
            '1.0 -> 2.0': 'where the sum is 0 every part of it is 0, whatever it is divided by',
        },
        "order = np.argsort(-rows, axis=1, kind='stable')": {
            'without axis=': 'the last of two axes, which it then is, is 1'
        },
        'ordered = rows.reshape(-1)[order].astype(np.float64)': {
            'without .astype()': 'the sum is made in the precision of where it goes, and > 0 is the same in both',
            '1 -> 2': UNKNOWN,
        },
        MASK: {
            '1 -> 2': UNKNOWN,
            'slice without upper': 'what is counted from the first row of the block on ends with its last all the same',
        },
    },
    'offset': {
        'self._pending: Bool = np.zeros(channels, dtype=np.bool_)  # open, and has not contributed in this run': {
            'zeros -> ones': 'at the first step each run that is open has just opened, and is pending anyway',
        },
        'self._t0 = np.zeros(channels, dtype=np.int32)': {
            'zeros -> ones': FILLED,
            'without dtype=': 'float64 holds every whole number of steps exactly, and the rows are int32',
        },
        'breaks = ~is_open[:-1] | ~is_open[1:] | begins[1:, None]': {
            'BitOr -> BitXor #2': 'they differ where both steps are closed, and there no run starts or ends',
        },
        'return np.minimum.accumulate(at[::-1], axis=0)[::-1]': {'without axis=': 'it is 0 without'},
        'first = np.diff(run, prepend=-1) > 0': {'1 -> 2': 'any number below the first run will do'},
        'channel, t = np.divmod(at, max(steps, 1))': {'1 -> 0': 'without a step nothing is divided'},
    },
}


def why_equivalent(mutant):
    """The argument, or an empty string."""
    return EQUIVALENT[mutant.module.rsplit('.')[-1]].get(mutant.code, {}).get(mutant.change, '')
