"""The command line of the benchmarks: `howdah bench`."""

from __future__ import annotations

import typer

from analytics.bench.decode import decode
from analytics.bench.definitions import definitions
from analytics.bench.ingest import ingest
from analytics.bench.latency import latency
from analytics.bench.questions import questions


def register(app: typer.Typer) -> None:
    """Add `bench` to the one app of scripts/howdah."""
    bench = typer.Typer(help="Benchmarks, side by side with other programs.", no_args_is_help=True)
    bench.command()(decode)
    bench.command()(definitions)
    bench.command()(ingest)
    bench.command()(latency)
    bench.command()(questions)
    app.add_typer(bench, name="bench")
