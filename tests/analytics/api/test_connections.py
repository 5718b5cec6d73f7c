"""analytics.api.connections: the HTTP server under clients that are silent, slow, greedy or many; bounds made small.

The server runs in a thread of this process with the application and an engine, on a port that the kernel chose.
"""

import asyncio
import contextlib
import json
import logging
import math
import socket
import threading
import time

import httpx
import pytest

from analytics import server
from analytics.api import connections, rest
from analytics.api.topologies import MAX_TOPOLOGY
from analytics.engine import Engine
from tests.patience import PATIENCE_S

HALF = b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "
GET = b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POLL = b"GET /events/json?timeout=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PUT = b"PUT /topology/json HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"


class Serving:
    """A server at work."""

    def __init__(self, most_answers):
        self.engine = Engine()
        self.listener = server.listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.bounds = connections.Connections(self.engine.faults, most_answers)
        self.base = f"http://127.0.0.1:{self.port}"
        self._server = server.HttpServer(
            rest.build(self.engine, version="test"), self.listener, self.bounds, on_ready=lambda: None
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve(sockets=[])))
        self._thread.start()

    def stop(self):
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.listener.close()
        self.engine.close()

    def client(self, *sent, host="127.0.0.1"):
        """A connection that has sent this."""
        stream = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S, (host, 0))
        for piece in sent:
            stream.sendall(piece)
        return stream

    def get(self, path="/version"):
        return httpx.get(self.base + path, timeout=PATIENCE_S)

    def faults(self):
        return self.engine.faults.counts()

    def open(self):
        return len(self.bounds._all())


@pytest.fixture
def serve(monkeypatch, caplog):
    """`serve(MAX_HEAD=100, ...)` starts a server with these bounds."""
    running = contextlib.ExitStack()

    def start(most_answers=math.inf, **bounds):
        for name, value in bounds.items():
            monkeypatch.setattr(connections, name, value)
        serving = Serving(most_answers)
        running.callback(serving.stop)
        return serving

    caplog.set_level(logging.WARNING)
    with running:
        yield start
    assert "Traceback" not in caplog.text


@pytest.fixture
def opened():
    """An ExitStack for connections of the test."""
    with contextlib.ExitStack() as stack:
        yield stack


