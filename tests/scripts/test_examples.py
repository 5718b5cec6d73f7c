"""Each of scripts/examples as it is, beside a real analytics that hears made-up sFlow over real UDP."""

import itertools
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.analytics.examples import wire
from tests.client.process import ROOT
from tests.switch import AGENT, Switch

EXAMPLES = ROOT / "scripts" / "examples"
TESTED = {"top_flows", "tail_flows", "mark_large_flows", "cluster_load", "alerts_to_syslog", "missed_keys"}


@pytest.fixture
def run(begin):
    """Starts an example."""
    return lambda name, **environment: begin(EXAMPLES / f"{name}.py", **environment)


@pytest.fixture
def defined(program, eventually):
    """Waits until a definition is there, or gone."""

    def wait(path, name, is_there=True):
        eventually(lambda: (name in program.http.get(path).json()) == is_there)

    return wait


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} - {"__init__"} == TESTED


def test_top_flows(run, switch, defined, eventually):
    script = run("top_flows")
    defined("/flow/json", "top_flows")
    switch.segment("10.0.1.1", rate=10_000)  # 1500 * 10,000 / 2 s * 8 = 60 Mb/s as it arrives
    switch.segment("10.0.1.2", rate=1000)
    largest, other = "10.0.1.1,10.0.2.2,40000,5001", "10.0.1.2,10.0.2.2,40000,5001"

    def shown():
        """The rates of both, where one is shown under the other: before, only the first may have arrived."""
        for upper, lower in itertools.pairwise(script.lines):
            if upper.endswith(largest) and lower.endswith(other):
                return float(upper.split()[0]), float(lower.split()[0])
        return None

    first, second = eventually(shown)
    assert 0 < first <= 60
    assert first == pytest.approx(10 * second, rel=0.2, abs=0.1)  # both decay alike, shown to 0.01
    assert script.end(signal.SIGINT) == 0
    defined("/flow/json", "top_flows", False)
    assert not any("Traceback" in line for line in script.lines)


def test_tail_flows(run, switch, defined, eventually):
    script = run("tail_flows")
    defined("/flow/json", "tail_flows")
    before = time.time() * 1000
    switch.segment("10.0.1.1", rate=1000)
    switch.segment("10.0.1.1", rate=1000, flags=0x11)  # FIN: the connection has ended
    head, line = (row.split(",") for row in eventually(lambda: len(script.lines) >= 2 and script.lines[:2]))
    record = dict(zip(head, line, strict=True))
    start, end = int(record.pop("start_ms")), int(record.pop("end_ms"))
    assert before - 1000 <= start <= end <= time.time() * 1000 + 1000
    assert record == {
        "agent": AGENT, "data_source": "15", "bytes": str(2 * 1500 * 1000), "ipsource": "10.0.1.1",
        "ipdestination": "10.0.2.2", "tcpsourceport": "40000", "tcpdestinationport": "5001",
    }  # fmt: skip
    assert script.end() == 0
    defined("/flow/json", "tail_flows", False)


def test_mark_large_flows(program, run, switch, defined, eventually):
    topology = {"nodes": {"leaf1": {"agent": AGENT, "ports": {"swp10": {"ifindex": "15"}}}}, "links": {}}
    assert program.http.put("/topology/json", content=json.dumps(topology)).status_code == 204
    script = run("mark_large_flows")
    defined("/threshold/json", "mark_large_flows")
    switch.segment("10.0.1.1", rate=10)  # 30 kB/s, not large
    switch.segment("10.0.1.2", rate=1000)
    line = eventually(lambda: next((line for line in script.lines if "ovs-ofctl" in line), None))
    rule = line.split(" add-flow BRIDGE ")[1]
    assert rule == (
        "priority=500,idle_timeout=2,tcp,nw_src=10.0.1.2,nw_dst=10.0.2.2,tp_src=40000,tp_dst=5001,"
        "actions=set_field:1->ip_dscp,normal"
    )
    assert script.end() == 0
    assert sum("ovs-ofctl" in line for line in script.lines) == 1
    defined("/threshold/json", "mark_large_flows", False)
    if shutil.which("ovs-ofctl"):
        command = ["ovs-ofctl", "-O", "OpenFlow15", "parse-flow", rule]
        read = subprocess.run(command, check=False, capture_output=True, text=True)
        assert read.returncode == 0, read.stderr


class Pushed(BaseHTTPRequestHandler):
    """A web server that takes JSON."""

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.server.bodies.append(json.loads(self.rfile.read(length)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def web_server():
    server = HTTPServer(("127.0.0.1", 0), Pushed)
    server.bodies = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_cluster_load(program, run, web_server, eventually):
    for number, load in enumerate((5, 1, 4, 2, 3)):
        Switch(program.source, agent=f"10.0.0.{number}").host(f"h{number}", load)
    script = run("cluster_load", LOAD_URL=f"http://127.0.0.1:{web_server.server_port}/load", LOAD_S="0.5")
    body = eventually(lambda: next((body for body in web_server.bodies if body["hosts"] == 5), None))
    assert body.pop("time") > 1_700_000_000
    assert body == {"hosts": 5, "min": 1, "q1": 2, "med": 3, "q3": 4, "max": 5}
    assert script.end() == 0


def test_alerts_to_syslog(run, switch, defined, eventually):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.setblocking(False)
        script = run("alerts_to_syslog", SYSLOG_PORT=str(collector.getsockname()[1]))
        defined("/threshold/json", "busy_in")
        octets = 0

        def received():
            nonlocal octets
            octets += 10**11  # far beyond 80 % of 10 Gb/s whatever the time between two polls
            switch.port("swp10", 15, octets=octets)
            switch.port("swp11", 16, octets=0)
            try:
                return collector.recv(4096)
            except BlockingIOError:
                return None

        text = eventually(received).decode()
    head = re.fullmatch(r"<132>1 (\S+) (\S+) alerts_to_syslog (\d+) - - (\{.*\})", text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", head[1])
    assert int(head[3]) == script.process.pid
    alert = json.loads(head[4])
    assert alert.pop("percent") > 80
    assert alert == {"alert": "busy_in", "agent": AGENT, "port": "swp10"}
    assert script.end() == 0


def test_missed_keys(run, switch, defined, eventually):
    script = run("missed_keys", MISSED_S="0.5")
    defined("/flow/json", "missed_keys")

    def operation(key, status):
        memcache = wire.words(1, 7) + wire.opaque(key) + wire.words(1, 0, 30, status)  # ascii, GET
        switch.send(wire.flow_sample(wire.record(2200, memcache), source=(3, 1), rate=400, ports=(0, 0)))

    operation(b"user:1", 1)  # OK
    operation(b"user:2", 8)  # NOT_FOUND
    line = eventually(lambda: next((line for line in script.lines if "user:" in line), None))
    assert script.end() == 0
    value, key = line.split()
    assert key == "user:2"
    assert 0 < float(value) <= 400 / 10
    assert not any("user:1" in line for line in script.lines)
