"""Link load from port counters, which Open vSwitch keeps fresh to 10 ms, and group member counters.

Rates are differences between two reports of the same port over the time between their arrivals; a counter that went
back (the switch restarted) gives no rate until the next report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PortCounters:
    """Totals of one port: bytes and packets received and sent, and drops in either direction."""

    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_packets: int = 0
    tx_packets: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Load:
    """Rates of one port in bits/s."""

    rx: float = 0.0
    tx: float = 0.0


@dataclass
class Meter:
    """The latest counters and rates of every port and group member. Ports are (datapath id, number)."""

    counters: dict[tuple[int, int], tuple[float, PortCounters]] = field(default_factory=dict)
    loads: dict[tuple[int, int], Load] = field(default_factory=dict)
    members: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=dict)
    """(datapath id, group) -> (packets, bytes) of each bucket, in order."""

    def ports(self, dpid: int, reports: Mapping[int, PortCounters], now: float) -> None:
        for number, fresh in reports.items():
            at, old = self.counters.get((dpid, number), (now, fresh))
            elapsed = now - at
            received, sent = fresh.rx_bytes - old.rx_bytes, fresh.tx_bytes - old.tx_bytes
            if elapsed > 0 and received >= 0 and sent >= 0:
                self.loads[dpid, number] = Load(received * 8 / elapsed, sent * 8 / elapsed)
            self.counters[dpid, number] = now, fresh

    def groups(self, dpid: int, reports: Mapping[int, list[tuple[int, int]]]) -> None:
        """(packets, bytes) of each bucket in order, by group."""
        for group_id, members in reports.items():
            self.members[dpid, group_id] = members

    def load(self, dpid: int, number: int) -> Load:
        return self.loads.get((dpid, number), Load())

    def forget(self, dpid: int) -> None:
        """The switch is gone; its last rates are no longer true."""
        for table in (self.counters, self.loads, self.members):
            for key in [key for key in table if key[0] == dpid]:
                del table[key]
