"""From decisions to rules: what every switch shall hold, as values of ovs_rules/rule.py.

`forwarding` says how a switch forwards when nothing special goes on; `express` says what one elephant's control means
on the switches of its path; `replication` belongs to ovs_rules and is only given its table, priority and cookie here.

Forwarding goes by destination MAC, so IPv4, IPv6 and everything else take the same ways: hosts of the switch itself
by port, hosts elsewhere through the select group of their edge switch (a plain output where there is one way only,
which also lets sFlow report the output port). Broadcast and multicast follow one loop-free tree. ARP goes to the
controller, which answers for hosts it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from controller.flow import FlowKey
from controller.pipeline import EXCEPTIONS, FORWARDING, PRIORITY, Kind, cookie, kind_of
from controller.policy import ecmp
from controller.topology import Fabric, Path, switches_of
from ovs_rules.rule import ETH_ARP, ETH_IPV4, ETH_LLDP, PROTO_TCP, Action, Group, Output, Rule, SetField, ToGroup, Value

MULTICAST = "01:00:00:00:00:00/01:00:00:00:00:00"  # the group bit of a MAC, set for broadcast too (IEEE 802)


@dataclass(frozen=True)
class Control:
    """What is done about one elephant: its DSCP (None = unmarked) and, when steered, its path.

    `ingress` is the switch where the flow enters.
    """

    flow: FlowKey
    ingress: str
    dscp: int | None
    path: Path | None = None


def forwarding(fabric: Fabric, switch: str) -> tuple[list[Rule], list[Group]]:
    """The rules and groups by which `switch` forwards. Hosts that cannot be reached have no rule."""
    rules = [
        _base(EXCEPTIONS, goto=FORWARDING),
        _base(FORWARDING, goto=None),
        _to_controller(Kind.ARP, ETH_ARP),
        _to_controller(Kind.DISCOVERY, ETH_LLDP),
    ]
    if fabric.flood:
        ports = sorted({port.number for port in fabric.edge_ports(switch)} | fabric.tree[switch])
        rules.append(_forward(Kind.TREE, MULTICAST, tuple(Output(number) for number in ports)))
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
        rules.append(_forward(Kind.HOST, host.mac, (action,)))
    return rules, list(groups.values())


def express(fabric: Fabric, control: Control, idle_timeout: int) -> dict[str, Rule]:
    """The rule of each switch for this control, the switch nearest the destination first.

    The ingress switch marks; every switch of a steered path where there is more than one way pins the flow to its link
    (on a leaf-spine that is the ingress leaf alone). Installed in this order no packet meets a half-changed path.
    """
    destination = control.path[-1].target.switch if control.path else None
    out: dict[str, Rule] = {}
    leaving = {link.source.switch: link for link in control.path or ()}
    for switch in reversed(switches_of(control.path or (), control.ingress)):
        marks: list[Action] = []
        if switch == control.ingress and control.dscp is not None:
            marks.append(SetField("ip_dscp", control.dscp))
        pinned = destination is not None and switch in leaving and len(fabric.next_links(switch, destination)) > 1
        if not marks and not pinned:
            continue
        out[switch] = Rule(
            match=flow_match(control.flow),
            actions=(*marks, Output(leaving[switch].source.number)) if pinned else tuple(marks),
            goto=None if pinned else FORWARDING,
            table=EXCEPTIONS,
            priority=PRIORITY[Kind.ELEPHANT],
            cookie=cookie(Kind.ELEPHANT, control.flow.number),
            idle_timeout=idle_timeout,
        )
    return out


def flow_match(flow: FlowKey) -> tuple[tuple[str, Value], ...]:
    ports = "tcp" if flow.protocol == PROTO_TCP else "udp"
    return (
        ("eth_type", ETH_IPV4),
        ("ip_proto", flow.protocol),
        ("ipv4_src", flow.source),
        ("ipv4_dst", flow.destination),
        (f"{ports}_src", flow.source_port),
        (f"{ports}_dst", flow.destination_port),
    )


class Found(NamedTuple):
    """An elephant rule read back from a switch; `port` is where it steers the flow out, None if it only marks."""

    flow: FlowKey
    dscp: int | None
    port: int | None


def adopted(rule: Rule) -> Found | None:
    """What an elephant rule of ours, found on a switch, is for; None for any other rule."""
    if kind_of(rule.cookie) != Kind.ELEPHANT:
        return None
    match = dict(rule.match)
    ports = "tcp" if match.get("ip_proto") == PROTO_TCP else "udp"
    try:
        flow = FlowKey(
            str(match["ipv4_src"]),
            str(match["ipv4_dst"]),
            int(match["ip_proto"]),
            int(match[f"{ports}_src"]),
            int(match[f"{ports}_dst"]),
        )
    except KeyError:
        return None
    dscp = next((int(a.value) for a in rule.actions if isinstance(a, SetField) and a.field == "ip_dscp"), None)
    port = next((a.port for a in rule.actions if isinstance(a, Output) and isinstance(a.port, int)), None)
    return Found(flow, dscp, port)


def _base(table: int, goto: int | None) -> Rule:
    return Rule((), goto=goto, table=table, priority=PRIORITY[Kind.BASE], cookie=cookie(Kind.BASE))


def _to_controller(kind: Kind, eth_type: int) -> Rule:
    return Rule(
        (("eth_type", eth_type),),
        (Output("CONTROLLER"),),
        table=EXCEPTIONS,
        priority=PRIORITY[kind],
        cookie=cookie(kind),
    )


def _forward(kind: Kind, eth_dst: str, actions: tuple[Action, ...]) -> Rule:
    return Rule((("eth_dst", eth_dst),), actions, table=FORWARDING, priority=PRIORITY[kind], cookie=cookie(kind))
