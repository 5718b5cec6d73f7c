"""Names for the native core's indices: agents and data sources, and which of them a query means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

from analytics.core.ledger import Ledger

DataSource = tuple[str, str]  # address of the agent, name of the data source

AGENT_WIDE = "2.1"  # the data source whose metrics describe the agent as a whole


class Topology(Protocol):
    """What the engine asks of a topology; ifindex are texts. analytics.topology.Topology fits."""

    def speed(self, agent: str, ifindex: str) -> int | None: ...
    def link_name(self, agent: str, ifindex: str) -> str | None: ...
    def is_core(self, agent: str, ifindex: str) -> bool: ...
    def is_edge(self, agent: str, ifindex: str) -> bool: ...
    def agents(self) -> frozenset[str]: ...


class NoTopology:
    """Before one is set: no port is known."""

    def speed(self, agent: str, ifindex: str) -> int | None:
        return None

    def link_name(self, agent: str, ifindex: str) -> str | None:
        return None

    def is_core(self, agent: str, ifindex: str) -> bool:
        return False

    def is_edge(self, agent: str, ifindex: str) -> bool:
        return False

    def agents(self) -> frozenset[str]:
        return frozenset()


class Directory:
    """Grows with the ledger: call `add` for each new data source, in order, while holding the pipeline's lock."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._agents: list[str] = []
        self.sources: list[DataSource] = []  # by source index
        self.index: dict[DataSource, int] = {}
        self.by_agent: defaultdict[str, list[int]] = defaultdict(list)

    def agent(self, agent: int) -> str:
        """The address of an agent as text."""
        while len(self._agents) <= agent:
            self._agents.append(str(ip_address(self._ledger.address(len(self._agents)))))
        return self._agents[agent]

    def add(self, source: int) -> None:
        """Read the names of the next data source from the ledger."""
        agent, name, *_ = self._ledger.source_values(source)
        address = self.agent(agent)
        self.sources.append((address, name))
        self.index[address, name] = source
        self.by_agent[address].append(source)

    def wants(self, agents: Sequence[str], topology: Topology, agent: str, source: str) -> bool:
        """Whether a query for `agents` (addresses, ALL, TOPOLOGY, EDGE, CORE) means this data source."""
        for word in agents:
            if word in ("ALL", agent):
                return True
            if word == "TOPOLOGY" and agent in topology.agents():
                return True
            if word == "EDGE" and topology.is_edge(agent, source):
                return True
            if word == "CORE" and topology.is_core(agent, source):
                return True
        return False
