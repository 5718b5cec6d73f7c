"""The language against a second, slow evaluation: random definitions over decoded captures and built packets.

A definition is a tree here. It is printed as text for the engine, and evaluated as a tree by the few lines below over
what `fields_of` decodes; totals per key must agree. So parsing, escaping, precedence, carried and computed keys, the
microflow cache and values are held to one plain meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.core.flows.flowkeys import FIELDS, fields_of
from analytics.engine import Engine
from analytics.flows.texts import RENDER, number
from tests.analytics.core.test_cuts import HEADERS
from tests.analytics.examples.wire import datagram, flow_sample, sampled_header

PACKETS = [header for name, (protocol, header) in HEADERS.items() if protocol == 1 and header][:400]
RATE = 10

Texts = dict[str, str]
Tree = tuple  # (how it is printed, how it is evaluated)


def texts(header: bytes) -> Texts:
    found = {name: RENDER[FIELDS[name][-1]](raw) for name, raw in fields_of(header).items()}
    return {name: text for name, text in found.items() if name not in ("bytes", "stripped")}


DECODED = [texts(header) for header in PACKETS]
SEEN = sorted({name for each in DECODED for name in each})
NUMBERS = [name for name in SEEN if FIELDS[name][-1] == "number"]


def escaped(text: str) -> str:
    return re.sub(r"([\\:,\[\]'])", r"\\\1", text)


def field(name: str) -> Tree:
    return name, lambda packet: packet.get(name)


def either(one: Tree, other: Tree) -> Tree:
    return (
        f"or:[{one[0]}]:[{other[0]}]",
        lambda packet: one[1](packet) if one[1](packet) is not None else other[1](packet),
    )


def instead(key: Tree, text: str) -> Tree:
    return f"null:[{key[0]}]:{escaped(text)}", lambda packet: text if key[1](packet) is None else key[1](packet)


def joined(separator: str, one: Tree, other: Tree) -> Tree:
    def evaluate(packet: Texts) -> str | None:
        left, right = one[1](packet), other[1](packet)
        return None if left is None or right is None else left + separator + right

    return f"concat:{escaped(separator)}:[{one[0]}]:[{other[0]}]", evaluate


def same(one: Tree, other: Tree) -> Tree:
    def evaluate(packet: Texts) -> str | None:
        left, right = one[1](packet), other[1](packet)
        return None if left is None or right is None else "true" if left == right else "false"

    return f"eq:[{one[0]}]:[{other[0]}]", evaluate


def between(name: str, low: int, high: int) -> Tree:
    def evaluate(packet: Texts) -> str | None:
        return None if name not in packet else "true" if low <= int(packet[name]) <= high else "false"

    return f"range:{name}:{low}:{high}", evaluate


def first_tokens(key: Tree, tokens: int) -> Tree:
    def evaluate(packet: Texts) -> str | None:
        text = key[1](packet)
        return None if text is None else ".".join(text.split(".")[:tokens])

    return f"prefix:[{key[0]}]:.:{tokens}", evaluate


names = st.sampled_from(SEEN)
plain = st.one_of(names.map(field), st.sampled_from(["stack", "ipsource", "ipprotocol", "vlan"]).map(field))
keys = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.builds(either, inner, inner),
        st.builds(instead, inner, st.text(alphabet="ab:\\,[]1", max_size=4)),
        st.builds(joined, st.text(alphabet="-:,\\", max_size=2), inner, inner),
        st.builds(same, inner, inner),
        st.builds(between, st.sampled_from(NUMBERS), st.integers(0, 300), st.integers(0, 70000)),
        st.builds(first_tokens, inner, st.integers(1, 4)),
    ),
    max_leaves=4,
)


def equals(key: Tree, values: list[str], negated: bool) -> Tree:
    listed = ",".join(f"'{escaped(value)}'" for value in values)
    operator = "!=" if negated else "="

    def evaluate(packet: Texts) -> bool:
        text = key[1](packet)
        return ((text in values) if text is not None else ("null" in values)) != negated

    return f"'{key[0]}'{operator}{listed}", evaluate


def matches(key: Tree, starts: list[str], negated: bool) -> Tree:
    patterns = [re.escape(start) + ".*" for start in starts]

    def evaluate(packet: Texts) -> bool:
        text = key[1](packet)
        return (text is not None and any(text.startswith(start) for start in starts)) != negated

    return f"'{key[0]}'{'!~' if negated else '~'}{','.join(patterns)}", evaluate


def logic(operator: str, terms: list[Tree], bracketed: bool) -> Tree:
    together: Callable[..., bool] = all if operator == "&" else any
    text = operator.join(f"({term[0]})" if bracketed or "|" in term[0] else term[0] for term in terms)
    return text, lambda packet: together(term[1](packet) for term in terms)


some_texts = st.sampled_from(sorted({text for each in DECODED for text in each.values()} | {"null"}))
comparisons = st.one_of(
    st.builds(equals, keys, st.lists(some_texts, min_size=1, max_size=3), st.booleans()),
    st.builds(matches, plain, st.lists(st.sampled_from(["1", "10", "eth.ip", "2001", "0"]), min_size=1), st.booleans()),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.builds(logic, st.sampled_from("&|"), st.lists(inner, min_size=1, max_size=3), st.booleans()),
    max_leaves=5,
)


def feed(engine: Engine) -> None:
    """Every packet twice, the second time found by its microflow."""
    numbers = count(1)
    samples = [
        flow_sample(sampled_header(header, frame_length=100 + index), rate=RATE, sequence=next(numbers))
        for _ in range(2)
        for index, header in enumerate(PACKETS)
    ]
    pieces = range(0, len(samples), 8)
    engine.feed([datagram(*samples[first : first + 8], sequence=first // 8 + 1) for first in pieces], 1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(keys, max_size=3), filters, st.sampled_from(["bytes", "frames"]))
def test_totals_per_key_are_those_of_a_slow_walk(chosen, condition, value):
    expected: dict[str, float] = {}
    for index, packet in enumerate(DECODED):
        found = [key[1](packet) for key in chosen]
        if None not in found and condition[1](packet):
            amount = 2 * RATE * (100 + index if value == "bytes" else 1)
            expected["\t".join(found)] = expected.get("\t".join(found), 0) + amount
    engine = Engine()
    try:
        spec = {"keys": ",".join(key[0] for key in chosen), "filter": condition[0], "value": value, "fs": "\t", "t": 1}
        engine.set_flow("f", spec)
        feed(engine)
        found = {flow.key: flow.value for flow in engine.active_flows(["ALL"], "f", 1.0, max_flows=10_000)}
    finally:
        engine.close()
    assert found == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(plain, st.sampled_from(NUMBERS), st.sampled_from(SEEN))
def test_statistics_per_key_are_those_of_a_slow_walk(key, name, counted):
    values: dict[str, list[int]] = {}
    distinct: dict[str, set[bytes]] = {}
    for header, packet in zip(PACKETS, DECODED, strict=True):
        text = key[1](packet)
        if text is not None and name in packet:
            values.setdefault(text, []).append(number(fields_of(header)[name]))
            raw = fields_of(header).get(counted)
            distinct.setdefault(text, set()).update([raw] if raw is not None else [])
    engine = Engine()
    try:
        spec = {"keys": key[0], "value": f"avg:{name}", "values": f"min:{name},max:{name},rate:{name},count:{counted}"}
        if FIELDS[counted][-1] in ("place", "ipoptions", "tcpoptions"):
            spec["values"] = f"min:{name},max:{name},rate:{name}"
        engine.set_flow("f", spec | {"t": 1})
        feed(engine)
        found = engine.active_flows(["ALL"], "f", 1.0, max_flows=10_000)
    finally:
        engine.close()
    assert {flow.key for flow in found} == values.keys()
    for flow in found:
        seen = values[flow.key]
        assert flow.value == pytest.approx(sum(seen) / len(seen))
        assert flow.values[:3] == (min(seen), max(seen), pytest.approx(2 * RATE * sum(seen)))
        if len(flow.values) == 4:
            assert flow.values[3] == pytest.approx(len(distinct[flow.key]), rel=0.5, abs=3)


def test_the_captures_have_most_of_the_fields():
    assert len({name.partition(".")[0] for name in SEEN}) >= 100
    assert {FIELDS[name][-1] for name in SEEN} >= {"number", "mac", "ip", "ip6", "stack", "dnsname", "place"}
