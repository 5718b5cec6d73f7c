"""`howdah analytics` without the other commands: what the controller and the benchmarks start."""

from __future__ import annotations

import typer

from analytics import cli

if __name__ == "__main__":
    typer.run(cli.analytics)
