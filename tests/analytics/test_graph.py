"""analytics.graph: paths, diameter and spanning tree of small fabrics, counted by hand."""

import pytest

from analytics import graph
from analytics.graph import Graph, TooLarge, UnknownNode
from analytics.topology import parse


def links(*pairs):
    """A topology of links between nodes, named `a-b`; of parallel ones the second has a dash behind."""
    made = {}
    for number, pair in enumerate(pairs):
        one, other = pair.split("-")
        made[pair if pair not in made else f"{pair}-"] = {
            "node1": one, "port1": f"p{number}", "node2": other, "port2": f"q{number}"
        }  # fmt: skip
    return parse({"links": made})


FABRIC = links("l1-s1", "l1-s2", "l2-s1", "l2-s2", "l3-s1", "l3-s2")
CHAIN = links("a-b", "b-c", "c-d", "x-y")


def test_the_shortest_path():
    assert Graph(CHAIN).paths("a", "d") == [(["a", "b", "c", "d"], ["a-b", "b-c", "c-d"])]
    assert Graph(CHAIN).paths("d", "c") == [(["d", "c"], ["c-d"])]
    assert Graph(CHAIN).paths("a", "a") == [(["a"], [])]
    assert Graph(CHAIN).paths("a", "x") == []


def test_several_paths_come_shortest_first():
    found = Graph(FABRIC).paths("l1", "l2", 10)
    assert [path.nodes for path in found[:2]] == [["l1", "s1", "l2"], ["l1", "s2", "l2"]]
    assert sorted(path.nodes for path in found[2:]) == [["l1", "s1", "l3", "s2", "l2"], ["l1", "s2", "l3", "s1", "l2"]]
    assert len(Graph(FABRIC).paths("l1", "l2", 3)) == 3
    assert len(Graph(FABRIC).paths("l1", "l2", 10, longest=3)) == 2
    assert Graph(FABRIC).paths("l1", "l2", 10, longest=1) == []


def test_of_parallel_links_the_first_is_named():
    assert Graph(links("a-b", "a-b")).paths("a", "b", 5) == [(["a", "b"], ["a-b"])]


def test_a_long_way_has_no_detours():
    ring = links(*(f"n{i}-n{(i + 1) % 200}" for i in range(200)))
    assert [len(path.links) for path in Graph(ring).paths("n0", "n10", 2)] == [10]
    assert [len(path.links) for path in Graph(ring).paths("n0", "n100", 2)] == [100]


def test_the_diameter_is_that_of_what_is_connected():
    assert Graph(FABRIC).diameter() == 2
    assert Graph(CHAIN).diameter() == 3
    assert Graph(parse({"nodes": {"alone": {}}})).diameter() == 0
    assert Graph(parse({})).diameter() == 0


def test_a_spanning_tree_reaches_every_node_without_a_circle():
    tree = Graph(FABRIC).spanning_tree()
    assert len(tree) == 4
    assert {node for link in tree for node in link.split("-")} == {"l1", "l2", "l3", "s1", "s2"}
    assert Graph(CHAIN).spanning_tree() == ["a-b", "b-c", "c-d", "x-y"]
    assert Graph(parse({})).spanning_tree() == []


def test_what_cannot_be_answered_is_named(monkeypatch):
    with pytest.raises(UnknownNode, match=r"^no node 'z' in the topology$"):
        Graph(CHAIN).paths("a", "z")
    monkeypatch.setattr(graph, "MOST_LINKS", 3)
    with pytest.raises(TooLarge, match="has 6 nodes and 4 links"):
        Graph(CHAIN)
