"""Replication inside a fabric, as a feature: where a spec's rules stand and which ports lead to its receivers.

ovs_rules/replication.py compiles a spec for one switch. Here the spec names hosts only, and the fabric fills in the
rest: the rules stand on the edge switch of the collector, one per port where datagrams may come in (a copy that leaves
where the datagram came from needs an output of its own kind), and every copy crosses the fabric by its receiver's MAC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.feature import Feature, Wanted
from controller.pipeline import EXCEPTIONS, PRIORITY, RuleKind, cookie
from controller.topology import Fabric, Host
from ovs_rules.replication import Copy, Spec
from ovs_rules.replication import rules as compiled
from ovs_rules.rule import Rule


class Replication(Feature):
    """The rules of these specs, computed once per fabric. A spec that cannot be placed is a problem, not an error."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.specs = tuple(specs)
        self._fabric: Fabric | None = None
        self._wanted: dict[str, Wanted] = {}
        self._problems: tuple[str, ...] = ()

    def wanted(self, fabric: Fabric, now: float) -> Mapping[str, Wanted]:
        if fabric is not self._fabric:
            self._fabric = fabric
            self._place(fabric)
        return self._wanted

    def problems(self) -> Sequence[str]:
        return self._problems

    def _place(self, fabric: Fabric) -> None:
        found: dict[str, list[Rule]] = {}
        problems = []
        for number, spec in enumerate(self.specs, 1):
            try:
                switch, rules = place(fabric, spec, number)
            except ValueError as error:
                problems.append(str(error))
            else:
                found.setdefault(switch, []).extend(rules)
        self._wanted = {switch: Wanted(tuple(rules)) for switch, rules in found.items()}
        self._problems = tuple(problems)


def place(fabric: Fabric, spec: Spec, number: int) -> tuple[str, tuple[Rule, ...]]:
    """(switch, rules) of a spec; `number` names it in the cookies.

    Raises ValueError naming the collector or receiver that is no host of this fabric or cannot be reached.
    """
    collector = _host(fabric, spec.collector.address)
    switch = fabric.switches[collector.switch]
    filled = replace(
        spec,
        collector=replace(spec.collector, port=collector.port, mac=collector.mac),
        copies=tuple(_aimed(fabric, collector, copy) for copy in spec.copies),
        ingress=tuple(port for port in switch.ports if port != collector.port),
    )
    to_collector = ("ipv4_dst", collector.ipv4)
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


def _aimed(fabric: Fabric, collector: Host, copy: Copy) -> Copy:
    """The copy with the receiver's MAC and the port towards it from the collector's switch."""
    if copy.host is None:
        return copy
    receiver = _host(fabric, copy.host)
    if receiver.switch == collector.switch:
        return replace(copy, mac=receiver.mac, out=receiver.port)
    links = fabric.next_links(collector.switch, receiver.switch)
    if not links:
        raise ValueError(f"replication to {copy.host}: {receiver.switch} cannot be reached from {collector.switch}")
    return replace(copy, mac=receiver.mac, out=links[0].source.number)


def _host(fabric: Fabric, address: str) -> Host:
    if address not in fabric.hosts_by_address:
        raise ValueError(f"replication: {address} is no host of the fabric")
    return fabric.hosts_by_address[address]
