"""UDP replication inside the switch: a spec names the receivers of copies, `rules` compiles it to flow entries.

Strategy: one action list per ingress port. The original goes to the collector first, untouched; each copy is then made
by rewriting the same packet further and sending it as it stands. Rewrites accumulate, and what the sender wrote cannot
be brought back, so copies are ordered by how much they rewrite: those on the collector itself, then remote ones. A
rewrite is emitted only where a field does not yet hold what a copy wants. A remote copy that names no port takes the
one of the last copy on the collector (the original's, if there is none).

NORMAL is the switch's own MAC table. A copy without `mac` is still addressed to the collector's MAC, so NORMAL hands
it to the collector's host, whose routing sends it on (README.md says which settings that needs); a copy with `mac`
crosses the switch directly. No switch sends a packet back where it came from unless IN_PORT says so; such a frame
must not carry the sender's MAC, or the switches on the way would learn that the sender moved. Everywhere else the
sender's MAC has to stay, because NORMAL learns from the frame as it stands.

Fragments: only the first one carries the UDP header; the others match no rule here and are forwarded as usual.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from documents import strict
from ovs_rules.rule import ETH_IPV4, PROTO_UDP, Action, Output, Rule, SetField, Value

UdpPort = Annotated[int, msgspec.Meta(ge=1, le=65535)]
SwitchPort = Annotated[int, msgspec.Meta(ge=1, le=0xFEFF)]  # above stand reserved ports (OFPP_MAX of OpenFlow 1.0)
MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")

LOST = {  # what no action brings back once an earlier copy has rewritten it
    "ipv4_src": "it keeps the sender's address, but would follow a copy that rewrites it",
    "eth_src": "it needs the sender's MAC, but would follow a copy that left where it came in",
    "eth_dst": "it needs the collector's MAC, but follows a copy with one of its own: give the collector its 'mac'",
}


@dataclass(frozen=True)
class Collector:
    """The host that the datagrams are addressed to, behind switch port `port`; LOCAL is the switch's own host.

    `mac` is needed for copies that leave where the datagram came in (it becomes the frame's source), and where a copy
    for the collector's routing follows one with a MAC of its own.
    """

    address: str
    port: SwitchPort | Literal["LOCAL"] = "LOCAL"
    mac: str | None = None

    def __post_init__(self) -> None:
        _check_address(self.address)
        _check_mac(self.mac)


@dataclass(frozen=True)
class Copy:
    """One receiver: `port` alone is a second UDP port on the collector, with `host` it is the UDP port there.

    `source` is the IPv4 source that the remote host sees: `rewrite` puts the collector's address there, `keep` leaves
    the sender's. `out` is the switch port to use; NORMAL lets the switch find it by MAC address.
    """

    port: UdpPort | None = None
    host: str | None = None
    mac: str | None = None
    source: Literal["rewrite", "keep"] = "rewrite"
    out: SwitchPort | Literal["NORMAL", "IN_PORT"] = "NORMAL"

    def __post_init__(self) -> None:
        if self.host is not None:
            _check_address(self.host)
        elif self.port is None:
            raise ValueError("a copy needs a 'port' (on the collector), a 'host', or both")
        elif (self.mac, self.source, self.out) != (None, "rewrite", "NORMAL"):
            raise ValueError(f"copy to {self}: 'mac', 'source' and 'out' belong to copies with a 'host'")
        _check_mac(self.mac)
        if self.out != "NORMAL" and not self.mac:
            raise ValueError(f"copy to {self} names its port 'out', so it needs the host's 'mac' too")

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.host or "port", self.port) if part)


@dataclass(frozen=True)
class Spec:
    """Which datagrams are copied, and to which receivers.

    `ingress` names the switch ports where they enter. Left out, they may enter anywhere, and only those addressed to
    the collector are meant.
    """

    udp_port: UdpPort
    collector: Collector
    copies: tuple[Copy, ...]
    ingress: SwitchPort | tuple[SwitchPort, ...] = ()

    def __post_init__(self) -> None:
        if not self.copies:
            raise ValueError("'copies' is empty: name at least one receiver")
        if len(set(self.ingress_ports)) < len(self.ingress_ports):
            raise ValueError("'ingress' names a port twice")
        if self.collector.port in self.ingress_ports:
            raise ValueError(f"'ingress' {self.collector.port} would loop: that is the port of the collector")
        seen: set[tuple[str | None, int]] = set()
        for copy in self.copies:
            receiver = (copy.host, self.port_of(copy))
            if copy.host == self.collector.address:
                raise ValueError(f"copy to {copy} would loop: that is the collector (a 'port' alone is a copy there)")
            if receiver == (None, self.udp_port):
                raise ValueError(f"copy to {copy} would loop: that is where the original goes")
            if receiver in seen:
                raise ValueError(f"copy to {copy}: {copy.host or 'the collector'} gets port {receiver[1]} twice")
            seen.add(receiver)
        rules(self)  # what cannot be compiled is refused here

    @property
    def ingress_ports(self) -> tuple[int, ...]:
        return (self.ingress,) if isinstance(self.ingress, int) else self.ingress

    def port_of(self, copy: Copy) -> int:
        """The UDP port at which this copy arrives."""
        here = [other.port for other in self.copies if other.host is None and other.port is not None]
        return copy.port or (here[-1] if here else self.udp_port)


def read(path_or_text: str | Path) -> Spec:
    """A spec from YAML: a Path is a file, a str the text itself. Raises strict.DocumentError, one line."""
    return strict.read(path_or_text, Spec)


def rules(spec: Spec) -> tuple[Rule, ...]:
    """The flow entries, one per ingress port (one in all if none is named), with default table, priority and cookie.

    The caller that installs them sets those with dataclasses.replace; that changes nothing of what they do.
    """
    udp: tuple[tuple[str, Value], ...] = (("eth_type", ETH_IPV4), ("ip_proto", PROTO_UDP))
    if not spec.ingress_ports:
        to_collector = (*udp, ("ipv4_dst", spec.collector.address), ("udp_dst", spec.udp_port))
        return (Rule(to_collector, _actions(spec, None)),)
    return tuple(
        Rule((("in_port", port), *udp, ("udp_dst", spec.udp_port)), _actions(spec, port)) for port in spec.ingress_ports
    )


def _actions(spec: Spec, ingress: int | None) -> tuple[Action, ...]:
    actions: list[Action] = [Output(spec.collector.port)]
    now: dict[str, Value] = {"udp_dst": spec.udp_port}  # what the header holds; absent: what the sender wrote, unknown
    if spec.collector.mac:
        now["eth_dst"] = spec.collector.mac.lower()
    for copy in _ordered(spec, ingress):
        for field, value in _wanted(spec, copy, ingress).items():
            if value is None and field in now:
                raise ValueError(f"copy to {copy} cannot be made: {LOST[field]}")
            if value is not None and now.get(field) != value:
                actions.append(SetField(field, value))
                now[field] = value
        if copy.host is None:
            actions.append(Output("NORMAL" if spec.collector.port == "LOCAL" else spec.collector.port))
        else:
            actions.append(Output("IN_PORT" if _goes_back(copy, ingress) else copy.out))
    return tuple(actions)


def _goes_back(copy: Copy, ingress: int | None) -> bool:
    return copy.out in ("IN_PORT", ingress)


def _ordered(spec: Spec, ingress: int | None) -> list[Copy]:
    """The copies in the order in which their rewrites may accumulate; equals stay in the order of the spec."""
    return sorted(
        spec.copies,
        key=lambda copy: (bool(copy.host), _goes_back(copy, ingress), copy.source == "rewrite", bool(copy.mac)),
    )


def _wanted(spec: Spec, copy: Copy, ingress: int | None) -> dict[str, Value | None]:
    """What a copy's header must hold, in the order it is written; None is what the sender wrote."""
    if copy.host is None:
        return {"udp_dst": copy.port}
    back = _goes_back(copy, ingress)
    if back and not spec.collector.mac:
        raise ValueError(
            f"copy to {copy} leaves where it came in, so the collector needs its 'mac' (the frame's source)"
        )
    own, theirs = (mac and mac.lower() for mac in (spec.collector.mac, copy.mac))  # as switches write them
    return {
        "ipv4_src": spec.collector.address if copy.source == "rewrite" else None,
        "ipv4_dst": copy.host,
        "eth_src": own if back else None,
        "eth_dst": theirs or own,
        "udp_dst": spec.port_of(copy),
    }


def receivers(spec: Spec) -> tuple[str, ...]:
    """What arrives where, one line per receiver, for people."""
    where = "this switch's host" if spec.collector.port == "LOCAL" else f"port {spec.collector.port}"
    lines = [f"{spec.collector.address}:{spec.udp_port} ({where}) receives the original"]
    for copy in spec.copies:
        source = f"source {spec.collector.address}" if copy.host and copy.source == "rewrite" else "the sender's source"
        route = ", routed by the collector's host" if copy.host and not copy.mac else ""
        lines.append(f"{copy.host or spec.collector.address}:{spec.port_of(copy)} receives a copy with {source}{route}")
    return tuple(lines)


def _check_address(text: str) -> None:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise ValueError(f"'{text}' is not an IPv4 address") from None
    if address.is_multicast or address.is_unspecified or address.is_loopback or int(address) == 0xFFFFFFFF:
        raise ValueError(f"'{text}' is not the address of one host")


def _check_mac(text: str | None) -> None:
    if text is None:
        return
    if not MAC.fullmatch(text):
        raise ValueError(f"'{text}' is not a MAC address such as 00:04:00:00:01:01")
    if int(text[:2], 16) & 1:
        raise ValueError(f"'{text}' is a group's MAC address, not one host's")
