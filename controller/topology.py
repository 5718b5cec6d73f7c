"""The fabric as a frozen graph: switches, ports, directed links, hosts, equal-cost paths.

Built from the topology document (topologies/spec.py, the shape sFlow-RT uses) or piece by piece by discovery.
Nothing changes in place: a port that goes down or a host that is learnt gives a new Fabric, and everything derived
(distances, paths, tree) is computed once per Fabric, when first asked for.

A path is a tuple of directed links from the ingress switch to the egress switch, so parallel links are told apart;
the empty tuple is the path of a flow that stays on one switch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import networkx as nx


@dataclass(frozen=True)
class Port:
    """A switch port. `speed` in bits/s, 0 where unknown; `ifindex` as sFlow reports it (text), None where unknown."""

    switch: str
    number: int
    name: str
    speed: int = 0
    ifindex: str | None = None


@dataclass(frozen=True)
class Switch:
    """A datapath; `agent` is the address its sFlow carries, None where unknown."""

    name: str
    dpid: int
    ports: Mapping[int, Port]
    agent: str | None = None
    role: str = ""


@dataclass(frozen=True)
class Link:
    """One direction of a cable between two switches."""

    name: str
    source: Port
    target: Port

    @property
    def speed(self) -> int:
        return self.source.speed


@dataclass(frozen=True)
class Host:
    """An end station and the edge port behind which it lives."""

    name: str
    mac: str
    ipv4: str
    switch: str
    port: int


Path = tuple[Link, ...]


class TopologyError(ValueError):
    """A topology document that contradicts itself; the message names the node, port, link or host."""


@dataclass(frozen=True)
class Fabric:
    """The network as the controller knows it. `links` hold both directions; `down` are (switch, port number)."""

    switches: Mapping[str, Switch]
    links: tuple[Link, ...] = ()
    hosts: tuple[Host, ...] = ()
    down: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Fabric:
        """Reads a topology document. Raises TopologyError."""
        switches = {name: _switch(name, node) for name, node in document.get("nodes", {}).items()}
        if len({switch.dpid for switch in switches.values()}) != len(switches):
            raise TopologyError("two nodes of the topology have the same dpid")
        by_name = {(p.switch, p.name): p for s in switches.values() for p in s.ports.values()}

        def port(what: str, switch: str, name: str) -> Port:
            if (switch, name) not in by_name:
                raise TopologyError(f"{what}: no port {name!r} on node {switch!r}")
            return by_name[switch, name]

        links = []
        for name, link in document.get("links", {}).items():
            one = port(f"link {name!r}", link.get("node1"), link.get("port1"))
            two = port(f"link {name!r}", link.get("node2"), link.get("port2"))
            links += [Link(name, one, two), Link(name, two, one)]
        hosts = tuple(
            Host(name, h["mac"].lower(), h["ipv4"], h["node"], port(f"host {name!r}", h["node"], h["port"]).number)
            for name, h in document.get("hosts", {}).items()
        )
        return cls(switches, tuple(links), hosts)

    def to_document(self) -> dict[str, Any]:
        """The topology document of this fabric, as analytics takes it."""
        return {
            "nodes": {
                switch.name: {
                    **({"agent": switch.agent} if switch.agent else {}),
                    "dpid": f"{switch.dpid:016x}",
                    **({"tags": {"role": switch.role}} if switch.role else {}),
                    "ports": {port.name: _port_document(port) for port in switch.ports.values()},
                }
                for switch in self.switches.values()
            },
            "links": {
                link.name: {
                    "node1": link.source.switch,
                    "port1": link.source.name,
                    "node2": link.target.switch,
                    "port2": link.target.name,
                }
                for link in reversed(self.links)  # both directions carry the cable's name; the first one gives its ends
            },
            "hosts": {
                host.name: {
                    "node": host.switch,
                    "port": self.switches[host.switch].ports[host.port].name,
                    "mac": host.mac,
                    "ipv4": host.ipv4,
                }
                for host in self.hosts
            },
        }

    # What is where

    @cached_property
    def by_dpid(self) -> Mapping[int, Switch]:
        return {switch.dpid: switch for switch in self.switches.values()}

    @cached_property
    def _by_ifindex(self) -> Mapping[tuple[str, str], Port]:
        return {
            (switch.agent, port.ifindex): port
            for switch in self.switches.values()
            for port in switch.ports.values()
            if switch.agent and port.ifindex
        }

    def port_at(self, agent: str, ifindex: str) -> Port | None:
        """The port that sFlow calls (agent, ifIndex), which is unique even where switches share an agent address."""
        return self._by_ifindex.get((agent, ifindex))

    @cached_property
    def hosts_by_address(self) -> Mapping[str, Host]:
        return {host.ipv4: host for host in self.hosts if host.ipv4}

    @cached_property
    def link_from(self) -> Mapping[tuple[str, int], Link]:
        """(switch, port number) -> the link that leaves there, also while it is down."""
        return {(link.source.switch, link.source.number): link for link in self.links}

    @cached_property
    def link_into(self) -> Mapping[tuple[str, int], Link]:
        """(switch, port number) -> the link that arrives there, also while it is down."""
        return {(link.target.switch, link.target.number): link for link in self.links}

    def is_edge(self, port: Port) -> bool:
        return (port.switch, port.number) not in self.link_from

    def edge_ports(self, switch: str) -> list[Port]:
        return [port for port in self.switches[switch].ports.values() if self.is_edge(port)]

    @property
    def edge_switches(self) -> list[str]:
        """Switches with at least one host, the destinations that groups lead to."""
        return sorted({host.switch for host in self.hosts})

    # Ways through

    @cached_property
    def _usable(self) -> tuple[Link, ...]:
        return tuple(
            link
            for link in self.links
            if not self.down & {(link.source.switch, link.source.number), (link.target.switch, link.target.number)}
        )

    @cached_property
    def _distances(self) -> Mapping[str, Mapping[str, int]]:
        graph = nx.Graph()
        graph.add_nodes_from(self.switches)
        graph.add_edges_from((link.source.switch, link.target.switch) for link in self._usable)
        return dict(nx.all_pairs_shortest_path_length(graph))

    @cached_property
    def _usable_from(self) -> Mapping[str, list[Link]]:
        out: dict[str, list[Link]] = {name: [] for name in self.switches}
        for link in sorted(self._usable, key=lambda link: link.source.number):
            out[link.source.switch].append(link)
        return out

    def next_links(self, switch: str, destination: str) -> list[Link]:
        """The links that lead from `switch` one hop nearer to `destination`, by port number; none if unreachable."""
        left = self._distances[destination].get(switch)
        if not left:
            return []
        return [
            link
            for link in self._usable_from[switch]
            if self._distances[destination].get(link.target.switch) == left - 1
        ]

    def paths(self, source: str, destination: str) -> list[Path]:
        """All equal-cost paths, shortest by hops; `[()]` where source is destination, `[]` where unreachable."""
        if source == destination:
            return [()]
        return [
            (link, *rest)
            for link in self.next_links(source, destination)
            for rest in self.paths(link.target.switch, destination)
        ]

    @cached_property
    def tree(self) -> Mapping[str, frozenset[int]]:
        """Switch -> its ports on one loop-free tree that spans the fabric: the way of broadcast and multicast."""
        cables: dict[frozenset[str], Link] = {}
        for link in sorted(self._usable, key=lambda link: (link.source.switch, link.source.number)):
            cables.setdefault(frozenset({link.source.switch, link.target.switch}), link)
        graph = nx.Graph(tuple(sorted(ends)) for ends in cables)
        graph.add_nodes_from(self.switches)
        ports: dict[str, set[int]] = {name: set() for name in self.switches}
        for part in nx.connected_components(graph):
            centre = min(part, key=lambda name: (-graph.degree(name), name))
            for ends in nx.bfs_edges(graph, centre, sort_neighbors=sorted):
                link = cables[frozenset(ends)]
                ports[link.source.switch].add(link.source.number)
                ports[link.target.switch].add(link.target.number)
        return {name: frozenset(numbers) for name, numbers in ports.items()}

    # The same fabric, changed

    def with_port(self, switch: str, number: int, up: bool) -> Fabric:
        """This fabric with that port up or down."""
        one = frozenset({(switch, number)})
        return replace(self, down=self.down - one if up else self.down | one)

    def with_host(self, host: Host) -> Fabric:
        """This fabric with `host` added, or moved if its MAC or its address was known elsewhere."""
        others = tuple(h for h in self.hosts if h.mac != host.mac and (h.ipv4 != host.ipv4 or not h.ipv4))
        return replace(self, hosts=(*others, host))

    def with_switch(self, switch: Switch) -> Fabric:
        """This fabric with `switch` added or replaced; links keep the ports they name."""
        fresh = {(port.switch, port.number): port for port in switch.ports.values()}

        def renewed(link: Link) -> Link:
            source = fresh.get((link.source.switch, link.source.number), link.source)
            target = fresh.get((link.target.switch, link.target.number), link.target)
            return Link(link.name, source, target)

        links = tuple(renewed(link) for link in self.links)
        return replace(self, switches={**self.switches, switch.name: switch}, links=links)

    def with_links(self, links: Iterable[Link]) -> Fabric:
        return replace(self, links=tuple(links))


def switches_of(path: Path, ingress: str) -> list[str]:
    """The names of the switches that a path visits, from the ingress switch on."""
    return [ingress, *(link.target.switch for link in path)]


def ports_of(fabric: Fabric) -> Iterator[Port]:
    for switch in fabric.switches.values():
        yield from switch.ports.values()


def _switch(name: str, node: Mapping[str, Any]) -> Switch:
    try:
        dpid = int(node["dpid"], 16)
    except (KeyError, TypeError, ValueError):
        raise TopologyError(f"node {name!r}: dpid {node.get('dpid')!r} is not 16 hex digits") from None
    ports = {}
    for label, port in node.get("ports", {}).items():
        number = port.get("ofport")
        if not isinstance(number, int):
            raise TopologyError(f"node {name!r}: port {label!r} has no number `ofport`")
        ports[number] = Port(name, number, label, int(port.get("speed", 0)), port.get("ifindex"))
    return Switch(name, dpid, ports, node.get("agent"), node.get("tags", {}).get("role", ""))


def _port_document(port: Port) -> dict[str, Any]:
    document: dict[str, Any] = {"ofport": port.number}
    if port.ifindex:
        document["ifindex"] = port.ifindex
    if port.speed:
        document["speed"] = port.speed
    return document
