"""analytics.server and cli: the real program in processes of its own, on ports the kernel chose."""

import asyncio
import contextlib
import functools
import logging
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner

from analytics import cli, server
from analytics.api import rest
from analytics.engine import Engine
from documents.faults import Faults
from tests.analytics.program import AGENT, COMMAND, READY, ROOT, datagram, pcap, refused
from tests.patience import PATIENCE_S


class Poll(threading.Thread):
    """A long poll that hangs in a thread of its own; `answer` and `took` are there when it has ended."""

    def __init__(self, program, query):
        super().__init__()
        self.url = f"http://127.0.0.1:{program.port}/events/json?{query}"
        self.answer = self.took = None
        self.start()

    def run(self):
        started = time.monotonic()
        try:
            self.answer = httpx.get(self.url, timeout=PATIENCE_S)
        except httpx.HTTPError as fault:
            self.answer = fault
        self.took = time.monotonic() - started


def test_receiving_on_several_sockets_from_listed_sources_only(start, eventually):
    program = start("--sflow-sockets", "2", "--sflow-source", "192.0.2.0/24", "--sflow-source", "127.0.0.7")
    program.send()  # from 127.0.0.1
    eventually(lambda: program.http.get("/analyzer/json").json()["sFlowSourcesRefused"] == 1)
    numbers = program.http.get("/analyzer/json").json()
    assert numbers["sFlowDatagramsReceived"] == 0
    assert (numbers["sFlowSockets"], numbers["sFlowKernelDrops"]) == (2, 0)
    assert numbers["sFlowReceiveBuffer"] > 0
    text = program.http.get("/prometheus/analyzer/txt").text
    assert "sflow_analyzer_refused_datagrams 1\n" in text
    assert "sflow_analyzer_kernel_dropped_datagrams 0\n" in text


def test_a_datagram_on_the_socket_becomes_an_answer(start, eventually):
    program = start()
    program.send()
    agents = eventually(lambda: program.http.get("/agents/json").json())
    assert agents[AGENT]["sFlowFlowSamples"] == 1
    assert program.end() == (0, "")


def test_the_flows_that_scripts_expect_are_there(start):
    program = start()
    flows = program.http.get("/flow/json").json()
    assert flows["mn_bytes"]["keys"] == ""
    assert flows["mn_flow"]["keys"].startswith("ipsource,ipdestination,ipprotocol,or:")
    assert program.http.get("/activeflows/ALL/mn_flow/json").json() == []


def test_a_kept_connection_answers_without_delay(start, eventually):
    """Delayed acknowledgements would make it 40 ms every time; a busy machine does so for a while."""
    program = start()

    def took():
        asked = time.perf_counter()
        program.http.get("/activeflows/ALL/mn_flow/json")
        return time.perf_counter() - asked

    eventually(lambda: statistics.median(took() for _ in range(20)) < 0.030)


def test_an_event_is_answered_while_polls_hang(start, eventually):
    program = start()
    program.watch_frames()
    polls = [Poll(program, "eventID=-1&maxEvents=10&timeout=3000") for _ in range(20)]
    elsewhere = Poll(program, "eventID=-1&timeout=1&thresholdID=other")
    eventually(lambda: program.asked_by_others() == len(polls) + 1)
    program.send()
    for poll in polls:
        poll.join(PATIENCE_S)
    first = polls[0].answer.json()
    assert [(event["thresholdID"], event["agent"], event["dataSource"]) for event in first] == [("t", AGENT, "4")]
    assert all(poll.answer.json() == first for poll in polls)
    elsewhere.join(PATIENCE_S)
    assert (elsewhere.answer.status_code, elsewhere.answer.json()) == (200, [])
    assert elsewhere.took >= 1
    newest = first[0]["eventID"]
    idle = Poll(program, f"eventID={newest}&timeout=0.5")
    idle.join(PATIENCE_S)
    assert (idle.answer.json(), idle.took >= 0.5) == ([], True)


