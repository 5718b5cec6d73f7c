"""The language of metric queries (sflow-rt-api.md 1.3, 4.3, 4.4): names with statistics and pins, filters, tables.

A query works on Cells, one per (agent, data source, metric); cells.py makes them of counters and flows.
"""

from __future__ import annotations

import fnmatch
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from analytics.flows.flowquery import TopFlow
from analytics.metrics.directory import AGENT_WIDE
from analytics.turns import Turns, in_order, pieces

STATISTICS = frozenset({"max", "min", "sum", "avg", "var", "sdev", "med", "q1", "q2", "q3", "iqr", "any"})
QUARTILES = frozenset({"med", "q1", "q2", "q3", "iqr"})
SPREADS = frozenset({"var", "sdev", "iqr"})  # numbers even of one value
CELL_TURN = 2000  # cells that are looked at in one turn: about 1 ms

Filters = Mapping[str, tuple[str, ...]]
Order = tuple[int, bool, int | None] | None  # the column to sort by, whether descending, how many rows


class InvalidQuery(ValueError):
    """A query or a filter that cannot be used; the message names the offending word."""


@dataclass(frozen=True, slots=True)
class Name:
    """`max:5.ifinoctets` taken apart; `text` is the whole as asked."""

    text: str
    statistic: str
    source: str | None
    metric: str

    @property
    def has_statistic(self) -> bool:
        """Whether the statistic was asked for; without a word it is the maximum."""
        return self.text.startswith(f"{self.statistic}:")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value, None in the empty cell of a table. `updated` is on the clock of the datagrams; `top` the largest
    flows of a flow metric."""

    agent: str
    source: str
    metric: str
    value: Any
    updated: float
    top: tuple[TopFlow, ...] | None = None


class Quartiles(NamedTuple):
    min: float
    q1: float
    med: float
    q3: float
    max: float


@dataclass(frozen=True, slots=True)
class Statistic:
    """The answer to one Name: `value` over `cells` cells, which were updated from `oldest` to `newest`.

    `chosen`: the one cell that the answer is about, if it is about one. Without cells there is no value.
    """

    name: str
    cells: int
    value: Any = None
    newest: float = 0.0
    oldest: float = 0.0
    chosen: Cell | None = None
    quartiles: Quartiles | None = None
    top: tuple[TopFlow, ...] | None = None


def parse_name(text: str) -> Name:
    """Take a metric name apart; unknown prefixes are part of the name, so such a metric just has no values."""
    statistic, metric = "max", text
    if ":" in text and text.split(":", 1)[0] in STATISTICS:
        statistic, metric = text.split(":", 1)
    source, dot, last = metric.rpartition(".")
    return Name(text, statistic, source if dot else None, last if dot else metric)


def parse_cell_name(text: str) -> Name:
    """A metric's name where values are listed one by one; InvalidQuery for one with a statistic."""
    name = parse_name(text)
    if name.has_statistic:
        raise InvalidQuery(f"'{text}': values are listed one by one here, so there is no '{name.statistic}:' of them")
    return name


def parse_filters(spec: object) -> dict[str, tuple[str, ...]]:
    """{attribute: value or [values]} -> {attribute: texts}; InvalidQuery when it has another shape."""
    if not isinstance(spec, Mapping):
        raise InvalidQuery(f"filter is not an object of attribute: [values]: {spec!r}")
    filters = {}
    for attribute, values in spec.items():
        listed = values if isinstance(values, (list, tuple)) else [values]
        if not listed or not all(isinstance(value, (str, int, float)) for value in listed):
            raise InvalidQuery(f"filter attribute {attribute!r} needs a list of texts or numbers: {values!r}")
        filters[str(attribute)] = tuple(as_text(value) for value in listed)
    return filters