def is_closed(stream):
    """The server has ended the connection; what it said before is read and dropped."""
    stream.setblocking(False)
    try:
        while stream.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def answer(stream):
    """All that the server says until it closes."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := stream.recv(65536):
            said += piece
    return said.decode()


def test_silent_and_half_sent_requests_keep_no_request_out(serve, opened, eventually):
    serving = serve(MAX_CONNECTIONS=20, HEAD_S=math.inf)
    streams = [opened.enter_context(serving.client(*([HALF] if n % 2 else []))) for n in range(60)]
    for _ in range(5):
        assert serving.get().text == "test"
    assert serving.open() <= 20
    eventually(lambda: [is_closed(stream) for stream in streams[:40]] == [True] * 40)
    assert not is_closed(streams[-1])
    assert serving.faults()["http full"] >= 40


def test_a_waiting_poll_outlives_silent_connections(serve, opened, eventually):
    serving = serve(MAX_CONNECTIONS=10)
    poll = opened.enter_context(serving.client(POLL))
    idle = opened.enter_context(serving.client(GET))
    eventually(lambda: len(serving.bounds._answering) == len(serving.bounds._idle) == 1)
    for _ in range(30):
        opened.enter_context(serving.client(HALF))
    eventually(lambda: serving.faults().get("http full", 0) >= 20)
    assert not is_closed(poll)
    assert not is_closed(idle)


def test_one_address_takes_its_share_only(serve, opened, eventually, monkeypatch):
    monkeypatch.setattr(connections, "is_loopback", lambda peer: peer == "127.0.0.1")
    serving = serve(MAX_CONNECTIONS=100, MAX_PER_PEER=5)
    here = [opened.enter_context(serving.client(POLL)) for _ in range(8)]
    there = [opened.enter_context(serving.client(POLL, host="127.0.0.2")) for _ in range(8)]
    eventually(lambda: sum(map(is_closed, there)) == 3)
    assert not any(map(is_closed, here))
    assert serving.get().text == "test"


@pytest.mark.parametrize("sent", [b"", HALF], ids=["nothing", "half a head"])
def test_a_head_has_a_time(serve, opened, eventually, monkeypatch, sent):
    serving = serve(SWEEP_S=0.05)
    poll = opened.enter_context(serving.client(POLL))
    eventually(lambda: serving.bounds._answering)
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    stream = opened.enter_context(serving.client(sent))
    began = time.monotonic()
    while not is_closed(stream):
        with contextlib.suppress(ConnectionError):
            stream.sendall(b"a" if sent else b"")  # a byte now and then does not help, and
        time.sleep(0.05)  # no head grows too large by them
        assert time.monotonic() - began < PATIENCE_S
    assert serving.faults() == ({"http time-out": 1} if sent else {})
    assert not is_closed(poll)


def test_the_head_of_a_second_request_has_a_time_too(serve, opened, eventually, monkeypatch):
    serving = serve(SWEEP_S=0.05)
    stream = opened.enter_context(serving.client(GET))
    eventually(lambda: serving.bounds._idle)
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    stream.sendall(HALF)
    eventually(lambda: is_closed(stream))
    assert serving.faults() == {"http time-out": 1}


def test_a_body_has_a_time(serve, opened, eventually):
    serving = serve(BODY_S=0.3, SWEEP_S=0.05)
    stream = opened.enter_context(serving.client(PUT % 1000, b"{"))
    eventually(lambda: is_closed(stream))
    assert serving.faults() == {"http time-out": 1}
    assert serving.bounds._body_bytes == 0


@pytest.mark.parametrize(
    "sent",
    [
        [b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ", *[b"a" * 100] * 100],
        [b"GET /" + b"a" * 4000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
        [b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-A: a\r\n" * 1000 + b"\r\n"],
    ],
    ids=["a value without end", "a long path", "many headers"],
)
def test_a_head_has_a_size(serve, opened, sent):
    serving = serve(MAX_HEAD=2000)
    said = answer(opened.enter_context(serving.client(*sent)))
    assert said.startswith("HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert said.endswith("path, query and headers have more than 2000 bytes")
    assert serving.get().text == "test"


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01 no HTTP\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"GET  / HTTP/9.9\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\n",
     b"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_what_is_no_request_is_answered_400(serve, opened, sent):
    serving = serve()
    assert answer(opened.enter_context(serving.client(sent))).startswith("HTTP/1.1 400 ")


def large_topology(serving, size=1_000_000):
    document = {"nodes": {}, "links": {}, "note": "x" * size}
    assert httpx.put(f"{serving.base}/topology/json", json=document, timeout=PATIENCE_S).status_code == 204


def test_a_client_that_takes_no_answer_is_closed(serve, opened, eventually, monkeypatch):
    serving = serve(ANSWER_S=0.3, SWEEP_S=0.05)
    large_topology(serving)
    stuck = opened.enter_context(socket.socket())
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", serving.port))
    request = b"GET /topology/json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    stuck.sendall(request * 10)
    eventually(lambda: serving.faults() == {"http time-out": 1})
    eventually(lambda: serving.open() <= 1)
    monkeypatch.setattr(connections, "ANSWER_S", PATIENCE_S)
    assert len(serving.get("/topology/json").content) > 1_000_000


@pytest.mark.parametrize("bound", ["MAX_ANSWERS", "most_answers"])  # the constant, and the part of the memory
def test_answers_that_nobody_takes_are_bounded_together(bound, serve, opened, eventually):
    serving = serve(**{bound: 4_000_000}, SWEEP_S=0.05)
    large_topology(serving, 3_000_000)
    for _ in range(6):
        stuck = opened.enter_context(socket.socket())
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", serving.port))
        stuck.sendall(b"GET /topology/json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    eventually(lambda: serving.faults().get("http time-out", 0) >= 1)
    eventually(lambda: sum(connection.unsent() for connection in serving.bounds._all()) <= 4_000_000)


def test_bodies_are_bounded_together(serve, opened, eventually):
    serving = serve(MAX_BODIES=1_000_000, PATIENCE_S=3600.0)
    first = opened.enter_context(serving.client(PUT % 900_000, b" " * 890_000))
    eventually(lambda: serving.bounds._body_bytes == 890_000)
    second = opened.enter_context(serving.client(PUT % 900_000, b" " * 900_000))
    said = answer(second)
    assert said.startswith("HTTP/1.1 503 Service Unavailable\r\n")
    assert said.endswith("all bodies that are being received have more than 1000000 bytes; try again")
    first.sendall(b" " * 9_998 + b"{}")
    assert first.recv(100).startswith(b"HTTP/1.1 204 ")
    eventually(lambda: serving.bounds._body_bytes == 0)
    assert serving.faults() == {"http full": 1}


def test_a_body_that_does_not_go_on_gives_way(serve, opened, eventually):
    serving = serve(MAX_BODIES=1_000_000, PATIENCE_S=0.0)
    stuck = opened.enter_context(serving.client(PUT % 900_000, b" " * 890_000))
    eventually(lambda: serving.bounds._body_bytes == 890_000)
    large_topology(serving, 500_000)
    assert answer(stuck).startswith("HTTP/1.1 503 ")


def test_many_bodies_at_once_take_the_memory_of_few(serve, opened, eventually):
    """Finding 13: 60 bodies of 15 MB took 915 MB."""
    serving = serve(MAX_BODIES=2_000_000, PATIENCE_S=0.0)
    for _ in range(30):
        opened.enter_context(serving.client(HALF))  # older, but there is nothing to be had from them
    eventually(lambda: serving.open() == 30)
    streams = [opened.enter_context(serving.client(PUT % 1_000_000)) for _ in range(60)]
    most = 0
    for stream in streams:
        with contextlib.suppress(ConnectionError):
            stream.sendall(b" " * 900_000)
        most = max(most, serving.bounds._body_bytes)
    assert 0 < most <= 2_000_000 + 65_536
    assert serving.get().text == "test"


def test_a_refused_body_is_read_so_that_the_client_sees_why(serve):
    serving = serve()
    refusal = httpx.put(f"{serving.base}/topology/json", content=b" " * (MAX_TOPOLOGY + 1), timeout=PATIENCE_S)
    assert (refusal.status_code, refusal.text) == (
        413,
        f"topology: the body has more than {MAX_TOPOLOGY} bytes",
    )


def test_requests_behind_another_are_few_and_end_with_their_connection(serve, opened, eventually):
    serving = serve(MAX_PIPELINED=4)
    few = opened.enter_context(serving.client(GET * 4))
    said = b""
    while said.count(b"test") < 4:
        said += few.recv(65536)
    many = opened.enter_context(serving.client(POLL + GET * 50))
    eventually(lambda: is_closed(many))
    left = opened.enter_context(serving.client(POLL * 3))
    eventually(lambda: serving.bounds._answering)
    left.close()
    eventually(lambda: not serving._server.server_state.tasks)


def test_a_client_that_leaves_amid_anything_leaves_nothing(serve, eventually):
    serving = serve()
    large_topology(serving)
    whole = b"GET /topology/json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for sent in (b"", HALF, GET, POLL, PUT % 100 + b"{", whole, whole * 5):
        for linger in (b"\0" * 8, b"\1\0\0\0\0\0\0\0"):  # closed, reset
            with serving.client(sent) as stream:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    eventually(lambda: serving.open() == 0)
    eventually(lambda: not serving._server.server_state.tasks)
    assert serving.faults() == {}


def test_kept_connections_are_used_again(serve):
    serving = serve(HEAD_S=1.0, BODY_S=1.0, ANSWER_S=1.0, SWEEP_S=0.05)
    with httpx.Client(base_url=serving.base, timeout=PATIENCE_S) as client:
        for _ in range(2):
            assert client.get("/version").text == "test"
            began = time.monotonic()
            assert client.get("/events/json?timeout=1.2").json() == []
            assert time.monotonic() - began >= 1.2
            assert client.put("/flow/f/json", content=json.dumps({"value": "bytes"})).status_code == 204
        (connection,) = serving.bounds._all()
        assert connection.unsent() == 0
    assert serving.faults() == {}


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
    ],
)
def test_whose_connection_it_is(host, peer):
    assert connections.peer_of(host) == peer
    assert connections.is_loopback(peer) == (peer == "::1")
