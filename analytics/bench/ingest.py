"""`howdah bench ingest`: how much live sFlow the engine takes, beside a drain that throws it away and beside sfcapd.

First every receiver gets the load as fast as one processor can send it over loopback, in turns, with the same socket
buffer; then the engine alone at 0.8 of the rate that the drain took, while a client asks it over REST. A rate is what
was received by the time from the first datagram until the queue was empty. The sender, on a processor of its own where
there are several, is often the bound: then all take what is sent, and their processor time shows the difference. The
drain may even get less than the engine: it sleeps more often, and to wake a receiver is work of the sender.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from analytics.bench.client import Client
from analytics.bench.contestants import Bare, Contestant, Howdah, Sfcapd
from analytics.bench.load import HOST, Sending, captured, generated
from analytics.inputs.capture import MalformedCapture
from documents.console import PlainConsole
from documents.printable import complain

BUFFER_BYTES = 16 << 20
PACE = 0.8  # of the drain's rate
TURN_S = 1.0
CALM = 0.9  # of a processor: a sender that got less shared it with others
MOST_S = 600.0


@dataclass
class Run:
    """All of the load that one contestant got: datagrams and samples, seconds, processor seconds."""

    name: str
    sent: int = 0
    sent_samples: int = 0
    received: int = 0
    samples: int = 0
    dropped: int = 0
    """By the kernel at the contestant's socket."""
    sending_s: float = 0.0
    seconds: float = 0.0
    """Until the contestant had emptied its queue."""
    cpu_s: float = 0.0
    sender_cpu_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """With rates and loss, for the report."""
        return asdict(self) | {
            "sent_per_s": self.sent / self.sending_s,
            "datagrams_per_s": self.received / self.seconds,
            "samples_per_s": self.samples / self.seconds,
            "loss_percent": 100 * (1 - self.received / self.sent),
        }


