"""What computed keys look up outside of the sample (flows.functions.Lookups): topology, groups, maps, hosts, and the
files and the resolver that the configuration names.

Looking up is done with the pipeline's lock held, once per raw key never seen before. Whoever changes a table here says
so to the definitions that look something up in it (Engine._table_changed).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from analytics.flows.functions import COUNTRIES, NAMES, SYSTEMS, VENDORS
from analytics.flows.groups import Group, Map
from analytics.flows.keys import InvalidDefinition
from analytics.topology import Topology

MISSING = {
    COUNTRIES: "geo_country names no database",
    SYSTEMS: "geo_asn names no database",
    VENDORS: "oui names no file",
    NAMES: "dns is off",
}
"""Tables that the configuration may leave out: what then is wrong in its section analytics."""


class Countries(Protocol):
    def country(self, address: str, attribute: str) -> str | None: ...


class Systems(Protocol):
    def system(self, address: str) -> tuple[int, str | None] | None: ...


class Vendors(Protocol):
    def vendor(self, mac: str) -> str | None: ...


class Names(Protocol):
    def reverse_name(self, address: str) -> str | None: ...
    def has_news(self) -> bool: ...


class Hosts(Protocol):
    def attribute(self, mac: str, name: str) -> str | None: ...
    def ifname(self, agent: str, port: str) -> str | None: ...


@dataclass(frozen=True)
class Sources:
    """What the configuration names, opened by the program; None: it does not name it."""

    countries: Countries | None = None
    systems: Systems | None = None
    vendors: Vendors | None = None
    names: Names | None = None

    def missing(self, table: str) -> bool:
        """Whether a table is one of these and is not there."""
        known = {COUNTRIES: self.countries, SYSTEMS: self.systems, VENDORS: self.vendors, NAMES: self.names}
        return table in known and known[table] is None


@dataclass
class Tables:
    """The tables, by name."""

    hosts: Hosts
    sources: Sources = Sources()
    topology: Topology = field(default_factory=Topology)
    groups: dict[str, Group] = field(default_factory=dict)
    maps: dict[str, Map] = field(default_factory=dict)

    def check(self, tables: Iterable[str]) -> None:
        """InvalidDefinition: a key function looks something up in what the configuration does not name."""
        for table in sorted(tables):
            if self.sources.missing(table):
                raise InvalidDefinition(f"key function {table!r} is not served: {MISSING[table]}")

    def link(self, agent: str, port: str) -> str | None:
        """The link at a port."""
        return self.topology.link_name(agent, port)

    def node(self, agent: str, port: str) -> str | None:
        """The node that has a port."""
        return self.topology.node_name(agent, port)

    def ifname(self, agent: str, port: str) -> str | None:
        """The name that the agent gives a port, or else the topology."""
        return self.hosts.ifname(agent, port) or self.topology.port_name(agent, port)

    def is_edge(self, agent: str, port: str) -> bool:
        """Whether the topology has the agent and no link at the port."""
        return self.topology.is_edge(agent, port)

    def is_core(self, agent: str, port: str) -> bool:
        """Whether a port ends a link."""
        return self.topology.is_core(agent, port)

    def group(self, name: str, address: str) -> str | None:
        """The label of an address in a group; a group that is not there has no labels."""
        group = self.groups.get(name)
        return None if group is None else group.label(address)

    def map_label(self, name: str, text: str) -> str | None:
        """The label of a value in a map; a map that is not there has no labels."""
        found = self.maps.get(name)
        return None if found is None else found.label(text)

    def country(self, address: str, attribute: str) -> str | None:
        """Where an address is."""
        return self.sources.countries.country(address, attribute) if self.sources.countries else None

    def system(self, address: str) -> tuple[int, str | None] | None:
        """The autonomous system of an address."""
        return self.sources.systems.system(address) if self.sources.systems else None

    def vendor(self, mac: str) -> str | None:
        """Who makes devices with such a MAC address."""
        return self.sources.vendors.vendor(mac) if self.sources.vendors else None

    def host(self, mac: str, attribute: str) -> str | None:
        """An attribute of the host that has a MAC address."""
        return self.hosts.attribute(mac, attribute)

    def reverse_name(self, address: str) -> str | None:
        """The DNS name of an address."""
        return self.sources.names.reverse_name(address) if self.sources.names else None

    @property
    def bytes(self) -> int:
        """About what groups and maps take."""
        return sum(group.bytes for group in self.groups.values()) + sum(each.bytes for each in self.maps.values())
