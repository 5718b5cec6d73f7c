"""Counter samples -> metrics with sFlow-RT's names (sflow-rt-api.md 4.1, 4.2); countertable.py says which from what.

The native core keeps the two newest bodies of every record (core/counterstore.pyx). They become metrics on demand,
record by record, and the result is kept until the data source sends again. A counter becomes a rate per second; a wrap
is undone, after a restart rates begin anew, and the marker for "unknown" (all ones) never becomes a rate. Gauges
and texts are taken as they are; one that is unknown this time keeps the value before. A metric that was not updated for
some polling intervals is stale and disappears.

Only rtmetric samples, which name their metrics themselves, are decoded on arrival (`update_named`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from analytics.core.counterstore import CounterStore
from analytics.core.wire.rows import decode_record
from analytics.core.wire.structures import Tag
from analytics.memory import NAMED_BYTES, READ_BYTES
from analytics.metrics.countershares import SHARES
from analytics.metrics.countertable import HOST_TEXTS, WORD, gauges, growth, rates, tags_of
from analytics.metrics.directory import DataSource, Directory

STALE_NAMED_S = 120.0  # without an update; no interval is known of rtmetric samples
MAX_NAMED = 1000  # metrics of one named data source; others are left out
MAX_READ = 20_000  # data sources whose metrics are remembered
UPTIME_SLACK_MS = 60_000  # how much faster than our clock an agent's may run between two samples
VIRTUAL = "3."  # data sources of logical entities: virtual machines and containers
PORT: Tag = (0, 1)
QUEUE: Tag = (0, 1003)
ADAPTERS: Tag = (0, 2001)

Speed = Callable[[str, str], "int | None"]
Metrics = dict[str, tuple[Any, float]]  # name -> (value, time of the last update)
Entry = tuple[Tag, float, bytes, float, "bytes | None"]  # record, when, body, when before, body before


@dataclass
class _Read:
    """What the store held of one data source at a version; `metrics` by entry, as far as it was asked for."""

    version: int
    stale_after: float
    entries: list[Entry]
    metrics: dict[int, Metrics] = field(default_factory=dict)


@dataclass
class _Named:
    """A data source of rtmetric samples."""

    metrics: Metrics = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)  # name -> value on the wire
    uptime: int = 0
    updated: float = 0.0

    def restarted(self, uptime: int, now: float) -> bool:
        """Whether the agent restarted before a sample; its uptime alone may also have wrapped."""
        elapsed_ms = (now - self.updated) * 1000
        return uptime < self.uptime and (uptime - self.uptime) % WORD > 2 * elapsed_ms + UPTIME_SLACK_MS


class Counters:
    """The counter metrics of all data sources.

    `speed(agent, source)`: a port's rate in the topology in use, bits/s. `most_bytes`: half of them for metrics that
    are remembered, which are then read anew, half for those of named data sources, which are refused and counted.
    """

    def __init__(self, store: CounterStore, directory: Directory, speed: Speed, most_bytes: int) -> None:
        self._store = store
        self._directory = directory
        self._speed = speed
        self._most_read = max(1, min(MAX_READ, most_bytes // 2 // READ_BYTES))
        self._most_named = most_bytes // 2 // NAMED_BYTES
        self._read: dict[int, _Read] = {}
        self._named: dict[DataSource, _Named] = {}
        self._named_metrics = 0
        self.refused = 0

    def update_named(
        self, agent: str, source: str, uptime: int, metrics: Iterable[tuple[str, str, Any]], now: float
    ) -> None:
        """Take an rtmetric sample of a data source with a name of its own: (name, type, value), the type one of
        core/wire/sflow.RTMETRIC_TYPES."""
        state = self._named.setdefault((agent, source), _Named())
        if state.restarted(uptime, now):
            state.counters = {}
        seconds = now - state.updated
        for name, kind, value in metrics:
            known = name in state.metrics or name in state.counters
            if not known:
                if len(state.metrics) + len(state.counters) >= MAX_NAMED or self._named_metrics >= self._most_named:
                    self.refused += 1
                    continue
                self._named_metrics += 1
            if not kind.startswith("counter"):
                state.metrics[name] = (value, now)
                continue
            width = WORD if kind == "counter32" else WORD * WORD
            grown = growth(state.counters[name], value, width) if name in state.counters and seconds > 0 else None
            if grown is not None:
                state.metrics[name] = (grown / seconds, now)
            state.counters[name] = value
        state.uptime, state.updated = uptime, now

    def sources(self, first: int, count: int) -> list[DataSource]:
        """Those that sent counters, of `count` data sources from index `first` on."""
        names = self._directory.sources
        found = [names[source] for source in self._store.sources(first, count) if source < len(names)]
        return found + [named for named in names[first : first + count] if named in self._named]

    def knows(self, name: str) -> bool:
        """Whether there are, or may be, metrics of that name."""
        return bool(tags_of(name)) or any(name in state.metrics for state in list(self._named.values()))

    def drop(self, data_source: DataSource) -> None:
        """Forget a data source that is gone."""
        state = self._named.pop(data_source, None)
        if state is not None:
            self._named_metrics -= len(state.metrics.keys() | state.counters.keys())

    @property
    def bytes(self) -> int:
        """About what is remembered here."""
        return READ_BYTES * len(self._read) + NAMED_BYTES * self._named_metrics

    def metrics(self, agent: str, source: str, now: float) -> Metrics:
        """The live metrics of a data source: name -> (value, time of the last update). The topology's speed wins."""
        found: Metrics = {}
        for metrics, stale_after in self._held((agent, source), None):
            for name, held in metrics.items():
                if now - held[1] <= stale_after and (name not in found or held[1] >= found[name][1]):
                    found[name] = held
        speed = self._speed(agent, source)
        if speed:
            found["ifspeed"] = (speed, found["ifspeed"][1] if "ifspeed" in found else now)
        return found

    def value(self, agent: str, source: str, name: str, now: float) -> tuple[Any, float] | None:
        """One live metric: (value, time of the last update)."""
        best = None
        for metrics, stale_after in self._held((agent, source), tags_of(name)):
            held = metrics.get(name)
            if held is not None and now - held[1] <= stale_after and (best is None or held[1] >= best[1]):
                best = held
        if name == "ifspeed":
            speed = self._speed(agent, source)
            return (speed, best[1] if best is not None else now) if speed else best
        return best

    def addresses(self, agent: str, source: str) -> list[str]:
        """The MAC addresses of the adapters of a host, as keys show them."""
        index = self._directory.index.get((agent, source))
        read = None if index is None else self._read_anew(index)
        found: list[str] = []
        for tag, _, body, _, _ in read.entries if read else ():
            if tag == ADAPTERS:
                adapters: Any = decode_record(tag, body)[0].get("adaptor_list", ())
                found += [mac.upper() for _, macs in adapters for mac in macs]
        return found

    def just_updated(self, agent: str, source: str, now: float) -> dict[str, Any]:
        """The values of the metrics that were updated at `now`."""
        return {name: held[0] for name, held in self.metrics(agent, source, now).items() if held[1] == now}

    def forget_read(self) -> None:
        """Compute everything again: the topology changed."""
        self._read = {}

    def _held(self, data_source: DataSource, tags: frozenset[Tag] | None) -> Iterator[tuple[Metrics, float]]:
        """(metrics, seconds after which they are stale) of the records with these tags (None: all)."""
        source = self._directory.index.get(data_source)
        read = None if source is None else self._read_anew(source)
        if read is not None:
            for number, entry in enumerate(read.entries):
                if tags is None or entry[0] in tags:
                    if number not in read.metrics:
                        read.metrics[number] = self._made(data_source, entry)
                    yield read.metrics[number], read.stale_after
        if data_source in self._named:
            yield self._named[data_source].metrics, STALE_NAMED_S

    def _read_anew(self, source: int) -> _Read | None:
        """What the store holds of a data source, read again only if it sent since the last time."""
        version = self._store.version(source)
        read = self._read.get(source)
        if read is None or read.version != version:
            self._read.pop(source, None)
            if not version:
                return None
            if len(self._read) == self._most_read:
                self._read = {}
            read = self._read[source] = _Read(version, *self._store.read(source))
        return read

    def _made(self, data_source: DataSource, entry: Entry) -> Metrics:
        """The metrics of one record."""
        tag, updated, body, then, before = entry
        values, _ = decode_record(tag, body)
        found = dict(gauges(tag, values))
        last: dict[str, Any] = {}
        if before is not None:
            earlier, _ = decode_record(tag, before)
            last = dict(gauges(tag, earlier))
            found |= dict(rates(tag, values, earlier, updated - then))
        if tag == PORT:
            speed = self._speed(*data_source)
            found |= {"ifspeed": speed} if speed else {}
        if tag in SHARES:
            found |= dict(SHARES[tag][1](found))
        metrics = {name: (value, then) for name, value in last.items()}
        metrics |= {name: (value, updated) for name, value in found.items()}
        if tag == QUEUE:
            return {f"{name}_{values['queue_index']!r}": held for name, held in metrics.items()}
        if data_source[1].startswith(VIRTUAL):
            return {f"vir_{name}" if name in HOST_TEXTS else name: held for name, held in metrics.items()}
        return metrics
