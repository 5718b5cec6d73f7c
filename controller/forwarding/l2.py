"""Forwarding by destination MAC, so IPv4, IPv6 and everything else take the same paths.

Hosts of the switch itself are reached by their port, hosts elsewhere through the select group of their edge switch
(a plain output where there is one path only, which also lets sFlow report the output port). Broadcast and multicast
follow one loop-free tree. ARP goes to the controller, which answers for hosts it knows, and so do probes.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.feature import Feature, Wanted
from controller.pipeline import EXCEPTIONS, FORWARDING, PRIORITY, RuleKind, cookie
from controller.policy import ecmp
from controller.topology import Fabric
from ovs_rules.rule import ETH_ARP, ETH_LLDP, Action, Group, Output, Rule, ToGroup

MULTICAST = "01:00:00:00:00:00/01:00:00:00:00:00"  # the group bit of a MAC, set for broadcast too (IEEE 802)


class Forwarding(Feature):
    """The forwarding entries of every switch, computed once per fabric."""

    def __init__(self) -> None:
        self._fabric: Fabric | None = None
        self._wanted: dict[str, Wanted] = {}

    def wanted(self, fabric: Fabric, now: float) -> Mapping[str, Wanted]:
        if fabric is not self._fabric:
            self._fabric = fabric
            self._wanted = {switch: forwarding(fabric, switch) for switch in fabric.switches}
        return self._wanted


def forwarding(fabric: Fabric, switch: str) -> Wanted:
    """The rules and groups by which `switch` forwards. Hosts that cannot be reached have no rule."""
    rules = [
        _base(EXCEPTIONS, goto=FORWARDING),
        _base(FORWARDING, goto=None),
        _to_controller(RuleKind.ARP, ETH_ARP),
        _to_controller(RuleKind.DISCOVERY, ETH_LLDP),
    ]
    if fabric.flood:
        ports = sorted({port.number for port in fabric.edge_ports(switch)} | fabric.tree[switch])
        rules.append(_forward(RuleKind.TREE, MULTICAST, tuple(Output(number) for number in ports)))
    groups: dict[str, Group] = {}
    ids = ecmp.group_ids(fabric)
    for host in fabric.hosts:
        action: Action
        if host.switch == switch:
            action = Output(host.port)
        elif links := fabric.next_links(switch, host.switch):
            group = ecmp.group_towards(fabric, switch, host.switch, ids[host.switch])
            if group:
                groups[host.switch] = group
            action = ToGroup(group.group_id) if group else Output(links[0].source.number)
        else:
            continue
        rules.append(_forward(RuleKind.HOST, host.mac, (action,)))
    return Wanted(tuple(rules), tuple(groups.values()))


def _base(table: int, goto: int | None) -> Rule:
    return Rule((), goto=goto, table=table, priority=PRIORITY[RuleKind.BASE], cookie=cookie(RuleKind.BASE))


def _to_controller(kind: RuleKind, eth_type: int) -> Rule:
    return Rule(
        (("eth_type", eth_type),),
        (Output("CONTROLLER"),),
        table=EXCEPTIONS,
        priority=PRIORITY[kind],
        cookie=cookie(kind),
    )


def _forward(kind: RuleKind, eth_dst: str, actions: tuple[Action, ...]) -> Rule:
    return Rule((("eth_dst", eth_dst),), actions, table=FORWARDING, priority=PRIORITY[kind], cookie=cookie(kind))
