"""Marking: which elephants carry which DSCP, so that queues can put mice first.

Without `marks` every elephant gets the one code point of the settings, Lower Effort (DSCP 1, RFC 8622), made for bulk
traffic that gives way to everything else. With them the first one that fits decides, and who fits none is not marked.

When there are more elephants than rules allowed on their ingress switch, the largest keep theirs. Choosing a code point
costs the length of `marks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Literal

import msgspec

from controller.elephants import Elephant
from controller.flow import FlowKey

LOWER_EFFORT = 1
PROTOCOLS = {"tcp": 6, "udp": 17}
PREFIXES = 1024  # of which the network is remembered

CodePoint = Annotated[int, msgspec.Meta(ge=0, le=63)]
PortNumber = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Elephants that fit get this DSCP, with 0 none. What is absent fits all: addresses are prefixes or hosts, `share`
    (of the speed of the port where it enters) and `rate` (bits/s) are reached at some time; one of these two.
    """

    dscp: CodePoint
    protocol: Literal["tcp", "udp"] | None = None
    source: str | None = None
    destination: str | None = None
    source_port: PortNumber | None = None
    destination_port: PortNumber | None = None
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    rate: Annotated[float, msgspec.Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        if self.share is not None and self.rate is not None:
            raise ValueError("give 'share' or 'rate', not both")
        for name, prefix in (("source", self.source), ("destination", self.destination)):
            if prefix is not None:
                try:
                    _network(prefix)
                except ValueError:
                    raise ValueError(f"{name} {prefix!r} is neither an address nor a prefix") from None

    def fits(self, elephant: Elephant) -> bool:
        flow = elephant.flow
        reached = self.rate or (self.share or 0.0) * elephant.entry.speed
        return (
            (self.protocol is None or PROTOCOLS[self.protocol] == flow.protocol)
            and (self.source is None or ip_address(flow.source) in _network(self.source))
            and (self.destination is None or ip_address(flow.destination) in _network(self.destination))
            and self.source_port in (None, flow.source_port)
            and self.destination_port in (None, flow.destination_port)
            and elephant.peak >= reached
        )


@lru_cache(PREFIXES)
def _network(prefix: str) -> IPv4Network | IPv6Network:
    return ip_network(prefix, strict=False)


def code_point(elephant: Elephant, marks: Sequence[Mark], usual: int) -> int | None:
    """The DSCP that this elephant is to get, None to leave it as it is; `usual` where there are no marks."""
    if not marks:
        return usual
    return next((mark.dscp for mark in marks if mark.fits(elephant)), 0) or None


def within_cap(elephants: Iterable[Elephant], cap: int) -> tuple[list[FlowKey], list[FlowKey]]:
    """(those that may have a rule, those refused) of one place: kept are the `cap` largest by rate, older first."""
    flows = [e.flow for e in sorted(elephants, key=lambda elephant: (-elephant.rate, elephant.detected_at))]
    return flows[:cap], flows[cap:]
