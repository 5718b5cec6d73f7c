"""The few frames the controller reads and writes itself: ARP (RFC 826) and the LLDP probes of discovery (IEEE 802.1AB).

Bytes in, values out; anything malformed reads as None, because what a frame contains is no programming error.

    Ethernet  | destination 6 | source 6 | type 2 | payload ...
    ARP       | 1, 0x0800, 6, 4 | operation 2 | sender MAC 6, IPv4 4 | target MAC 6, IPv4 4
    LLDP      TLVs of type 7 bits, length 9 bits: chassis id, port id, time to live, end
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from ovs_rules.rule import ETH_ARP, ETH_LLDP

BROADCAST = "ff:ff:ff:ff:ff:ff"
LLDP_NEAREST_BRIDGE = "01:80:c2:00:00:0e"
REQUEST, REPLY = 1, 2

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_FIXED = (1, 0x0800, 6, 4)
_LOCALLY_ASSIGNED = 7  # subtype of both chassis id and port id
_CHASSIS = b"howdah:"


@dataclass(frozen=True)
class Arp:
    operation: int
    sender_mac: str
    sender_ip: str
    target_mac: str
    target_ip: str


def ethertype(frame: bytes) -> int | None:
    return struct.unpack_from("!H", frame, 12)[0] if len(frame) >= 14 else None


def read_arp(frame: bytes) -> Arp | None:
    """An Ethernet/IPv4 ARP packet, None for anything else."""
    if ethertype(frame) != ETH_ARP or len(frame) < 14 + _ARP.size:
        return None
    *fixed, operation, sender_mac, sender_ip, target_mac, target_ip = _ARP.unpack_from(frame, 14)
    if tuple(fixed) != _ARP_FIXED:
        return None
    return Arp(operation, _mac(sender_mac), str(IPv4Address(sender_ip)), _mac(target_mac), str(IPv4Address(target_ip)))


def write_arp(arp: Arp, destination: str) -> bytes:
    """An ARP packet in a frame to the MAC `destination`."""
    return _ethernet(destination, arp.sender_mac, ETH_ARP) + _ARP.pack(
        *_ARP_FIXED,
        arp.operation,
        _bytes(arp.sender_mac),
        IPv4Address(arp.sender_ip).packed,
        _bytes(arp.target_mac),
        IPv4Address(arp.target_ip).packed,
    )


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


def _mac(raw: bytes) -> str:
    return raw.hex(":")


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
