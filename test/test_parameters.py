import argparse
from dataclasses import dataclass

import pytest

from maze_policy.parameters import Config, add_options, from_options, parameter


@dataclass(frozen=True)
class Example(Config):
    rate_hz: float = parameter('rate, Hz', 30.0, low=1.0, high=100.0)
    count: int = parameter('how many', 4, low=1)
    flavour: str = parameter('which', 'sweet', choices=('sweet', 'sour'))
    record: bool = parameter('whether', True)
    angles_deg: tuple[float, ...] = parameter('angles, 50 % of them, deg', (1.0, 2.0), low=0.0)


def test_values_come_out_as_their_types():
    example = Example.from_dict({'rate_hz': 20, 'angles_deg': [3, 4.5]})
    assert example == Example(rate_hz=20.0, angles_deg=(3.0, 4.5))
    assert isinstance(example.rate_hz, float)
    assert example.as_dict() == {
        'rate_hz': 20.0,
        'count': 4,
        'flavour': 'sweet',
        'record': True,
        'angles_deg': [3.0, 4.5],
    }


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'rate_hz': 0.5}, 'rate_hz wants 1.0 to 100.0, got 0.5'),
        ({'rate_hz': float('nan')}, 'rate_hz wants a finite number, got nan'),
        ({'rate_hz': '30'}, "rate_hz wants float, got '30'"),
        ({'rate_hz': True}, 'rate_hz wants float, got True'),
        ({'count': 2.5}, 'count wants int, got 2.5'),
        ({'count': 0}, 'count wants 1 to inf, got 0'),
        ({'flavour': 'salty'}, "flavour wants one of sweet, sour, got 'salty'"),
        ({'angles_deg': 3.0}, 'angles_deg wants a list of float, got 3.0'),
        ({'angles_deg': [1.0, -1.0]}, 'angles_deg wants 0.0 to inf, got -1.0'),
        ({'rate_hs': 3.0}, "Example has no parameter 'rate_hs'; did you mean 'rate_hz'?"),
        ({'zzz': 3.0}, "Example has no parameter 'zzz'; it has: rate_hz, count, flavour, record, angles_deg"),
    ],
)
def test_what_is_wrong_is_said(values, message):
    with pytest.raises(ValueError) as caught:
        Example.from_dict(values)
    assert str(caught.value) == message


def test_what_has_no_default_must_be_given():
    @dataclass(frozen=True)
    class Strict(Config):
        size_m: float = parameter('size, m')

    with pytest.raises(ValueError, match='Strict wants size_m; got only nothing'):
        Strict.from_dict({})


def test_the_command_line_is_the_dataclass(capsys):
    parser = argparse.ArgumentParser()
    add_options(parser, Example)
    assert from_options(Example, parser.parse_args([])) == Example()
    given = ['--rate-hz', '20', '--no-record', '--angles-deg', '3', '4', '--flavour', 'sour']
    assert from_options(Example, parser.parse_args(given)) == Example(20.0, 4, 'sour', False, (3.0, 4.0))
    with pytest.raises(SystemExit):
        parser.parse_args(['--help'])
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'rate, Hz (default: 30.0)' in shown
    assert 'angles, 50 % of them, deg' in shown
