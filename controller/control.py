"""The control of elephants, as a feature: each is marked where it enters, and moved off links with too little capacity.

Observations make elephants (elephants.py), policies decide about them (policy/marking.py, policy/placement.py), and
what is decided stands in one frozen Control per flow, from which the rules follow (rules.py). What happened is written
down beside it (records.py) and never read back by a decision.

A decision costs what changed: the flows of which something was observed, those that wait for a rule, and what the load
of their links makes worth a look; of the switches, those whose rules change. Another fabric or policy concerns all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.budget import Budget
from controller.elephants import Elephant, Limits, Tracker
from controller.feature import Entries, Feature
from controller.flow import FlowKey, FlowObservation
from controller.hosts import Hosts
from controller.policy.marking import LOWER_EFFORT, Mark, code_point, within_cap
from controller.records import Counts, ElephantRecords
from controller.rules import Control, adopted, express, groups
from controller.steering import Steering
from controller.topology import Fabric, Host, Path
from ovs_rules.rule import Rule

# Elephants followed per ingress switch where the cap is smaller; and of those that enter at one port so many times what
# can be there: it carries 1/share flows of that share of its speed at a time, others have just ended, and rates are
# estimates. Beyond that they are forged.
TRACKED = 2000
PER_PORT = 10


@dataclass(frozen=True)
class Policy:
    """What the controller does about elephants. `cap` is rules per ingress switch, `controls_per_second` how many of
    them may be new or moved, the largest first, whatever sFlow says; timeouts in seconds. `marks` say who gets which
    DSCP; without any all get `dscp`.
    """

    limits: Limits = field(default_factory=Limits)
    marking: bool = True
    steering: bool = True
    dscp: int = LOWER_EFFORT
    cap: int = 1000
    controls_per_second: int = 100
    idle_timeout: int = 5
    hold: float = 2.0
    marks: tuple[Mark, ...] = ()


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
        self.paths: dict[FlowKey, Path] = {}
        """Where each elephant is: where it was steered, else where samples show it; none while that is unknown."""
        self._refused: dict[FlowKey, None] = {}  # by the cap
        self._deferred: dict[FlowKey, None] = {}  # by the budget
        self._relocated: set[str] = set()  # addresses of hosts that have moved
        self._steering: Steering | None = None  # None: every elephant has to be looked at
        self._budget: Budget[str] = _budget(policy)
        self._entries: dict[str, Entries] = {}
        self._rules: dict[FlowKey, dict[str, Rule]] = {}  # of each control, by switch, as they stand in the entries
        self._entering: Counter[str] = Counter()  # controls by ingress switch
        self._changed: dict[FlowKey, None] = {}  # whose control the entries do not show yet
        self._expressed: Fabric | None = None  # for which they show the others

    @property
    def unfinished(self) -> bool:
        """Whether the latest decision left something for the next one."""
        return self._steering is not None and self._steering.unfinished

    def wanted(self, fabric: Fabric, hosts: Hosts, now: float) -> Mapping[str, Entries]:
        for flow in self._changed if fabric is self._expressed else {**self._rules, **self.controls}:
            self._express(flow, fabric)
        self._changed.clear()
        self._expressed = fabric
        return self._entries

    def _express(self, flow: FlowKey, fabric: Fabric) -> None:
        """Have the entries of switches show the control of a flow, or that it has none."""
        control = self.controls.get(flow)
        rules = express(fabric, control, self.policy.idle_timeout) if control else {}
        for switch, rule in self._rules.pop(flow, {}).items():
            if switch not in rules:
                self._entries[switch].drop(rule.identity)
        for switch, rule in rules.items():
            entries = self._entries.setdefault(switch, Entries())
            for group in groups(rule):  # of a switch at most one per port, so they stay
                entries.put_group(group)
            entries.put(rule)
        if rules:
            self._rules[flow] = rules

    def set_policy(self, policy: Policy, fabric: Fabric, hosts: Hosts, now: float) -> None:
        """Takes a new policy; marks and moves that it does not want are no longer wanted of the switches."""
        if policy.controls_per_second != self.policy.controls_per_second:
            self._budget = _budget(policy)
        self.policy = policy
        self.tracker.limits = policy.limits
        if not policy.steering:
            for control in [*self.controls.values()]:
                self._set(control.flow, replace(control, path=None))
        self._expressed = self._steering = None
        self._decide(fabric, hosts, (), now)

    def observed(
        self, fabric: Fabric, hosts: Hosts, seen: Sequence[FlowObservation], now: float, *, complete: bool
    ) -> None:
        over = self.tracker.found_ended(seen)
        seen = [each for each in seen if not each.ended and each.flow not in over]
        new, observed = self.tracker.observe(fabric, hosts, seen)
        for elephant in new:
            self.counts.elephants += 1
            self.records.open(elephant)
        self._forget_smallest(new, now)
        for flow in over:
            self._end(flow, now)
        if complete:
            for elephant in self.tracker.ended(now):
                self._end(elephant.flow, now)
            if self._steering is not None:
                self._steering.retry()
        self._decide(fabric, hosts, observed, now)

    def resumed(self, now: float) -> None:
        """Analytics is back after a gap: it gets time to see the elephants again before absence means quiet."""
        self.tracker.grace(now)

    def reconsider(self, fabric: Fabric, hosts: Hosts, now: float) -> None:
        """The fabric changed: controls whose path is gone fall back to ECMP."""
        self._decide(fabric, hosts, (), now)

    def relocated(self, fabric: Fabric, hosts: Hosts, moved: Sequence[tuple[Host | None, Host | None]]) -> None:
        for host in (host for pair in moved for host in pair if host is not None):
            self._relocated.update(host.addresses)

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
            self._set(found.flow, Control(found.flow, switch, found.dscp, path))
            self._look_at(elephant, fabric)
            self.in_force(rule, now)
            self.counts.adopted += 1

    def in_force(self, rule: Rule, now: float) -> None:
        if found := adopted(rule):
            self.records.in_force(found.flow, now, marks=found.dscp is not None, pins=found.port is not None)

    def expired(self, rule: Rule, now: float) -> None:
        """A rule that is still wanted timed out: its elephant has gone quiet, so it ends."""
        if found := adopted(rule):
            self._end(found.flow, now)

    def _decide(self, fabric: Fabric, hosts: Hosts, observed: Iterable[FlowKey], now: float) -> None:
        """Marks, refuses and steers, after something was observed of these flows."""
        live = self.tracker.live
        if self._steering is None or self._steering.fabric is not fabric:
            self._steering = Steering(fabric)
            observed = live
        elif self._relocated:
            observed = (*observed, *(flow for flow in live if flow.destination in self._relocated))
        self._relocated.clear()
        flows = {flow: live[flow] for flow in (*observed, *self._refused, *self._deferred) if flow in live}
        for elephant in flows.values():
            elephant.locate(fabric, hosts)
        self._keep_within_cap(dict.fromkeys(elephant.entry.switch for elephant in flows.values()))
        for elephant in sorted(flows.values(), key=lambda elephant: -elephant.rate):
            flow, ingress = elephant.flow, elephant.entry.switch
            old = self.controls.get(flow)
            if flow in self._refused:
                continue
            if old is None and not self._budget.take([ingress], now):
                self._defer(flow)
                continue
            self._deferred.pop(flow, None)
            path = old.path if old and old.path in elephant.paths(fabric) else None
            policy = self.policy
            dscp = code_point(elephant, policy.marks, policy.dscp) if policy.marking else None
            self._set(flow, Control(flow, ingress, dscp, path))
        for elephant in flows.values():
            self._look_at(elephant, fabric)
        if self.policy.steering:
            self._steer(self._steering, fabric, now)

    def _set(self, flow: FlowKey, control: Control | None) -> None:
        """Does this about a flow from now on."""
        old = self.controls.get(flow)
        if old == control:
            return
        for one, more in ((old, -1), (control, 1)):
            if one is not None:
                self._entering[one.ingress] += more
                self._entries.setdefault(one.ingress, Entries()).is_ingress = self._entering[one.ingress] > 0
        if control is None:
            del self.controls[flow]
        else:
            self.controls[flow] = control
        self._changed[flow] = None

    def _look_at(self, elephant: Elephant, fabric: Fabric) -> None:
        """Writes down where an elephant is."""
        flow = elephant.flow
        control, seen = self.controls.get(flow), elephant.path(fabric)
        path = control.path if control and control.path is not None else seen
        if path is None:
            self.paths.pop(flow, None)
        else:
            self.paths[flow] = path
        self.records.see(elephant, seen, control.path if control else None)
        if self._steering is not None:
            if control is None:
                self._steering.forget(flow)
            else:
                self._steering.see(elephant, path)

    def _keep_within_cap(self, switches: Iterable[str]) -> None:
        """Of the elephants that enter at each of these switches the largest may have rules."""
        for switch in switches:
            entering = self.tracker.entering[switch]
            kept, over = within_cap(entering.values(), self.policy.cap)
            for flow in kept if self._refused else ():
                self._refused.pop(flow, None)
            for flow in over:
                self._set(flow, None)
                self._deferred.pop(flow, None)
                if flow not in self._refused:
                    self._refused[flow] = None
                    self.records.live[flow].state = "refused"
                    self.counts.refused_by_cap += 1

    def _forget_smallest(self, new: Iterable[Elephant], now: float) -> None:
        """Flows that may never have existed fill no memory, and no decision gets dearer by them."""
        per_switch = max(TRACKED, self.policy.cap)
        for elephant in new:
            threshold = self.tracker.threshold(elephant.entry)
            per_port = max(PER_PORT, round(PER_PORT * elephant.entry.speed / threshold))
            for place, most in ((elephant.entry.place, per_port), (elephant.entry.switch, per_switch)):
                entering = self.tracker.entering.get(place, {})
                if len(entering) > most:
                    for flow in within_cap(entering.values(), most)[1]:
                        self._end(flow, now)
                        self.counts.untracked += 1

    def _defer(self, flow: FlowKey) -> None:
        """An elephant that waits for its ingress switch's budget; the next decision considers it again."""
        if flow not in self._deferred:
            self._deferred[flow] = None
            self.records.live[flow].state = "deferred"
            self.counts.deferred += 1

    def _steer(self, steering: Steering, fabric: Fabric, now: float) -> None:
        for move in steering.decide(now, self.policy.hold):
            flow, before = move.flow, self.paths[move.flow]
            control = replace(self.controls[flow], path=move.path)
            if not self._budget.take(express(fabric, control, self.policy.idle_timeout).keys(), now):
                steering.undo(move, before)
                continue
            self._set(flow, control)
            self.paths[flow] = move.path
            self.tracker.live[flow].forget(move.path)
            self.counts.moves += 1
            link = move.busiest
            reason = f"elephants on {link.source.switch}->{link.target.switch} want {move.pressure:.1f} x its speed"
            self.records.steer(flow, before, reason)

    def _end(self, flow: FlowKey, now: float) -> None:
        self.tracker.remove(flow)
        self._set(flow, None)
        for kept in (self._refused, self._deferred, self.paths):
            kept.pop(flow, None)
        if self._steering is not None:
            self._steering.forget(flow)
        self.records.close(flow, now)
