"""The connections of switches: what each reports at first, and what was sent to it and is not yet confirmed.

Errors and barrier replies name what they are about by transaction id only, so a session keeps every change under its
id until the barrier behind it is answered. A datapath id belongs to the connection that has it for as long as that
one lives (listener.py ends those that answer no echo): a second one is refused, whoever it is.

What a switch may make the controller keep is bounded: answers count only if they were asked for, and only once; a
report has at most MAX_REPORTED entries, and MAX_UNCONFIRMED batches may wait for their barriers. More raises
TooMuch, which costs the connection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from controller import openflow
from controller.conductor import Report
from controller.reconcile import Change
from ovs_rules.rule import Group, Rule

MAX_REPORTED = 200_000  # a rule takes about 2 kB here; 80 switches with 1024 hosts hold 270 each
MAX_UNCONFIRMED = 10_000


class TooMuch(ValueError):
    """A switch reports more than any real one has, or confirms nothing."""


@dataclass
class Session:
    """One connection; `datapath` is Ryu's."""

    datapath: Any
    rules: list[Rule] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    sent: dict[int, Change] = field(default_factory=dict)
    barriers: dict[int, list[int]] = field(default_factory=dict)

    @property
    def dpid(self) -> int:
        return int(self.datapath.id)

    def ask_state(self) -> None:
        """Asks for the groups and the rules that the switch holds."""
        for message in openflow.state_requests(self.datapath):
            self.datapath.set_xid(message)
            self.asked.add(message.xid)
            self.datapath.send_msg(message)

    def ask_counters(self) -> None:
        """Asks for the counters of ports and groups; the answers come as events."""
        for message in openflow.counter_requests(self.datapath):
            self.datapath.send_msg(message)

    def take_groups(self, reply: Any) -> None:
        """A part of the answer to `ask_state`: groups."""
        if self._is_asked(reply):
            self.groups += [openflow.group(entry) for entry in reply.body]
            self._check_size()

    def take_rules(self, reply: Any) -> bool:
        """A part of the answer to `ask_state`: rules; whether it was the last one."""
        if not self._is_asked(reply):
            return False
        self.rules += [openflow.rule(entry) for entry in reply.body]
        self._check_size()
        return openflow.is_last(reply)

    def _is_asked(self, reply: Any) -> bool:
        known = reply.xid in self.asked
        if openflow.is_last(reply):
            self.asked.discard(reply.xid)
        return known

    def _check_size(self) -> None:
        if len(self.rules) + len(self.groups) > MAX_REPORTED:
            raise TooMuch(f"switch {self.dpid:016x} reports more than {MAX_REPORTED} rules and groups")

    def send(self, changes: Iterable[Change]) -> None:
        """Sends changes in order, then a barrier. Each is kept before it is sent: its answer may come at once."""
        if len(self.barriers) >= MAX_UNCONFIRMED:
            raise TooMuch(f"switch {self.dpid:016x} confirmed none of the last {MAX_UNCONFIRMED} batches of changes")
        xids = []
        for change in changes:
            message = openflow.message(self.datapath, change)
            self.datapath.set_xid(message)
            self.sent[message.xid] = change
            xids.append(message.xid)
            self.datapath.send_msg(message)
        barrier = openflow.barrier(self.datapath)
        self.datapath.set_xid(barrier)
        self.barriers[barrier.xid] = xids
        self.datapath.send_msg(barrier)

    def emit(self, port: int, frame: bytes) -> None:
        """Sends a frame out of a port."""
        self.datapath.send_msg(openflow.packet_out(self.datapath, port, frame))

    def confirmed(self, barrier: int) -> list[Change]:
        """The changes before that barrier, but for those that were refused."""
        return [self.sent.pop(xid) for xid in self.barriers.pop(barrier, []) if xid in self.sent]

    def refused(self, xid: int) -> Change | None:
        """The change that an error is about, None if it is about none."""
        return self.sent.pop(xid, None)

    def report(self) -> Report:
        """What the switch said of itself since it connected."""
        ports = list(self.datapath.ports.values())
        return Report(
            openflow.local_name(ports),
            openflow.ports("", ports),
            {port.port_no: openflow.is_up(port) for port in ports},
            tuple(self.rules),
            tuple(self.groups),
        )


class Sessions:
    """The sessions of all connected switches."""

    def __init__(self) -> None:
        self._by_dpid: dict[int, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_dpid.values()))

    def get(self, dpid: int) -> Session | None:
        return self._by_dpid.get(dpid)

    def of(self, datapath: Any) -> Session | None:
        """The session of the connection that an event came by; None if that connection has none."""
        session = self._by_dpid.get(datapath.id)
        return session if session and session.datapath is datapath else None

    def refusal(self, datapath: Any, allowed: Collection[int]) -> str | None:
        """Why a connection may not be a switch's, None if it may. `allowed` are datapath ids; empty means any."""
        what = f"{datapath.address[0]}: datapath id {datapath.id:016x}"
        if allowed and datapath.id not in allowed:
            return f"{what} is not among the datapaths of controller.openflow"
        if other := self._by_dpid.get(datapath.id):
            return f"{what} is connected already, from {other.datapath.address[0]}"
        return None

    def open(self, datapath: Any) -> None:
        """A new connection; the switch is asked for what it holds."""
        session = self._by_dpid[datapath.id] = Session(datapath)
        session.ask_state()

    def close(self, datapath: Any) -> bool:
        """A connection ended; whether it was the one in use."""
        if self.of(datapath) is None:
            return False
        del self._by_dpid[datapath.id]
        return True
