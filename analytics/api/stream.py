"""Server-sent events at /v1/events: what /events/json, /flows/json and /v1/elephants say, told as it happens.

    id: 5f3a91.12.340.7          the run of the program, then per topic the id of the last item sent
    event: elephant-start        or threshold, flow, elephant-update, elephant-end, elephants-dropped, lost
    data: {...}                  one line of JSON

A stream is a cursor into the engine's logs and nothing else: no buffer of its own. It takes the next items when its
client has taken the ones before, so a slow client falls behind; what the logs have forgotten by then it is told as
`lost`, with how many of each topic, and no other client notices. The same cursor, sent back as Last-Event-ID, resumes;
of another run of the program it counts as none, and all that is kept is sent.

A client that takes nothing is ended as any other (connections.py). After HEARTBEAT_S without news the cursor alone is
sent, which keeps proxies from closing the connection and tells us of clients that left. When more than MAX_STREAMS are
open the oldest is ended; browsers then come back and resume. The end of the program ends them all at once.

Cost: per batch of news one wake-up of all streams, WOKEN_AT_ONCE in a turn of the event loop, PACE_S apart at least.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import secrets
from collections.abc import Awaitable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from analytics.api import answers
from analytics.api.longpoll import LongPolls, ShuttingDown
from analytics.engine import Engine
from analytics.events.log import Event
from analytics.flows.records import FlowRecord
from analytics.news import Cursor, Item, Topic

MAX_STREAMS = 256
HEARTBEAT_S = 15.0
RETRY_MS = 1000  # what a client waits before it connects anew
PIECE = 100  # items of a topic sent at once
PACE_S = 0.02
CURSOR = re.compile(r"([0-9a-f]{6})" + r"\.([0-9]{1,16})" * len(Topic))


class BadCursor(ValueError):
    """A Last-Event-ID that no stream of ours has sent."""


@dataclass(frozen=True)
class Selection:
    """What a client wants: topics; of the thresholds' events and elephants, or flow records, those of one name."""

    topics: Collection[Topic] = tuple(Topic)
    threshold: str | None = None
    flow: str | None = None

    def wants(self, item: Item) -> bool:
        if isinstance(item, FlowRecord):
            return self.flow in (None, item.name)
        return self.threshold in (None, item.threshold)


class Streams:
    """What all streams have in common. `start` needs a running loop; `close` ends them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._run = secrets.token_hex(3)
        self._waits = LongPolls(engine.news.fd(None), most=MAX_STREAMS + 1, pace=PACE_S)
        self._open: dict[asyncio.Future[None], bool] = {}  # the oldest first: whether it has elephants; done: to end

    def start(self) -> None:
        self._waits.start()

    def close(self) -> None:
        self._waits.close()

    @contextlib.contextmanager
    def opened(self, selection: Selection) -> Iterator[asyncio.Future[None]]:
        """One more stream, for which the oldest may have to go; the future is done when it is this one's turn."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for oldest in list(self._open)[: max(0, len(self._open) + 1 - MAX_STREAMS)]:
            if not oldest.done():
                oldest.set_result(None)
        self._open[over] = Topic.ELEPHANTS in selection.topics
        self._engine.streams = sum(self._open.values())
        try:
            yield over
        finally:
            del self._open[over]
            self._engine.streams = sum(self._open.values())

    async def wait(self, cursor: Cursor, selection: Selection, seconds: float, left: Awaitable[object]) -> bool:
        """Until there is something after the cursor (true), for so many seconds or until `left` is done. Raises
        ShuttingDown."""

        def news() -> list[Topic]:
            newest = self._engine.newest()
            return [topic for topic in selection.topics if newest[topic] != cursor[topic]]

        return bool(await self._waits.wait(news, seconds, left))

    def cursor(self, text: str | None) -> Cursor:
        """Where a stream begins: behind its last event, or (None) with what comes next; else BadCursor."""
        if text is None:
            return self._engine.newest()
        found = CURSOR.fullmatch(text)
        if found is None:
            raise BadCursor(f"Last-Event-ID {text[:60]!r} is not one of this stream's")
        run, *ids = found.groups()
        return {topic: int(id_) if run == self._run else 0 for topic, id_ in zip(Topic, ids, strict=True)}

    def opening(self, cursor: Cursor) -> bytes:
        """What a stream begins with."""
        return f"retry: {RETRY_MS}\n".encode() + self.heartbeat(cursor)

    def heartbeat(self, cursor: Cursor) -> bytes:
        """The cursor without an event: clients remember it."""
        return b"id: %b\n\n" % self._text(cursor)

    def next(self, cursor: Cursor, selection: Selection) -> tuple[list[bytes], Cursor]:
        """What to send after a cursor, and the cursor behind it."""
        piece = self._engine.news_since(cursor, selection.topics, PIECE)
        events = []
        if piece.lost:
            lost = {topic.value: count for topic, count in piece.lost.items()}
            events.append(b"event: lost\ndata: %b\n\n" % msgspec.json.encode(lost))
        for item, behind in piece.items:
            if selection.wants(item):
                name, words = told(item)
                text = (self._text(behind), name.encode(), msgspec.json.encode(words))
                events.append(b"id: %b\nevent: %b\ndata: %b\n\n" % text)
        return events, piece.cursor

    def _text(self, cursor: Cursor) -> bytes:
        return ".".join([self._run, *(str(cursor[topic]) for topic in Topic)]).encode()


class EventStream(Response):
    """The answer: ends when the client leaves, when another takes its place, after `seconds` and with the program."""

    def __init__(self, streams: Streams, cursor: Cursor, selection: Selection, seconds: float = math.inf) -> None:
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._streams, self._cursor, self._selection, self._seconds = streams, cursor, selection, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The request's body was received, so what is received next is that the client left."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.ensure_future(receive())
        try:
            with self._streams.opened(self._selection) as over, contextlib.suppress(ShuttingDown):
                await self._run((gone, over), send)
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _run(self, ends: tuple[asyncio.Future[Any], ...], send: Send) -> None:
        loop, cursor = asyncio.get_running_loop(), self._cursor
        until = loop.time() + self._seconds
        await _send(send, self._streams.opening(cursor))
        while not any(end.done() for end in ends):
            before = cursor
            events, cursor = self._streams.next(before, self._selection)
            if events:
                await _send(send, b"".join(events))
            remaining = until - loop.time()
            if cursor != before:
                await asyncio.sleep(0)  # others' turn
            elif remaining <= 0:
                return
            else:
                left = asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if not await self._streams.wait(cursor, self._selection, min(HEARTBEAT_S, remaining), left):
                    await _send(send, self._streams.heartbeat(cursor))


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def told(item: Item) -> tuple[str, object]:
    """The name of an event, and its JSON."""
    if isinstance(item, Event):
        return "threshold", answers.event(item)
    if isinstance(item, FlowRecord):
        return "flow", answers.flow_record(item)
    if item.elephant is None:
        return "elephants-dropped", {"thresholdID": item.threshold}
    return f"elephant-{item.what}", answers.elephant(item.elephant)
