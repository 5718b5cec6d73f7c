"""`howdah bench ingest`: how much live sFlow the engine takes, beside a drain that throws it away and beside sfcapd.

First everybody gets the load as fast as one processor can send it over loopback, with the same socket buffer; then
the engine alone at 0.8 of the rate that the drain took, while a client asks it over REST. The sender is on a processor
of its own where there are several. Often it is the bound: then all take what is sent, and their processor time tells
them apart.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table

from analytics.bench.client import Client
from analytics.bench.contestants import Bare, Contestant, Howdah, Sfcapd
from analytics.bench.load import HOST, Sending, captured, generated
from analytics.capture import Broken

BUFFER_BYTES = 16 << 20
PACE = 0.8  # of the drain's rate
MOST_S = 600.0

C = TypeVar("C", bound=Contestant)


@dataclass(frozen=True)
class Run:
    """One load on one contestant; datagrams and samples, processor seconds of receiver and sender."""

    name: str
    sent: int
    received: int
    samples: int
    dropped: int
    seconds: float
    cpu_s: float
    sender_cpu_s: float
    datagrams_per_s: float
    samples_per_s: float
    loss_percent: float


def ingest(
    file: Annotated[Path | None, typer.Argument(help="A capture of sFlow to send.", show_default="made up")] = None,
    seconds: Annotated[float, typer.Option(min=0.05, max=MOST_S, help="How long each run sends.")] = 5.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="UDP port to use on loopback; 0: any free one.")] = 0,
    sflow_port: Annotated[int, typer.Option(help="UDP port of sFlow in the capture.")] = 6343,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Live datagrams per second beside a drain that throws them away and sfcapd; REST latency under load."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the processes we began end too
    try:
        with tempfile.TemporaryDirectory(prefix="howdah-bench-") as work:
            report = Bench(file, sflow_port, seconds, free_port(port), Path(work)).report()
    except (Broken, OSError, RuntimeError, subprocess.SubprocessError) as error:
        told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        print(f"howdah bench: {told}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    if as_json:
        print(json.dumps(report))
    else:
        show(report)


def free_port(wanted: int) -> int:
    """A UDP port of loopback that nobody has bound; RuntimeError: the wanted one is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise RuntimeError(f"{HOST} UDP port {wanted}: {error.strerror}") from None
        return int(probe.getsockname()[1])


def granted_bytes() -> int:
    """The socket buffer that everybody may have: BUFFER_BYTES, or the system's limit if that is lower."""
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii"))
    return min(BUFFER_BYTES, limit)


class Bench:
    """The load and the conditions that all runs share."""

    def __init__(self, file: Path | None, sflow_port: int, seconds: float, port: int, work: Path) -> None:
        self._seconds, self._port, self._work = seconds, port, work
        self._buffer_bytes = granted_bytes()
        self._source = [str(file), str(sflow_port)] if file else []
        self._load = captured(file, sflow_port) if file else generated()
        self._check(file)

    def _check(self, file: Path | None) -> None:
        from analytics.core.sender import Sender  # noqa: PLC0415  the command line needs no native core

        try:
            Sender(self._load)
        except ValueError as error:
            raise RuntimeError(f"{file}: {error}") from None

    def report(self) -> dict[str, Any]:
        """All runs; see the module. RuntimeError: one of the processes failed."""
        contestants: list[type[Contestant]] = [Bare, Howdah, *([Sfcapd] if Sfcapd.is_installed() else [])]
        blast = [self._run(contestant) for contestant in contestants]
        drain, engine = blast[:2]
        pace = PACE * drain.datagrams_per_s
        with self._made(Howdah) as howdah:
            client = Client(*howdah.rest)
            paced = self._load_on(howdah, pace, client)
        return {
            "source": self._source[0] if self._source else "generated",
            "datagrams": len(self._load),
            "bytes": sum(map(len, self._load)),
            "buffer_bytes": self._buffer_bytes,
            "processors": len(os.sched_getaffinity(0)),
            "blast": [asdict(run) for run in blast],
            "ratio": engine.datagrams_per_s / drain.datagrams_per_s,
            "pace": pace,
            "paced": asdict(paced),
            "rest": client.report(),
        }

    def _made(self, contestant: type[C]) -> C:
        return contestant(self._port, self._buffer_bytes, self._work)

    def _run(self, contestant: type[Contestant]) -> Run:
        """A contestant at full blast."""
        with self._made(contestant) as running:
            return self._load_on(running)

    def _load_on(self, contestant: Contestant, rate: float = 0.0, client: Client | None = None) -> Run:
        """Send at a rate (0: as fast as it goes), while a client asks."""
        with Sending(self._port, self._seconds, rate, self._source) as sending, ExitStack() as asking:
            before = contestant.used_s()
            sending.begin()
            if client is not None:
                asking.enter_context(client)
            sent = sending.sent()
        dropped = contestant.settled()
        reached = sent["datagrams"] - dropped
        used = contestant.used_s() - before
        taken = contestant.taken(reached)
        received = reached if taken.datagrams is None else taken.datagrams
        samples = round(received * sent["samples"] / sent["datagrams"]) if taken.samples is None else taken.samples
        return Run(
            name=contestant.name,
            sent=sent["datagrams"],
            received=received,
            samples=samples,
            dropped=dropped,
            seconds=sent["seconds"],
            cpu_s=used,
            sender_cpu_s=sent["cpu_s"],
            datagrams_per_s=received / sent["seconds"],
            samples_per_s=samples / sent["seconds"],
            loss_percent=100 * (1 - received / sent["datagrams"]),
        )


def show(report: dict[str, Any]) -> None:
    """The report as tables for people."""
    console = Console()
    console.print(
        f"{report['source']}: {report['datagrams']:,} datagrams, {report['bytes']:,} bytes, sent again and again; "
        f"socket buffers of {report['buffer_bytes']:,} bytes; {report['processors']} processors"
    )
    names = ("sent/s", "datagrams/s", "samples/s", "loss %", "CPU s", "sender CPU s")
    table = Table("receiver", *(Column(name, justify="right") for name in names))
    for name, run in [*((run["name"], run) for run in report["blast"]), ("howdah, paced", report["paced"])]:
        table.add_row(
            name,
            f"{run['sent'] / run['seconds']:,.0f}",
            f"{run['datagrams_per_s']:,.0f}",
            f"{run['samples_per_s']:,.0f}",
            f"{run['loss_percent']:.2f}",
            f"{run['cpu_s']:.2f}",
            f"{run['sender_cpu_s']:.2f}",
        )
    console.print(table)
    rest = report["rest"]
    console.print(f"howdah takes {report['ratio']:.2f} of the datagrams per second of the drain")
    console.print(
        f"at {PACE} of the drain's rate it loses {report['paced']['loss_percent']:.2f} % and answers "
        f"{rest['requests']} REST requests: p50 {rest['p50_ms']:.1f} ms, p99 {rest['p99_ms']:.1f} ms, "
        f"longest {rest['max_ms']:.1f} ms"
    )
    if len(report["blast"]) == 2:
        console.print("sfcapd is not installed (Debian package nfdump-sflow): nothing to compare with")
