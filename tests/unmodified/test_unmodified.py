"""The clients of sFlow-RT that must work as they are (sflow-rt-api.md 11), beside a real analytics that hears sFlow.

The programs in this folder ask what the published ones ask, in the same order and with the same headers, and stop where
these stop. They were written after the tables of the reference; nothing of the originals is in them.
"""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests

from tests.switch import AGENT, Switch

HERE = Path(__file__).parent
KEY = "10.0.1.1,10.0.2.2,40000,5001"


@pytest.fixture
def run(begin, url):
    """Starts a program of this folder."""
    return lambda name, *words: begin(HERE / name, url, *words)


@pytest.fixture
def defined(program, eventually):
    """Waits until a flow or threshold is there, or gone."""

    def wait(kind, name, is_there=True):
        eventually(lambda: (name in program.http.get(f"/{kind}/json").json()) == is_there)

    return wait


def rows(script, start):
    """The lines of a program that start so, as words."""
    return [line.split() for line in script.lines if line.startswith(start)]


def test_topflows(program, run, switch, eventually):
    assert run("topflows.py", "flows", "24").wait() == 1  # there is none of that name yet
    program.http.put(
        "/flow/flows/json", content='{"keys":"ipsource,ipdestination,tcpsourceport,tcpdestinationport","value":"bytes"}'
    )
    client = run("topflows.py", "flows", "24")
    eventually(lambda: client.lines == ["ipsource ipdestination tcpsourceport tcpdestinationport bytes"])
    switch.segment("10.0.1.1", rate=1000)
    row = eventually(lambda: rows(client, "10.0.1.1"))[0]
    assert row[:4] == KEY.split(",")
    assert 0 < int(row[4]) <= 1500 * 1000 / 2
    assert client.process.poll() is None


def test_tail_log(program, run, switch, eventually):
    program.http.put("/flow/tcp/json", content="{keys:'ipsource',value:'bytes'}")
    program.http.put("/threshold/large/json", content="{metric:'tcp',value:1000,byFlow:true}")
    client = run("tail.py", "events")
    before = time.time() * 1000
    switch.segment("10.0.1.1", rate=1000)
    switch.segment("10.0.1.2", rate=1000)
    eventually(lambda: len(client.lines) == 2)
    first, second = (line.split(",") for line in client.lines)
    assert (first[0], first[2:5], first[6:]) == ("1", ["large", "tcp", "1000.0"], [AGENT, "15"])
    assert before - 1000 <= int(first[1]) <= time.time() * 1000 + 1000
    assert float(first[5]) == pytest.approx(1500 * 1000 / 2)
    assert second[0] == "2"


def test_tail_flows(program, run, switch, eventually):
    program.http.put("/flow/tcp/json", content="{keys:'ipsource,tcpsourceport',value:'bytes',log:true,activeTimeout:1}")
    client = run("tail.py", "flows")
    before = time.time() * 1000
    switch.segment("10.0.1.1", rate=1000)

    def line():
        switch.segment("10.0.1.2", rate=10)  # time goes on for a switch that sends
        return next((line for line in client.lines if ",10.0.1.1,40000," in line), None)

    words = eventually(line).split(",")
    assert words[1:4] == ["tcp", "10.0.1.1", "40000"]
    assert float(words[4]) == 1500 * 1000
    assert before - 1000 <= int(words[5]) <= int(words[6]) <= time.time() * 1000 + 1000
    assert words[7:] == [AGENT, "15"]


TOPOLOGY = {  # as sflow.py makes it of two switches with two hosts each: one agent for both, ifindex as text
    "nodes": {
        "s1": {"agent": AGENT, "ports": {"s1-eth1": {"ifindex": "4"}, "s1-eth2": {"ifindex": "5"}}},
        "s2": {"agent": AGENT, "ports": {"s2-eth1": {"ifindex": "6"}, "s2-eth2": {"ifindex": "7"}}},
    },
    "links": {"s1-s2": {"node1": "s1", "port1": "s1-eth2", "node2": "s2", "port2": "s2-eth2"}},
}


@pytest.mark.parametrize("headers", [{"Content-Type": "application/json"}, None])
def test_sflow_py_then_elephant_py(url, run, switch, defined, eventually, headers):
    answer = requests.put(f"{url}/topology/json", data=json.dumps(TOPOLOGY), headers=headers)
    assert answer.status_code < 400  # or Mininet would not start
    assert requests.get(f"{url}/topology/json").json()["links"] == TOPOLOGY["links"]
    client = run("elephant.py")
    defined("threshold", "elephant")
    switch.segment("10.0.0.1", "10.0.0.3", port=4, rate=1000)  # came in from a host: not counted
    switch.segment("10.0.0.1", "10.0.0.3", port=7, rate=1000)  # came in over the link
    eventually(lambda: client.lines == ["s1-s2,10.0.0.1,10.0.0.3"])


def test_largeflows(program, run, switch, defined, eventually):
    client = run("containerlab.py", "largeflows")
    defined("threshold", "large-tcp")
    switch.segment("10.0.1.1", rate=1000)
    eventually(lambda: client.lines)
    event = json.loads(client.lines[0])
    assert (event["thresholdID"], event["metric"], event["threshold"]) == ("large-tcp", "tcp", 125000)
    assert (event["agent"], event["dataSource"], event["flowKey"]) == (AGENT, "15", KEY)
    assert event["value"] == pytest.approx(1500 * 1000 / 2)
    assert client.end(signal.SIGINT) == 0
    defined("threshold", "large-tcp", False)
    defined("flow", "tcp", False)


