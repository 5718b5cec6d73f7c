"""What happens, over HTTP: events and flow records for those who ask or wait (longpoll.py), everything as a stream
(stream.py), and the elephants that there are.

A long poll looks again only at what came since its last look, so one that waits for a name that never comes costs by
what comes, not by what is kept. Flow records may end all the time: those who wait for them look every PACE_S at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from analytics.api import answers
from analytics.api.longpoll import LongPolls
from analytics.api.parameters import MAX_SPEC, body_of, choice_of, number
from analytics.api.serving import Serving
from analytics.api.stream import EventStream, Selection, Streams
from analytics.events.log import Event
from analytics.flows.records import FlowRecord
from analytics.news import Topic

MAX_POLL_S = 3600  # bounds how long an abandoned client holds its connection
MAX_COUNT = 2**31 - 1
MAX_ID = 2**53
MAX_ITEMS = 50_000  # of one answer
FEW = 1000  # elephants that are answered when the client does not say how many
PACE_S = 0.1

T = TypeVar("T")


class Feeds:
    """The handlers; `routes` is the table of them. `start` needs a running loop; `close` ends all that wait."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._engine = serving.engine
        self._events = LongPolls(self._engine.news.fd(Topic.THRESHOLDS))
        self._flows = LongPolls(self._engine.news.fd(Topic.FLOWS), pace=PACE_S)
        self._streams = Streams(self._engine)

    def start(self) -> None:
        for waiting in (self._events, self._flows, self._streams):
            waiting.start()

    def close(self) -> None:
        for waiting in (self._events, self._flows, self._streams):
            waiting.close()

    def routes(self) -> Mapping[str, Mapping[str, Callable[[Request], Any]]]:
        """Path -> method -> handler."""
        return {
            "/events/json": {"GET": self.get_events},
            "/flows/json": {"GET": self.get_flow_records},
            "/v1/elephants": {"GET": self.get_elephants},
            "/v1/events": {"GET": self.get_stream},
        }

    async def get_events(self, request: Request) -> Response:
        only = request.query_params.get("thresholdID")

        def ask(after: int, most: int) -> list[Event]:
            return self._engine.events(after, most, only)

        events = await self._polled(request, self._events, Topic.THRESHOLDS, ("eventID", "maxEvents"), ask)
        return self._serving.answer_long(events, lambda some: [*map(answers.event, some)])

    async def get_flow_records(self, request: Request) -> Response:
        only = request.query_params.get("name")

        def ask(after: int, most: int) -> list[FlowRecord]:
            return self._engine.flow_records(after, most, only)

        records = await self._polled(request, self._flows, Topic.FLOWS, ("flowID", "maxFlows"), ask)
        return self._serving.answer_long(records, lambda some: [*map(answers.flow_record, some)])

    async def _polled(
        self,
        request: Request,
        polls: LongPolls,
        topic: Topic,
        parameters: tuple[str, str],
        ask: Callable[[int, int], list[T]],
    ) -> list[T]:
        """What `ask` finds behind a cursor, now or within the time-out; `parameters` are the cursor and how many."""
        cursor = number(request, parameters[0], -1, least=-1, most=MAX_ID)
        most = min(number(request, parameters[1], MAX_ITEMS, most=MAX_COUNT), MAX_ITEMS)
        timeout = number(request, "timeout", 0.0, most=MAX_POLL_S)
        await body_of(request, topic.value, MAX_SPEC)  # what is received after the body is the disconnection

        def look() -> list[T]:
            nonlocal cursor
            newest = self._engine.newest()[topic]  # before the look: what comes between is behind it
            found = ask(cursor, most)
            if not found:
                cursor = newest
            return found

        return await polls.wait(look, timeout, request.receive())

    async def get_elephants(self, request: Request) -> Response:
        most = min(number(request, "maxElephants", FEW, most=MAX_COUNT), MAX_ITEMS)
        only = request.query_params.get("thresholdID")
        turns = self._engine.elephants_in_turns(self._serving.clock(), only, most)
        found = await self._serving.asked(request, turns)
        return self._serving.answer_long(found, lambda some: [*map(answers.seen, some)])

    async def get_stream(self, request: Request) -> Response:
        named = [name for text in request.query_params.getlist("topic") for name in text.split(",") if name]
        selection = Selection(
            topics=tuple(dict.fromkeys(choice_of("topic", name, Topic) for name in named)) or tuple(Topic),
            threshold=request.query_params.get("thresholdID"),
            flow=request.query_params.get("name"),
        )
        seconds = number(request, "timeout", math.inf, most=math.inf)
        last = request.headers.get("last-event-id") or request.query_params.get("lastEventID")
        cursor = self._streams.cursor(last)
        await body_of(request, "events", MAX_SPEC)
        return EventStream(self._streams, cursor, selection, seconds)
