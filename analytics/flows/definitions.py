"""A flow definition (sflow-rt-api.md 2.1) -> a Program that the native core can run.

A key that is a plain field, or `or:` of fields whose texts cannot be confused, is *carried*: its bytes are the key.
Every other key, and the filter, is *computed*: Program.compute turns the raw fields it reads into a key id, once per
combination never seen before; a key id above 0 stands for the texts of the computed keys, 0 for "not counted".
Program.text joins both into the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from analytics.core.dissect.packet import KEY_SIZES
from analytics.core.flows.flowkeys import FIELDS, MAX_KEY_BYTES, MAX_PICKS, computed_size
from analytics.flows.filters import Filter, parse_filter
from analytics.flows.keys import Expression, InvalidDefinition, Lookups, Sample, parse, split
from analytics.flows.texts import INJECTIVE, RENDER, number
from analytics.memory import TEXT_BYTES

N_RANGE = (5, 20)
T_RANGE = (0.2, 600.0)
ACTIVE_TIMEOUT_RANGE = (1.0, 86400.0)
MAX_NAME = 128  # characters of a flow's or a threshold's name
MOST_KEY_IDS = (1 << 32) - 1
NAME_FORBIDS = frozenset("/,;:. \t\n?#%")
DEPTHS = ("", ".1", ".2")  # of a field's name, by occurrence
UNSERVED = ("values", "ipfixCollectors", "aggMode")


@dataclass(frozen=True, slots=True)
class FlowDefinition:
    """A checked definition with its defaults; `t` and `active_timeout` in seconds."""

    name: str
    value: str
    keys: str = ""  # joined by commas
    filter: str | None = None
    n: int = 5
    t: float = 2
    fs: str = ","
    log: bool = False
    flow_start: bool = False
    active_timeout: float = 60
    dropped: bool = False


@dataclass
class Program:
    """A compiled definition. The first block is read by core/flows/flowkeys.compile_plan."""

    computed: tuple[str, ...]
    by_agent: bool
    carried: tuple[tuple[tuple[str, ...], bool], ...]  # (fields, tagged)
    value: str | None
    t: float

    name: str
    definition: FlowDefinition
    keys: tuple[Expression, ...]
    parts: tuple[int | None, ...]  # per key: its index in carried, None if computed
    filter: Filter | None
    n: int
    fs: str
    dropped: bool = False  # counts discarded packets (0:5) instead of samples
    log: bool = False
    flow_start: bool = False
    active_timeout: float = 60
    connection: str | None = None  # the field with the TCP flags of the connection that the keys identify, if it logs
    tables: frozenset[str] = frozenset()  # what keys and filter look up (keys.Function)
    slices: tuple[slice, ...] = ()  # where each carried part's bytes are
    key_ids: dict[tuple[str, ...], int] = field(default_factory=dict)
    texts: dict[int, tuple[str, ...]] = field(default_factory=lambda: {0: ()})
    last_key_id: int = 0
    text_bytes: int = 0  # about what the texts take
    most_text_bytes: int = 1 << 28

    def compute(self, raw: bytes, agent: str, lookups: Lookups) -> int | None:
        """The key id of raw fields in the form of core/flows/flowkeys: 0, or the number of the computed keys' texts.
        None: there is no room for more texts."""
        sample = Sample(self._field_texts(raw), agent, lookups)
        if self.filter is not None and not self.filter.passes(sample):
            return 0
        texts = []
        for key, part in zip(self.keys, self.parts, strict=True):
            if part is None:
                text = key.evaluate(sample)
                if text is None:
                    return 0
                texts.append(text)
        return self._number(tuple(texts))

    def _field_texts(self, raw: bytes) -> dict[str, str | None]:
        texts: dict[str, str | None] = {}
        at = 8 * self.by_agent
        for name in self.computed:
            kind = FIELDS[name][-1]
            size = KEY_SIZES.get(kind, 4)
            present = any(raw[at : at + 4])
            width = computed_size(size)
            texts[name] = RENDER[kind](raw[at + width - size : at + width]) if present else None
            at += width
        return texts

    def _number(self, texts: tuple[str, ...]) -> int | None:
        """The key id that stands for these texts: equal texts, equal key id, so equal keys share one entry."""
        key_id = self.key_ids.get(texts)
        if key_id is None:
            if self.text_bytes >= self.most_text_bytes:
                return None
            key_id = self.last_key_id % MOST_KEY_IDS + 1
            while key_id in self.texts:  # after 2^32 - 1 of them
                key_id = key_id % MOST_KEY_IDS + 1
            self.last_key_id = self.key_ids[texts] = key_id
            self.texts[key_id] = texts
            self.text_bytes += TEXT_BYTES + sum(map(len, texts))
        return key_id

    def forget(self, key_ids: Iterable[int]) -> None:
        """Key ids that nothing has."""
        for key_id in key_ids:
            texts = self.texts.pop(key_id, None)
            if texts is not None:
                del self.key_ids[texts]
                self.text_bytes -= TEXT_BYTES + sum(map(len, texts))

    def text(self, key_id: int, carried: bytes) -> str | None:
        """The key as users see it; None: the flow has ended, and its texts are forgotten."""
        texts = self.texts.get(key_id)
        return None if texts is None else self.joined(texts, carried)

    def joined(self, texts: tuple[str, ...], carried: bytes) -> str:
        """The texts of the computed keys and the carried ones, in order."""
        computed = iter(texts)
        return self.fs.join(
            next(computed) if part is None else self._carried_text(part, carried) for part in self.parts
        )

    def _carried_text(self, part: int, carried: bytes) -> str:
        names, tagged = self.carried[part]
        raw = carried[self.slices[part]]
        if tagged:
            return RENDER[FIELDS[names[number(raw)]][-1]](raw[4:])
        return RENDER[FIELDS[names[0]][-1]](raw)


def compile_flow(name: str, spec: dict[str, Any]) -> Program:
    """Check a definition and compile it; InvalidDefinition names the offending word."""
    definition = parse_definition(name, spec)
    keys = tuple(parse(text) for text in split(definition.keys, ",")) if definition.keys else ()
    filter_ = parse_filter(definition.filter) if definition.filter else None
    carried: list[tuple[tuple[str, ...], bool]] = []
    parts: list[int | None] = []
    for key in keys:
        how = _carriage(key)
        parts.append(None if how is None else len(carried))
        if how is not None:
            carried.append(how)
    reads = [*(filter_.fields if filter_ else ())]
    reads += [field for key, part in zip(keys, parts, strict=True) if part is None for field in key.fields]
    program = Program(
        computed=tuple(dict.fromkeys(reads)),
        by_agent=bool(filter_ and filter_.by_agent)
        or any(key.by_agent for key, part in zip(keys, parts, strict=True) if part is None),
        carried=tuple(carried),
        value=_value(definition.value),
        t=float(definition.t),
        name=name,
        definition=definition,
        keys=keys,
        parts=tuple(parts),
        filter=filter_,
        n=definition.n,
        fs=definition.fs,
        dropped=definition.dropped,
        log=definition.log,
        flow_start=definition.flow_start,
        active_timeout=definition.active_timeout,
        connection=_connection(keys) if definition.log else None,
        tables=frozenset().union(*(each.tables for each in (*keys, filter_) if each is not None)),
    )
    program.slices = _slices(program)
    return program


def _carriage(key: Expression) -> tuple[tuple[str, ...], bool] | None:
    """How a key's bytes can be carried: (fields, tagged), or None when it must be computed."""
    kinds = {FIELDS[name][-1] for name in key.choice}
    if len(kinds) == 1 and kinds <= INJECTIVE:
        return key.choice, False
    if kinds == {"ip", "ip6"}:  # their texts differ, so the tag splits no key
        return key.choice, True
    return None


