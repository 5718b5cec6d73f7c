"""The controller's process in the simulation: what controller/app.py does around the conductor, without Ryu.

Each handler and loop here is the one of that name there, with the simulation's clock. What a real process would count
as a fault of its own code is a violation here, since no input of the simulation may cause one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from controller import discovery, hosts, openflow
from controller.commands import Command, Complain, Emit, Send
from controller.conductor import Conductor
from controller.discovery import Discovery
from controller.feed import POLL_S, Feed, FeedError, Unavailable
from controller.flow import in_turns
from controller.pipeline import RuleKind, kind_of
from controller.reconcile import PutRule, describe
from controller.sessions import Session, Sessions
from controller.sim.switch import Answer
from controller.view import Definitions

if TYPE_CHECKING:
    from controller.sim.connection import Connection
    from controller.sim.simulation import Simulation

POLL_PERIOD, UNSETTLED_PERIOD, RETRY_PERIOD = 1.0, 0.1, 0.5
AT_ONCE = 100
HARMLESS = ("host claim", "host table", "discovery probe")


class Process:
    """One life of the controller. `epoch` is what its clock is ahead of the simulation's (s)."""

    def __init__(self, sim: Simulation, epoch: float) -> None:
        self.sim, self.epoch = sim, epoch
        plan = sim.plan
        if plan.discovery:
            key = int(sim.dice.random() * (1 << 53)).to_bytes(32, "big")
            self.conductor = Conductor(sim.policy, discovery=Discovery(key))
        else:
            self.conductor = Conductor(sim.policy, sim.network.wiring)
        self.sessions = Sessions()
        self.feed = Feed("http://analytics", connect=lambda: sim.analytics)
        self.reported: set[int] = set()
        self.is_alive = True
        self._analytics_alive = False
        self._defined: Definitions | None = None
        self._polled = 0.0
        self._turn = 0
        self.start()

    def now(self) -> float:
        return self.sim.now + self.epoch

    def start(self) -> None:
        """Begins the loops, or begins them anew: those under way end."""
        self._turn += 1
        for work, period in (
            (self.poll_events, 0.0),
            (self.poll_flows, UNSETTLED_PERIOD),
            (self.tick, discovery.PROBE_PERIOD),
            (self.ask, hosts.ASK_PERIOD),
        ):
            self.sim.at(self.sim.dice.uniform(0.0, 0.1), self._repeat, self._turn, work, period)

    def _repeat(self, turn: int, work: Callable[[], float | None], period: float) -> None:
        """One round of a loop; a round may say after how many seconds more it ends."""
        if not self.is_alive or turn != self._turn:
            return
        longer = 0.0
        try:
            longer = work() or 0.0
        except Unavailable:
            self._lost()
            longer = RETRY_PERIOD
        except FeedError:
            longer = RETRY_PERIOD
        self.sim.at(longer + period * self.sim.stretch, self._repeat, turn, work, period)

    # Analytics

    def _define(self) -> None:
        wanted, before = self.conductor.definitions(), self._defined
        if wanted is before:
            return
        self.feed.publish(wanted.fabric.to_spec(wanted.fabric.hosts).to_json())
        if before is None or wanted.elephants != before.elephants:
            self.feed.define(wanted.thresholds, 1.0, wanted.separation, wanted.switches)
            self.conductor.rely_on_tests(self.feed.makes_tests)
        self._defined = wanted

    def _lost(self) -> None:
        self._defined = None
        self._analytics_alive = False

    @property
    def is_listening(self) -> bool:
        """Whether a new event reaches it."""
        return self.is_alive and self._defined is not None

    def poll_events(self) -> float:
        """A long poll: it ends when the simulation calls `woken`, or after POLL_S."""
        if self._defined is None:
            return RETRY_PERIOD
        self.woken()
        return POLL_S * self.sim.stretch

    def woken(self) -> None:
        """The long poll is answered."""
        if self.is_listening:
            try:
                for seen in in_turns(self.feed.events(), AT_ONCE):
                    self.execute(self.conductor.observed(seen, self.now(), complete=False))
            except Unavailable:
                self._lost()
            except FeedError:
                return

    def poll_flows(self) -> float | None:
        if self.now() - self._polled < POLL_PERIOD and not self.conductor.unsettled(self.now()):
            return None
        self._define()
        if self.conductor.definitions().ports:
            self.execute(self.conductor.ports_reported(self.feed.ports(), self.now()))
        self._polled = at = self.now()
        delay = self.sim.analytics.delay()
        self.sim.at(delay, self._flows_answered, at)
        return delay

    def _flows_answered(self, at: float) -> None:
        """The answer that was asked for at that time."""
        if not self.is_alive:
            return
        try:
            seen = self.feed.flows(at)
        except Unavailable:
            self._lost()
            return
        except FeedError:
            return
        if not self._analytics_alive:
            self._analytics_alive = True
            self.conductor.resumed(at)
        self.execute(self.conductor.observed(seen, at, complete=True))

    # Switches

    def connected(self, connection: Connection) -> None:
        if self.sessions.refusal(connection, ()):
            connection.close()
        else:
            self.sessions.open(connection)

    def lost(self, connection: Connection) -> None:
        if self.is_alive and self.sessions.close(connection):
            self.reported.discard(connection.id)
            self.sim.tell(f"controller: {connection.name} is gone")
            self.conductor.switch_down(connection.id)

    def hear(self, connection: Connection, answer: Answer) -> None:
        """Something that a switch said."""
        if answer.event == "PortStatus":  # as Ryu's own handler does
            connection.ports[answer.msg.desc.port_no] = answer.msg.desc
        session = self.sessions.of(connection) if self.is_alive else None
        if session is None:
            return
        conductor, message = self.conductor, answer.msg
        match answer.event:
            case "GroupDescStatsReply":
                session.take_groups(message)
            case "FlowDescStatsReply":
                if session.take_rules(message):
                    self._report(session, connection)
            case "BarrierReply":
                conductor.confirmed(session.dpid, session.confirmed(message.xid), self.now())
            case "ErrorMsg":
                self._refusal(session, connection, message)
            case "FlowRemoved":
                self.execute(conductor.flow_removed(session.dpid, openflow.rule(message), self.now()))
            case "PortStatus":
                for port in openflow.ports("", [message.desc]).values():
                    up = openflow.is_up(message.desc) and not openflow.is_gone(message)
                    self.execute(conductor.port_changed(session.dpid, port, up, self.now()))
            case "PacketIn":
                number = message.match["in_port"]
                self.execute(conductor.packet_in(session.dpid, number, message.data, self.now()))

    def _report(self, session: Session, connection: Connection) -> None:
        self.sim.tell(f"controller: {connection.name} is up, {len(session.rules)} rules")
        self.reported.add(session.dpid)
        self.sim.invariants.reported(self, connection.name, session.rules)
        self.execute(self.conductor.switch_up(session.dpid, session.report(), self.now()))

    def _refusal(self, session: Session, connection: Connection, message: Any) -> None:
        change = session.refused(message.xid)
        if change is not None:
            self.sim.tell(f"controller: {connection.name} refused {describe(change)}")
            self.conductor.refused(session.dpid, change)

    def tick(self) -> None:
        self.execute(self.conductor.tick(self.now()))

    def ask(self) -> None:
        self.execute(self.conductor.ask(self.now()))

    def execute(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case Complain(kind=kind, error=error):
                    if kind not in HARMLESS:
                        raise error
                case Emit(dpid=dpid, port=port, frame=frame):
                    if session := self.sessions.get(dpid):
                        session.emit(port, frame)
                case Send(dpid=dpid, changes=changes):
                    if session := self.sessions.get(dpid):
                        name = session.datapath.name
                        for change in changes:
                            if isinstance(change, PutRule) and kind_of(change.rule.cookie) == RuleKind.ELEPHANT:
                                self.sim.invariants.sent(self, name, change.rule)
                            self.sim.tell(f"to {name}: {describe(change)}")
                        session.send(changes)
