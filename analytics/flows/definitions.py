"""A flow definition (sflow-rt-api.md 2.1, 2.5) -> a Program that the native core can run.

A key that is a plain field, or `or:` of fields whose texts cannot be confused, is *carried*: its bytes are the key.
Every other key, and the filter, is *computed*: Program.compute turns the raw fields it reads into a key id, once per
combination never seen before; a key id above 0 stands for the texts of the computed keys, 0 for "not counted".
Program.text joins both into the key.

A value is a rate, or with a prefix the average, least, most or number of distinct values (core/flows/statistics.pyx).
What is no amount of something (a delay, a queue's depth, a port) is an average if nothing else is said: added up it
would mean nothing. `aggMode` says how the observations of one packet by many data sources become one value:

    AGENT          all data sources of an agent are one, named "agent": topKeys and thresholds are of the agent's total
    edge           only samples at the port where they enter the fabric count; a query adds them up
    core           only samples at ports that end a link count; a query takes the largest
    max, sum, avg  how a query merges them, if it does not say so itself
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from analytics.core.dissect.packet import DERIVED, KEY_SIZES
from analytics.core.flows.flowkeys import (
    FIELDS,
    MAX_CHOICES,
    MAX_KEY_BYTES,
    MAX_PICKS,
    MAX_VALUES,
    STATISTICS,
    computed_size,
)
from analytics.flows.filters import Filter, parse_filter
from analytics.flows.functions import TOPOLOGY, Lookups, Sample
from analytics.flows.keys import Expression, InvalidDefinition, Span, parse, parse_keys
from analytics.flows.texts import INJECTIVE, RENDER, number
from analytics.memory import TEXT_BYTES

N_RANGE = (5, 20)
T_RANGE = (0.2, 600.0)
ACTIVE_TIMEOUT_S = 60
ACTIVE_TIMEOUT_RANGE = (1.0, 86400.0)
MAX_NAME = 128  # characters of a flow's or a threshold's name
MOST_KEY_IDS = (1 << 32) - 1
NAME_FORBIDS = frozenset("/,;: \t\n?#%")
DEPTHS = ("", ".1", ".2")  # of a field's name, by occurrence
IPFIX = "ipfixCollectors: flows are not exported as IPFIX: an exporter will serve it"
AMOUNTS = frozenset({"requests", "stripped"})  # values that are added up, and all that are named after bytes
FRAMES = "frames"
DERIVED_KINDS = frozenset(kind for _, _, kind in DERIVED)

Statistics = tuple[tuple[str, tuple[str, ...]], ...]


class Mode(Enum):
    """How the values of one key on several data sources become one (sFlow-RT's aggMode)."""

    MAX = "max"  # the largest
    SUM = "sum"
    AVG = "avg"  # the mean
    EDGE = "edge"  # the sum over edge ports: each flow enters the fabric once
    CORE = "core"  # the largest over ports that end a link


class Aggregation(Enum):
    """What a definition's aggMode may be: the module's docstring."""

    AGENT = "AGENT"
    EDGE = "edge"
    CORE = "core"
    MAX = "max"
    SUM = "sum"
    AVG = "avg"


@dataclass(frozen=True, slots=True)
class FlowDefinition:
    """A checked definition with its defaults; `t` and `active_timeout` in seconds."""

    name: str
    value: str
    values: str = ""  # more of them, joined by commas
    keys: str = ""  # joined by commas
    filter: str | None = None
    n: int = 5
    t: float = 2
    fs: str = ","
    log: bool = False
    flow_start: bool = False
    active_timeout: float = ACTIVE_TIMEOUT_S
    dropped: bool = False
    aggregation: Aggregation | None = None
    ipfix_collectors: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What of it is taken and does nothing."""
        found = [IPFIX] if self.ipfix_collectors else []
        if not self.log:
            idle = {"flowStart": self.flow_start, "activeTimeout": self.active_timeout != ACTIVE_TIMEOUT_S}
            found += [f"{word}: without log there are no records" for word, given in idle.items() if given]
        return tuple(found)

    @property
    def mode(self) -> Mode:
        """How a query merges data sources, or agents, if it does not say so itself."""
        if self.aggregation in (None, Aggregation.AGENT):
            return Mode.MAX
        return Mode(self.aggregation.value)


@dataclass
class Program:
    """A compiled definition. The first block is read by core/flows/flowkeys.compile_plan."""

    computed: tuple[str, ...]
    by_agent: bool
    carried: tuple[tuple[tuple[str, ...], bool], ...]  # (fields, tagged)
    value: str | None
    statistics: Statistics
    of_agent: bool
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
    keys = parse_keys(definition.keys)
    filter_ = _filter(definition)
    carried: list[tuple[tuple[str, ...], bool]] = []
    parts: list[int | None] = []
    for key in keys:
        how = _carriage(key)
        parts.append(None if how is None else len(carried))
        if how is not None:
            carried.append(how)
    reads = [*(filter_.fields if filter_ else ())]
    reads += [field for key, part in zip(keys, parts, strict=True) if part is None for field in key.fields]
    computed = tuple(dict.fromkeys(reads))
    value, statistics = _values(definition, any(FIELDS[name][-1] in DERIVED_KINDS for name in computed))
    program = Program(
        computed=computed,
        by_agent=bool(filter_ and filter_.by_agent)
        or any(key.by_agent for key, part in zip(keys, parts, strict=True) if part is None),
        carried=tuple(carried),
        value=value,
        statistics=statistics,
        of_agent=definition.aggregation is Aggregation.AGENT,
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


def _filter(definition: FlowDefinition) -> Filter | None:
    """The filter of a definition, and that of its aggMode."""
    given = parse_filter(definition.filter) if definition.filter else None
    counts = PORTS.get(definition.aggregation) if definition.aggregation else None
    if counts is None:
        return given
    fields = ("direction", "inputifindex", "outputifindex")
    return Filter(
        tuple(dict.fromkeys((*fields, *(given.fields if given else ())))),
        True,
        frozenset({TOPOLOGY}) | (given.tables if given else frozenset()),
        lambda sample: counts(sample) and (given is None or given.passes(sample)),
    )


def _enters(sample: Sample) -> bool:
    """The sample was taken where the packet enters the fabric."""
    port = sample.texts["inputifindex"]
    return sample.texts["direction"] == "ingress" and port is not None and sample.lookups.is_edge(sample.agent, port)


def _is_on_a_link(sample: Sample) -> bool:
    """The sample was taken at a port that ends a link."""
    port = sample.texts["inputifindex" if sample.texts["direction"] == "ingress" else "outputifindex"]
    return sample.texts["direction"] is not None and port is not None and sample.lookups.is_core(sample.agent, port)


PORTS = {Aggregation.EDGE: _enters, Aggregation.CORE: _is_on_a_link}


def _values(definition: FlowDefinition, derived: bool) -> tuple[str | None, Statistics]:
    """The field whose rate is the value (None: frames), and the statistics that take its place if it is not enough: the
    one rate of a field is what the core adds up fastest. `derived`: that way does not read all of the keys' fields."""
    texts = Span.of(definition.value).split(",")
    if len(texts) > 1:
        raise texts[1].fail(f"flow {definition.name!r}: more than one value, give the others as 'values',")
    others = Span.of(definition.values).split(",") if definition.values else []
    if len(others) >= MAX_VALUES:
        raise InvalidDefinition(f"flow {definition.name!r}: more than {MAX_VALUES} values")
    statistics = tuple(map(_statistic, (*texts, *others)))
    [statistic, names], *more = statistics
    if definition.log and statistic != "rate":
        raise texts[0].fail(f"flow {definition.name!r}: attribute 'log' adds values up, but {statistic} is no amount,")
    if statistic == "rate" and len(names) <= 1 and not (more or derived or definition.aggregation is Aggregation.AGENT):
        return (names[0] if names else None), ()
    return None, statistics


def _statistic(value: Span) -> tuple[str, tuple[str, ...]]:
    """What of which fields; no field: 1 per sample."""
    value = value.strip()
    prefix, colon, _ = value.text.partition(":")
    statistic = prefix if colon and prefix in STATISTICS else None
    if statistic is not None:
        value = value.part(len(prefix) + 1, len(value.text))
    if value.text == FRAMES:
        if statistic not in (None, "rate"):
            raise value.fail(f"value {prefix}:{FRAMES} is always 1: frames are counted as a rate")
        return "rate", ()
    if statistic is None and colon and prefix != "or":
        raise value.fail(f"value prefix {prefix!r} is none of {', '.join(STATISTICS)}")
    names = _value_fields(value)
    if statistic != "count" and {FIELDS[name][-1] for name in names} != {"number"}:
        raise value.fail(f"value {value.text!r} is not a number")
    if len(names) > MAX_CHOICES:
        raise value.fail(f"value {value.text[:40]!r} has more than {MAX_CHOICES} fields")
    if statistic is None:
        statistic = "rate" if all(name in AMOUNTS or "bytes" in name for name in names) else "avg"
    return statistic, names


def _value_fields(value: Span) -> tuple[str, ...]:
    """The fields of which the first that a sample has is the value."""
    try:
        names = parse(value).choice
    except InvalidDefinition as error:
        raise InvalidDefinition(f"unknown value {value.text!r}: {error}") from None
    if not names or any(FIELDS[name][-1] in DERIVED_KINDS for name in names):
        raise value.fail(f"value {value.text!r} is neither a field nor the first of some")
    return names


def parse_definition(name: str, spec: dict[str, Any]) -> FlowDefinition:
    """Check a definition's attributes; InvalidDefinition names the offending word. null means the default."""
    check_name("flow", name, NAME_FORBIDS | {"."})  # `dataSource.metric` is split at the last dot
    if not isinstance(spec, dict):
        raise InvalidDefinition(f"flow {name!r}: a definition is a JSON object, not {spec!r}")
    given = {word: value for word, value in spec.items() if value is not None}
    for word in spec:
        if word not in ATTRIBUTES:
            raise InvalidDefinition(f"flow {name!r}: unknown attribute {word!r}")
    fields: dict[str, Any] = {}
    for word, value in given.items():
        field_name, read = ATTRIBUTES[word]
        fields[field_name] = read(f"flow {name!r}: attribute {word!r}", value)
    if not fields.get("value"):
        raise InvalidDefinition(f"flow {name!r}: attribute 'value' is missing")
    for word in ("fs", "filter"):
        if not fields.get(word):
            fields.pop(word, None)
    return FlowDefinition(name, **fields)


def check_name(what: str, name: str, forbids: frozenset[str] = NAME_FORBIDS) -> None:
    """Names stand in URLs and in keys: refuse what would break them there."""
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


def _texts(what: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidDefinition(f"{what} is not a list of texts: {str(value)[:60]!r}")
    return tuple(value)


def number_of(what: str, value: object) -> float:
    """A number, or a text that is one: many scripts send "10". InvalidDefinition names `what`."""
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not _is_finite(number):
        raise InvalidDefinition(f"{what} is not a number: {repr(value)[:60]}")
    return number


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond all floats: JSON has no bound
        return False


def truth_of(what: str, value: object) -> bool:
    """true or false, or a text that says so. InvalidDefinition names `what`."""
    known = {True: True, False: False, "true": True, "false": False}
    if not isinstance(value, (bool, str)) or value not in known:
        raise InvalidDefinition(f"{what} is neither true nor false: {str(value)[:60]!r}")
    return known[value]


def _aggregation(what: str, value: object) -> Aggregation:
    known = {each.value.lower(): each for each in Aggregation}
    found = known.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        raise InvalidDefinition(f"{what} is none of {', '.join(each.value for each in Aggregation)}: {value!r}")
    return found


ATTRIBUTES: dict[str, tuple[str, Callable[[str, object], Any]]] = {
    "keys": ("keys", _keys),
    "values": ("values", _keys),
    "aggMode": ("aggregation", _aggregation),
    "value": ("value", lambda what, value: _text(what, value).strip()),
    "filter": ("filter", lambda what, value: _text(what, value).strip()),
    "n": ("n", lambda what, value: int(min(max(number_of(what, value), N_RANGE[0]), N_RANGE[1]))),
    "t": ("t", lambda what, value: min(max(number_of(what, value), T_RANGE[0]), T_RANGE[1])),
    "fs": ("fs", _text),
    "log": ("log", truth_of),
    "flowStart": ("flow_start", truth_of),
    "activeTimeout": (
        "active_timeout",
        lambda what, value: min(max(number_of(what, value), ACTIVE_TIMEOUT_RANGE[0]), ACTIVE_TIMEOUT_RANGE[1]),
    ),
    "dropped": ("dropped", truth_of),
    "ipfixCollectors": ("ipfix_collectors", _texts),
}
"""The words of a definition: field of FlowDefinition, and how its value is checked and read."""
