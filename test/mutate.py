"""Bytes gone wrong: what a bad disk, a bad wire or a bad neighbour makes of good ones; the seed says which."""

import re

NUMBERS = (0, 1, 4, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0x7FC00000, 0x7F800000)


def mutated(random, data, other=b''):
    """`data`, but not quite; `other` is a good one of another kind, to splice."""
    for _ in range(20):
        made = random.choice(KINDS)(random, bytearray(data), other)
        if made != data:
            return bytes(made)
    return bytes(data) + b'\0'


def _flip(random, data, other):
    for _ in range(random.choice((1, 1, 1, 2, 8, 64))):
        data[_place(random, data)] ^= 1 << random.randrange(8)
    return data


def _overwrite(random, data, other):
    at = _place(random, data)
    data[at : at + random.randrange(1, 17)] = random.randbytes(random.randrange(1, 17))
    return data


def _number(random, data, other):
    """A 32-bit word, aligned as CDR has it (4 bytes of encapsulation first), becomes one that is likely to hurt."""
    at = _place(random, data) & ~3
    data[at : at + 4] = random.choice(NUMBERS).to_bytes(4, random.choice(('little', 'little', 'big')))
    return data


def _cut(random, data, other):
    return data[: random.randrange(len(data))]


def _grow(random, data, other):
    return data + random.randbytes(random.choice((1, 3, 4, 100, 5000)))


def _splice(random, data, other):
    return data[: _place(random, data)] + other[random.randrange(len(other) + 1) :]


def _without(random, data, other):
    at = _place(random, data)
    return data[:at] + data[at + random.choice((1, 2, 4, 8, 64)) :]


def _twice(random, data, other):
    at = _place(random, data)
    return data[: at + random.choice((1, 4, 8, 64))] + data[at:]


def _noise(random, data, other):
    return random.randbytes(random.randrange(200))


def _place(random, data):
    """Anywhere; mostly near the beginning, where lengths and names are."""
    return random.randrange(min(len(data), random.choice((16, 64, 64, 256, len(data)))) or 1) if data else 0


KINDS = (_flip, _flip, _overwrite, _number, _number, _number, _cut, _grow, _splice, _without, _twice, _noise)

# What YAML can hold that hurts: bombs of aliases, code by tags, numbers that are none, depth without end.
BOMB = 'a: &a [x, x, x, x, x, x, x, x, x]\n' + ''.join(
    f'{name}: &{name} [{", ".join([f"*{before}"] * 9)}]\n' for before, name in zip('abcdefgh', 'bcdefghi')
)
ODD = (
    'null', '~', '.nan', '.inf', '-.inf', 'true', "''", '[]', '{}', '[[1]]', '{a: 1}', '0', '-1', '1e400', '1e-400',
    '9' * 30, '9' * 5000, '0x7fffffffffffffff', '9223372036854775808', '1:30', '2001-01-01', 'x' * 1000, '"\\0"',
    '!!python/object/apply:os.system ["touch canary"]', '!!int ""', '!!float x', '!!bool x', '!!timestamp x',
    '!!binary "%"', '!!set {a}', '!!omap [a]', '!!map []', '&a [*a]', '*nothing', '<<: 1', '? [1]', '[' * 3000,
    '{a: ' * 500, '/dev/zero', '../../../../etc/passwd', '.', '-9223372036854775809', '1.7976931348623157e+309',
)  # fmt: skip


def mutated_yaml(random, text):
    """YAML that is not quite: bytes, lines, or a value that is odd."""
    how = random.randrange(6)
    if how == 0:
        return mutated(random, text.encode())
    lines = text.split('\n')
    at = random.randrange(len(lines))
    if how == 1:
        del lines[at]
    elif how == 2:
        lines.insert(at, lines[random.randrange(len(lines))])
    elif how == 3 and random.random() < 0.1:
        lines.insert(at, BOMB)
    else:
        valued = [number for number, line in enumerate(lines) if ':' in line or '- ' in line]
        at = random.choice(valued)
        lines[at] = re.sub(r'([:-]) .*|:$', lambda found: f'{found[0][0]} {random.choice(ODD)}', lines[at], count=1)
    return '\n'.join(lines).encode()
