"""Forwarding by destination MAC, so IPv4, IPv6 and everything else take the same paths.

Hosts of the switch itself are reached by their port, hosts elsewhere through the select group of their edge switch
(a plain output where there is one path only, which also lets sFlow report the output port). Broadcast and multicast
follow one loop-free tree, and so does ARP to a MAC that no rule knows: a reply may come before the rule for whoever
asked. ARP therefore needs no controller; that gets a copy where ARP enters the fabric, to learn hosts from. A request
crosses every switch once. Probes of discovery go to the controller alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.feature import Feature, Wanted
from controller.pipeline import EXCEPTIONS, FORWARDING, PRIORITY, RuleKind, cookie
from controller.policy import ecmp
from controller.topology import Fabric
from ovs_rules.rule import ETH_ARP, ETH_LLDP, Action, Group, Output, Rule, ToGroup, Value

MULTICAST = "01:00:00:00:00:00/01:00:00:00:00:00"  # the group bit of a MAC, set for broadcast too (IEEE 802)
ARP = (("eth_type", ETH_ARP),)
TO_CONTROLLER = (Output("CONTROLLER"),)

Match = tuple[tuple[str, Value], ...]


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
        _exception(RuleKind.ARP, ARP, TO_CONTROLLER, goto=FORWARDING),
        _exception(RuleKind.DISCOVERY, (("eth_type", ETH_LLDP),), TO_CONTROLLER),
    ]
    for number in fabric.link_ports(switch):
        rules.append(_exception(RuleKind.ARP_TRANSIT, (("in_port", number), *ARP), goto=FORWARDING))
    if fabric.flood:
        ports = sorted({port.number for port in fabric.edge_ports(switch)} | fabric.tree[switch])
        outputs = tuple(Output(number) for number in ports)
        rules += [_forward(RuleKind.TREE, _to(MULTICAST), outputs), _forward(RuleKind.ARP_TREE, ARP, outputs)]
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
        rules.append(_forward(RuleKind.HOST, _to(host.mac), (action,)))
    return Wanted(tuple(rules), tuple(groups.values()))


def _base(table: int, goto: int | None) -> Rule:
    return Rule((), goto=goto, table=table, priority=PRIORITY[RuleKind.BASE], cookie=cookie(RuleKind.BASE))


def _exception(kind: RuleKind, match: Match, actions: tuple[Action, ...] = (), goto: int | None = None) -> Rule:
    return Rule(match, actions, goto=goto, table=EXCEPTIONS, priority=PRIORITY[kind], cookie=cookie(kind))


def _forward(kind: RuleKind, match: Match, actions: tuple[Action, ...]) -> Rule:
    return Rule(match, actions, table=FORWARDING, priority=PRIORITY[kind], cookie=cookie(kind))


def _to(mac: str) -> Match:
    return (("eth_dst", mac),)
