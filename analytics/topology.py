"""The topology document as analytics needs it: which port is where, how fast it is, and what link it ends.

The document has sFlow-RT's shape (nodes with agent and ports, links between ports; see the README) plus our fields
`speed`, `ofport`, `dpid` and `hosts`. Only what is used here is checked; everything else is kept and handed back as it
came. A document that contradicts itself in form is refused with the node, port or link named.

A port is known by (agent, ifIndex), never by agent alone: all bridges of one Open vSwitch may share one agent address.
A document need not have these: nodes, agents and ports that it only names are found by what the switches say in sFlow
(`wanted`, then `named`):

1. A node's agent is the document's; one that is no address, or else the node's name, is a host_name. Without any it is
   the agent whose ports have the node's dpid.
2. A port's ifIndex is the document's; else that of the port with its dpid and ofport; else that of the agent's port
   with its ifname. Where no agent is known, the name counts if only one agent has it.

Pure: a document goes in, a frozen Topology comes out. Dictionaries by port and by link: a document of 4 MiB, the
largest that is taken, makes some 50 MB.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from analytics.metrics.names import Names, Wanted

PortKey = tuple[str, str]  # node, port


class InvalidTopology(ValueError):
    """The document cannot be used; the message names the offending node, port or link in one line."""

    def __init__(self, what: str) -> None:
        super().__init__(_one_line(what))


@dataclass(frozen=True, slots=True)
class Port:
    """One switch port. What neither the document nor the switch says is None; `speed` is bits/s, `in_nodes` whether the
    port is among the document's nodes or only at the end of a link."""

    node: str
    name: str
    agent: str | None = None
    ifindex: str | None = None
    speed: int | None = None
    dpid: str | None = None
    ofport: str | None = None
    in_nodes: bool = True

    @property
    def place(self) -> tuple[str, str] | None:
        """Agent and ifIndex; None until both are known."""
        return (self.agent, self.ifindex) if self.agent is not None and self.ifindex is not None else None


@dataclass(frozen=True, slots=True)
class Node:
    """One switch; `ports` by name."""

    name: str
    agent: str | None
    dpid: str | None
    ports: dict[str, Port]


@dataclass(frozen=True, slots=True)
class Link:
    """A cable between two ports of switches."""

    name: str
    ends: tuple[PortKey, PortKey]


@dataclass(frozen=True)
class Topology:
    """Answers about ports; made by `parse` and `named`. The empty topology knows nothing and is the state at start.

    `notes`: contradictions, of which the first wins.
    """

    document: Mapping[str, Any] = field(default_factory=lambda: {"nodes": {}, "links": {}})
    nodes: Mapping[str, Node] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    given: Topology | None = field(default=None, repr=False)
    """The same as the document has it, without what was found by name."""
    _ports: Mapping[tuple[str, str], Port] = field(default_factory=dict)
    _links: Mapping[tuple[str, str], str] = field(default_factory=dict)
    _agents: frozenset[str] = frozenset()

    def agents(self) -> frozenset[str]:
        """Addresses of all agents of the nodes."""
        return self._agents

    def port(self, agent: str, ifindex: str) -> Port | None:
        """The port at a place."""
        return self._ports.get((agent, ifindex))

    def end(self, key: PortKey) -> Port:
        """The port of a node."""
        return self.nodes[key[0]].ports[key[1]]

    def speed(self, agent: str, ifindex: str) -> int | None:
        """The rate the port's link really has, bits/s, or None if the document does not say."""
        port = self._ports.get((agent, ifindex))
        return port.speed if port else None

    def link_name(self, agent: str, ifindex: str) -> str | None:
        """Name of the switch-to-switch link that ends at this port; None on an edge port."""
        return self._links.get((agent, ifindex))

    def node_name(self, agent: str, ifindex: str) -> str | None:
        """Name of the node that has this port."""
        port = self._ports.get((agent, ifindex))
        return port.node if port else None

    def port_name(self, agent: str, ifindex: str) -> str | None:
        """What the document calls this port."""
        port = self._ports.get((agent, ifindex))
        return port.name if port else None

    def is_core(self, agent: str, ifindex: str) -> bool:
        """The port ends a link between switches."""
        return (agent, ifindex) in self._links

    def is_edge(self, agent: str, ifindex: str) -> bool:
        """The agent is in the topology and this port of it ends no link: traffic enters and leaves the fabric here."""
        return agent in self._agents and (agent, ifindex) not in self._links

    # What is known by name only

    def wanted(self) -> Wanted:
        """The names of what the document does not place."""
        given = self.given or self
        open_ports = [port for node in given.nodes.values() for port in node.ports.values() if port.place is None]
        openflow = [(port.dpid, port.ofport) for port in open_ports if port.dpid and port.ofport]
        unknown = [node for node in given.nodes.values() if not _is_address(node.agent)]
        return Wanted(
            hosts=frozenset(node.agent or node.name for node in unknown),
            ports=frozenset(port.name for port in open_ports),
            openflow=frozenset(openflow),
            dpids=frozenset(dpid for node in unknown for dpid in _dpids(node)),
        )

    def named(self, names: Names) -> Topology:
        """The same document with everything placed that can be found by these names."""
        given = self.given or self
        nodes = {name: _found(node, names) for name, node in given.nodes.items()}
        return _indexed(replace(given, nodes=nodes, given=given))

    @cached_property
    def is_by_name(self) -> bool:
        """Whether the document leaves it to the switches who some node or where some end of a link is."""
        given = self.given or self
        return any(_is_called(node) for node in given.nodes.values()) or any(
            given.end(key).place is None for link in given.links.values() for key in link.ends
        )

    @cached_property
    def missing(self) -> list[str]:
        """What is not found: one line per node that the document calls by a name which nobody has, and one per end of a
        link."""
        given = self.given or self
        nobody = {name: node for name, node in given.nodes.items() if _is_called(node) and not self.nodes[name].agent}
        return [
            *(_one_line(f"node '{name}': agent '{node.agent}' is neither an address nor a known host_name")
              for name, node in nobody.items()),
            *(f"link '{link.name}': {_why(self.nodes[key[0]], self.end(key))}"
              for link in self.links.values()
              for key in link.ends
              if self.end(key).place is None and key[0] not in nobody),
        ]  # fmt: skip