def test_logflows(run, switch, defined, eventually):
    client = run("containerlab.py", "logflows")
    defined("flow", "tcp")
    switch.segment("10.0.1.1", rate=1000)
    switch.segment("10.0.1.1", rate=1000, flags=0x11)  # FIN: the connection has ended
    eventually(lambda: client.lines)
    record = json.loads(client.lines[0])
    assert (record["name"], record["flowKeys"]) == ("tcp", KEY)
    assert (record["agent"], record["dataSource"]) == (AGENT, "15")
    assert record["value"] == 2 * 1500 * 1000
    assert client.end(signal.SIGINT) == 0
    defined("flow", "tcp", False)


def test_containerlab_topflows(run, switch, defined, eventually):
    client = run("containerlab.py", "topflows")
    defined("flow", "tcp")
    switch.segment("10.0.1.1", rate=1000)

    def flow():
        switch.segment("10.0.1.1", rate=1000)
        return client.lines and json.loads(client.lines[0])

    flow = eventually(flow)
    assert flow["key"] == KEY
    assert flow["value"] > 0
    assert client.end(signal.SIGINT) == 0
    defined("flow", "tcp", False)


def test_browse_metrics(url, run, switch, eventually):
    switch.port("swp10", 15, speed=1000)
    switch.port("swp11", 16, speed=3000)
    eventually(lambda: "16.ifname" in requests.get(f"{url}/metric/{AGENT}/json").json())
    client = run("browse_metrics.py", AGENT, "max")
    eventually(lambda: "ifspeed 3000 swp11 2" in client.lines)
    assert client.lines[0] == "undefined 0 None 0"
    client = run("browse_metrics.py", AGENT, "sum")
    eventually(lambda: "ifspeed 4000 None 2" in client.lines)


# The recipes with curl itself

JSON_HEADER = '-H "Content-Type:application/json"'


@pytest.fixture
def curl(url):
    """Runs a published command line, on our port: (status, what it printed)."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    def recipe(line):
        assert "http://localhost:8008" in line
        command = line.replace("http://localhost:8008", url.replace("127.0.0.1", "localhost"))
        done = subprocess.run(
            ["bash", "-c", f"{command} -s -4 -w '\\n%{{http_code}}'"], capture_output=True, text=True, check=True
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    return recipe


def test_curl(curl, program, eventually):
    switch = Switch(program.source, agent="127.0.0.1")
    for line in (
        f"""curl {JSON_HEADER} -X PUT --data "{{keys:'ipsource,ipdestination',value:'bytes'}}" http://localhost:8008/flow/incoming/json""",
        f"""curl {JSON_HEADER} -X PUT --data "{{value:'bytes',filter:'ipsource=10.0.0.1'}}" http://localhost:8008/flow/h1/json""",
        f"""curl {JSON_HEADER} -X PUT --data "{{external:['0.0.0.0/0']}}" http://localhost:8008/group/external/json""",
        f"""curl {JSON_HEADER} -X PUT --data "{{metric:'incoming',value:1000}}" http://localhost:8008/threshold/incoming/json""",
    ):
        assert curl(line) == (204, "")
    switch.port("eth4", 4, speed=1000)
    switch.segment("10.0.0.1", "10.0.0.2", port=4, rate=1000)
    eventually(lambda: program.http.get("/events/json").json())

    def found(path):
        status, body = curl(f'curl "http://localhost:8008{path}"')
        assert status == 200
        return json.loads(body)

    assert curl("curl http://localhost:8008/version") == (200, program.http.get("/version").text)
    assert list(found("/agents/json")) == ["127.0.0.1"]
    assert "metricValue" not in found("/metric/ALL/ifinoctets/json")[0]  # one sample of a counter is no rate
    incoming = found("/metric/127.0.0.1/4.incoming/json")[0]
    assert incoming["topKeys"][0]["key"] == "10.0.0.1,10.0.0.2"
    assert 0 < incoming["metricValue"] <= 1500 * 1000 / 2
    assert [cell["metricValue"] for cell in found("/dump/ALL/ifname/json")] == ["eth4"]
    several = found("/dump/ALL/ifinoctets;ifoutoctets;ifindex;ifinutilization;ifoperstatus/json")
    assert {cell["metricName"]: cell["metricValue"] for cell in several} == {"ifindex": 4, "ifoperstatus": "up"}
    assert found("/events/json?eventID=0&timeout=60")[0]["thresholdID"] == "incoming"
    assert found("/activeflows/ALL/mn_flow/json")[0]["key"] == "10.0.0.1,10.0.0.2,6,40000,5001"
    assert found("/topology/json")["version"] == 0


def test_curl_counts_each_flow_where_it_enters(curl, program, eventually):
    switch = Switch(program.source)
    requests.put(f"http://127.0.0.1:{program.port}/topology/json", data=json.dumps(TOPOLOGY))
    line = f"""curl {JSON_HEADER} -X PUT --data "{{keys:'ipsource',value:'frames',t:600}}" http://localhost:8008/flow/x/json"""
    assert curl(line) == (204, "")
    switch.segment("10.0.0.1", port=4, rate=1000)
    switch.segment("10.0.0.1", port=7, rate=1000)  # the same flow, on its way
    everywhere = "/activeflows/ALL/x/json?aggMode=sum"
    eventually(lambda: [flow["flowN"] for flow in program.http.get(everywhere).json()] == [2])
    status, body = curl('curl "http://localhost:8008/activeflows/TOPOLOGY/x/json?aggMode=edge"')
    (flow,) = json.loads(body)
    assert (status, flow["key"]) == (200, "10.0.0.1")
    assert flow["value"] == pytest.approx(1000 / 600, rel=0.2)  # one sample, not two
