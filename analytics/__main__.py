"""`python -m analytics` is the command `howdah analytics`."""

from __future__ import annotations

import typer

from analytics import cli

if __name__ == "__main__":
    typer.run(cli.analytics)