def parse(document: object) -> Topology:
    """Check a topology document (decoded JSON) and index its ports; InvalidTopology names what is malformed."""
    if not isinstance(document, Mapping):
        raise InvalidTopology(f"topology must be an object with nodes and links, not {_kind(document)}")
    nodes = {name: _node(name, node) for name, node in _objects(document, "nodes", "node")}
    links = {name: Link(name, _ends(name, link)) for name, link in _objects(document, "links", "link")}
    for link in links.values():
        for node_name, port_name in link.ends:
            node = nodes.setdefault(node_name, Node(node_name, None, None, {}))
            if port_name not in node.ports:
                node.ports[port_name] = Port(node_name, port_name, node.agent, dpid=node.dpid, in_nodes=False)
    return _indexed(Topology(dict(document), nodes, links))


def _indexed(topology: Topology) -> Topology:
    """With what is looked up by agent and ifIndex."""
    notes: list[str] = []
    ports: dict[tuple[str, str], Port] = {}
    links: dict[tuple[str, str], str] = {}
    for port in (port for node in topology.nodes.values() for port in node.ports.values()):
        if port.place is not None and (first := ports.setdefault(port.place, port)) is not port:
            notes.append(
                f"node '{port.node}' port '{port.name}': agent {port.agent} ifindex {port.ifindex} "
                f"is already node '{first.node}' port '{first.name}'"
            )
    for link in topology.links.values():
        for port in map(topology.end, link.ends):
            if port.place is not None and (other := links.setdefault(port.place, link.name)) != link.name:
                notes.append(f"link '{link.name}': node '{port.node}' port '{port.name}' already ends link '{other}'")
    agents = {node.agent for node in topology.nodes.values()} | {agent for agent, _ in ports}
    return replace(
        topology,
        notes=tuple(map(_one_line, notes)),
        _ports=ports,
        _links=links,
        _agents=frozenset(agent for agent in agents if agent is not None),
    )


def _node(name: str, node: Mapping[str, Any]) -> Node:
    where = f"node '{name}'"
    agent = _canonical(_text(node, "agent", where))
    dpid = _dpid(node)
    ports = {}
    for port_name, port in _objects(node, "ports", f"{where} port"):
        of_port = f"{where} port '{port_name}'"
        speed = port.get("speed")
        if speed is not None and (isinstance(speed, bool) or not isinstance(speed, int) or speed <= 0):
            raise InvalidTopology(f"{of_port}: speed must be a positive integer in bits/s, not {_kind(speed)}")
        ofport = port.get("ofport")
        ports[port_name] = Port(
            name,
            port_name,
            agent,
            _text(port, "ifindex", of_port),
            speed,
            _dpid(port) or dpid,
            str(ofport) if isinstance(ofport, (int, str)) else None,
        )
    return Node(name, agent, dpid, ports)


