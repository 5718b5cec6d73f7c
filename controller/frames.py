"""The few frames the controller handles: it reads ARP (RFC 826), and it writes and reads LLDP probes (IEEE 802.1AB).

Bytes in, values out; anything malformed reads as None, because what a frame contains is no programming error.

    Ethernet  | destination 6 | source 6 | type 2 | payload ...
    ARP       | 1, 0x0800, 6, 4 | operation 2 | sender MAC 6, IPv4 4 | target MAC 6, IPv4 4
    LLDP      TLVs of type 7 bits, length 9 bits: chassis id, port id, time to live, end
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from ovs_rules.rule import ETH_ARP, ETH_LLDP

LLDP_NEAREST_BRIDGE = "01:80:c2:00:00:0e"

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_FIXED = (1, 0x0800, 6, 4)
_LOCALLY_ASSIGNED = 7  # subtype of both chassis id and port id
_CHASSIS = b"howdah:"


def ethertype(frame: bytes) -> int | None:
    return struct.unpack_from("!H", frame, 12)[0] if len(frame) >= 14 else None


def read_arp_sender(frame: bytes) -> tuple[str, str] | None:
    """(MAC, IPv4 address) of the sender of an Ethernet/IPv4 ARP packet, None for anything else."""
    if ethertype(frame) != ETH_ARP or len(frame) < 14 + _ARP.size:
        return None
    *fixed, _, mac, address, _, _ = _ARP.unpack_from(frame, 14)
    return (mac.hex(":"), str(IPv4Address(address))) if tuple(fixed) == _ARP_FIXED else None


def is_group(mac: str) -> bool:
    """Whether the MAC is that of a group, broadcast included."""
    return bool(int(mac[:2], 16) & 1)


def write_probe(dpid: int, port: int, source_mac: str = "0e:00:00:00:00:01") -> bytes:
    """An LLDP frame that names the switch and port it leaves by."""
    chassis = _tlv(1, bytes([_LOCALLY_ASSIGNED]) + _CHASSIS + f"{dpid:016x}".encode())
    port_id = _tlv(2, bytes([_LOCALLY_ASSIGNED]) + str(port).encode())
    return (
        _ethernet(LLDP_NEAREST_BRIDGE, source_mac, ETH_LLDP) + chassis + port_id + _tlv(3, b"\0\x78") + _tlv(0, b"")
    ).ljust(60, b"\0")


def read_probe(frame: bytes) -> tuple[int, int] | None:
    """(dpid, port number) of a probe of ours, None for any other frame, foreign LLDP included."""
    if ethertype(frame) != ETH_LLDP:
        return None
    tlvs: dict[int, bytes] = {}
    at = 14
    while at + 2 <= len(frame):
        (head,) = struct.unpack_from("!H", frame, at)
        kind, length = head >> 9, head & 0x1FF
        if kind == 0 or at + 2 + length > len(frame):
            break
        tlvs[kind] = frame[at + 2 : at + 2 + length]
        at += 2 + length
    chassis, port = tlvs.get(1, b"")[1:], tlvs.get(2, b"")[1:]
    if not chassis.startswith(_CHASSIS):
        return None
    try:
        return int(chassis[len(_CHASSIS) :], 16), int(port)
    except ValueError:
        return None


def _ethernet(destination: str, source: str, kind: int) -> bytes:
    return _bytes(destination) + _bytes(source) + struct.pack("!H", kind)


def _tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!H", kind << 9 | len(value)) + value


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
