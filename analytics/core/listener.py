"""What the pipeline calls: its one way out of native code, with its lock and the GIL held.

Calls come once per batch at most, not once per sample, and must not take the pipeline's lock again. What a listener
raises is a bug: it ends that batch's calls and is raised again by `Pipeline.raise_failure`.
"""

from __future__ import annotations

from typing import Protocol

from analytics.core.flows.flowcache import FlowCache

Metric = tuple[str, str, int | float | str]
"""Of an rtmetric sample: (name, one of wire.sflow.RTMETRIC_TYPES, value)"""

Span = tuple[float, float, float, int]
"""Samples added up: (time of the first, time of the last, sum, how many)"""

Evidence = tuple[float, tuple[tuple[int, int, int, int], ...]]
"""What a sequential test has found: (confidence, where: (data source, ifIndex by which the flow leaves or 0, sampling
rate, samples) of each)"""

Crossing = tuple[FlowCache, int, int, int, bytes, float, float, Span, tuple[float | None, ...], Evidence | None]
"""(cache, index of its limit, data source, key id, carried bytes, rate, what the first sample added, samples, other
values of the definition, what its test has found) of a limit that was crossed, and of an elephant that ended: then with
its peak rate"""

Recorded = tuple[FlowCache, int, int, bytes, Span]
"""(cache, data source, key id, carried bytes, samples) of a flow record"""


class Listener(Protocol):
    """Takes what needs Python. Agents and data sources are indexes of the ledger; `now` is that of the batch."""

    def on_new_source(self, source: int) -> None:
        """A data source that was never seen before; called before anything else of it."""

    def on_counters(self, source: int, now: float) -> None:
        """Counter records that CounterStore.watch names came from a data source."""

    def on_named_counters(self, source: int, uptime: int, metrics: list[Metric], now: float) -> None:
        """Metrics of a data source with a name of its own (rtmetric); `uptime` of the agent in ms."""

    def compute_key(self, cache: FlowCache, agent: int, raw: bytes) -> int | None:
        """The key id of raw fields, as flows/flowkeys.pyx lays them out, never seen before; 0: not counted, None:
        refused, ask again."""

    def on_elephants_ended(self, ended: list[Crossing]) -> None:
        """Flows that were above a limit and have been below it for its timeout; called before on_limits_crossed."""

    def on_flows_recorded(self, recorded: list[Recorded]) -> None:
        """Flow records that ended (or, with flow_start, began), in that order."""

    def on_limits_crossed(self, crossings: list[Crossing]) -> None:
        """Rates that crossed a limit, in the order in which they did."""

    def on_elephants_seen_elsewhere(self, seen: list[Crossing]) -> None:
        """Elephants of tests, sampled where they had not been lately."""

    def on_relayed(self) -> None:
        """Datagrams wait to be passed on (relay.Relay.take_waiting)."""
