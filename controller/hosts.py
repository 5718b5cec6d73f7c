"""Hosts learnt from ARP, and ARP answered for hosts known, so that no ARP ever floods the fabric's links.

1. The sender of an ARP packet that enters at an edge port is a host behind that port.
2. A request for a host we know is answered at once, in that host's name, out of the port it came from.
3. Any other ARP packet goes to its destination if that is known, else out of every other edge port.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller import frames
from controller.commands import Emit
from controller.topology import Fabric, Host, Port

UNSPECIFIED = "0.0.0.0"  # the sender of an ARP probe (RFC 5227), which claims no address yet


def answer(fabric: Fabric, port: Port, frame: bytes) -> tuple[Fabric, list[Emit]]:
    """The fabric with what this frame teaches, and the frames it calls for; nothing for a frame that is not ARP."""
    arp = frames.read_arp(frame)
    if arp is None:
        return fabric, []
    fabric = _learn(fabric, port, arp)
    known = fabric.hosts_by_address.get(arp.target_ip)
    here = fabric.switches[port.switch].dpid
    if arp.operation == frames.REQUEST and known and (known.switch, known.port) != (port.switch, port.number):
        reply = frames.Arp(frames.REPLY, known.mac, known.ipv4, arp.sender_mac, arp.sender_ip)
        return fabric, [Emit(here, port.number, frames.write_arp(reply, arp.sender_mac))]
    if known:
        return fabric, [Emit(fabric.switches[known.switch].dpid, known.port, frame)]
    return fabric, list(_everywhere_else(fabric, port, frame))


def _learn(fabric: Fabric, port: Port, arp: frames.Arp) -> Fabric:
    if arp.sender_ip == UNSPECIFIED:
        return fabric
    known = next((host for host in fabric.hosts if host.mac == arp.sender_mac), None)
    here = (port.switch, port.number, arp.sender_ip)
    if known and (known.switch, known.port, known.ipv4) == here:
        return fabric
    name = known.name if known else arp.sender_ip
    return fabric.with_host(Host(name, arp.sender_mac, arp.sender_ip, port.switch, port.number))


def _everywhere_else(fabric: Fabric, port: Port, frame: bytes) -> Iterator[Emit]:
    if not fabric.flood:
        return
    for switch in fabric.switches.values():
        for edge in fabric.edge_ports(switch.name):
            if edge != port and (switch.name, edge.number) not in fabric.down:
                yield Emit(switch.dpid, edge.number, frame)