def _ends(name: str, link: Mapping[str, Any]) -> tuple[PortKey, PortKey]:
    ends = []
    for end in ("1", "2"):
        node_name = _text(link, "node" + end, f"link '{name}'")
        port_name = _text(link, "port" + end, f"link '{name}'")
        if node_name is None or port_name is None:
            missing = "node" if node_name is None else "port"
            raise InvalidTopology(f"link '{name}': {missing}{end} is missing")
        ends.append((node_name, port_name))
    return ends[0], ends[1]


# Rules 1 and 2


def _found(node: Node, names: Names) -> Node:
    agent = node.agent
    if not _is_address(agent):
        by_dpid = next((names.dpids[dpid] for dpid in _dpids(node) if dpid in names.dpids), None)
        agent = names.hosts.get(agent or node.name) or by_dpid
    ports = {name: _placed(port, agent, names) for name, port in node.ports.items()}
    return node if (agent, ports) == (node.agent, node.ports) else replace(node, agent=agent, ports=ports)


def _placed(port: Port, agent: str | None, names: Names) -> Port:
    place = agent, port.ifindex
    if port.ifindex is None:
        by_number = names.openflow.get((port.dpid or "", port.ofport or ""))
        if by_number is not None and agent in (None, by_number[0]):
            place = by_number
        else:
            by_name = names.alone.get(port.name) if agent is None else names.ports.get((agent, port.name))
            place = by_name or place
    return port if place == (port.agent, port.ifindex) else replace(port, agent=place[0], ifindex=place[1])


def _why(node: Node, port: Port) -> str:
    """Why a port is not found."""
    where = f"node '{port.node}' port '{port.name}' {'has no ifindex' if port.in_nodes else 'is not in nodes'}"
    if port.agent is not None:
        return _one_line(f"{where}, and agent {port.agent} has no ifname '{port.name}'")
    return _one_line(f"{where}, no agent has host_name '{node.agent or node.name}', not just one has this ifname")


def _dpids(node: Node) -> Iterator[str]:
    for dpid in (node.dpid, *(port.dpid for port in node.ports.values())):
        if dpid is not None:
            yield dpid


def _dpid(parent: Mapping[str, Any]) -> str | None:
    """A datapath id as sFlow has it, in 16 hex digits."""
    dpid = parent.get("dpid")
    return dpid.lower().zfill(16) if isinstance(dpid, str) and dpid else None


# Reading the document


def _objects(parent: Mapping[str, Any], key: str, what: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The members of parent[key], an object of objects that may be absent."""
    members = parent.get(key)
    if members is None:
        return []
    if not isinstance(members, Mapping):
        inside = f"{what.removesuffix(' port')}: " if what.endswith(" port") else ""
        raise InvalidTopology(f"{inside}{key} must be an object, not {_kind(members)}")
    for name, member in members.items():
        if not isinstance(member, Mapping):
            raise InvalidTopology(f"{what} '{name}' must be an object, not {_kind(member)}")
    return list(members.items())


def _text(parent: Mapping[str, Any], key: str, where: str) -> str | None:
    value = parent.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidTopology(f"{where}: {key} must be a string, not {_kind(value)}")
    return value


def _canonical(agent: str | None) -> str | None:
    """An address as the engine writes it (2001:DB8:0::1 is 2001:db8::1); anything else as it is."""
    try:
        return str(ipaddress.ip_address(agent)) if agent else None
    except ValueError:
        return agent


def _is_called(node: Node) -> bool:
    """Whether the document gives a node's agent by a host_name."""
    return node.agent is not None and not _is_address(node.agent)


def _is_address(agent: str | None) -> bool:
    try:
        ipaddress.ip_address(agent or "")
    except ValueError:
        return False
    return True


def _one_line(text: str) -> str:
    """Names come from the document and may hold anything."""
    return " ".join(text.split())


def _kind(value: object) -> str:
    """The value as JSON users say it, short enough for one line."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value[:40]}'"
    return f"the number {value}"
