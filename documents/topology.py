"""The plain description of a network, and its topology JSON, which lab, controller, analytics and tests share.

A `Spec` is frozen values only: nodes (switches) with numbered ports, links between two switch ports, hosts behind one
switch port each, which several may share. `Spec.from_json` reads the topology document in sFlow-RT's shape (plus our
`dpid`, `ofport`, `speed` and `hosts`) and `Spec.to_json` writes it; fields we do not know are kept and written back.
What is unknown in a document is None in the description (one from elsewhere need not know dpids or OpenFlow ports).
Every contradiction is a `SpecError` of one line that names the node, port, link or host at fault.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NoReturn, TypeVar

OFPORT_MAX = 0xFFFFFF00  # OFPP_MAX of OpenFlow 1.1 and later (Open vSwitch assigns up to 0xfeff)
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
DPID = re.compile(r"[0-9a-f]{16}\Z")

Item = TypeVar("Item")


class SpecError(ValueError):
    """The description contradicts itself or its document is malformed; the message names the offending thing."""


@dataclass(frozen=True)
class Port:
    """One port of a switch. `speed` is the link's rate in bits/s; `ifindex` is known only once the interface exists."""

    name: str
    ofport: int | None = None
    speed: int | None = None
    ifindex: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """One switch. `agent` is the address its sFlow datagrams carry, `dpid` its datapath id as 16 hex digits."""

    name: str
    ports: Mapping[str, Port]
    agent: str | None = None
    dpid: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def role(self) -> str | None:
        """The tag `role`: leaf, spine, edge, aggregation or core in the fabrics generated here."""
        return self.tags.get("role")


@dataclass(frozen=True)
class Link:
    """A cable between two switch ports."""

    name: str
    node1: str
    port1: str
    node2: str
    port2: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Both ends as (node, port)."""
        return (self.node1, self.port1), (self.node2, self.port2)


@dataclass(frozen=True)
class Host:
    """A host behind one switch port; `addresses` are IPv4 and IPv6, as `ipaddress` writes them.

    In the document `ipv4` is the first of its IPv4 addresses, and `addresses` the list of all, which is absent where
    it would say no more than `ipv4`: a document with one address a host is the same as before there were several.
    """

    name: str
    node: str
    port: str
    mac: str
    addresses: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ipv4(self) -> str | None:
        """Its first IPv4 address."""
        return first_ipv4(self.addresses)


@dataclass(frozen=True)
class Spec:
    """A whole network. Making one checks it: SpecError if a name is missing, used twice or out of range."""

    nodes: Mapping[str, Node]
    links: Mapping[str, Link] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_nodes(self)
        _check_attachments(self)
        _check_hosts(self)

    @classmethod
    def from_json(cls, document: object) -> Spec:
        """The description in a topology document (parsed JSON); SpecError says what is wrong with it and where."""
        fields = _Fields(document, "topology", "")
        return cls(
            nodes=fields.table("nodes", _read_node),
            links=fields.table("links", _read_link),
            hosts=fields.table("hosts", _read_host),
            extra=fields.rest(),
        )

    def to_json(self) -> dict[str, Any]:
        """The topology document; what is None here is absent there."""
        return {
            **self.extra,
            "nodes": {name: _node_json(node) for name, node in self.nodes.items()},
            "links": {
                name: {
                    "node1": link.node1,
                    "port1": link.port1,
                    "node2": link.node2,
                    "port2": link.port2,
                    **link.extra,
                }
                for name, link in self.links.items()
            },
            "hosts": {name: _host_json(host) for name, host in self.hosts.items()},
        }

    def ports(self) -> Iterator[tuple[Node, Port]]:
        """All switch ports, each with its switch."""
        for node in self.nodes.values():
            for port in node.ports.values():
                yield node, port

    def with_ifindexes(self, ifindexes: Mapping[str, int | str]) -> Spec:
        """The same network with the interface indexes of these port names filled in (names unique on one machine)."""

        def filled(node: Node) -> Node:
            known = {
                name: replace(port, ifindex=str(ifindexes[name])) if name in ifindexes else port
                for name, port in node.ports.items()
            }
            return replace(node, ports=known)

        return replace(self, nodes={name: filled(node) for name, node in self.nodes.items()})


# --- what is a host's address -----------------------------------------------------------------------------------------


def is_station(mac: str) -> bool:
    """Whether a frame can come from this MAC: not that of a group, broadcast included (IEEE 802), and not all zero."""
    return not int(mac[:2], 16) & 1 and mac != "00:00:00:00:00:00"


def is_host_address(address: IPv4Address | IPv6Address) -> bool:
    """Whether one host can have this address on a network: unicast, specified, and not of the host's inside."""
    return not (address.is_multicast or address.is_unspecified or address.is_loopback or address == _BROADCAST)


