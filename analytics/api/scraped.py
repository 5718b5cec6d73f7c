"""Flow definitions that are there because somebody scrapes them (sflow-rt-api.md 5.9, 11.7: the Prometheus app).

A scrape says in its query what it counts. The first one makes the definition, so it finds nothing yet; scrapes that
count the same share it, whatever they call it and of whichever agents they ask. It goes KEPT_S after the last of them.
At most MOST definitions are made so: each costs something with every sample, and takes its part of the memory from all
others (memory.py), while a scrape needs nothing but a GET. So a hundredfold of scrapes costs no more; those beyond are
refused, in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from analytics.api.prometheus import name_of
from analytics.engine import Engine
from analytics.flows.keys import InvalidDefinition, Span
from analytics.turns import Turns

KEPT_S = 300.0
MOST = 32
SEPARATOR = "_SEP_"
NEEDED = ("metric", "key", "value")

Spec = tuple[tuple[str, Any], ...]


class TooManyScraped(Exception):
    """There are MOST definitions that were scraped in the last KEPT_S seconds."""


@dataclass(frozen=True)
class Scrape:
    """What a scrape counts, and what it calls it: `labels` are one per key."""

    metric: str
    labels: tuple[str, ...]
    spec: Spec

    @property
    def about(self) -> str:
        """In words, for a HELP line."""
        said = dict(self.spec)
        condition = f" where {said['filter']}" if said.get("filter") else ""
        return f"{said['value']} by {said['keys']}{condition}"


def parse(query: Mapping[str, Sequence[str]], n: float, t: float, dropped: bool) -> Scrape:
    """Of the parameters that are texts; each may be a list at commas, given several times, or both, and of `value` the
    first counts. InvalidDefinition names the offending word."""
    for word in NEEDED:
        if not any(query.get(word, ())):
            raise InvalidDefinition(f"query parameter '{word}' is missing")
    keys = [key.text for key in Span.of(",".join(query["key"])).split(",")]
    given = ",".join(query.get("label", ())).split(",")
    if len(given) > len(keys):
        raise InvalidDefinition(f"label {given[len(keys)]!r} is for no key: there are {len(keys)}")
    given += [""] * (len(keys) - len(given))
    labels = [name_of(label or key) for label, key in zip(given, keys, strict=True)]
    for place, label in enumerate(labels):
        if label in labels[:place] or label.startswith("__"):
            why = "reserved by Prometheus" if label.startswith("__") else "that of two keys"
            raise InvalidDefinition(f"label {label!r} is {why}; the parameter 'label' gives another")
    conditions = query.get("filter", ())
    spec = {
        "keys": ",".join(keys),
        "value": Span.of(query["value"][0]).split(",")[0].text,
        "filter": "&".join(f"({each})" for each in conditions) if len(conditions) > 1 else next(iter(conditions), None),
        "fs": SEPARATOR,
        "n": n,
        "t": t,
        "dropped": dropped,
    }
    return Scrape(name_of(query["metric"][0]), tuple(labels), tuple(spec.items()))


class Scraped:
    """The definitions, by what they count; called in the event loop only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._numbers = count(1)
        self._names: dict[Spec, str] = {}
        self._scraped: dict[Spec, float] = {}

    def name_in_turns(self, spec: Spec, now: float) -> Turns[str]:
        """The name of the definition, which is made if it is not there. InvalidDefinition, TooManyScraped."""
        name = self._names.get(spec)
        self._scraped[spec] = now
        if name is None or self._engine.flow(name) is None:
            if name is None and len(self._names) >= MOST:
                del self._scraped[spec]
                raise TooManyScraped(f"{MOST} flows are scraped already; one goes {KEPT_S:.0f} s after its last scrape")
            flows = self._engine.flows()
            name = next(free for free in (f"prometheus_{number}" for number in self._numbers) if free not in flows)
            self._names[spec] = name  # those who ask for the same meanwhile find it
            try:
                yield from self._engine.set_flow_in_turns(name, dict(spec))
            except InvalidDefinition:
                del self._names[spec], self._scraped[spec]
                raise
        return name

    def names(self) -> frozenset[str]:
        """Of the definitions that are there."""
        return frozenset(self._names.values())

    def expire(self, now: float) -> None:
        """Remove what nobody has scraped for KEPT_S; call now and then."""
        for spec in [spec for spec, then in self._scraped.items() if now - then > KEPT_S]:
            self._engine.clear_flow(self._names.pop(spec))
            del self._scraped[spec]
