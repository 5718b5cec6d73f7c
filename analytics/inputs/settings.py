"""Where sFlow is received: settings with their defaults. Light: the command line reads it before the native core."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

SFLOW_PORT = 6343  # UDP; IANA


@dataclass(frozen=True)
class CollectorSettings:
    """Where to listen; `::` is IPv4 too. `buffer_bytes` is asked of the kernel for each socket, Collector.buffer_bytes
    says what was granted. `sources`: addresses and prefixes that may send; none means any.
    """

    host: str = "127.0.0.1"
    port: int = SFLOW_PORT
    buffer_bytes: int = 16 << 20
    sockets: int = 1
    sources: tuple[str, ...] = ()


def prefix(text: str) -> tuple[bytes, int]:
    """A CIDR prefix or an address -> (16 bytes with IPv4 as ::ffff:a.b.c.d, bits that count). ValueError: neither."""
    network = ip_network(text, strict=False)
    if network.version == 4:
        return bytes(10) + b"\xff\xff" + network.network_address.packed, 96 + network.prefixlen
    return network.network_address.packed, network.prefixlen
