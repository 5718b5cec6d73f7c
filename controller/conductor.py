"""The conductor: every input of the controller comes in here as a value, every output goes out as a value.

    switch_up, switch_down, port_changed, flow_removed ---.                          .--> Send(dpid, changes)
    packet_in, tick, ports_reported --------------------- | --> fabric, features,   -|
    observed (events and polls of analytics) ------------ |     installed            '--> Emit(dpid, port, frame)
    confirmed, refused, set_policy -----------------------'

What each switch shall hold is what the features want of it (feature.py), joined; what it holds is known from its own
report; the difference is sent. So a restarted switch, a restarted controller and an ordinary decision are handled
alike, and no input handler builds messages of its own. No clock, no socket: `now` (s since the epoch) comes with each
input. Readers get a frozen view (view.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller import hosts
from controller.commands import Command, Send
from controller.control import ElephantControl, Policy
from controller.discovery import Discovery
from controller.feature import Feature, Wanted
from controller.flow import FlowObservation
from controller.forwarding.l2 import Forwarding
from controller.packetins import PacketIns
from controller.pipeline import RuleKind, kind_of
from controller.reconcile import Change, DropGroup, DropRule, Identity, Installed, PutRule, changes
from controller.records import Counts
from controller.topology import Fabric, Port
from controller.view import Definitions, View
from ovs_rules.rule import Group, Rule

FROM_LINKS = (RuleKind.TREE, RuleKind.ARP_TREE, RuleKind.ARP_TRANSIT)  # rules that follow from the links alone


@dataclass(frozen=True)
class Report:
    """What a switch says on connecting: its ports, which of them are up, and the entries of ours that it holds."""

    name: str | None
    ports: Mapping[int, Port]
    up: Mapping[int, bool]
    rules: tuple[Rule, ...] = ()
    groups: tuple[Group, ...] = ()


@dataclass
class Conductor:
    """The controller's state. `more` are features beside forwarding and the control of elephants."""

    policy: Policy = field(default_factory=Policy)
    fabric: Fabric = field(default_factory=lambda: Fabric({}))
    discovery: Discovery | None = None
    more: tuple[Feature, ...] = ()

    def __post_init__(self) -> None:
        self.counts = Counts()
        self.elephants = ElephantControl(self.policy, self.counts)
        self.packet_ins = PacketIns()
        self.features: tuple[Feature, ...] = (Forwarding(), self.packet_ins, *self.more, self.elephants)
        self.installed: dict[int, Installed] = {}
        self._refusals: dict[int, dict[Identity, Rule]] = {}
        self._flows_seen: dict[tuple[str, int], int] = {}
        self._definitions: Definitions | None = None

    # Switches

    def switch_up(self, dpid: int, report: Report, now: float) -> list[Command]:
        """A switch connected. One that a given topology does not know is left alone."""
        if self.discovery is not None:
            self.fabric = self.discovery.switch(self.fabric, dpid, report.name, report.ports, now)
        switch = self.fabric.by_dpid.get(dpid)
        if switch is None:
            return []
        self.installed[dpid] = Installed.reported(report.rules, report.groups)
        self._refusals[dpid] = {}
        for number, is_up in report.up.items():
            self.fabric = self.fabric.with_port(switch.name, number, is_up)
        for feature in self.features:
            feature.adopt(self.fabric, switch.name, tuple(self.installed[dpid].rules.values()), now)
        return self._sync(now)

    def switch_down(self, dpid: int) -> None:
        """A switch went away; what it holds is asked anew when it comes back."""
        self.installed.pop(dpid, None)

    def port_changed(self, dpid: int, number: int, is_up: bool, now: float) -> list[Command]:
        switch = self.fabric.by_dpid.get(dpid)
        if switch is None:
            return []
        return self.set_fabric(self.fabric.with_port(switch.name, number, is_up), now)

    def flow_removed(self, dpid: int, rule: Rule, now: float) -> list[Command]:
        """A rule of ours timed out."""
        held = self.installed[dpid].rules if dpid in self.installed else {}
        if rule.identity not in held or held[rule.identity].cookie != rule.cookie:
            return []
        del held[rule.identity]
        for feature in self.features:
            feature.expired(rule, now)
        return self._sync(now)

    def confirmed(self, dpid: int, done: Iterable[Change], now: float) -> None:
        """The switch's barrier reply: these changes are in force, but for those it refused."""
        refused = self._refusals.get(dpid, {})
        for change in done:
            if isinstance(change, PutRule) and change.rule.identity not in refused:
                for feature in self.features:
                    feature.in_force(change.rule, now)

    def refused(self, dpid: int, change: Change) -> None:
        """The switch refused a change: counted, and not sent again until it differs or the switch reconnects."""
        self.counts.refused_by_switch += 1
        if isinstance(change, PutRule) and dpid in self.installed:
            self._refusals[dpid][change.rule.identity] = change.rule
            self.installed[dpid].rules.pop(change.rule.identity, None)

    def packet_in(self, dpid: int, number: int, frame: bytes, now: float) -> list[Command]:
        """A probe shows discovery a link. ARP at an edge port shows a host, once all links are known."""
        switch = self.fabric.by_dpid.get(dpid)
        port = switch.ports.get(number) if switch else None
        if port is None:
            return []
        if not self.packet_ins.allows(port, now):
            return self._sync(now) if self.packet_ins.mute(port, now) else []
        if self.discovery is not None:
            self.fabric = self.discovery.probe(self.fabric, port, frame, now)
        if self.fabric.flood and self.fabric.is_edge(port):
            self.fabric = hosts.learn(self.fabric, port, frame)
        return self._sync(now)

    # Time, settings, analytics

    def tick(self, now: float) -> list[Command]:
        """What time alone brings about, to be called every discovery.PROBE_PERIOD: links age and are probed."""
        if self.discovery is None:
            return self._sync(now)
        commands = self.set_fabric(self.discovery.settled(self.fabric, now), now)
        return [*commands, *self.discovery.probes(self.fabric)]

    def ports_reported(self, ports: Iterable[tuple[str, str, int, int]], now: float) -> list[Command]:
        """Analytics' names of ports: (agent, ifIndex, datapath id, OpenFlow port)."""
        return self.set_fabric(self.discovery.identify(self.fabric, ports), now) if self.discovery else []

    def set_fabric(self, fabric: Fabric, now: float) -> list[Command]:
        """The fabric changed; nothing happens if it is the one in use."""
        if fabric is self.fabric:
            return []
        self.fabric = fabric
        for feature in self.features:
            feature.reconsider(fabric, now)
        return self._sync(now)

    def set_policy(self, policy: Policy, now: float) -> list[Command]:
        """Takes a new policy; marks and moves that it no longer wants are taken back from the switches."""
        self.policy, self._definitions = policy, None
        self.elephants.set_policy(policy, self.fabric, now)
        return self._sync(now)

    def observed(self, seen: Iterable[FlowObservation], now: float, *, complete: bool) -> list[Command]:
        """What analytics observed. `complete` says it was a poll of every port, so that absence means quiet."""
        # The time of an event is by the clock of analytics, which may be ahead of ours.
        seen = tuple(each if each.at <= now else replace(each, at=now) for each in seen)
        if complete:
            self._count_flows(seen)
        for feature in self.features:
            feature.observed(self.fabric, seen, now, complete=complete)
        return self._sync(now)

    def resumed(self, now: float) -> None:
        """Analytics is back after a gap: it gets time to see the elephants again before absence means quiet."""
        self.elephants.resumed(now)

    # What others read

    def view(self) -> View:
        """Everything, as it is now."""
        elephants = self.elephants
        paths = {flow: elephants.path_of(flow, self.fabric) for flow in elephants.tracker.live}
        return View(
            policy=self.policy,
            fabric=self.fabric,
            installed={dpid: Installed(dict(held.rules), dict(held.groups)) for dpid, held in self.installed.items()},
            elephants=tuple(replace(record) for record in elephants.records.live.values()),
            ended=tuple(elephants.records.past),
            controls=dict(elephants.controls),
            paths={flow: path for flow, path in paths.items() if path is not None},
            flows_seen=self._flows_seen,
            counts=replace(self.counts),
            problems=tuple(problem for feature in self.features for problem in feature.problems()),
        )

    def definitions(self) -> Definitions:
        """What analytics has to be given; the same object while nothing of it changed."""
        if self._definitions is None or self._definitions.fabric is not self.fabric:
            edges = (port for switch in self.fabric.switches for port in self.fabric.edge_ports(switch))
            thresholds = {port.speed: self.elephants.tracker.threshold(port) for port in edges if port.speed}
            self._definitions = Definitions(self.fabric, thresholds, ports=self.discovery is not None)
        return self._definitions

    def groups(self, dpid: int) -> Collection[int]:
        """The numbers of our groups on a switch."""
        return self.installed[dpid].groups.keys() if dpid in self.installed else ()

    def unsettled(self, now: float) -> bool:
        """Whether the next samples matter: an elephant's path, or its arrival on a new one, is not yet seen."""
        return self.elephants.records.unsettled(now)

    def _count_flows(self, seen: Iterable[FlowObservation]) -> None:
        counts: dict[tuple[str, int], int] = {}
        for each in seen:
            port = self.fabric.port_at(each.agent, each.ifindex)
            if port is not None:
                counts[port.switch, port.number] = counts.get((port.switch, port.number), 0) + 1
        self._flows_seen = counts

    # What the switches hold

    def _sync(self, now: float) -> list[Command]:
        """The changes that bring every connected switch to what it shall hold, ingress switches after the others."""
        wanted = [feature.wanted(self.fabric, now) for feature in self.features]
        parts: dict[int, list[Wanted]] = {}
        for dpid in self.installed:
            name = self.fabric.by_dpid[dpid].name
            parts[dpid] = [found[name] for found in wanted if name in found]
        commands: list[Command] = []
        for dpid in sorted(parts, key=lambda dpid: any(part.is_ingress for part in parts[dpid])):
            if todo := self._changes(dpid, parts[dpid]):
                self.installed[dpid].apply(todo)
                commands.append(Send(dpid, todo))
        return commands

    def _changes(self, dpid: int, parts: Sequence[Wanted]) -> tuple[Change, ...]:
        """What one switch lacks and what it shall no longer hold, but for rules that it refused as they are."""
        refused = self._refusals[dpid]
        rules = [rule for part in parts for rule in part.rules if refused.get(rule.identity) != rule]
        todo = changes(self.installed[dpid], rules, [group for part in parts for group in part.groups])
        if self.discovery is not None:
            todo = [change for change in todo if not _is_premature(change, settled=self.fabric.flood)]
        return tuple(todo)


def _is_premature(change: Change, *, settled: bool) -> bool:
    """A removal that discovery may not make: after a restart hosts are learnt anew only when they send ARP, and links
    are found anew only when it has settled. Until then the tree found on the switches, loop-free as well, stays."""
    if isinstance(change, DropRule):
        kind = kind_of(change.rule.cookie)
        return kind == RuleKind.HOST or (kind in FROM_LINKS and not settled)
    return isinstance(change, DropGroup)
