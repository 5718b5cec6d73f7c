"""`howdah doctor`: the way of a sample from the switch's settings to the first event, step by step.

Each step is ok, not ok with what to do about it, or a note where nothing can be said or nothing need be wrong. What
there is to see is gathered first (facts.py), then gone through (walk.py). Nothing is changed. Exit code 0: no step is
not ok; 1: one is; 2: wrong usage.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer

from client.commands.asking import URL, Url, show_json
from client.commands.facts import gather
from client.commands.walk import walk
from client.connection import Connection
from documents.printable import say

CONTROLLER = "http://127.0.0.1:8080"


def doctor(
    *,
    url: Url = URL,
    controller: Annotated[
        str, typer.Option(envvar="HOWDAH_URL", help="The controller's northbound interface.")
    ] = CONTROLLER,
    db: Annotated[
        str | None,
        typer.Option("--db", help="OVSDB: tcp:HOST:PORT or the path of a socket.  [default: this machine's]"),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, max=600, help="Seconds to wait for something to arrive.")] = 12.0,
    as_json: Annotated[bool, typer.Option("--json", help="The steps as a JSON list.")] = False,
) -> None:
    """Walk from the switch's sFlow settings to the first event, and say where it stops and what to do."""
    steps = list(walk(gather(Connection(url, os.environ.get("HOWDAH_ANALYTICS_TOKEN")), controller, db, wait)))
    if as_json:
        show_json([asdict(step) for step in steps])
    else:
        for step in steps:
            say(f"{'ok  ' if step.ok else 'note' if step.ok is None else 'NOT '} {step.step:10} {step.found}")
            if step.advice:
                say(f"     {'':10} -> {step.advice}")
    if any(step.ok is False for step in steps):
        raise typer.Exit(1)
