"""From what a switch holds to what it shall hold, in an order that never breaks forwarding.

Groups come before the rules that point at them, rules are replaced in place (same table, priority and match: one
atomic change), and what is no longer wanted goes last, rules before the groups they use. Only entries whose cookie or
group number is ours are ever deleted; a foreign entry is left out of the comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.pipeline import is_our_group, is_ours
from ovs_rules.rule import Group, Rule, group_text
from ovs_rules.rule import text as rule_text

Identity = tuple[int, int, frozenset[tuple[str, int | str]]]


@dataclass(frozen=True)
class PutRule:
    """Add the rule, or replace the one with the same table, priority and match."""

    rule: Rule


@dataclass(frozen=True)
class DropRule:
    """Remove exactly this rule."""

    rule: Rule


@dataclass(frozen=True)
class PutGroup:
    """Add the group, or replace the one of that number, always as a whole (Open vSwitch issue 357)."""

    group: Group
    exists: bool


@dataclass(frozen=True)
class DropGroup:
    group_id: int


Change = PutRule | DropRule | PutGroup | DropGroup


@dataclass
class Installed:
    """What one switch holds of ours: as it reported on connecting, kept up with every change and every removal."""

    rules: dict[Identity, Rule]
    groups: dict[int, Group]

    @classmethod
    def reported(cls, rules: Iterable[Rule], groups: Iterable[Group]) -> Installed:
        return cls(
            {rule.identity: rule for rule in rules if is_ours(rule.cookie)},
            {group.group_id: group for group in groups if is_our_group(group.group_id)},
        )

    def copy(self) -> Installed:
        return Installed(dict(self.rules), dict(self.groups))

    def apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            match change:
                case PutRule(rule):
                    self.rules[rule.identity] = rule
                case DropRule(rule):
                    self.rules.pop(rule.identity, None)
                case PutGroup(group, _):
                    self.groups[group.group_id] = group
                case DropGroup(group_id):
                    self.groups.pop(group_id, None)


@dataclass
class Ledger:
    """What one connected switch holds of ours, the rules that it refused as they are, and which entries have to be
    compared with what is wanted, in that order; None is all of them.
    """

    installed: Installed
    refused: dict[Identity, Rule] = field(default_factory=dict)
    due: dict[Identity | int, None] | None = None

    def look_at(self, entries: Iterable[Identity | int]) -> None:
        if self.due is not None:
            self.due.update(dict.fromkeys(entries))


def changes(
    installed: Installed, rules: Mapping[Identity, Rule | None], groups: Mapping[int, Group | None]
) -> list[Change]:
    """The changes, in safe order, that make these entries of a switch what is wanted of each; None is not to be there.
    Entries that are not named stay. Costs what the entries named cost, however many others there are.
    """
    out: list[Change] = [
        PutGroup(group, group_id in installed.groups)
        for group_id, group in groups.items()
        if group is not None and installed.groups.get(group_id) != group
    ]
    out += [
        PutRule(rule)
        for identity, rule in rules.items()
        if rule is not None and (identity not in installed.rules or installed.rules[identity].effect != rule.effect)
    ]
    out += [
        DropRule(installed.rules[identity])
        for identity, rule in rules.items()
        if rule is None and identity in installed.rules
    ]
    out += [DropGroup(group_id) for group_id, group in groups.items() if group is None and group_id in installed.groups]
    return out


def describe(change: Change) -> str:
    """The change as an operator would write it."""
    match change:
        case PutRule(rule):
            return f"add-flow {rule_text(rule)}"
        case DropRule(rule):
            return f"del-flow {rule_text(rule)}"
        case PutGroup(group, exists):
            return f"{'mod' if exists else 'add'}-group {group_text(group)}"
        case DropGroup(group_id):
            return f"del-group group_id={group_id}"
