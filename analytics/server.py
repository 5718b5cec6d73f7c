"""Builds and connects the parts: settings -> engine, source of sFlow, HTTP; then waits for the end of the program.

One process: the HTTP server's event loop in the main thread, the receive thread beside it, the engine between them.
Both sockets are open, and root has become another user (privileges.py), before the ready line is printed and anything
is read from them. A capture is played in the event loop (inputs/playback.py); the engine's clock is then the capture's.
SIGTERM, SIGINT and the end of the supervising parent process stop the loop, which ends waiting long polls and returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib.metadata
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import uvicorn
from starlette.applications import Starlette

from analytics import machine, privileges
from analytics.api import rest
from analytics.api.connections import MAX_CONNECTIONS, Connection, Connections
from analytics.config import Settings
from analytics.core import pages, pipeline
from analytics.engine import Engine, EngineSettings
from analytics.geo import GeoDatabase, VendorFile
from analytics.inputs.collector import Collector
from analytics.inputs.playback import Playback, PlayedClock
from analytics.inputs.settings import CollectorSettings
from analytics.lookups import Sources
from analytics.memory import LEAST
from analytics.resolver import Resolver
from analytics.state import Document, State, open_folder
from analytics.turns import finished
from documents.faults import Faults
from documents.files import open_regular
from documents.printable import guard_logs, say

log = logging.getLogger(__name__)

TICK_S = 1.0
MAX_TICKS = 50.0  # in a second, of a capture that is played as fast as can be
GIVE_BACK_S = 10.0
NAMES_S = 10.0
KEEP_ALIVE_S = 75  # longer than a scrape interval or a long poll's usual 60 s
GRACE_S = 2  # what a running request gets when the program ends
SWITCH_S = 0.0005  # how long a batch with counters waits for the GIL while a request is answered

KERNEL_BUFFER = 128 * 1024  # bytes each way and connection; the kernel doubles it
MAX_FILES = 2 * MAX_CONNECTIONS

Task = Callable[[], Coroutine[Any, Any, None]]

FLOWS = {  # published scripts ask for these; as sFlow-RT's mininet-dashboard defines them
    "mn_bytes": {"value": "bytes"},
    "mn_flow": {
        "keys": "ipsource,ipdestination,ipprotocol,"
        "or:tcpsourceport:udpsourceport:icmptype,or:tcpdestinationport:udpdestinationport:icmpcode",
        "value": "bytes",
    },
}


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers and its accepting: takes connections from `listener` within the bounds of
    `connections`, calls `on_ready` when it serves, and ends long polls before it stops."""

    def __init__(
        self, app: Starlette, listener: socket.socket, connections: Connections, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._feeds = app.state.feeds
        self._listener, self._connections = listener, connections
        self._on_ready = on_ready
        self._beside: asyncio.Future[Any] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        protocol = functools.partial(
            Connection,
            self._connections,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self._beside = asyncio.gather(self._connections.serve(self._listener, protocol), self._connections.watch())
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._beside:
            self._beside.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beside
        self._feeds.close()
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # requests cut off are no error
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(settings: Settings, parent_pid: int | None = None) -> None:
    """Serve until a signal or the end of the parent. OSError or ValueError, one line: something cannot be opened."""
    logging.basicConfig(level=logging.WARNING, format="howdah analytics: %(message)s")
    guard_logs()
    sys.setswitchinterval(SWITCH_S)
    machine.map_large_pieces()
    allow_files(MAX_FILES)
    with contextlib.ExitStack() as closing:
        memory = settings.memory or max(LEAST, machine.memory() // machine.DEFAULT_PART)
        played = None if settings.replay is None else PlayedClock(settings.replay_speed)
        clock, wall = (played, played.wall) if played else (time.monotonic, wall_time)
        resolver = Resolver() if settings.dns else None
        engine = Engine(
            EngineSettings(memory=memory, max_events=settings.events, max_flows=settings.flow_records),
            wall,
            looked_up(settings, resolver),
        )
        closing.callback(engine.close)
        for name, spec in FLOWS.items():
            engine.set_flow(name, spec)
        http = closing.enter_context(listen(settings.host, settings.port))
        access, keep = settings.access(socket.gethostname()), keeping(settings)
        app = rest.build(engine, version=version(), access=access, clock=clock, keep=keep)
        tick_s = TICK_S / max(1.0, settings.replay_speed or MAX_TICKS) if played else TICK_S
        tasks: list[Task] = [functools.partial(tick, engine, app.state.api, tick_s)]
        ready = f"howdah analytics {version()} ready: http://{shown(http.getsockname())} "
        sender = app.state.api.sender
        closing.callback(sender.stop)
        sender.bind()
        if played is None:
            collector = Collector(engine, receiving(settings))
            closing.callback(collector.stop)
            collector.bind()
            privileges.drop(settings.user)
            sender.own_port = collector.address[1]
            collector.start()
            ready += f"sflow {shown(collector.address)}"
        else:
            path = str(settings.replay)
            file = closing.enter_context(open_regular(path))
            privileges.drop(settings.user)
            speed, loop = settings.replay_speed, settings.replay_loop
            tasks.append(Playback(path, file, engine, played, settings.sflow_port or None, speed=speed, loop=loop).play)
            ready += f"replay {settings.replay}"
        sender.start()
        threading.Thread(target=pages.keep_spares, name="pages", daemon=True).start()
        closing.callback(pages.end_spares)
        if resolver is not None:
            resolver.start()
            closing.callback(resolver.stop)
        if app.state.kept:
            app.state.kept.restore()
        connections = Connections(engine.faults, engine.budget.part("answers"))
        app.state.api.vitals.connections = connections.counts
        server = HttpServer(app, http, connections, on_ready=functools.partial(begin, ready))
        asyncio.run(serve(server, tasks, parent_pid, engine.faults))


def keeping(settings: Settings) -> Callable[[Sequence[Document]], State] | None:
    """What keeps documents over restarts, in the directory that is opened now; None: nothing is kept."""
    if settings.state is None:
        return None
    folder = open_folder(settings.state, functools.partial(privileges.give, user=settings.user))
    return functools.partial(State, folder, settings.state)


def allow_files(most: int) -> None:
    """Raise the limit of open files to what connections may take, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(most, hard)), hard))


def wall_time(then: float) -> float:
    """The epoch seconds of a monotonic time, by the wall clock as it goes now."""
    return time.time() - (time.monotonic() - then)


def begin(ready: str) -> None:
    """Print the ready line. What exists now lives as long as the program: the garbage collector shall skip it, because
    going through it once a second delayed every answer."""
    gc.freeze()
    say(ready)


def looked_up(settings: Settings, resolver: Resolver | None) -> Sources:
    """What key functions look up, opened."""
    return Sources(
        countries=GeoDatabase(settings.geo_country) if settings.geo_country else None,
        systems=GeoDatabase(settings.geo_asn) if settings.geo_asn else None,
        vendors=VendorFile(settings.oui) if settings.oui else None,
        names=resolver,
    )


def receiving(settings: Settings) -> CollectorSettings:
    """The part of the settings that the collector needs."""
    return CollectorSettings(
        host=settings.sflow_host,
        port=settings.sflow_port,
        buffer_bytes=settings.receive_buffer,
        sockets=settings.sflow_sockets,
        sources=settings.sflow_sources,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; OSError says which address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        http = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as fault:  # a failed look-up has a negative errno and its own words
        why = os.strerror(fault.errno) if fault.errno and fault.errno > 0 else fault.strerror
        raise OSError(f"cannot listen for HTTP on {host} port {port}: {why}") from None
    # Inherited by every connection. asyncio would set it itself, but not on a socket that was made without naming TCP;
    # without it each answer on a kept connection waits 40 ms for the client's delayed acknowledgement.
    http.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    http.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a client that died during a long poll
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # the kernel would give each connection some megabytes
        http.setsockopt(socket.SOL_SOCKET, buffer, KERNEL_BUFFER)
    return http


async def serve(server: HttpServer, tasks: Sequence[Task], parent_pid: int | None, faults: Faults) -> None:
    """HTTP and the tasks beside it, until a signal or the parent's end. A task that fails ends everything."""

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(functools.partial(note, faults))
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop)
    if parent_pid is not None:
        loop.add_reader(watched(parent_pid), stop)
    beside = asyncio.gather(*(task() for task in tasks))
    beside.add_done_callback(lambda done: stop())
    await server.serve(sockets=[])  # it has its own listener
    beside.cancel()
    try:
        await beside
    except asyncio.CancelledError:
        return
    except Exception:  # a bug; a supervisor restarts the program
        log.exception("ended by a bug")
        raise SystemExit(1) from None


def note(faults: Faults, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What went wrong in a callback or a task that nothing waits for."""
    faults.note("event loop", context.get("exception") or RuntimeError(context["message"]), time.monotonic())


async def tick(engine: Engine, api: rest.Api, every_s: float = TICK_S) -> None:
    """The engine's in a thread: its many turns of the lock would keep requests waiting."""
    given_back = named = time.monotonic()
    while True:
        try:
            await asyncio.to_thread(engine.tick, api.clock())
            api.scraped.expire(api.clock())
            if time.monotonic() - named >= NAMES_S:
                await asyncio.to_thread(finished, api.sender.look_up_names())
                named = time.monotonic()
            if time.monotonic() - given_back >= GIVE_BACK_S:
                pages.give_back()
                await asyncio.to_thread(machine.give_back)
                given_back = time.monotonic()
        except Exception as error:
            engine.faults.note("tick", error, time.monotonic())
        await asyncio.sleep(every_s)


def watched(pid: int) -> int:
    """A descriptor that becomes readable when the process has ended (pidfd_open(2)), without polling."""
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
    return f"{number} (core {'.'.join(os.path.basename(pipeline.__file__).split('.')[1:-1])})"


def shown(address: tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
