"""`howdah flows`, `metrics`, `events` and `agents`: what analytics knows now, as tables or as JSON."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.live import Live
from rich.table import Column, Table

from client.connection import Connection, Refused, Unavailable, part
from commands.asking import URL, AsJson, Url, analytics, names_at, show_json
from documents.console import PlainConsole
from documents.printable import say

POLL_S = 60  # that a long poll waits before it is asked again
Agent = Annotated[
    str, typer.Option(help="Agents: address or name, a list, ALL, EDGE ...", autocompletion=names_at("/agents/json"))
]
Period = Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks.")]


def flows(
    name: Annotated[
        str | None, typer.Argument(help="A definition's name.", autocompletion=names_at("/flow/json"))
    ] = None,
    *,
    keys: Annotated[str | None, typer.Option(help="Keys of a definition made for this look, and removed.")] = None,
    value: Annotated[str, typer.Option(help="Its value.")] = "bytes",
    condition: Annotated[str | None, typer.Option("--filter", help="Its filter.")] = None,
    seconds: Annotated[float, typer.Option("-t", min=0.2, max=600, help="Its time constant.")] = 2.0,
    agent: Agent = "ALL",
    most: Annotated[int, typer.Option("-n", "--max", min=1, max=50000, help="Flows shown.")] = 20,
    least: Annotated[float, typer.Option("--min-value", min=0, help="Smallest value shown.")] = 0.0,
    aggregation: Annotated[str, typer.Option("--agg-mode", help="max, sum, avg, edge, core or raw.")] = "max",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until Ctrl-C.")] = False,
    period: Period = 1.0,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """The largest flows: of a definition, or of --keys, --value and --filter made for the occasion."""
    if (name is None) == (keys is None):
        raise typer.BadParameter("give the name of a definition, or --keys")
    query: dict[str, str | int | float] = {"maxFlows": most, "minValue": least, "aggMode": aggregation}
    with analytics("flows", url) as connection:
        spec: dict[str, Any] = {"keys": keys, "value": value, "t": seconds}
        if condition is not None:
            spec["filter"] = condition
        with _defined(connection, name, spec) as found:
            unit = str(connection.get(f"/flow/{part(found)}/json")["value"])
            if name is None and not follow:
                time.sleep(2 * seconds)  # until the smoothed values have come near the real ones
            path = f"/activeflows/{part(*agent.split(','))}/{part(found)}/json"
            _show(lambda: connection.get(path, query), lambda rows: _flow_table(rows, unit), follow, period, as_json)


@contextmanager
def _defined(connection: Connection, name: str | None, spec: dict[str, Any]) -> Iterator[str]:
    """The name of a definition; one that is made here goes when we go."""
    if name is not None:
        yield name
        return
    made = f"howdah_flows_{uuid.uuid4().hex[:8]}"
    connection.put(f"/flow/{made}/json", spec)
    try:
        yield made
    finally:
        _forget(connection, made)


def _forget(connection: Connection, name: str) -> None:
    try:
        connection.delete(f"/flow/{name}/json")
    except (Unavailable, Refused):
        return  # analytics has ended, and its definitions with it


def _flow_table(rows: list[dict[str, Any]], unit: str) -> Table:
    bits = unit == "bytes"
    table = Table("flow", Column("Mb/s" if bits else f"{unit}/s", justify="right"), "agent", "data source")
    for row in rows:
        rate = float(row["value"])
        shown = f"{8 * rate / 1e6:.3f}" if bits else f"{rate:.2f}"
        table.add_row(str(row["key"]), shown, str(row["agent"]), str(row["dataSource"]))
    return table


def _show(ask: Callable[[], Any], table: Callable[[Any], Table], follow: bool, period: float, as_json: bool) -> None:
    """Print an answer once, or again and again: in place on a terminal, one under the other elsewhere."""
    if as_json:
        show_json(ask())
        while follow:
            time.sleep(period)
            show_json(ask())
        return
    console = PlainConsole()
    if not follow or not console.is_terminal:
        console.print(table(ask()))
        while follow:
            time.sleep(period)
            console.print(table(ask()))
        return
    first: RenderableType = table(ask())
    with Live(first, console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(period)
            live.update(table(ask()), refresh=True)


def metrics(
    metric: Annotated[
        str | None,
        typer.Argument(
            help="A list: ifinoctets for every port, max:load_one or sum:... for a summary; none: the names."
        ),
    ] = None,
    *,
    agent: Agent = "ALL",
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Metrics: their names, their values on every data source, or summaries (max: min: sum: avg: ...)."""
    where = part(*agent.split(","))
    with analytics("metrics", url) as connection:
        if metric is None:
            path = "/metrics/json" if agent == "ALL" else f"/metric/{where}/json"
        else:
            path = f"/{'metric' if ':' in metric else 'dump'}/{where}/{part(*metric.split(','))}/json"
        found = connection.get(path)
        if as_json:
            show_json(found)
        elif isinstance(found, dict):
            table = Table("metric", "updated ms ago" if agent == "ALL" else "value")
            for name, value in sorted(found.items()):
                table.add_row(str(name), _short(value))
            PlainConsole().print(table)
        else:
            table = Table("agent", "data source", "metric", Column("value", justify="right"))
            for row in found:
                value = _short(row.get("metricValue", row.get("topKeys", "")))
                table.add_row(str(row["agent"]), str(row["dataSource"]), str(row["metricName"]), value)
            PlainConsole().print(table)


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def events(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those to come, until Ctrl-C.")] = False,
    threshold: Annotated[
        str | None, typer.Option(help="Only of this threshold.", autocompletion=names_at("/threshold/json"))
    ] = None,
    most: Annotated[int, typer.Option("-n", "--max", min=0, max=1000, help="Events shown that were before.")] = 20,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Events, oldest first: when a threshold was crossed, where, and by what."""
    query: dict[str, str | int] = {} if threshold is None else {"thresholdID": threshold}
    with analytics("events", url) as connection:
        known = connection.get("/events/json", query | {"maxEvents": max(1, most)})
        _tell(known[:most], as_json)
        last = known[0]["eventID"] if known else -1
        while follow:
            poll = query | {"eventID": last, "timeout": POLL_S, "maxEvents": 1000}
            new = connection.get("/events/json", poll, wait=POLL_S)
            _tell(new, as_json)
            last = new[0]["eventID"] if new else last


def _tell(newest_first: list[dict[str, Any]], as_json: bool) -> None:
    for event in reversed(newest_first):
        if as_json:
            show_json(event)
            continue
        when = time.strftime("%H:%M:%S", time.localtime(event["timestamp"] / 1000))
        where = f"{event['agent']} {event['dataSource']}"
        what = f"{event['metric']} {event['value']:.6g} > {event['threshold']:.6g}"
        say(f"{when} {event['thresholdID']} {where} {what} {event.get('flowKey', '')}".rstrip())


def agents(*, url: Url = URL, as_json: AsJson = False) -> None:
    """Every agent: what came from it, when, and what of it was lost."""
    with analytics("agents", url) as connection:
        found = connection.get("/agents/json")
        if as_json:
            show_json(found)
            return
        numbers = [Column(name, justify="right") for name in ("seen s ago", "datagrams", "lost", "flow", "counter")]
        table = Table("agent", "from", *numbers, Column("faults", justify="right"))
        for address, one in sorted(found.items()):
            table.add_row(
                str(address),
                " ".join(map(str, one["sFlowDatagramSource"])),
                f"{one['lastSeen'] / 1000:.1f}",
                *(str(one[f"sFlow{word}"]) for word in
                  ("DatagramsReceived", "DatagramsLost", "FlowSamples", "CounterSamples", "Faults")),
            )  # fmt: skip
        PlainConsole().print(table)