def _connection(keys: Iterable[Expression]) -> str | None:
    """The TCP flags of the connection that keys identify: both addresses and ports are plain keys, or in an `or:`."""
    plain = {name for key in keys for name in key.choice}
    names = {name.partition(".")[0] for name in plain}
    if names & {"ipsource", "ip6source"} and names & {"ipdestination", "ip6destination"}:
        for depth in DEPTHS:
            if {f"tcpsourceport{depth}", f"tcpdestinationport{depth}"} <= plain:
                return f"tcpflags{depth}"
    return None


def _slices(program: Program) -> tuple[slice, ...]:
    """Where each carried part's bytes are; InvalidDefinition beyond the bounds of the native core."""
    at, slices = 0, []
    for names, tagged in program.carried:
        size = 4 * tagged + max(KEY_SIZES.get(FIELDS[name][-1], 4) for name in names)
        slices.append(slice(at, at + size))
        at += size
    computed = 8 * program.by_agent + sum(
        computed_size(KEY_SIZES.get(FIELDS[name][-1], 4)) for name in program.computed
    )
    picks = len(program.computed) + sum(len(names) for names, _ in program.carried)
    if picks > MAX_PICKS or max(at, computed) > MAX_KEY_BYTES:
        raise InvalidDefinition(
            f"flow {program.name!r}: too many keys (at most {MAX_PICKS} fields and {MAX_KEY_BYTES} bytes)"
        )
    return tuple(slices)


