"""Groups and maps: what users call addresses and other values (sflow-rt-api.md 1.2, 2.6).

A group has labels, each with prefixes of IPv4 and IPv6: the key function `group:ipsource:NAME` is the label of the most
specific prefix that holds the address. A map has labels, each with values: `map:vlan:NAME` is the label of the value;
addresses are found in any spelling.

A group is two radix trees, a map a dict: looking up costs the length of the address, however many prefixes there are,
and is done once per raw key never seen before. Memory follows their number; `bytes` is the measure that the engine
bounds. Both are read in pieces, so that others go on meanwhile, and do not change afterwards: a new one takes the place
of the old.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, ip_network
from typing import Any

from pytricia import PyTricia

from analytics.flows.addresses import address_of, spellings
from analytics.flows.keys import InvalidDefinition
from analytics.turns import Turns

MAX_LABEL = 256  # characters
MAX_VALUE = 256
SET_BYTES = 2000  # of a group or a map, measured with CPython 3.11
PREFIX_BYTES = 450  # of each prefix: in its tree, and as it was written
VALUE_BYTES = 400  # of each value: in the dict, in two spellings, and as it was written
AT_ONCE = 500  # prefixes or values read in one turn: about 3 ms

Spec = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Group:
    """Labelled prefixes. `spec` is as it was given, `bytes` about what all takes."""

    spec: Spec
    bytes: int
    _v4: PyTricia
    _v6: PyTricia

    def label(self, text: str) -> str | None:
        """The label of the most specific prefix that holds an address; None: none does, or it is no address."""
        address = address_of(text)
        if address is None:
            return None
        label: str | None = (self._v4 if address.version == 4 else self._v6).get(str(address))
        return label


@dataclass(frozen=True)
class Map:
    """Labelled values."""

    spec: Spec
    bytes: int
    _labels: Mapping[str, str]

    def label(self, text: str) -> str | None:
        """The label of a value; None: it has none."""
        return self._labels.get(text)


def parse_group(name: str, spec: object, most_bytes: int) -> Turns[Group]:
    """Read `{label: [prefix, ...]}`. InvalidDefinition names the label and prefix that are wrong, or says that there
    are too many. A prefix without a length is one address; bits behind the length are dropped."""
    what = f"group {name!r}"
    v4, v6 = PyTricia(32), PyTricia(128)
    size = SET_BYTES
    for number, (label, text) in enumerate(_members(what, spec, "prefixes")):
        try:
            network = ip_network(text.strip(), strict=False)
        except ValueError:
            raise InvalidDefinition(f"{what}: {text[:60]!r} of label {label!r} is not an address or prefix") from None
        tree = v4 if isinstance(network, IPv4Network) else v6
        if tree.has_key(str(network)) and tree[str(network)] != label:
            raise InvalidDefinition(f"{what}: {text!r} is of label {label!r} and of label {tree[str(network)]!r}")
        tree[str(network)] = label
        size += PREFIX_BYTES + len(label)
        check_size("group", name, size, most_bytes)
        if number % AT_ONCE == AT_ONCE - 1:
            yield
    return Group(_copy(spec), size, v4, v6)


def parse_map(name: str, spec: object, most_bytes: int) -> Turns[Map]:
    """Read `{label: [value, ...]}`. InvalidDefinition names the label and value that are wrong, or says that there are
    too many. Values are texts or whole numbers."""
    what = f"map {name!r}"
    labels: dict[str, str] = {}
    size = SET_BYTES
    for number, (label, value) in enumerate(_members(what, spec, "values")):
        if len(value) > MAX_VALUE:
            raise InvalidDefinition(f"{what}: value {value[:40]!r}... has more than {MAX_VALUE} characters")
        for spelling in spellings(value):
            if labels.setdefault(spelling, label) != label:
                raise InvalidDefinition(f"{what}: {value!r} is of label {label!r} and of label {labels[spelling]!r}")
        size += VALUE_BYTES + 2 * len(value) + len(label)
        check_size("map", name, size, most_bytes)
        if number % AT_ONCE == AT_ONCE - 1:
            yield
    return Map(_copy(spec), size, labels)


def check_size(kind: str, name: str, size: int, most_bytes: int) -> None:
    """InvalidDefinition: there is no room for a group or a map."""
    if size > most_bytes:
        raise InvalidDefinition(f"{kind} {name!r}: too large, groups and maps have {most_bytes} bytes of memory left")


def _members(what: str, spec: object, things: str) -> Iterator[tuple[str, str]]:
    """(label, member as text), checked."""
    if not isinstance(spec, Mapping):
        raise InvalidDefinition(f"{what}: neither a JSON object nor labels with lists of {things}: {str(spec)[:60]!r}")
    for label, members in spec.items():
        if not isinstance(label, str) or not label or len(label) > MAX_LABEL:
            raise InvalidDefinition(f"{what}: label {str(label)[:40]!r} is empty or longer than {MAX_LABEL} characters")
        if not isinstance(members, list):
            raise InvalidDefinition(f"{what}: label {label!r} has no list of {things}: {str(members)[:60]!r}")
        yield from zip([label] * len(members), map(partial(_text, what, label), members), strict=True)


def _text(what: str, label: str, member: Any) -> str:
    if isinstance(member, bool) or not isinstance(member, (str, int)):
        raise InvalidDefinition(f"{what}: {str(member)[:60]!r} of label {label!r} is neither text nor a whole number")
    return str(member)


def _copy(spec: Any) -> Spec:
    return {label: tuple(map(str, members)) for label, members in spec.items()}
