"""Questions about a topology, against slow and obvious computations (networkx, all simple paths)."""

import networkx
import pytest
from hypothesis import given, strategies

from client import Topology
from client.topology import LinkAt, Path, Port

FABRIC = {  # two leaves, two spines, and a switch that no link reaches
    "version": 3,
    "nodes": {
        "leaf1": {
            "agent": "10.0.0.1",
            "ports": {"up1": {"ifindex": "1"}, "up2": {"ifindex": "2"}, "h1": {"ifindex": "3"}},
        },
        "leaf2": {"agent": "10.0.0.1", "ports": {"up1": {"ifindex": "11"}, "up2": {"ifindex": "12"}}},
        "spine1": {"agent": "10.0.0.3", "ports": {"d1": {"ifindex": "1"}, "d2": {"ifindex": "2"}}},
        "spine2": {"agent": "10.0.0.4", "ports": {"d1": {}, "d2": {"ifindex": "2"}}},
        "alone": {},
    },
    "links": {
        "L1": {"node1": "leaf1", "port1": "up1", "node2": "spine1", "port2": "d1"},
        "L2": {"node1": "leaf1", "port1": "up2", "node2": "spine2", "port2": "d1"},
        "L3": {"node1": "leaf2", "port1": "up1", "node2": "spine1", "port2": "d2"},
        "L4": {"node1": "leaf2", "port1": "up2", "node2": "spine2", "port2": "d2"},
    },
}  # fmt: skip


@pytest.fixture
def fabric():
    return Topology(FABRIC)


def test_ports_and_links(fabric):
    assert fabric.version == 3
    assert fabric.node_links("leaf1") == ["L1", "L2"]
    assert fabric.nodes_for_agent("10.0.0.1") == ["leaf1", "leaf2"]
    assert fabric.nodes_for_agent("10.0.0.1", "11") == ["leaf2"]
    assert fabric.nodes_for_agent("10.0.0.1", "99") == fabric.nodes_for_agent("10.9.9.9") == []
    assert fabric.agent_for_node("spine1") == "10.0.0.3"
    assert fabric.agent_for_node("alone") is None
    assert fabric.port_at("10.0.0.1", "3") == Port("leaf1", "h1", "10.0.0.1", "3")
    assert fabric.link_at("10.0.0.1", "3") is None
    assert fabric.link_at("10.0.0.1", "12") == LinkAt("L4", "leaf2", "up2", "spine2", "d2")
    assert fabric.link_at("10.0.0.3", "2") == LinkAt("L3", "spine1", "d2", "leaf2", "up1")
    assert fabric.ends("L2") == (Port("leaf1", "up2", "10.0.0.1", "2"), Port("spine2", "d1", "10.0.0.4", None))


def test_paths(fabric):
    assert fabric.shortest_path("leaf1", "leaf2") == Path(("leaf1", "spine1", "leaf2"), ("L1", "L3"))
    assert fabric.shortest_path("leaf1", "leaf1") == Path(("leaf1",), ())
    assert fabric.shortest_path("leaf1", "alone") is fabric.shortest_path("leaf1", "nowhere") is None
    assert fabric.shortest_path("nowhere", "nowhere") is None
    both = fabric.shortest_paths("leaf1", "leaf2", 5)
    assert {path.links for path in both} == {("L1", "L3"), ("L2", "L4")}
    assert fabric.shortest_paths("leaf1", "leaf2", 1) == both[:1]
    assert fabric.shortest_paths("leaf1", "spine1", 5, longest=2) == [Path(("leaf1", "spine1"), ("L1",))]
    assert fabric.diameter() == 2
    assert Topology({}).diameter() == 0


def test_the_spanning_tree_takes_the_lightest_links(fabric):
    assert len(fabric.minimum_spanning_tree()) == 3
    assert set(fabric.minimum_spanning_tree({"L1": 9, "L2": 2, "L3": 3, "L4": 0.5})) == {"L2", "L3", "L4"}


NAMES = strategies.sampled_from("abcdefg")


@given(strategies.lists(strategies.tuples(NAMES, NAMES), max_size=12), NAMES, NAMES)
def test_paths_are_those_that_a_search_of_all_finds(pairs, start, goal):
    links = {
        str(number): {"node1": one, "port1": f"{number}x", "node2": other, "port2": f"{number}y"}
        for number, (one, other) in enumerate(pairs)
        if one != other
    }
    graph = networkx.MultiGraph()
    graph.add_nodes_from("abcdefg")
    for name, link in links.items():
        graph.add_edge(link["node1"], link["node2"], key=name)
    topology = Topology({"nodes": {name: {} for name in "abcdefg"}, "links": links})
    found = topology.shortest_paths(start, goal, 10_000)
    expected = (
        {()}
        if start == goal
        else {tuple(key for _, _, key in path) for path in networkx.all_simple_edge_paths(graph, start, goal)}
    )
    assert {path.links for path in found} == expected
    assert len(found) == len(expected)
    assert [len(path.links) for path in found] == sorted(len(path.links) for path in found)
    together = list(networkx.connected_components(graph))
    assert topology.diameter() == max(networkx.diameter(graph.subgraph(part)) for part in together)
    assert len(topology.minimum_spanning_tree()) == 7 - len(together)
