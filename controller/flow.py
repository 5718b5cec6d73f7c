"""Flows and what is observed of them: the values that analytics, trackers, policies and rules have in common.

Nothing here decides anything; a policy that needs a key imports no tracker for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from zlib import crc32


@dataclass(frozen=True, order=True)
class FlowKey:
    """An IPv4 5-tuple, as `src,dst,proto,sport,dport` in text."""

    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int

    @classmethod
    def parse(cls, text: str) -> FlowKey:
        """Raises ValueError for anything but two IPv4 addresses, a protocol (0-255) and two ports (0-65535)."""
        source, destination, *numbers = text.split(",")
        protocol, source_port, destination_port = (int(number) for number in numbers)
        if not (0 <= protocol <= 0xFF and 0 <= source_port <= 0xFFFF and 0 <= destination_port <= 0xFFFF):
            raise ValueError(f"{text!r} is no 5-tuple: a number is out of range")
        return cls(str(IPv4Address(source)), str(IPv4Address(destination)), protocol, source_port, destination_port)

    @property
    def number(self) -> int:
        """32 bits that name the flow in cookies, the same in every run: so a rule found later can be adopted."""
        return crc32(str(self).encode())

    def __str__(self) -> str:
        return f"{self.source},{self.destination},{self.protocol},{self.source_port},{self.destination_port}"


@dataclass(frozen=True)
class FlowObservation:
    """sFlow sampled `flow` at (agent, ifIndex); its rate there was `rate` bits/s at time `at` (s since the epoch)."""

    flow: FlowKey
    agent: str
    ifindex: str
    rate: float
    at: float


@dataclass
class LinkEvidence:
    """That a link carries a flow: the latest rate in bits/s, when it was first and last seen there (s, epoch)."""

    rate: float
    first: float
    last: float
