"""The fabric as a frozen graph: switches, ports, directed links, equal-cost paths, and the hosts of a topology file.

Built from the topology document (documents/topology.py, the shape sFlow-RT uses) or piece by piece by discovery.
Nothing changes in place: a port that goes down gives a new Fabric, and everything derived (distances, paths, tree) is
computed once per Fabric, when first asked for: the distances to one switch cost as much as there are links. Hosts that
are learnt, of which there may be a thousand times more than switches, are therefore kept beside it (hosts.py), and no
Fabric changes with them.

A switch is its datapath id; its name, by which the rest refers to it, is that of one switch only and stays as long as
the Fabric does (discovery.py sees to it where two bridges have the same name).

A path is a tuple of directed links from the ingress switch to the egress switch, so parallel links are told apart;
the empty tuple is the path of a flow that stays on one switch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx

from documents import topology as document
from documents.topology import Spec, SpecError

PAIRS = 20_000  # of switches between which the paths are remembered


@dataclass(frozen=True)
class Port:
    """A switch port. `speed` in bits/s, 0 where unknown; `ifindex` as sFlow reports it (text), None where unknown."""

    switch: str
    number: int
    name: str
    speed: int = 0
    ifindex: str | None = None

    @property
    def place(self) -> Place:
        return self.switch, self.number

    def __hash__(self) -> int:  # of what tells it apart: decisions look ports and links up all the time
        return hash((self.switch, self.number))


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

    def __hash__(self) -> int:
        return hash((self.source.switch, self.source.number))

    @property
    def speed(self) -> int:
        return self.source.speed


@dataclass(frozen=True)
class Host:
    """An end station and the edge port behind which it lives, alone or with others. `fixed` is one of a topology file.

    `addresses`: IPv4 and IPv6 as `ipaddress` writes them, in the order in which they became known.
    """

    name: str
    mac: str
    switch: str
    port: int
    addresses: tuple[str, ...] = ()
    fixed: bool = False

    @property
    def ipv4(self) -> str | None:
        """Its first IPv4 address."""
        return document.first_ipv4(self.addresses)

    @property
    def place(self) -> Place:
        return self.switch, self.port


Place = tuple[str, int]  # name of a switch, number of its port
Path = tuple[Link, ...]


@dataclass(frozen=True)
class Fabric:
    """The network as the controller knows it.

    `links` hold both directions; `down` are ports without carrier; `flood` says that all links are known, so that
    broadcast over the tree cannot loop; `doubtful` are ports that may lead to another port of the fabric though no link
    is known to: they get no broadcast. `hosts` are those of the topology file.
    """

    switches: Mapping[str, Switch]
    links: tuple[Link, ...] = ()
    hosts: tuple[Host, ...] = ()
    down: frozenset[Place] = frozenset()
    flood: bool = True
    doubtful: frozenset[Place] = frozenset()

    @classmethod
    def from_spec(cls, description: Spec) -> Fabric:
        """The fabric of a description. SpecError for a node without dpid or a port without OpenFlow number."""
        switches = {name: _switch(node) for name, node in description.nodes.items()}
        by_name = {(port.switch, port.name): port for port in _ports(switches)}
        links = []
        for link in description.links.values():
            one, two = (by_name[end] for end in link.ends)
            links += [Link(link.name, one, two), Link(link.name, two, one)]
        hosts = tuple(
            Host(host.name, host.mac, host.node, by_name[host.node, host.port].number, host.addresses, fixed=True)
            for host in description.hosts.values()
        )
        return cls(switches, tuple(links), hosts)

    def to_spec(self, hosts: Iterable[Host]) -> Spec:
        """The description of this fabric with these hosts, whose JSON analytics takes."""
        cables = {link.name: link for link in reversed(self.links)}  # of both directions the first gives the ends
        return Spec(
            {switch.name: _node(switch) for switch in self.switches.values()},
            {
                name: document.Link(name, link.source.switch, link.source.name, link.target.switch, link.target.name)
                for name, link in cables.items()
            },
            {
                host.name: document.Host(
                    host.name, host.switch, self.switches[host.switch].ports[host.port].name, host.mac, host.addresses
                )
                for host in hosts
            },
        )

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
    def link_from(self) -> Mapping[Place, Link]:
        """Place -> the link that leaves there, also while it is down."""
        return {(link.source.switch, link.source.number): link for link in self.links}

    @cached_property
    def link_into(self) -> Mapping[Place, Link]:
        """Place -> the link that arrives there, also while it is down."""
        return {(link.target.switch, link.target.number): link for link in self.links}

    def has_port(self, place: Place) -> bool:
        return place[0] in self.switches and place[1] in self.switches[place[0]].ports

    def is_edge(self, port: Port) -> bool:
        return (port.switch, port.number) not in self.link_from

    def edge_ports(self, switch: str) -> list[Port]:
        return [port for port in self.switches[switch].ports.values() if self.is_edge(port)]

    def flood_ports(self, switch: str) -> list[int]:
        """The numbers of the ports that broadcast leaves by: to hosts, and along the tree."""
        hosts = {port.number for port in self.edge_ports(switch) if (switch, port.number) not in self.doubtful}
        return sorted(hosts | self.tree[switch])

    def link_ports(self, switch: str) -> list[int]:
        """The numbers of the ports where a link to another switch ends, also while it is down."""
        return sorted(port.number for port in self.switches[switch].ports.values() if not self.is_edge(port))

    # Paths through it

    @cached_property
    def usable(self) -> tuple[Link, ...]:
        """The links both of whose ports are up."""
        return tuple(
            link
            for link in self.links
            if not self.down & {(link.source.switch, link.source.number), (link.target.switch, link.target.number)}
        )

    @cached_property
    def _graph(self) -> nx.Graph:
        graph = nx.Graph()
        graph.add_nodes_from(self.switches)
        graph.add_edges_from((link.source.switch, link.target.switch) for link in self.usable)
        return graph

    @cached_property
    def _distances(self) -> dict[str, Mapping[str, int]]:
        """Of those switches that were asked for, the hops from every other."""
        return {}

    @cached_property
    def _paths(self) -> dict[tuple[str, str], list[Path]]:
        """Of those pairs that were asked for, at most PAIRS."""
        return {}

    def _hops_to(self, destination: str) -> Mapping[str, int]:
        hops = self._distances.get(destination)
        if hops is None:
            hops = self._distances[destination] = nx.single_source_shortest_path_length(self._graph, destination)
        return hops

    @cached_property
    def most_switches(self) -> int:
        """How many switches the longest of the shortest paths has: of two sweeps, each from the switch that the one
        before found farthest, which is exact in trees and fabrics of tiers, and at worst too few elsewhere."""
        farthest, hops = next(iter(self.switches), None), 0
        for _ in range(2 if farthest is not None else 0):
            reached = self._hops_to(str(farthest))
            farthest = max(reached, key=lambda switch: reached[switch])
            hops = max(hops, reached[farthest])
        return hops + 1

    @cached_property
    def _usable_from(self) -> Mapping[str, list[Link]]:
        out: dict[str, list[Link]] = {name: [] for name in self.switches}
        for link in sorted(self.usable, key=lambda link: link.source.number):
            out[link.source.switch].append(link)
        return out

    def next_links(self, switch: str, destination: str) -> list[Link]:
        """The links that lead from `switch` one hop nearer to `destination`, by port number; none if unreachable."""
        hops = self._hops_to(destination)
        left = hops.get(switch)
        if not left:
            return []
        return [link for link in self._usable_from[switch] if hops.get(link.target.switch) == left - 1]

    def paths(self, source: str, destination: str) -> list[Path]:
        """All equal-cost paths, shortest by hops; `[()]` where source is destination, `[]` where unreachable."""
        found = self._paths.get((source, destination))
        if found is None:
            found = list(self._walk(source, destination))
            if len(self._paths) >= PAIRS:
                self._paths.clear()
            self._paths[source, destination] = found
        return found

    def _walk(self, source: str, destination: str) -> Iterator[Path]:
        if source == destination:
            yield ()
            return
        for link in self.next_links(source, destination):
            for rest in self._walk(link.target.switch, destination):
                yield (link, *rest)

    @cached_property
    def tree(self) -> Mapping[str, frozenset[int]]:
        """Switch -> its ports on one loop-free tree that spans the fabric: which broadcast and multicast follow."""
        cables: dict[frozenset[str], Link] = {}
        for link in sorted(self.usable, key=lambda link: (link.source.switch, link.source.number)):
            if link.source.switch == link.target.switch:
                continue
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
        """This fabric with that port up or down; the same object if it knew."""
        if up != ((switch, number) in self.down):
            return self
        one: frozenset[Place] = frozenset({(switch, number)})
        return replace(self, down=self.down - one if up else self.down | one)

    def with_switch(self, switch: Switch) -> Fabric:
        """This fabric with `switch` added or replaced; links at ports that it no longer has are gone."""

        def renewed(port: Port) -> Port | None:
            return switch.ports.get(port.number) if port.switch == switch.name else port

        ends = ((link.name, renewed(link.source), renewed(link.target)) for link in self.links)
        links = tuple(Link(name, source, target) for name, source, target in ends if source and target)
        return replace(self, switches={**self.switches, switch.name: switch}, links=links)

    def with_links(self, links: Iterable[Link], doubtful: Iterable[Place]) -> Fabric:
        """This fabric with these links and doubtful ports; the same object if it had them."""
        links, doubtful = tuple(links), frozenset(doubtful)
        if (links, doubtful) == (self.links, self.doubtful):
            return self
        return replace(self, links=links, doubtful=doubtful)


def switches_of(path: Path, ingress: str) -> list[str]:
    """The names of the switches that a path visits, from the ingress switch on."""
    return [ingress, *(link.target.switch for link in path)]


def _ports(switches: Mapping[str, Switch]) -> Iterator[Port]:
    for switch in switches.values():
        yield from switch.ports.values()


def _switch(node: document.Node) -> Switch:
    if node.dpid is None:
        raise SpecError(f"node {node.name!r} has no dpid, so no connecting switch can be recognised as it")
    ports = {}
    for port in node.ports.values():
        if port.ofport is None:
            raise SpecError(f"node {node.name!r}: port {port.name!r} has no OpenFlow number (ofport)")
        ports[port.ofport] = Port(node.name, port.ofport, port.name, port.speed or 0, port.ifindex)
    return Switch(node.name, int(node.dpid, 16), ports, node.agent, node.role or "")


def _node(switch: Switch) -> document.Node:
    ports = {
        port.name: document.Port(port.name, port.number, port.speed or None, port.ifindex)
        for port in switch.ports.values()
    }
    tags = {"role": switch.role} if switch.role else {}
    return document.Node(switch.name, ports, switch.agent, f"{switch.dpid:016x}", tags)