def test_clients_that_went_away_are_forgotten(start, eventually):
    program = start()
    descriptors = Path(f"/proc/{program.process.pid}/fd")
    program.http.get("/version")
    before = len(list(descriptors.iterdir()))
    clients = [socket.create_connection(("127.0.0.1", program.port)) for _ in range(10)]
    for client in clients:
        client.sendall(b"GET /events/json?timeout=3000 HTTP/1.1\r\nHost: h\r\n\r\n")
    eventually(lambda: len(list(descriptors.iterdir())) == before + 10)
    for client in clients:
        client.close()
    eventually(lambda: len(list(descriptors.iterdir())) == before)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quickly_and_quietly_under_hanging_polls(start, eventually, sign):
    program = start()
    poll = Poll(program, "eventID=-1&timeout=3000")
    eventually(lambda: program.asked_by_others() == 1)
    assert program.end(sign) == (0, "")
    poll.join(PATIENCE_S)
    assert poll.answer.status_code == 503


def test_incomplete_requests_leave_nothing_behind(start, eventually):
    program = start()
    program.http.get("/version")
    descriptors = Path(f"/proc/{program.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    half = b"PUT /flow/f/json HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{value:"
    for request in (half, b"GET /vers", b"\x16\x03\x01 no HTTP at all\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", program.port)) as client:
            client.sendall(request)
    with socket.create_connection(("127.0.0.1", program.port)) as client:
        client.sendall(half)
        eventually(lambda: len(list(descriptors.iterdir())) == before + 1)
        assert program.http.get("/flow/f/json").status_code == 404
        assert program.end() == (0, "")


def test_running_out_of_descriptors_ends_nothing_and_fills_no_log(start, eventually):
    program = start("--user", "root")  # whose limits the test may change
    descriptors = Path(f"/proc/{program.process.pid}/fd")
    used = len(list(descriptors.iterdir()))
    resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (used + 8, used + 8))
    with contextlib.ExitStack() as silent:
        for _ in range(40):
            client = silent.enter_context(socket.create_connection(("127.0.0.1", program.port), PATIENCE_S))
            client.sendall(b"GET /version HTTP/1.1\r\nHost: ")
        eventually(lambda: program.http.get("/analyzer/json").json()["faults"].get("http accept", 0) >= 3)
        program.send()
        eventually(lambda: AGENT in program.http.get("/agents/json").json())
    status, complaints = program.end()
    assert status == 0
    assert complaints.count("http accept: ") == 1
    assert "Traceback" not in complaints


