"""Flow records (sflow-rt-api.md 1.3): what a definition with `log` saw of one flow on one data source, added up.

When a record ends is the core's business (core/flows/flowrecords.pyx). Here it is an item of a log, whose key becomes
text when somebody asks for it: of the records that a busy definition makes, few are ever read.
"""

from __future__ import annotations

from typing import NamedTuple

from analytics.flows.definitions import Program


class FlowRecord(NamedTuple):
    """`value`: the sum over all samples, times the sampling rate; no rate. `start` and `end`: epoch seconds of the
    first and of the last of its `samples`; with flowStart of the first alone."""

    id: int
    program: Program
    texts: tuple[str, ...]
    carried: bytes
    agent: str
    source: str
    value: float
    start: float
    end: float
    samples: int

    @property
    def name(self) -> str:
        """Of the definition."""
        return self.program.name

    @property
    def key(self) -> str:
        """The key's fields, joined."""
        return self.program.joined(self.texts, self.carried)
