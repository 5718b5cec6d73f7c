"""A script: what it defines in the engine, and what it does when something happens there.

Handlers run one at a time in the thread that called `run`, as in sFlow-RT, so a script needs no locks. Around the loop:

- a thread per log that somebody handles (events, flow records) holds a long poll and puts what comes into the loop's
  queue, which is bounded: while handlers are behind, the engine's own log is the buffer;
- a thread serves HTTP, if the script handles requests, and waits there for the loop (requesthandler.py);
- once a second the loop looks whether all that the script defined is still there, and puts it again: after a restart of
  the engine, or because somebody removed it. So definitions exist as long as the script runs. At its end, by whichever
  way (SIGINT, SIGTERM, an exception, the last line), they are removed, in reverse order.

An exception in a handler is logged with its traceback, a failed request to the engine in one line, and the script goes
on. Cost: one thread per log, a few hundred bytes per event that waits.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from client import hosts
from client.connection import Refused, Unavailable, WrongAnswer, part
from client.questions import NOT_FOUND, Questions
from client.requesthandler import BadRequest, Handler, NotFound, Request, Server
from client.store import Store, directory

log = logging.getLogger(__name__)

URL = "http://127.0.0.1:8008"
PARENT = "HOWDAH_RUN"  # in the environment: the process that keeps this one
POLL_S = 30.0
RETRY_S = 1.0
KEEP_S = 1.0
MOST_WAITING = 10_000  # events and records between the polls and the handlers
AT_ONCE = 1000  # of one answer
MOST_TRIGGERED = MOST_HOSTS = 10_000

Place = tuple[str, str, str, str | None]  # threshold, agent, data source, flow key
OnRecord = TypeVar("OnRecord", bound=Callable[[dict[str, Any]], object])
OnTime = TypeVar("OnTime", bound=Callable[[float], object])
OnRequest = TypeVar("OnRequest", bound=Handler)


@dataclass(frozen=True)
class Log:
    """A log of the engine that can be polled; the words of its cursor and its bound, and which name a record has."""

    path: str
    cursor: str
    most: str
    name: str


EVENTS = Log("/events/json", "eventID", "maxEvents", "thresholdID")
FLOWS = Log("/flows/json", "flowID", "maxFlows", "name")


class Ended(BaseException):
    """A signal ended the script, wherever it was."""


class Script(Questions):
    """`url`: of analytics, else HOWDAH_ANALYTICS_URL, else of this machine; `token` likewise HOWDAH_ANALYTICS_TOKEN.
    `name`: of its store, else that of the program. `http_port`: of its own HTTP interface, if it handles requests."""

    def __init__(
        self, url: str | None = None, *, token: str | None = None, name: str | None = None, http_port: int = 0
    ) -> None:
        super().__init__(
            url or os.environ.get("HOWDAH_ANALYTICS_URL") or URL, token or os.environ.get("HOWDAH_ANALYTICS_TOKEN")
        )
        self._name = name or Path(sys.argv[0]).stem or "script"
        self._http_port = http_port
        self._server: Server | None = None
        self._defined: dict[str, object] = {}  # path -> body, in the order in which they were set
        self._triggered: dict[Place, float] = {}  # when a value was last beyond its limit
        self._on_record: dict[Log, list[tuple[Collection[str], Callable[[dict[str, Any]], object]]]] = {}
        self._every: list[tuple[float, Callable[[float], object]]] = []
        self._on_request: Handler | None = None
        self._cursors: dict[Log, int] = {}
        self._work: queue.Queue[Callable[[], object]] = queue.Queue(MOST_WAITING)
        self._ended = threading.Event()
        self._is_lost = False

    @cached_property
    def store(self) -> Store:
        """What the script remembers over its restarts (store.py)."""
        return Store(directory() / f"{self._name}.json")

    # -- definitions --

    def set_flow(self, name: str, **spec: object) -> None:
        """Define a flow, in the words of the REST interface: `set_flow("tcp", keys="ipsource", value="bytes", t=1)`."""
        self._define(f"/flow/{part(name)}/json", spec)

    def clear_flow(self, name: str) -> None:
        self._clear(f"/flow/{part(name)}/json")

    def set_threshold(self, name: str, **spec: object) -> None:
        """`set_threshold("large", metric="tcp", value=1e6, byFlow=True, timeout=2)`."""
        self._define(f"/threshold/{part(name)}/json", spec)

    def clear_threshold(self, name: str) -> None:
        self._clear(f"/threshold/{part(name)}/json")

    def set_groups(self, name: str, groups: Mapping[str, Collection[str]]) -> None:
        """Label -> prefixes (CIDR)."""
        self._define(f"/group/{part(name)}/json", groups)

    def clear_groups(self, name: str) -> None:
        self._clear(f"/group/{part(name)}/json")

    def set_map(self, name: str, labels: Mapping[str, Collection[str]]) -> None:
        """Label -> values of a key."""
        self._define(f"/map/{part(name)}/json", labels)

    def clear_map(self, name: str) -> None:
        self._clear(f"/map/{part(name)}/json")

    def set_topology(self, document: Mapping[str, Any]) -> None:
        """Replace the topology, which outlives the script."""
        self.put("/topology/json", document)

    def _define(self, path: str, body: object) -> None:
        """Now, or as soon as the engine answers. Refused: it does not take the definition."""
        if not self._defined:
            atexit.register(self.close)
            _exit_at_sigterm()
        self._defined.pop(path, None)
        try:
            with contextlib.suppress(Refused):  # no log of that name there, and so no handler
                self._note_cursors((EVENTS, FLOWS))
            self.put(path, body)
        except Unavailable as fault:
            self._lost(fault)
        self._defined[path] = body

    def _clear(self, path: str) -> None:
        """Whether it is there or not."""
        self._defined.pop(path, None)
        try:
            self.delete(path)
        except Refused as refusal:
            if refusal.status != NOT_FOUND:
                raise

    # -- handlers --

    def on_event(self, *thresholds: str) -> Callable[[OnRecord], OnRecord]:
        """Decorates a function of an event of one of these thresholds, or of any."""
        return self._on(EVENTS, thresholds)

    def on_flow(self, *flows: str) -> Callable[[OnRecord], OnRecord]:
        """Decorates a function of a flow record (of a definition with log=True) of one of these flows, or of any."""
        return self._on(FLOWS, flows)

    def every(self, seconds: float) -> Callable[[OnTime], OnTime]:
        """Decorates a function of the time (epoch seconds) that is called at that pace; what is late is not made up."""

        if not seconds > 0:
            raise ValueError(f"every {seconds} seconds is no pace")

        def register(handler: OnTime) -> OnTime:
            self._every.append((seconds, handler))
            return handler

        return register

    def on_request(self, handler: OnRequest) -> OnRequest:
        """Decorates the function of HTTP requests (Request -> what is answered as JSON, or text for /txt)."""
        self._on_request = handler
        return handler

    def _on(self, which: Log, names: Collection[str]) -> Callable[[OnRecord], OnRecord]:
        def register(handler: OnRecord) -> OnRecord:
            self._on_record.setdefault(which, []).append((names, handler))
            return handler

        return register

    # -- the loop --

    def run(self) -> None:
        """Handle what comes until SIGINT, SIGTERM or `end`; then remove what was defined."""
        logging.basicConfig(level=logging.INFO, format=f"{Path(sys.argv[0]).stem}: %(message)s")
        with _signals() as ignore_more:
            try:
                self._loop()
            except Ended:
                pass
            finally:
                ignore_more()
                self._ended.set()
                if self._server is not None:
                    self._server.shutdown()
                    self._server.server_close()
                self.close()

    def end(self) -> None:
        """End `run` after the handler that is running; from any thread."""
        self._ended.set()

    @property
    def http_url(self) -> str | None:
        """Where the script answers requests."""
        return self._server.url if self._server else None

    def _loop(self) -> None:
        if self._on_request is not None:
            self._server = Server(self._http_port, self._submit)
            threading.Thread(target=self._server.serve_forever, daemon=True).start()
            log.info("answers at %s", self._server.url)
        for which in self._on_record:
            threading.Thread(target=self._follow, args=(which,), daemon=True).start()
        periods: list[tuple[float, Callable[[float], object]]] = [(KEEP_S, self._keep), *self._every]
        due = [time.monotonic() + seconds for seconds, _ in periods]
        while not self._ended.is_set():
            now = time.monotonic()
            for number, (seconds, handler) in enumerate(periods):
                if now >= due[number]:
                    due[number] = max(due[number] + seconds, now)
                    self._handle(handler, time.time())
            with contextlib.suppress(queue.Empty):
                self._work.get(timeout=max(0.0, min(due) - time.monotonic()))()

    def _handle(self, handler: Callable[..., object], *values: object) -> None:
        try:
            handler(*values)
        except (Unavailable, Refused, WrongAnswer) as fault:
            log.warning("%s", fault)
        except Exception:
            log.exception("in %s", getattr(handler, "__name__", handler))

    def _submit(self, request: Request) -> Future[Any]:
        """Have the loop answer a request."""
        answer: Future[Any] = Future()

        def handle() -> None:
            assert self._on_request is not None
            try:
                answer.set_result(self._on_request(request))
            except Exception as fault:
                answer.set_exception(fault)
                if not isinstance(fault, (BadRequest, NotFound)):
                    log.exception("in answering %s /%s", request.method, "/".join(request.path))

        self._work.put(handle)
        return answer

    # -- logs of the engine --

    def _follow(self, which: Log) -> None:
        """Poll a log until the script ends, and have the loop handle its records, oldest first."""
        said, answered = "", time.monotonic()
        while not self._ended.is_set():
            try:
                self._note_cursors([which])
                cursor = self._cursors[which]
                query = {which.cursor: cursor, which.most: AT_ONCE, "timeout": POLL_S}
                records = self.get(which.path, query, wait=POLL_S)
            except (Unavailable, Refused, WrongAnswer) as fault:
                if isinstance(fault, Unavailable):
                    self._lost(fault)
                elif str(fault) != said:
                    said = str(fault)
                    log.warning("%s", said)
                self._ended.wait(RETRY_S)
                self._rewind(which, answered)
                continue
            answered = time.monotonic()
            if records:
                self._cursors[which] = records[0][which.cursor]
            for record in reversed(records):
                self._work.put(partial(self._dispatch, which, record))

    def _dispatch(self, which: Log, record: dict[str, Any]) -> None:
        if which is EVENTS:
            place = (record["thresholdID"], record["agent"], record["dataSource"], record.get("flowKey"))
            self._note_triggered(place)
        for names, handler in self._on_record[which]:
            if not names or record[which.name] in names:
                self._handle(handler, record)

    def _note_cursors(self, logs: Iterable[Log]) -> None:
        """What is older than the script's first definition is not the script's."""
        for which in logs:
            if which not in self._cursors:
                newest = self.get(which.path, {which.cursor: -1, which.most: 1})
                self._cursors[which] = newest[0][which.cursor] if newest else -1

    def _rewind(self, which: Log, answered: float) -> None:
        """An engine that was started after it last answered counts from the beginning."""
        with contextlib.suppress(Unavailable, Refused, WrongAnswer):
            if self.analyzer().get("uptime", 0) / 1000 < time.monotonic() - answered:
                self._cursors[which] = -1

    # -- keeping what is defined --

    def _keep(self, _: float) -> None:
        """Put what is missing; end with who started us (run.py)."""
        if os.environ.get(PARENT, str(os.getppid())) != str(os.getppid()):
            raise Ended
        try:
            self._note_cursors(self._on_record)
            kinds = dict.fromkeys(path.split("/")[1] for path in self._defined)
            if self._is_lost:
                self.version()
            there = {kind: {part(name) for name in self.get(f"/{kind}/json")} for kind in kinds}
            for path, body in list(self._defined.items()):
                kind, name = path.split("/")[1:3]
                if name not in there[kind]:
                    self.put(path, body)
        except Unavailable as fault:
            self._lost(fault)
            return
        if self._is_lost:
            self._is_lost = False
            log.info("%s answers, definitions are in place", self.url)

    def _lost(self, fault: Unavailable) -> None:
        """Said once, until it answers again."""
        if not self._is_lost:
            self._is_lost = True
            log.warning("%s; waiting for it", fault)

    def close(self) -> None:
        """Remove what was defined, the newest first; `run` and the end of the program do."""
        while self._defined:
            path, _ = self._defined.popitem()
            try:
                self._clear(path)
            except (Unavailable, Refused, WrongAnswer) as fault:
                log.warning("%s; what this script defined may stay", fault)
                self._defined.clear()

    # -- what sFlow-RT's scripts can ask and REST cannot --

    def threshold_triggered(self, threshold: str, agent: str, data_source: str, flow_key: str | None = None) -> bool:
        """Whether a value is beyond its threshold, or was within the threshold's timeout, as far as this script knows:
        from events that it handles and from earlier calls. Ask at least as often as the timeout says."""
        spec = self.get(f"/threshold/{part(threshold)}/json")
        if flow_key is None:
            found = self.metric(agent, f"{data_source}.{spec['metric']}")
            value = found[0].get("metricValue") if found else None
        else:
            value = self.flow_value(agent, data_source, spec["metric"], flow_key)
        place = (threshold, agent, data_source, flow_key)
        if isinstance(value, (int, float)) and value > spec["value"]:
            self._note_triggered(place)
            return True
        if time.monotonic() - self._triggered.get(place, float("-inf")) <= spec.get("timeout", 0):
            return True
        self._triggered.pop(place, None)
        return False

    def _note_triggered(self, place: Place) -> None:
        self._triggered.pop(place, None)
        self._triggered[place] = time.monotonic()
        if len(self._triggered) > MOST_TRIGGERED:
            del self._triggered[next(iter(self._triggered))]  # what is not asked about goes in the end

    def locate(self, address: str | None = None) -> list[hosts.Host]:
        """Where hosts are: node, port, agent, ifindex, mac, vlan, ipaddress, ip6address of those with this MAC (12 hex
        digits), IPv4 or IPv6 address, or of all. Needs a topology. The first call begins to look, so it finds nothing
        yet; a host stays for some minutes after its last packet."""
        if f"/flow/{hosts.FLOW}/json" not in self._defined:
            self.set_flow(hosts.FLOW, **hosts.SPEC)
        flows = self.active_flows("EDGE", hosts.FLOW, max_flows=MOST_HOSTS)
        return list(hosts.located(flows, self.topology(), address))


def _exit_at_sigterm() -> None:
    """Have SIGTERM end a program that handles it in no way as its last line would: what is registered for that runs."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], None]]:
    """SIGINT and SIGTERM raise Ended, once or until what is yielded is called; only the main thread may say so."""
    before: dict[signal.Signals, Any] = {}

    def ignore() -> None:
        for sign in before:
            signal.signal(sign, signal.SIG_IGN)

    def end(*_: object) -> NoReturn:
        ignore()
        raise Ended

    if threading.current_thread() is threading.main_thread():
        before |= {sign: signal.signal(sign, end) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ignore
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
