"""A local HTTP server that answers what a test wants, right or wrong, and records what was put."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answering:
    """`answers`: the beginning of a path -> the body of a GET, or (status, body); None closes the connection.

    Any other path is answered with `[]`, a threshold with `{}`, a long poll as late as analytics would. `asked` counts
    requests, `put` lists the paths of PUTs, `authorizations` has the values of that header.
    """

    def __init__(self, answers):
        self.answers = answers
        self.long_poll_s = 0.5
        self.asked = 0
        self._closing = threading.Event()
        self.put = []
        self.authorizations = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def base(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method, path):
        self.asked += 1
        if method == "PUT":
            self.put.append(path)
        other = b"{}" if path.startswith("/threshold/") else b"[]"
        found = next((answer for start, answer in self.answers.items() if path.startswith(start)), other)
        if found == b"[]" and "timeout=" in path:
            self._closing.wait(self.long_poll_s)
        return found if isinstance(found, tuple) or found is None else (200, found)

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            def handle_request(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.authorizations.add(self.headers.get("Authorization"))
                answer = server.answer(self.command, self.path)
                self.close_connection = True
                if answer is not None:
                    status, body = answer
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            do_GET = do_PUT = handle_request

            def log_message(self, *_):
                """The test's output stays its own."""

        return Handler


def event(**more):
    """An element of /events/json as analytics sends it, as JSON; None leaves a field out."""
    fields = {
        "eventID": 7, "timestamp": 1000, "thresholdID": "howdah_elephant_5000000", "metric": "howdah_flow",
        "threshold": 62500.0, "value": 100000.0, "agent": "10.254.0.1", "dataSource": "11",
        "flowKey": "10.0.1.1,10.0.2.1,6,5001,80",
    }  # fmt: skip
    return json.dumps([{name: value for name, value in (fields | more).items() if value is not None}]).encode()
