"""Numbers of a configuration and the ranges within which they can work, written where the number is declared:

    port: Annotated[int, Range(0, 65535)] = 8008

Every number of our settings has one (tests/documents/test_ranges.py walks them), and `check`, called by the class as it
is made, refuses what is outside, whether it comes from a file, an option or a program.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included."""

    low: float
    high: float

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high  # False for NaN


Port = Annotated[int, Range(0, 65535)]
"""Of UDP or TCP; 0 is any free one."""


def check(settings: Any) -> None:
    """ValueError names the first number of this dataclass, or of a tuple in it, that is outside its range."""
    for name, limits in ranges(type(settings)).items():
        value = getattr(settings, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and number not in limits:
                raise ValueError(f"{name} {number} is not between {limits.low} and {limits.high}")


def ranges(cls: type) -> dict[str, Range]:
    """The fields of a dataclass that have a range."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {
        field.name: limits
        for field in dataclasses.fields(cls)
        for limits in _metadata(hints[field.name])
        if isinstance(limits, Range)
    }


def _metadata(hint: Any) -> typing.Iterator[Any]:
    """What Annotated says at any depth of a type (`Annotated[int, ...] | None`)."""
    yield from getattr(hint, "__metadata__", ())
    for part in typing.get_args(hint):
        if not isinstance(part, Range):
            yield from _metadata(part)
