"""`howdah decode`: sFlow out of a capture, a pipe or a UDP port, printed for people and scripts.

The native printer (core/printing) does the work: datagrams go in, and what comes back is written in large pieces.
Output is flushed whenever no datagram is waiting, so a live view is live. A closed pipe, Ctrl-C and SIGTERM end it
quietly, after what was printed so far; everything else that ends it early is one line.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from analytics.inputs import capture
from analytics.inputs.settings import SFLOW_PORT
from documents.printable import complain, printable

PIECE = 1 << 18  # bytes written at once
LONG_FILE = 16 << 20  # bytes from which a progress bar is shown
LARGEST_DATAGRAM = 65536
REPORT_EVERY_S = 1.0  # between lines about datagrams that are not sFlow

Arrivals = Iterable[tuple[float, str, bytes] | None]
"""(time, source address, datagram), or None where a live source has nothing more for now."""


def decode(
    file: Annotated[str | None, typer.Argument(help="Capture (pcap, pcapng), or - for stdin; none: live.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per datagram, as sflowtool -J.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line per sample, as sflowtool -l.")] = False,
    pcap: Annotated[str | None, typer.Option(help="Write the sampled packets to this capture file (pcapng).")] = None,
    port: Annotated[str, typer.Option(help="UDP port of sFlow; of a capture also `any`: whatever is sFlow.")] = str(
        SFLOW_PORT
    ),
    host: Annotated[str, typer.Option(help="Address to listen on; :: for all.")] = "127.0.0.1",
    agent: Annotated[str | None, typer.Option(help="Only datagrams of this agent.")] = None,
    count: Annotated[int | None, typer.Option(help="End after so many datagrams.", min=1)] = None,
) -> None:
    """Print every sFlow structure: of a capture, of standard input, or of what arrives on a UDP port."""
    if as_json + as_csv + (pcap is not None) > 1:
        raise typer.BadParameter("choose one of --json, --csv and --pcap")
    form = "json" if as_json else "csv" if as_csv else "pcap" if pcap is not None else "text"
    try:
        packed = None if agent is None else ip_address(agent).packed
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--agent") from None
    number = _port(port, live=file is None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt
    with ExitStack() as stack:
        try:
            arrivals = _live(host, number or 0) if file is None else _recorded(file, number, stack)
            out = _output(pcap, stack)
            run(arrivals, out, form, agent=packed, count=count, recorded=file is not None)
        except KeyboardInterrupt:
            pass
        except BrokenPipeError:
            _forget_output()
        except (capture.MalformedCapture, OSError) as fault:
            what = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
            name = f"{fault.filename}: " if isinstance(fault, OSError) and fault.filename else ""
            stack.close()  # the progress bar goes first
            complain(f"howdah decode: {name}{what}")
            _forget_output()
            raise typer.Exit(1) from None


def run(
    arrivals: Arrivals,
    out: BinaryIO,
    form: str,
    *,
    agent: bytes | None = None,
    count: int | None = None,
    recorded: bool = True,
) -> None:
    """Print datagrams to `out` until the source ends or `count` were printed; what was printed is always written.

    `form` is one of "text", "json", "csv", "pcap"; `agent` a packed address. Datagrams that are not sFlow are
    reported on stderr, at most one line a second.
    """
    from analytics.core.printing.printer import Printer  # noqa: PLC0415 - the native core only when it is wanted

    printer, refused = Printer(form), Refused()
    try:
        for arrival in arrivals:
            if arrival is None:
                out.write(printer.take())
                out.flush()
                continue
            now, source, datagram = arrival
            printed = printer.feed(datagram, now, source, local_time(int(now)), recorded, agent)
            if printed is None:
                refused.add(source, len(datagram))
            elif printed and count is not None:
                count -= 1
                if count == 0:
                    break
            if len(printer) >= PIECE:
                out.write(printer.take())
    finally:
        refused.close()
        out.write(printer.take())
        out.flush()


@lru_cache(maxsize=2)
def local_time(second: int) -> str:
    """As sflowtool prints it, 2026-11-20T12:00:00+0000; a time beyond the calendar is printed as its number."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(second))
    except (OverflowError, ValueError, OSError):
        return str(second)


class Refused:
    """Reports datagrams that are not sFlow: at most one line in REPORT_EVERY_S seconds, at the end how many."""

    def __init__(self) -> None:
        self.count, self._reported, self._next = 0, 0, 0.0

    def add(self, source: str, length: int) -> None:
        self.count += 1
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + REPORT_EVERY_S
            self._reported = self.count
            complain(f"howdah decode: {source}: {length} bytes that are not sFlow")

    def close(self) -> None:
        if self.count > self._reported:
            complain(f"howdah decode: {self.count} datagrams in all were not sFlow")


def _output(pcap: str | None, stack: ExitStack) -> BinaryIO:
    """Where the printed goes. `run` flushes, so that a full disk is its error; closing has nothing more to say."""
    if pcap in (None, "-"):
        return sys.stdout.buffer
    file = Path(str(pcap)).open("wb")  # noqa: SIM115 - closed by the stack
    stack.push(lambda *_: _close(file))
    return file


def _close(file: BinaryIO) -> None:
    with suppress(OSError):
        file.close()


def _forget_output() -> None:
    """What standard output did not take is given up: Python's own flush at exit must not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _port(text: str, *, live: bool) -> int | None:
    """The port as a number, None for any."""
    if text == "any" and not live:
        return None
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    wanted = "a number up to 65535" if live else "a number up to 65535, nor any"
    raise typer.BadParameter(f"{text!r} is not {wanted}", param_hint="--port")


def _recorded(file: str, port: int | None, stack: ExitStack) -> Arrivals:
    """The datagrams of a capture, with a progress bar when it is long and a person may be waiting."""
    if file == "-":
        return capture.sflow("standard input", port, file=sys.stdin.buffer)
    size = Path(file).stat().st_size
    if size < LONG_FILE or not sys.stderr.isatty() or sys.stdout.isatty():
        return capture.sflow(file, port)
    from rich.markup import escape  # noqa: PLC0415 - a sixth of a second that most runs need not wait
    from rich.progress import Progress  # noqa: PLC0415

    from documents.console import PlainConsole  # noqa: PLC0415

    progress = stack.enter_context(Progress(console=PlainConsole(stderr=True), transient=True))
    task = progress.add_task(escape(printable(Path(file).name)), total=size)
    return capture.sflow(file, port, progress=lambda offset: progress.update(task, completed=offset))


def _live(host: str, port: int) -> Iterator[tuple[float, str, bytes] | None]:
    """Datagrams as they arrive on a UDP port, with None whenever none is waiting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        if family == socket.AF_INET6:
            receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # :: means IPv4 too
        try:
            receiver.bind((host, port))
        except OSError as fault:
            raise OSError(fault.errno, f"{host} port {port}: {fault.strerror or fault}") from None
        complain(f"howdah decode: listening on {host} port {receiver.getsockname()[1]}")
        while True:
            try:
                datagram, address = receiver.recvfrom(LARGEST_DATAGRAM, socket.MSG_DONTWAIT)
            except BlockingIOError:
                yield None
                datagram, address = receiver.recvfrom(LARGEST_DATAGRAM)
            yield time.time(), address[0].removeprefix("::ffff:"), datagram
