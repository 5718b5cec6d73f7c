"""The HTTP interface: sFlow-RT's URLs on one side, the engine's values on the other.

Each handler is a few lines: read the path and query (parameters.py), ask the engine, answer in JSON (answers.py). It
keeps no state but the topology version. Handlers run in the event loop; what may take long is done there in turns
(`asked`, `answer_long`), and others are served in between: a thread would have to share the interpreter with the loop,
which then waits for it at every step, and could not be ended when its client has left. Only /events/json waits
(longpoll.py).

Errors are one line of text that quotes the offending word: 400 for a wrong request, 404 for a name that does not exist,
413 for too long a body. Who may ask at all is the business of documents.httpguard. A bug in a handler is a fault
(documents.faults), answered 500. The table in `routes` is the whole interface; openapi.yaml describes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from analytics import topology
from analytics.api import answers, prometheus, relaxed_json
from analytics.api.longpoll import LongPolls, ShuttingDown
from analytics.api.middleware import guarded, noted
from analytics.api.parameters import (
    LARGEST,
    MAX_SPEC,
    an_object,
    body_of,
    choice,
    number,
    pattern,
    required,
    spec_of,
    words,
)
from analytics.api.vitals import Vitals
from analytics.engine import Engine
from analytics.events.thresholds import Threshold
from analytics.flows.definitions import FlowDefinition
from analytics.flows.keys import InvalidDefinition
from analytics.memory import TOPOLOGY_FACTOR
from analytics.metrics.metrics import InvalidQuery, parse_name
from analytics.turns import Turns, pieces
from documents.httpguard import LOCAL, Access
from documents.printable import printable

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
MAX_TOPOLOGY = 4 * 1024 * 1024  # bytes: about 100,000 ports with ifIndex, or half of that with all we know of a port
MAX_POLL_S = 3600  # bounds how long an abandoned client holds its connection
MAX_COUNT = 2**31 - 1
MAX_EVENT_ID = 2**53
MAX_NOTES = 10  # lines that one topology may write into the log
MAX_REFUSAL = 300  # characters
MAX_FLOWS = 50_000  # of one answer
PIECE = 500  # items of a long answer that are made at a time: about 1 ms

T = TypeVar("T")


class Api:
    """The handlers. `clock` is the one of the engine's datagrams; it is read once per request."""

    def __init__(self, engine: Engine, version: str, clock: Callable[[], float]) -> None:
        self.engine = engine
        self.version = version
        self.clock = clock
        self.polls = LongPolls(engine.wait_fd())
        self._turn = asyncio.Lock()
        self._putting_topology = asyncio.Lock()
        self.vitals = Vitals()
        self.topology = topology.Topology()
        self.topology_version = 0
        self._warned_of_n = False

    # The program itself

    async def get_version(self, request: Request) -> Response:
        return PlainTextResponse(self.version)

    async def get_analyzer(self, request: Request) -> Response:
        return answer(self.analyzer())

    async def get_analyzer_text(self, request: Request) -> Response:
        return PlainTextResponse(prometheus.analyzer_text(self.analyzer()))

    def analyzer(self) -> dict[str, Any]:
        own = {"version": self.version, "updateAvailable": False}
        return answers.analyzer(self.engine.numbers(), self.clock()) | self.vitals.read() | own

    async def get_agents(self, request: Request) -> Response:
        now, wanted = self.clock(), request.query_params.getlist("agent")
        found = await self.asked(request, self.engine.agents_in_turns(wanted))
        return self.answer_long(
            list(found.items()), lambda some: {name: answers.agent(agent, now) for name, agent in some}
        )

    # Flows

    async def get_flows(self, request: Request) -> Response:
        return answer({name: answers.flow(flow) for name, flow in self.engine.flows().items()})

    async def get_flow(self, request: Request) -> Response:
        return answer(answers.flow(self.existing_flow(request)))

    async def put_flow(self, request: Request) -> Response:
        name = request.path_params["name"]
        notes = await self.done(self.engine.set_flow_in_turns(name, await spec_of(request, f"flow '{name}'")))
        return answer({"notes": notes}) if notes else NO_CONTENT

    async def delete_flow(self, request: Request) -> Response:
        self.existing_flow(request)
        self.engine.clear_flow(request.path_params["name"])
        return NO_CONTENT

    def existing_flow(self, request: Request) -> FlowDefinition:
        name = request.path_params["name"]
        flow = self.engine.flow(name)
        if flow is None:
            raise HTTPException(404, f"no flow '{name}'")
        return flow

    async def get_active_flows(self, request: Request) -> Response:
        flow = self.existing_flow(request)
        self.note_n(request)
        turns = self.engine.active_flows_in_turns(
            words(request, "agent"),
            request.path_params["name"],
            self.clock(),
            max_flows=number(request, "maxFlows", 100, most=MAX_FLOWS),
            min_value=number(request, "minValue", 0.0, least=-LARGEST),
            mode=choice(request, "aggMode", flow.mode),
            pattern=pattern(request, "filter"),
        )
        return self.answer_long(await self.asked(request, turns), lambda some: [*map(answers.active_flow, some)])

    def note_n(self, request: Request) -> None:
        """A common mistake, which changes nothing; logged once so that it can be found."""
        if "n" in request.query_params and not self._warned_of_n:
            self._warned_of_n = True
            log.warning("activeflows was asked with n=; the parameter is called maxFlows")

    async def get_flow_value(self, request: Request) -> Response:
        source, dot, name = request.path_params["name"].rpartition(".")
        if not dot:
            raise HTTPException(400, f"'{name}' is not <dataSource>.<flow>")
        if self.engine.flow(name) is None:
            raise HTTPException(404, f"no flow '{name}'")
        key = required(request, "key")
        turns = self.engine.flow_value_in_turns(words(request, "agent"), source, name, key, self.clock())
        value = await self.asked(request, turns)
        if value is None:
            raise HTTPException(404, f"data source '{source}' has no flow '{name}' with key '{key}'")
        return answer(value)

    async def get_flow_locations(self, request: Request) -> Response:
        self.existing_flow(request)
        name, key = request.path_params["name"], required(request, "key")
        turns = self.engine.flow_locations_in_turns(words(request, "agent"), name, key, self.clock())
        return self.answer_long(await self.asked(request, turns), lambda some: [*map(answers.location, some)])

    async def get_flow_keys(self, request: Request) -> Response:
        return answer(self.engine.flow_keys(self.clock()))

    # Metrics

    async def get_metric_names(self, request: Request) -> Response:
        return answer(await self.asked(request, self.engine.metric_names_in_turns(self.clock())))

    async def get_metrics_of(self, request: Request) -> Response:
        agent = request.path_params["agent"]
        metrics = await self.asked(request, self.engine.metrics_of_in_turns(agent, self.clock()))
        if metrics is None:
            raise HTTPException(404, f"no agent '{agent}'")
        return self.answer_long(list(metrics.items()), dict)

    async def get_metric(self, request: Request) -> Response:
        agents, names, filters, now = self.selection(request)
        found = await self.asked(request, self.engine.metric_in_turns(agents, names, filters, now))
        return answer([answers.statistic(each, now) for each in found])

    async def get_table(self, request: Request) -> Response:
        agents, names, filters, now = self.selection(request)
        rows = await self.asked(request, self.engine.table_in_turns(agents, names, filters, now))
        return self.answer_long(rows, lambda some: [[answers.metric(cell, now) for cell in row] for row in some])

    async def get_dump(self, request: Request) -> Response:
        agents, names, filters, now = self.selection(request)
        cells = await self.asked(request, self.engine.dump_in_turns(agents, names, filters, now))
        return self.answer_long(cells, lambda some: [answers.metric(cell, now) for cell in some])

    async def get_metrics_text(self, request: Request) -> Response:
        agents, names, filters, now = self.selection(request)
        cells = await self.asked(request, self.engine.dump_in_turns(agents, names, filters, now))
        labels = self.engine.dump_in_turns(agents, list(prometheus.LABEL_METRICS), {}, now)
        naming = await self.asked(request, labels)
        return PlainTextResponse(await self.asked(request, prometheus.metrics_text(cells, naming)))

    # Long answers

    async def asked(self, request: Request, turns: Turns[T]) -> T:
        """The answer of the engine; ClientDisconnect when nobody waits for it any more."""
        return await self.done(turns, request.is_disconnected)

    async def done(self, turns: Turns[T], is_over: Callable[[], Awaitable[bool]] | None = None) -> T:
        """The result of the engine's work, with other requests served between its turns. Of all who wait here one at a
        time takes its next turn, so a short request never waits for more than one."""
        with contextlib.closing(turns):
            while True:
                try:
                    next(turns)
                except StopIteration as end:
                    result: T = end.value
                    return result
                await self.pause()
                if is_over is not None and await is_over():
                    raise ClientDisconnect

    async def pause(self) -> None:
        async with self._turn:
            await asyncio.sleep(0)

    def answer_long(self, items: Sequence[T], words: Callable[[Sequence[T]], object]) -> Response:
        """JSON of a list or an object, made piece by piece as it is sent when it is long; a client that leaves ends it.
        `words`: some of the items as they are answered."""
        if len(items) <= PIECE:
            return answer(words(items))

        async def parts() -> AsyncIterator[bytes]:
            for place, some in enumerate(pieces(items, PIECE)):
                text = encoded(words(some))
                yield text[:-2] if place == 0 else b"," + text[1:-2]
                await self.pause()
            yield text[-2:]

        return StreamingResponse(parts(), media_type="application/json")

    def selection(self, request: Request) -> tuple[list[str], list[str], dict[str, list[str]], float]:
        """Agents, metrics, data-source filters (all query parameters) and now."""
        query = request.query_params
        filters = {name: query.getlist(name) for name in query}
        return words(request, "agent"), words(request, "metric"), filters, self.clock()

    # Thresholds and events

    async def get_thresholds(self, request: Request) -> Response:
        return answer({name: answers.threshold(known) for name, known in self.engine.thresholds().items()})

    async def get_threshold(self, request: Request) -> Response:
        return answer(answers.threshold(self.existing_threshold(request)))

    async def put_threshold(self, request: Request) -> Response:
        name = request.path_params["name"]
        spec = await spec_of(request, f"threshold '{name}'")
        await self.done(self.engine.set_threshold_in_turns(name, spec))
        metric = parse_name(str(spec["metric"])).metric
        if not self.engine.provides(metric):
            log.warning("threshold '%s' is on metric '%s', which no flow and no counter provides so far", name, metric)
        return NO_CONTENT

    async def delete_threshold(self, request: Request) -> Response:
        self.existing_threshold(request)
        self.engine.clear_threshold(request.path_params["name"])
        return NO_CONTENT

    def existing_threshold(self, request: Request) -> Threshold:
        name = request.path_params["name"]
        threshold = self.engine.threshold(name)
        if threshold is None:
            raise HTTPException(404, f"no threshold '{name}'")
        return threshold

    async def get_events(self, request: Request) -> Response:
        after = number(request, "eventID", -1, least=-1, most=MAX_EVENT_ID)
        count = number(request, "maxEvents", MAX_COUNT, most=MAX_COUNT)
        timeout = number(request, "timeout", 0.0, most=MAX_POLL_S)
        only = request.query_params.get("thresholdID")
        await body_of(request, "events", MAX_SPEC)  # what is received after the body is the disconnection
        events = await self.polls.wait(lambda: self.engine.events(after, count, only), timeout, request.receive())
        return answer([answers.event(event) for event in events])

    # Topology

    async def get_topology(self, request: Request) -> Response:
        return answer({"version": self.topology_version, **self.topology.document})

    async def put_topology(self, request: Request) -> Response:
        body = await body_of(request, "topology", MAX_TOPOLOGY)
        async with self._putting_topology:  # the engine's and ours are the same one, whoever comes meanwhile
            wanted = await asyncio.to_thread(topology_of, body)  # which takes long for a large one
            if wanted.document != self.topology.document:
                await self.done(self.engine.set_topology_in_turns(wanted, TOPOLOGY_FACTOR * len(body)))
                self.topology = wanted
                self.topology_version += 1
                for note in wanted.notes[:MAX_NOTES]:
                    log.warning("topology: %s", note)
                if len(wanted.notes) > MAX_NOTES:
                    log.warning("topology: %d more like these", len(wanted.notes) - MAX_NOTES)
        return NO_CONTENT


