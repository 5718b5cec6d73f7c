"""`howdah bench decode FILE` runs a capture through us and through pmacct's sfacctd.

Every contestant is a process of its own on the same file: start, reading, decoding and aggregating count, as processor
time of the whole process (wait4(2)), which a busy machine disturbs little. Ratios of one run are what may be quoted.
The capture is repeated, copy behind copy, until it holds enough samples; sfacctd aggregates by 5-tuple, we keep three
flow definitions. Its plugin `print` is the faster one: `memory` takes about twice the processor time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from analytics.inputs.capture import MAGICS, MalformedCapture
from documents import programs
from documents.console import PlainConsole
from documents.files import open_regular
from documents.printable import complain

DEFINITIONS = {
    "five_tuple": {
        "keys": "ipsource,ipdestination,ipprotocol,or:tcpsourceport:udpsourceport,"
        "or:tcpdestinationport:udpdestinationport",
        "value": "bytes",
    },
    "pair": {"keys": "ipsource,ipdestination", "value": "bytes"},
    "stack": {"keys": "stack", "value": "frames"},
}
SFACCTD = """daemonize: false
plugins: print
aggregate: src_host,dst_host,src_port,dst_port,proto
print_output_file: {work}/sfacctd.csv
print_output: csv
print_refresh_time: 300
plugin_buffer_size: 409600
plugin_pipe_size: 40960000
pcap_savefile: {capture}
"""
PCAP_HEADER = 24


@dataclass(frozen=True)
class Result:
    """Processor and elapsed seconds of one contestant's process."""

    name: str
    cpu_s: float
    wall_s: float


def decode(
    file: Annotated[Path, typer.Argument(help="A pcap capture of sFlow.")],
    port: Annotated[int, typer.Option(help="UDP port of sFlow in the capture.")] = 6343,
    samples: Annotated[int, typer.Option(min=1, help="Repeat the capture until it holds so many.")] = 5_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Samples per processor second, whole processes, beside sfacctd where that is installed."""
    try:
        with tempfile.TemporaryDirectory(prefix="howdah-bench-") as work:
            report = _decode(file, port, samples, Path(work))
    except (MalformedCapture, OSError, RuntimeError) as error:
        complain(f"howdah bench: {error}")
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(report))
        return
    table = Table("program", *(Column(name, justify="right") for name in ("CPU s", "elapsed s", "samples/CPU s")))
    for row in report["results"]:
        speed = report["samples"] / row["cpu_s"]
        table.add_row(row["name"], f"{row['cpu_s']:.2f}", f"{row['wall_s']:.2f}", f"{speed:,.0f}")
    console = PlainConsole()
    console.print(f"{report['samples']:,} flow samples in {report['datagrams']:,} datagrams, {report['bytes']:,} bytes")
    console.print(table)
    if "ratio" in report:
        console.print(f"howdah does {report['ratio']:.1f} times the samples per processor second of sfacctd")
    else:
        console.print("sfacctd is not installed (Debian package pmacct): nothing to compare with")


def _decode(file: Path, port: int, samples: int, work: Path) -> dict[str, Any]:
    once = _ours(file, port, work)[1]
    if not once["samples"]:
        raise RuntimeError(f"{file}: no flow samples to UDP port {port}")
    capture = work / "capture.pcap"
    _repeat(file, -(-samples // once["samples"]), capture)
    ours, counts = _ours(capture, port, work)
    results = [ours]
    if sfacctd := shutil.which("sfacctd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"):
        (work / "sfacctd.conf").write_text(SFACCTD.format(work=work, capture=capture))
        results.append(_run("sfacctd", [sfacctd, "-f", str(work / "sfacctd.conf")], work, until="Exiting"))
    report: dict[str, Any] = {**counts, "bytes": capture.stat().st_size, "results": [vars(one) for one in results]}
    if len(results) > 1:
        report["ratio"] = results[1].cpu_s / ours.cpu_s
    return report


def _repeat(file: Path, times: int, capture: Path) -> None:
    """The capture `times` times in one file."""
    with open_regular(file) as source, capture.open("wb") as sink:
        head = source.read(PCAP_HEADER)
        if head[:4] not in MAGICS:
            raise MalformedCapture(f"{file}: offset 0: not a pcap file")
        sink.write(head)
        for _ in range(times):
            source.seek(PCAP_HEADER)
            shutil.copyfileobj(source, sink, 1 << 22)


def _ours(capture: Path, port: int, work: Path) -> tuple[Result, dict[str, int]]:
    result = _run("howdah", programs.command("analytics.bench.decode", capture, port), work)
    return result, json.loads((work / "howdah.out").read_text())


def _run(name: str, command: list[str], work: Path, until: str | None = None) -> Result:
    """One contestant to its end; RuntimeError shows its last words if it fails or does not say `until`."""
    output = work / f"{name}.out"
    began = time.monotonic()
    with output.open("wb") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    said = output.read_text(errors="replace")
    if process.returncode or (until and until not in said):
        raise RuntimeError(f"{name} failed: {said.strip().splitlines()[-1] if said.strip() else process.returncode}")
    return Result(name, usage.ru_utime + usage.ru_stime, time.monotonic() - began)


def main() -> None:
    """The contestant: a capture through the engine with three definitions."""
    from analytics.engine import Engine  # noqa: PLC0415  the command line needs no native core
    from analytics.inputs.replay import replay  # noqa: PLC0415

    engine = Engine()
    for name, definition in DEFINITIONS.items():
        engine.set_flow(name, definition)
    replay(sys.argv[1], engine, int(sys.argv[2]))
    agents = engine.agents().values()
    counts = {
        "samples": sum(agent.flows.received for agent in agents),
        "datagrams": sum(agent.datagrams.received for agent in agents),
    }
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