def test_it_ends_with_its_parent(eventually):
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    child = subprocess.Popen(
        [*COMMAND, "--parent-pid", str(parent.pid)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert READY.fullmatch(child.stdout.readline())
        assert child.poll() is None
        parent.kill()
        parent.wait()
        _, complaints = child.communicate(timeout=PATIENCE_S)
        assert (child.returncode, complaints) == (0, "")
    finally:
        for process in (parent, child):
            if process.poll() is None:
                process.kill()
                process.wait()


def test_a_tick_that_fails_is_counted_and_logged_once(caplog, monkeypatch):
    monkeypatch.setattr(server, "TICK_S", 0.0)
    engine = Engine()

    def tick(now):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(engine, "tick", tick)

    async def some_ticks():
        ticking = asyncio.create_task(server.tick(engine, rest.build(engine, version="test").state.api))
        while engine.faults.counts().get("tick", 0) < 5:
            await asyncio.sleep(0)
        ticking.cancel()

    asyncio.run(asyncio.wait_for(some_ticks(), PATIENCE_S))
    assert caplog.text.count("Traceback") == caplog.text.count("tick: a bug") == 1
    engine.close()


def test_a_callback_that_fails_is_counted_and_logged_once(caplog):
    faults = Faults(logging.getLogger("test"))

    async def failing_callbacks():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(functools.partial(server.note, faults))
        for _ in range(3):
            loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    asyncio.run(failing_callbacks())
    assert faults.counts() == {"event loop": 3}
    assert caplog.text.count("Traceback") == caplog.text.count("event loop: division by zero") == 1


def test_ports_in_use_are_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line = refused("--port", port, "--sflow-port", "0")
    assert line == f"howdah analytics: cannot listen for HTTP on 127.0.0.1 port {port}: Address already in use"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = str(other.getsockname()[1])
        line = refused("--port", "0", "--sflow-port", port)
    assert line.startswith("howdah analytics: ")
    assert port in line
    assert "in use" in line


def test_bad_settings_are_named(tmp_path):
    config = tmp_path / "howdah.yaml"
    config.write_text("analytics:\n  prot: 1\n")
    assert refused("--config", str(config)) == (
        f"howdah analytics: {config}:2: unknown key 'prot' in 'analytics'; did you mean 'port'?"
    )
    assert refused("--port", "70000") == "howdah analytics: port 70000 is not between 0 and 65535"
    assert refused("--host", "0.0.0.0").startswith("howdah analytics: host 0.0.0.0 can be reached from elsewhere")
    assert refused("--port", "0", "--sflow-port", "0", "--parent-pid", str(2**22 - 1)) == (
        f"howdah analytics: cannot watch parent process {2**22 - 1}: No such process"
    )


def test_the_token_of_the_file_guards_writing(start, tmp_path):
    config = tmp_path / "howdah.yaml"
    config.write_text("analytics: {token: s3cret}\n")
    program = start("--config", str(config))
    assert program.http.put("/flow/f/json", content="{value:'bytes'}").status_code == 401
    headers = {"Authorization": "Bearer s3cret"}
    assert program.http.put("/flow/f/json", content="{value:'bytes'}", headers=headers).status_code == 204


@pytest.mark.parametrize("cut", [0, 10])
def test_a_capture_is_replayed_as_far_as_it_goes(start, tmp_path, eventually, cut):
    path = tmp_path / "three.pcap"
    pcap(path, [datagram(sequence) for sequence in (1, 2, 3)])
    size = path.stat().st_size
    os.truncate(path, size - cut)
    program = start("--replay", str(path))
    assert program.source == f"replay {path}"
    seen = 2 if cut else 3
    eventually(lambda: program.http.get("/agents/json").json().get(AGENT, {}).get("sFlowFlowSamples") == seen)
    status, complaints = program.end()
    assert status == 0
    assert (str(path) in complaints, complaints.count("\n")) == ((True, 1) if cut else (False, 0))


def test_a_capture_of_another_port_is_replayed_over_and_over(start, tmp_path, eventually):
    path = tmp_path / "three.pcap"
    pcap(path, [datagram(sequence) for sequence in (1, 2, 3)], port=7000)
    line = refused("--port", "0", "--replay", str(path))
    assert line == (
        f"howdah analytics: {path}: no sFlow to UDP port 6343 in it, but 3 datagrams to port 7000: "
        "choose one with --sflow-port"
    )
    program = start("--replay", str(path), "--sflow-port", "7000", "--speed", "max", "--loop")
    eventually(lambda: program.http.get("/agents/json").json().get(AGENT, {}).get("sFlowFlowSamples", 0) > 30)
    found = program.http.get("/agents/json").json()[AGENT]
    wrong = ("Lost", "Duplicate", "OutOfOrder", "Restart", "Reset")
    assert {name: value for name, value in found.items() if any(word in name for word in wrong) and value} == {}
    assert program.end() == (0, "")


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan", "1001"])
def test_a_speed_that_is_none_is_refused(speed):
    assert "speed" in refused("--port", "0", "--replay", "x.pcap", "--speed", speed)
    assert "need replay" in refused("--port", "0", "--loop")


def test_a_bad_capture_is_named(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear sir or madam, this is no capture at all.")
    assert str(path) in refused("--port", "0", "--replay", str(path))
    assert str(tmp_path / "none.pcap") in refused("--port", "0", "--replay", str(tmp_path / "none.pcap"))


def test_the_command_is_added_to_howdahs():
    app = typer.Typer()
    app.callback()(lambda: None)
    cli.register(app)
    shown = CliRunner().invoke(app, ["analytics", "--help"], env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    for option in ("--host", "--port", "--sflow-host", "--sflow-port", "--replay", "--config"):
        assert option in shown.output
    failed = CliRunner().invoke(app, ["analytics", "--port", "-1"])
    assert failed.exit_code == 1
    assert "port -1 is not between 0 and 65535" in failed.output


def test_the_program_counts_its_connections(start):
    program = start()
    before = program.http.get("/analyzer/json").json()
    assert (before["httpConnectionsCurrent"], before["httpConnectionsTotal"]) == (1, 1)
    with socket.create_connection(("127.0.0.1", program.port)) as other:
        other.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert other.recv(4096).startswith(b"HTTP/1.1 200")
        after = program.http.get("/analyzer/json").json()
    assert (after["httpConnectionsCurrent"], after["httpConnectionsTotal"]) == (2, 2)
    assert after["httpMessagesSent"] == after["httpMessagesReceived"] - 1 == 2
