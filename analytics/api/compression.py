"""Answers made smaller for clients that take it: zstd (RFC 8878), gzip (RFC 1952), by Accept-Encoding (RFC 9110 12.5).

A body that is one piece of less than LEAST bytes stays as it is: a long poll's `[]` would only grow. Everything else is
compressed SLICE by SLICE, about 1 ms each, and others are served in between. Streams of events stay as they are, since
a compressor would hold back what their readers wait for. A compressor takes about half a megabyte until its answer
has been taken; there are at most MOST_AT_ONCE, and beyond that answers go out as they are.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Protocol

import zstandard
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST = 1024  # bytes
SLICE = 32 * 1024
MOST_AT_ONCE = 64
GZIP_LEVEL = 6
ZSTD = zstandard.ZstdCompressionParameters.from_level(3, window_log=17)
GZIP = 16 + zlib.MAX_WBITS  # zlib's word for a gzip header and trailer


class Compressor(Protocol):
    """What zlib and zstandard make."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def encoding_for(accept: str) -> str | None:
    """The encoding that a client likes best of those we have; zstd of two that it likes alike. None: as it is."""
    likes = {}
    for part in accept.lower().split(","):
        name, _, parameters = part.partition(";")
        weight = parameters.strip().removeprefix("q=") or "1"
        try:
            likes[name.strip()] = float(weight)
        except ValueError:
            continue
    anything = likes.get("*", 0.0)
    best = max(("zstd", "gzip"), key=lambda name: likes.get(name, anything))
    return best if likes.get(best, anything) > 0 else None


def compressed(app: ASGIApp) -> ASGIApp:
    """The same application, its answers compressed for those who take it."""
    under_way = 0

    async def compressing(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal under_way
        encoding = encoding_for(Headers(scope=scope).get("accept-encoding", "")) if scope["type"] == "http" else None
        if encoding is None or scope["method"] == "HEAD":
            await app(scope, receive, send)
            return
        start: Message | None = None
        compressor: Compressor | None = None

        async def sending(message: Message) -> None:
            nonlocal start, compressor, under_way
            if message["type"] == "http.response.start":
                start = message
                return
            body, more = message.get("body", b""), message.get("more_body", False)
            if start is not None:
                headers = MutableHeaders(raw=start["headers"])
                headers.add_vary_header("Accept-Encoding")
                if is_worth_it(headers, len(body), more) and under_way < MOST_AT_ONCE:
                    under_way += 1
                    compressor = new_compressor(encoding)
                    headers["Content-Encoding"] = encoding
                    del headers["Content-Length"]
                await send(start)
                start = None
            if compressor is None:
                await send(message)
                return
            for first in range(0, len(body), SLICE):
                piece = compressor.compress(body[first : first + SLICE])
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)
            if not more:
                await send({"type": "http.response.body", "body": compressor.flush(), "more_body": False})

        try:
            await app(scope, receive, sending)
        finally:
            under_way -= compressor is not None

    return compressing


def is_worth_it(headers: Headers, length: int, more: bool) -> bool:
    """Whether an answer with this first piece is to be compressed."""
    if "content-encoding" in headers or headers.get("content-type", "").startswith("text/event-stream"):
        return False
    return more or length >= LEAST


def new_compressor(encoding: str) -> Compressor:
    if encoding == "gzip":
        return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP)
    return zstandard.ZstdCompressor(compression_params=ZSTD).compressobj()
