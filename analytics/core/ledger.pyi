import builtins
from typing import TypedDict

from typing_extensions import Self, disjoint_base

class _Tally(TypedDict):
    received: int
    lost: int
    out_of_order: int
    duplicate: int
    restarts: int

class _StreamValues(_Tally):
    sources: int
    drops: int

class _AgentValues(TypedDict):
    first_seen: float
    last_seen: float
    uptime: int
    senders: list[bytes]
    bytes: int
    faults: int
    skipped: int
    datagrams: _Tally
    flows: _StreamValues
    counters: _StreamValues
    discards: _StreamValues

@disjoint_base
class Ledger:
    def __new__(cls, seed: int, most_agents: int, most_sources: int, most_bytes: int) -> Self: ...
    def address(self, agent: int) -> builtins.bytes: ...
    def agent_values(self, agent: int) -> _AgentValues: ...
    def source_values(self, source: int) -> tuple[int, str, float, float]: ...
    @property
    def counts(self) -> tuple[int, int]: ...
    @property
    def bytes(self) -> int: ...
    @property
    def gone_agents(self) -> list[int]: ...
    @property
    def gone_sources(self) -> list[int]: ...
    @property
    def agents_refused(self) -> int: ...
    @property
    def sources_refused(self) -> int: ...
    def agents_from(self, first: int, count: int) -> list[int] | None: ...
    def indexes(self) -> int: ...
    def expire(self, position: int, now: float) -> int: ...
    def reuse(self, agents: int, sources: int) -> None: ...
    def sweep(self, position: int) -> int: ...
