"""What stands around the application: who may ask (documents.httpguard), what becomes of a bug in a handler, and that
what a request changed is on disk before it is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from documents.faults import Faults
from documents.httpguard import ANSWER_HEADERS, Access, Refusal, joined

OWN_SITE = ("none", "same-origin")  # none: no page asked
HEADERS = [(name.lower().encode(), value.encode()) for name, value in ANSWER_HEADERS.items()]


def guarded(app: ASGIApp, access: Access, writing: str) -> ASGIApp:
    """The same application for requests that `access` lets in; every answer carries ANSWER_HEADERS.

    A GET of a path that begins with `writing` makes something, so it counts as writing. A page of another site could
    send it, as the address of a picture, but not without the header Sec-Fetch-Site (W3C Fetch Metadata)."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        target = scope["raw_path"] + b"?" + scope["query_string"]
        headers, writes = joined(scope["headers"]), scope["path"].startswith(writing)
        refusal = access.refusal("PUT" if writes else scope["method"], target, headers)
        if refusal is None and writes and headers.get("sec-fetch-site", "none") not in OWN_SITE:
            refusal = Refusal(403, "a page of another site may not define what is scraped")
        answer = refusal and PlainTextResponse(refusal.reason, refusal.status, dict(refusal.headers))
        await (answer or app)(scope, receive, sending)

    return guard


def noted(app: ASGIApp, faults: Faults) -> ASGIApp:
    """The same application; a bug in a handler is a fault and the answer 500."""

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await app(scope, receive, sending)
        except Exception as fault:
            faults.note("http", fault, time.monotonic())
            if not started:
                await PlainTextResponse("internal error", status_code=500)(scope, receive, send)

    return noting


def kept(app: ASGIApp, save: Callable[[], None], faults: Faults) -> ASGIApp:
    """The same application; a request that may have changed something is answered after `save`, which runs in a thread.
    Where that fails, the change is in force and a fault says that it is not kept."""

    async def keeping(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                try:
                    await asyncio.to_thread(save)
                except OSError as fault:
                    faults.note("state", fault, time.monotonic())
            await send(message)

        await app(scope, receive, sending)

    return keeping
