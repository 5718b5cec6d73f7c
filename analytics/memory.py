"""One budget of memory for the process, and the part of it that each store may take.

Parts are fixed, so a flood that fills one store takes nothing from another. What a store refuses beyond its part it
counts; what it holds is shown (`memory` in /analyzer/json). Sizes of Python's objects are estimates, measured with
CPython 3.11; native ones are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PROGRAM = 96 << 20  # interpreter, libraries, fixed tables, receive buffers, spare pages
LEAST = 160 << 20

SOURCE_BYTES = 800  # of a data source: in the ledger's tables, and its names
AGENT_BYTES = 1800
TEXT_BYTES = 420  # of a computed key, without its characters
NAMED_BYTES = 500  # of a metric of a named data source, with its part of what there is once per data source
READ_BYTES = 5000  # of the metrics of a data source, remembered
STATE_BYTES = 300  # of a threshold over counters at a data source
EVENT_BYTES = 1000  # of an event, a flow record, an elephant's change
TOPOLOGY_FACTOR = 24  # a parsed document, indexed and found by name, takes at most so many times its length

SHARES: Mapping[str, float] = {
    "flows": 0.34,  # entries and computed keys of all definitions
    "microflows": 0.05,  # which of them a sample counts for
    "texts": 0.10,  # of computed keys
    "senders": 0.18,  # agents, data sources, sequence numbers
    "counters": 0.10,  # newest records
    "metrics": 0.04,  # metrics made of them, and thresholds over them
    "events": 0.05,  # and flow records
    "topology": 0.06,
    "names": 0.02,  # groups and maps
    "answers": 0.06,  # that their clients have not taken yet (api/connections.py)
}


@dataclass(frozen=True)
class Budget:
    """Bytes for the whole process. ValueError: too few to run with."""

    bytes: int

    def __post_init__(self) -> None:
        if self.bytes < LEAST:
            raise ValueError(f"memory {self.bytes} is less than {LEAST} bytes")

    def part(self, store: str) -> int:
        """Bytes that a store may take."""
        return int((self.bytes - PROGRAM) * SHARES[store])

    @property
    def parts(self) -> dict[str, int]:
        return {store: self.part(store) for store in SHARES}

    @property
    def sources(self) -> int:
        """Data sources at a time: half of the senders' part."""
        return min(1_000_000, self.part("senders") // 2 // SOURCE_BYTES)

    @property
    def agents(self) -> int:
        """Agents at a time: a quarter of it. The rest is for sequence numbers."""
        return min(100_000, self.part("senders") // 4 // AGENT_BYTES)

    def flow(self, definitions: int) -> int:
        """Bytes of the entries of one definition among so many; its computed keys take a quarter beside them, and as
        much again is kept for what is there by data source."""
        return self.part("flows") * 2 // 3 // max(1, definitions)
