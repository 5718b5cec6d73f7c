"""Flow records, elephants and the stream in a real process with real UDP: who waits, who is slow, who is ended."""

from __future__ import annotations

import json
import socket
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from analytics.api.stream import MAX_STREAMS
from tests.analytics.examples import wire
from tests.patience import PATIENCE_S

RATE = 100
AGENT = "10.1.2.3"
KEY = "10.0.0.1,10.0.0.3,40000,5001"
TCP = {"keys": "ipsource,ipdestination,tcpsourceport,tcpdestinationport", "value": "bytes", "log": True}
ACK, FIN_ACK = 0x10, 0x11


class Switch:
    """Sends samples of one connection per source port to a program."""

    def __init__(self, program):
        self.program, self.sent = program, 0
        host, port = program.source.removeprefix("sflow ").split(":")
        self.address = host, int(port)

    def send(self, *sports, flags=ACK, size=1000, repeat=1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for sport in sports * repeat:
                self.sent += 1
                packet = wire.ethernet(wire.ipv4(wire.tcp(sport, 5001, flags), 6, "10.0.0.1", "10.0.0.3"))
                sample = wire.flow_sample(wire.sampled_header(packet, size), sequence=self.sent, source=(0, 4),
                                          rate=RATE, ports=(4, 5))  # fmt: skip
                out.sendto(wire.datagram(sample, agent=AGENT, sequence=self.sent, uptime=self.sent), self.address)


class Stream:
    """A client of /v1/events; `next` waits for an event."""

    def __init__(self, program, query="", last=None):
        headers = {"Last-Event-ID": last} if last else {}
        url = f"http://127.0.0.1:{program.port}/v1/events?{query}"
        self.client = httpx.Client(timeout=PATIENCE_S)
        self.answer = self.client.send(self.client.build_request("GET", url, headers=headers), stream=True)
        assert self.answer.status_code == 200
        self.lines = self.answer.iter_lines()
        self.last = None
        self.block()  # the opening

    def block(self):
        fields = {}
        for line in self.lines:
            if not line:
                break
            name, _, value = line.partition(": ")
            fields[name] = value
        self.last = fields.get("id", self.last)
        return fields

    def next(self):
        while True:
            fields = self.block()
            assert fields, "the stream has ended"
            if "data" in fields:
                return fields["event"], json.loads(fields["data"])

    def close(self):
        self.answer.close()
        self.client.close()


@pytest.fixture
def program(start):
    program = start()
    assert program.http.put("/flow/tcp/json", content=json.dumps(TCP)).status_code == 204
    return program


def test_a_connection_becomes_a_record_for_all_who_wait_as_its_last_packet_is_sampled(program):
    switch = Switch(program)
    before = time.time()
    with closing(Stream(program, "topic=flows&name=tcp")) as stream:
        switch.send(40000, repeat=4)
        switch.send(40000, flags=FIN_ACK)
        name, record = stream.next()
    assert name == "flow"
    assert program.http.get("/flows/json?name=tcp&maxFlows=10&timeout=20&flowID=-1").json() == [record]
    assert before - 1 < record["start"] / 1000 <= record["end"] / 1000 < time.time() + 1
    assert record == {
        "flowID": 1,
        "name": "tcp",
        "flowKeys": KEY,
        "value": 5 * 1000 * RATE,
        "agent": AGENT,
        "dataSource": "4",
        "samples": 5,
        "start": record["start"],
        "end": record["end"],
    }


def test_an_elephant_starts_and_ends_on_the_stream(program):
    threshold = {"metric": "tcp", "value": 100_000, "byFlow": True, "timeout": 0.2}
    assert program.http.put("/flow/tcp/json", content=json.dumps(TCP | {"t": 0.2})).status_code == 204
    assert program.http.put("/threshold/large/json", content=json.dumps(threshold)).status_code == 204
    with closing(Stream(program, "topic=elephants")) as stream:
        Switch(program).send(40000, size=1000)  # 1000 * 100 / 0.2 = 500,000
        name, start = stream.next()
        assert (name, start["flowKey"], start["value"], start["samples"]) == ("elephant-start", KEY, 100_000, 1)
        found = []
        while not found or found[-1][0] == "elephant-update":
            found.append(stream.next())
        assert (found[-1][0], found[-1][1]["value"], found[-1][1]["start"]) == ("elephant-end", 100_000, start["start"])
    assert program.http.get("/v1/elephants").json() == []


def test_a_slow_client_is_told_what_it_lost_and_nobody_else_loses_anything(start, eventually, tmp_path):
    config = tmp_path / "howdah.yaml"
    config.write_text("analytics: {flow_records: 50}\n")
    program = start("--config", str(config))
    assert program.http.put("/flow/tcp/json", content=json.dumps(TCP)).status_code == 204
    switch = Switch(program)
    with socket.socket() as slow, closing(Stream(program)) as quick:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # which holds for what is promised on connecting
        slow.connect(("127.0.0.1", program.port))
        slow.sendall(b"GET /v1/events?topic=flows HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        eventually(lambda: program.asked_by_others() == 2)
        seen, rounds = 0, 60
        for _ in range(rounds):
            switch.send(*range(1000, 1040), flags=FIN_ACK)
            while seen < 40 * (_ + 1):
                name, record = quick.next()
                seen += 1
                assert (name, record["flowID"]) == ("flow", seen)
        slow.settimeout(PATIENCE_S)
        text, taken, lost = b"", 0, 0
        while taken + lost < 40 * rounds:
            text += slow.recv(65536)
            *blocks, text = text.split(b"\n\n")
            for block in blocks:
                data = [json.loads(line[6:]) for line in block.splitlines() if line.startswith(b"data: ")]
                if data and b"event: lost" in block:
                    lost += data[0]["flows"]
                elif data:
                    taken += 1
                    assert data[0]["flowID"] == taken + lost
    assert lost > 0


def test_the_end_of_the_program_ends_streams_at_once(program):
    with closing(Stream(program)) as stream:
        began = time.monotonic()
        assert program.end() == (0, "")
        assert list(stream.lines) == []
        assert time.monotonic() - began < PATIENCE_S / 2


def test_when_there_are_too_many_streams_the_oldest_is_ended(program):
    streams = [socket.create_connection(("127.0.0.1", program.port), PATIENCE_S) for _ in range(MAX_STREAMS + 1)]
    for stream in streams:
        stream.sendall(b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"text/event-stream" in stream.recv(4096)
    text = b""
    while not text.endswith(b"\r\n0\r\n\r\n"):  # the last chunk
        piece = streams[0].recv(4096)
        assert piece
        text += piece
    for stream in streams:
        stream.close()


def test_a_question_for_the_head_alone_is_answered(program):
    answer = program.http.head("/v1/events")
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_clients_that_leave_are_forgotten(program, eventually):
    descriptors = Path(f"/proc/{program.process.pid}/fd")
    program.http.get("/version")
    before = len(list(descriptors.iterdir()))
    streams = [Stream(program) for _ in range(5)]
    assert len(list(descriptors.iterdir())) == before + 5
    for stream in streams:
        stream.close()
    eventually(lambda: len(list(descriptors.iterdir())) == before)


def test_who_waits_for_one_flow_is_not_answered_with_another(program, eventually):
    with socket.create_connection(("127.0.0.1", program.port)) as poll:
        poll.sendall(b"GET /flows/json?name=other&timeout=600&flowID=-1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        eventually(lambda: program.asked_by_others() == 1)
        Switch(program).send(40000, flags=FIN_ACK)
        eventually(lambda: program.http.get("/flows/json").json())
        poll.setblocking(False)
        with pytest.raises(BlockingIOError):
            poll.recv(1)