def topology_of(body: bytes) -> topology.Topology:
    """The topology in a body; raises NotJson, InvalidTopology or HTTPException."""
    document = an_object(relaxed_json.decode(body), "topology")
    document.pop("version", None)  # ours; a client that edits what it got sends it back
    return topology.parse(document)


def answer(value: object) -> Response:
    """JSON, indented by one: people read it with curl as often as programs do."""
    return Response(encoded(value), media_type="application/json")


def encoded(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
NO_CONTENT = Response(status_code=204)


# The application


async def bad_request(request: Request, fault: Exception) -> Response:
    return PlainTextResponse(in_one_line(str(fault)), status_code=400)


async def refused(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    return PlainTextResponse(in_one_line(fault.detail), fault.status_code, fault.headers)


def in_one_line(text: str) -> str:
    """Short and printable too: it quotes what came from outside."""
    line = " ".join(text[: 2 * MAX_REFUSAL].split())
    return printable(line if len(line) <= MAX_REFUSAL else line[:MAX_REFUSAL] + "...")


async def gone(request: Request, fault: Exception) -> Response:
    """The client disconnected before its body was complete: no one reads this."""
    return Response(status_code=400)


async def shutting_down(request: Request, fault: Exception) -> Response:
    return PlainTextResponse("shutting down", status_code=503)


async def get_root(request: Request) -> Response:
    return RedirectResponse("html/index.html", status_code=302)


def page(path: Path, media_type: str) -> Callable[[Request], Any]:
    """A handler that answers with a file as it is now: later the program may be a user who cannot read it."""
    content = path.read_bytes()

    async def get_page(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return get_page


def build(
    engine: Engine, *, version: str, access: Access = LOCAL, clock: Callable[[], float] = time.monotonic
) -> Starlette:
    """The application. Its `state.polls` must be closed before the server waits for running requests to end."""
    api = Api(engine, version, clock)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        api.polls.start()
        yield
        api.polls.close()

    app = Starlette(
        routes=routes(api),
        lifespan=lifespan,
        middleware=[Middleware(api.vitals.counted), Middleware(guarded, access), Middleware(noted, engine.faults)],
        exception_handlers={
            HTTPException: refused,
            InvalidDefinition: bad_request,
            InvalidQuery: bad_request,
            topology.InvalidTopology: bad_request,
            relaxed_json.NotJson: bad_request,
            ClientDisconnect: gone,
            ShuttingDown: shutting_down,
        },
    )
    app.state.polls, app.state.api = api.polls, api
    return app


def routes(api: Api) -> list[Route]:
    """Path -> method -> handler: the whole interface."""
    table: Mapping[str, Mapping[str, Callable[[Request], Any]]] = {
        "/": {"GET": get_root},
        "/version": {"GET": api.get_version},
        "/openapi.yaml": {"GET": page(HERE / "openapi.yaml", "application/yaml")},
        "/analyzer/json": {"GET": api.get_analyzer},
        "/agents/json": {"GET": api.get_agents},
        "/flow/json": {"GET": api.get_flows},
        "/flow/{name}/json": {"GET": api.get_flow, "PUT": api.put_flow, "DELETE": api.delete_flow},
        "/activeflows/{agent}/{name}/json": {"GET": api.get_active_flows},
        "/flowvalue/{agent}/{name}/json": {"GET": api.get_flow_value},
        "/flowlocations/{agent}/{name}/json": {"GET": api.get_flow_locations},
        "/flowkeys/json": {"GET": api.get_flow_keys},
        "/metrics/json": {"GET": api.get_metric_names},
        "/metric/{agent}/json": {"GET": api.get_metrics_of},
        "/metric/{agent}/{metric}/json": {"GET": api.get_metric},
        "/table/{agent}/{metric}/json": {"GET": api.get_table},
        "/dump/{agent}/{metric}/json": {"GET": api.get_dump},
        "/threshold/json": {"GET": api.get_thresholds},
        "/threshold/{name}/json": {"GET": api.get_threshold, "PUT": api.put_threshold, "DELETE": api.delete_threshold},
        "/events/json": {"GET": api.get_events},
        "/topology/json": {"GET": api.get_topology, "PUT": api.put_topology},
        "/prometheus/analyzer/txt": {"GET": api.get_analyzer_text},
        "/prometheus/metrics/{agent}/{metric}/txt": {"GET": api.get_metrics_text},
    }
    resources = [Route(path, by_method(handlers), methods=list(handlers)) for path, handlers in table.items()]
    pages = [Route(f"/html/{path.name}", page(path, MEDIA[path.suffix])) for path in (HERE / "web").iterdir()]
    return [*resources, *pages]


def by_method(handlers: Mapping[str, Callable[[Request], Any]]) -> Callable[[Request], Any]:
    async def dispatch(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        response: Response = await handlers[method](request)
        return response

    return dispatch
