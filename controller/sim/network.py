"""The model network: switches, cables, hosts, the flows between them, and where a packet goes.

`walk` follows a packet through every alternative of every switch, so what holds of its answer holds whatever select
groups choose; `course` follows the one way that it takes. Both answer from memory as long as no switch that they
visited changed, so that a check after a change of one switch costs what that switch concerns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.flow import FlowKey
from controller.sim.packet import IN_PORT, Header, changed, header, of_frame
from controller.sim.switch import Entry, Switch
from controller.topology import Fabric, Host, Place
from ovs_rules.rule import ETH_IPV4, PROTO_TCP, PROTO_UDP, RESERVED_PORTS

CONTROLLER = RESERVED_PORTS["CONTROLLER"]
HOPS = 64  # a frame that crosses more switches is in a loop
DATA_PORT = 9  # TCP and UDP port of packets of no flow (RFC 863, discard)


@dataclass
class Flow:
    """Traffic of a host: bits/s, since when, and when it ended (s)."""

    key: FlowKey
    source: str
    rate: float
    began: float
    ended: float | None = None


@dataclass(frozen=True)
class Reach:
    """Where a packet arrives: place -> (least, most) copies over all alternatives; and what is wrong on its way."""

    copies: Mapping[Place, tuple[int, int]]
    loop: tuple[str, ...] = ()
    lost: str = ""
    """Where some alternative ends: one line; empty if none does."""
    deaf: str = ""
    """The switch whose select group may choose a dead port of its own, though others live."""


class Network:
    """`wiring` is the fabric as it is built; what is up is known by the ports of the model switches alone."""

    def __init__(self, wiring: Fabric, hosts: Iterator[Host] | tuple[Host, ...]) -> None:
        self.wiring = wiring
        self.switches = {
            name: Switch(name, one.dpid, ((port.number, port.name, port.speed) for port in one.ports.values()))
            for name, one in wiring.switches.items()
        }
        self.far: dict[Place, Place] = {place: link.target.place for place, link in wiring.link_from.items()}
        self.hosts: dict[str, Host] = {host.name: host for host in hosts}
        self.running: set[str] = set(self.switches)
        self.flows: dict[FlowKey, Flow] = {}
        self._reach: dict[Header | tuple[Place, Header], tuple[dict[str, int], Reach]] = {}

    @property
    def version(self) -> int:
        """Counts the changes that packets may notice."""
        return sum(switch.version for switch in self.switches.values())

    # Changes

    def stop(self, name: str) -> None:
        """A switch ends: it forwards nothing until it runs again, and its entries are gone."""
        self.running.discard(name)
        self.switches[name].restart()

    def run(self, name: str) -> None:
        self.running.add(name)
        self.switches[name].touch()

    def is_connected(self, one: str, other: str) -> bool:
        """Whether cables that are up and running switches lead from one switch to the other."""
        seen, todo = {one}, [one]
        while todo:
            here = todo.pop()
            for number, up in self.switches[here].up.items():
                there = self.far.get((here, number))
                if up and there and there[0] in self.running and there[0] not in seen:
                    seen.add(there[0])
                    todo.append(there[0])
        return other in seen and {one, other} <= self.running

    # Packets

    def packet(self, source: Host, target: Host | None, flow: FlowKey | None = None) -> Header:
        """From a host to a host (None: broadcast), of that flow or of none."""
        key = flow or FlowKey(source.addresses[0], target.addresses[0] if target else "255.255.255.255",
                              PROTO_UDP, DATA_PORT, DATA_PORT)  # fmt: skip
        ports = "tcp" if key.protocol == PROTO_TCP else "udp"
        ends = {f"{ports}_src": key.source_port, f"{ports}_dst": key.destination_port}
        return header(
            in_port=source.port, eth_src=source.mac, eth_dst=target.mac if target else "ff:ff:ff:ff:ff:ff",
            eth_type=ETH_IPV4, ip_proto=key.protocol, ip_dscp=0, ip_ecn=0,
            ipv4_src=key.source, ipv4_dst=key.destination, **ends,
        )  # fmt: skip

    def walk(self, switch: str, packet: Header) -> Reach:
        """Where a packet that comes in there may go; it carries its port in its header."""
        key = (switch, packet[IN_PORT]), packet
        known = self._reach.get(key)
        if known and all(self.switches[name].version == version for name, version in known[0].items()):
            return known[1]
        walk = _Walk(self)
        copies = walk.at(switch, packet)
        reach = Reach(copies, walk.loop, walk.lost, walk.deaf)
        self._reach[key] = {name: self.switches[name].version for name in walk.visited}, reach
        if len(self._reach) > 20_000:
            self._reach.clear()
        return reach

    def course(self, flow: Flow) -> Iterator[tuple[str, Header, list[Entry]]]:
        """The switches that a flow crosses, with its packet as it comes in and the entries that it uses."""
        host = self.hosts.get(flow.source)
        target = next((one for one in self.hosts.values() if flow.key.destination in one.addresses), None)
        if host is None or target is None:
            return
        todo = [(host.switch, self.packet(host, target, flow.key))]
        for _ in range(HOPS):
            if not todo or todo[0][0] not in self.running or not self.switches[todo[0][0]].up[todo[0][1][IN_PORT]]:
                return
            switch, packet = todo.pop(0)
            result = self.switches[switch].actual(packet)
            yield switch, packet, result.used
            for port, out in result.alternatives[0]:
                if (there := self.beyond(switch, port)) is not None and there in self.far:
                    todo.append((there[0], changed(out, "in_port", there[1])))

    def inject(self, place: Place, frame: bytes) -> list[tuple[Place, bool]] | None:
        """A frame comes in there: (place, True) where the controller gets a copy of it, (place, False) where it leaves
        to hosts. None if it goes round."""
        found: list[tuple[Place, bool]] = []
        todo = [(place[0], of_frame(frame, place[1]), 0)]
        while todo:
            switch, packet, hops = todo.pop()
            if hops > HOPS:
                return None
            if switch not in self.running or not self.switches[switch].up[packet[IN_PORT]]:
                continue
            for port, out in self.switches[switch].actual(packet).alternatives[0]:
                if port == CONTROLLER:
                    found.append(((switch, packet[IN_PORT]), True))
                elif there := self.beyond(switch, port):
                    if there in self.far:
                        todo.append((there[0], changed(out, "in_port", there[1]), hops + 1))
                    else:
                        found.append((there, False))
        return found

    def beyond(self, switch: str, port: int) -> Place | None:
        """Where a packet comes that leaves by a port: at another switch's, or at this one, behind which hosts are."""
        if not self.switches[switch].up.get(port, False):
            return None
        return self.far.get((switch, port), (switch, port))


