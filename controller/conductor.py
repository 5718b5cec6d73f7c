"""The conductor: every input of the controller comes in here as a value, every output goes out as a value.

    switch_up, switch_down, port_changed, flow_removed ---.                          .--> Send(dpid, changes)
    packet_in ------------------------------------------- | --> fabric, elephants,  -|
    observed (events and looks of analytics) ------------ |     controls, installed  '--> Emit(dpid, port, frame)
    confirmed, refused ----------------------------------'

What each switch shall hold is derived from the fabric and the controls; what it holds is known from its own report;
the difference is sent. So a restarted switch, a restarted controller and an ordinary decision take the same way, and
no input handler builds messages of its own. No clock, no socket: `now` (s since the epoch) comes with each input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller import hosts, rules
from controller.commands import Command, Send
from controller.discovery import Discovery
from controller.elephants import Limits, Tracker
from controller.flow import FlowKey, FlowObservation
from controller.pipeline import Kind, kind_of
from controller.policy import placement, replication
from controller.policy.marking import LOWER_EFFORT, within_cap
from controller.reconcile import Change, DropGroup, DropRule, Identity, Installed, PutRule, changes
from controller.records import Ledger
from controller.rules import Control
from controller.topology import Fabric, Link, Path, Port
from ovs_rules.replication import Spec
from ovs_rules.rule import Group, Rule


@dataclass(frozen=True)
class Policy:
    """What the controller does about elephants. `cap` is rules per ingress switch; timeouts in seconds."""

    limits: Limits = field(default_factory=Limits)
    marking: bool = True
    steering: bool = True
    dscp: int = LOWER_EFFORT
    cap: int = 1000
    idle_timeout: int = 5
    hold: float = 2.0


@dataclass(frozen=True)
class Report:
    """What a switch told on connecting: its ports, which of them are up, and the entries of ours that it holds."""

    name: str | None
    ports: Mapping[int, Port]
    up: Mapping[int, bool]
    rules: tuple[Rule, ...] = ()
    groups: tuple[Group, ...] = ()


@dataclass
class Counts:
    """What happened since the start."""

    elephants: int = 0
    moves: int = 0
    refused_by_cap: int = 0
    refused_by_switch: int = 0
    adopted: int = 0


@dataclass
class Conductor:
    """The controller's state. `replications` are specs of ovs_rules/replication.py, placed wherever their hosts are."""

    policy: Policy = field(default_factory=Policy)
    fabric: Fabric = field(default_factory=lambda: Fabric({}))
    discovery: Discovery | None = None
    replications: tuple[Spec, ...] = ()

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.policy.limits)
        self.ledger = Ledger()
        self.counts = Counts()
        self.problems: list[str] = []
        self.controls: dict[FlowKey, Control] = {}
        self.installed: dict[int, Installed] = {}
        self._refusals: dict[int, dict[Identity, Rule]] = {}
        self._moved_at: dict[FlowKey, float] = {}
        self._forwarding: dict[str, tuple[list[Rule], list[Group]]] = {}

    # Switches

    def switch_up(self, dpid: int, report: Report, now: float) -> list[Command]:
        """A switch connected. One that a given topology does not know is left alone."""
        if self.discovery is not None:
            self._set_fabric(self.discovery.switch(self.fabric, dpid, report.name, report.ports, now))
        switch = self.fabric.by_dpid.get(dpid)
        if switch is None:
            return []
        self.installed[dpid] = Installed.reported(report.rules, report.groups)
        self._refusals[dpid] = {}
        for number, is_up in report.up.items():
            self._set_fabric(self.fabric.with_port(switch.name, number, is_up))
        self._adopt(switch.name, now)
        return self._sync()

    def switch_down(self, dpid: int) -> None:
        """A switch went away; what it holds is asked anew when it comes back."""
        self.installed.pop(dpid, None)

    def port_changed(self, dpid: int, number: int, is_up: bool, now: float) -> list[Command]:
        switch = self.fabric.by_dpid.get(dpid)
        if switch is None:
            return []
        return self.set_fabric(self.fabric.with_port(switch.name, number, is_up), now)

    def flow_removed(self, dpid: int, rule: Rule, now: float) -> list[Command]:
        """A rule of ours timed out. Where we still want it, its elephant has gone quiet: it ends."""
        held = self.installed[dpid].rules if dpid in self.installed else {}
        if rule.identity not in held or held[rule.identity].cookie != rule.cookie:
            return []
        del held[rule.identity]
        if found := rules.adopted(rule):
            self._end(found.flow, now)
        return self._sync()

    def confirmed(self, dpid: int, done: Iterable[Change], now: float) -> None:
        """The switch's barrier reply: these changes are in force, but for those it refused."""
        refused = self._refusals.get(dpid, {})
        for change in done:
            if isinstance(change, PutRule) and change.rule.identity not in refused:
                self._in_force(change.rule, now)

    def refused(self, dpid: int, change: Change) -> None:
        """The switch refused a change: counted, and not sent again until it differs or the switch reconnects."""
        self.counts.refused_by_switch += 1
        if isinstance(change, PutRule) and dpid in self.installed:
            self._refusals[dpid][change.rule.identity] = change.rule
            self.installed[dpid].rules.pop(change.rule.identity, None)

    def packet_in(self, dpid: int, number: int, frame: bytes, now: float) -> list[Command]:
        """ARP is answered or passed on; a probe tells discovery a link."""
        switch = self.fabric.by_dpid.get(dpid)
        port = switch.ports.get(number) if switch else None
        if port is None:
            return []
        if self.discovery is not None:
            self._set_fabric(self.discovery.probe(self.fabric, port, frame, now))
        if not self.fabric.is_edge(port):
            return self._sync()
        fabric, frames_out = hosts.answer(self.fabric, port, frame)
        self._set_fabric(fabric)
        return [*self._sync(), *frames_out]

    # Settings

    def set_fabric(self, fabric: Fabric, now: float) -> list[Command]:
        """The fabric changed; controls whose path is gone fall back to ECMP."""
        if fabric is self.fabric:
            return []
        self._set_fabric(fabric)
        return self._decide(now)

    def set_policy(self, policy: Policy, now: float) -> list[Command]:
        """Takes a new policy; marks and moves that it no longer wants are taken back from the switches."""
        self.policy = policy
        self.tracker.limits = policy.limits
        if not policy.steering:
            self.controls = {flow: replace(control, path=None) for flow, control in self.controls.items()}
        return self._decide(now)

    # Elephants

    def observed(self, observations: Iterable[FlowObservation], now: float, *, complete: bool) -> list[Command]:
        """What analytics saw. `complete` says it was a look at every port, so that silence means quiet."""
        for elephant in self.tracker.observe(self.fabric, observations):
            self.counts.elephants += 1
            self.ledger.open(elephant)
        if complete:
            for elephant in self.tracker.ended(now):
                self._end(elephant.flow, now)
        return self._decide(now)

    def resumed(self, now: float) -> None:
        """Analytics is back after a gap: give it time to see the elephants again before silence means quiet."""
        self.tracker.grace(now)

    def path_of(self, flow: FlowKey) -> Path | None:
        """Where an elephant is: where it was steered, else where samples show it."""
        control = self.controls.get(flow)
        if control is not None and control.path is not None:
            return control.path
        elephant = self.tracker.live.get(flow)
        return elephant.path(self.fabric) if elephant else None

    def elephants_on(self) -> dict[Link, list[FlowKey]]:
        """The elephants of every link that has any."""
        out: dict[Link, list[FlowKey]] = {}
        for flow in self.tracker.live:
            for link in self.path_of(flow) or ():
                out.setdefault(link, []).append(flow)
        return out

    def _decide(self, now: float) -> list[Command]:
        live = self.tracker.live
        kept, over = within_cap(live.values(), self.policy.cap)
        for flow in over:
            self.controls.pop(flow, None)
            if self.ledger.live[flow].state != "refused":
                self.ledger.live[flow].state = "refused"
                self.counts.refused_by_cap += 1
        dscp = self.policy.dscp if self.policy.marking else None
        for flow, elephant in live.items():
            if flow not in kept:
                continue
            old = self.controls.get(flow)
            path = old.path if old and old.path in elephant.paths(self.fabric) else None
            self.controls[flow] = Control(flow, elephant.entry.switch, dscp, path)
        if self.policy.steering:
            self._steer(kept, now)
        for flow, elephant in live.items():
            control = self.controls.get(flow)
            self.ledger.see(elephant, self.fabric, control.path if control else None)
        return self._sync()

    def _steer(self, flows: set[FlowKey], now: float) -> None:
        elephants = {flow: self.tracker.live[flow] for flow in flows}
        placed = {flow: path for flow in flows if (path := self.path_of(flow)) is not None}
        moves = placement.decide(self.fabric, elephants, placed, self._moved_at, now=now, hold=self.policy.hold)
        for move in moves:
            self.controls[move.flow] = replace(self.controls[move.flow], path=move.path)
            self._moved_at[move.flow] = now
            elephants[move.flow].forget(move.path)
            self.counts.moves += 1
            link = move.busiest
            reason = f"{link.source.switch}->{link.target.switch} wanted at {move.pressure:.1f} x its speed"
            self.ledger.steer(move.flow, placed[move.flow], reason)

    def _end(self, flow: FlowKey, now: float) -> None:
        self.tracker.live.pop(flow, None)
        self.controls.pop(flow, None)
        self._moved_at.pop(flow, None)
        self.ledger.close(flow, now)

    def _in_force(self, rule: Rule, now: float) -> None:
        if found := rules.adopted(rule):
            self.ledger.in_force(found.flow, now, marks=found.dscp is not None, pins=found.port is not None)

    def _adopt(self, switch: str, now: float) -> None:
        """Takes over the elephant rules that an earlier controller left on this switch, as far as flows enter here."""
        for rule in self.installed[self.fabric.switches[switch].dpid].rules.values():
            found = rules.adopted(rule)
            source = self.fabric.hosts_by_address.get(found.flow.source) if found else None
            if found is None or source is None or source.switch != switch:
                continue
            elephant = self.tracker.live.get(found.flow)
            if elephant is None:
                elephant = self.tracker.adopt(found.flow, self.fabric.switches[switch].ports[source.port], now)
                self.ledger.open(elephant, "adopted", "its rule was found on the switch")
            path = next((p for p in elephant.paths(self.fabric) if p and p[0].source.number == found.port), None)
            self.controls[found.flow] = Control(found.flow, switch, found.dscp, path)
            self._in_force(rule, now)
            self.counts.adopted += 1

    # What the switches hold

    def _set_fabric(self, fabric: Fabric) -> None:
        if fabric is not self.fabric:
            self.fabric = fabric
            self._forwarding.clear()

    def _sync(self) -> list[Command]:
        """The changes that bring every connected switch to what it shall hold, last hops before first hops."""
        expressed: dict[str, list[Rule]] = {}
        for control in self.controls.values():
            for switch, rule in rules.express(self.fabric, control, self.policy.idle_timeout).items():
                expressed.setdefault(switch, []).append(rule)
        commands: list[Command] = []
        ingresses = {control.ingress for control in self.controls.values()}
        for dpid in sorted(self.installed, key=lambda dpid: self.fabric.by_dpid[dpid].name in ingresses):
            switch = self.fabric.by_dpid[dpid].name
            forward, groups = self._forward(switch)
            refused = self._refusals[dpid]
            wanted = (*forward, *expressed.get(switch, ()))
            todo = changes(self.installed[dpid], [r for r in wanted if refused.get(r.identity) != r], groups)
            if self.discovery is not None:
                todo = [change for change in todo if not _forgets_hosts(change)]
            if todo:
                self.installed[dpid].apply(todo)
                commands.append(Send(dpid, tuple(todo)))
        return commands

    def _forward(self, switch: str) -> tuple[list[Rule], list[Group]]:
        """What the switch holds whatever elephants do: forwarding and replication, worked out once per fabric."""
        if not self._forwarding:
            self._forwarding = {name: rules.forwarding(self.fabric, name) for name in self.fabric.switches}
            self.problems = []
            for number, spec in enumerate(self.replications, 1):
                try:
                    where, copies = replication.place(self.fabric, spec, number)
                    self._forwarding[where][0].extend(copies)
                except ValueError as error:
                    self.problems.append(str(error))
        return self._forwarding[switch]


def _forgets_hosts(change: Change) -> bool:
    """A removal that discovery may not make: after a restart the hosts behind these entries are not yet learnt anew."""
    return isinstance(change, DropGroup) or (isinstance(change, DropRule) and kind_of(change.rule.cookie) == Kind.HOST)
