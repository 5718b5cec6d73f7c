"""Forwarding by destination MAC, so IPv4, IPv6 and everything else take the same paths.

Hosts of the switch itself are reached by their port, hosts elsewhere by blocks of MACs (blocks.py) that lead through
the select group of their edge switch (a plain output where there is one path only, which also lets sFlow report the
output port). Everything else, broadcast, multicast, and what is sent to a MAC that is not known, follows one loop-free
tree, as between any layer-2 switches. So hosts find and reach each other without a controller, and before their rules;
that gets a copy of ARP and Neighbour Discovery where they enter the fabric, to learn hosts from. A request crosses
every switch once. What hosts answer to the controller itself ends where it was copied. Probes of discovery go to it
alone.

Blocks that change while packets are under way: new ones are put before old ones are dropped (reconcile.py), the longer
wins, and both lead to where the hosts are that they share.

Cost: rules per switch are its own hosts and the blocks, which are the same on all, so each is one object; a host that
is learnt, moved or forgotten changes a few of them per switch, mostly one. A change of the fabric compares every pair
of switch and edge switch, and touches the blocks of those pairs alone whose next hops differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from controller.feature import Entries, Feature
from controller.forwarding import blocks
from controller.forwarding.blocks import Block, Blocks
from controller.frames import OUR_MAC
from controller.hosts import HOST_AGE, Hosts
from controller.pipeline import EXCEPTIONS, FLOODING, FORWARDING, PRIORITY, RuleKind, cookie, kind_of
from controller.policy import ecmp
from controller.reconcile import Identity
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


class Way(NamedTuple):
    """From a switch to an edge switch: what to do, the table that goes on, and the group that it takes."""

    actions: tuple[Action, ...] = ()
    goto: int | None = None
    group: Group | None = None


FLOODED = Way(goto=FLOODING)

TO_CONTROLLER = (Output("CONTROLLER"),)
_ICMPV6: Match = (("eth_type", ETH_IPV6), ("ip_proto", PROTO_ICMPV6))
# By what hosts find each other: ARP, and Neighbour Discovery for IPv6.
RESOLUTION: tuple[Match, ...] = (
    (("eth_type", ETH_ARP),),
    (*_ICMPV6, ("icmpv6_type", ND_SOLICITATION)),
    (*_ICMPV6, ("icmpv6_type", ND_ADVERTISEMENT)),
)


class Forwarding(Feature):
    """The forwarding entries of every switch. With `remembers`, hosts whose rules an earlier controller left at their
    own switch are taken to be there for HOST_AGE, so that blocks of hosts that spoke already do not cover the others.
    """

    def __init__(self, *, remembers: bool = False) -> None:
        self._fabric: Fabric | None = None
        self._entries: dict[str, Entries] = {}
        self._blocks = Blocks()
        self._ways: dict[tuple[str, str | None], Way] = {}
        self._rules: dict[tuple[object, ...], Rule] = {}  # of this change, by block and what is done
        self._standing: dict[str, list[Rule]] = {}
        self._remembers = remembers
        self._remembered: dict[str, str] = {}
        self._began: float | None = None

    def wanted(self, fabric: Fabric, hosts: Hosts, now: float) -> Mapping[str, Entries]:
        if self._fabric is None:
            self._blocks.update({host.mac: host.switch for host in hosts})
        if self._remembered and self._began is not None and now - self._began >= HOST_AGE:
            self._place(dict.fromkeys(self._remembered))
            self._remembered.clear()
        if self._fabric is None or not _forwards_alike(fabric, self._fabric):
            self._reroute(fabric, hosts)
        self._fabric = fabric
        return self._entries

    def adopt(self, fabric: Fabric, hosts: Hosts, switch: str, rules: Sequence[Rule], now: float) -> None:
        if not self._remembers:
            return
        if self._began is None:
            self._began = now
        kept = {rule.identity: rule for rule in rules if kind_of(rule.cookie) == RuleKind.HOST}
        macs = (str(dict(rule.match)["eth_dst"]) for rule in kept.values())
        here = {mac: switch for mac in macs if _identity(mac) in kept and mac not in hosts.by_mac}
        self._remembered.update(here)
        self._place(here)

    def relocated(self, fabric: Fabric, hosts: Hosts, moved: Sequence[tuple[Host | None, Host | None]]) -> None:
        if self._fabric is None:
            return
        edges: dict[str, str | None] = {}
        for before, after in moved:
            if before is not None:
                edges[before.mac] = None
                if (after is None or after.switch != before.switch) and before.switch in self._entries:
                    self._entries[before.switch].drop(_identity(before.mac))
            if after is not None:
                edges[after.mac] = after.switch
                self._remembered.pop(after.mac, None)
                if after.switch in self._entries:
                    self._entries[after.switch].put(_local(after))
        self._place(edges)
        left = {before.switch for before, _ in moved if before and not self._blocks.are_on(before.switch)}
        for switch, entries in self._entries.items():
            for edge in left:
                group = self._ways.get((switch, edge), FLOODED).group
                if group is not None:
                    entries.drop_group(group.group_id)

    def _place(self, edges: Mapping[str, str | None]) -> None:
        """Has all switches reach these MACs behind these edge switches, or nowhere."""
        changed = self._blocks.update(edges)
        self._rules.clear()
        for switch, entries in self._entries.items():
            for block in changed:
                self._aim(entries, switch, block)

    def _reroute(self, fabric: Fabric, hosts: Hosts) -> None:
        """Brings all entries up to date with another fabric."""
        ways = _ways(fabric)
        turned: dict[str | None, list[str]] = {}
        for switch, edge in self._ways.keys() | ways.keys():
            if switch in fabric.switches and self._ways.get((switch, edge)) != ways.get((switch, edge)):
                turned.setdefault(edge, []).append(switch)
        self._ways = ways
        self._rules.clear()
        known = self._entries
        self._entries = {switch: known.get(switch) or Entries() for switch in fabric.switches}
        for switch, entries in self._entries.items():
            self._rebase(fabric, switch, entries)
        for host in hosts:
            if host.switch not in known and host.switch in self._entries:
                self._entries[host.switch].put(_local(host))
        for block, edge in self._blocks.table.items():
            for switch in turned.get(edge, ()):
                self._aim(self._entries[switch], switch, block)

    def _rebase(self, fabric: Fabric, switch: str, entries: Entries) -> None:
        """Brings what a switch holds whatever hosts there are up to date with a fabric, and its groups."""
        standing = _standing(fabric, switch)
        for rule in self._standing.get(switch, ()):
            if rule not in standing:
                entries.drop(rule.identity)
        for rule in standing:
            entries.put(rule)
        self._standing[switch] = standing
        used = (self._ways.get((switch, edge), FLOODED) for edge in fabric.switches if self._blocks.are_on(edge))
        groups = {way.group.group_id: way.group for way in used if way.group is not None}
        for group_id in [group_id for group_id in entries.groups if group_id not in groups]:
            entries.drop_group(group_id)
        for group in groups.values():
            entries.put_group(group)

    def _aim(self, entries: Entries, switch: str, block: Block) -> None:
        """Puts or drops the rule by which `switch` reaches the hosts of a block."""
        way = None
        if block in self._blocks.table:
            way = self._ways.get((switch, self._blocks.table[block]))
        if way is None:
            entries.drop(_towards(block, FLOODED).identity)
            return
        key = block, way.actions, way.goto
        rule = self._rules.get(key)
        if rule is None:
            rule = self._rules[key] = _towards(block, way)
        if way.group is not None:
            entries.put_group(way.group)
        entries.put(rule)


def _forwards_alike(one: Fabric, other: Fabric) -> bool:
    """Whether two fabrics give the same entries; an edge port that goes up or down changes none."""
    return one is other or (
        (one.switches is other.switches and one.links is other.links)
        and (one.doubtful, one.flood, one.usable) == (other.doubtful, other.flood, other.usable)
    )


def _ways(fabric: Fabric) -> dict[tuple[str, str | None], Way]:
    """(switch, edge switch elsewhere) -> how the one reaches hosts of the other; (switch, None) -> those of nobody.
    What cannot be reached is nobody's, once all links are known.
    """
    found: dict[tuple[str, str | None], Way] = {(switch, None): FLOODED for switch in fabric.switches}
    for destination, group_id in ecmp.group_ids(fabric).items():
        through = (ToGroup(group_id),)
        for name, switch in fabric.switches.items():
            links = fabric.next_links(name, destination)
            if len(links) > 1:
                found[name, destination] = Way(through, None, ecmp.group_over(links, switch, group_id))
            elif links:
                found[name, destination] = Way((Output(links[0].source.number),))
            elif fabric.flood and name != destination:
                found[name, destination] = FLOODED
    return found


def _standing(fabric: Fabric, switch: str) -> list[Rule]:
    """The rules that follow from switches and links alone."""
    rules = [
        _base(EXCEPTIONS, goto=FORWARDING),
        _exception(RuleKind.DISCOVERY, (("eth_type", ETH_LLDP),), TO_CONTROLLER),
        _forward(RuleKind.ANSWER, _to(OUR_MAC)),
    ]
    if fabric.edge_ports(switch):
        rules += [_exception(RuleKind.ARP, match, TO_CONTROLLER, goto=FORWARDING) for match in RESOLUTION]
        for number in fabric.link_ports(switch):
            at = ("in_port", number)
            rules += [_exception(RuleKind.ARP_TRANSIT, (at, *match), goto=FORWARDING) for match in RESOLUTION]
    if fabric.flood:
        everywhere = tuple(Output(number) for number in fabric.flood_ports(switch))
        rules.append(_rule(RuleKind.TREE, FLOODING, (), everywhere))
    rules.append(_base(FORWARDING, goto=FLOODING))
    return rules


def _rule(kind: RuleKind, table: int, match: Match, actions: tuple[Action, ...] = (), goto: int | None = None) -> Rule:
    return Rule(match, actions, goto=goto, table=table, priority=PRIORITY[kind], cookie=cookie(kind))


def _base(table: int, goto: int) -> Rule:
    return _rule(RuleKind.BASE, table, (), (), goto)


def _exception(kind: RuleKind, match: Match, actions: tuple[Action, ...] = (), goto: int | None = None) -> Rule:
    return _rule(kind, EXCEPTIONS, match, actions, goto)


def _forward(kind: RuleKind, match: Match, actions: tuple[Action, ...] = ()) -> Rule:
    return _rule(kind, FORWARDING, match, actions)


def _local(host: Host) -> Rule:
    """The rule by which a host is reached at its own switch."""
    return _forward(RuleKind.HOST, _to(host.mac), (Output(host.port),))


def _towards(block: Block, way: Way) -> Rule:
    """The rule by which a switch reaches the hosts of a block; the longer of two blocks wins."""
    rule = _rule(RuleKind.BLOCK, FORWARDING, _to(blocks.text(block)), way.actions, way.goto)
    return replace(rule, priority=rule.priority + block.length)


def _identity(mac: str) -> Identity:
    """Of the rule by which a host is reached at its own switch."""
    return _forward(RuleKind.HOST, _to(mac)).identity


def _to(mac: str) -> Match:
    return (("eth_dst", mac),)
