"""Every number of both configurations has a range, and what is outside of it is refused by its name."""

import dataclasses
import typing

import pytest

import analytics.config
import controller.config
from documents import strict
from documents.ranges import ranges

SETTINGS = {"analytics": analytics.config.Settings, "controller": controller.config.Settings}


def parts(hint):
    """The classes that a type is made of, Annotated and containers taken apart."""
    inner = typing.get_args(hint)
    return {hint} if not inner else {part for each in inner for part in parts(each)}


def numbers(cls, where=()):
    """(path of keys, class, field) of every number in a tree of dataclasses."""
    for name, hint in typing.get_type_hints(cls).items():
        for part in parts(hint):
            if part in (int, float):
                yield (*where, name), cls, name
            elif dataclasses.is_dataclass(part):
                yield from numbers(part, (*where, name))


NUMBERS = [found for section, cls in SETTINGS.items() for found in numbers(cls, (section,))]


def test_the_walk_finds_numbers_at_every_depth():
    assert {".".join(path) for path, _, _ in NUMBERS} >= {
        "analytics.port", "controller.analytics.sflow_port", "controller.elephants.share",
        "controller.openflow.datapaths",
    }  # fmt: skip


@pytest.mark.parametrize("path, cls, name", NUMBERS, ids=lambda value: ".".join(value) if type(value) is tuple else "")
def test_every_number_has_a_range_and_is_held_to_it(tmp_path, path, cls, name):
    limits = ranges(cls)[name]
    is_list = "tuple" in str(typing.get_type_hints(cls)[name])
    file = tmp_path / "howdah.yaml"
    for outside in (limits.low - 1, limits.high + 1):
        value = f"[{outside:.0f}]" if is_list else f"{outside:.0f}"
        *above, key = path
        file.write_text("".join(f"{{{each}: " for each in above) + f"{{{key}: {value}}}" + "}" * len(above))
        with pytest.raises(ValueError, match=rf"^{file}:1: .*{name} .*is not between ") as refused:
            strict.read(file, SETTINGS[path[0]], section=path[0])
        assert "\n" not in str(refused.value)
