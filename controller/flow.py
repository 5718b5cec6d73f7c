"""Flows and what is observed of them: the values that analytics, trackers, policies and rules have in common.

Nothing here decides anything; a policy that needs a key imports no tracker for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple
from zlib import crc32

ADDRESSES = 4096  # of which the usual spelling is remembered


class FlowKey(NamedTuple):
    """A 5-tuple, IPv4 or IPv6; in text `src,dst,proto,sport,dport`. A tuple because decisions look flows up often."""

    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int

    @classmethod
    def parse(cls, text: str) -> FlowKey:
        """Raises ValueError for anything but two addresses of one version, a protocol (0-255), two ports (0-65535)."""
        source, destination, *numbers = text.split(",")
        protocol, source_port, destination_port = (int(number) for number in numbers)
        if not (0 <= protocol <= 0xFF and 0 <= source_port <= 0xFFFF and 0 <= destination_port <= 0xFFFF):
            raise ValueError(f"{text!r} is no 5-tuple: a number is out of range")
        flow = cls(_usual(source), _usual(destination), protocol, source_port, destination_port)
        if flow.is_ipv6 != (":" in flow.destination):
            raise ValueError(f"{text!r} is no 5-tuple: its addresses are of two versions")
        return flow

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.source

    @property
    def number(self) -> int:
        """32 bits that name the flow in cookies, the same in every run: so a rule found later can be adopted."""
        return crc32(str(self).encode())

    def __str__(self) -> str:
        return f"{self.source},{self.destination},{self.protocol},{self.source_port},{self.destination_port}"


@lru_cache(ADDRESSES)
def _usual(address: str) -> str:
    return str(ip_address(address))


@dataclass(frozen=True)
class FlowObservation:
    """sFlow sampled `flow` at (agent, ifIndex); its rate there was `rate` bits/s at time `at` (s since the epoch).

    `found` is set where analytics made a test: the flow has so many bits/s or more, or, if `ended`, no more.
    """

    flow: FlowKey
    agent: str
    ifindex: str
    rate: float
    at: float
    found: float | None = None
    ended: bool = False


def in_turns(seen: Iterable[FlowObservation], flows: int) -> Iterator[list[FlowObservation]]:
    """The observations of so many flows at a time, the largest flows first; those of one flow stay together and in
    order, because where it is seen counts only once it was seen to enter."""
    by_flow: dict[FlowKey, list[FlowObservation]] = {}
    for each in seen:
        by_flow.setdefault(each.flow, []).append(each)
    largest = sorted(by_flow.values(), key=lambda of_flow: -max(each.rate for each in of_flow))
    for first in range(0, len(largest), flows):
        yield [each for of_flow in largest[first : first + flows] for each in of_flow]


@dataclass
class LinkEvidence:
    """That a link carries a flow: the latest rate in bits/s, when it was first and last seen there (s, epoch)."""

    rate: float
    first: float
    last: float
