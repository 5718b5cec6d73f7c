"""analytics.topology: documents in, answers about ports out; malformed ones refused with the culprit's name."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.metrics.names import Names
from analytics.topology import InvalidTopology, Topology, parse

# Two bridges of one Open vSwitch: same agent, told apart by ifIndex (what Mininet's sflow.py sends, plus our speed).
SHARED_AGENT = {
    "nodes": {
        "s1": {
            "agent": "192.168.1.9",
            "ports": {"s1-eth1": {"ifindex": "4", "speed": 10_000_000}, "s1-eth2": {"ifindex": "5"}},
        },
        "s2": {"agent": "192.168.1.9", "ports": {"s2-eth1": {"ifindex": "6"}, "s2-eth2": {"ifindex": "7"}}},
    },
    "links": {"s1-s2": {"node1": "s1", "port1": "s1-eth2", "node2": "s2", "port2": "s2-eth1"}},
}
AGENT = "192.168.1.9"


def test_ports_of_a_shared_agent_are_told_apart_by_ifindex():
    topology = parse(SHARED_AGENT)
    assert topology.agents() == {AGENT}
    assert [topology.link_name(AGENT, i) for i in "4567"] == [None, "s1-s2", "s1-s2", None]
    assert [topology.is_core(AGENT, i) for i in "4567"] == [False, True, True, False]
    assert [topology.is_edge(AGENT, i) for i in "4567"] == [True, False, False, True]
    assert topology.speed(AGENT, "4") == 10_000_000
    assert topology.speed(AGENT, "5") is None
    assert topology.speed("10.9.9.9", "4") is None
    assert topology.notes == ()


def test_what_is_not_listed_is_an_edge_port_only_on_agents_of_the_topology():
    topology = parse(SHARED_AGENT)
    assert topology.is_edge(AGENT, "99")
    assert not topology.is_edge("10.9.9.9", "4")
    assert not topology.is_core("10.9.9.9", "5")


def test_the_empty_topology_knows_nothing():
    topology = Topology()
    assert topology.agents() == frozenset()
    assert not topology.is_edge(AGENT, "4")
    assert topology.document == {"nodes": {}, "links": {}}


def test_unknown_fields_are_kept():
    document = copy.deepcopy(SHARED_AGENT)
    document["nodes"]["s1"]["tag"] = "edge"
    document["hosts"] = {"h1": {"node": "s1", "port": "s1-eth1"}}
    assert parse(document).document == document


def test_addresses_are_compared_as_addresses():
    topology = parse({"nodes": {"s1": {"agent": "2001:DB8:0::1"}, "s2": {"agent": "leaf2.lab"}, "s3": {"agent": ""}}})
    assert topology.agents() == {"2001:db8::1", "leaf2.lab"}


def test_an_agent_that_is_no_address_and_that_nobody_has_is_missing():
    document = copy.deepcopy(SHARED_AGENT)
    document["nodes"]["s1"]["agent"] = "192.168.1.999"
    given = parse(document)
    assert given.is_by_name
    assert given.wanted().hosts == {"192.168.1.999"}
    topology = given.named(Names())
    assert topology.missing == ["node 's1': agent '192.168.1.999' is neither an address nor a known host_name"]
    assert topology.agents() == {AGENT}
    found = topology.named(Names(hosts={"192.168.1.999": "10.0.0.7"}))
    assert found.missing == []
    assert found.link_name("10.0.0.7", "5") == "s1-s2"


def test_nodes_and_links_are_optional():
    assert parse({}).agents() == frozenset()
    assert parse({"nodes": {"leaf1": {"agent": "10.0.0.1"}}}).is_edge("10.0.0.1", "3")


def test_ports_without_ifindex_wait_for_the_lab_to_come_up():
    document = copy.deepcopy(SHARED_AGENT)
    for node in document["nodes"].values():
        for port in node["ports"].values():
            del port["ifindex"]
    topology = parse(document)
    assert topology.link_name(AGENT, "5") is None
    assert topology.notes == ()


def test_a_link_with_a_missing_port_is_accepted_and_reported():
    document = copy.deepcopy(SHARED_AGENT)
    del document["nodes"]["s2"]["ports"]["s2-eth1"]
    document["links"]["s2-s3"] = {"node1": "s2", "port1": "s2-eth2", "node2": "s3", "port2": "s3-eth1"}
    topology = parse(document)
    assert topology.missing == [
        f"link 's1-s2': node 's2' port 's2-eth1' is not in nodes, and agent {AGENT} has no ifname 's2-eth1'",
        "link 's2-s3': node 's3' port 's3-eth1' is not in nodes, no agent has host_name 's3', "
        "not just one has this ifname",
    ]
    assert topology.link_name(AGENT, "5") == "s1-s2"
    assert topology.link_name(AGENT, "7") == "s2-s3"


def test_doubly_used_ports_are_reported_and_the_first_wins():
    document = copy.deepcopy(SHARED_AGENT)
    document["nodes"]["s2"]["ports"]["s2-eth2"] = {"ifindex": "4", "speed": 1}
    document["links"]["again"] = {"node1": "s1", "port1": "s1-eth2", "node2": "s2", "port2": "s2-eth1"}
    topology = parse(document)
    assert topology.notes == (
        "node 's2' port 's2-eth2': agent 192.168.1.9 ifindex 4 is already node 's1' port 's1-eth1'",
        "link 'again': node 's1' port 's1-eth2' already ends link 's1-s2'",
        "link 'again': node 's2' port 's2-eth1' already ends link 's1-s2'",
    )
    assert topology.speed(AGENT, "4") == 10_000_000


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "topology must be an object with nodes and links, not an array"),
        (None, "topology must be an object with nodes and links, not null"),
        ({"nodes": []}, "nodes must be an object, not an array"),
        ({"links": 3}, "links must be an object, not the number 3"),
        ({"nodes": {"s1": "x"}}, "node 's1' must be an object, not 'x'"),
        ({"nodes": {"s1": {"agent": 7}}}, "node 's1': agent must be a string, not the number 7"),
        ({"nodes": {"s1": {"ports": [1]}}}, "node 's1': ports must be an object, not an array"),
        ({"nodes": {"s1": {"ports": {"p": True}}}}, "node 's1' port 'p' must be an object, not true"),
        (
            {"nodes": {"s1": {"ports": {"p": {"ifindex": 4}}}}},
            "node 's1' port 'p': ifindex must be a string, not the number 4",
        ),
        (
            {"nodes": {"s1": {"ports": {"p": {"speed": "1G"}}}}},
            "node 's1' port 'p': speed must be a positive integer in bits/s, not '1G'",
        ),
        (
            {"nodes": {"s1": {"ports": {"p": {"speed": 0}}}}},
            "node 's1' port 'p': speed must be a positive integer in bits/s, not the number 0",
        ),
        ({"links": {"l": []}}, "link 'l' must be an object, not an array"),
        ({"links": {"l": {"node1": "s1", "port1": "p", "node2": "s2"}}}, "link 'l': port2 is missing"),
        ({"links": {"l": {"node1": ["s1"]}}}, "link 'l': node1 must be a string, not an array"),
    ],
)
def test_malformed_documents_are_refused_by_name(document, complaint):
    with pytest.raises(InvalidTopology) as refused:
        parse(document)
    assert str(refused.value) == complaint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["nodes", "links", "ports", "agent", "ifindex", "speed", "s1"]), inner)
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_document_is_parsed_or_refused_in_one_line(document):
    try:
        topology = parse(document)
    except InvalidTopology as refused:
        assert "\n" not in str(refused)
    else:
        assert topology.document == document