def ingest(
    file: Annotated[Path | None, typer.Argument(help="A capture of sFlow to send.", show_default="made up")] = None,
    seconds: Annotated[float, typer.Option(min=0.05, max=MOST_S, help="How long each run sends.")] = 5.0,
    port: Annotated[
        int, typer.Option(min=0, max=65533, help="First of three UDP ports to use on loopback; 0: free ones.")
    ] = 0,
    sflow_port: Annotated[int, typer.Option(help="UDP port of sFlow in the capture.")] = 6343,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Live datagrams per second beside a drain that throws them away and sfcapd; REST latency under load."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the processes we began end too
    try:
        with tempfile.TemporaryDirectory(prefix="howdah-bench-") as work:
            report = Bench(file, sflow_port, seconds, port, Path(work)).report()
    except (MalformedCapture, OSError, RuntimeError, subprocess.SubprocessError) as error:
        what = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        complain(f"howdah bench: {what}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    if as_json:
        print(json.dumps(report))
    else:
        show(report)


def free_ports(first: int, count: int) -> list[int]:
    """UDP ports of loopback that are not bound: `first` and those behind it, or any (0). RuntimeError names the
    one that is taken."""
    with ExitStack() as bound:
        found = []
        for port in range(first, first + count) if first else [0] * count:
            probe = bound.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise RuntimeError(f"{HOST} UDP port {port}: {error.strerror}") from None
            found.append(int(probe.getsockname()[1]))
        return found


def granted_bytes() -> int:
    """The socket buffer that each receiver gets: BUFFER_BYTES, or the system's limit if that is lower."""
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii"))
    return min(BUFFER_BYTES, limit)


class Bench:
    """The load and the conditions that all runs share. `port`: the first of three, 0: any free ones."""

    def __init__(self, file: Path | None, sflow_port: int, seconds: float, port: int, work: Path) -> None:
        self._seconds, self._work = seconds, work
        self._buffer_bytes = granted_bytes()
        self._source = [str(file), str(sflow_port)] if file else []
        self._load = captured(file, sflow_port) if file else generated()
        kinds: list[type[Contestant]] = [Bare, Howdah, *([Sfcapd] if Sfcapd.is_installed() else [])]
        ports = free_ports(port, len(kinds))
        self._contestants = [kind(each, self._buffer_bytes, work) for kind, each in zip(kinds, ports, strict=True)]
        self._check(file)

    def _check(self, file: Path | None) -> None:
        from analytics.core.sender import Sender  # noqa: PLC0415  the command line needs no native core

        try:
            Sender(self._load)
        except ValueError as error:
            raise RuntimeError(f"{file}: {error}") from None

    def report(self) -> dict[str, Any]:
        """All runs; see the module. RuntimeError: one of the processes failed."""
        with Sending(self._source) as sending:
            blast = self._blast(sending)
            pace = PACE * blast[0]["datagrams_per_s"]
            if not pace:
                raise RuntimeError("the drain received nothing: is there a filter on loopback?")
            paced, rest = self._paced(sending, pace)
        return {
            "source": self._source[0] if self._source else "generated",
            "datagrams": len(self._load),
            "bytes": sum(map(len, self._load)),
            "buffer_bytes": self._buffer_bytes,
            "processors": len(os.sched_getaffinity(0)),
            "blast": blast,
            "ratio": blast[1]["datagrams_per_s"] / blast[0]["datagrams_per_s"],
            "sender_share": sum(run["sender_cpu_s"] for run in blast) / sum(run["sending_s"] for run in blast),
            "pace": pace,
            "paced": paced,
            "rest": rest,
        }

    def _blast(self, sending: Sending) -> list[dict[str, Any]]:
        """All receivers at full blast, a second each in turn, so that the machine's other load affects all alike."""
        runs = [Run(each.name) for each in self._contestants]
        turns = max(1, round(self._seconds / TURN_S))
        with ExitStack() as running:
            for each in self._contestants:
                running.enter_context(each)
            for _ in range(turns):
                for run, each in zip(runs, self._contestants, strict=True):
                    load_on(each, sending, self._seconds / turns, 0.0, run)
            for run, each in zip(runs, self._contestants, strict=True):
                take(each, run)
        return [run.as_dict() for run in runs]

    def _paced(self, sending: Sending, pace: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """A new engine at a rate, while a client asks: (run, latencies)."""
        run = Run(Howdah.name)
        with Howdah(self._contestants[1].port, self._buffer_bytes, self._work) as howdah:
            with Client(*howdah.rest) as client:
                load_on(howdah, sending, self._seconds, pace, run)
            take(howdah, run)
        return run.as_dict(), client.report()


def load_on(contestant: Contestant, sending: Sending, seconds: float, rate: float, run: Run) -> None:
    """Send to a contestant, wait until it has emptied its queue, and book what it took to do so."""
    used = contestant.used_s()
    sent = sending.send(contestant.port, seconds, rate)
    ended = time.monotonic()
    run.dropped = contestant.settled()
    run.seconds += sent["seconds"] + time.monotonic() - ended
    run.cpu_s += contestant.used_s() - used
    run.sent += sent["datagrams"]
    run.sent_samples += sent["samples"]
    run.sending_s += sent["seconds"]
    run.sender_cpu_s += sent["cpu_s"]


def take(contestant: Contestant, run: Run) -> None:
    """Ask the contestant what it received; of samples that it does not count, those that were sent stand in."""
    reached = run.sent - run.dropped
    taken = contestant.taken(reached)
    run.dropped += taken.shed
    reached -= taken.shed
    run.received = reached if taken.datagrams is None else taken.datagrams
    run.samples = round(run.received * run.sent_samples / run.sent) if taken.samples is None else taken.samples


def show(report: dict[str, Any]) -> None:
    """The report as tables for people."""
    console = PlainConsole()
    console.print(
        f"{report['source']}: {report['datagrams']:,} datagrams, {report['bytes']:,} bytes, sent again and again; "
        f"socket buffers of {report['buffer_bytes']:,} bytes; {report['processors']} processors"
    )
    names = ("sent/s", "datagrams/s", "samples/s", "loss %", "CPU s", "sender s")
    table = Table(Column("receiver", no_wrap=True), *(Column(name, justify="right") for name in names))
    for name, run in [*((run["name"], run) for run in report["blast"]), ("paced howdah", report["paced"])]:
        table.add_row(
            name,
            f"{run['sent_per_s']:,.0f}",
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
    if report["sender_share"] < CALM:
        console.print(
            f"the sender got only {report['sender_share']:.0%} of its processor: others were at work on this machine, "
            "and the figures are theirs too"
        )
    if len(report["blast"]) == 2:
        console.print("sfcapd is not installed (Debian package nfdump-sflow): nothing to compare with")
