"""The HTTP interface: sFlow-RT's URLs on one side, the engine's values on the other.

Each handler is a few lines: read the path and query (parameters.py), ask the engine, answer in JSON (answers.py), what
may take long in turns (serving.py). What happens (feeds.py), topology and its graph, what is passed on
to others and the pages have files of their own.

Errors are one line of text that quotes the offending word: 400 for a wrong request, 404 for a name that does not exist,
413 for too long a body. Who may ask at all is the business of documents.httpguard. A bug in a handler is a fault
(documents.faults), answered 500. The table in `routes` is the whole interface; openapi.yaml describes it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from analytics.api import answers, pages, prometheus, relaxed_json, scraped
from analytics.api.compression import compressed
from analytics.api.elsewhere import nothing_here
from analytics.api.exports import Exports
from analytics.api.feeds import Feeds
from analytics.api.kept import documents
from analytics.api.longpoll import ShuttingDown
from analytics.api.middleware import guarded, kept, noted
from analytics.api.parameters import (
    LARGEST,
    MAX_LABELS,
    choice,
    existing,
    flag,
    number,
    one_or_list,
    pattern,
    required,
    spec_of,
    words,
)
from analytics.api.serving import NO_CONTENT, Serving, answer, in_one_line
from analytics.api.stream import BadCursor
from analytics.api.topologies import LOCATING, Topologies
from analytics.api.vitals import Vitals
from analytics.engine import Engine
from analytics.events.thresholds import Threshold
from analytics.export.sender import Sender
from analytics.flows.definitions import FlowDefinition, Mode
from analytics.flows.keys import InvalidDefinition
from analytics.metrics.directory import UnknownAgent
from analytics.metrics.metrics import InvalidQuery, parse_name
from analytics.state import Document, State
from analytics.topology import InvalidTopology
from documents.httpguard import LOCAL, Access

log = logging.getLogger(__name__)

APPS = {"prometheus": "export.js", "topology": "topology.js"}
"""sFlow-RT's apps whose resources are part of this program, and the scripts that stand in their URLs."""
MAX_POLL_S = 3600  # bounds how long an abandoned client holds its connection
MAX_COUNT = 2**31 - 1
MAX_EVENT_ID = 2**53
MAX_FLOWS = 50_000  # of one answer
SCRAPED = "/app/prometheus/scripts/export.js"


