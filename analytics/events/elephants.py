"""Elephants: flows above a threshold with byFlow, from its event until they were below it for its timeout.

What is known of one is added up in the core while it lasts (core/flows/limits.pyx), by data source: nothing is kept
here. Each start, update and end is a Change, on one data source as the threshold's event is; `merge` makes one elephant
of what several data sources see.

A sampled value is that of its samples times the sampling rate, so of c samples it is known to 196/sqrt(c) % at 95 %
confidence (the samples of a class are Poisson, sflow.org "Packet Sampling Basics").
"""

from __future__ import annotations

import heapq
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analytics.core.flows.limits import ELEPHANT
from analytics.core.listener import Span
from analytics.turns import Turns, pieces

TURN = 500  # elephants read, or merged, in one turn: about 2 ms
MOST_LISTED = 20_000  # of one threshold; about 20 MB


@dataclass(frozen=True, slots=True)
class Elephant:
    """On one data source: `value` added up since `start`, `rate` now, `peak` and `mean` per second, of `samples`
    samples from `start` to `last` (epoch seconds)."""

    threshold: str
    metric: str
    key: str
    agent: str
    source: str
    start: float
    last: float
    value: float
    rate: float
    peak: float
    mean: float
    samples: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.last - self.start

    @property
    def confidence(self) -> float:
        """Percent by which the value may be wrong, at 95 % confidence."""
        return 196.0 / math.sqrt(self.samples)


@dataclass(frozen=True, slots=True)
class Change:
    """`what`: start, update or end of an elephant; or dropped: its threshold is gone, and all its elephants with it."""

    what: str
    threshold: str
    elephant: Elephant | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """An elephant wherever it is seen: `best` is the data source with the most samples."""

    best: Elephant
    everywhere: Sequence[Elephant]

    @property
    def start(self) -> float:
        """When it was first above the threshold anywhere."""
        return min(each.start for each in self.everywhere)


def mean_rate(first: float, span: Span, otherwise: float) -> float:
    """Per second. The samples after the first one came in the time since the first one; of a single one nothing is
    known but the smoothed rate."""
    start, last, total, _ = span
    return (total - first) / (last - start) if last > start else otherwise


def unpack(packed: bytes, carried: int) -> Iterator[tuple[int, int, bytes, float, float, float, Span]]:
    """(data source, key id, carried bytes, rate, peak, first, samples) of each elephant in a piece of the core's."""
    row = struct.Struct(f"{ELEPHANT}{carried}s")
    for source, key_id, rate, peak, first, start, last, total, samples, key in row.iter_unpack(packed):
        yield source, key_id, key, rate, peak, first, (start, last, total, samples)


def merge(found: Sequence[Elephant], most: int) -> Turns[list[Seen]]:
    """One elephant per threshold and key, the largest rate first."""
    by_key: dict[tuple[str, str], list[Elephant]] = {}
    for some in pieces(found, TURN):
        for each in some:
            by_key.setdefault((each.threshold, each.key), []).append(each)
        yield
    largest: list[tuple[float, int, Seen]] = []
    for number, everywhere in enumerate(by_key.values()):
        seen = Seen(max(everywhere, key=lambda each: each.samples), everywhere)
        heapq.heappush(largest, (seen.best.rate, -number, seen))
        if len(largest) > most:
            heapq.heappop(largest)
        if number % TURN == 0:
            yield
    return [seen for _, _, seen in sorted(largest, reverse=True, key=lambda row: row[:2])]
