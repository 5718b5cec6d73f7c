"""From the control of an elephant to the rules of its path, as values of ovs_rules/rule.py, and back.

`express` says what one control means on the switches of its path; `adopted` reads from a rule found on a switch what
it is for, so that a restarted controller goes on where the one before it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from controller.flow import FlowKey
from controller.pipeline import (
    ALIVE,
    EXCEPTIONS,
    FORWARDING,
    PRIORITY,
    RuleKind,
    cookie,
    kind_of,
    pin_group,
    pinned_port,
)
from controller.topology import Fabric, Path, switches_of
from ovs_rules.rule import (
    ETH_IPV4,
    ETH_IPV6,
    PROTO_TCP,
    Action,
    Bucket,
    Group,
    Output,
    Resubmit,
    Rule,
    SetField,
    ToGroup,
    Value,
)


@dataclass(frozen=True)
class Control:
    """What is done about one elephant: its DSCP (None = unmarked) and, when steered, its path.

    `ingress` is the switch where the flow enters.
    """

    flow: FlowKey
    ingress: str
    dscp: int | None
    path: Path | None = None


def express(fabric: Fabric, control: Control, idle_timeout: int) -> dict[str, Rule]:
    """The rule of each switch for this control, the switch nearest the destination first.

    The ingress switch marks; every switch of a steered path that has more than one next hop pins the flow to its link
    (on a leaf-spine that is the ingress leaf alone), as long as that is up (`groups`). Installed in this order no
    packet meets a half-changed path.
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
            actions=(*marks, ToGroup(pin_group(leaving[switch].source.number))) if pinned else tuple(marks),
            goto=None if pinned else FORWARDING,
            table=EXCEPTIONS,
            priority=PRIORITY[RuleKind.ELEPHANT],
            cookie=cookie(RuleKind.ELEPHANT, control.flow.number),
            idle_timeout=idle_timeout,
        )
    return out


def flow_match(flow: FlowKey) -> tuple[tuple[str, Value], ...]:
    ports = "tcp" if flow.protocol == PROTO_TCP else "udp"
    version = "ipv6" if flow.is_ipv6 else "ipv4"
    return (
        ("eth_type", ETH_IPV6 if flow.is_ipv6 else ETH_IPV4),
        ("ip_proto", flow.protocol),
        (f"{version}_src", flow.source),
        (f"{version}_dst", flow.destination),
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
    if kind_of(rule.cookie) != RuleKind.ELEPHANT:
        return None
    match = dict(rule.match)
    ports = "tcp" if match.get("ip_proto") == PROTO_TCP else "udp"
    version = "ipv6" if match.get("eth_type") == ETH_IPV6 else "ipv4"
    try:
        flow = FlowKey(
            str(match[f"{version}_src"]),
            str(match[f"{version}_dst"]),
            int(match["ip_proto"]),
            int(match[f"{ports}_src"]),
            int(match[f"{ports}_dst"]),
        )
    except KeyError:
        return None
    dscp = next((int(a.value) for a in rule.actions if isinstance(a, SetField) and a.field == "ip_dscp"), None)
    return Found(flow, dscp, _pinned(rule))


def groups(rule: Rule) -> list[Group]:
    """The groups that the rule of an elephant needs, shared by all that are pinned to the same port: out of the port,
    or, while it is down, wherever forwarding sends the rest. So a pinned flow leaves a dead link without a controller.
    """
    port = _pinned(rule)
    if port is None:
        return []
    straight = Bucket((Output(port),), watch_port=port)
    otherwise = Bucket((Resubmit(FORWARDING),), watch_group=ALIVE)
    return [
        Group(ALIVE, "indirect", (Bucket(()),)),
        Group(pin_group(port), "fast_failover", (straight, otherwise)),
    ]


def _pinned(rule: Rule) -> int | None:
    return next((pinned_port(action.group_id) for action in rule.actions if isinstance(action, ToGroup)), None)