def first_ipv4(addresses: Iterable[str]) -> str | None:
    return next((address for address in addresses if ":" not in address), None)


_BROADCAST = IPv4Address("255.255.255.255")


# --- the document -----------------------------------------------------------------------------------------------------


class _Fields:
    """One JSON object while it is read: takes known fields with their type checked, and keeps the rest."""

    def __init__(self, value: object, kind: str, name: str) -> None:
        self.where = f"{kind} {name!r}" if name else kind
        if not isinstance(value, dict):
            raise SpecError(f"{self.where}: expected an object, found {_what(value)}")
        self.left = dict(value)

    def take(self, key: str, kind: type[Item]) -> Item:
        value = self.maybe(key, kind)
        if value is None:
            self.refuse(f"no {key!r}")
        return value

    def maybe(self, key: str, kind: type[Item]) -> Item | None:
        value = self.left.pop(key, None)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            self.refuse(f"{key!r} must be {_KINDS[kind]}, found {_what(value)}")
        return value

    def table(self, key: str, read: Callable[[str, object], Item]) -> dict[str, Item]:
        return {name: read(name, value) for name, value in (self.maybe(key, dict) or {}).items()}

    def texts(self, key: str) -> list[str]:
        found = self.maybe(key, list) or []
        for value in found:
            if not isinstance(value, str):
                self.refuse(f"{key!r} must hold strings, found {_what(value)}")
        return found

    def rest(self) -> dict[str, Any]:
        return self.left

    def refuse(self, why: str) -> NoReturn:
        raise SpecError(f"{self.where}: {why}")


_KINDS: dict[type, str] = {str: "a string", int: "a whole number", dict: "an object", list: "a list"}