def _value(text: str) -> str | None:
    """The numeric field that is added up; None for frames (1 per sample)."""
    prefix, _, name = text.rpartition(":")
    if prefix not in ("", "rate"):
        raise InvalidDefinition(f"value prefix {prefix!r} is not served by this version")
    if name == "frames":
        return None
    if name not in FIELDS:
        raise InvalidDefinition(f"unknown value {name!r}")
    if FIELDS[name][-1] != "number":
        raise InvalidDefinition(f"value {name!r} is not a number")
    return name


def parse_definition(name: str, spec: dict[str, Any]) -> FlowDefinition:
    """Check a definition's attributes; InvalidDefinition names the offending word. null means the default."""
    check_name("flow", name, NAME_FORBIDS | {"."})
    if not isinstance(spec, dict):
        raise InvalidDefinition(f"flow {name!r}: a definition is a JSON object, not {spec!r}")
    given = {word: value for word, value in spec.items() if value is not None}
    for word in spec:
        if word not in ATTRIBUTES and word not in UNSERVED:
            raise InvalidDefinition(f"flow {name!r}: unknown attribute {word!r}")
    for word in UNSERVED:
        if given.pop(word, None):
            raise InvalidDefinition(f"flow {name!r}: attribute {word!r} is not served by this version")
    fields = {}
    for word, value in given.items():
        field_name, read = ATTRIBUTES[word]
        fields[field_name] = read(f"flow {name!r}: attribute {word!r}", value)
    if not fields.get("value"):
        raise InvalidDefinition(f"flow {name!r}: attribute 'value' is missing")
    if not fields.get("fs"):
        fields.pop("fs", None)
    return FlowDefinition(name, **fields)


def check_name(what: str, name: str, forbids: frozenset[str] = NAME_FORBIDS) -> None:
    """Names stand in URLs, a flow's also in `dataSource.metric`: refuse what would break them there."""
    if len(name) > MAX_NAME:
        raise InvalidDefinition(f"{what} name {name[:40]!r}... has more than {MAX_NAME} characters")
    bad = sorted(forbids & set(name))
    if not name or bad:
        raise InvalidDefinition(
            f"{what} name {name!r}: " + (f"character {bad[0]!r} is not allowed" if bad else "is empty")
        )


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidDefinition(f"{what} is not text: {value!r}")
    return value


def _keys(what: str, value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    return _text(what, value).strip()


def _number(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:  # noqa: PLR0124 (NaN)
        raise InvalidDefinition(f"{what} is not a number: {value!r}")
    return value


ATTRIBUTES: dict[str, tuple[str, Callable[[str, object], Any]]] = {
    "keys": ("keys", _keys),
    "value": ("value", lambda what, value: _text(what, value).strip()),
    "filter": ("filter", lambda what, value: _text(what, value).strip()),
    "n": ("n", lambda what, value: int(min(max(_number(what, value), N_RANGE[0]), N_RANGE[1]))),
    "t": ("t", lambda what, value: min(max(_number(what, value), T_RANGE[0]), T_RANGE[1])),
    "fs": ("fs", _text),
    "log": ("log", lambda what, value: bool(value)),
    "flowStart": ("flow_start", lambda what, value: bool(value)),
    "activeTimeout": (
        "active_timeout",
        lambda what, value: min(max(_number(what, value), ACTIVE_TIMEOUT_RANGE[0]), ACTIVE_TIMEOUT_RANGE[1]),
    ),
    "dropped": ("dropped", lambda what, value: bool(value)),
}
"""The words of a definition: field of FlowDefinition, and how its value is checked and read."""
