"""Replication inside a fabric, as a feature: where a spec's rules stand and which ports lead to its receivers.

ovs_rules/replication.py compiles a spec for one switch. Here the spec names hosts only, and the fabric fills in the
rest: the rules stand on the edge switch of the collector, one per port where datagrams may come in (a copy that leaves
where the datagram came from needs an output of its own kind), and every copy crosses the fabric by its receiver's MAC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.feature import Entries, Feature
from controller.hosts import Hosts, addresses_of
from controller.pipeline import EXCEPTIONS, PRIORITY, RuleKind, cookie
from controller.topology import Fabric, Host
from ovs_rules.replication import Copy, Spec
from ovs_rules.replication import rules as compiled
from ovs_rules.rule import Rule


class Replication(Feature):
    """The rules of these specs, computed when the fabric or a host that they name changed. A spec that cannot be placed
    is a problem, not an error.
    """

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.specs = tuple(specs)
        self._named = {spec.collector.address for spec in specs} | {
            copy.host for spec in specs for copy in spec.copies if copy.host is not None
        }
        self._fabric: Fabric | None = None
        self._entries: dict[str, Entries] = {}
        self._problems: tuple[str, ...] = ()

    def wanted(self, fabric: Fabric, hosts: Hosts, now: float) -> Mapping[str, Entries]:
        if fabric is not self._fabric:
            self._place(fabric, hosts)
            self._fabric = fabric
        return self._entries

    def relocated(self, fabric: Fabric, hosts: Hosts, moved: Sequence[tuple[Host | None, Host | None]]) -> None:
        if self._named & addresses_of(moved):
            self._fabric = None

    def problems(self) -> Sequence[str]:
        return self._problems

    def _place(self, fabric: Fabric, hosts: Hosts) -> None:
        found: dict[str, list[Rule]] = {}
        problems = []
        for number, spec in enumerate(self.specs, 1):
            try:
                switch, rules = place(fabric, hosts, spec, number)
            except ValueError as error:
                problems.append(str(error))
            else:
                found.setdefault(switch, []).extend(rules)
        for switch in self._entries.keys() | found.keys():
            self._entries.setdefault(switch, Entries()).become(found.get(switch, ()))
        self._problems = tuple(problems)


def place(fabric: Fabric, hosts: Hosts, spec: Spec, number: int) -> tuple[str, tuple[Rule, ...]]:
    """(switch, rules) of a spec; `number` names it in the cookies.

    Raises ValueError naming the collector or receiver that is no host of this fabric or cannot be reached.
    """
    collector = _host(hosts, spec.collector.address)
    switch = fabric.switches[collector.switch]
    filled = replace(
        spec,
        collector=replace(spec.collector, port=collector.port, mac=collector.mac),
        copies=tuple(_aimed(fabric, hosts, collector, copy) for copy in spec.copies),
        ingress=tuple(port for port in switch.ports if port != collector.port),
    )
    to_collector = ("ipv4_dst", spec.collector.address)
    return switch.name, tuple(
        replace(
            rule,
            match=(*rule.match, to_collector),
            table=EXCEPTIONS,
            priority=PRIORITY[RuleKind.REPLICATION],
            cookie=cookie(RuleKind.REPLICATION, number),
        )
        for rule in compiled(filled)
    )


def _aimed(fabric: Fabric, hosts: Hosts, collector: Host, copy: Copy) -> Copy:
    """The copy with the receiver's MAC and the port towards it from the collector's switch."""
    if copy.host is None:
        return copy
    receiver = _host(hosts, copy.host)
    if receiver.switch == collector.switch:
        return replace(copy, mac=receiver.mac, out=receiver.port)
    links = fabric.next_links(collector.switch, receiver.switch)
    if not links:
        raise ValueError(f"replication to {copy.host}: {receiver.switch} cannot be reached from {collector.switch}")
    return replace(copy, mac=receiver.mac, out=links[0].source.number)


def _host(hosts: Hosts, address: str) -> Host:
    if address not in hosts.by_address:
        raise ValueError(f"replication: {address} is no host of the fabric")
    return hosts.by_address[address]
