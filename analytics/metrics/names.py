"""Names that switches say of themselves in counter samples, for those who know a port by its name only.

host_descr names the agent (host_name), port_name the port (ifname), Open vSwitch's record both by numbers (of_dpid,
of_port). Only what is `Wanted` is kept, so this costs by what is asked, not by what is known; looking it up reads every
data source that has such records once, about 20 us each, in turns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

DataSource = tuple[str, str]  # address of the agent, name of the data source: of a port its ifIndex
OpenFlowPort = tuple[str, str]  # datapath id in 16 hex digits, number of the port


@dataclass(frozen=True)
class Wanted:
    """Host names, names of ports, and OpenFlow ports that somebody wants to find."""

    hosts: Collection[str] = frozenset()
    ports: Collection[str] = frozenset()
    openflow: Collection[OpenFlowPort] = frozenset()
    dpids: Collection[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.hosts or self.ports or self.openflow or self.dpids)


@dataclass(frozen=True)
class Names:
    """What was found: agents by host name and by datapath id, ports by agent and name, by the name alone (None: several
    have it), and by OpenFlow port."""

    hosts: dict[str, str] = field(default_factory=dict)
    ports: dict[tuple[str, str], DataSource] = field(default_factory=dict)
    alone: dict[str, DataSource | None] = field(default_factory=dict)
    openflow: dict[OpenFlowPort, DataSource] = field(default_factory=dict)
    dpids: dict[str, str] = field(default_factory=dict)

    def note(self, wanted: Wanted, data_source: DataSource, said: Mapping[str, object]) -> None:
        """Keep what a data source says (host_name, ifname, of_dpid, of_port) if it is wanted; of agents with one host
        name the first counts."""
        agent, source = data_source
        host, port, dpid = said.get("host_name"), said.get("ifname"), str(said.get("of_dpid"))
        if host in wanted.hosts:
            self.hosts.setdefault(str(host), agent)
        if dpid in wanted.dpids:
            self.dpids.setdefault(dpid, agent)
        if not source.isdigit():
            return
        if port in wanted.ports:
            self.ports.setdefault((agent, str(port)), data_source)
            self.alone[str(port)] = None if port in self.alone else data_source
        if (dpid, str(said.get("of_port"))) in wanted.openflow:
            self.openflow.setdefault((dpid, str(said.get("of_port"))), data_source)


SAID = ("host_name", "ifname", "of_dpid", "of_port")
"""The metrics that `Names.note` reads."""
