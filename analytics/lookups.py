"""What computed keys look up outside of the sample (flows.keys.Lookups): topology, groups, maps.

Looking up is done with the pipeline's lock held, once per raw key never seen before. Whoever changes a table here says
so to the definitions that look something up in it (Engine._table_changed).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analytics.flows.groups import Group, Map
from analytics.metrics.directory import Topology


@dataclass
class Tables:
    """The tables, by name."""

    topology: Topology
    groups: dict[str, Group] = field(default_factory=dict)
    maps: dict[str, Map] = field(default_factory=dict)

    def link(self, agent: str, port: str) -> str | None:
        """The link at a port."""
        return self.topology.link_name(agent, port)

    def group(self, name: str, address: str) -> str | None:
        """The label of an address in a group; a group that is not there has no labels."""
        group = self.groups.get(name)
        return None if group is None else group.label(address)

    def map_label(self, name: str, text: str) -> str | None:
        """The label of a value in a map; a map that is not there has no labels."""
        found = self.maps.get(name)
        return None if found is None else found.label(text)

    @property
    def bytes(self) -> int:
        """About what groups and maps take."""
        return sum(group.bytes for group in self.groups.values()) + sum(each.bytes for each in self.maps.values())
