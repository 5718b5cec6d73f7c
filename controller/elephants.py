"""Which flows are elephants, where they enter, and which path they take: a state machine fed with observations.

An observation says that sFlow sampled this flow at this port, at this rate. It comes from a threshold event (at once)
or from the regular poll of every port's top flows (which also gives rates, ends, and what was missed while events were
lost). Where analytics makes tests of all samples of a flow, they decide, and polls only measure.

1. An observation at an edge port at or above `share` of that port's speed starts an elephant; edge ports only, so that
   every flow is counted once (the semantics of sFlow-RT's fabric view). One that a test found starts also if the edge
   port is none of those that have sampled it yet: where its source is says where it enters.
2. An observation at a port where a link arrives is evidence that the flow takes that link. Samples at a switch's
   ingress are the only reliable evidence: behind a dp_hash group Open vSwitch cannot report the output port.
3. An elephant ends when its rate at the edge stayed below `release` of its threshold for `quiet` seconds. While no
   observations come in at all (analytics away), nothing ends: the rules' idle timeouts take care of dead flows.
   A test says so itself; that its event was lost shows when the flow is quiet for GRACE seconds more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from controller.flow import FlowKey, FlowObservation, LinkEvidence
from controller.hosts import Hosts
from controller.topology import Fabric, Link, Path, Place, Port

# After a start or a gap, analytics needs this many seconds until its rates show which flows are quiet.
GRACE = 5.0
# A path is believed while one of its links was seen to carry the flow within this many seconds.
EVIDENCE_AGE = 5.0


@dataclass(frozen=True)
class Limits:
    """When a flow is an elephant: share of the edge port's speed to start, share of that threshold to stay, s quiet.

    `rate` in bits/s takes the place of `share` where it is given.
    """

    share: float = 0.10
    release: float = 0.5
    quiet: float = 2.0
    rate: float | None = None

    def threshold(self, speed: float) -> float:
        """Bits/s from which a flow that enters at a port of this speed is an elephant; infinite if that is unknown."""
        return self.rate or speed * self.share or float("inf")


@dataclass
class Elephant:
    """A live elephant. Rates in bits/s, times in seconds since the epoch.

    It comes in at the edge port `entry` and leaves by `exit`, behind which its destination is; None if that is unknown.
    `peak` is its highest rate so far.
    """

    flow: FlowKey
    entry: Port
    rate: float
    detected_at: float
    last_above_release: float
    exit: Port | None = None
    peak: float = 0.0
    evidence: dict[Link, LinkEvidence] = field(default_factory=dict)

    def locate(self, fabric: Fabric, hosts: Hosts) -> None:
        """Finds the port by which it leaves, where its destination is now."""
        host = hosts.by_address.get(self.flow.destination)
        self.exit = fabric.switches[host.switch].ports[host.port] if host else None

    def paths(self, fabric: Fabric) -> list[Path]:
        """The equal-cost paths it could take; none while its destination is unknown or unreachable."""
        return fabric.paths(self.entry.switch, self.exit.switch) if self.exit else []

    def path(self, fabric: Fabric) -> Path | None:
        """The path it is seen on, by the evidence of the last seconds; None without any."""
        paths = self.paths(fabric)
        if len(paths) < 2:
            return paths[0] if paths else None
        newest = max((seen.last for seen in self.evidence.values()), default=0.0)
        weight = {link: seen.rate for link, seen in self.evidence.items() if seen.last > newest - EVIDENCE_AGE}
        best = max(paths, key=lambda path: sum(weight.get(link, 0.0) for link in path))
        return best if any(link in weight for link in best) else None

    def forget(self, path: Path) -> None:
        """Drops the evidence for a path that it is about to be moved to, so that what follows proves its arrival."""
        for link in path:
            self.evidence.pop(link, None)

    def first_seen_on(self, path: Path) -> float | None:
        """When it was first seen on a link of this path, None if it was not yet."""
        return min((self.evidence[link].first for link in path if link in self.evidence), default=None)


class Tracker:
    """The live elephants: by flow, by the switch where they enter (its name), and by the port."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.tested = False  # analytics makes tests: what polls measure starts no elephant
        self.live: dict[FlowKey, Elephant] = {}
        self.entering: dict[str | Place, dict[FlowKey, Elephant]] = {}

    def threshold(self, port: Port) -> float:
        """Bits/s from which a flow that enters at `port` is an elephant; infinite where that is unknown."""
        return self.limits.threshold(port.speed)

    def observe(
        self, fabric: Fabric, hosts: Hosts, observations: Iterable[FlowObservation]
    ) -> tuple[list[Elephant], dict[FlowKey, None]]:
        """Takes observations in; returns the elephants that are new, and all of which something was observed."""
        new, inside = [], []
        observed: dict[FlowKey, None] = {}
        for observation in observations:
            port = fabric.port_at(observation.agent, observation.ifindex)
            if port is None:
                continue
            if not fabric.is_edge(port):
                inside.append((fabric.link_into[port.switch, port.number], observation))
            else:
                if elephant := self._at_edge(port, observation):
                    new.append(elephant)
                if observation.flow in self.live:
                    observed[observation.flow] = None
        for link, observation in inside:  # after the edges: one batch may bring both a flow and its path
            if observation.found is not None and observation.flow not in self.live:
                host = hosts.by_address.get(observation.flow.source)
                entry = fabric.switches[host.switch].ports[host.port] if host else None
                if entry is not None and (elephant := self._at_edge(entry, observation)):
                    new.append(elephant)
            if observation.flow in self.live:
                self._on_link(self.live[observation.flow], link, observation)
                observed[observation.flow] = None
        return new, observed

    def found_ended(self, observations: Iterable[FlowObservation]) -> list[FlowKey]:
        """The live elephants of which a test says, after all else it says here, that they have ended."""
        latest = {each.flow: each for each in observations if each.found is not None}
        return [
            flow
            for flow, each in latest.items()
            if each.ended and flow in self.live and (each.found or 0.0) <= self.threshold(self.live[flow].entry)
        ]

    def ended(self, now: float) -> list[Elephant]:
        """Takes out and returns the elephants that stayed quiet for long enough; call after a poll of all ports."""
        quiet = self.limits.quiet + (GRACE if self.tested else 0.0)
        over = [elephant for elephant in self.live.values() if now - elephant.last_above_release > quiet]
        for elephant in over:
            self.remove(elephant.flow)
        return over

    def remove(self, flow: FlowKey) -> None:
        """Takes a flow out, if it is there."""
        elephant = self.live.pop(flow, None)
        if elephant is not None:
            self._leave(elephant)

    def adopt(self, flow: FlowKey, entry: Port, now: float) -> Elephant:
        """Takes a flow in whose rule was found on a switch; it ends like any other if nothing more is seen of it."""
        elephant = Elephant(flow, entry, 0.0, detected_at=now, last_above_release=now + GRACE)
        self._enter(elephant)
        return elephant

    def grace(self, now: float) -> None:
        """No elephant ends within the next GRACE seconds."""
        for elephant in self.live.values():
            elephant.last_above_release = max(elephant.last_above_release, now + GRACE)

    def _at_edge(self, port: Port, seen: FlowObservation) -> Elephant | None:
        elephant = self.live.get(seen.flow)
        if elephant is None:
            if self.tested and seen.found is None:
                return None
            if (seen.rate if seen.found is None else seen.found) < self.threshold(port):
                return None
            elephant = Elephant(seen.flow, port, seen.rate, detected_at=seen.at, last_above_release=seen.at)
            elephant.peak = seen.rate
            self._enter(elephant)
            return elephant
        elephant.rate = seen.rate
        elephant.peak = max(elephant.peak, seen.rate)
        if elephant.entry is not port:
            self._leave(elephant)
            elephant.entry = port
            self._enter(elephant)
        if seen.rate >= self.threshold(port) * self.limits.release:
            elephant.last_above_release = max(elephant.last_above_release, seen.at)
        return None

    def _enter(self, elephant: Elephant) -> None:
        self.live[elephant.flow] = elephant
        for place in (elephant.entry.switch, elephant.entry.place):
            self.entering.setdefault(place, {})[elephant.flow] = elephant

    def _leave(self, elephant: Elephant) -> None:
        for place in (elephant.entry.switch, elephant.entry.place):
            del self.entering[place][elephant.flow]
            if not self.entering[place]:
                del self.entering[place]

    @staticmethod
    def _on_link(elephant: Elephant, link: Link, seen: FlowObservation) -> None:
        before = elephant.evidence.get(link)
        if before is None or seen.at - before.last > EVIDENCE_AGE:
            elephant.evidence[link] = LinkEvidence(seen.rate, seen.at, seen.at)
        else:
            before.rate, before.last = seen.rate, max(before.last, seen.at)
