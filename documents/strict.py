"""Strict documents: YAML (and so JSON) into frozen values, every mistake named with its file and line.

Strategy: PyYAML composes the node tree, which knows lines; one walk goes down the tree and the wanted type together.
Children come before parents: a mapping's keys are checked for repetition and spelling, then msgspec converts what is
there, so the innermost thing that msgspec refuses is the mistake. A class's own `__post_init__` may raise
ValueError, which is reported at the line of its mapping. What is absent or left empty takes the defaults of the class.

Scalars follow the YAML 1.2 core schema with one exception, numbers with leading zeros stay text. So a MAC address is
never a base-60 number, a datapath id never octal, `no` never false and a date never anything but text. Aliases and tags
are refused: no document of ours needs them, and without them a short text cannot unfold into a huge one.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from documents.files import read_text

T = TypeVar("T")

SECTIONS = ("analytics", "controller")  # the top-level keys of the configuration file
_MAPPINGS = (dict, Mapping)
_LISTS = (list, tuple, set, frozenset, Sequence)
SHOWN = 60  # characters of an offending value that an error quotes


_WORDS = {  # msgspec's names of types, as the person who writes the document calls them
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "a mapping",
    "array": "a list",
}


class DocumentError(ValueError):
    """One line, `FILE:LINE: what`, fit to be shown to the person who wrote the document."""


def read(path_or_text: str | os.PathLike[str], cls: type[T], *, section: str | None = None, name: str = "<text>") -> T:
    """Read a document into `cls`: a dataclass, a msgspec.Struct, or whatever msgspec converts to (`dict` keeps all).

    A path object is a file to read; a str is the text itself, called `name` in errors. `section` picks one top-level
    key of a configuration file (one of SECTIONS) and leaves the others to the programs that read them. An empty
    document or section gives the defaults. Raises DocumentError for everything that is wrong with the document, and
    nothing else.
    """
    if isinstance(path_or_text, str):
        text = path_or_text
    else:
        name = os.fspath(path_or_text)
        text = _text_of(Path(path_or_text))
    reader = _Reader(name)
    try:
        root = reader.compose(text)
        node = root if section is None else reader.section(root, section)
        return msgspec.convert(reader.plain(node, cls, section or ""), cls)
    except RecursionError:
        raise DocumentError(f"{name}: nested too deeply") from None


def _text_of(path: Path) -> str:
    try:
        return read_text(path)
    except UnicodeDecodeError as fault:
        raise DocumentError(f"{path}: is not UTF-8 text (byte {fault.start})") from None
    except (OSError, ValueError) as fault:  # ValueError: a null character in the name
        raise DocumentError(f"{path}: cannot be read: {getattr(fault, 'strerror', None) or fault}") from None


class _Loader(yaml.SafeLoader):
    """Composes nodes only. The Python loader on purpose: its recursion ends in an exception, libyaml's in a crash."""


_Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1's
_TAG = "tag:yaml.org,2002:"
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(0|[1-9][0-9]*)?\.[0-9]+([eE][-+]?[0-9]+)?|[-+]?(0|[1-9][0-9]*)(\.|\.?[eE][-+]?[0-9]+)",
     list("-+.0123456789")),
):  # fmt: skip
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_pattern})$"), _first)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _text(text: str) -> str:
    """Join what JSON escapes as a surrogate pair; half a pair is a ValueError."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


_SCALARS: dict[str, Any] = {
    _TAG + "null": lambda text: None,
    _TAG + "bool": lambda text: text[0] in "tT",
    _TAG + "int": lambda text: int(text, 0),
    _TAG + "float": _float,
    _TAG + "str": _text,
}


class _Reader:
    """One document while it is read: its name for errors, and the nodes seen so far, to find aliases."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: set[int] = set()

    def error(self, node: yaml.Node | None, what: str) -> DocumentError:
        line = node.start_mark.line + 1 if node is not None else 1
        return DocumentError(f"{self.name}:{line}: {' '.join(what.split())}")

    def compose(self, text: str) -> yaml.Node | None:
        loader = None
        try:
            loader = _Loader(text)
            return loader.get_single_node()
        except yaml.MarkedYAMLError as fault:
            mark = fault.problem_mark or fault.context_mark
            line = mark.line + 1 if mark else 1
            raise DocumentError(f"{self.name}:{line}: {fault.problem or fault.context}") from None
        except yaml.reader.ReaderError as fault:
            line = text.count("\n", 0, fault.position) + 1
            raise DocumentError(f"{self.name}:{line}: character {fault.character!r} is not allowed") from None
        finally:
            if loader:
                loader.dispose()

    def section(self, root: yaml.Node | None, section: str) -> yaml.Node | None:
        """The node of one top-level section; None if it is absent."""
        if _is_null(root):
            return None
        if not isinstance(root, yaml.MappingNode):
            raise self.error(root, f"expected sections ({', '.join(SECTIONS)}), got {_shown(root)}")
        sections = self.keys(root, "", {*SECTIONS, section})
        return sections.get(section)

    def keys(self, node: yaml.MappingNode, where: str, known: Iterable[str] | None) -> dict[str, yaml.Node]:
        """The mapping's keys and value nodes; repeated keys are refused, and unknown ones if `known` is given."""
        found: dict[str, yaml.Node] = {}
        inside = f" in '{where}'" if where else ""
        for key_node, value in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.error(key_node, f"a key{inside} must be plain text, got {_shown(key_node)}")
            key = str(self.scalar(yaml.ScalarNode(_TAG + "str", key_node.value, key_node.start_mark)))
            if key in found:
                raise self.error(key_node, f"key '{key}'{inside} is given twice")
            if known is not None and key not in known:
                near = difflib.get_close_matches(key, list(known), n=1)
                hint = f"; did you mean '{near[0]}'?" if near else f"; known are: {', '.join(sorted(known)) or 'none'}"
                raise self.error(key_node, f"unknown key '{key}'{inside}{hint}")
            found[key] = value
        return found

    def plain(self, node: yaml.Node | None, cls: Any, where: str) -> Any:
        """The node as dicts, lists and scalars, known to convert to `cls`.

        Children come first, so that an error names the innermost thing that is wrong.
        """
        if id(node) in self.seen:
            raise self.error(node, "aliases (*name) are not supported")
        self.seen.add(id(node))
        cls = _arm(cls, node)
        fields = _fields(cls)
        value: Any
        if isinstance(node, yaml.MappingNode):
            value = self.mapping(node, cls, fields, where)
        elif isinstance(node, yaml.SequenceNode):
            self.untagged(node, "seq")
            value = [self.plain(item, _item(cls), f"{where}[{at}]") for at, item in enumerate(node.value)]
        elif _is_null(node) and (fields is not None or typing.get_origin(cls) in _MAPPINGS or cls in _MAPPINGS):
            value = {}  # a key left empty, every line under it commented out
        else:
            value = self.scalar(node) if isinstance(node, yaml.ScalarNode) else None
        try:
            msgspec.convert(value, cls)
        except msgspec.ValidationError as fault:
            raise self.refused(node, value, str(fault), where) from None
        return value

    def mapping(self, node: yaml.MappingNode, cls: Any, fields: dict[str, Any] | None, where: str) -> dict[str, Any]:
        self.untagged(node, "map")
        values = {}
        for key, value in self.keys(node, where, fields).items():
            values[key] = self.plain(value, fields[key] if fields else _item(cls), f"{where}.{key}" if where else key)
        return values

    def scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag not in _SCALARS:
            raise self.error(node, f"tag {node.tag.replace(_TAG, '!!')} is not supported")
        try:
            return _SCALARS[node.tag](node.value)
        except (ValueError, LookupError):
            raise self.error(node, f"{_shown(node)} is not a usable {node.tag.removeprefix(_TAG)}") from None

    def untagged(self, node: yaml.Node, kind: str) -> None:
        if node.tag != _TAG + kind:
            raise self.error(node, f"tag {node.tag.replace(_TAG, '!!')} is not supported")

    def refused(self, node: yaml.Node | None, value: Any, fault: str, where: str) -> DocumentError:
        """msgspec's complaint in plain words: where, what was expected, what is there."""
        if missing := re.fullmatch(r"Object missing required field `(.*)`", fault):
            return self.error(node, f"'{missing[1]}' is missing" + (f" in '{where}'" if where else ""))
        what = fault.partition(" - at `")[0].replace("`", "")
        if what.startswith("Expected"):
            wanted = what.removeprefix("Expected ").split(", got ")[0]
            what = f"expected {_WORDS.get(wanted, wanted)}, got {_shown(node)}"
            if wanted == "str" and isinstance(node, yaml.ScalarNode) and value is not None:
                what += " (put it in quotes)"
        return self.error(node, f"'{where}': {what}" if where else what)


def _is_null(node: yaml.Node | None) -> bool:
    return node is None or node.tag == _TAG + "null"


def _shown(node: yaml.Node | None) -> str:
    """What stands at `node`, short enough for one line."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if node is None or _is_null(node):
        return "nothing"
    text = node.value if len(node.value) <= SHOWN else node.value[:SHOWN] + "..."
    return repr(text) if node.tag == _TAG + "str" else text


def _arm(cls: Any, node: yaml.Node | None) -> Any:
    """What `cls` means for this node: without Annotated; of a union, the one member that a mapping or list can be."""
    if typing.get_origin(cls) is typing.Annotated and _fields(typing.get_args(cls)[0]) is not None:
        return typing.get_args(cls)[0]
    if typing.get_origin(cls) not in (typing.Union, types.UnionType) or not isinstance(node, yaml.CollectionNode):
        return cls
    wanted = _MAPPINGS if isinstance(node, yaml.MappingNode) else _LISTS
    for arm in typing.get_args(cls):
        plain = typing.get_origin(arm) or arm
        if plain in wanted or (wanted is _MAPPINGS and _fields(arm) is not None):
            return arm
    return cls


def _item(cls: Any) -> Any:
    """The type of a container's values; Any where it does not say."""
    if typing.get_origin(cls) is typing.Annotated:
        cls = typing.get_args(cls)[0]
    args = [arg for arg in typing.get_args(cls) if arg is not Ellipsis]
    return args[-1] if args and (typing.get_origin(cls) in (*_MAPPINGS, *_LISTS)) else Any


def _fields(cls: Any) -> dict[str, Any] | None:
    """Key -> type of a dataclass or Struct; None for anything else."""
    if isinstance(cls, type) and dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls, include_extras=True)
        return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct):
        return {field.encode_name: field.type for field in msgspec.structs.fields(cls)}
    return None
