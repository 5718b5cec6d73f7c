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
    def __new__(cls, seed: int) -> Self: ...
    def address(self, agent: int) -> bytes: ...
    def agent_values(self, agent: int) -> _AgentValues: ...
    def source_values(self, source: int) -> tuple[int, str, float, float]: ...
    @property
    def counts(self) -> tuple[int, int]: ...
