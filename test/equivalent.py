"""Mutants that no test can kill, and why: what they change is no number that anybody gets. See `mutants.py`."""

WORK = 'how many steps are worked on at once; a test holds that no bit depends on where a block ends'
FILLED = 'every element is written before it is read'

# (module, statement, change) -> why.
EQUIVALENT = {
    ('contribution', '_STEPS = 2048  # steps worked on at once: 4 MB of float64 at 256 channels', '2048 -> 2049'): WORK,
    ('contribution', '_STEPS = 2048  # steps worked on at once: 4 MB of float64 at 256 channels', '2048 -> 2047'): WORK,
    (
        'contribution',
        'share = np.zeros((steps, channels), dtype=np.result_type(hidden, np.float32))',
        'zeros -> ones',
    ): FILLED,
    ('contribution', 'chosen = np.zeros(steps, dtype=np.int64)', 'zeros -> ones'): FILLED,
    ('contribution', 'score = np.zeros(steps)', 'zeros -> ones'): FILLED,
    ('contribution', 'defined = np.zeros(steps, dtype=np.bool_)', 'zeros -> ones'): FILLED,
    (
        'contribution',
        'share[rows] = weighted / np.where(total > 0, total, 1.0)[:, None]',
        '1.0 -> 2.0',
    ): 'where the sum is 0 every part of it is 0, whatever it is divided by',
    (
        'contribution',
        "order = np.argsort(-rows, axis=1, kind='stable')",
        'without axis=',
    ): 'of two axes the last, which it then is, is 1',
    (
        'offset',
        'self._pending: Bool = np.zeros(channels, dtype=np.bool_)  # open, and has not contributed in this run',
        'zeros -> ones',
    ): 'at the first step no run was open, so each that is open has just opened and is pending anyway',
    ('offset', 'self._t0 = np.zeros(channels, dtype=np.int32)', 'zeros -> ones'): FILLED,
    (
        'offset',
        'self._t0 = np.zeros(channels, dtype=np.int32)',
        'without dtype=',
    ): 'float64 holds every whole number of steps exactly, and the rows are int32',
}


def why_equivalent(mutant):
    """The argument, or an empty string."""
    return EQUIVALENT.get((mutant.module.rsplit('.')[-1], mutant.code, mutant.change), '')