def _what(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _read_node(name: str, value: object) -> Node:
    fields = _Fields(value, "node", name)
    return Node(
        name=name,
        agent=fields.maybe("agent", str),
        dpid=fields.maybe("dpid", str),
        tags=fields.maybe("tags", dict) or {},
        ports=fields.table("ports", lambda port, content: _read_port(name, port, content)),
        extra=fields.rest(),
    )


def _read_port(node: str, name: str, value: object) -> Port:
    fields = _Fields(value, f"node {node!r} port", name)
    ifindex = fields.left.pop("ifindex", None)
    return Port(
        name=name,
        ofport=fields.maybe("ofport", int),
        speed=fields.maybe("speed", int),
        ifindex=None if ifindex is None else str(ifindex),  # a string in the document; a number is understood
        extra=fields.rest(),
    )


def _read_link(name: str, value: object) -> Link:
    fields = _Fields(value, "link", name)
    node1, port1, node2, port2 = (fields.take(key, str) for key in ("node1", "port1", "node2", "port2"))
    return Link(name, node1, port1, node2, port2, fields.rest())


def _read_host(name: str, value: object) -> Host:
    fields = _Fields(value, "host", name)
    node, port, mac = (fields.take(key, str) for key in ("node", "port", "mac"))
    addresses = [_canonical(text) for text in fields.texts("addresses")]
    ipv4 = fields.maybe("ipv4", str)
    if ipv4 is not None:
        if ":" in ipv4 or not _is_address(ipv4):
            fields.refuse(f"ipv4 {ipv4!r} is not an IPv4 address")
        if ipv4 not in addresses:
            addresses.insert(0, ipv4)
    return Host(name, node, port, mac, tuple(addresses), fields.rest())


def _canonical(text: str) -> str:
    """An IP address as `ipaddress` writes it; anything else as it is, for the check to refuse."""
    return str(ipaddress.ip_address(text)) if _is_address(text) else text


def _node_json(node: Node) -> dict[str, Any]:
    return {
        **_known(agent=node.agent, dpid=node.dpid, tags=dict(node.tags) or None),
        "ports": {
            name: {**_known(ifindex=port.ifindex, ofport=port.ofport, speed=port.speed), **port.extra}
            for name, port in node.ports.items()
        },
        **node.extra,
    }


def _host_json(host: Host) -> dict[str, Any]:
    addresses = list(host.addresses)
    return {
        "node": host.node,
        "port": host.port,
        "mac": host.mac,
        **_known(ipv4=host.ipv4, addresses=addresses if addresses not in ([], [host.ipv4]) else None),
        **host.extra,
    }


def _known(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


# --- what must hold ---------------------------------------------------------------------------------------------------


class _Once:
    """Values that may be used once; an error names the first user."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.users: dict[object, str] = {}

    def use(self, value: object, user: str) -> None:
        self.users.setdefault(value, user)
        self.free(value, user)

    def free(self, value: object, user: str) -> None:
        """SpecError if the value is another's."""
        first = self.users.get(value, user)
        if first != user:
            raise SpecError(f"{user}: {self.what} {_shown(value)} is already that of {first}")


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _check_nodes(spec: Spec) -> None:
    dpids, data_sources = _Once("dpid"), _Once("agent and ifindex")
    for name, node in spec.nodes.items():
        where = f"node {name!r}"
        if node.dpid is not None:
            if not DPID.match(node.dpid):
                raise SpecError(f"{where}: dpid {node.dpid!r} is not 16 lower-case hex digits")
            dpids.use(node.dpid, where)
        if node.agent is not None and not _is_address(node.agent):
            raise SpecError(f"{where}: agent {node.agent!r} is not an IP address")
        ofports = _Once("ofport")
        for port in node.ports.values():
            _check_port(port, f"{where} port {port.name!r}")
            if port.ofport is not None:
                ofports.use(port.ofport, f"{where} port {port.name!r}")
            if port.ifindex is not None:
                data_sources.use((node.agent, port.ifindex), f"{where} port {port.name!r}")


def _check_port(port: Port, where: str) -> None:
    if port.ofport is not None and not 1 <= port.ofport <= OFPORT_MAX:
        raise SpecError(f"{where}: ofport {port.ofport} is not within 1..{OFPORT_MAX}")
    if port.speed is not None and port.speed <= 0:
        raise SpecError(f"{where}: speed {port.speed} is not a positive number of bits/s")
    if port.ifindex is not None and not (port.ifindex.isascii() and port.ifindex.isdigit()):
        raise SpecError(f"{where}: ifindex {port.ifindex!r} is not a number")


def _check_attachments(spec: Spec) -> None:
    """Every end of a link and every host is at a port that exists; one that ends a link has nothing else."""
    used = _Once("port")

    def attach(node: str, port: str, where: str) -> None:
        if node not in spec.nodes:
            raise SpecError(f"{where}: no node {node!r}")
        if port not in spec.nodes[node].ports:
            raise SpecError(f"{where}: node {node!r} has no port {port!r}")

    for link in spec.links.values():
        if len(set(link.ends)) == 1:
            raise SpecError(f"link {link.name!r}: both ends are port {link.port1!r} of {link.node1!r}")
        for node, port in link.ends:
            attach(node, port, f"link {link.name!r}")
            used.use((node, port), f"link {link.name!r}")
    for host in spec.hosts.values():
        attach(host.node, host.port, f"host {host.name!r}")
        used.free((host.node, host.port), f"host {host.name!r}")


def _check_hosts(spec: Spec) -> None:
    macs, addresses = _Once("mac"), _Once("address")
    for name, host in spec.hosts.items():
        where = f"host {name!r}"
        if not MAC.match(host.mac):
            raise SpecError(f"{where}: mac {host.mac!r} is not of the form 00:04:00:00:01:01")
        if not is_station(host.mac):
            raise SpecError(f"{where}: mac {host.mac!r} is not that of one station")
        macs.use(host.mac, where)
        for address in host.addresses:
            if not _is_address(address):
                raise SpecError(f"{where}: address {address!r} is not an IP address")
            if not is_host_address(ipaddress.ip_address(address)):
                raise SpecError(f"{where}: address {address!r} is not that of one host")
            addresses.use(address, where)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
