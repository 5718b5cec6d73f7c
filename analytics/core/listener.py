"""What the pipeline calls: its one way out of native code, with its lock and the GIL held.

Calls come once per batch at most, not once per sample, and must not take the pipeline's lock again. What a listener
raises is a bug: it ends that batch's calls and is raised again by `Pipeline.raise_failure`.
"""

from __future__ import annotations

from typing import Protocol

from analytics.core.flows.flowcache import FlowCache

Metric = tuple[str, str, int | float | str]
"""Of an rtmetric sample: (name, one of wire.sflow.RTMETRIC_TYPES, value)"""

Crossing = tuple[FlowCache, int, int, int, bytes, float, float, tuple[float | None, ...]]
"""(cache, index of its limit, data source, key id, carried bytes, value, time, other values of the definition) of a
limit that was crossed"""


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

    def on_limits_crossed(self, crossings: list[Crossing]) -> None:
        """Rates that crossed a limit, in the order in which they did."""
