"""Which flows are elephants, where they enter, and which way they go: a state machine fed with sightings.

A sighting says: sFlow saw this flow at this port, at this rate. It comes from a threshold event (at once) or from the
regular look at every port's top flows (which also tells rates, ends, and what was missed while events were lost).

1. A sighting at an edge port at or above `share` of that port's speed starts an elephant; edge ports only, so that
   every flow is counted once (the semantics of sFlow-RT's fabric view).
2. A sighting at a port where a link arrives tells that the flow takes that link. Samples at a switch's ingress are
   the only reliable witness: behind a dp_hash group Open vSwitch cannot report the output port.
3. An elephant ends when its rate at the edge stayed below `release` of its threshold for `quiet` seconds. While no
   sightings come in at all (analytics away), nothing ends: the rules' idle timeouts take care of dead flows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from zlib import crc32

from controller.topology import Fabric, Host, Link, Path, Port

# After a start or a gap, analytics needs this many seconds until its rates tell who is quiet.
GRACE = 5.0
# A path is believed while one of its links was seen to carry the flow within this many seconds.
EVIDENCE_AGE = 5.0


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
        """Raises ValueError for anything but five comma-separated fields with three numbers at the end."""
        source, destination, protocol, source_port, destination_port = text.split(",")
        return cls(source, destination, int(protocol), int(source_port), int(destination_port))

    @property
    def number(self) -> int:
        """32 bits that name the flow in cookies, the same in every run: so a rule found later can be adopted."""
        return crc32(str(self).encode())

    def __str__(self) -> str:
        return f"{self.source},{self.destination},{self.protocol},{self.source_port},{self.destination_port}"


@dataclass(frozen=True)
class Sighting:
    """sFlow saw `flow` at (agent, ifIndex) with `rate` bits/s at time `at` (s since the epoch)."""

    flow: FlowKey
    agent: str
    ifindex: str
    rate: float
    at: float


@dataclass(frozen=True)
class Limits:
    """When a flow is an elephant: share of the edge port's speed to start, share of that threshold to stay, s quiet."""

    share: float = 0.10
    release: float = 0.5
    quiet: float = 2.0


@dataclass
class Witness:
    """One link seen to carry a flow: the latest rate in bits/s, when it began and when it was last seen."""

    rate: float
    since: float
    last: float


@dataclass
class Elephant:
    """A live elephant. Rates in bits/s, times in seconds since the epoch."""

    flow: FlowKey
    entry: Port
    rate: float
    detected_at: float
    last_loud: float
    seen_on: dict[Link, Witness] = field(default_factory=dict)

    def destination(self, fabric: Fabric) -> Host | None:
        return fabric.hosts_by_address.get(self.flow.destination)

    def paths(self, fabric: Fabric) -> list[Path]:
        """The equal-cost paths it could take; none while its destination is unknown or unreachable."""
        host = self.destination(fabric)
        return fabric.paths(self.entry.switch, host.switch) if host else []

    def path(self, fabric: Fabric) -> Path | None:
        """The path it is seen on, by the witnesses of the last seconds; None while nothing tells."""
        paths = self.paths(fabric)
        if len(paths) < 2:
            return paths[0] if paths else None
        newest = max((witness.last for witness in self.seen_on.values()), default=0.0)
        weight = {link: witness.rate for link, witness in self.seen_on.items() if witness.last > newest - EVIDENCE_AGE}
        best = max(paths, key=lambda path: sum(weight.get(link, 0.0) for link in path))
        return best if any(link in weight for link in best) else None

    def forget(self, path: Path) -> None:
        """Drops the witnesses of a path that it is about to be moved to, so that the next ones prove its arrival."""
        for link in path:
            self.seen_on.pop(link, None)

    def first_seen_on(self, path: Path) -> float | None:
        """When the first witness of this path saw it, None if none did yet."""
        return min((self.seen_on[link].since for link in path if link in self.seen_on), default=None)


class Tracker:
    """The live elephants, by flow."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.live: dict[FlowKey, Elephant] = {}

    def threshold(self, port: Port) -> float:
        """Bits/s from which a flow that enters at `port` is an elephant; infinite where the speed is unknown."""
        return port.speed * self.limits.share or float("inf")

    def observe(self, fabric: Fabric, sightings: Iterable[Sighting]) -> list[Elephant]:
        """Takes sightings in; returns the elephants that are new."""
        new, inside = [], []
        for sighting in sightings:
            port = fabric.port_at(sighting.agent, sighting.ifindex)
            if port is None:
                continue
            if not fabric.is_edge(port):
                inside.append((fabric.link_into[port.switch, port.number], sighting))
            elif elephant := self._at_edge(port, sighting):
                new.append(elephant)
        for link, sighting in inside:  # after the edges: one batch may bring both a flow and its way
            if sighting.flow in self.live:
                self._on_link(self.live[sighting.flow], link, sighting)
        return new

    def ended(self, now: float) -> list[Elephant]:
        """Takes out and returns the elephants that stayed quiet for long enough; call after a look at all ports."""
        over = [elephant for elephant in self.live.values() if now - elephant.last_loud > self.limits.quiet]
        for elephant in over:
            del self.live[elephant.flow]
        return over

    def adopt(self, flow: FlowKey, entry: Port, now: float) -> Elephant:
        """Takes a flow in whose rule was found on a switch; it ends like any other if nothing more is seen of it."""
        self.live[flow] = Elephant(flow, entry, 0.0, detected_at=now, last_loud=now + GRACE)
        return self.live[flow]

    def grace(self, now: float) -> None:
        """Nobody ends within the next GRACE seconds."""
        for elephant in self.live.values():
            elephant.last_loud = max(elephant.last_loud, now + GRACE)

    def _at_edge(self, port: Port, sighting: Sighting) -> Elephant | None:
        elephant = self.live.get(sighting.flow)
        if elephant is None:
            if sighting.rate < self.threshold(port):
                return None
            elephant = Elephant(sighting.flow, port, sighting.rate, detected_at=sighting.at, last_loud=sighting.at)
            self.live[sighting.flow] = elephant
            return elephant
        elephant.rate = sighting.rate
        elephant.entry = port
        if sighting.rate >= self.threshold(port) * self.limits.release:
            elephant.last_loud = max(elephant.last_loud, sighting.at)
        return None

    @staticmethod
    def _on_link(elephant: Elephant, link: Link, sighting: Sighting) -> None:
        witness = elephant.seen_on.get(link)
        if witness is None or sighting.at - witness.last > EVIDENCE_AGE:
            elephant.seen_on[link] = Witness(sighting.rate, sighting.at, sighting.at)
        else:
            witness.rate, witness.last = sighting.rate, max(witness.last, sighting.at)
