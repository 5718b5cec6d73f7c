"""What happens to the world: traffic, and everything that may go wrong, as a table of kinds with weights.

Trouble is one of them every few seconds for one to three minutes. What fails is repaired by itself after a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from controller.flow import FlowKey
from controller.sim.invariants import CALM_S
from controller.sim.network import Flow
from controller.sim.process import Process
from controller.sim.wiring import SPEED
from controller.topology import Place
from ovs_rules.rule import PROTO_TCP, PROTO_UDP, Group

if TYPE_CHECKING:
    from controller.sim.simulation import Simulation

EVERY_S = 4.0  # mean time between two events
CALM_STRETCH = 240.0  # how much rarer periodic work is in calm
FLOWS = 12  # at a time


class Faults:
    """Makes trouble, and remembers since when what is whole again."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.analytics_since = self.policy_since = 0.0
        self._until = 0.0
        self._ports = 0
        self._broken: set[Place] = set()
        self.table: list[tuple[int, Callable[[], None]]] = [
            (30, self.begin_flow),
            (15, self.end_flow),
            (3, self.begin_many),
            (10, self.break_cable),
            (3, self.break_edge),
            (3, self.power_off),
            (3, self.crash_switch),
            (4, self.cut_connection),
            (3, self.isolate_switch),
            (4, self.restart_controller),
            (3, self.stop_analytics),
            (2, self.confuse_analytics),
            (3, self.step_clock),
            (3, self.refuse_rules),
            (2, self.set_policy),
        ]
        if sim.plan.discovery:
            self.table.append((6, self.move_host))

    # Trouble and calm

    def begin(self) -> None:
        """An hour begins."""
        sim = self.sim
        sim.note("episodes")
        self._until = sim.now + sim.dice.uniform(60.0, 180.0)
        sim.set_pace(1.0)
        sim.invariants.must_settle_by = float("inf")
        sim.at(sim.dice.expovariate(1 / EVERY_S), self._next)

    def _next(self) -> None:
        sim = self.sim
        if sim.now > self._until:
            sim.tell("no more trouble")
            sim.at(40.0, self._expect_calm)  # what is broken is repaired by then
            return
        weights = [weight for weight, _ in self.table]
        left = sim.dice.randint(1, sum(weights))
        for weight, happen in self.table:
            left -= weight
            if left <= 0:
                sim.note(happen.__name__)
                happen()
                break
        sim.at(sim.dice.expovariate(1 / EVERY_S), self._next)

    def _expect_calm(self) -> None:
        self.sim.invariants.must_settle_by = self.sim.now + CALM_S
        self._await_calm()

    def _await_calm(self) -> None:
        sim = self.sim
        if not sim.invariants.is_settled:
            sim.at(1.0, self._await_calm)
            return
        sim.invariants.must_settle_by = float("inf")
        sim.tell("calm")
        live = {key: flow for key, flow in sim.network.flows.items() if flow.ended is None}
        sim.network.flows.clear()
        sim.network.flows.update(live)
        sim.set_pace(CALM_STRETCH)
        sim.at(3600.0 - sim.now % 3600.0, self.begin)

    # Traffic

    def begin_flow(self, rate: float = 0.0) -> None:
        sim, dice = self.sim, self.sim.dice
        live = [flow for flow in sim.network.flows.values() if flow.ended is None]
        if len(live) >= FLOWS:
            self.end_flow()
        hosts = list(sim.network.hosts.values())
        source, target = dice.choice(hosts), dice.choice(hosts)
        if source is target:
            return
        self._ports = (self._ports + 1) % 50_000
        ends = source.addresses[0], target.addresses[0]
        key = FlowKey(*ends, dice.choice((PROTO_TCP, PROTO_TCP, PROTO_UDP)), 10_000 + self._ports, 80)
        flow = sim.network.flows[key] = Flow(key, source.name, rate or dice.uniform(0.02, 1.0) * SPEED, sim.now)
        sim.tell(f"flow {key} of {flow.rate / 1e6:.2f} Mb/s begins")
        if dice.random() < 0.9:
            sim.at(dice.uniform(0.05, 0.5), self._detect, flow)

    def _detect(self, flow: Flow) -> None:
        if self.sim.analytics.crossed(flow):
            self.sim.at(self.sim.dice.uniform(0.001, 0.01), self.sim.process.woken)

    def begin_many(self) -> None:
        for _ in range(self.sim.dice.randint(FLOWS // 2, FLOWS)):
            self.begin_flow(self.sim.dice.uniform(0.3, 1.0) * SPEED)

    def end_flow(self) -> None:
        live = [flow for flow in self.sim.network.flows.values() if flow.ended is None]
        if live:
            flow = self.sim.dice.choice(live)
            flow.ended = self.sim.now
            self.sim.tell(f"flow {flow.key} ends")

    # Cables and switches

    def break_cable(self) -> None:
        self._break([place for place in self.sim.network.far if place not in self._broken])

    def break_edge(self) -> None:
        self._break([host.place for host in self.sim.network.hosts.values() if host.place not in self._broken])

    def _break(self, places: list[Place]) -> None:
        if places:
            place, settled = self.sim.dice.choice(places), self.sim.invariants.is_settled
            self._set_cables([place], up=False)
            if settled:
                self.sim.invariants.failed()
            self.sim.at(self.sim.dice.uniform(0.1, 30.0), self._mend, [place])

    def _mend(self, places: list[Place]) -> None:
        self._set_cables(places, up=True)

    def _set_cables(self, places: list[Place], *, up: bool) -> None:
        sim = self.sim
        sim.invariants.disturb()
        for place in places:
            for end in (place, sim.network.far.get(place)):
                if end is None or (end in self._broken) != up:
                    continue
                self._broken ^= {end}
                sim.tell(f"{end[0]} port {end[1]} goes {'up' if up else 'down'}")
                sim.say(end[0], sim.network.switches[end[0]].set_port(end[1], up))

    def power_off(self) -> None:
        """A switch is without power: its cables are dead, its entries gone."""
        sim = self.sim
        if len(sim.network.running) == len(sim.network.switches):
            name = sim.dice.choice(list(sim.network.switches))
            places = [(name, number) for number in sim.network.switches[name].ports]
            places = [place for place in places if place not in self._broken]
            self._stop(name)
            self._set_cables(places, up=False)
            sim.at(sim.dice.uniform(1.0, 20.0), self._power_on, name, places)

    def _power_on(self, name: str, places: list[Place]) -> None:
        self._run(name)
        self._set_cables(places, up=True)

    def crash_switch(self) -> None:
        """A switch's program ends and starts anew, without entries; its ports stay up."""
        sim = self.sim
        if len(sim.network.running) == len(sim.network.switches):
            name = sim.dice.choice(list(sim.network.switches))
            self._stop(name)
            sim.at(sim.dice.uniform(0.5, 5.0), self._run, name)

    def _stop(self, name: str) -> None:
        sim = self.sim
        sim.tell(f"{name} stops and loses its entries")
        sim.invariants.disturb()
        sim.network.stop(name)
        sim.put_foreign(name)
        self._cut(name, unnoticed=sim.dice.random() < 0.3)

    def _run(self, name: str) -> None:
        self.sim.tell(f"{name} runs again")
        self.sim.invariants.disturb()
        self.sim.network.run(name)

    # Connections and the controller

    def cut_connection(self) -> None:
        name = self.sim.dice.choice(list(self.sim.network.switches))
        self._cut(name, unnoticed=self.sim.dice.random() < 0.4)

    def _cut(self, name: str, *, unnoticed: bool) -> None:
        if connection := self.sim.connections[name]:
            self.sim.tell(f"the connection of {name} breaks{', unnoticed at first' if unnoticed else ''}")
            connection.cut(unnoticed=unnoticed)
            if unnoticed and self.sim.plan.discovery:  # its probes are missed, and its links taken to be gone
                self.sim.invariants.disturb()

    def isolate_switch(self) -> None:
        """No control network for a while."""
        sim = self.sim
        name = sim.dice.choice(list(sim.network.switches))
        sim.unreachable.add(name)
        self._cut(name, unnoticed=False)
        sim.at(sim.dice.uniform(1.0, 20.0), sim.unreachable.discard, name)

    def restart_controller(self) -> None:
        sim, dice = self.sim, self.sim.dice
        if not sim.process.is_alive:
            return
        sim.tell("the controller dies")
        sim.process.is_alive = False
        for connection in sim.connections.values():
            if connection is not None:
                connection.lose("switch", dice.uniform(0.0, 1.0))
        sim.at(dice.choice((0.1, 1.0, 10.0)) * dice.random(), self._start_controller)

    def _start_controller(self) -> None:
        sim = self.sim
        sim.tell("the controller starts")
        sim.process = Process(sim, 1.7e9 + sim.dice.uniform(-1e6, 1e6))
        self.analytics_since = sim.now
        if sim.plan.discovery:  # links, and with them the tree, are found anew, one after the other
            sim.invariants.disturb()

    # Analytics

    def stop_analytics(self) -> None:
        sim = self.sim
        sim.tell("analytics ends")
        sim.analytics.is_up = False
        self.analytics_since = float("inf")
        sim.at(0.01, sim.process.woken)
        sim.at(sim.dice.choice((0.2, 20.0)) * sim.dice.random() + 0.02, self._start_analytics)

    def _start_analytics(self) -> None:
        self.sim.tell("analytics starts")
        self.sim.analytics.restart()
        self.sim.analytics.is_up = True
        self.analytics_since = self.sim.now

    def confuse_analytics(self) -> None:
        """Its answers are wrong for a while."""
        self.sim.analytics.is_wrong = True
        self.analytics_since = float("inf")
        self.sim.at(self.sim.dice.uniform(0.1, 5.0), self._clear_analytics)

    def _clear_analytics(self) -> None:
        self.sim.analytics.is_wrong = False
        self.analytics_since = self.sim.now

    def step_clock(self) -> None:
        self.sim.analytics.clock_ahead = self.sim.dice.choice((0.0, -1.0, 1.0)) * self.sim.dice.uniform(0.1, 5000.0)
        self.sim.tell(f"the clock of analytics steps to {self.sim.analytics.clock_ahead:+.1f} s")

    # Refusals, policies, hosts

    def refuse_rules(self) -> None:
        """A switch has no room for more rules that time out, of which forwarding has none."""
        name = self.sim.dice.choice(list(self.sim.network.switches))
        switch = self.sim.network.switches[name]
        self.sim.tell(f"{name} takes no more rules that time out")
        switch.refuses = lambda what: not isinstance(what, Group) and what.idle_timeout > 0
        self.sim.at(self.sim.dice.uniform(1.0, 15.0), self._accept, name)

    def _accept(self, name: str) -> None:
        self.sim.network.switches[name].refuses = lambda _: False

    def set_policy(self) -> None:
        sim, dice = self.sim, self.sim.dice
        if sim.process.is_alive:
            sim.policy = replace(
                sim.policy, marking=dice.random() < 0.8, steering=dice.random() < 0.8, cap=dice.choice((2, 4, 1000))
            )
            sim.tell(f"policy: marking {sim.policy.marking}, steering {sim.policy.steering}, cap {sim.policy.cap}")
            self.policy_since = sim.now
            sim.process.execute(sim.process.conductor.set_policy(sim.policy, sim.process.now()))

    def move_host(self) -> None:
        """A host moves to another edge port, where none is: flows to it and from it go on."""
        sim, dice = self.sim, self.sim.dice
        taken = {host.place for host in sim.network.hosts.values()}
        free = [port.place for name in sim.network.switches for port in sim.network.wiring.edge_ports(name)]
        free = [place for place in free if place not in taken and place not in self._broken]
        if free:
            host, place = dice.choice(list(sim.network.hosts.values())), dice.choice(free)
            sim.invariants.disturb()
            sim.tell(f"{host.name} moves to {place[0]} port {place[1]}")
            sim.network.hosts[host.name] = replace(host, switch=place[0], port=place[1])
            sim.at(dice.uniform(0.01, 1.0), sim.speak, host.name)
