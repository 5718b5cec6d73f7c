"""The topology document as analytics needs it: which port is where, how fast it is, and what link it ends.

The document has sFlow-RT's shape (nodes with agent and ports, links between ports; see the README) plus our fields
`speed`, `ofport`, `dpid` and `hosts`. Only what is used here is checked; everything else is kept and handed back as it
came. A document that contradicts itself in form is refused with the node, port or link named. A link whose ends are
not among the ports is accepted and reported in `notes`: Mininet's sflow.py and hand-written files have such links.

A port is known by (agent, ifIndex), never by agent alone: all bridges of one Open vSwitch may share one agent address.
Pure: a document goes in, a frozen Topology comes out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class InvalidTopology(ValueError):
    """The document cannot be used; the message names the offending node, port or link in one line."""

    def __init__(self, what: str) -> None:
        super().__init__(_one_line(what))


@dataclass(frozen=True)
class Port:
    """One switch port. `ifindex` is None before the switch is up; `speed` is bits/s, None if the document is silent."""

    node: str
    name: str
    agent: str | None
    ifindex: str | None
    speed: int | None


@dataclass(frozen=True)
class Topology:
    """Answers about ports; made by `parse`. The empty topology knows nothing and is the state at start."""

    document: Mapping[str, Any] = field(default_factory=lambda: {"nodes": {}, "links": {}})
    notes: tuple[str, ...] = ()
    _ports: Mapping[tuple[str, str], Port] = field(default_factory=dict)
    _links: Mapping[tuple[str, str], str] = field(default_factory=dict)
    _agents: frozenset[str] = frozenset()

    def agents(self) -> frozenset[str]:
        """Addresses of all agents of the nodes."""
        return self._agents

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


def parse(document: object) -> Topology:
    """Check a topology document (decoded JSON) and index its ports; InvalidTopology names what is malformed."""
    if not isinstance(document, Mapping):
        raise InvalidTopology(f"topology must be an object with nodes and links, not {_kind(document)}")
    notes: list[str] = []
    ports: dict[tuple[str, str], Port] = {}
    by_name: dict[tuple[str, str], Port] = {}
    agents: set[str] = set()
    for node_name, node in _objects(document, "nodes", "node"):
        agent = _canonical(_text(node, "agent", f"node '{node_name}'"))
        if agent is not None:
            agents.add(agent)
        for port in _ports(node_name, node, agent):
            by_name[node_name, port.name] = port
            if port.agent is None or port.ifindex is None:
                continue
            first = ports.setdefault((port.agent, port.ifindex), port)
            if first is not port:
                notes.append(
                    f"node '{node_name}' port '{port.name}': agent {port.agent} ifindex {port.ifindex} "
                    f"is already node '{first.node}' port '{first.name}'"
                )
    links = _links(document, by_name, notes)
    return Topology(dict(document), tuple(map(_one_line, notes)), ports, links, frozenset(agents))


def _ports(node_name: str, node: Mapping[str, Any], agent: str | None) -> list[Port]:
    found = []
    for name, port in _objects(node, "ports", f"node '{node_name}' port"):
        where = f"node '{node_name}' port '{name}'"
        speed = port.get("speed")
        if speed is not None and (isinstance(speed, bool) or not isinstance(speed, int) or speed <= 0):
            raise InvalidTopology(f"{where}: speed must be a positive integer in bits/s, not {_kind(speed)}")
        found.append(Port(node_name, name, agent, _text(port, "ifindex", where), speed))
    return found


def _links(
    document: Mapping[str, Any], by_name: Mapping[tuple[str, str], Port], notes: list[str]
) -> dict[tuple[str, str], str]:
    links: dict[tuple[str, str], str] = {}
    for name, link in _objects(document, "links", "link"):
        for end in ("1", "2"):
            node_name = _text(link, "node" + end, f"link '{name}'")
            port_name = _text(link, "port" + end, f"link '{name}'")
            if node_name is None or port_name is None:
                missing = "node" if node_name is None else "port"
                raise InvalidTopology(f"link '{name}': {missing}{end} is missing")
            port = by_name.get((node_name, port_name))
            if port is None:
                notes.append(f"link '{name}': node '{node_name}' port '{port_name}' is not in nodes")
                continue
            if port.agent is None or port.ifindex is None:
                continue  # not up yet: the next document will have the ifindex
            first = links.setdefault((port.agent, port.ifindex), name)
            if first != name:
                notes.append(f"link '{name}': node '{node_name}' port '{port_name}' already ends link '{first}'")
    return links


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
