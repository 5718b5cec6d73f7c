"""Reading the controller from a terminal: `howdah top`, `elephants`, `links`, `ecmp`, each with `--json`; and
`howdah sim`, which runs one against model switches (controller/sim/).

Plain HTTP clients of the northbound interface (rest.py): nothing is computed here that a script could not read there.
An answer is untrusted: it is read up to a limit, checked against the structs below, which name what is shown of it, and
shown as text only (documents/console.py).
Where reading needs a token it is taken from the environment, HOWDAH_TOKEN: all users of a machine see command lines.
"""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
import requests
import typer
from rich.console import Group
from rich.live import Live
from rich.table import Column, Table

from documents.console import PlainConsole
from documents.printable import complain, say

Url = Annotated[str, typer.Option("--url", envvar="HOWDAH_URL", help="The controller's northbound interface.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the controller answers, unchanged.")]
URL = "http://127.0.0.1:8080"
PROTOCOLS = {"6": "tcp", "17": "udp"}
ANSWER_S = 5.0  # for the next bytes of an answer
WHOLE_ANSWER_S = 30.0
MAX_ANSWER = 64 << 20  # bytes; an elephant has about 400
COLOURS = {"mice": "yellow", "elephant": "yellow", "collision": "red"}


class Elephant(msgspec.Struct):
    """An element of GET /v1/elephants; rate in bits/s."""

    flow: str
    port: str
    rate: float
    state: str
    moves: int
    reason: str
    path: list[str] | None = None
    wanted_path: list[str] | None = None


class Link(msgspec.Struct):
    """An element of GET /v1/links: one direction."""

    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    load_bps: float
    utilisation: float
    elephants: list[str]
    up: bool
    state: str


class Member(msgspec.Struct):
    """One way out of a group."""

    name: str
    to: str | None
    up: bool
    octets: int = msgspec.field(name="bytes")
    load_bps: float
    flows_seen: int
    elephants: int


class SelectGroup(msgspec.Struct):
    """An element of GET /v1/ecmp."""

    switch: str
    destination: str | None
    members: list[Member]


class Switches(msgspec.Struct):
    known: int
    connected: list[str]


class Analytics(msgspec.Struct):
    url: str
    alive: bool


class MoveCount(msgspec.Struct):
    moves: int


class Status(msgspec.Struct):
    """What is shown of GET /v1/status."""

    switches: Switches
    analytics: Analytics
    counts: MoveCount
    faults: dict[str, int]


def register(app: typer.Typer) -> None:
    """Adds the commands to the one app of scripts/howdah."""
    for command in (top, elephants, links, ecmp):
        app.command()(command)
    app.command("sim")(simulate)


def top(
    url: Url = URL, as_json: AsJson = False, period: Annotated[float, typer.Option(min=0.1, max=3600)] = 1.0
) -> None:
    """Elephants and busy links, renewed until Ctrl-C (printed once when the output is no terminal)."""
    if as_json:
        print(json.dumps({name: get(url, name) for name in ("status", "elephants", "links")}))
        return
    console = PlainConsole()
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
    resource = "elephants?all=true" if everything else "elephants"
    if as_json:
        print(json.dumps(get(url, resource)))
    else:
        PlainConsole().print(elephant_table(get(url, resource, list[Elephant])))


def links(url: Url = URL, as_json: AsJson = False) -> None:
    """Every link, each direction: load, elephants, and whether it is calm, busy or a collision."""
    if as_json:
        print(json.dumps(get(url, "links")))
    else:
        PlainConsole().print(link_table(get(url, "links", list[Link])))


def ecmp(url: Url = URL, as_json: AsJson = False) -> None:
    """Every select group: bytes, flows and elephants of each member."""
    if as_json:
        print(json.dumps(get(url, "ecmp")))
        return
    table = Table("switch", "towards", "member", "via", *map(_right, ("MB sent", "load Mb/s", "flows", "elephants")))
    groups = get(url, "ecmp", list[SelectGroup])
    for group in sorted(groups, key=lambda group: (group.switch, group.destination or "")):
        for member in group.members:
            table.add_row(
                group.switch,
                group.destination,
                member.name + ("" if member.up else " (down)"),
                member.to,
                f"{member.octets / 1e6:.2f}",
                f"{member.load_bps / 1e6:.2f}",
                str(member.flows_seen),
                str(member.elephants),
            )
    PlainConsole().print(table)


