"""Packets as flat tuples of header fields, and matches compiled for them.

A header has one integer per name of FIELDS, ABSENT where the packet has no such field; so it is hashable, and what a
switch does with it can be remembered. A match is the tuple of masks and the tuple of values; since a switch takes a
match only with the fields that it depends on (OpenFlow 1.5, 7.2.3.6), a field that a packet lacks is never compared.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from ovs_rules.rule import ETH_ARP, ETH_IPV4, ETH_IPV6, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP, RESERVED_PORTS, Value

FIELDS = (
    "in_port", "eth_dst", "eth_src", "eth_type", "vlan_vid", "vlan_pcp", "ip_proto", "ip_dscp", "ip_ecn",
    "ipv4_src", "ipv4_dst", "ipv6_src", "ipv6_dst", "ipv6_flabel", "tcp_src", "tcp_dst", "udp_src", "udp_dst",
    "icmpv4_type", "icmpv4_code", "icmpv6_type", "icmpv6_code", "ipv6_nd_target", "arp_op", "arp_spa", "arp_tpa",
    "arp_sha", "arp_tha", "metadata", "tunnel_id",
)  # fmt: skip
INDEX = {name: number for number, name in enumerate(FIELDS)}
ABSENT = -1
IN_PORT = INDEX["in_port"]
EXACT = -1  # a mask of ones only
NO_VLAN = 0  # vlan_vid of an untagged packet (OFPVID_NONE)

Header = tuple[int, ...]
Masks = tuple[tuple[int, int], ...]  # (index of the field, mask), in the order of FIELDS

# What has to be matched too, and with which values (OpenFlow 1.5, table 13).
PREREQUISITES: dict[str, tuple[str, tuple[int, ...]]] = {
    "vlan_pcp": ("vlan_vid", ()),
    **dict.fromkeys(("ip_proto", "ip_dscp", "ip_ecn"), ("eth_type", (ETH_IPV4, ETH_IPV6))),
    **dict.fromkeys(("ipv4_src", "ipv4_dst"), ("eth_type", (ETH_IPV4,))),
    **dict.fromkeys(("ipv6_src", "ipv6_dst", "ipv6_flabel"), ("eth_type", (ETH_IPV6,))),
    **dict.fromkeys(("tcp_src", "tcp_dst"), ("ip_proto", (PROTO_TCP,))),
    **dict.fromkeys(("udp_src", "udp_dst"), ("ip_proto", (PROTO_UDP,))),
    **dict.fromkeys(("icmpv4_type", "icmpv4_code"), ("ip_proto", (1,))),
    **dict.fromkeys(("icmpv6_type", "icmpv6_code"), ("ip_proto", (PROTO_ICMPV6,))),
    "ipv6_nd_target": ("icmpv6_type", (135, 136)),
    **dict.fromkeys(("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"), ("eth_type", (ETH_ARP,))),
}
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_BROADCAST = "ff:ff:ff:ff:ff:ff"


class BadMatch(ValueError):
    """A field that no switch has, or one without the fields it depends on."""


def number(value: Value) -> int:
    """A value of a rule as the integer that stands in the packet."""
    if isinstance(value, int):
        return value
    if value in RESERVED_PORTS:
        return RESERVED_PORTS[value]
    if value.count(":") == 5 and len(value) == 17:
        return int(value.replace(":", ""), 16)
    return int(ip_address(value)) if not value.isdigit() else int(value)


def header(**fields: Value) -> Header:
    """A packet with these fields; untagged unless vlan_vid is among them."""
    made = [ABSENT] * len(FIELDS)
    made[INDEX["vlan_vid"]], made[INDEX["metadata"]], made[INDEX["tunnel_id"]] = NO_VLAN, 0, 0
    for name, value in fields.items():
        made[INDEX[name]] = number(value)
    return tuple(made)


def changed(packet: Header, name: str, value: int) -> Header:
    """The packet with one field rewritten."""
    index = INDEX[name]
    return (*packet[:index], value, *packet[index + 1 :])


def compiled(match: Iterable[tuple[str, Value]]) -> tuple[Masks, tuple[int, ...]]:
    """(masks, masked values) of a match. Raises BadMatch."""
    found: dict[int, tuple[int, int]] = {}
    values = dict(match)
    for name, value in values.items():
        if name not in INDEX:
            raise BadMatch(f"the model knows no field {name}")
        needed, allowed = PREREQUISITES.get(name, (name, ()))
        if needed not in values or (allowed and values[needed] not in allowed):
            raise BadMatch(f"{name} needs a match of {needed}")
        plain, mask = _masked(value)
        found[INDEX[name]] = mask, plain & mask
    order = sorted(found)
    return tuple((index, found[index][0]) for index in order), tuple(found[index][1] for index in order)


def _masked(value: Value) -> tuple[int, int]:
    if not isinstance(value, str) or "/" not in value:
        return number(value), EXACT
    plain, mask = value.split("/")
    if mask.isdigit() and not plain.isdigit():
        return number(plain), int(ip_network(f"{plain}/{mask}", strict=False).netmask)
    return number(plain), number(mask)


# Frames: what the controller and hosts send and read


def of_frame(frame: bytes, in_port: int) -> Header:
    """The fields of a frame: Ethernet, and what our rules tell ARP and Neighbour Discovery by."""
    ends = {"eth_dst": int.from_bytes(frame[:6], "big"), "eth_src": int.from_bytes(frame[6:12], "big")}
    kind = int.from_bytes(frame[12:14], "big")
    more: dict[str, int] = {}
    if kind == ETH_ARP:
        _, _, _, _, operation, sha, spa, tha, tpa = _ARP.unpack_from(frame, 14)
        texts = {"arp_sha": sha, "arp_spa": spa, "arp_tha": tha, "arp_tpa": tpa}
        more = {"arp_op": operation, **{name: int.from_bytes(raw, "big") for name, raw in texts.items()}}
    elif kind == ETH_IPV6:
        more = {"ip_proto": frame[20], "ip_dscp": 0, "icmpv6_type": frame[54], "icmpv6_code": frame[55]}
    return header(in_port=in_port, eth_type=kind, **ends, **more)


def announcement(mac: str, address: str) -> bytes:
    """What a host sends that came up: an ARP request for its own address (RFC 5227, 3)."""
    return _arp(_BROADCAST, 1, mac, address, address)


def arp_reply(mac: str, address: str, question: bytes) -> bytes | None:
    """The host's answer to an ARP request for its address; None for any other frame."""
    if len(question) < 14 + _ARP.size or int.from_bytes(question[12:14], "big") != ETH_ARP:
        return None
    *_, operation, sender, spa, _, target = _ARP.unpack_from(question, 14)
    if operation != 1 or target != ip_address(address).packed:
        return None
    return _arp(sender.hex(":"), 2, mac, address, str(ip_address(spa)))


def _arp(destination: str, operation: int, mac: str, sender: str, target: str) -> bytes:
    raw = [bytes.fromhex(text.replace(":", "")) for text in (destination, mac)]
    ends = ip_address(sender).packed, ip_address(target).packed
    body = _ARP.pack(1, ETH_IPV4, 6, 4, operation, raw[1], ends[0], bytes(6), ends[1])
    return raw[0] + raw[1] + ETH_ARP.to_bytes(2, "big") + body
