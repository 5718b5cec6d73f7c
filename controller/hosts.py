"""Hosts learnt from copies of the ARP packets that enter at edge ports. The switches forward ARP by themselves.

The sender of such a packet is a host behind that port.
"""

from __future__ import annotations

from controller import frames
from controller.topology import Fabric, Host, Port

UNSPECIFIED = "0.0.0.0"  # the sender of an ARP probe (RFC 5227), which claims no address yet


def learn(fabric: Fabric, port: Port, frame: bytes) -> Fabric:
    """The fabric with what this frame teaches; the same one for a frame that is not ARP.

    A group address sends nothing (IEEE 802); as a host it would draw broadcast to its port.
    """
    sender = frames.read_arp_sender(frame)
    if sender is None:
        return fabric
    mac, address = sender
    if address == UNSPECIFIED or frames.is_group(mac):
        return fabric
    known = next((host for host in fabric.hosts if host.mac == mac), None)
    if known and (known.switch, known.port, known.ipv4) == (port.switch, port.number, address):
        return fabric
    return fabric.with_host(Host(known.name if known else address, mac, address, port.switch, port.number))
