"""The topology as a graph of nodes (networkx): paths, diameter, spanning tree. Every link costs the same.

Pure and finished in one go, so callers run it in a thread; made for a question and not kept, since 10,000 links take
some 20 ms and 10 MB. Breadth-first searches over n nodes and m links: one for a
path, some for the diameter (its bounds meet after a few), one per hop for each further path. A path of more than
MOST_HOPS has no further ones, which would take as many searches each.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from typing import NamedTuple

import networkx

from analytics.topology import Topology

MOST_HOPS = 64
MOST_PATHS = 64
MOST_NODES = 20_000
MOST_LINKS = 50_000


class Path(NamedTuple):
    """Nodes from one end to the other, and the links between them: of parallel ones the first in the document."""

    nodes: list[str]
    links: list[str]


class UnknownNode(LookupError):
    """The topology has no such node; the message quotes it."""


class TooLarge(ValueError):
    """There are more nodes or links than a graph is made of; the message says how many."""


class Graph:
    """Of a topology at one time; TooLarge."""

    def __init__(self, topology: Topology) -> None:
        if len(topology.nodes) > MOST_NODES or len(topology.links) > MOST_LINKS:
            raise TooLarge(
                f"the topology has {len(topology.nodes)} nodes and {len(topology.links)} links; paths are computed for "
                f"at most {MOST_NODES} and {MOST_LINKS}"
            )
        self._graph = networkx.Graph()
        self._graph.add_nodes_from(topology.nodes)
        for link in topology.links.values():
            one, other = (node for node, _ in link.ends)
            if not self._graph.has_edge(one, other):
                self._graph.add_edge(one, other, link=link.name)

    def paths(self, start: str, end: str, most: int = 1, longest: int | None = None) -> list[Path]:
        """The `most` shortest ways between two nodes that use no node twice, shortest first; none of more than
        `longest` links. Empty if there is none. UnknownNode."""
        for node in (start, end):
            if node not in self._graph:
                raise UnknownNode(f"no node '{node}' in the topology")
        return [self._path(nodes) for nodes in islice(self._shortest(start, end, longest), most)]

    def _shortest(self, start: str, end: str, longest: int | None) -> Iterator[list[str]]:
        try:
            for number, nodes in enumerate(networkx.shortest_simple_paths(self._graph, start, end)):
                hops = len(nodes) - 1
                if hops > (longest if longest is not None else hops) or (number and hops > MOST_HOPS):
                    return
                yield nodes
                if hops > MOST_HOPS:
                    return
        except networkx.NetworkXNoPath:
            return

    def _path(self, nodes: list[str]) -> Path:
        return Path(nodes, [self._graph.edges[hop]["link"] for hop in pairwise(nodes)])

    def diameter(self) -> int:
        """The links between the two nodes farthest apart, of those that any links connect; 0 without links."""
        parts = networkx.connected_components(self._graph)
        return max((networkx.diameter(self._graph.subgraph(part), usebounds=True) for part in parts), default=0)

    def spanning_tree(self) -> list[str]:
        """Links that connect all nodes that can be, without a circle, in the order of their names."""
        return sorted(link for _, _, link in networkx.minimum_spanning_tree(self._graph).edges(data="link"))
