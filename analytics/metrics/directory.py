"""Names for the native core's indices: agents and data sources, and which of them a query means."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol, TypeVar

from analytics.core.ledger import Ledger

K = TypeVar("K")
V = TypeVar("V")
DataSource = tuple[str, str]  # address of the agent, name of the data source

GONE: DataSource = ("", "")  # in place of names: the index has no owner
GROUPS = frozenset({"ALL", "TOPOLOGY", "EDGE", "CORE"})  # of agents, or of their ports
SPARSE_BYTES = 300  # of a dictionary, by what it has; 30 to 100 are usual
AGENT_WIDE = "2.1"  # the data source whose metrics describe the agent as a whole


class Topology(Protocol):
    """What the engine asks of a topology; ifindex are texts. analytics.topology.Topology fits."""

    def speed(self, agent: str, ifindex: str) -> int | None: ...
    def link_name(self, agent: str, ifindex: str) -> str | None: ...
    def node_name(self, agent: str, ifindex: str) -> str | None: ...
    def port_name(self, agent: str, ifindex: str) -> str | None: ...
    def is_core(self, agent: str, ifindex: str) -> bool: ...
    def is_edge(self, agent: str, ifindex: str) -> bool: ...
    def agents(self) -> frozenset[str]: ...


class UnknownAgent(LookupError):
    """A word that means no agent; the message quotes it."""


def fitted(table: dict[K, V]) -> dict[K, V]:
    """The same, in another dictionary if it has room for much more: what was once there leaves its room behind."""
    return dict(table) if sys.getsizeof(table) > SPARSE_BYTES * (len(table) + 100) else table


class Directory:
    """Names by the ledger's indexes, while these are in use: the pipeline's lock is held."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._agents: dict[int, str] = {}
        self.sources: list[DataSource] = []  # by source index; GONE: it has no owner
        self.index: dict[DataSource, int] = {}
        self.by_agent: dict[str, dict[int, None]] = {}

    def agent(self, agent: int) -> str:
        """The address of an agent as text."""
        address = self._agents.get(agent)
        if address is None:
            address = self._agents[agent] = str(ip_address(self._ledger.address(agent)))
        return address

    def add(self, source: int) -> None:
        """Read the names of a new data source from the ledger."""
        agent, name, *_ = self._ledger.source_values(source)
        address = self.agent(agent)
        while len(self.sources) <= source:
            self.sources.append(GONE)
        self.sources[source] = (address, name)
        self.index[address, name] = source
        self.by_agent.setdefault(address, {})[source] = None

    def drop(self, source: int) -> DataSource:
        """A data source is gone; its names, for the last time."""
        data_source = self.sources[source]
        self.sources[source] = GONE
        if self.index.get(data_source) == source:
            del self.index[data_source]
        others = self.by_agent.get(data_source[0], {})
        others.pop(source, None)
        if not others:
            self.by_agent.pop(data_source[0], None)
        return data_source

    def drop_agent(self, agent: int) -> None:
        """An agent is gone."""
        self._agents.pop(agent, None)

    def trim(self, count: int) -> None:
        """No index from `count` on is in use; give back the memory of those that were."""
        del self.sources[count:]
        self._agents, self.index, self.by_agent = fitted(self._agents), fitted(self.index), fitted(self.by_agent)

    @property
    def bytes(self) -> int:
        """About what all this takes."""
        return len(self.index) * 450 + len(self._agents) * 200 + len(self.sources) * 8

    def meaning(self, word: str) -> str | None:
        """What a query means by a word: one of GROUPS, or an address as it is written here; None: it may be a name."""
        if word in GROUPS:
            return word
        try:
            return str(ip_address(word))
        except ValueError:
            return None

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

    def agents_meant(self, agents: Sequence[str], topology: Topology) -> list[str]:
        """The agents that a query for `agents` may mean, as far as they have data sources."""
        if "ALL" in agents:
            return list(self.by_agent)
        meant = dict.fromkeys(agents)
        if meant.keys() & {"TOPOLOGY", "EDGE", "CORE"}:
            meant |= dict.fromkeys(topology.agents())
        return [agent for agent in meant if agent in self.by_agent]
