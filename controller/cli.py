"""Reading the controller from a terminal: `howdah top`, `elephants`, `links`, `ecmp`, each with `--json`.

Plain HTTP clients of the northbound interface (rest.py): nothing is computed here that a script could not read there.
Where reading needs a token it is taken from the environment, HOWDAH_TOKEN: all users of a machine see command lines.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Annotated, Any

import requests
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table

Url = Annotated[str, typer.Option("--url", envvar="HOWDAH_URL", help="The controller's northbound interface.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the controller answers, unchanged.")]
URL = "http://127.0.0.1:8080"
PROTOCOLS = {6: "tcp", 17: "udp"}


def register(app: typer.Typer) -> None:
    """Adds the commands to the one app of scripts/howdah."""
    for command in (top, elephants, links, ecmp):
        app.command()(command)


def top(url: Url = URL, as_json: AsJson = False, period: Annotated[float, typer.Option(min=0.1)] = 1.0) -> None:
    """Elephants and busy links, renewed until Ctrl-C (printed once when the output is no terminal)."""
    if as_json:
        print(json.dumps({name: get(url, name) for name in ("status", "elephants", "links")}))
        return
    console = Console()
    if not console.is_terminal:
        console.print(_overview(url))
        return
    try:
        with Live(_overview(url), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(period)
                live.update(_overview(url), refresh=True)
    except KeyboardInterrupt:
        return


def elephants(
    url: Url = URL,
    as_json: AsJson = False,
    everything: Annotated[bool, typer.Option("--all", help="Also elephants that ended.")] = False,
) -> None:
    """Every elephant: where it enters, its rate, what was done about it and why."""
    rows = get(url, "elephants?all=true" if everything else "elephants")
    print(json.dumps(rows)) if as_json else Console().print(elephant_table(rows))


def links(url: Url = URL, as_json: AsJson = False) -> None:
    """Every link, each direction: load, elephants, and whether it is calm, busy or a collision."""
    rows = get(url, "links")
    print(json.dumps(rows)) if as_json else Console().print(link_table(rows))


def ecmp(url: Url = URL, as_json: AsJson = False) -> None:
    """Every select group: bytes, flows and elephants of each member."""
    groups = get(url, "ecmp")
    if as_json:
        print(json.dumps(groups))
        return
    table = Table("switch", "towards", "member", "via", *map(_right, ("MB sent", "load Mb/s", "flows", "elephants")))
    for group in sorted(groups, key=lambda group: (group["switch"], group["destination"] or "")):
        for member in group["members"]:
            table.add_row(
                group["switch"],
                group["destination"],
                member["name"] + ("" if member["up"] else " (down)"),
                member["to"],
                f"{member['bytes'] / 1e6:.2f}",
                f"{member['load_bps'] / 1e6:.2f}",
                str(member["flows_seen"]),
                str(member["elephants"]),
            )
    Console().print(table)


def get(url: str, resource: str) -> Any:
    """The answer of one resource of the northbound interface; ends the program with one line when there is none."""
    address = f"{url.rstrip('/')}/v1/{resource}"
    token = os.environ.get("HOWDAH_TOKEN")
    try:
        answer = requests.get(address, timeout=5, headers={"Authorization": f"Bearer {token}"} if token else None)
        answer.raise_for_status()
        return answer.json()
    except (requests.RequestException, ValueError) as error:
        reason = "connection refused" if isinstance(error, requests.ConnectionError) else error
        if isinstance(error, requests.HTTPError) and error.response.status_code == 401:
            reason = "reading needs a token; put it into the environment as HOWDAH_TOKEN"
        print(f"howdah: no answer from the controller at {address}: {reason}", file=sys.stderr)
        raise typer.Exit(1) from None


def elephant_table(rows: list[dict[str, Any]]) -> Table:
    """Elephants as a table, as the northbound interface gives them."""
    table = Table("flow", "enters", _right("Mb/s"), "state", "path", _right("moves"), "why", title="elephants")
    for row in rows:
        source, destination, protocol, source_port, destination_port = row["flow"].split(",")
        table.add_row(
            f"{source}:{source_port} > {destination}:{destination_port} {PROTOCOLS.get(int(protocol), protocol)}",
            row["port"],
            f"{row['rate'] / 1e6:.2f}",
            row["state"],
            " ".join(row["wanted_path"] or row["path"] or ["?"]),
            str(row["moves"]),
            row["reason"],
        )
    return table


def link_table(rows: list[dict[str, Any]]) -> Table:
    """Links as a table, busiest first."""
    table = Table("from", "to", _right("Mb/s"), _right("of speed"), _right("elephants"), "state", title="links")
    colours = {"calm": "", "mice": "yellow", "elephant": "yellow", "collision": "red"}
    for row in sorted(rows, key=lambda row: -row["utilisation"]):
        table.add_row(
            row["from"],
            row["to"],
            f"{row['load_bps'] / 1e6:.2f}",
            f"{row['utilisation']:.0%}",
            str(len(row["elephants"])),
            row["state"] if row["up"] else "down",
            style=colours[row["state"]],
        )
    return table


def _overview(url: str) -> Group:
    status = get(url, "status")
    where = status["analytics"]
    head = (
        f"{len(status['switches']['connected'])} of {status['switches']['known']} switches, analytics "
        f"{'answers' if where['alive'] else 'does not answer'} ({where['url']}), {status['counts']['moves']} moves, "
        f"{sum(status['faults'].values())} faults"
    )
    return Group(head, elephant_table(get(url, "elephants")), link_table(get(url, "links")))


def _right(header: str) -> Any:
    return Column(header, justify="right")
