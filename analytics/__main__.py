"""Builds and joins the parts, and nothing else: settings -> engine, source of sFlow, HTTP; then waits for the end.

One process: the HTTP server's event loop in the main thread, the receive thread (or the replay) beside it, the engine
between them. Both sockets are open before the ready line is printed. SIGTERM, SIGINT and the end of the parent that
supervises us all stop the loop, which ends waiting long polls and returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import typer
import uvicorn
from starlette.applications import Starlette

from analytics import cli, rest
from analytics.collector import Collector
from analytics.config import Settings
from analytics.core import flowkeys
from analytics.engine import Engine, EngineSettings

TICK_S = 1.0
KEEP_ALIVE_S = 75  # longer than a scrape interval or a long poll's usual 60 s
GRACE_S = 2  # what a running request gets when the program ends

FLOWS = {  # names that users' scripts ask for; sFlow-RT's mininet-dashboard defines them so
    "mn_bytes": {"value": "bytes"},
    "mn_flow": {
        "keys": "ipsource,ipdestination,ipprotocol,"
        "or:tcpsourceport:udpsourceport:icmptype,or:tcpdestinationport:udpdestinationport:icmpcode",
        "value": "bytes",
    },
}


class HttpServer(uvicorn.Server):
    """uvicorn on a socket of ours, without its signal handlers: tells when it serves, and ends long polls first."""

    def __init__(self, app: Starlette, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._bell = app.state.bell
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._bell.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(settings: Settings, parent_pid: int | None = None) -> None:
    """Serve until told to end. OSError or ValueError with one line if something cannot be opened."""
    logging.basicConfig(level=logging.WARNING, format="howdah analytics: %(message)s")
    engine = Engine(EngineSettings(events=settings.events))
    for name, spec in FLOWS.items():
        engine.set_flow(name, spec)
    http = listen(settings.host, settings.port)
    with http, Collector(engine, settings.sflow_host, settings.sflow_port, settings.receive_buffer) as collector:
        app = rest.build(engine, version=version(), token=settings.token)
        ready = f"howdah analytics {version()} ready: http://{shown(http)} sflow {collector.address}"
        server = HttpServer(app, on_ready=lambda: print(ready, flush=True))
        asyncio.run(serve(server, http, engine, parent_pid))


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; OSError says which address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as fault:  # a failed look-up has a negative errno and its own words
        why = os.strerror(fault.errno) if fault.errno and fault.errno > 0 else fault.strerror
        raise OSError(f"cannot listen for HTTP on {host} port {port}: {why}") from None


async def serve(server: HttpServer, http: socket.socket, engine: Engine, parent_pid: int | None) -> None:
    """HTTP and the engine's clock, until a signal or the parent's end."""

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop)
    if parent_pid is not None:
        loop.add_reader(watched(parent_pid), stop)
    ticking = asyncio.create_task(tick(engine))
    ticking.add_done_callback(lambda task: stop())
    await server.serve(sockets=[http])
    ticking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ticking


async def tick(engine: Engine) -> None:
    while True:
        engine.tick(time.time())
        await asyncio.sleep(TICK_S)


def watched(pid: int) -> int:
    """A descriptor that becomes readable when the process has ended (pidfd_open(2)): no polling, nobody is missed."""
    try:
        return os.pidfd_open(pid)
    except OSError as fault:
        raise OSError(f"cannot watch parent process {pid}: {fault.strerror}") from None


def version() -> str:
    """Of the distribution, and of the interpreter that the native core was compiled for."""
    try:
        number = importlib.metadata.version("howdah")
    except importlib.metadata.PackageNotFoundError:
        number = "from source"
    return f"{number} (core {'.'.join(os.path.basename(flowkeys.__file__).split('.')[1:-1])})"


def shown(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


if __name__ == "__main__":
    typer.run(cli.analytics)
