"""What the engine counts about agents and about itself: the native core's bookkeeping as values.

All counts are cumulative since the start; times are on the clock of the datagrams.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any, Protocol


def elapsed_ms(now: float, then: float) -> int:
    """Whole milliseconds between two times in seconds; 0 if the second is yet to come."""
    return max(0, round((now - then) * 1000))


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one sequence of numbered things: how many came, were missing, came again, came too late."""

    received: int
    lost: int
    duplicate: int
    out_of_order: int


@dataclass(frozen=True, slots=True)
class SampleTally(Tally):
    """Of the samples of one kind. `drops`: what the agent itself says that it dropped."""

    sources: int
    drops: int


@dataclass(frozen=True, slots=True)
class AgentNumbers:
    """One agent's stream. `senders`: the addresses its datagrams came from; `faults`: malformed records; `skipped`:
    samples of unknown formats; `uptime_ms` is the agent's own."""

    first_seen: float
    last_seen: float
    uptime_ms: int
    senders: tuple[str, ...]
    bytes: int
    restarts: int
    faults: int
    skipped: int
    datagrams: Tally
    flows: SampleTally
    counters: SampleTally
    discards: SampleTally


@dataclass(frozen=True, slots=True)
class ReceivingNumbers:
    """Of all UDP sockets together: batches and datagrams received, datagrams that the kernel dropped, that were refused
    because of their sender, or shed because their agent sent more than can be taken (core/fairqueue.pxd).
    `buffer_bytes`: the granted receive buffer of one socket."""

    batches: int = 0
    datagrams: int = 0
    kernel_drops: int = 0
    refused: int = 0
    shed: int = 0
    sockets: int = 0
    buffer_bytes: int = 0


class Receiving(Protocol):
    """Whatever receives datagrams for the engine: inputs.collector.Collector."""

    @property
    def numbers(self) -> ReceivingNumbers: ...


@dataclass(frozen=True, slots=True)
class MemoryNumbers:
    """Bytes: of the budget, by store what is used and what may be."""

    budget: int
    used: Mapping[str, int]
    most: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LostDetail:
    """Of the values of a flow definition, which are rates, while its table is too small: `rate` is missing in all of
    them together, and no more than `bound` in any one at a data source, whether it is shown or not (then it says 0)."""

    rate: float
    bound: float


@dataclass(frozen=True, slots=True)
class EngineNumbers:
    """The engine about itself. `overflow`: metrics (rtmetric) beyond a bound; `agents_refused`, `sources_refused`:
    datagrams and samples of newcomers for whom there was no room; `displaced`: flows that made room for others;
    `states_refused`: values of counters that no threshold watched, for the same reason;
    `untested`: samples of flows for which a test had no room; `started`: time of the first
    tick; `faults`: what went wrong inside the program, by kind (documents.faults)."""

    agents: int
    bytes: int
    datagrams: int
    not_sflow: int
    other_version: int
    overflow: int
    agents_refused: int
    sources_refused: int
    events: int
    events_lost: int
    records: int
    records_lost: int
    flow_entries: int
    flow_entries_refused: int
    flow_entries_displaced: int
    counter_records: int
    counter_records_refused: int
    states_refused: int
    untested: int
    receiving: ReceivingNumbers
    memory: MemoryNumbers
    faults: Mapping[str, int] = field(default_factory=dict)
    started: float | None = None


def agent_numbers(values: Mapping[str, Any]) -> AgentNumbers:
    """From core/ledger.agent_values."""
    return AgentNumbers(
        first_seen=values["first_seen"],
        last_seen=values["last_seen"],
        uptime_ms=values["uptime"],
        senders=tuple(_address(sender) for sender in values["senders"]),
        bytes=values["bytes"],
        restarts=values["datagrams"]["restarts"],
        faults=values["faults"],
        skipped=values["skipped"],
        datagrams=Tally(**_tally(values["datagrams"])),
        flows=_samples(values["flows"]),
        counters=_samples(values["counters"]),
        discards=_samples(values["discards"]),
    )


def _samples(values: Mapping[str, int]) -> SampleTally:
    return SampleTally(**_tally(values), sources=values["sources"], drops=values["drops"])


def _tally(values: Mapping[str, int]) -> dict[str, int]:
    return {name: values[name] for name in ("received", "lost", "duplicate", "out_of_order")}


def _address(sender: bytes) -> str:
    address = IPv6Address(sender)
    return str(address.ipv4_mapped or address)


def engine_numbers(
    numbers: Mapping[str, int],
    caches: Iterable[Mapping[str, int]],
    *,
    agents: int,
    events: int,
    records: int,
    records_lost: int,
    metrics_refused: int,
    states_refused: int,
    memory: MemoryNumbers,
    receiving: Receiving | None,
    faults: Mapping[str, int],
    started: float | None,
) -> EngineNumbers:
    """From core/pipeline.numbers, and core/flows/flowcache.numbers of each definition."""
    each = list(caches)
    return EngineNumbers(
        agents=agents,
        bytes=numbers["bytes"],
        datagrams=numbers["datagrams"],
        not_sflow=numbers["not_sflow"],
        other_version=numbers["other_version"],
        overflow=numbers["overflow"],
        agents_refused=numbers["agents_refused"],
        sources_refused=numbers["sources_refused"],
        events=events,
        events_lost=numbers["events_lost"],
        records=records,
        records_lost=records_lost + numbers["records_lost"],
        flow_entries=sum(cache["entries"] for cache in each),
        flow_entries_refused=sum(cache["refused"] for cache in each),
        flow_entries_displaced=sum(cache["displaced"] for cache in each),
        counter_records=numbers["counter_records"],
        counter_records_refused=numbers["counter_refused"] + metrics_refused,
        states_refused=states_refused,
        untested=sum(cache["untested"] for cache in each),
        memory=memory,
        receiving=ReceivingNumbers() if receiving is None else receiving.numbers,
        faults=faults,
        started=started,
    )
