"""Write databases in MaxMind's format (MMDB 2.0, maxmind.github.io/MaxMind-DB): a few networks, nothing shared.

A file is a binary tree of address bits (records of 24 bits: another node, nothing, or where its data is), 16 zero
bytes, the data, a marker and a map of metadata. IPv4 addresses are at ::/96.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Network, ip_network
from typing import Any

MARKER = b"\xab\xcd\xefMaxMind.com"


class Short(int):
    """A number of 16 bits; others have 32."""


class Long(int):
    """A number of 64 bits."""


def encoded(value: Any) -> bytes:
    """A value of the data section; texts, whole numbers, maps and lists."""
    if isinstance(value, str):
        return _control(2, len(value.encode())) + value.encode()
    if isinstance(value, Short):
        return _control(5, 2) + struct.pack(">H", value)
    if isinstance(value, Long):
        return _control(9, 8) + struct.pack(">Q", value)
    if isinstance(value, int):
        return _control(6, 4) + struct.pack(">I", value)
    if isinstance(value, Mapping):
        pairs = b"".join(encoded(name) + encoded(each) for name, each in value.items())
        return _control(7, len(value)) + pairs
    return _control(11, len(value)) + b"".join(map(encoded, value))


def _control(kind: int, size: int) -> bytes:
    first = min(size, 29) | (kind << 5 if kind < 8 else 0)
    return bytes([first, *([kind - 7] if kind > 7 else []), *([size - 29] if size >= 29 else [])])


def database(networks: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The file that says of each network what is given."""
    nodes: list[list[Any]] = [[None, None]]
    data = b""
    for text, value in networks.items():
        network = ip_network(text)
        bits = int(network.network_address)
        length = network.prefixlen + (96 if isinstance(network, IPv4Network) else 0)
        place = 0
        for depth in range(length):
            bit = bits >> (127 - depth) & 1
            if depth == length - 1:
                nodes[place][bit] = ("data", len(data))
            elif nodes[place][bit] is None:
                nodes.append([None, None])
                nodes[place][bit] = place = len(nodes) - 1
            else:
                place = nodes[place][bit]
        data += encoded(value)
    metadata = {
        "node_count": len(nodes),
        "record_size": Short(24),
        "ip_version": Short(6),
        "database_type": "Test",
        "languages": ["en"],
        "binary_format_major_version": Short(2),
        "binary_format_minor_version": Short(0),
        "build_epoch": Long(1),
        "description": {"en": "test"},
    }
    tree = b"".join(_record(record, len(nodes)) for node in nodes for record in node)
    return tree + bytes(16) + data + MARKER + encoded(metadata)


def _record(record: Any, count: int) -> bytes:
    number = count if record is None else record if isinstance(record, int) else count + 16 + record[1]
    return struct.pack(">I", number)[1:]
