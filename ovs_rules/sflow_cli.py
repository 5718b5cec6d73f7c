"""`howdah sflow enable|show|disable`: the sFlow settings of Open vSwitch bridges, each change as its ovs-vsctl line.

Works on any switch whose OVSDB can be reached, the lab's or one's own. Exit codes: 0 done, 1 not done (one line on
stderr names the bridge, setting or socket), 2 wrong usage.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from documents.printable import complain, say

if TYPE_CHECKING:
    from ovs_rules.ovsdb import Ovsdb

sflow = typer.Typer(help="The sFlow settings of Open vSwitch bridges.", no_args_is_help=True)
Remote = Annotated[
    str | None,
    typer.Option("--db", help="OVSDB: tcp:HOST:PORT or the path of a socket.  [default: this machine's]"),
]
Bridges = Annotated[list[str] | None, typer.Argument(help="Bridges.  [default: all]", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add `sflow` to the one app of scripts/howdah."""
    app.add_typer(sflow, name="sflow")


@sflow.command()
def enable(
    bridges: Bridges = None,
    *,
    collector: Annotated[str, typer.Option(help="Where samples go, IP:PORT.")] = "127.0.0.1:6343",
    sampling: Annotated[int, typer.Option(help="Sample one in so many packets.")] = 10,
    polling: Annotated[int, typer.Option(help="Seconds between counter samples; 0 for none.")] = 1,
    header: Annotated[int, typer.Option(help="Bytes sent of each sampled packet; 600 is exported soonest.")] = 600,
    agent: Annotated[
        str | None, typer.Option(help="Agent address, or an interface that has it.  [default: Open vSwitch chooses]")
    ] = None,
    db: Remote = None,
) -> None:
    """Let bridges export sFlow, and print the equal ovs-vsctl command of each."""
    with _connected(db) as ovsdb:
        from ovs_rules.ovsdb import OvsdbError, Sflow  # noqa: PLC0415  as in _connected

        wanted = Sflow(collector, sampling, polling, header, agent)
        try:
            lines = ovsdb.enable_sflow(dict.fromkeys(bridges or ovsdb.bridges(), wanted))
        except (OvsdbError, ValueError) as error:
            _fail(error)
    say(*(lines or ["there are no bridges"]))


@sflow.command()
def show(
    bridges: Bridges = None,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
    db: Remote = None,
) -> None:
    """Show what bridges export."""
    with _connected(db) as ovsdb:
        present = ovsdb.bridges()
    for name in bridges or ():
        if name not in present:
            _fail(f"no bridge {name!r}; there are: {', '.join(present) or 'none'}")
    settings = {name: present[name].sflow for name in bridges or present}
    if as_json:
        print(json.dumps({name: asdict(one) if one else None for name, one in settings.items()}, indent=1))
        return
    for name, one in settings.items():
        if one is None:
            say(f"{name:10} off")
        else:
            say(
                f"{name:10} 1 in {one.sampling} to {one.collector}, {one.header} B of each packet, counters every "
                f"{one.polling} s, agent {one.agent or 'chosen by Open vSwitch'}"
            )


@sflow.command()
def disable(bridges: Bridges = None, db: Remote = None) -> None:
    """Let bridges export nothing any more, and print the equal ovs-vsctl command of each."""
    with _connected(db) as ovsdb:
        from ovs_rules.ovsdb import OvsdbError  # noqa: PLC0415  as in _connected

        try:
            lines = ovsdb.disable_sflow(bridges or ovsdb.bridges())
        except OvsdbError as error:
            _fail(error)
    say(*(lines or ["there are no bridges"]))


def _connected(db: str | None) -> Ovsdb:
    from ovs_rules.ovsdb import Ovsdb, OvsdbError  # noqa: PLC0415  0.2 s that other commands need not spend

    try:
        return Ovsdb(db)
    except OvsdbError as error:
        _fail(error)


def _fail(error: object) -> NoReturn:
    complain(f"howdah sflow: {error}")
    raise typer.Exit(1)
