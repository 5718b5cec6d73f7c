"""Connections between model switches and the controller: ordered and delayed as TCP is, cut now and then.

A Connection is to controller/sessions.py what Ryu's Datapath is. Messages of one connection arrive in order, those of
different ones in any; what is under way when it breaks is lost, at whichever message that is. Both ends notice on their
own, so a switch may come back before the controller knows that it was away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.sim.switch import Answer

if TYPE_CHECKING:
    from controller.sim.process import Process
    from controller.sim.simulation import Simulation

BACKOFF_S = 1.0, 8.0  # ovs-vswitchd.conf.db(5), max_backoff
UNNOTICED_S = 15.0  # controller/listener.py: a peer that answers no echo for about so long is gone
SLOW = 0.02  # of messages


class Connection:
    """One connection of one switch to one controller process; what Ryu's Datapath has and sessions.py uses."""

    def __init__(self, sim: Simulation, name: str, process: Process) -> None:
        self.sim, self.name, self.process = sim, name, process
        self.id = sim.network.switches[name].dpid
        self.address = (f"10.253.0.{self.id}", 6653)
        self.ports = sim.network.switches[name].port_descriptions()
        self.is_open = {"switch": True, "controller": True}
        self._free = {"switch": 0.0, "controller": 0.0}
        self._xid = 0

    @property
    def is_whole(self) -> bool:
        """Whether messages arrive, and both ends use it."""
        return all(self.is_open.values()) and self._free["switch"] < float("inf")

    # As Ryu's Datapath

    def set_xid(self, message: Any) -> Any:
        self._xid += 1
        return message.set_xid(self._xid)

    def send_msg(self, message: Any) -> bool:
        if message.xid is None:
            self.set_xid(message)
        self._carry("switch", self._at_switch, message)
        return True

    def close(self) -> None:
        """The controller ends it."""
        self.lose("controller", 0.0)
        self.lose("switch", self.sim.dice.uniform(0.001, 0.1))

    # Both directions

    def say(self, answer: Answer) -> None:
        """The switch sends something."""
        self._carry("controller", self._at_controller, answer)

    def lose(self, end: str, after: float) -> None:
        """That end notices after so many seconds that the connection is broken."""
        self.sim.at(after, self._ended, end)

    def cut(self, *, unnoticed: bool) -> None:
        """It breaks: nothing arrives any more."""
        self._free = dict.fromkeys(self._free, float("inf"))
        dice = self.sim.dice
        self.lose("switch", dice.uniform(0.0, 2.0))
        self.lose("controller", dice.uniform(2.0, UNNOTICED_S) if unnoticed else dice.uniform(0.0, 2.0))

    def _carry(self, end: str, arrive: Any, what: Any) -> None:
        """Brings something to that end, after all that was sent to it before."""
        dice = self.sim.dice
        delay = dice.uniform(0.02, 0.5) if dice.random() < SLOW else dice.uniform(0.0002, 0.005)
        due = max(self.sim.now + delay, self._free[end])
        self._free[end] = due
        if self.is_open[end] and due < float("inf"):
            self.sim.under_way += 1
            self.sim.at(due - self.sim.now, arrive, what)

    def _at_switch(self, message: Any) -> None:
        self.sim.under_way -= 1
        if self.is_open["switch"] and self._free["switch"] < float("inf") and self.name in self.sim.network.running:
            for answer in self.sim.deliver(self.name, message):
                self.say(answer)

    def _at_controller(self, answer: Answer) -> None:
        self.sim.under_way -= 1
        if self.is_open["controller"] and self._free["controller"] < float("inf"):
            self.process.hear(self, answer)

    def _ended(self, end: str) -> None:
        if not self.is_open[end]:
            return
        self.is_open[end] = False
        if end == "controller":
            self.process.lost(self)
        else:
            self.sim.dial(self.name, self)
