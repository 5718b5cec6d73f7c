"""The fabric found out instead of read from a file, from three sources:

- the switches themselves: ports and their speeds, when they connect (OpenFlow);
- links: every port emits an LLDP probe that names it, and the switch where it arrives names the other end;
- what sFlow calls a port: Open vSwitch's counter samples carry datapath id and port number beside the ifIndex.

A switch is its datapath id. Names of switches, ports and links are for reading and for documents, and made distinct.

Until no switch was added for `SETTLE` seconds no tree is made, because a link not yet known could close a loop; a tree
that switches hold from before stays. From then on hosts are learnt (hosts.py), not earlier, because the end of a link
not yet known looks like an edge port.

1. A probe carries the number of its round and an HMAC over what it says. Its key is of this process alone, so only a
   probe that this controller wrote within the last two rounds counts.
2. A link is two ports of two switches of which each hears the other.
3. It is gone when one of them was not heard for LINK_AGE rounds while both switches were connected and both ports up. A
   switch that lost its controller only goes on forwarding, so as long as it is away its links are taken to be as they
   were; and a port that is down is no edge port, whose broadcast would go round when the cable is back.
4. A port where hosts are known ends no link, and neither does one that hears itself, its own switch or one direction
   only: it is in doubt and gets no broadcast, which might come back, as long as probes pass. Hosts there have to answer
   (hosts.py), so a cable between two ports that had hosts before is found when they are gone.
5. A port that is new or came up is in doubt for a round, because a cable may have been plugged in there.

Not covered: who carries probes between two ports where no host was heard poses as a cable there. An HMAC proves who
wrote a frame and not which way it came. Where that matters, give a topology file.

Cost: a probe is a hash and a comparison. Links are worked out from all pairs of ports that hear each other, once a
round and, where broadcast may already loop, at once when a probe passes where none did before.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller import frames
from controller.commands import Emit
from controller.hosts import Hosts
from controller.topology import Fabric, Link, Port, Switch

PROBE_PERIOD = 2.0
# Longer than a switch waits before it tries to connect again (Open vSwitch: 8 s, ovs-vswitchd.conf.db(5), max_backoff):
# one that still forwards by old rules, its links not yet found, could close a loop with the new tree of the others.
SETTLE = 10.0
# Rounds of probes after which a link not heard is gone. Rounds and not seconds: while the controller itself stands
# still, no probes are sent either.
LINK_AGE = 3

End = tuple[int, int]  # datapath id, port number


class ForeignProbe(ValueError):
    """A probe that this controller did not write, or not lately; one line that names the port where it came in."""


@dataclass
class Discovery:
    """`port_speed`, bits/s, stands in for the speed of ports that report none or one that is not real (veth: 10G).

    `key` signs the probes; `heard` is, for each pair of ports (from, to), the round of the last probe that passed;
    `fresh` the round in which a port came up.
    """

    key: bytes
    port_speed: int = 0
    heard: dict[tuple[End, End], int] = field(default_factory=dict)
    fresh: dict[End, int] = field(default_factory=dict)
    round: int = 0
    newest: float = 0.0

    def switch(self, fabric: Fabric, dpid: int, name: str | None, ports: Mapping[int, Port], now: float) -> Fabric:
        """The fabric with this switch in it; its shown name, agent and ifIndexes are kept where it was known."""
        self.newest = now
        old = fabric.by_dpid.get(dpid)
        label = old.name if old else distinct(name or f"{dpid:016x}", fabric.switches, f"{dpid:x}")
        known = old.ports if old else {}
        fresh: dict[int, Port] = {}
        names: set[str] = set()
        for number, port in ports.items():
            ifindex = known[number].ifindex if number in known else None
            shown = distinct(port.name, names, str(number))
            names.add(shown)
            fresh[number] = Port(label, number, shown, self.port_speed or port.speed, ifindex)
        for pair in self.heard:
            if dpid in (pair[0][0], pair[1][0]):
                self.heard[pair] = self.round  # its probes were not seen while it was away
        return replace(fabric.with_switch(Switch(label, dpid, fresh, old.agent if old else None)), flood=False)

    def port(self, fabric: Fabric, hosts: Hosts, dpid: int, port: Port, *, is_up: bool) -> Fabric:
        """The fabric with what a connected switch says of one of its ports, which may be new."""
        switch = fabric.by_dpid[dpid]
        known, place = switch.ports.get(port.number), (switch.name, port.number)
        if known is None and not is_up:
            return fabric
        if known is None or (is_up and place in fabric.down):
            self.fresh[dpid, port.number] = self.round
            for pair in self.heard:
                if (dpid, port.number) in pair:
                    self.heard[pair] = self.round  # no probe could pass
        if known is None:
            name = distinct(port.name, {other.name for other in switch.ports.values()}, str(port.number))
            added = Port(switch.name, port.number, name, self.port_speed or port.speed)
            fabric = fabric.with_switch(replace(switch, ports={**switch.ports, port.number: added}))
        return self._linked(fabric.with_port(*place, is_up), hosts)

    def settled(self, fabric: Fabric, hosts: Hosts, connected: Collection[int], now: float) -> Fabric:
        """The fabric at the end of a round: with flooding once no switch came for a while, and with the links found."""
        self.newest = min(self.newest, now)  # a clock may be set back
        if not fabric.flood and fabric.switches and now - self.newest >= SETTLE:
            fabric = replace(fabric, flood=True)
        self.heard = {
            pair: heard
            for pair, heard in self.heard.items()
            if self.round - heard <= LINK_AGE
            or not {pair[0][0], pair[1][0]} <= set(connected)
            or any(_is_down(fabric, end) for end in pair)
        }
        self.fresh = {end: came_up for end, came_up in self.fresh.items() if self.round - came_up <= 1}
        return self._linked(fabric, hosts)

    def probes(self, fabric: Fabric) -> list[Emit]:
        """Begins a round: one probe out of every port."""
        self.round += 1
        return [
            Emit(switch.dpid, number, frames.write_probe(switch.dpid, number, self.round, self.key))
            for switch in fabric.switches.values()
            for number in switch.ports
        ]

    def probe(self, fabric: Fabric, hosts: Hosts, port: Port, frame: bytes) -> Fabric:
        """The fabric with what this frame shows if it is a probe. Raises ForeignProbe."""
        probe = frames.read_probe(frame)
        if probe is None:
            return fabric
        if not probe.is_by(self.key) or not self.round - 1 <= probe.round <= self.round:
            raise ForeignProbe(f"{port.switch} port {port.number}: a probe of discovery that was not sent just now")
        pair = (probe.dpid, probe.port), (fabric.switches[port.switch].dpid, port.number)
        is_new = pair not in self.heard
        self.heard[pair] = self.round
        return self._linked(fabric, hosts) if is_new and fabric.flood else fabric

    def identify(self, fabric: Fabric, rows: Iterable[tuple[str, str, int, int]]) -> Fabric:
        """The fabric with sFlow's names for ports; rows are (agent, ifIndex, datapath id, OpenFlow port).

        A name belongs to one port, and a switch has one agent: what a row says stays as long as some row says so.
        """
        claimed: dict[int, list[tuple[str, str, int]]] = {}
        for agent, ifindex, dpid, number in rows:
            is_known = dpid in fabric.by_dpid and number in fabric.by_dpid[dpid].ports
            if is_known and ifindex.isascii() and ifindex.isdigit():
                claimed.setdefault(dpid, []).append((agent, ifindex, number))
        taken: set[tuple[str, str]] = set()
        named: dict[int, tuple[str, dict[int, str]]] = {}
        for dpid, claims in claimed.items():
            switch = fabric.by_dpid[dpid]
            agents = {agent for agent, _, _ in claims}
            agent = switch.agent if switch.agent in agents else min(agents)
            ours = [(ifindex, number) for name, ifindex, number in claims if name == agent]
            ours.sort(key=lambda claim: (claim[0] != switch.ports[claim[1]].ifindex, claim))
            numbers: dict[int, str] = {}
            for ifindex, number in ours:
                if number not in numbers and (agent, ifindex) not in taken:
                    numbers[number] = ifindex
                    taken.add((agent, ifindex))
            named[dpid] = agent, numbers
        for switch in fabric.switches.values():
            agent_now, numbers = named.get(switch.dpid, (switch.agent, {}))
            fabric = _named(fabric, switch, agent_now, numbers, taken)
        return fabric

    def _linked(self, fabric: Fabric, hosts: Hosts) -> Fabric:
        """The fabric with the links and doubtful ports that follow from who hears whom and where hosts are."""
        places = {
            (switch.dpid, number): (switch.name, number)
            for switch in fabric.switches.values()
            for number in switch.ports
        }
        both = {pair for pair in self.heard if pair[::-1] in self.heard and pair[0] in places and pair[1] in places}
        links = [link for link in fabric.links if (_end(fabric, link.source), _end(fabric, link.target)) in both]
        used = {(link.source.switch, link.source.number) for link in links}
        names = {link.name for link in links}
        for one, two in sorted(pair for pair in both if pair[0] < pair[1]):
            cable = {places[one], places[two]}
            if one[0] == two[0] or cable & used or any(hosts.are_at(place) for place in cable):
                continue
            source, target = (fabric.by_dpid[dpid].ports[number] for dpid, number in (one, two))
            name = distinct(f"{source.name}-{target.name}", names, f"{source.switch}-{target.switch}")
            links += [Link(name, source, target), Link(name, target, source)]
            names.add(name)
            used |= cable
        in_doubt = self.fresh.keys() | {end for pair in self.heard for end in pair}
        return fabric.with_links(links, {places[end] for end in in_doubt if end in places} - used)


def _end(fabric: Fabric, port: Port) -> End:
    return fabric.switches[port.switch].dpid, port.number


def _is_down(fabric: Fabric, end: End) -> bool:
    switch = fabric.by_dpid.get(end[0])
    return switch is not None and (switch.name, end[1]) in fabric.down


def distinct(name: str, taken: Container[str], more: str) -> str:
    """The name, with `more` after it as often as it takes until it is no one else's."""
    while name in taken:
        name = f"{name}-{more}"
    return name


def _named(
    fabric: Fabric,
    switch: Switch,
    agent: str | None,
    numbers: Mapping[int, str],
    taken: Container[tuple[str, str]],
) -> Fabric:
    """The fabric with this agent and these ifIndexes (by port) of a switch; other ports keep theirs if still free."""

    def ifindex(port: Port) -> str | None:
        if port.number in numbers:
            return numbers[port.number]
        return None if agent != switch.agent or (agent, port.ifindex) in taken else port.ifindex

    renamed = {port.number: new for port in switch.ports.values() if (new := ifindex(port)) != port.ifindex}
    if agent == switch.agent and not renamed:
        return fabric
    ports = {number: replace(switch.ports[number], ifindex=new) for number, new in renamed.items()}
    return fabric.with_switch(replace(switch, agent=agent, ports={**switch.ports, **ports}))
