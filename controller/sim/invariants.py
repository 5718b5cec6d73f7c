"""What has to hold, of the model world and not of what the controller believes.

Entries that are not ours stand as their owner put them, groups choose no port that is dead, rules of elephants that
ended are gone after ENDED_S, and new rules keep to their budget: always. While the world is settled every packet of
every pair of hosts and of every elephant arrives once, whatever select groups choose, and broadcast everywhere once:
after every single message. Restarts of the controller and of analytics, broken connections, elephants and policies
unsettle nothing; a cable or a switch that fails or comes back does, and a host that moves. Even then no packet is lost
by the repair that the failure of a cable had left alone, and none goes round for longer than LOOP_S.

Settled it has to be SETTLE_S after the last failure, once all switches are connected: switches then hold what the
controller believes and wants and nothing else of ours, all is confirmed, elephants are marked and within their cap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from controller.pipeline import RuleKind, kind_of
from controller.rules import adopted
from controller.topology import Host
from ovs_rules.rule import Rule

if TYPE_CHECKING:
    from controller.reconcile import Ledger
    from controller.sim.packet import Header
    from controller.sim.process import Process
    from controller.sim.simulation import Simulation
    from controller.sim.switch import Switch

OURS = 0x486F77  # the upper 24 bits of our cookies
OUR_GROUPS = (0x48, 0x49)  # the upper 8 of our groups' numbers
SETTLE_S = {False: 20.0, True: 60.0}  # with a topology file, and with discovery
CALM_S = 120.0  # after trouble
ENDED_S = 20.0
MARKED_S = 15.0
# A packet may go round for so long after all switches are connected: news and changes may take a second each; and with
# discovery, a tree that an earlier controller left, and a switch that missed its end, stay until the links are known.
LOOP_S = {False: 3.0, True: 15.0}
CAUGHT_UP_S = 12.0  # after a switch connects: it gets what was decided while it was away
STILL_S = 3.0  # after a failure, before the world counts as settled: news of it may be under way


class Violation(Exception):
    """Something does not hold; one line."""


class Invariants:
    """The checks and what they remember."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.is_settled = False
        self.disturbed_at = 0.0
        self.must_settle_by = float("inf")
        self._unharmed: dict[tuple[str, str], tuple[Host, Host]] = {}
        self._loop: str | None = None
        self._loop_since = 0.0
        self.longest_loop_s = 0.0
        self._healthy_since: float | None = None
        self._wrong = ""
        self._wrong_since = 0.0
        self._checked: dict[str, int] = {}
        self._known: dict[tuple[Process, str], set[Any]] = {}
        self._reported_at: dict[str, float] = {}
        self._news: dict[str, deque[float]] = {}

    # Called by the simulation

    def disturb(self) -> None:
        """A cable or a switch fails or comes back, or a host moves: until that is settled packets may be lost."""
        self.is_settled = False
        self.disturbed_at = self.sim.now
        self._unharmed = {}

    def failed(self) -> None:
        """A cable has just failed in a settled world: packets that this does not harm are not harmed by the repair."""
        hosts = self._hosts()
        pairs = ((source, target) for source in hosts for target in hosts if source is not target)
        self._unharmed = {(a.name, b.name): (a, b) for a, b in pairs if not self._lost(a, b)}

    def _lost(self, source: Host, target: Host) -> str:
        network = self.sim.network
        reach = network.walk(source.switch, network.packet(source, target))
        return next(_arrives(f"{source.name} to {target.name}", target, reach.copies, reach.lost), "")

    def reported(self, process: Process, name: str, rules: Iterable[Rule]) -> None:
        """A switch told this process which rules it holds."""
        self._known.setdefault((process, name), set()).update(rule.identity for rule in rules)
        self._reported_at[name] = self.sim.now

    def sent(self, process: Process, name: str, rule: Rule) -> None:
        """An elephant's rule goes to a switch: of new ones no more than the budget allows."""
        known = self._known.setdefault((process, name), set())
        if rule.identity in known or self.sim.now - self._reported_at[name] < CAUGHT_UP_S:
            return
        known.add(rule.identity)
        news, now, allowed = self._news.setdefault(name, deque()), self.sim.now, self.sim.policy.controls_per_second
        news.append(now)
        while news[0] < now - 1.0:
            news.popleft()
        if len(news) > 2 * allowed:
            raise Violation(
                f"budget: {name} gets {len(news)} new rules of elephants in a second, {allowed} are allowed"
            )

    def step(self) -> None:
        """After every step."""
        versions = {name: switch.version for name, switch in self.sim.network.switches.items()}
        if versions == self._checked:
            return
        for name, version in versions.items():
            if self._checked.get(name) != version:
                self._check_foreign(name)
        self._checked = versions
        if self.is_settled:
            for problem in self._packets(loops_only=False):
                raise Violation(problem)
        else:
            loop = None
            for problem in self._packets(loops_only=True):
                if not problem.startswith("loop"):
                    raise Violation(problem)
                loop = loop or problem
            self._time_loop(loop)
            for source, target in self._unharmed.values():
                if lost := self._lost(source, target):
                    raise Violation(f"repair: {lost}, which the failure left alone")

    def _time_loop(self, loop: str | None) -> None:
        """While switches change one after the other packets may go round for a moment, not longer."""
        now = self.sim.now
        if self._loop is not None:
            self.longest_loop_s = max(self.longest_loop_s, now - self._loop_since)
        if loop is None:
            self._loop = None
        elif self._loop is None:
            self._loop, self._loop_since = loop, now
            self.sim.note("passing_loops")

    def watch(self) -> None:
        """Now and then: what has to come about, and what has to be gone."""
        sim = self.sim
        self._check_ended()
        if not self._is_healthy():
            self._healthy_since = None
        elif self._healthy_since is None:
            self._healthy_since = sim.now
            self._loop_since = sim.now
        elif self._loop is not None and sim.now - self._loop_since > LOOP_S[bool(sim.plan.discovery)] * sim.stretch:
            raise Violation(f"{self._loop}, for {sim.now - self._loop_since:.1f} s")
        if self._healthy_since is not None and sim.now - self.disturbed_at > STILL_S:
            problem = next(self._unsettled(), None)
            if problem is None:
                self.is_settled, self._wrong = True, ""
                return
            if problem != self._wrong:
                self._wrong, self._wrong_since = problem, sim.now
            since = max(self._healthy_since, self.disturbed_at, self._wrong_since)
            if sim.now - since > SETTLE_S[bool(sim.plan.discovery)]:
                raise Violation(f"{problem}, {sim.now - since:.0f} s after the last failure")
        if sim.now > self.must_settle_by:
            raise Violation(f"does not settle: {self._unhealthy() or next(self._unsettled(), 'no reason')}")

    # Packets

    def _hosts(self) -> list[Host]:
        network = self.sim.network
        return [host for host in network.hosts.values() if network.switches[host.switch].up[host.port]]

    def _packets(self, *, loops_only: bool) -> Iterator[str]:
        """What is wrong with the packets of all pairs of hosts, broadcast, and elephants."""
        network, hosts = self.sim.network, self._hosts()
        for source in hosts:
            for target in (*hosts, None):
                if source is not target:
                    name = f"{source.name} to {target.name if target else 'all'}"
                    there = hosts if target is None else [target]
                    yield from self._packet(name, source, network.packet(source, target), there, loops_only)
        by_address = {address: host for host in hosts for address in host.addresses}
        for flow in network.flows.values():
            here, end = by_address.get(flow.key.source), by_address.get(flow.key.destination)
            if flow.ended is None and here and end:
                packet = network.packet(here, end, flow.key)
                yield from self._packet(f"elephant {flow.key}", here, packet, [end], loops_only)

    def _packet(self, who: str, source: Host, packet: Header, there: Iterable[Host], loops_only: bool) -> Iterator[str]:
        """What is wrong with this packet of a host, which has to arrive there."""
        network = self.sim.network
        reach = network.walk(source.switch, packet)
        if reach.loop:
            yield f"loop: {who}: {' -> '.join(reach.loop)}"
        if reach.deaf:
            yield f"dead bucket: {who}: a group sends to {reach.deaf}, which is down, though others live"
        for host in () if loops_only else there:
            if host is not source and network.is_connected(source.switch, host.switch):
                yield from _arrives(who, host, reach.copies, reach.lost)

    # What switches hold

    def _check_foreign(self, name: str) -> None:
        switch = self.sim.network.switches[name]
        held = {id(entry.message) for entry in switch.entries.values()} | {id(m) for _, m in switch.groups.values()}
        for message in self.sim.foreign[name]:
            if id(message) not in held:
                what = f"group {message.group_id:#x}" if hasattr(message, "group_id") else f"cookie {message.cookie:#x}"
                raise Violation(f"foreign entry gone: {name} had {what}, which is not ours")

    def _check_ended(self) -> None:
        for name, switch in self.sim.network.switches.items():
            for entry in switch.entries.values():
                found = adopted(entry.rule)
                flow = self.sim.network.flows.get(found.flow) if found else None
                if flow and flow.ended is not None and self.sim.now - flow.ended > ENDED_S * self.sim.stretch:
                    raise Violation(f"rule left behind: {name} has one for {flow.key}, which ended at {flow.ended:.1f}")

    def _is_healthy(self) -> bool:
        return not self._unhealthy()

    def _unhealthy(self) -> str:
        sim = self.sim
        if not sim.process.is_alive:
            return "the controller is away"
        for name, switch in sim.network.switches.items():
            connection = sim.connections[name]
            if name not in sim.network.running:
                return f"{name} is down"
            if connection is None or not connection.is_whole or switch.dpid not in sim.process.reported:
                return f"{name} is not connected"
            if sim.process.sessions.of(connection) is None:
                return f"{name} has no session"
        return ""

    def _unsettled(self) -> Iterator[str]:
        """What is not as it shall be when nothing is under way."""
        sim = self.sim
        conductor = sim.process.conductor
        for host in self._hosts():
            known = conductor.hosts.by_mac.get(host.mac)
            if known is None or known.place != host.place:
                yield f"host: {host.name} is at {host.place}, and believed to be at {known.place if known else None}"
        yield from self._packets(loops_only=False)
        for session in sim.process.sessions:
            if session.sent or session.barriers:
                yield f"not confirmed: {len(session.sent)} changes of switch {session.dpid:x}"
        for name, switch in sim.network.switches.items():
            ledger = conductor.ledgers.get(switch.dpid)
            if ledger is None:
                yield f"{name} is connected and has no ledger"
            else:
                yield from self._misheld(name, switch, ledger)
        yield from self._unmarked()

    def _misheld(self, name: str, switch: Switch, ledger: Ledger) -> Iterator[str]:
        """Entries of ours that the controller does not know or does not want, and those that it misses."""
        held = {key: entry.rule for key, entry in switch.entries.items() if entry.rule.cookie >> 40 == OURS}
        groups = {number: group for number, (group, _) in switch.groups.items() if number >> 24 in OUR_GROUPS}
        believed = ledger.installed
        for key in [*held, *(key for key in believed.rules if key not in held)]:
            one, other = held.get(key), believed.rules.get(key)
            if one is None or other is None or one.effect != other.effect:
                yield f"ledger: {name} holds {one} and is believed to hold {other}"
        if groups != believed.groups:
            yield f"ledger: {name} holds groups {sorted(groups)}, not {sorted(believed.groups)} as believed"
        yield from self._within_cap(name, held.values())
        wanted = self.sim.process.conductor.wanted(name)
        for key in held if not self.sim.plan.discovery else ():
            if key not in wanted:
                yield f"not wanted: {name} holds {held[key]}"
        for key in wanted:
            if key not in held and key not in ledger.refused:
                yield f"missing: {name} lacks {wanted[key]}"

    def _within_cap(self, name: str, rules: Iterable[Rule]) -> Iterator[str]:
        """Rules of elephants that enter here."""
        sources = {a for host in self.sim.network.hosts.values() if host.switch == name for a in host.addresses}
        entering = [rule for rule in rules if (found := adopted(rule)) and found.flow.source in sources]
        if len(entering) > self.sim.policy.cap:
            yield f"cap: {name} has {len(entering)} rules of elephants, {self.sim.policy.cap} are allowed"

    def _unmarked(self) -> Iterator[str]:
        """Elephants that are known for long carry their mark out of their ingress switch."""
        sim = self.sim
        elephants, policy = sim.process.conductor.elephants, sim.policy
        if not policy.marking:
            return
        since = max(self._healthy_since or sim.now, sim.faults.analytics_since, sim.faults.policy_since)
        for flow in sim.network.flows.values():
            host = sim.network.hosts.get(flow.source)
            if flow.ended is not None or host is None or sim.now - max(since, flow.began) < MARKED_S:
                continue
            if (
                flow.rate
                < 1.5 * elephants.policy.limits.share * sim.network.wiring.switches[host.switch].ports[host.port].speed
            ):
                continue
            if flow.key in elephants._refused or flow.key in elephants._deferred:
                continue
            ledger = sim.process.conductor.ledgers.get(sim.network.switches[host.switch].dpid)
            if ledger and any((found := adopted(rule)) and found.flow == flow.key for rule in ledger.refused.values()):
                continue
            (_, _, used), *_ = [*sim.network.course(flow)] or [("", (), [])]
            rules = [entry.rule for entry in used if kind_of(entry.rule.cookie) == RuleKind.ELEPHANT]
            if not any((found := adopted(rule)) and found.dscp == policy.dscp for rule in rules):
                yield f"not marked: {flow.key} at {host.switch}"


def _arrives(who: str, host: Host, copies: Any, lost: str) -> Iterator[str]:
    least, most = copies.get(host.place, (0, 0))
    if least < 1:
        yield f"black hole: {who} does not arrive: {lost or 'it goes elsewhere'}"
    elif most > 1:
        yield f"copies: {who} arrives {most} times"