def as_text(value: object) -> str:
    """A value as filters compare it: 1e9 and 1000000000 are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def matches(filters: Filters, attribute: Callable[[str], object]) -> bool:
    """Every attribute must have one of its values (`*` is a wildcard); an unknown attribute matches nothing."""
    for name, wanted in filters.items():
        value = attribute(name)
        if value is None:
            return False
        text = as_text(value)
        if not any(fnmatch.fnmatchcase(text, pattern.replace("[", "[[]")) for pattern in wanted):
            return False
    return True


def summarise(name: Name, cells: Sequence[Cell]) -> Turns[Statistic]:
    """The statistic that `name` asks for over its cells; texts count only where no arithmetic is needed."""
    usable: list[Cell] = []
    for some in pieces(cells, CELL_TURN):
        usable += [cell for cell in some if name.statistic == "any" or isinstance(cell.value, (int, float))]
        yield
    if len(cells) == 1 and name.statistic not in SPREADS:
        usable = list(cells)
    if not usable:
        return Statistic(name.text, 0)
    newest, oldest = usable[0].updated, usable[0].updated
    chosen = _chosen(name.statistic, usable[:1], len(usable))
    for some in pieces(usable, CELL_TURN):
        newest = max(newest, *(cell.updated for cell in some))
        oldest = min(oldest, *(cell.updated for cell in some))
        if chosen is not None:
            chosen = _chosen(name.statistic, [chosen, *some], len(usable))
        yield
    values = [cell.value for cell in usable if isinstance(cell.value, (int, float))]
    quartiles = (yield from _quartiles(values)) if name.statistic in QUARTILES and values else None
    return Statistic(
        name.text,
        len(usable),
        value=chosen.value if chosen is not None else (yield from _summary(name.statistic, values, quartiles)),
        newest=newest,
        oldest=oldest,
        chosen=chosen,
        quartiles=quartiles,
        top=(yield from _top(name.statistic, chosen, usable)),
    )


def _chosen(statistic: str, cells: Sequence[Cell], of: int) -> Cell | None:
    """The one of some cells that an answer over `of` cells is about, if it is about one."""
    if of == 1 and statistic not in SPREADS:
        return cells[0]
    if statistic == "max":
        return max(cells, key=lambda cell: cell.value)
    if statistic == "min":
        return min(cells, key=lambda cell: cell.value)
    if statistic == "any":
        return min(cells, key=lambda cell: -cell.updated)
    return None


def _summary(statistic: str, values: Sequence[float], quartiles: Quartiles | None) -> Turns[float]:
    """One number for all values."""
    if quartiles is not None:
        _, q1, median, q3, _ = quartiles
        return {"q1": q1, "med": median, "q2": median, "q3": q3, "iqr": q3 - q1}[statistic]
    total: float = 0
    for some in pieces(values, CELL_TURN):
        total = sum(some, total)
        yield
    if statistic == "sum":
        return total
    mean = total / len(values)
    if statistic == "avg":
        return mean
    squares = 0.0
    for some in pieces(values, CELL_TURN):
        squares += math.fsum((value - mean) ** 2 for value in some)
        yield
    variance = squares / len(values)
    return variance if statistic == "var" else math.sqrt(variance)


def _quartiles(values: list[float]) -> Turns[Quartiles]:
    ranked = yield from in_order(values, lambda value: value)
    q1, median, q3 = statistics.quantiles(ranked, n=4, method="inclusive") if len(ranked) > 1 else ranked * 3
    return Quartiles(ranked[0], q1, median, q3, ranked[-1])


def _top(statistic: str, chosen: Cell | None, cells: list[Cell]) -> Turns[tuple[TopFlow, ...] | None]:
    """The chosen cell's flows, or for summaries the flows of all: largest observation per key, or for `sum` added up,
    and then without their other values: not all of those can be added up."""
    if chosen is not None:
        return chosen.top
    merged: dict[str, TopFlow] = {}
    longest = -1
    for some in pieces(cells, CELL_TURN):
        for cell in some:
            longest = max(longest, -1 if cell.top is None else len(cell.top))
            for flow in cell.top or ():
                before = merged.get(flow.key, TopFlow(flow.key, 0.0, flow.updated))
                updated = max(before.updated, flow.updated)
                if statistic == "sum":
                    merged[flow.key] = TopFlow(flow.key, before.value + flow.value, updated)
                else:
                    merged[flow.key] = replace(max(flow, before, key=lambda each: each.value), updated=updated)
        yield
    if longest < 0:
        return None
    return tuple((yield from in_order(list(merged.values()), lambda flow: flow.value, descending=True))[:longest])


def table_rows(
    columns: Sequence[Name],
    sources: Sequence[tuple[str, str]],
    firsts: Mapping[str, int],
    cell: Callable[[str, str, str], Cell | None],
    now: float,
) -> list[list[Cell]]:
    """Rows of cells: one per data source that has its agent's first column, `firsts`. That is the first one that any
    data source has of its own, so that what describes the agent as a whole (2.1) joins every row instead of being
    the only one; without such it is column 0. Other cells may be the whole agent's or empty."""
    rows = []
    for agent, source in sources:
        found = [cell(agent, column.source or source, column.metric) for column in columns]
        if found[firsts.get(agent, 0)] is None:
            continue
        rows.append(
            [
                have or cell(agent, AGENT_WIDE, column.metric) or Cell(agent, source, column.metric, None, now)
                for have, column in zip(found, columns, strict=True)
            ]
        )
    return rows


def parse_columns(names: Sequence[str]) -> tuple[list[Name], Order]:
    """The columns of a table. A column may be pinned (`2.1.load_one`) and one may be marked `sort:name[:rows]`, with
    `-` before the number, or in its place, for descending."""
    columns: list[Name] = []
    order: Order = None
    for column, text in enumerate(names):
        name = text
        if text.startswith("sort:"):
            name, _, rows = text[5:].partition(":")
            count = rows.removeprefix("-")
            if count and not (count.isascii() and count.isdigit() and len(count) < 10):
                raise InvalidQuery(f"table: '{rows}' in '{text}' is not a number of rows")
            order = (column, rows.startswith("-"), int(count) if count else None)
        columns.append(parse_cell_name(name))
    return columns, order


def ordered(rows: list[list[Cell]], order: Order) -> Turns[list[list[Cell]]]:
    """Sorted and cut as the columns say."""
    if order is None:
        return rows
    column, is_descending, most = order

    def rank(row: list[Cell]) -> tuple[bool, float, str]:
        value = row[column].value
        if isinstance(value, (int, float)):
            return False, value, ""
        return True, 0.0, "" if value is None else str(value)

    return (yield from in_order(rows, rank, descending=is_descending))[:most]
