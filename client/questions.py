"""What a script asks: one method per resource of the REST interface, answers as the engine gives them (JSON as Python
values; sFlow-RT's words). Nothing is kept here.

`agents` is an address, a name, a list of these, or ALL, TOPOLOGY, EDGE, CORE; further arguments of metric, table and
dump are filters of data sources (`ifspeed=1000000000`, `os_name=["linux", "windows"]`). Values are rates per second,
already multiplied by the sampling rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from client.connection import Connection, Query, Refused, part
from client.topology import Topology

NOT_FOUND = 404

Agents = str | Sequence[str]


class Questions(Connection):
    """Every method may raise Unavailable, Refused or WrongAnswer."""

    def version(self) -> str:
        return self.text("/version").strip()

    def analyzer(self) -> dict[str, Any]:
        """Statistics of the engine."""
        return dict(self.get("/analyzer/json"))

    def agents(self, *only: str) -> dict[str, Any]:
        """Address -> what is known of the agent's stream."""
        return dict(self.get("/agents/json", {"agent": only}))

    def metrics(self, agent: str | None = None) -> dict[str, Any]:
        """Metric -> ms since last seen; of an agent `<data source>.<metric>` -> value."""
        return dict(self.get("/metrics/json" if agent is None else f"/metric/{part(agent)}/json"))

    def metric(self, agents: Agents, names: Agents, **filters: Any) -> list[dict[str, Any]]:
        """One statistic per name (`max:load_one`, `sum:4.ifinoctets`); without metricValue if nothing matches."""
        return list(self.get(f"/metric/{_listed(agents)}/{_listed(names)}/json", filters))

    def table(self, agents: Agents, names: Agents, **filters: Any) -> list[list[dict[str, Any]]]:
        """Rows of metrics, one per data source."""
        return list(self.get(f"/table/{_listed(agents)}/{_listed(names)}/json", filters))

    def dump(self, agents: Agents, names: Agents, **filters: Any) -> list[dict[str, Any]]:
        """Metrics one by one."""
        return list(self.get(f"/dump/{_listed(agents)}/{_listed(names)}/json", filters))

    def flow_keys(self) -> dict[str, int]:
        """Keys that live traffic has -> ms since last seen."""
        return dict(self.get("/flowkeys/json"))

    def active_flows(
        self,
        agents: Agents,
        name: str,
        max_flows: int = 100,
        min_value: float = 0.0,
        mode: str = "max",
        pattern: str | None = None,
    ) -> list[dict[str, Any]]:
        """The largest flows, largest first; `mode` says how the values of one key on several data sources become one
        (max, sum, avg, edge, core), `pattern` which keys are wanted."""
        query: Query = {"maxFlows": max_flows, "minValue": min_value, "aggMode": mode, "filter": pattern}
        return list(self.get(f"/activeflows/{_listed(agents)}/{part(name)}/json", query))

    def flow_value(self, agent: str, data_source: str, name: str, key: str) -> float | None:
        """The value of one flow on one data source; None if it is not there."""
        try:
            return float(self.get(f"/flowvalue/{part(agent)}/{part(f'{data_source}.{name}')}/json", {"key": key}))
        except Refused as refusal:
            if refusal.status == NOT_FOUND:
                return None
            raise

    def flow_locations(self, agents: Agents, name: str, key: str) -> list[dict[str, Any]]:
        """The data sources that see a flow."""
        return list(self.get(f"/flowlocations/{_listed(agents)}/{part(name)}/json", {"key": key}))

    def topology(self) -> Topology:
        """The topology as it is now; ask it all you want to know about one moment."""
        return Topology(self.get("/topology/json"))

    def link_metric(self, link: str, names: Agents, node: str | None = None) -> list[dict[str, Any]]:
        """The metrics of a link's ports: those of its first end, then those of its second; of one end with `node`."""
        wanted = [names] if isinstance(names, str) else names
        found = []
        for end in self.topology().ends(link):
            if end.agent is not None and end.ifindex is not None and node in (None, end.node):
                found += self.metric(end.agent, [f"{end.ifindex}.{name}" for name in wanted])
        return found


def _listed(names: Agents) -> str:
    return part(*([names] if isinstance(names, str) else names))
