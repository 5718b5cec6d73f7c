"""Replication inside a fabric: where a spec's rules stand and which ports lead to its receivers.

ovs_rules/replication.py compiles a spec for one switch. Here the spec names hosts only, and the fabric fills in the
rest: the rules stand on the edge switch of the collector, one per port where datagrams may come in (a copy that leaves
where the datagram came from has to be told so), and every copy crosses the fabric by its receiver's MAC.
"""

from __future__ import annotations

from dataclasses import replace

from controller.pipeline import EXCEPTIONS, PRIORITY, Kind, cookie
from controller.topology import Fabric, Host
from ovs_rules.replication import Copy, Spec, rules
from ovs_rules.rule import Rule


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
            priority=PRIORITY[Kind.REPLICATION],
            cookie=cookie(Kind.REPLICATION, number),
        )
        for rule in rules(filled)
    )


def _aimed(fabric: Fabric, collector: Host, copy: Copy) -> Copy:
    """The copy with the receiver's MAC and the way to it from the collector's switch."""
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
