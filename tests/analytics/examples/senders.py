"""Senders for tests: an agent with counter samples, and single samples whose keys are asked for."""

from __future__ import annotations

import itertools
import struct
import weakref

from analytics.core.wire.structures import COUNTER_RECORDS
from analytics.engine import Engine
from tests.analytics.examples.wire import counter_sample, datagram, flow_sample, record

ADDRESS = "10.0.0.1"
NUMBERS = itertools.count(1)


class Agent:
    """An agent that sends counter samples, each in a datagram of its own, with numbers that are right unless given."""

    def __init__(self, engine: Engine | None = None, address: str = ADDRESS) -> None:
        self.engine = engine or Engine()
        weakref.finalize(self, self.engine.close)
        self.address = address
        self.sent = 1000

    def send(
        self,
        now: float,
        *records: bytes,
        sequence: int | None = None,
        uptime: int | None = None,
        source: tuple[int, int] = (0, 5),
    ) -> int:
        """One sample; answers the faults that were counted in it."""
        self.sent += 1
        before = self.faults(now)
        sample = counter_sample(*records, sequence=self.sent if sequence is None else sequence, source=source)
        uptime = int(now * 1000) if uptime is None else uptime
        self.engine.feed([datagram(sample, agent=self.address, sequence=self.sent, uptime=uptime)], now)
        return self.faults(now) - before

    def faults(self, now: float) -> int:
        known = self.engine.agents()
        return known[self.address].faults if self.address in known else 0

    def values(self, now: float, source: str = "5") -> dict[str, object]:
        """The live metrics of a data source."""
        found = self.engine.metrics_of(self.address, now) or {}
        head = f"{source}."
        return {name.removeprefix(head): value for name, value in found.items() if name.startswith(head)}


def made(tag: tuple[int, int], *values: object) -> bytes:
    """A record of plain fields: ints by the structure's types, floats, and bytes as they are."""
    forms = {"u32": ">I", "i32": ">i", "percent": ">i", "u64": ">Q", "f32": ">f"}
    body = b""
    for field, value in zip(COUNTER_RECORDS[tag].fields, values, strict=False):
        body += value if isinstance(value, bytes) else struct.pack(forms[field.type], value)
    return record(tag[0] << 12 | tag[1], body)


def two(first: bytes, second: bytes, source: tuple[int, int] = (2, 1)) -> dict[str, object]:
    """The metrics after two samples ten seconds apart."""
    agent = Agent()
    for number, each in enumerate((first, second)):
        agent.send(1000 + 10 * number, each, source=source)
    return agent.values(1010, f"{source[0]}.{source[1]}")


def keys_of(engine: Engine, keys: str, *records: bytes, value: str = "frames") -> dict[str, float]:
    """Key -> amount of one sample (rate 1) with these records."""
    engine.set_flow("keys", {"keys": keys, "value": value, "t": 600})
    number = next(NUMBERS)
    engine.feed([datagram(flow_sample(*records, sequence=number, rate=1), sequence=number)], 1000)
    return {flow.key: round(flow.value * 600) for flow in engine.active_flows(["ALL"], "keys", 1000)}
