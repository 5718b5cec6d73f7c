"""The commands that ask analytics, and the doctor."""

from __future__ import annotations

import typer

from commands import doctor, look
from commands.define import define


def register(app: typer.Typer) -> None:
    """Add them to the one app of scripts/howdah."""
    for command in (look.flows, look.metrics, look.events, look.agents, doctor.doctor):
        app.command()(command)
    app.add_typer(define, name="define")
