"""HTTP for a script: requests are read here and handled one at a time where the script's other handlers run.

`http.server` on loopback, a thread per connection and at most MOST of them, each with SILENT_S to send what it has to
say; documents.httpguard keeps pages of other sites out, as it does for analytics itself. A path is
`/<word>/.../<format>`, the format (json or txt) being the last part, as in sFlow-RT.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from documents.httpguard import ANSWER_HEADERS, LOCAL

log = logging.getLogger(__name__)

MOST = 64  # connections
SILENT_S = 10.0
HANDLED_S = 30.0  # for the script to get to it
MAX_BODY = 1 << 20

MEDIA = {"json": "application/json", "txt": "text/plain; charset=utf-8"}


class BadRequest(Exception):
    """Raised by a handler: answered 400 with its text."""


class NotFound(Exception):
    """Raised by a handler: answered 404 with its text."""


@dataclass(frozen=True)
class Request:
    """`path` without the format, `query` with all values of a parameter, `body` decoded if it is JSON, else text."""

    method: str
    path: tuple[str, ...]
    query: dict[str, list[str]]
    body: Any
    format: str


Handler = Callable[[Request], Any]


class Server(ThreadingHTTPServer):
    """Hands each request to `submit`, whose Future gives what is to be answered."""

    daemon_threads = True

    def __init__(self, port: int, submit: Callable[[Request], Future[Any]]) -> None:
        """OSError: the port is in use."""
        self.submit = submit
        self._free = threading.BoundedSemaphore(MOST)
        super().__init__(("127.0.0.1", port), Exchange)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left or said nothing is no news."""
        log.debug("a request from %s was not read", client_address)


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    server: Server
    timeout = SILENT_S  # of the socket

    def exchange(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        refusal = LOCAL.refusal(self.command, self.path.encode("latin-1"), headers)
        if refusal is not None:
            self.answer(refusal.status, MEDIA["txt"], refusal.reason)
            return
        try:
            request = self.request_read(headers)
        except BadRequest as fault:
            self.answer(400, MEDIA["txt"], str(fault))
            return
        try:
            found = self.server.submit(request).result(HANDLED_S)
        except BadRequest as fault:
            self.answer(400, MEDIA["txt"], str(fault))
        except NotFound as fault:
            self.answer(404, MEDIA["txt"], str(fault))
        except FutureTimeout:
            self.answer(503, MEDIA["txt"], "the script is busy")
        except Exception:  # the script has logged it
            self.answer(500, MEDIA["txt"], "internal error")
        else:
            text = found if request.format == "txt" and isinstance(found, str) else json.dumps(found)
            self.answer(200, MEDIA[request.format], text)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = exchange

    def request_read(self, headers: dict[str, str]) -> Request:
        """BadRequest names what is wrong."""
        target = urlsplit(self.path)
        *path, form = [unquote(word) for word in target.path.split("/") if word] or [""]
        if form not in MEDIA:
            raise BadRequest(f"path {target.path[:60]!r} does not end in /json or /txt")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY or "transfer-encoding" in headers:
            raise BadRequest(f"a body needs a Content-Length of at most {MAX_BODY}")
        raw = self.rfile.read(int(length))
        try:
            body = raw.decode()
        except UnicodeDecodeError:
            raise BadRequest("the body is not UTF-8") from None
        try:
            decoded = json.loads(body) if body else None
        except ValueError:
            decoded = body
        return Request(self.command, tuple(path), parse_qs(target.query, keep_blank_values=True), decoded, form)

    def answer(self, status: int, media: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {**ANSWER_HEADERS, "Content-Type": media, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: requests are no news."""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
