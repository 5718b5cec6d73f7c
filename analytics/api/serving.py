"""How handlers ask the engine and answer: long work in turns, long answers in pieces, refusals in one line.

Handlers run in the event loop; what may take long is done there in turns (`asked`, `answer_long`), and others are
served in between: a thread would have to share the interpreter with the loop, which then waits for it at every step,
and could not be ended when its client has left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from analytics.engine import Engine
from analytics.turns import Turns, pieces
from documents.printable import printable

MAX_REFUSAL = 300  # characters
PIECE = 500  # items of a long answer that are made at a time: about 1 ms

T = TypeVar("T")

NO_CONTENT = Response(status_code=204)


class Serving:
    """What handlers share. `clock` is the one of the engine's datagrams; it is read once per request."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self.engine = engine
        self.clock = clock
        self._turn = asyncio.Lock()

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


def answer(value: object) -> Response:
    """JSON, indented by one: people read it with curl as often as programs do."""
    return Response(encoded(value), media_type="application/json")


def encoded(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def in_one_line(text: str) -> str:
    """Short and printable too: it quotes what came from outside."""
    line = " ".join(text[: 2 * MAX_REFUSAL].split())
    return printable(line if len(line) <= MAX_REFUSAL else line[:MAX_REFUSAL] + "...")