class Api(Serving):
    """The handlers. `clock` is the one of the engine's datagrams; it is read once per request."""

    def __init__(self, engine: Engine, version: str, clock: Callable[[], float]) -> None:
        super().__init__(engine, clock)
        self.version = version
        self.feeds = Feeds(self)
        self.vitals = Vitals()
        self._received = (clock(), 0, 0.0)
        self.topologies = Topologies(self)
        self.sender = Sender(engine)
        self.exports = Exports(self, self.sender)
        self.scraped = scraped.Scraped(engine)
        self._warned_of_n = False

    # The program itself

    async def get_version(self, request: Request) -> Response:
        return PlainTextResponse(self.version)

    async def get_analyzer(self, request: Request) -> Response:
        return answer(self.analyzer())

    async def get_analyzer_text(self, request: Request) -> Response:
        return exposition(prometheus.analyzer_text(self.analyzer()))

    async def get_own_text(self, request: Request) -> Response:
        return exposition(prometheus.engine_text(self.analyzer()))

    def analyzer(self) -> dict[str, Any]:
        own = {"version": self.version, "updateAvailable": False}
        now = self.clock()
        lost = answers.lost_detail(self.engine.lost_detail(now))
        return answers.analyzer(self.engine.numbers(), now) | lost | self.vitals.read() | own

    async def get_license(self, request: Request) -> Response:
        return answer(answers.license_of(self.version, self._bits_per_second()))

    def _bits_per_second(self) -> float:
        """Of sFlow received, since it was asked last but at least a second ago."""
        then, before, rate = self._received
        elapsed = self.clock() - then
        if elapsed >= 1.0:
            received = self.engine.numbers().bytes
            rate = (received - before) * 8 / elapsed
            self._received = (then + elapsed, received, rate)
        return rate

    async def get_scripts(self, request: Request) -> Response:
        """None run in here."""
        return answer({})

    async def get_apps(self, request: Request) -> Response:
        return answer({name: {"scripts": [script]} for name, script in APPS.items()})

    async def get_status(self, request: Request) -> Response:
        """Of all apps, which are parts of this program: what answers is there."""
        return PlainTextResponse("OK")

    async def get_app_status(self, request: Request) -> Response:
        existing("app", request, APPS)
        return PlainTextResponse("OK")

    async def refuse_bgp(self, request: Request) -> Response:
        """As sFlow-RT answers for a router without a session: its clients know that."""
        raise HTTPException(404, "no BGP session: this program does not speak BGP")

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
        found = await self.asked(request, turns)
        if not found:
            raise HTTPException(404, f"no data source has flow '{name}' with key '{key}'")
        return self.answer_long(found, lambda some: [*map(answers.location, some)])

    async def get_flow_keys(self, request: Request) -> Response:
        return answer(self.engine.flow_keys(self.clock()))

    # Groups and maps

    async def get_groups(self, request: Request) -> Response:
        return answer(self.engine.groups())

    async def get_group(self, request: Request) -> Response:
        return answer(existing("group", request, self.engine.groups()))

    async def put_group(self, request: Request) -> Response:
        name = request.path_params["name"]
        await self.done(self.engine.set_group_in_turns(name, await spec_of(request, f"group '{name}'", MAX_LABELS)))
        return NO_CONTENT

    async def delete_group(self, request: Request) -> Response:
        existing("group", request, self.engine.groups())
        self.engine.clear_group(request.path_params["name"])
        return NO_CONTENT

    async def get_maps(self, request: Request) -> Response:
        return answer(self.engine.maps())

    async def get_map(self, request: Request) -> Response:
        return answer(existing("map", request, self.engine.maps()))

    async def put_map(self, request: Request) -> Response:
        name = request.path_params["name"]
        await self.done(self.engine.set_map_in_turns(name, await spec_of(request, f"map '{name}'", MAX_LABELS)))
        return NO_CONTENT

    async def delete_map(self, request: Request) -> Response:
        existing("map", request, self.engine.maps())
        self.engine.clear_map(request.path_params["name"])
        return NO_CONTENT

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

    # Prometheus

    async def get_metrics_text(self, request: Request) -> Response:
        agents, names, filters, now = self.selection(request)
        summaries = [name for name in names if parse_name(name).has_statistic]
        plain = [name for name in names if not parse_name(name).has_statistic]
        cells = await self.asked(request, self.engine.dump_in_turns(agents, plain, filters, now))
        found = await self.asked(request, self.engine.metric_in_turns(agents, summaries, filters, now))
        labels = self.engine.dump_in_turns(agents, list(prometheus.LABEL_METRICS), {}, now)
        naming = await self.asked(request, labels)
        over = ",".join(agents)
        return exposition(await self.asked(request, prometheus.metrics_text(cells, naming, over, found)))

    async def get_statistics_text(self, request: Request) -> Response:
        agents, names, filters, now = self.selection(request)
        found = await self.asked(request, self.engine.metric_in_turns(agents, names, filters, now))
        return exposition(prometheus.statistics_text(request.path_params["group"], found))

    async def get_flows_text(self, request: Request) -> Response:
        query = request.query_params
        agents, now, dropped = words(request, "agent"), self.clock(), flag(request, "dropped")
        n, t = number(request, "n", 10.0), number(request, "t", 15.0)
        most, minimum = (
            number(request, "maxFlows", 20, most=MAX_FLOWS),
            number(request, "minValue", 0.1, least=-LARGEST),
        )
        mode = choice(request, "aggMode", Mode.SUM if dropped else Mode.MAX)
        scale = number(request, "scale", 1.0, least=-LARGEST)
        scrape = scraped.parse({name: query.getlist(name) for name in query}, n, t, dropped)
        name = await self.done(self.scraped.name_in_turns(scrape.spec, now))
        turns = self.engine.active_flows_in_turns(agents, name, now, max_flows=most, min_value=minimum, mode=mode)
        flows = await self.asked(request, turns)
        text = prometheus.flows_text(scrape.metric, scrape.labels, scraped.SEPARATOR, scale, flows, scrape.about)
        return exposition(await self.asked(request, text))

    def selection(self, request: Request) -> tuple[list[str], list[str], dict[str, list[str]], float]:
        """Agents, metrics, data-source filters (all query parameters, values may be lists) and now."""
        query = request.query_params
        filters = {name: [part for text in query.getlist(name) for part in one_or_list(text)] for name in query}
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
        notes = self.threshold_notes(self.engine.threshold(name))
        for note in notes:
            log.warning("threshold '%s': %s", name, note)
        return answer({"notes": notes}) if notes else NO_CONTENT

    def threshold_notes(self, known: Threshold | None) -> list[str]:
        """Why it may never fire: words that are likely to be misspelt."""
        if known is None:  # removed meanwhile
            return []
        metric, knows = parse_name(known.metric).metric, self.engine.knows
        is_known = self.engine.flow(metric) is not None or knows(metric)
        notes = [] if is_known else [f"metric '{metric}': no flow has that name so far, and no counter makes it"]
        return notes + [
            f"filter '{word}': no counter makes such a metric" for word in known.accepted if not knows(word)
        ]

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


def exposition(text: str) -> Response:
    return PlainTextResponse(text, media_type=prometheus.MEDIA_TYPE)


# The application


async def bad_request(request: Request, fault: Exception) -> Response:
    return PlainTextResponse(in_one_line(str(fault)), status_code=400)


async def unknown(request: Request, fault: Exception) -> Response:
    return PlainTextResponse(in_one_line(str(fault)), status_code=404)