class _Walk:
    """One walk through all alternatives, depth first; a packet met again on its own way is in a loop."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.visited: set[str] = set()
        self.loop: tuple[str, ...] = ()
        self.lost = self.deaf = ""
        self._way: dict[tuple[str, Header], None] = {}
        self._done: dict[tuple[str, Header], dict[Place, tuple[int, int]]] = {}

    def at(self, name: str, packet: Header) -> dict[Place, tuple[int, int]]:
        self.visited.add(name)
        node = name, packet
        if node in self._done:
            return self._done[node]
        if node in self._way:
            way = [switch for switch, _ in self._way]
            self.loop = self.loop or (*way[list(self._way).index(node) :], name)
            return {}
        switch = self.network.switches[name]
        if name not in self.network.running or not switch.up[packet[IN_PORT]]:
            self.lost = self.lost or f"{name} does not take it"
            return {}
        self._way[node] = None
        alternatives = switch.possible(packet).alternatives
        found: dict[Place, tuple[int, int]] | None = None
        for outputs in alternatives:
            reached = self._out(name, packet, outputs, len(alternatives))
            found = reached if found is None else _either(found, reached)
        del self._way[node]
        self._done[node] = found or {}
        return self._done[node]

    def _out(
        self, name: str, packet: Header, outputs: tuple[tuple[int, Header], ...], choices: int
    ) -> dict[Place, tuple[int, int]]:
        total: dict[Place, tuple[int, int]] = {}
        alive = False
        for port, out in outputs:
            if port == CONTROLLER:
                continue
            there = self.network.beyond(name, port)
            if there is None:
                if choices > 1:
                    self.deaf = self.deaf or f"{name} port {port}"
                continue
            alive = True
            if there in self.network.far:
                reached = self.at(there[0], changed(out, "in_port", there[1]))
            else:
                reached = {there: (1, 1)}
            for place, (least, most) in reached.items():
                before = total.get(place, (0, 0))
                total[place] = before[0] + least, before[1] + most
        if not alive:
            ports = [port for port, _ in outputs if port != CONTROLLER]
            why = f"its way out, port {ports[0]}, is down" if ports else "no rule leads on"
            self.lost = self.lost or f"{name} (in at port {packet[IN_PORT]}): {why}"
        return total


def _either(one: dict[Place, tuple[int, int]], other: dict[Place, tuple[int, int]]) -> dict[Place, tuple[int, int]]:
    nothing = (0, 0)
    return {
        place: (
            min(one.get(place, nothing)[0], other.get(place, nothing)[0]),
            max(one.get(place, nothing)[1], other.get(place, nothing)[1]),
        )
        for place in {**one, **other}
    }
