"""One dataclass per set of parameters: type, default, unit, range and description of each, once.

The same dataclass becomes ROS parameters (`base_node.declare`), command line options (`add_options`) and part of a
checkpoint (`as_dict`), so a default or a range is never written twice.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import reprlib
import sys
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

C = TypeVar('C', bound='Config')

MISSING_EXTRA = (
    "all that playing and distilling need: pip install -c constraints.txt '.[policy]' (analyze: without [policy]; "
    "reinforcement learning and MuJoCo: '.[policy,train]')"
)

_SHOWN = reprlib.Repr()
_SHOWN.maxlevel = 3
_SHOWN.maxlist = _SHOWN.maxtuple = _SHOWN.maxdict = 20
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 200

ELEMENT = {
    bool: bool,
    int: int,
    float: float,
    str: str,
    tuple[int, ...]: int,
    tuple[float, ...]: float,
    tuple[str, ...]: str,
}


def parameter(
    description: str,
    default: Any = dataclasses.MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    changeable: bool = False,
) -> Any:
    """A dataclass field with what a user must know of it.

    `low` and `high` are inclusive; a `changeable` one may be set while a node runs.
    """
    metadata = {'description': description, 'low': low, 'high': high, 'choices': choices, 'changeable': changeable}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of every parameter set; values are checked when it is made.

    Fields are bool, int, float, str, or a tuple of int, float or str.
    """

    def __post_init__(self) -> None:
        for field, kind in fields_of(type(self)):
            object.__setattr__(self, field.name, _checked(field, kind, getattr(self, field.name)))

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """From a mapping such as a YAML file's; a name that does not exist is an error.

        Raises:
            ValueError: on an unknown, missing, ill-typed or out-of-range value.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise ValueError(f'{cls.__name__} has no parameter {shown(name)}{did_you_mean(name, names)}')
        missing = [
            field.name
            for field in dataclasses.fields(cls)
            if field.default is dataclasses.MISSING and field.name not in values
        ]
        if missing:
            raise ValueError(f'{cls.__name__} wants {", ".join(missing)}; got only {", ".join(values) or "nothing"}')
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, tuples as lists: what YAML, JSON and ROS parameters can hold."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def fields_of(config: type[Config]) -> list[tuple[dataclasses.Field[Any], Any]]:
    """Each field with its resolved type."""
    hints = get_type_hints(config)
    return [(field, hints[field.name]) for field in dataclasses.fields(config)]


def did_you_mean(name: object, names: list[str]) -> str:
    """A hint for a misspelt name, or the whole list of what there is."""
    close = difflib.get_close_matches(str(name), names, n=1)
    return f'; did you mean {close[0]!r}?' if close else f'; it has: {", ".join(names)}'


def shown(value: object) -> str:
    """A value for a message, as `repr` but never long: it may have come from anywhere."""
    return _SHOWN.repr(value)


def add_options(parser: argparse._ActionsContainer, config: type[Config], *, defaults: bool = True) -> None:
    """One `--option` per field; read the result back with `from_options`.

    Without `defaults` an option that is not given is None.
    """
    for field, kind in fields_of(config):
        text = field.metadata['description']
        option = '--' + field.name.replace('_', '-')
        has_default = defaults and field.default is not dataclasses.MISSING
        if has_default:
            text += ' (default: %(default)s)'
        settings: dict[str, Any] = {'default': field.default if has_default else None}
        if kind is bool:
            settings['action'] = argparse.BooleanOptionalAction
        elif kind in ELEMENT:
            settings |= {'type': ELEMENT[kind], 'choices': field.metadata['choices']}
            if kind is not ELEMENT[kind]:
                settings['nargs'] = '*' if defaults else '+'
        parser.add_argument(option, help=text.replace('%', '%%').replace('%%(default)s', '%(default)s'), **settings)


def from_options(config: type[C], options: argparse.Namespace) -> C:
    """The config that the parsed command line asks for."""
    names = [field.name for field in dataclasses.fields(config)]
    return config.from_dict({name: getattr(options, name) for name in names if hasattr(options, name)})


def _checked(field: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    """`value` as the field's type and inside its range, or a ValueError that quotes both."""
    element: Any = ELEMENT[kind]
    many = kind is not element
    if many and not isinstance(value, (list, tuple)):
        raise ValueError(f'{field.name} wants a list of {element.__name__}, got {shown(value)}')
    values: tuple[Any, ...] = tuple(value) if many else (value,)
    low, high, choices = field.metadata['low'], field.metadata['high'], field.metadata['choices']
    for item in values:
        allowed = (int, float) if element is float else element
        if not isinstance(item, allowed) or (isinstance(item, bool) and element is not bool):
            raise ValueError(f'{field.name} wants {element.__name__}, got {shown(item)}')
        if element in (int, float):
            if not abs(item) <= sys.float_info.max:  # also of an int that no float can hold
                raise ValueError(f'{field.name} wants a finite number, got {shown(item)}')
            if (low is not None and item < low) or (high is not None and item > high):
                bounds = f'{"-inf" if low is None else low} to {"inf" if high is None else high}'
                raise ValueError(f'{field.name} wants {bounds}, got {shown(item)}')
        if choices and item not in choices:
            raise ValueError(f'{field.name} wants one of {", ".join(choices)}, got {shown(item)}')
    values = tuple(element(item) for item in values)
    return values if many else values[0]
