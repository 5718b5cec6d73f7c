"""groups: labels of addresses and values; how definitions follow when they change."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.flows.addresses import spellings
from analytics.flows.groups import parse_group, parse_map
from analytics.flows.keys import InvalidDefinition
from analytics.turns import finished
from tests.analytics.examples.wire import datagram, flow_sample, sampled_header, tcp_frame

MANY = 1 << 20
NUMBERS = count(1)
DDOS = {
    "external": ["0.0.0.0/0", "::/0"],
    "private": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"],
    "multicast": ["224.0.0.0/4", "ff00::/8"],
}


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("8.8.8.8", "external"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.0", "external"),
        ("224.0.0.251", "multicast"),
        ("2001:db8::1", "external"),
        ("fd00::1", "private"),
        ("ff02::1", "multicast"),
        ("00040000000A", None),
        ("", None),
    ],
)
def test_the_most_specific_prefix_gives_the_label(address, label):
    assert finished(parse_group("ddos_protect", DDOS, MANY)).label(address) == label


def test_an_address_is_a_prefix_and_bits_behind_the_length_are_dropped():
    group = finished(parse_group("g", {"one": ["10.0.0.7", "2001:DB8:0::7"], "net": ["10.0.0.9/24"]}, MANY))
    assert [group.label(each) for each in ("10.0.0.7", "10.0.0.8", "2001:db8::7", "2001:db8::8", "10.0.1.1")] == [
        "one",
        "net",
        "one",
        None,
        None,
    ]


PREFIXES = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)), st.tuples(st.ip_addresses(v=6), st.integers(0, 128))
).map(lambda pair: f"{pair[0]}/{pair[1]}")


@given(st.lists(PREFIXES, max_size=20), st.ip_addresses())
def test_a_label_is_that_of_a_walk_over_all_prefixes(prefixes, address):
    group = finished(parse_group("g", {f"net {ip_network(each, strict=False)}": [each] for each in prefixes}, MANY))
    holding = [net for net in (ip_network(each, strict=False) for each in prefixes) if address in net]
    best = max(holding, key=lambda net: net.prefixlen, default=None)
    assert group.label(str(address)) == (None if best is None else f"net {best}")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("80", "web"),
        ("443", "web"),
        ("22", None),
        ("00040000000A", "as1"),
        ("2001:db8::1", "as2"),
        ("ecmp", "as2"),
    ],
)
def test_a_map_finds_values_in_any_spelling(value, label):
    made = finished(
        parse_map("m", {"web": [80, "443"], "as1": ["00:04:00:00:00:0a"], "as2": ["2001:DB8::0:1", "ecmp"]}, MANY)
    )
    assert made.label(value) == label


@pytest.mark.parametrize("text", ["00:04:0a:00:00:0b", "00-04-0A-00-00-0B", "0004.0a00.000b", "00040a00000b"])
def test_all_spellings_of_a_mac_address_mean_the_same_key(text):
    assert "00040A00000B" in spellings(text)


@given(st.ip_addresses(v=6))
def test_all_spellings_of_an_ip6_address_mean_the_same_key(address):
    assert str(ip_address(address.exploded)) in spellings(address.exploded.upper())


@pytest.mark.parametrize(
    ("parse", "spec", "word"),
    [
        (parse_group, [], "a JSON object"),
        (parse_group, {"a": "10.0.0.0/8"}, "label 'a' has no list of prefixes: '10.0.0.0/8'"),
        (parse_group, {"a": ["10.0.0.0/33"]}, "'10.0.0.0/33' of label 'a' is not an address or prefix"),
        (parse_group, {"a": ["h1"]}, "'h1' of label 'a'"),
        (parse_group, {"a": [True]}, "'True' of label 'a'"),
        (parse_group, {"a": [None]}, "'None' of label 'a'"),
        (parse_group, {"": ["::/0"]}, "label ''"),
        (parse_group, {"a": ["10.0.0.0/8"], "b": ["10.1.1.1/8"]}, "of label 'b' and of label 'a'"),
        (parse_map, {"a": ["x" * 300]}, "has more than 256 characters"),
        (parse_map, {"a": ["1"], "b": ["1"]}, "'1' is of label 'b' and of label 'a'"),
        (parse_map, {"a": [1.5]}, "'1.5' of label 'a' is neither text nor a whole number"),
        (parse_map, {"a": {}}, "label 'a' has no list of values: '{}'"),
    ],
)
def test_what_is_wrong_is_named(parse, spec, word):
    with pytest.raises(InvalidDefinition, match=r"(group|map) 'n'") as error:
        finished(parse("n", spec, MANY))
    assert word in str(error.value)


def test_too_many_are_refused_and_others_go_on_meanwhile():
    prefixes = [f"10.{i >> 8}.{i & 255}.0/24" for i in range(5000)]
    turns = parse_group("g", {"all": prefixes}, MANY)
    next(turns)  # it does not read all of them in one turn
    with pytest.raises(InvalidDefinition, match="group 'g': too large"):
        finished(turns)


# -- in the engine --


def packet(source: str, destination: str) -> bytes:
    header = sampled_header(tcp_frame(source, destination), frame_length=100)
    number = next(NUMBERS)
    return datagram(flow_sample(header, rate=10, sequence=number), sequence=number)


def keys(engine, now: float) -> dict[str, float]:
    return {flow.key: round(flow.value) for flow in engine.active_flows(["ALL"], "f", now)}


def test_a_flow_counts_by_label_and_a_changed_group_gives_new_labels(engine):
    engine.set_flow("f", {"keys": "null:[group:ipsource:site:world],ipdestination", "value": "bytes", "t": 1})

    def packets():
        return [packet("10.0.0.1", "10.0.0.9"), packet("8.8.8.8", "10.0.0.9")]

    engine.feed(packets(), 1.0)
    assert keys(engine, 1.0) == {"null,10.0.0.9": 2000}  # groups may come after their flow

    engine.set_group("site", {"lab": ["10.0.0.0/24"]})
    engine.set_group("world", {"all": ["0.0.0.0/0"], "quad8": ["8.8.8.8"]})
    engine.feed(packets(), 40.0)
    assert keys(engine, 40.0) == {"null,10.0.0.9": 0, "lab,10.0.0.9": 1000, "quad8,10.0.0.9": 1000}

    engine.set_group("site", {"office": ["10.0.0.0/24"]})
    assert engine.clear_group("world")
    engine.tick(70.0)
    engine.feed(packets(), 70.0)
    assert keys(engine, 70.0) == {"office,10.0.0.9": 1000, "null,10.0.0.9": 1000}
    assert engine.groups() == {"site": {"office": ("10.0.0.0/24",)}}
    assert not engine.clear_group("world")


def test_a_changed_map_gives_new_labels(engine):
    engine.set_map("members", {"as65001": ["00:00:00:00:00:01"]})
    engine.set_flow("f", {"keys": "map:macsource:members", "value": "frames", "t": 1})
    engine.feed([packet("10.0.0.1", "10.0.0.9")], 1.0)
    assert keys(engine, 1.0) == {"as65001": 10}
    engine.set_map("members", {"as65002": ["000000000001"]})
    engine.tick(30.0)
    engine.feed([packet("10.0.0.1", "10.0.0.9")], 30.0)
    assert keys(engine, 30.0) == {"as65002": 10}
    assert engine.maps() == {"members": {"as65002": ("000000000001",)}}
    assert engine.clear_map("members")
    engine.tick(60.0)
    engine.feed([packet("10.0.0.1", "10.0.0.9")], 60.0)
    assert keys(engine, 60.0) == {}


def test_a_change_of_one_group_leaves_the_keys_of_others(engine):
    engine.set_flow("f", {"keys": "null:[group:ipsource:site]", "value": "bytes"})
    engine.feed([packet("10.0.0.1", "10.0.0.9")], 1.0)
    before = engine.pipeline.classifier
    engine.set_group("other", {"all": ["0.0.0.0/0"]})
    cache = engine._caches["f"]
    assert cache.numbers()["key_ids"] == 1
    engine.feed([packet("10.0.0.1", "10.0.0.9")], 1.0)
    assert cache.numbers()["key_ids"] == 1
    assert before is engine.pipeline.classifier


@pytest.mark.parametrize("name", ["", "a/b", "a,b", "a:b", "x" * 200])
def test_names_that_break_urls_and_keys_are_refused(engine, name):
    with pytest.raises(InvalidDefinition, match="group name"):
        engine.set_group(name, {})
    with pytest.raises(InvalidDefinition, match="map name"):
        engine.set_map(name, {})


def test_groups_and_maps_have_their_part_of_the_memory(engine):
    part = engine.budget.part("names")
    values = [str(number) for number in range(part // 400 // 2)]
    engine.set_map("a", {"x": values})
    with pytest.raises(InvalidDefinition, match="map 'b': too large"):
        engine.set_map("b", {"x": values[:-1] + [str(10**12 + n) for n in range(part // 800)]})
    assert engine.numbers().memory.used["names"] <= part
    engine.set_map("a", {"y": values})  # in its own place there is room
    assert engine.clear_map("a")
    assert engine.numbers().memory.used["names"] == 0
