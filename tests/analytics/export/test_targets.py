"""export/targets.py: whatever is put becomes a target that says the same when asked, or is refused in one line."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.relay import Relay
from analytics.export.targets import DEFAULT_PORT, FILTERS, MAPPED, parse_forwarding, parse_tenant
from analytics.flows.keys import InvalidDefinition
from analytics.metrics.names import Names

PARSERS = [parse_forwarding, parse_tenant]
ADDRESSES = st.ip_addresses().filter(lambda address: not (address.is_multicast or address.is_unspecified)
                                     and str(address) != "255.255.255.255")  # fmt: skip
PORTS = st.integers(1, 65535)
WORDS = ["address", "port", "agents", "collectorAddress", "collectorPort", "filters", *FILTERS]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ADDRESSES.map(str) | st.just("10.0.0.1_2"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def networks(draw):
    address = draw(ADDRESSES)
    return ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False)


@st.composite
def macs(draw):
    octets = draw(st.binary(min_size=6, max_size=6))
    return octets, draw(st.sampled_from([octets.hex(), octets.hex().upper(), octets.hex(":"), octets.hex("-")]))


@pytest.mark.parametrize("parse", PARSERS)
@given(spec=VALUES)
def test_anything_else_is_refused_in_words_that_name_the_definition(parse, spec):
    try:
        made = parse("x", spec)
    except InvalidDefinition as refusal:
        assert "'x': " in str(refusal)
        assert len(str(refusal)) < 200
    else:
        assert parse("x", made.spec) == made
        Relay().set_targets([made.target(Names())])


@given(ADDRESSES, PORTS | PORTS.map(str) | st.none(), st.lists(ADDRESSES, max_size=5))
def test_a_forwarding_is_what_was_put(address, port, agents):
    spec = {"address": str(address), "port": port, "agents": [str(agent) for agent in agents]}
    made = parse_forwarding("f", spec)
    assert (made.address, made.port, made.agents) == (address, int(port or DEFAULT_PORT), tuple(agents))
    assert parse_forwarding("f", made.spec) == made
    assert made.target(Names()) == ([agent.packed for agent in agents],)
    Relay().set_targets([made.target(Names())])


@given(
    ADDRESSES,
    PORTS,
    st.lists(st.tuples(ADDRESSES, st.integers(0, 2**30 - 1)), max_size=4),
    st.lists(st.tuples(ADDRESSES, st.text(min_size=1, max_size=8)), max_size=4),
    st.lists(networks(), max_size=4),
    st.lists(macs(), min_size=1, max_size=4),
)
def test_a_tenant_is_what_was_put(address, port, indexes, names, prefixes, cards):
    spec = {
        "collectorAddress": str(address),
        "collectorPort": port,
        "filters": {
            "ifindex": [f"{agent}_{index}" for agent, index in indexes],
            "ifname": [f"{agent}_{name}" for agent, name in names],
            "cidr": [str(prefix) for prefix in prefixes],
            "mac": [text for _, text in cards],
        },
    }
    made = parse_tenant("t", spec)
    assert (made.address, made.port, made.spec) == (address, port, spec)
    assert parse_tenant("t", made.spec) == made
    known = Names(ports={(str(agent), name): (str(agent), "77") for agent, name in names})
    agents, ports, sixteens, octets = made.target(known)
    assert agents == []
    assert ports == [(agent.packed, index) for agent, index in indexes] + [(agent.packed, 77) for agent, _ in names]
    assert [prefix_of(*each) for each in sixteens] == prefixes
    assert octets == [mac for mac, _ in cards]
    Relay().set_targets([made.target(known)])


def prefix_of(sixteen, bits):
    """Back from the core's form; an IPv4 prefix is one of ::ffff:0:0/96, which an IPv6 prefix may be too."""
    if sixteen.startswith(MAPPED) and bits >= 96:
        return ip_network((ip_address(sixteen[12:]), bits - 96))
    return ip_network((ip_address(sixteen), bits))


@pytest.mark.parametrize(
    ("parse", "spec", "said"),
    [
        (parse_forwarding, 5, "forwarding 'x': not a JSON object: '5'"),
        (parse_forwarding, {"address": "10.0.0.1", "agents": ""}, "agents is not a list"),
        (parse_forwarding, {"address": "10.0.0.1", "agents": 0}, "agents is not a list"),
        (parse_tenant, [], "tenant 'x': not a JSON object: '[]'"),
        (parse_tenant, {"collectorAddress": "10.0.0.1", "filters": "mac"}, "filters: not a JSON object: 'mac'"),
        (parse_tenant, {"collectorAddress": "10.0.0.1", "filters": None}, "filters is missing or chooses nothing"),
    ],
)
def test_what_is_no_definition_at_all(parse, spec, said):
    with pytest.raises(InvalidDefinition) as refusal:
        parse("x", spec)
    assert said in str(refusal.value)


def test_null_is_the_default():
    assert parse_forwarding("f", {"address": "10.0.0.1", "port": None, "agents": None}).spec == {
        "address": "10.0.0.1",
        "port": DEFAULT_PORT,
    }
