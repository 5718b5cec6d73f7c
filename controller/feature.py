"""What a feature of the controller is: something that wants entries on switches.

Forwarding, replication and the control of elephants are features. The conductor gives each the inputs below, joins
what all of them want, and sends the difference to what the switches hold; so a feature installs nothing itself, and
what it no longer wants is removed. A feature reads no clock: `now` (s since the epoch) comes with every call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.flow import FlowObservation
from controller.topology import Fabric
from ovs_rules.rule import Group, Rule


@dataclass(frozen=True)
class Wanted:
    """The entries that one feature wants on one switch.

    `is_ingress`: flows that the feature handles enter the fabric here. Such a switch is changed after the others, so
    that no packet meets a half-changed path.
    """

    rules: tuple[Rule, ...] = ()
    groups: tuple[Group, ...] = ()
    is_ingress: bool = False


class Feature:
    """A source of rules: subclasses say what is `wanted`, and take those inputs that matter to them."""

    def wanted(self, fabric: Fabric, now: float) -> Mapping[str, Wanted]:
        """Switch name -> its entries; called after every input, so what depends on the fabric alone is kept."""
        raise NotImplementedError

    def problems(self) -> Sequence[str]:
        """What keeps the feature from working in full, one line each, for GET /v1/status."""
        return ()

    def observed(self, fabric: Fabric, seen: Sequence[FlowObservation], now: float, *, complete: bool) -> None:
        """What analytics observed; `complete` says that it is a poll of every port, so that absence means quiet."""

    def reconsider(self, fabric: Fabric, now: float) -> None:
        """The fabric changed."""

    def adopt(self, fabric: Fabric, switch: str, rules: Sequence[Rule], now: float) -> None:
        """`switch` connected and reported these rules of ours, which an earlier controller may have left."""

    def in_force(self, rule: Rule, now: float) -> None:
        """A switch confirmed this rule."""

    def expired(self, rule: Rule, now: float) -> None:
        """This rule timed out on its switch."""
