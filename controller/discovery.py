"""The fabric found out instead of read from a file, from three sources:

- the switches themselves: ports and their speeds, when they connect (OpenFlow);
- links: every port emits an LLDP probe that names it, and the switch where it arrives names the other end;
- what sFlow calls a port: Open vSwitch's counter samples carry datapath id and port number beside the ifIndex.

Until no switch was added for `SETTLE` seconds no tree is made, because a link not yet known could close a loop; a tree
that switches hold from before stays. From then on hosts are learnt from ARP (hosts.py), not earlier, because the end of
a link not yet known looks like an edge port.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller import frames
from controller.commands import Emit
from controller.topology import Fabric, Link, Port, Switch

PROBE_PERIOD = 2.0
# Longer than a switch waits before it tries to connect again (Open vSwitch: 8 s, ovs-vswitchd.conf.db(5), max_backoff):
# one that still forwards by old rules, its links not yet found, could close a loop with the new tree of the others.
SETTLE = 10.0
# A link not seen for this many seconds is gone (three probes lost).
LINK_AGE = 3.5 * PROBE_PERIOD


@dataclass
class Discovery:
    """`port_speed`, bits/s, stands in for the speed of ports that report none or one that is not real (veth: 10G)."""

    port_speed: int = 0
    seen: dict[tuple[int, int], float] = field(default_factory=dict)
    newest: float = 0.0

    def switch(self, fabric: Fabric, dpid: int, name: str | None, ports: Mapping[int, Port], now: float) -> Fabric:
        """The fabric with this switch in it, its agent and ifIndexes kept where it was known."""
        self.newest = now
        label = name or f"{dpid:016x}"
        old = fabric.by_dpid.get(dpid)
        known = old.ports if old else {}
        fresh = {
            number: replace(
                port,
                switch=label,
                speed=self.port_speed or port.speed,
                ifindex=known[number].ifindex if number in known else None,
            )
            for number, port in ports.items()
        }
        return replace(fabric.with_switch(Switch(label, dpid, fresh, old.agent if old else None)), flood=False)

    def settled(self, fabric: Fabric, now: float) -> Fabric:
        """The fabric, with flooding once no switch came for a while, and without links whose probes stopped."""
        if not fabric.flood and fabric.switches and now - self.newest >= SETTLE:
            fabric = replace(fabric, flood=True)
        alive = [link for link in fabric.links if now - self._seen(fabric, link) < LINK_AGE]
        return fabric if len(alive) == len(fabric.links) else fabric.with_links(alive)

    def probes(self, fabric: Fabric) -> list[Emit]:
        """One probe out of every port."""
        return [
            Emit(switch.dpid, number, frames.write_probe(switch.dpid, number))
            for switch in fabric.switches.values()
            for number in switch.ports
        ]

    def probe(self, fabric: Fabric, port: Port, frame: bytes, now: float) -> Fabric:
        """The fabric with the link that this frame proves, if it is a probe; hosts wrongly learnt on it go."""
        origin = frames.read_probe(frame)
        if origin is None or origin[0] not in fabric.by_dpid:
            return fabric
        source = fabric.by_dpid[origin[0]].ports.get(origin[1])
        if source is None:
            return fabric
        target = fabric.switches[port.switch].ports[port.number]
        self.seen[origin] = now
        if fabric.link_from.get((source.switch, source.number)):
            return fabric
        one, two = sorted((source, target), key=lambda end: (end.switch, end.number))
        name = f"{one.name}-{two.name}"
        self.seen[fabric.switches[target.switch].dpid, target.number] = now
        ends = {(source.switch, source.number), (target.switch, target.number)}
        hosts = tuple(host for host in fabric.hosts if (host.switch, host.port) not in ends)
        return replace(fabric.with_links([*fabric.links, Link(name, one, two), Link(name, two, one)]), hosts=hosts)

    def identify(self, fabric: Fabric, rows: Iterable[tuple[str, str, int, int]]) -> Fabric:
        """The fabric with sFlow's names for ports; rows are (agent, ifIndex, datapath id, OpenFlow port)."""
        for agent, ifindex, dpid, number in rows:
            switch = fabric.by_dpid.get(dpid)
            if switch is None or number not in switch.ports:
                continue
            if (switch.agent, switch.ports[number].ifindex) != (agent, ifindex):
                ports = {**switch.ports, number: replace(switch.ports[number], ifindex=ifindex)}
                fabric = fabric.with_switch(replace(switch, agent=agent, ports=ports))
        return fabric

    def _seen(self, fabric: Fabric, link: Link) -> float:
        return self.seen.get((fabric.switches[link.source.switch].dpid, link.source.number), 0.0)
