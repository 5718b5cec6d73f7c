"""The command line of scripts."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from client.run import Crew
from documents.printable import complain


def run(
    scripts: Annotated[list[Path], typer.Argument(help="Python files.", metavar="SCRIPT.py ...")],
    *,
    url: Annotated[
        str | None,
        typer.Option(envvar="HOWDAH_ANALYTICS_URL", help="Analytics that runs already.", show_default="one of its own"),
    ] = None,
    analytics: Annotated[
        str, typer.Option(help="Options of the analytics that is started, as one text: '--port 8009'.")
    ] = "",
) -> None:
    """Run scripts beside analytics: started again when they fail, ended together."""
    try:
        options = shlex.split(analytics)
        for script in scripts:
            if not script.is_file():
                raise ValueError(f"{script} is no file")
        status = Crew(scripts, url, options).run()
    except (ValueError, OSError) as fault:
        complain(f"howdah run: {' '.join(str(fault).split())}")
        raise typer.Exit(1) from None
    raise typer.Exit(status)


def register(app: typer.Typer) -> None:
    """Add the command to `howdah`."""
    app.command()(run)
