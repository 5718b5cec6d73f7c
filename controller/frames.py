"""The few frames the controller handles: it reads ARP (RFC 826) and Neighbour Discovery (RFC 4861), asks hosts in both,
and writes and reads LLDP probes (IEEE 802.1AB).

Bytes in, values out; anything malformed reads as None, because what a frame contains is no programming error.

    Ethernet  | destination 6 | source 6 | type 2 | payload ...
    ARP       | 1, 0x0800, 6, 4 | operation 2 | sender MAC 6, IPv4 4 | target MAC 6, IPv4 4
    IPv6      | version, class, label 4 | payload length 2 | next header 1 | hop limit 1 | source 16 | destination 16
    ND        | type, code, checksum 4 | flags or 0, 4 | target 16 | options: type 1, length in 8 bytes 1, value
    LLDP      TLVs of type 7 bits, length 9 bits: chassis id, port id, time to live, ours, end
    ours      | organisation 3, subtype 1 | datapath id 8 | port 4 | round 8 | HMAC-SHA256, first 16 of 32
"""

from __future__ import annotations

import hmac
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from documents.topology import is_host_address, is_station
from ovs_rules.rule import (
    ETH_ARP,
    ETH_IPV6,
    ETH_LLDP,
    ND_ADVERTISEMENT,
    ND_SOLICITATION,
    PROTO_ICMPV6,
)

LLDP_NEAREST_BRIDGE = "01:80:c2:00:00:0e"
# The controller's own address on the wire, locally administered, and the IPv6 one made of it (RFC 4291, appendix A).
OUR_MAC = "0e:00:00:00:00:01"
OUR_IPV6 = IPv6Address("fe80::c00:ff:fe00:1")

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_FIXED = (1, 0x0800, 6, 4)
_ARP_REQUEST = 1
_ND = struct.Struct("!IHBB16s16sBBHI16s")  # IPv6 header, then ND up to its options
_IPV6 = 6 << 28
_IPV6_HEADER = 40
_HOP_LIMIT = 255  # a packet with less has crossed a router (RFC 4861, 7.1)
_LINK_LAYER_OPTION = {ND_SOLICITATION: 1, ND_ADVERTISEMENT: 2}  # source, target (RFC 4861, 4.6.1)
_LOCALLY_ASSIGNED = 7  # subtype of both chassis id and port id
_ORGANISATION = b"\x4a\x6f\x77"  # "How" with the bit for locally administered, so it is no one's (IEEE 802)
_OURS = struct.Struct("!3sBQIQ16s")


class Claim(NamedTuple):
    """What the sender of a frame says of itself: `address` is mine, and I am `mac`."""

    mac: str
    address: str


class Probe(NamedTuple):
    """What a probe of discovery says: it left switch `dpid` by `port` in that round; `code` proves who wrote it."""

    dpid: int
    port: int
    round: int
    code: bytes

    def is_by(self, key: bytes) -> bool:
        """Whether a holder of the key wrote it."""
        return hmac.compare_digest(self.code, _code(key, self.dpid, self.port, self.round))


def ethertype(frame: bytes) -> int | None:
    return struct.unpack_from("!H", frame, 12)[0] if len(frame) >= 14 else None


# Hosts


def read_claim(frame: bytes) -> Claim | None:
    """What the sender of an ARP or ND packet says of itself. None for any other frame, for one that claims no address
    (probes of RFC 5227 and RFC 4862, before the address is used), and for one that no single host can send.
    """
    kind = ethertype(frame)
    claim = _of_arp(frame) if kind == ETH_ARP else _of_nd(frame) if kind == ETH_IPV6 else None
    if claim is None or not is_station(claim[0]) or claim[0] == OUR_MAC or not is_host_address(claim[1]):
        return None
    return Claim(claim[0], str(claim[1]))


def write_question(mac: str, address: str) -> bytes:
    """A frame for this host alone that it answers if it has the address: an ARP probe, whose sender claims no address
    (RFC 5227, 2.1.1), or the neighbour solicitation that checks a known neighbour (RFC 4861, 7.3.1).
    """
    asked = ip_address(address)
    if isinstance(asked, IPv4Address):
        body = _ARP.pack(*_ARP_FIXED, _ARP_REQUEST, _bytes(OUR_MAC), bytes(4), bytes(6), asked.packed)
        return (_ethernet(mac, OUR_MAC, ETH_ARP) + body).ljust(60, b"\0")
    option = bytes([_LINK_LAYER_OPTION[ND_SOLICITATION], 1]) + _bytes(OUR_MAC)
    ends = OUR_IPV6.packed, asked.packed
    length = _ND.size - _IPV6_HEADER + len(option)
    fixed = _IPV6, length, PROTO_ICMPV6, _HOP_LIMIT, *ends, ND_SOLICITATION, 0
    draft = _ND.pack(*fixed, 0, 0, asked.packed) + option
    return _ethernet(mac, OUR_MAC, ETH_IPV6) + _ND.pack(*fixed, _icmpv6_checksum(draft), 0, asked.packed) + option


