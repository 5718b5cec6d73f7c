"""The conductor: every input of the controller comes in here as a value, every output goes out as a value.

    switch_up, switch_down, port_changed, flow_removed ---.                          .--> Send(dpid, changes)
    packet_in, tick, ask, ports_reported ---------------- | --> fabric, hosts,      -|--> Emit(dpid, port, frame)
    observed (events and polls of analytics) ------------ |     features, ledgers    '--> Complain(kind, error)
    confirmed, refused, set_policy -----------------------'

What each switch shall hold is what the features want of it (feature.py), joined; what it holds is known from its own
report; the difference is sent. So a restarted switch, a restarted controller and an ordinary decision are handled
alike, and no input handler builds messages of its own. No clock, no socket: `now` (s since the epoch) comes with each
input. Readers get a frozen view (view.py).

An input is taken in whole before anything is read that it may change, and no method waits: a state goes over into the
next in one step, whatever else a green thread of the shell is in the middle of. An input costs what it changes: entries
are compared when a feature says that they changed, or all of a switch when it connects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller import frames
from controller.commands import Command, Complain, Emit, Send
from controller.control import ElephantControl, Policy
from controller.discovery import SETTLE, Discovery, ForeignProbe
from controller.feature import Entries, Feature
from controller.flow import FlowObservation
from controller.forwarding.l2 import Forwarding
from controller.hosts import HOST_AGE, Hosts, News
from controller.packetins import PacketIns
from controller.pipeline import RuleKind, kind_of
from controller.reconcile import Change, DropGroup, DropRule, Identity, Installed, Ledger, PutRule, changes
from controller.records import Counts
from controller.topology import Fabric, Port, Switch
from controller.view import Definitions, View
from ovs_rules.rule import Group, Rule

FROM_LINKS = (RuleKind.TREE, RuleKind.ARP_TRANSIT)  # rules that follow from the links alone


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
        self.hosts = Hosts(self.fabric.hosts)
        self.elephants = ElephantControl(self.policy, self.counts)
        self.packet_ins = PacketIns()
        self.features: tuple[Feature, ...] = (
            Forwarding(remembers=self.discovery is not None),
            self.packet_ins,
            *self.more,
            self.elephants,
        )
        self.ledgers: dict[int, Ledger] = {}
        self._wanted: list[Mapping[str, Entries]] = [{} for _ in self.features]
        self._began: float | None = None
        self._swept = self.discovery is None
        self._gathered = self.discovery is not None
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
        if self._began is None:
            self._began = now
        for number, is_up in report.up.items():
            self.fabric = self.fabric.with_port(switch.name, number, is_up)
        commands = self._tell(self.hosts.keep_within(self.fabric), now) if self.discovery is not None else []
        ledger = self.ledgers[dpid] = Ledger(Installed.reported(report.rules, report.groups))
        for feature in self.features:
            feature.adopt(self.fabric, self.hosts, switch.name, tuple(ledger.installed.rules.values()), now)
        return [*commands, *self._sync(now)]

    def switch_down(self, dpid: int) -> None:
        """A switch went away; what it holds is asked anew when it comes back."""
        self.ledgers.pop(dpid, None)

    def port_changed(self, dpid: int, port: Port, is_up: bool, now: float) -> list[Command]:
        """A port went up or down; to one that a given topology does not know nothing happens."""
        switch = self.fabric.by_dpid.get(dpid)
        if switch is None:
            return []
        if self.discovery is not None:
            return self._become(self.discovery.port(self.fabric, self.hosts, dpid, port, is_up=is_up), now)
        return self._become(self.fabric.with_port(switch.name, port.number, is_up), now)

    def flow_removed(self, dpid: int, rule: Rule, now: float) -> list[Command]:
        """A rule of ours timed out."""
        ledger = self.ledgers.get(dpid)
        held = ledger.installed.rules.get(rule.identity) if ledger else None
        if ledger is None or held is None or held.cookie != rule.cookie:
            return []
        del ledger.installed.rules[rule.identity]
        ledger.look_at([rule.identity])
        for feature in self.features:
            feature.expired(rule, now)
        return self._sync(now)

    def confirmed(self, dpid: int, done: Iterable[Change], now: float) -> None:
        """The switch's barrier reply: these changes are in force, but for those it refused."""
        refused = self.ledgers[dpid].refused if dpid in self.ledgers else {}
        for change in done:
            if isinstance(change, PutRule) and change.rule.identity not in refused:
                for feature in self.features:
                    feature.in_force(change.rule, now)

    def refused(self, dpid: int, change: Change) -> None:
        """The switch refused a change: counted, and not sent again until it differs or the switch reconnects."""
        self.counts.refused_by_switch += 1
        if isinstance(change, PutRule) and dpid in self.ledgers:
            self.ledgers[dpid].refused[change.rule.identity] = change.rule
            self.ledgers[dpid].installed.rules.pop(change.rule.identity, None)

    def packet_in(self, dpid: int, number: int, frame: bytes, now: float) -> list[Command]:
        """A probe shows discovery a link. ARP or ND at an edge port shows a host, once all links are known."""
        switch = self.fabric.by_dpid.get(dpid)
        port = switch.ports.get(number) if switch else None
        if port is None:
            return []
        if not self.packet_ins.allows(port, now):
            return self._sync(now) if self.packet_ins.mute(port, now) else []
        if claim := frames.read_claim(frame):
            if not self.fabric.is_edge(port):
                return []
            place = port.switch, port.number
            learn = self.fabric.flood and place not in self.fabric.doubtful
            return self._tell(self.hosts.heard(claim, place, self.fabric.down, learn=learn), now)
        if self.discovery is None:
            return []
        try:
            return self._become(self.discovery.probe(self.fabric, self.hosts, port, frame), now)
        except ForeignProbe as error:
            return [Complain("discovery probe", error)]

    # Time, settings, analytics

    def tick(self, now: float) -> list[Command]:
        """What time alone brings about, to be called every discovery.PROBE_PERIOD: links age and are probed."""
        if self.discovery is None:
            return self._sync(now)
        if not self._swept and self._began is not None and now - self._began >= HOST_AGE:
            self._swept = True
            self._look_at_all()
        commands = self._become(self.discovery.settled(self.fabric, self.hosts, self.ledgers, now), now)
        commands += self._tell(self.hosts.doubt(self.fabric.doubtful), now)
        return [*commands, *self._sync(now), *self.discovery.probes(self.fabric)]

    def ask(self, now: float) -> list[Command]:
        """Questions to hosts, to be called every hosts.ASK_PERIOD: asked again, decided, or begun by age."""
        return self._tell(self.hosts.due(self.packet_ins.muted()), now)

    def ports_reported(self, ports: Iterable[tuple[str, str, int, int]], now: float) -> list[Command]:
        """Analytics' names of ports: (agent, ifIndex, datapath id, OpenFlow port)."""
        rows = tuple(ports)  # whoever makes them may wait for analytics, and the fabric change meanwhile
        return self._become(self.discovery.identify(self.fabric, rows), now) if self.discovery else []

    def set_policy(self, policy: Policy, now: float) -> list[Command]:
        """Takes a new policy; marks and moves that it no longer wants are taken back from the switches."""
        self.policy, self._definitions = policy, None
        self.elephants.set_policy(policy, self.fabric, self.hosts, now)
        return self._sync(now)

    def observed(self, seen: Iterable[FlowObservation], now: float, *, complete: bool) -> list[Command]:
        """What analytics observed. `complete` says it was a poll of every port, so that absence means quiet."""
        # The time of an event is by the clock of analytics, which may be ahead of ours.
        seen = tuple(each if each.at <= now else replace(each, at=now) for each in seen)
        if complete:
            self._count_flows(seen)
        for feature in self.features:
            feature.observed(self.fabric, self.hosts, seen, now, complete=complete)
        return self._sync(now)

    def resumed(self, now: float) -> None:
        """Analytics is back after a gap: it gets time to see the elephants again before absence means quiet."""
        self.elephants.resumed(now)

    # What others read

    def view(self) -> View:
        """Everything, as it is now."""
        elephants = self.elephants
        return View(
            policy=self.policy,
            fabric=self.fabric,
            hosts=tuple(self.hosts),
            installed={dpid: ledger.installed.copy() for dpid, ledger in self.ledgers.items()},
            elephants=tuple(replace(record) for record in elephants.records.live.values()),
            ended=tuple(elephants.records.past),
            controls=dict(elephants.controls),
            paths=dict(elephants.paths),
            flows_seen=self._flows_seen,
            counts=replace(self.counts),
            problems=tuple(self._problems()),
        )

    def definitions(self) -> Definitions:
        """What analytics has to be given; the same object while nothing of it changed."""
        if self._definitions is None or self._definitions.fabric is not self.fabric:
            edges = (port for switch in self.fabric.switches for port in self.fabric.edge_ports(switch))
            thresholds = {port.speed: self.elephants.tracker.threshold(port) for port in edges if port.speed}
            self._definitions = Definitions(
                self.fabric,
                thresholds,
                self.policy.limits.release,
                self.fabric.most_switches,
                ports=self.discovery is not None,
            )
        return self._definitions

    def groups(self, dpid: int) -> Collection[int]:
        """The numbers of our groups on a switch."""
        return self.ledgers[dpid].installed.groups.keys() if dpid in self.ledgers else ()

    def wanted(self, switch: str) -> dict[Identity, Rule]:
        """The rules that a switch shall hold."""
        parts = [wanted[switch] for wanted in self._wanted if switch in wanted]
        return {identity: rule for part in reversed(parts) for identity, rule in part.rules.items()}

    def unsettled(self, now: float) -> bool:
        """Whether to look again soon: there was no time to place all, or, where no tests tell of it, an elephant's
        path or its arrival on a new one is not yet seen."""
        tested = self.elephants.tracker.tested
        return self.elephants.unfinished or (not tested and self.elephants.records.unsettled(now))

    def rely_on_tests(self, made: bool) -> None:
        """Whether analytics makes tests, whose events say which flows are elephants, and where."""
        self.elephants.tracker.tested = made

    def _count_flows(self, seen: Iterable[FlowObservation]) -> None:
        counts: dict[tuple[str, int], int] = {}
        for each in seen:
            port = self.fabric.port_at(each.agent, each.ifindex)
            if port is not None:
                counts[port.switch, port.number] = counts.get((port.switch, port.number), 0) + 1
        self._flows_seen = counts

    def _problems(self) -> Iterator[str]:
        for feature in self.features:
            yield from feature.problems()
        yield from self.hosts.problems()
        for name, number in sorted(self.fabric.doubtful):
            yield f"{name} port {number} may lead to another port of the fabric: no broadcast goes there"
        if self.discovery is not None:
            for switch in sorted({link.source.switch for link in self.fabric.links}):
                if self.fabric.switches[switch].dpid not in self.ledgers:
                    yield f"{switch} is not connected: its links are taken to be as they were"

    # State, changed

    def _become(self, fabric: Fabric, now: float) -> list[Command]:
        """The fabric changed; nothing happens if it is the one in use."""
        if fabric is self.fabric:
            return []
        if fabric.flood and not self.fabric.flood:
            self._look_at_all()
        self.fabric = fabric
        for feature in self.features:
            feature.reconsider(fabric, self.hosts, now)
        return self._sync(now)

    def _tell(self, news: News, now: float) -> list[Command]:
        """Makes known what hosts did: to hosts that are asked, to features, to switches, to the operator."""
        commands: list[Command] = [
            Emit(self.fabric.switches[switch].dpid, number, frames.write_question(mac, address))
            for (switch, number), mac, address in news.questions
        ]
        commands += [Complain("host claim", PermissionError(text)) for text in news.refused]
        commands += [Complain("host table", OverflowError(text)) for text in news.crowded]
        self.counts.claims_refused += len(news.refused)
        self.counts.hosts_refused += len(news.crowded)
        if not news.moved:
            return commands
        for feature in self.features:
            feature.relocated(self.fabric, self.hosts, news.moved)
        return [*commands, *self._sync(now)]

    # What the switches hold

    def _look_at_all(self) -> None:
        for ledger in self.ledgers.values():
            ledger.due = None

    def _sync(self, now: float) -> list[Command]:
        """The changes that bring every connected switch to what it shall hold, ingress switches after the others."""
        self._gathered = self._gathered or self._is_gathered(now)
        commands: list[Command] = []
        for number, feature in enumerate(self.features):
            try:
                self._wanted[number] = feature.wanted(self.fabric, self.hosts, now)
            except Exception as error:  # what one feature cannot say must not keep from switches what others want
                commands.append(Complain(f"feature {type(feature).__name__}", error))
        self._gather()
        due = (dpid for dpid, ledger in self.ledgers.items() if ledger.due != {} and not self._keeps(ledger))
        parts = {dpid: self._parts(self.fabric.by_dpid[dpid]) for dpid in due}
        for dpid in sorted(parts, key=lambda dpid: any(part.is_ingress for part in parts[dpid])):
            ledger = self.ledgers[dpid]
            todo = self._changes(ledger, parts[dpid])
            ledger.due = {}
            if todo:
                ledger.installed.apply(todo)
                commands.append(Send(dpid, todo))
        return commands

    def _is_gathered(self, now: float) -> bool:
        """Whether all switches of a given topology have connected since the start, or had the time to."""
        is_late = self._began is not None and now - self._began >= SETTLE
        return is_late or self.fabric.by_dpid.keys() <= self.ledgers.keys()

    def _keeps(self, ledger: Ledger) -> bool:
        """Whether a switch stays as an earlier controller left it. Which links are down is not known before both ends
        have said so; until all switches are gathered, what works is not exchanged for what may not."""
        return not self._gathered and ledger.due is None and bool(ledger.installed.rules)

    def _gather(self) -> None:
        """Writes down for every connected switch which entries the features changed."""
        for wanted in self._wanted:
            for name, entries in wanted.items():
                if entries.changed:
                    switch = self.fabric.switches.get(name)
                    if switch and (ledger := self.ledgers.get(switch.dpid)):
                        ledger.look_at(entries.changed)
                    entries.changed.clear()

    def _parts(self, switch: Switch) -> list[Entries]:
        return [wanted[switch.name] for wanted in self._wanted if switch.name in wanted]

    def _changes(self, ledger: Ledger, parts: Sequence[Entries]) -> tuple[Change, ...]:
        """What one switch lacks and what it shall no longer hold, but for rules that it refused as they are."""
        held, is_whole = ledger.installed, ledger.due is None
        looked_at: dict[Identity | int, None] = {}
        if ledger.due is not None:
            looked_at = ledger.due
        else:
            for rules_and_groups in (*((part.rules, part.groups) for part in parts), (held.rules, held.groups)):
                for entries in rules_and_groups:
                    looked_at.update(dict.fromkeys(entries))
        rules: dict[Identity, Rule | None] = {}
        groups: dict[int, Group | None] = {}
        for key in looked_at:
            if isinstance(key, int):
                groups[key] = next((part.groups[key] for part in parts if key in part.groups), None)
            else:
                rule = next((part.rules[key] for part in parts if key in part.rules), None)
                rules[key] = None if rule is not None and ledger.refused.get(key) == rule else rule
        todo = changes(held, rules, groups)
        return tuple(change for change in todo if not self._is_premature(change, is_whole=is_whole))

    def _is_premature(self, change: Change, *, is_whole: bool) -> bool:
        """A removal that discovery may not make yet. After a restart hosts are learnt anew only when they speak, so
        what an earlier controller left for them, which shows when a whole switch is compared, stays for HOST_AGE. Links
        are found anew only when it has settled; until then the tree found on the switches, loop-free as well, stays.
        """
        if isinstance(change, DropRule):
            kind = kind_of(change.rule.cookie)
            if kind in FROM_LINKS:
                return self.discovery is not None and not self.fabric.flood
            return kind in (RuleKind.HOST, RuleKind.BLOCK) and is_whole and not self._swept
        return isinstance(change, DropGroup) and not self._swept
