"""Which ports may send packets to the controller: a budget for each, kept by rules on the switch.

What discovery and the learning of hosts need is copied to the controller where it enters the fabric
(forwarding/l2.py). A port that sends more of it than its budget is muted: rules take the copies away, so that neither
its switch nor the controller spends anything on them, and the other ports' packets keep their way. Forwarding goes on,
so known hosts notice nothing; new hosts behind a muted port are learnt when the mute ends. LLDP is dropped meanwhile:
nothing but discovery has a use for it.

A mute lasts FIRST_MUTE seconds, twice as long each time up to LONGEST_MUTE; a port that kept to its budget for
LONGEST_MUTE after a mute begins anew. Cost: constant per packet, one record per port that was ever muted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.budget import Budget
from controller.feature import Entries, Feature
from controller.forwarding.l2 import RESOLUTION, Match
from controller.hosts import Hosts
from controller.pipeline import EXCEPTIONS, FORWARDING, PRIORITY, RuleKind, cookie
from controller.topology import Fabric, Place, Port
from ovs_rules.rule import ETH_LLDP, Rule

# Packets a second and at once. A host asks for a neighbour some times a minute; hundreds of hosts may stand behind one
# port and start together.
RATE, BURST = 50.0, 200.0
FIRST_MUTE, LONGEST_MUTE = 2.0, 64.0


@dataclass(frozen=True)
class Mute:
    """The last mute of a port: until when, and how many seconds it lasts."""

    until: float
    length: float


class PacketIns(Feature):
    """The budgets of all ports, and the rules that keep them."""

    def __init__(self) -> None:
        self._budget: Budget[Place] = Budget(RATE, BURST)
        self._mutes: dict[Place, Mute] = {}
        self._entries: dict[str, Entries] = {}
        self._now = 0.0

    def allows(self, port: Port, now: float) -> bool:
        """Whether a packet of this port is to be looked at."""
        return self._budget.take([(port.switch, port.number)], now)

    def mute(self, port: Port, now: float) -> bool:
        """Mutes a port that is over its budget; False if it is mute already, so that what comes was under way."""
        key = (port.switch, port.number)
        last = self._mutes.get(key)
        if last and now < last.until:
            return False
        length = FIRST_MUTE
        if last and now < last.until + LONGEST_MUTE:
            length = min(2 * last.length, LONGEST_MUTE)
        self._mutes[key] = Mute(now + length, length)
        return True

    def wanted(self, fabric: Fabric, hosts: Hosts, now: float) -> Mapping[str, Entries]:
        self._now = now
        rules: dict[str, list[Rule]] = {switch: [] for switch in self._entries}
        for switch, number in self.muted():
            if switch in fabric.switches:
                rules.setdefault(switch, []).extend(_mute(number))
        for switch, found in rules.items():
            self._entries.setdefault(switch, Entries()).become(found)
        return self._entries

    def problems(self) -> Sequence[str]:
        return [
            f"switch {switch} port {number} sends more ARP, ND or LLDP than {RATE:g} packets a second: "
            "no new hosts are learnt there for the moment"
            for switch, number in self.muted()
        ]

    def muted(self) -> list[Place]:
        """The ports that are mute at the moment."""
        return [key for key, mute in self._mutes.items() if self._now < mute.until]


def _mute(number: int) -> Iterator[Rule]:
    for match in RESOLUTION:
        yield _rule(RuleKind.MUTED_ARP, number, match, FORWARDING)
    yield _rule(RuleKind.MUTED_LLDP, number, (("eth_type", ETH_LLDP),), None)


def _rule(kind: RuleKind, number: int, match: Match, goto: int | None) -> Rule:
    return Rule(
        (("in_port", number), *match), goto=goto, table=EXCEPTIONS, priority=PRIORITY[kind], cookie=cookie(kind)
    )