def _of_arp(frame: bytes) -> tuple[str, IPv4Address] | None:
    if len(frame) < 14 + _ARP.size:
        return None
    *fixed, _, mac, address, _, _ = _ARP.unpack_from(frame, 14)
    return (mac.hex(":"), IPv4Address(address)) if tuple(fixed) == _ARP_FIXED else None


def _of_nd(frame: bytes) -> tuple[str, IPv6Address] | None:
    """The source of a solicitation, the target of an advertisement, valid by RFC 4861, 7.1.1 and 7.1.2."""
    if len(frame) < 14 + _ND.size:
        return None
    first, length, protocol, hops, source, _, kind, code, _, _, target = _ND.unpack_from(frame, 14)
    packet = frame[14 : 14 + _IPV6_HEADER + length]
    if (first >> 28, protocol, hops, code) != (6, PROTO_ICMPV6, _HOP_LIMIT, 0) or kind not in _LINK_LAYER_OPTION:
        return None
    if not _ND.size <= len(packet) == _IPV6_HEADER + length or _icmpv6_checksum(packet) != 0:
        return None
    options = _nd_options(packet[_ND.size :])
    if options is None:
        return None
    mac = options.get(_LINK_LAYER_OPTION[kind], frame[6:12])
    return mac[:6].hex(":"), IPv6Address(source if kind == ND_SOLICITATION else target)


def _nd_options(rest: bytes) -> dict[int, bytes] | None:
    """Type -> value; None if one has no length or is cut, which makes the whole packet invalid (RFC 4861, 4.6)."""
    found = {}
    while rest:
        length = rest[1] * 8 if len(rest) > 1 else 0
        if not 0 < length <= len(rest):
            return None
        found[rest[0]] = rest[2:length]
        rest = rest[length:]
    return found


def _icmpv6_checksum(packet: bytes) -> int:
    """The checksum over the pseudo-header and ICMPv6 (RFC 8200, 8.1); 0 over a packet whose own is right."""
    body = packet[_IPV6_HEADER:]
    summed = packet[8:_IPV6_HEADER] + struct.pack("!II", len(body), PROTO_ICMPV6) + body + bytes(len(body) % 2)
    total: int = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


# Links


def write_probe(dpid: int, port: int, round_number: int, key: bytes) -> bytes:
    """An LLDP frame that names the switch and port it leaves by, signed with the key."""
    tlvs = (
        (1, bytes([_LOCALLY_ASSIGNED]) + f"howdah:{dpid:016x}".encode()),
        (2, bytes([_LOCALLY_ASSIGNED]) + str(port).encode()),
        (3, b"\0\x78"),
        (127, _OURS.pack(_ORGANISATION, 1, dpid, port, round_number, _code(key, dpid, port, round_number))),
        (0, b""),
    )
    return _ethernet(LLDP_NEAREST_BRIDGE, OUR_MAC, ETH_LLDP) + b"".join(
        struct.pack("!H", kind << 9 | len(value)) + value for kind, value in tlvs
    )


def read_probe(frame: bytes) -> Probe | None:
    """What a probe says, whoever wrote it; None for any other frame, foreign LLDP included."""
    if ethertype(frame) != ETH_LLDP:
        return None
    at = 14
    while at + 2 <= len(frame):
        (head,) = struct.unpack_from("!H", frame, at)
        kind, value = head >> 9, frame[at + 2 : at + 2 + (head & 0x1FF)]
        if kind == 127 and len(value) == _OURS.size and value[:4] == _ORGANISATION + b"\1":
            return Probe(*_OURS.unpack(value)[2:])
        if kind == 0:
            break
        at += 2 + (head & 0x1FF)
    return None


def _code(key: bytes, dpid: int, port: int, round_number: int) -> bytes:
    """HMAC (RFC 2104, section 5: half of the hash is enough)."""
    return hmac.digest(key, struct.pack("!QIQ", dpid, port, round_number), "sha256")[:16]


def _ethernet(destination: str, source: str, kind: int) -> bytes:
    return _bytes(destination) + _bytes(source) + struct.pack("!H", kind)


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
