"""What a feature of the controller is: something that wants entries on switches.

Forwarding, replication and the control of elephants are features. The conductor gives each the inputs below, joins
what all of them want, and sends the difference to what the switches hold; so a feature installs nothing itself, and
what it no longer wants is removed. A feature reads no clock: `now` (s since the epoch) comes with every call.

What a feature wants on a switch stands in one Entries, which knows what changed since it was last looked at. So an
input that changes one entry costs one comparison, however many thousands stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from controller.flow import FlowObservation
from controller.hosts import Hosts
from controller.reconcile import Identity
from controller.topology import Fabric, Host
from ovs_rules.rule import Group, Rule


class Entries:
    """The entries that one feature wants on one switch.

    `is_ingress`: flows that the feature handles enter the fabric here. Such a switch is changed after the others, so
    that no packet meets a half-changed path. `changed`: the identities of rules and the numbers of groups that were
    put or dropped since the conductor emptied it, in that order.
    """

    def __init__(self, rules: Iterable[Rule] = (), groups: Iterable[Group] = (), *, is_ingress: bool = False) -> None:
        self.rules: dict[Identity, Rule] = {}
        self.groups: dict[int, Group] = {}
        self.is_ingress = is_ingress
        self.changed: dict[Identity | int, None] = {}
        self.become(rules, groups)

    def put(self, rule: Rule) -> None:
        self._put(rule.identity, rule)

    def drop(self, identity: Identity) -> None:
        if self.rules.pop(identity, None) is not None:
            self.changed[identity] = None

    def put_group(self, group: Group) -> None:
        if self.groups.get(group.group_id) != group:
            self.groups[group.group_id] = group
            self.changed[group.group_id] = None

    def drop_group(self, group_id: int) -> None:
        if self.groups.pop(group_id, None) is not None:
            self.changed[group_id] = None

    def become(self, rules: Iterable[Rule], groups: Iterable[Group] = ()) -> None:
        """Exactly these and no others."""
        fresh, fresh_groups = {rule.identity: rule for rule in rules}, {group.group_id: group for group in groups}
        for identity in [identity for identity in self.rules if identity not in fresh]:
            self.drop(identity)
        for group_id in [group_id for group_id in self.groups if group_id not in fresh_groups]:
            self.drop_group(group_id)
        for identity, rule in fresh.items():
            self._put(identity, rule)
        for group in fresh_groups.values():
            self.put_group(group)

    def _put(self, identity: Identity, rule: Rule) -> None:
        if self.rules.get(identity) != rule:
            self.rules[identity] = rule
            self.changed[identity] = None


class Feature:
    """A source of rules: subclasses say what is `wanted`, and take those inputs that matter to them."""

    def wanted(self, fabric: Fabric, hosts: Hosts, now: float) -> Mapping[str, Entries]:
        """Switch name -> its entries, the same objects at every call; called after every input that may matter, so
        what did not change is not computed again. A switch that is absent gets nothing.
        """
        raise NotImplementedError

    def problems(self) -> Sequence[str]:
        """What keeps the feature from working in full, one line each, for GET /v1/status."""
        return ()

    def observed(
        self, fabric: Fabric, hosts: Hosts, seen: Sequence[FlowObservation], now: float, *, complete: bool
    ) -> None:
        """What analytics observed; `complete` says that it is a poll of every port, so that absence means quiet."""

    def reconsider(self, fabric: Fabric, hosts: Hosts, now: float) -> None:
        """The fabric changed."""

    def relocated(self, fabric: Fabric, hosts: Hosts, moved: Sequence[tuple[Host | None, Host | None]]) -> None:
        """Hosts were learnt (before: None), forgotten (after: None), moved or renumbered; `hosts` knows it already."""

    def adopt(self, fabric: Fabric, hosts: Hosts, switch: str, rules: Sequence[Rule], now: float) -> None:
        """`switch` connected and reported these rules of ours, which an earlier controller may have left."""

    def in_force(self, rule: Rule, now: float) -> None:
        """A switch confirmed this rule."""

    def expired(self, rule: Rule, now: float) -> None:
        """This rule timed out on its switch."""
