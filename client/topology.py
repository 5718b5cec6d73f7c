"""Questions about a topology document (sFlow-RT's shape: nodes with agents and ports, links between two ports), all of
them answered from the document, so they are the same whoever holds it.

Paths have a length in links. One path costs a breadth-first search, O(nodes + links); the k shortest are found in order
of length, best first, guided by each node's exact distance to the goal, so that hardly a path is begun that is not
wanted. The diameter takes a search per node: O(nodes x links), a second for some thousand switches.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import count, islice
from typing import Any, NamedTuple


class Port(NamedTuple):
    """A port of a node, and what sFlow calls it if that is known."""

    node: str
    port: str
    agent: str | None
    ifindex: str | None


class LinkAt(NamedTuple):
    """A link as one of its nodes sees it."""

    link: str
    node: str
    port: str
    remote_node: str
    remote_port: str


class Path(NamedTuple):
    """n + 1 nodes, joined by n links."""

    nodes: tuple[str, ...]
    links: tuple[str, ...]


class Topology:
    """`document` as GET /topology/json answers it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.version: int = document.get("version", 0)
        self.nodes: Mapping[str, Any] = document.get("nodes", {})
        self.links: Mapping[str, Any] = document.get("links", {})
        self._at: dict[str, list[LinkAt]] = {node: [] for node in self.nodes}
        for name, link in self.links.items():
            ends = [(link["node1"], link["port1"]), (link["node2"], link["port2"])]
            for here, there in (ends, ends[::-1]):
                self._at.setdefault(here[0], []).append(LinkAt(name, *here, *there))
        self._by_interface: dict[tuple[str, str], Port] = {}
        for node, known in self.nodes.items():
            for port in known.get("ports", {}):
                found = self._port(node, port)
                if found.agent is not None and found.ifindex is not None:
                    self._by_interface[found.agent, found.ifindex] = found

    def node_links(self, node: str) -> list[str]:
        return [at.link for at in self._at.get(node, ())]

    def agent_for_node(self, node: str) -> str | None:
        agent = self.nodes.get(node, {}).get("agent")
        return None if agent is None else str(agent)

    def nodes_for_agent(self, agent: str, ifindex: str | None = None) -> list[str]:
        """Several nodes may have one agent; a port's ifIndex tells which."""
        if ifindex is not None:
            port = self.port_at(agent, ifindex)
            return [] if port is None else [port.node]
        return [node for node in self.nodes if self.agent_for_node(node) == agent]

    def port_at(self, agent: str, ifindex: str) -> Port | None:
        """The port with that ifIndex (topologyInterfaceToPort)."""
        return self._by_interface.get((agent, str(ifindex)))

    def link_at(self, agent: str, ifindex: str) -> LinkAt | None:
        """The link at that port, None at an edge port (topologyInterfaceToLink)."""
        port = self.port_at(agent, ifindex)
        if port is None:
            return None
        return next((at for at in self._at[port.node] if at.port == port.port), None)

    def ends(self, link: str) -> tuple[Port, Port]:
        """The two ports of a link (topologyLinkToInterfaces). KeyError: there is no such link."""
        known = self.links[link]
        return self._port(known["node1"], known["port1"]), self._port(known["node2"], known["port2"])

    def shortest_path(self, start: str, goal: str) -> Path | None:
        """One with the fewest links; None: there is none."""
        return next(self._paths(start, goal), None)

    def shortest_paths(self, start: str, goal: str, most: int, longest: int | None = None) -> list[Path]:
        """At most so many without a loop, of at most `longest` links, shortest first."""
        paths = self._paths(start, goal, longest)
        return list(islice(paths, most))

    def diameter(self) -> int:
        """Links of the longest of all shortest paths."""
        return max((max(self._distances(node).values()) for node in self._at), default=0)

    def minimum_spanning_tree(self, weights: Mapping[str, float] | None = None) -> list[str]:
        """Links that join all nodes that can be joined, without a loop, of least weight together (Kruskal); a link
        that `weights` does not name weighs 1."""
        over = {node: node for node in self._at}

        def root(node: str) -> str:
            while over[node] != node:
                over[node] = over[over[node]]
                node = over[node]
            return node

        tree = []
        for name in sorted(self.links, key=lambda name: (weights or {}).get(name, 1.0)):
            one, other = root(self.links[name]["node1"]), root(self.links[name]["node2"])
            if one != other:
                over[one] = other
                tree.append(name)
        return tree

    def _port(self, node: str, port: str) -> Port:
        ifindex = self.nodes.get(node, {}).get("ports", {}).get(port, {}).get("ifindex")
        return Port(node, port, self.agent_for_node(node), None if ifindex is None else str(ifindex))

    def _distances(self, goal: str) -> dict[str, int]:
        """Links from every node that reaches `goal`."""
        found = {goal: 0}
        waiting = deque([goal])
        while waiting:
            node = waiting.popleft()
            for at in self._at.get(node, ()):
                if at.remote_node not in found:
                    found[at.remote_node] = found[node] + 1
                    waiting.append(at.remote_node)
        return found

    def _paths(self, start: str, goal: str, longest: int | None = None) -> Iterator[Path]:
        """Paths without a loop in order of length."""
        left = self._distances(goal)
        if start not in left or start not in self._at:
            return
        numbers = count()  # so that paths are never compared
        best = [(left[start], next(numbers), Path((start,), ()))]
        while best:
            length, _, path = heapq.heappop(best)
            if longest is not None and length > longest:
                return
            here = path.nodes[-1]
            if here == goal:
                yield path
                continue
            for at in self._at[here]:
                if at.remote_node in left and at.remote_node not in path.nodes:
                    further = Path((*path.nodes, at.remote_node), (*path.links, at.link))
                    heapq.heappush(best, (len(further.links) + left[at.remote_node], next(numbers), further))
