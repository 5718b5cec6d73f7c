"""Forwarding by destination MAC, so IPv4, IPv6 and everything else take the same paths.

Hosts of the switch itself are reached by their port, hosts elsewhere through the select group of their edge switch
(a plain output where there is one path only, which also lets sFlow report the output port). Everything else, broadcast,
multicast, and what is sent to a MAC that no rule knows, follows one loop-free tree, as between any layer-2 switches. So
hosts find and reach each other without a controller, and before their rules; that gets a copy of ARP and Neighbour
Discovery where they enter the fabric, to learn hosts from. A request crosses every switch once. What hosts answer to
the controller itself ends where it was copied. Probes of discovery go to the controller alone.

Cost: a host that is learnt, moved or forgotten changes one rule per switch. A change of the fabric compares every pair
of switch and edge switch, and touches the hosts of those pairs alone whose next hops differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.feature import Entries, Feature
from controller.frames import OUR_MAC
from controller.hosts import Hosts
from controller.pipeline import EXCEPTIONS, FORWARDING, PRIORITY, RuleKind, cookie
from controller.policy import ecmp
from controller.topology import Fabric, Host
from ovs_rules.rule import (
    ETH_ARP,
    ETH_IPV6,
    ETH_LLDP,
    ND_ADVERTISEMENT,
    ND_SOLICITATION,
    PROTO_ICMPV6,
    Action,
    Group,
    Output,
    Rule,
    ToGroup,
    Value,
)

Match = tuple[tuple[str, Value], ...]
Way = tuple[Action | None, Group | None]  # from a switch to an edge switch: what to do, and the group it takes

UNREACHABLE: Way = (None, None)

TO_CONTROLLER = (Output("CONTROLLER"),)
_ICMPV6: Match = (("eth_type", ETH_IPV6), ("ip_proto", PROTO_ICMPV6))
# By what hosts find each other: ARP, and Neighbour Discovery for IPv6.
RESOLUTION: tuple[Match, ...] = (
    (("eth_type", ETH_ARP),),
    (*_ICMPV6, ("icmpv6_type", ND_SOLICITATION)),
    (*_ICMPV6, ("icmpv6_type", ND_ADVERTISEMENT)),
)


class Forwarding(Feature):
    """The forwarding entries of every switch. Hosts that cannot be reached have no rule."""

    def __init__(self) -> None:
        self._fabric: Fabric | None = None
        self._entries: dict[str, Entries] = {}
        self._towards: dict[tuple[str, str], Way] = {}
        self._standing: dict[str, list[Rule]] = {}

    def wanted(self, fabric: Fabric, hosts: Hosts, now: float) -> Mapping[str, Entries]:
        if self._fabric is None or not _forwards_alike(fabric, self._fabric):
            self._reroute(fabric, hosts)
        self._fabric = fabric
        return self._entries

    def relocated(self, fabric: Fabric, hosts: Hosts, moved: Sequence[tuple[Host | None, Host | None]]) -> None:
        for before, after in moved:
            for switch, entries in self._entries.items():
                if after is not None:
                    self._aim(entries, switch, after)
                elif before is not None:
                    entries.drop(_identity(before.mac))
                if before is not None and not hosts.are_on(before.switch):
                    _, group = self._towards.get((switch, before.switch), UNREACHABLE)
                    if group is not None:
                        entries.drop_group(group.group_id)

    def _reroute(self, fabric: Fabric, hosts: Hosts) -> None:
        """Brings all entries up to date with another fabric."""
        towards = _towards(fabric)
        turned = {pair for pair, way in towards.items() if self._towards.get(pair) != way}
        self._towards = towards
        self._entries = {switch: self._entries.get(switch) or Entries() for switch in fabric.switches}
        for switch, entries in self._entries.items():
            standing = _standing(fabric, switch)
            for rule in self._standing.get(switch, ()):
                if rule not in standing:
                    entries.drop(rule.identity)
            for rule in standing:
                entries.put(rule)
            self._standing[switch] = standing
            ways = (towards[switch, destination] for destination in fabric.switches if hosts.are_on(destination))
            groups = {group.group_id: group for _, group in ways if group is not None}
            for group_id in [group_id for group_id in entries.groups if group_id not in groups]:
                entries.drop_group(group_id)
            for group in groups.values():
                entries.put_group(group)
        for host in hosts if turned else ():
            for switch, entries in self._entries.items():
                if (switch, host.switch) in turned:
                    self._aim(entries, switch, host)

    def _aim(self, entries: Entries, switch: str, host: Host) -> None:
        """Puts or drops the rule by which `switch` reaches a host."""
        action, group = self._towards.get((switch, host.switch), UNREACHABLE)
        if host.switch == switch:
            action = Output(host.port)
        if action is None:
            entries.drop(_identity(host.mac))
            return
        if group is not None:
            entries.put_group(group)
        entries.put(_forward(RuleKind.HOST, _to(host.mac), (action,)))


def _forwards_alike(one: Fabric, other: Fabric) -> bool:
    """Whether two fabrics give the same entries; an edge port that goes up or down changes none."""
    return one is other or (
        (one.switches is other.switches and one.links is other.links)
        and (one.doubtful, one.flood, one.usable) == (other.doubtful, other.flood, other.usable)
    )


def _towards(fabric: Fabric) -> dict[tuple[str, str], Way]:
    """(switch, edge switch) -> how the one reaches hosts of the other, and the group for it, if it takes one."""
    found: dict[tuple[str, str], Way] = {}
    for destination, group_id in ecmp.group_ids(fabric).items():
        for switch in fabric.switches:
            links = fabric.next_links(switch, destination)
            group = ecmp.group_towards(fabric, switch, destination, group_id)
            action = ToGroup(group_id) if group else Output(links[0].source.number) if links else None
            found[switch, destination] = (action, group)
    return found


def _standing(fabric: Fabric, switch: str) -> list[Rule]:
    """The rules that follow from switches and links alone."""
    rules = [
        _base(EXCEPTIONS, goto=FORWARDING),
        _base(FORWARDING, goto=None),
        _exception(RuleKind.DISCOVERY, (("eth_type", ETH_LLDP),), TO_CONTROLLER),
        _forward(RuleKind.ANSWER, _to(OUR_MAC), ()),
    ]
    rules += [_exception(RuleKind.ARP, match, TO_CONTROLLER, goto=FORWARDING) for match in RESOLUTION]
    for number in fabric.link_ports(switch):
        at = ("in_port", number)
        rules += [_exception(RuleKind.ARP_TRANSIT, (at, *match), goto=FORWARDING) for match in RESOLUTION]
    if fabric.flood:
        rules.append(_forward(RuleKind.TREE, (), tuple(Output(number) for number in fabric.flood_ports(switch))))
    return rules


def _base(table: int, goto: int | None) -> Rule:
    return Rule((), goto=goto, table=table, priority=PRIORITY[RuleKind.BASE], cookie=cookie(RuleKind.BASE))


def _exception(kind: RuleKind, match: Match, actions: tuple[Action, ...] = (), goto: int | None = None) -> Rule:
    return Rule(match, actions, goto=goto, table=EXCEPTIONS, priority=PRIORITY[kind], cookie=cookie(kind))


def _forward(kind: RuleKind, match: Match, actions: tuple[Action, ...]) -> Rule:
    return Rule(match, actions, table=FORWARDING, priority=PRIORITY[kind], cookie=cookie(kind))


def _identity(mac: str) -> tuple[int, int, frozenset[tuple[str, Value]]]:
    """Of the rule by which a host is reached."""
    return _forward(RuleKind.HOST, _to(mac), ()).identity


def _to(mac: str) -> Match:
    return (("eth_dst", mac),)
