"""The fabric graph: paths, ports, trees, and what changes when a port goes down."""

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.topology import Fabric, switches_of
from documents.topology import Spec, SpecError
from topologies.fattree import fattree
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(3, 4, 2).with_ifindexes({"leaf1-eth1": 12, "spine2-eth1": 40}))


def test_ports_are_found_by_agent_and_ifindex():
    port = FABRIC.port_at("10.254.0.1", "12")
    assert (port.switch, port.number, port.name, port.speed) == ("leaf1", 1, "leaf1-eth1", 5_000_000)
    assert FABRIC.is_edge(port)
    assert FABRIC.port_at("10.254.0.2", "12") is None
    assert not FABRIC.is_edge(FABRIC.port_at("10.254.0.6", "40"))


def test_paths_between_leaves_are_one_per_spine():
    paths = FABRIC.paths("leaf1", "leaf3")
    assert [switches_of(path, "leaf1") for path in paths] == [["leaf1", f"spine{n}", "leaf3"] for n in (1, 2, 3)]
    assert FABRIC.paths("leaf1", "leaf1") == [()]


def test_a_port_that_is_down_takes_its_link_out_of_the_paths_in_both_directions():
    broken = FABRIC.with_port("spine1", 1, up=False)
    assert [switches_of(path, "leaf1")[1] for path in broken.paths("leaf1", "leaf3")] == ["spine2", "spine3"]
    assert [switches_of(path, "leaf3")[1] for path in broken.paths("leaf3", "leaf1")] == ["spine2", "spine3"]
    assert broken.with_port("spine1", 1, up=True).paths("leaf1", "leaf3") == FABRIC.paths("leaf1", "leaf3")
    assert FABRIC.with_port("spine1", 1, up=True) is FABRIC


def test_an_unreachable_switch_has_no_path():
    alone = FABRIC
    for spine in ("spine1", "spine2", "spine3"):
        alone = alone.with_port(spine, 1, up=False)
    assert alone.paths("leaf1", "leaf2") == []
    assert alone.next_links("leaf1", "leaf2") == []


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3))
def test_the_tree_spans_the_fabric_without_a_loop(spines, leaves, hosts):
    fabric = Fabric.from_spec(leafspine(spines, leaves, hosts))
    cables = [
        (link.source.switch, link.target.switch)
        for link in fabric.links
        if link.source.number in fabric.tree[link.source.switch]
        and link.target.number in fabric.tree[link.target.switch]
    ]
    graph = nx.Graph(cables)
    graph.add_nodes_from(fabric.switches)
    assert nx.is_tree(graph)


def test_a_fat_tree_has_the_paths_of_the_book():
    """k=4: four paths between pods, two inside a pod (Al-Fares et al., SIGCOMM 2008)."""
    fabric = Fabric.from_spec(fattree(4))
    edges = sorted({host.switch for host in fabric.hosts})
    counts = sorted({len(fabric.paths(a, b)) for a in edges for b in edges if a != b})
    assert counts == [2, 4]


def test_the_description_of_a_fabric_reads_back_as_the_same_fabric():
    again = Fabric.from_spec(FABRIC.to_spec(FABRIC.hosts))
    assert (again.switches, set(again.links), again.hosts) == (FABRIC.switches, set(FABRIC.links), FABRIC.hosts)


@pytest.mark.parametrize(
    "node, complaint",
    [
        ({"ports": {}}, "node 's1' has no dpid"),
        ({"dpid": "0" * 15 + "1", "ports": {"p": {}}}, "port 'p' has no OpenFlow"),
    ],
)
def test_what_the_controller_cannot_do_without_is_named(node, complaint):
    with pytest.raises(SpecError, match=complaint):
        Fabric.from_spec(Spec.from_json({"nodes": {"s1": node}}))
