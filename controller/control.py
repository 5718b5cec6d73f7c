"""The control of elephants, as a feature: each is marked where it enters, and moved off links with too little capacity.

Observations make elephants (elephants.py), policies decide about them (policy/marking.py, policy/placement.py), and
what is decided stands in one frozen Control per flow, from which the rules follow (rules.py). What happened is written
down beside it (records.py) and never read back by a decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.budget import Budget
from controller.elephants import Limits, Tracker
from controller.feature import Entries, Feature
from controller.flow import FlowKey, FlowObservation
from controller.hosts import Hosts
from controller.policy import placement
from controller.policy.marking import LOWER_EFFORT, entry_port, entry_switch, within_cap
from controller.records import Counts, ElephantRecords
from controller.rules import Control, adopted, express
from controller.topology import Fabric, Path
from ovs_rules.rule import Rule

# Elephants followed per ingress switch where the cap is smaller; and of those that enter at one port so many times what
# can be there: it carries 1/share flows of that share of its speed at a time, others have just ended, and rates are
# estimates. Beyond that they are forged.
TRACKED = 2000
PER_PORT = 10


@dataclass(frozen=True)
class Policy:
    """What the controller does about elephants. `cap` is rules per ingress switch, `controls_per_second` how many of
    them may be new or moved, the largest first, whatever sFlow says; timeouts in seconds.
    """

    limits: Limits = field(default_factory=Limits)
    marking: bool = True
    steering: bool = True
    dscp: int = LOWER_EFFORT
    cap: int = 1000
    controls_per_second: int = 100
    idle_timeout: int = 5
    hold: float = 2.0


def _budget(policy: Policy) -> Budget[str]:
    return Budget(policy.controls_per_second, policy.controls_per_second)


class ElephantControl(Feature):
    """The live elephants and what is done about each; counts what happens in `counts`."""

    def __init__(self, policy: Policy, counts: Counts) -> None:
        self.policy = policy
        self.counts = counts
        self.tracker = Tracker(policy.limits)
        self.records = ElephantRecords()
        self.controls: dict[FlowKey, Control] = {}
        self._moved_at: dict[FlowKey, float] = {}
        self._budget: Budget[str] = _budget(policy)
        self._entries: dict[str, Entries] = {}
        self._expressed: Fabric | None = None  # for which the entries are right; None while the controls changed

    def wanted(self, fabric: Fabric, hosts: Hosts, now: float) -> Mapping[str, Entries]:
        if fabric is not self._expressed:
            self._express(fabric)
            self._expressed = fabric
        return self._entries

    def _express(self, fabric: Fabric) -> None:
        ingresses = {control.ingress for control in self.controls.values()}
        rules: dict[str, list[Rule]] = {switch: [] for switch in self._entries.keys() | ingresses}
        for control in self.controls.values():
            for switch, rule in express(fabric, control, self.policy.idle_timeout).items():
                rules.setdefault(switch, []).append(rule)
        for switch, found in rules.items():
            entries = self._entries.setdefault(switch, Entries())
            entries.become(found)
            entries.is_ingress = switch in ingresses

    def set_policy(self, policy: Policy, fabric: Fabric, hosts: Hosts, now: float) -> None:
        """Takes a new policy; marks and moves that it does not want are no longer wanted of the switches."""
        if policy.controls_per_second != self.policy.controls_per_second:
            self._budget = _budget(policy)
        self.policy = policy
        self.tracker.limits = policy.limits
        if not policy.steering:
            self.controls = {flow: replace(control, path=None) for flow, control in self.controls.items()}
        self._decide(fabric, hosts, now)

    def observed(
        self, fabric: Fabric, hosts: Hosts, seen: Sequence[FlowObservation], now: float, *, complete: bool
    ) -> None:
        for elephant in self.tracker.observe(fabric, seen):
            self.counts.elephants += 1
            self.records.open(elephant)
        self._forget_smallest(now)
        if complete:
            for elephant in self.tracker.ended(now):
                self._end(elephant.flow, now)
        self._decide(fabric, hosts, now)

    def resumed(self, now: float) -> None:
        """Analytics is back after a gap: it gets time to see the elephants again before absence means quiet."""
        self.tracker.grace(now)

    def reconsider(self, fabric: Fabric, hosts: Hosts, now: float) -> None:
        """The fabric changed: controls whose path is gone fall back to ECMP."""
        self._decide(fabric, hosts, now)

    def adopt(self, fabric: Fabric, hosts: Hosts, switch: str, rules: Sequence[Rule], now: float) -> None:
        """Takes over the elephant rules that an earlier controller left on this switch, as far as flows enter here."""
        for rule in rules:
            found = adopted(rule)
            source = hosts.by_address.get(found.flow.source) if found else None
            if found is None or source is None or source.switch != switch:
                continue
            elephant = self.tracker.live.get(found.flow)
            if elephant is None:
                elephant = self.tracker.adopt(found.flow, fabric.switches[switch].ports[source.port], now)
                self.records.open(elephant, "adopted", "its rule was found on the switch")
            elephant.locate(fabric, hosts)
            path = next((p for p in elephant.paths(fabric) if p and p[0].source.number == found.port), None)
            self.controls[found.flow] = Control(found.flow, switch, found.dscp, path)
            self._expressed = None
            self.in_force(rule, now)
            self.counts.adopted += 1

    def in_force(self, rule: Rule, now: float) -> None:
        if found := adopted(rule):
            self.records.in_force(found.flow, now, marks=found.dscp is not None, pins=found.port is not None)

    def expired(self, rule: Rule, now: float) -> None:
        """A rule that is still wanted timed out: its elephant has gone quiet, so it ends."""
        if found := adopted(rule):
            self._end(found.flow, now)

    def path_of(self, flow: FlowKey, fabric: Fabric) -> Path | None:
        """Where an elephant is: where it was steered, else where samples show it."""
        control = self.controls.get(flow)
        if control is not None and control.path is not None:
            return control.path
        elephant = self.tracker.live.get(flow)
        return elephant.path(fabric) if elephant else None

    def _decide(self, fabric: Fabric, hosts: Hosts, now: float) -> None:
        self._expressed = None
        live = self.tracker.live
        for elephant in live.values():
            elephant.locate(fabric, hosts)
        kept, over = within_cap(live.values(), self.policy.cap, entry_switch)
        for flow in over:
            self.controls.pop(flow, None)
            if self.records.live[flow].state != "refused":
                self.records.live[flow].state = "refused"
                self.counts.refused_by_cap += 1
        dscp = self.policy.dscp if self.policy.marking else None
        for elephant in sorted((live[flow] for flow in live if flow in kept), key=lambda elephant: -elephant.rate):
            flow, ingress = elephant.flow, elephant.entry.switch
            old = self.controls.get(flow)
            if old is None and not self._budget.take([ingress], now):
                self._defer(flow)
                continue
            path = old.path if old and old.path in elephant.paths(fabric) else None
            self.controls[flow] = Control(flow, ingress, dscp, path)
        if self.policy.steering:
            self._steer(kept & self.controls.keys(), fabric, now)
        for flow, elephant in live.items():
            control = self.controls.get(flow)
            self.records.see(elephant, fabric, control.path if control else None)

    def _forget_smallest(self, now: float) -> None:
        """Flows that may never have existed fill no memory, and no decision gets dearer by them."""
        per_port = round(PER_PORT / self.policy.limits.share)
        for place, most in ((entry_port, per_port), (entry_switch, max(TRACKED, self.policy.cap))):
            if len(self.tracker.live) > most:
                _, over = within_cap(self.tracker.live.values(), most, place)
                for flow in over:
                    self._end(flow, now)
                    self.counts.untracked += 1

    def _defer(self, flow: FlowKey) -> None:
        """An elephant that waits for its ingress switch's budget; the next decision considers it again."""
        record = self.records.live[flow]
        if record.state != "deferred":
            record.state = "deferred"
            self.counts.deferred += 1

    def _steer(self, flows: set[FlowKey], fabric: Fabric, now: float) -> None:
        elephants = {flow: self.tracker.live[flow] for flow in flows}
        placed = {flow: path for flow in flows if (path := self.path_of(flow, fabric)) is not None}
        moves = placement.decide(fabric, elephants, placed, self._moved_at, now=now, hold=self.policy.hold)
        for move in moves:
            control = replace(self.controls[move.flow], path=move.path)
            if not self._budget.take(express(fabric, control, self.policy.idle_timeout).keys(), now):
                continue
            self.controls[move.flow] = control
            self._moved_at[move.flow] = now
            elephants[move.flow].forget(move.path)
            self.counts.moves += 1
            link = move.busiest
            reason = f"elephants on {link.source.switch}->{link.target.switch} want {move.pressure:.1f} x its speed"
            self.records.steer(move.flow, placed[move.flow], reason)

    def _end(self, flow: FlowKey, now: float) -> None:
        self.tracker.live.pop(flow, None)
        self.controls.pop(flow, None)
        self._expressed = None
        self._moved_at.pop(flow, None)
        self.records.close(flow, now)