async def refused(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    if fault.status_code == 405:
        fault.detail = f"{request.method} is no method of {request.url.path}"
    return PlainTextResponse(in_one_line(fault.detail), fault.status_code, fault.headers)


async def busy(request: Request, fault: Exception) -> Response:
    return PlainTextResponse(str(fault), status_code=503)


async def gone(request: Request, fault: Exception) -> Response:
    """The client disconnected before its body was complete: no one reads this."""
    return Response(status_code=400)


async def shutting_down(request: Request, fault: Exception) -> Response:
    return PlainTextResponse("shutting down", status_code=503)


async def get_root(request: Request) -> Response:
    return RedirectResponse("html/index.html", status_code=302)


def build(
    engine: Engine,
    *,
    version: str,
    access: Access = LOCAL,
    clock: Callable[[], float] = time.monotonic,
    keep: Callable[[Sequence[Document]], State] | None = None,
) -> Starlette:
    """The application. Its `state.feeds` must be closed before the server waits for running requests to end. With
    `keep`, what is kept over restarts has to be restored first: `state.kept`."""
    api = Api(engine, version, clock)
    state = keep(documents(engine, api.sender, lambda: api.scraped.names() | LOCATING)) if keep else None

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        api.feeds.start()
        yield
        api.feeds.close()

    app = Starlette(
        routes=routes(api),
        lifespan=lifespan,
        middleware=[
            Middleware(api.vitals.counted),
            Middleware(guarded, access, f"{SCRAPED}/flows/"),
            Middleware(compressed),
            *([Middleware(kept, state.save, engine.faults)] if state else []),
            Middleware(noted, engine.faults),
        ],
        exception_handlers={
            HTTPException: refused,
            InvalidDefinition: bad_request,
            InvalidQuery: bad_request,
            BadCursor: bad_request,
            UnknownAgent: unknown,
            InvalidTopology: bad_request,
            relaxed_json.NotJson: bad_request,
            ClientDisconnect: gone,
            ShuttingDown: shutting_down,
            scraped.TooManyScraped: busy,
        },
    )
    app.router.default = nothing_here
    app.state.feeds, app.state.api, app.state.kept = api.feeds, api, state
    return app


def routes(api: Api) -> list[Route]:
    """Path -> method -> handler: the whole interface."""
    table: Mapping[str, Mapping[str, Callable[[Request], Any]]] = {
        "/": {"GET": get_root},
        "/version": {"GET": api.get_version},
        "/status": {"GET": api.get_status},
        "/license/json": {"GET": api.get_license},
        "/scripts/json": {"GET": api.get_scripts},
        "/apps/json": {"GET": api.get_apps},
        "/app/{name}/status": {"GET": api.get_app_status},
        "/bgp/{resource:path}": dict.fromkeys(("GET", "PUT", "DELETE"), api.refuse_bgp),
        "/analyzer/json": {"GET": api.get_analyzer},
        "/agents/json": {"GET": api.get_agents},
        "/flow/json": {"GET": api.get_flows},
        "/flow/{name}/json": {"GET": api.get_flow, "PUT": api.put_flow, "DELETE": api.delete_flow},
        "/activeflows/{agent}/{name}/json": {"GET": api.get_active_flows},
        "/flowvalue/{agent}/{name}/json": {"GET": api.get_flow_value},
        "/flowlocations/{agent}/{name}/json": {"GET": api.get_flow_locations},
        "/group/json": {"GET": api.get_groups},
        "/group/{name}/json": {"GET": api.get_group, "PUT": api.put_group, "DELETE": api.delete_group},
        "/map/json": {"GET": api.get_maps},
        "/map/{name}/json": {"GET": api.get_map, "PUT": api.put_map, "DELETE": api.delete_map},
        "/flowkeys/json": {"GET": api.get_flow_keys},
        "/metrics/json": {"GET": api.get_metric_names},
        "/metric/{agent}/json": {"GET": api.get_metrics_of},
        "/metric/{agent}/{metric}/json": {"GET": api.get_metric},
        "/table/{agent}/{metric}/json": {"GET": api.get_table},
        "/dump/{agent}/{metric}/json": {"GET": api.get_dump},
        "/threshold/json": {"GET": api.get_thresholds},
        "/threshold/{name}/json": {"GET": api.get_threshold, "PUT": api.put_threshold, "DELETE": api.delete_threshold},
        **api.feeds.routes(),
        **api.topologies.routes(),
        **api.exports.routes(),
        "/prometheus/analyzer/txt": {"GET": api.get_analyzer_text},
        "/prometheus/metrics/{agent}/{metric}/txt": {"GET": api.get_metrics_text},
        f"{SCRAPED}/flows/{{agent}}/txt": {"GET": api.get_flows_text},
        f"{SCRAPED}/statistics/{{group}}/{{agent}}/{{metric}}/txt": {"GET": api.get_statistics_text},
        "/metrics": {"GET": api.get_own_text},
    }
    resources = [Route(path, by_method(handlers), methods=list(handlers)) for path, handlers in table.items()]
    return [*resources, *pages.routes()]


def by_method(handlers: Mapping[str, Callable[[Request], Any]]) -> Callable[[Request], Any]:
    async def dispatch(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        response: Response = await handlers[method](request)
        return response

    return dispatch
