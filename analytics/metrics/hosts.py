"""Which host has a MAC address: the adapters that hosts and virtual machines report (sFlow Host, record 0:2001).

An index of addresses is made anew every INDEX_S in turns, while a definition looks hosts up; what it names is read from
the counters at that time. It takes 150 bytes per address.
"""

from __future__ import annotations

from analytics.core.pipeline import Pipeline
from analytics.metrics.cells import TURN
from analytics.metrics.counters import Counters
from analytics.metrics.directory import AGENT_WIDE, DataSource
from analytics.turns import Turns

INDEX_S = 60.0  # between two indexes: so long a host may be called by an old name
MOST_ADDRESSES = 100_000


class Hosts:
    """Attributes of hosts and ports, as counters tell them; the pipeline's lock is held but for `index`."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._by_mac: dict[str, DataSource] = {}

    def index(self, pipeline: Pipeline, sources: int) -> Turns[None]:
        """Find the addresses of all hosts anew, among `sources` data sources."""
        found: dict[str, DataSource] = {}
        for first in range(0, sources, TURN):
            with pipeline:
                for data_source in self._counters.sources(first, TURN):
                    found |= dict.fromkeys(self._counters.addresses(*data_source), data_source)
            if len(found) > MOST_ADDRESSES:
                break
            yield
        self._by_mac = found

    def attribute(self, mac: str, name: str) -> str | None:
        """A metric of the host that has an address, or of its agent, as text."""
        agent, source = self._by_mac.get(mac, ("", ""))
        held = self._counters.value(agent, source, name, 0.0) or self._counters.value(agent, AGENT_WIDE, name, 0.0)
        return None if held is None else str(held[0])

    def ifname(self, agent: str, port: str) -> str | None:
        """The name of a port."""
        held = self._counters.value(agent, port, "ifname", 0.0)
        return None if held is None else str(held[0])
