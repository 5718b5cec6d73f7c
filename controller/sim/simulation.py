"""The simulation: virtual time, the model world around one controller process, and the story of what happened.

Everything that happens is an entry of one queue, by time and then by order of making. An hour begins with one to
three minutes of trouble (faults.py); then all is repaired and has to settle, and the rest of the hour is calm. In calm,
rounds of periodic work, which then change nothing, are CALM_STRETCH times rarer: that makes an hour cheap. In trouble
every loop of the controller has its real period.

Every line of the story goes into a digest, so two runs are the same when their digests are. Cost: time follows the
number of messages, and with each of them the pairs of hosts whose packets cross the switch that it changed.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import count
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar

from controller import openflow
from controller.control import Policy
from controller.reconcile import PutGroup, PutRule
from controller.sim.analytics import Analytics
from controller.sim.connection import BACKOFF_S, Connection
from controller.sim.faults import Faults
from controller.sim.invariants import Invariants, Violation
from controller.sim.network import Network
from controller.sim.packet import announcement, arp_reply
from controller.sim.process import Process
from controller.sim.switch import Answer
from controller.sim.wiring import fabric
from controller.topology import Place
from ovs_rules.rule import Bucket, Group, Output, Rule

HOUR_S = 3600.0
HOUSEKEEPING_S = 0.5
ANNOUNCED_S = 20.0  # a host speaks ARP at least so often
STORY = 40  # lines that a violation shows

T = TypeVar("T")


class Dice(Protocol):
    """What is used of random.Random."""

    def random(self) -> float: ...
    def uniform(self, a: float, b: float) -> float: ...
    def randint(self, a: int, b: int) -> int: ...
    def expovariate(self, lambd: float) -> float: ...
    def choice(self, seq: Sequence[T]) -> T: ...


SHAPES = ("2x2x2", "3x2x1", "2x3x2", "4x2x1", "3x3x1", "ring:4", "2x2x1")


@dataclass(frozen=True)
class Plan:
    """What to simulate: the shape of the fabric (wiring.py) and whether the controller has to discover it; None leaves
    it to the seed."""

    seed: int
    hours: float = 1.0
    shape: str | None = None
    discovery: bool | None = None

    @property
    def command(self) -> str:
        """What runs it again."""
        how = {None: "", True: " --discovery", False: " --topology"}[self.discovery]
        return f"howdah sim --seed {self.seed} --hours {self.hours:g} --switches {self.shape}{how}"


@dataclass
class Outcome:
    """What a run was: simulated seconds, what was counted in it, and the violation that ended it, with its story."""

    plan: Plan
    seconds: float
    counts: dict[str, int]
    digest: str
    violation: str | None = None
    story: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        plan, steps, messages = self.plan, self.counts["steps"], self.counts.get("messages", 0)
        found = "discovered" if plan.discovery else "from a file"
        return (
            f"{plan.shape} {found}, {self.seconds / HOUR_S:.2f} h, {self.counts.get('episodes', 0)} episodes, "
            f"{steps} steps, {messages} messages, digest {self.digest}"
        )


class Simulation:
    """One run; `run` gives its outcome."""

    def __init__(self, plan: Plan, dice: Dice, show: Callable[[str], None] | None = None) -> None:
        shape, discovery = dice.choice(SHAPES), dice.random() < 0.3
        plan = replace(plan, shape=plan.shape or shape)
        self.plan = replace(plan, discovery=discovery if plan.discovery is None else plan.discovery)
        self.dice, self._show = dice, show
        self.now, self.stretch, self.under_way = 0.0, 1.0, 0
        self.story: deque[str] = deque(maxlen=STORY)
        self.counts: dict[str, int] = {}
        self._digest = blake2b(digest_size=8)
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._made = count()
        self.policy = Policy(
            cap=dice.choice((2, 4, 1000)), controls_per_second=dice.choice((2, 5, 100)), steering=dice.random() < 0.9
        )
        wiring = fabric(self.plan.shape or shape)
        self.network = Network(wiring, wiring.hosts)
        self.analytics = Analytics(self)
        self.connections: dict[str, Connection | None] = dict.fromkeys(self.network.switches)
        self.unreachable: set[str] = set()
        self.foreign: dict[str, list[Any]] = {}
        for name in self.network.switches:
            self.put_foreign(name)
        self.invariants = Invariants(self)
        self.process: Process = Process(self, 1.7e9)
        self.faults = Faults(self)
        for name in self.network.switches:
            self.dial(name, None)
        self._housekeeping = 0
        self.wake()
        self.at(0.0, self.faults.begin)

    # The clock

    def at(self, after: float, what: Callable[..., None], *args: Any) -> None:
        """Has something happen after so many seconds."""
        heapq.heappush(self._queue, (self.now + after, next(self._made), what, args))

    def tell(self, line: str) -> None:
        """Adds a line to the story."""
        text = f"{self.now:12.4f} {line}"
        self.story.append(text)
        self._digest.update(text.encode())
        if self._show:
            self._show(text)

    def note(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def run(self) -> Outcome:
        """Until the time is over, or something does not hold."""
        end = self.plan.hours * HOUR_S
        violation = None
        steps = 0
        try:
            while self._queue and self._queue[0][0] <= end:
                self.now, _, what, args = heapq.heappop(self._queue)
                what(*args)
                self.invariants.step()
                steps += 1
        except Violation as error:
            violation = str(error)
        except Exception as error:
            violation = f"{type(error).__name__}: {error}"
            self._trace(error)
        else:
            self.now = end
        self.counts["steps"] = steps
        story = list(self.story) if violation else []
        return Outcome(self.plan, self.now, self.counts, self._digest.hexdigest(), violation, story)

    def _trace(self, error: Exception) -> None:
        where = error.__traceback__
        while where is not None:
            code = where.tb_frame.f_code
            self.tell(f"  raised in {code.co_name}, line {where.tb_lineno}")
            where = where.tb_next

    def wake(self) -> None:
        """Begins all periodic work anew, at the present pace."""
        self._housekeeping += 1
        self.at(0.0, self._keep_house, self._housekeeping)
        self.at(0.1, self._announce, self._housekeeping)

    def set_pace(self, stretch: float) -> None:
        """How much rarer periodic work is than in a real controller."""
        self.stretch = stretch
        self.wake()
        self.process.start()

    def _keep_house(self, turn: int) -> None:
        if turn != self._housekeeping:
            return
        for flow in self.network.flows.values():
            if flow.ended is None:
                for _, _, used in self.network.course(flow):
                    for entry in used:
                        entry.used = self.now
        for name, switch in self.network.switches.items():
            for answer in switch.expire(self.now):
                self.tell(f"{name}: a rule times out")
                self.say(name, answer)
        self.invariants.watch()
        self.at(HOUSEKEEPING_S * self.stretch, self._keep_house, turn)

    def _announce(self, turn: int) -> None:
        """Hosts speak ARP now and then."""
        if turn != self._housekeeping:
            return
        for host in self.network.hosts.values():
            self.at(self.dice.uniform(0.0, ANNOUNCED_S / 2), self.speak, host.name)
        self.at(ANNOUNCED_S * self.stretch / 2, self._announce, turn)

    # Switches and the controller

    def dial(self, name: str, old: Connection | None) -> None:
        """A switch has no connection any more, and tries to connect."""
        if self.connections[name] is old:
            self.connections[name] = None
            self.at(self.dice.uniform(0.0, 0.2) if old is None else self.dice.uniform(*BACKOFF_S), self._connect, name)

    def _connect(self, name: str) -> None:
        if self.connections[name] is not None:
            return
        if self.process.is_alive and name in self.network.running and name not in self.unreachable:
            connection = self.connections[name] = Connection(self, name, self.process)
            self.at(self.dice.uniform(0.002, 0.05), self._shake_hands, connection)
        else:
            self.at(self.dice.uniform(*BACKOFF_S), self._connect, name)

    def _shake_hands(self, connection: Connection) -> None:
        """Features and ports are known: Ryu's MAIN state. What happened to ports meanwhile was told."""
        if connection.is_whole and connection.process.is_alive:
            connection.ports = self.network.switches[connection.name].port_descriptions()
            self.tell(f"{connection.name} connects")
            connection.process.connected(connection)

    def say(self, name: str, answer: Answer) -> None:
        """A switch tells the controller something, if it has one."""
        connection = self.connections[name]
        if connection is not None and connection.is_open["switch"]:
            connection.say(answer)

    def deliver(self, name: str, message: Any) -> list[Answer]:
        """A message arrives at a switch."""
        self.note("messages")
        if type(message).__name__ == "OFPPacketOut":
            self.emit((name, message.actions[0].port), message.data)
            return []
        answers = self.network.switches[name].receive(message, self.now)
        for answer in answers:
            if answer.event == "ErrorMsg":
                self.tell(f"{name}: error type {answer.msg.type} code {answer.msg.code}")
        return answers

    def put_foreign(self, name: str) -> None:
        """Another program's entries, which have to stay: rules, and a group, that no packet of a host uses."""
        switch = self.network.switches[name]
        group = Group(0x1000 + switch.dpid, "all", (Bucket((Output(1),)),))
        near = 0x486F76 << 40  # one bit off ours
        rules = (
            Rule((("eth_type", 0x88F7),), (Output(1),), table=0, priority=4500, cookie=near | 1),
            Rule((("eth_type", 0x88F7),), (), table=1, priority=600, cookie=0),
            Rule((("eth_dst", "02:00:00:00:00:01"),), (), table=7, priority=1, cookie=0x486F77),
        )
        datapath = SimpleNamespace()
        messages = [openflow.message(datapath, PutGroup(group, exists=False))]
        messages += [openflow.message(datapath, PutRule(rule)) for rule in rules]
        for message in messages:
            switch.receive(message, self.now)
        self.foreign[name] = messages

    # Frames

    def emit(self, place: Place, frame: bytes) -> None:
        """A frame leaves a switch by a port."""
        there = self.network.beyond(*place)
        if there is None or place[0] not in self.network.running:
            return
        if there in self.network.far:
            self.inject(there, frame)
        else:
            self._hear(there, frame)

    def inject(self, place: Place, frame: bytes) -> None:
        """A frame comes in at a port of a switch."""
        arrivals = self.network.inject(place, frame)
        if arrivals is None:
            self.note("frames_in_a_loop")  # invariants.py judges it
        for there, is_copy in arrivals or ():
            if is_copy:
                self.say(there[0], Answer("PacketIn", SimpleNamespace(match={"in_port": there[1]}, data=frame)))
            else:
                self._hear(there, frame)

    def _hear(self, place: Place, frame: bytes) -> None:
        for host in self.network.hosts.values():
            if host.place == place and (reply := arp_reply(host.mac, host.addresses[0], frame)):
                self.at(0.001, self._reply, host.name, reply)

    def _reply(self, name: str, frame: bytes) -> None:
        if host := self.network.hosts.get(name):
            self.inject(host.place, frame)

    def speak(self, name: str) -> None:
        """A host announces itself."""
        if host := self.network.hosts.get(name):
            self.inject(host.place, announcement(host.mac, host.addresses[0]))