def simulate(
    seed: Annotated[int, typer.Option(min=0, help="The first seed; the same seed gives the same run.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="So many runs, each with the next seed.")] = 1,
    hours: Annotated[float, typer.Option(min=0.001, max=1e6, help="Simulated hours of each run.")] = 1.0,
    switches: Annotated[
        str | None, typer.Option(help="LEAVESxSPINESxHOSTS, fat-tree:K or ring:N; by default the seed chooses.")
    ] = None,
    discovery: Annotated[
        bool | None,
        typer.Option("--discovery/--topology", help="How it knows the fabric; by default the seed chooses."),
    ] = None,
    story: Annotated[bool, typer.Option("--story", help="Print everything that happens.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a run.")] = False,
) -> None:
    """The controller against model switches in virtual time: failures, restarts and refusals, and what has to hold.

    Ends with status 1 at the first run in which something does not hold, and prints what came before it.
    """
    # Here, because it needs Ryu's messages, which take a second to load.
    from controller.sim.simulation import Plan, Simulation  # noqa: PLC0415

    for number in range(seed, seed + runs):
        began = time.process_time()
        try:
            sim = Simulation(Plan(number, hours, switches, discovery), random.Random(number), say if story else None)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--switches") from None
        outcome = sim.run()
        spent = time.process_time() - began
        if as_json:
            row = asdict(outcome) | {"cpu_seconds": round(spent, 3), "command": outcome.plan.command}
            print(json.dumps(row))
        elif outcome.violation is None:
            say(f"seed {number}: {outcome}, {outcome.seconds / spent:,.0f} x real time")
        else:
            say(*(() if story else outcome.story), f"seed {number}: {outcome}", f"violation: {outcome.violation}")
            say(f"replay: {outcome.plan.command}")
        if outcome.violation is not None:
            raise typer.Exit(1)


def get(url: str, resource: str, cls: Any = Any) -> Any:
    """The answer of one resource of the northbound interface as a `cls` (by default whatever it is); ends the program
    with one line when there is none, or another."""
    address = f"{url.rstrip('/')}/v1/{resource}"
    try:
        return msgspec.json.decode(_body(address), type=cls)
    except (requests.RequestException, ValueError, RecursionError) as error:
        reason: object = "connection refused" if isinstance(error, requests.ConnectionError) else error
        if isinstance(error, requests.HTTPError) and error.response.status_code == 401:
            reason = "reading needs a token; put it into the environment as HOWDAH_TOKEN"
        complain(f"howdah: no answer from the controller at {address}: {reason}")
        raise typer.Exit(1) from None


def _body(address: str) -> bytes:
    """requests.RequestException: no answer; ValueError: it is too long."""
    deadline = time.monotonic() + WHOLE_ANSWER_S
    body = bytearray()
    token = os.environ.get("HOWDAH_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else None
    with requests.get(address, timeout=ANSWER_S, stream=True, headers=headers) as answer:
        answer.raise_for_status()
        for piece in answer.iter_content(1 << 16):
            body += piece
            if len(body) > MAX_ANSWER or time.monotonic() > deadline:
                raise ValueError(f"it goes on after {MAX_ANSWER >> 20} MiB or {WHOLE_ANSWER_S:.0f} s")
    return bytes(body)


def elephant_table(rows: list[Elephant]) -> Table:
    """Elephants as a table."""
    table = Table("flow", "enters", _right("Mb/s"), "state", "path", _right("moves"), "why", title="elephants")
    for row in rows:
        table.add_row(
            _flow(row.flow),
            row.port,
            f"{row.rate / 1e6:.2f}",
            row.state,
            " ".join(row.wanted_path or row.path or ["?"]),
            str(row.moves),
            row.reason,
        )
    return table


def _flow(key: str) -> str:
    """A 5-tuple as people read it; any other key as it is."""
    match key.split(","):
        case [source, destination, protocol, source_port, destination_port]:
            ports = PROTOCOLS.get(protocol, protocol)
            return f"{source}:{source_port} > {destination}:{destination_port} {ports}"
        case _:
            return key


def link_table(rows: list[Link]) -> Table:
    """Links as a table, busiest first."""
    table = Table("from", "to", _right("Mb/s"), _right("of speed"), _right("elephants"), "state", title="links")
    for row in sorted(rows, key=lambda row: -row.utilisation):
        table.add_row(
            row.source,
            row.target,
            f"{row.load_bps / 1e6:.2f}",
            f"{row.utilisation:.0%}",
            str(len(row.elephants)),
            row.state if row.up else "down",
            style=COLOURS.get(row.state, ""),
        )
    return table


def _overview(url: str) -> Group:
    status = get(url, "status", Status)
    where = status.analytics
    head = (
        f"{len(status.switches.connected)} of {status.switches.known} switches, analytics "
        f"{'answers' if where.alive else 'does not answer'} ({where.url}), {status.counts.moves} moves, "
        f"{sum(status.faults.values())} faults"
    )
    return Group(head, elephant_table(get(url, "elephants", list[Elephant])), link_table(get(url, "links", list[Link])))


def _right(header: str) -> Any:
    return Column(header, justify="right")
