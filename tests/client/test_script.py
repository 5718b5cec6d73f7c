"""client.script beside a real analytics: each script here is a program, as a user's is."""

import json
import signal

import httpx
import pytest

from client import Refused, Script, Unavailable, WrongAnswer
from tests.analytics.program import Program
from tests.patience import PATIENCE_S
from tests.switch import AGENT, Switch

FIVE_TUPLE = "10.0.1.1,10.0.2.2,40000,5001"
WATCHING = """
    from client import Script
    script = Script()
    script.set_flow("tried", keys="ipsource", value="bytes")
    script.set_threshold("large", metric="tried", value=1000, byFlow=True, timeout=1)

    @script.on_event("large")
    def large(event):
        print("large", event["flowKey"])

    @script.on_event()
    def any_event(event):
        print("any", event["thresholdID"])

    script.run()
"""


@pytest.fixture
def names(program):
    """The names of flows, or of thresholds, that are defined beside those that are there at the start."""
    return lambda kind: set(program.http.get(f"/{kind}/json").json()) - {"mn_bytes", "mn_flow"}


def test_events_come_to_those_who_asked_for_them(program, run, switch, names, eventually):
    program.http.put("/flow/other/json", content="{value:'frames'}")
    program.http.put("/threshold/other/json", content="{metric:'other',value:0}")
    switch.segment("10.0.9.9")
    eventually(lambda: program.http.get("/events/json").json())  # before the script: not the script's
    script = run(WATCHING)
    eventually(lambda: names("threshold") == {"other", "large"})
    switch.segment("10.0.1.1")
    eventually(lambda: {"large 10.0.1.1", "any large"} <= set(script.lines))
    assert "any other" not in script.lines
    assert "large 10.0.9.9" not in script.lines


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_removes_what_it_defined(run, switch, names, eventually, sign):
    script = run(WATCHING)
    eventually(lambda: names("threshold") == {"large"})
    switch.segment("10.0.1.1")
    eventually(lambda: "large 10.0.1.1" in script.lines)
    assert names("flow") == {"tried"}
    assert script.end(sign) == 0
    assert names("threshold") == names("flow") == set()


def test_sigterm_before_it_runs_removes_what_it_defined(run, names, eventually):
    script = run("""
        import time
        from client import Script
        Script().set_flow("tried", keys="ipsource", value="bytes")
        while True:
            time.sleep(1)
    """)
    eventually(lambda: names("flow") == {"tried"})
    assert script.end(signal.SIGTERM) == 128 + signal.SIGTERM
    assert names("flow") == set()
    assert not any("Traceback" in line for line in script.lines)


def test_so_does_its_last_line_and_an_exception(run, names):
    script = run("""
        from client import Script
        Script().set_flow("tried", value="bytes")
        1 / 0
    """)
    assert script.wait() == 1
    assert names("flow") == set()


def test_after_a_restart_of_analytics_all_is_there_again(program, run, switch, eventually):
    """And its events, whose numbers begin anew."""
    script = run(WATCHING)
    eventually(lambda: "large" in program.http.get("/threshold/json").json())
    switch.segment("10.0.1.6")
    eventually(lambda: "large 10.0.1.6" in script.lines)
    host_port = program.port
    program.end(signal.SIGKILL)
    eventually(lambda: any("waiting for it" in line for line in script.lines))
    again = Program("--port", str(host_port))
    try:
        eventually(lambda: "large" in again.http.get("/threshold/json").json())
        switch = Switch(again.source)
        switch.segment("10.0.1.7")
        eventually(lambda: "large 10.0.1.7" in script.lines)
        assert script.end() == 0
        assert "large" not in again.http.get("/threshold/json").json()
    finally:
        again.end()


def test_what_somebody_removed_is_put_again(program, run, names, eventually):
    run(WATCHING)
    eventually(lambda: names("threshold") == {"large"})
    assert program.http.delete("/flow/tried/json").status_code == 204
    eventually(lambda: names("flow") == {"tried"})


def test_it_may_start_before_analytics(program, run, eventually):
    port = program.port
    program.end()
    script = run(WATCHING)
    eventually(lambda: any("waiting for it" in line for line in script.lines))
    again = Program("--port", str(port))
    try:
        eventually(lambda: "large" in again.http.get("/threshold/json").json())
        Switch(again.source).segment("10.0.1.8")
        eventually(lambda: "large 10.0.1.8" in script.lines)
        script.end()
    finally:
        again.end()


def test_a_handler_that_fails_is_logged_and_the_script_goes_on(run, eventually):
    script = run("""
        from client import Script
        script = Script()
        times = []

        @script.every(0.05)
        def fail(now):
            times.append(now)
            print("called", len(times), flush=True)
            if len(times) == 1:
                raise KeyError("a bug")
            if len(times) == 2:
                script.flow_value("10.0.0.1", "1", "no,such,flow", "")

        script.run()
    """)
    eventually(lambda: "called 4" in script.lines)
    assert sum("Traceback" in line for line in script.lines) == 1
    assert any("KeyError: 'a bug'" in line for line in script.lines)


def test_http_requests_are_handled_one_at_a_time_with_everything_else(run, eventually):
    script = run("""
        import threading
        from client import BadRequest, NotFound, Script
        script = Script()
        main = threading.current_thread()

        @script.on_request
        def answer(request):
            assert threading.current_thread() is main
            if request.path == ("missing",):
                raise NotFound("no such thing")
            if request.path == ("wrong",):
                raise BadRequest("not like this")
            if request.path == ("bug",):
                raise ZeroDivisionError
            if request.format == "txt":
                return "as text"
            return [request.method, request.path, request.query, request.body]

        script.run()
    """)
    line = eventually(lambda: next((line for line in script.lines if "answers at" in line), None))
    with httpx.Client(base_url=line.rpartition(" ")[2], timeout=PATIENCE_S) as http:
        answer = http.put("/a/b%20c/json?x=1&x=2&y=", json={"k": [1]})
        assert answer.json() == ["PUT", ["a", "b c"], {"x": ["1", "2"], "y": [""]}, {"k": [1]}]
        assert http.get("/json").json() == ["GET", [], {}, None]
        text = http.get("/a/txt")
        assert (text.text, text.headers["content-type"]) == ("as text", "text/plain; charset=utf-8")
        for path, status, words in (
            ("/missing/json", 404, "no such thing"), ("/wrong/json", 400, "not like this"),
            ("/bug/json", 500, "internal error"), ("/a/b", 400, "path '/a/b' does not end in /json or /txt"),
        ):  # fmt: skip
            answer = http.get(path)
            assert (answer.status_code, answer.text) == (status, words)
        assert http.get("/json", headers={"Host": "evil.example"}).status_code == 421
        assert http.get("/json", headers={"Origin": "http://evil.example"}).status_code == 403
        assert http.put("/json", content=b"x" * (1 << 20 | 1), headers={"Content-Type": "text/json"}).status_code == 400
    assert script.end() == 0
    assert sum("Traceback" in line for line in script.lines) == 1  # the bug's


def test_the_store_is_the_scripts_own_and_stays(run, tmp_path):
    for times in (1, 2):
        script = run("""
            from client import Script
            script = Script()
            script.store["runs"] = script.store.get("runs", 0) + 1
        """)
        assert script.wait() == 0
        assert json.loads((tmp_path / "store" / "tried.json").read_text()) == {"runs": times}


# What a script asks, with analytics behind it


@pytest.fixture
def script(program, monkeypatch, tmp_path):
    monkeypatch.setenv("HOWDAH_STORE", str(tmp_path))
    made = Script(f"http://127.0.0.1:{program.port}", name="asking")
    yield made
    made.close()


def test_questions(program, script, switch, eventually):
    assert script.version() == program.http.get("/version").text.strip()
    script.set_flow(
        "tcp", keys=["ipsource", "ipdestination", "tcpsourceport", "tcpdestinationport"], value="bytes", t=600
    )
    switch.port("swp10", 15)
    switch.port("swp11", 16, speed=1000)
    switch.segment(port=15)
    eventually(lambda: script.active_flows("ALL", "tcp"))
    (flow,) = script.active_flows(["ALL"], "tcp", max_flows=1)
    assert (flow["key"], flow["agent"], flow["dataSource"]) == (FIVE_TUPLE, AGENT, "15")
    one_sample = pytest.approx(1500 * 1000 / 600, rel=0.2)
    assert script.flow_value(AGENT, "15", "tcp", FIVE_TUPLE) == one_sample
    assert script.flow_value(AGENT, "16", "tcp", FIVE_TUPLE) is None
    assert [(place["agent"], place["dataSource"]) for place in script.flow_locations("ALL", "tcp", FIVE_TUPLE)] == [
        (AGENT, "15")
    ]
    assert script.agents()[AGENT]["sFlowDatagramsReceived"] == 3
    assert script.agents("10.9.9.9") == {}
    assert script.analyzer()["sFlowAgents"] == 1
    assert script.metric("ALL", ["max:ifspeed", "sum:ifspeed"])[1]["metricValue"] == 10_000_001_000
    assert script.metric("ALL", "sum:ifspeed", ifname=["swp11", "swp12"])[0]["metricValue"] == 1000
    assert script.table("ALL", "ifname,ifspeed", ifname="swp11")[0][1]["metricValue"] == 1000
    assert {cell["metricValue"] for cell in script.dump("ALL", "ifname")} == {"swp10", "swp11"}
    assert script.metrics(AGENT)["15.ifname"] == "swp10"
    assert {"ifname", "tcp"} <= set(script.metrics())
    assert "ipsource" in script.flow_keys()


def test_a_threshold_is_triggered_while_its_value_is_beyond_it_and_for_the_timeout(script, switch, eventually):
    script.set_flow("tcp", keys="ipsource", value="bytes", t=0.5)
    script.set_threshold("large", metric="tcp", value=100_000, byFlow=True, timeout=0.5)
    assert not script.threshold_triggered("large", AGENT, "15", "10.0.1.1")

    def triggered(*place):
        switch.segment(rate=100_000)  # 300 MB/s as it arrives, below 100 kB/s 4 s after the last
        return script.threshold_triggered(*place)

    eventually(lambda: triggered("large", AGENT, "15", "10.0.1.1"))
    assert not script.threshold_triggered("large", AGENT, "16", "10.0.1.1")
    eventually(lambda: not script.threshold_triggered("large", AGENT, "15", "10.0.1.1"))
    script.set_threshold("any", metric="tcp", value=100_000, timeout=0)
    eventually(lambda: triggered("any", AGENT, "15"))


def test_hosts_are_located_at_the_edge(script, switch, eventually):
    document = {
        "nodes": {
            "leaf1": {"agent": AGENT, "ports": {"up": {"ifindex": "15"}, "h1": {"ifindex": "20"}}},
            "spine1": {"agent": "10.0.0.9", "ports": {"down": {"ifindex": "1"}}},
        },
        "links": {"L1": {"node1": "leaf1", "port1": "up", "node2": "spine1", "port2": "down"}},
    }
    script.set_topology(document)
    assert script.topology().shortest_path("leaf1", "spine1").links == ("L1",)
    assert script.locate() == []
    switch.segment("10.0.1.1", port=20)
    switch.segment("10.0.1.2", port=15)  # came over the link: its host is elsewhere
    hosts = eventually(script.locate)
    assert hosts == [
        {"node": "leaf1", "port": "h1", "agent": AGENT, "ifindex": "20", "mac": "000000000001", "vlan": None,
         "ipaddress": "10.0.1.1", "ip6address": None}
    ]  # fmt: skip
    assert script.locate("10.0.1.1") == script.locate("000000000001") == hosts
    assert script.locate("10.0.1.2") == []


def test_link_metrics_are_those_of_both_ends(script, switch, eventually):
    ports = {"a": {"ifindex": "15"}, "b": {"ifindex": "16"}}
    link = {"node1": "s1", "port1": "a", "node2": "s1", "port2": "b"}
    script.set_topology({"nodes": {"s1": {"agent": AGENT, "ports": ports}}, "links": {"L": link}})
    switch.port("a", 15, speed=1000)
    switch.port("b", 16, speed=2000)
    eventually(lambda: script.metric(AGENT, "16.ifspeed")[0].get("metricValue"))
    found = [each["metricValue"] for each in script.link_metric("L", ["ifspeed", "ifname"])]
    assert found == [1000, "a", 2000, "b"]


def test_refusals_and_silence_are_told_apart(script, program):
    with pytest.raises(Refused, match="nonsense") as refusal:
        script.set_flow("wrong", keys="nonsense", value="bytes")
    assert refusal.value.status == 400
    script.clear_flow("never_was")
    with pytest.raises(WrongAnswer, match=r"GET .*/version: the answer is not JSON"):
        script.get("/version")
    program.end()
    with pytest.raises(Unavailable, match=r"GET .*/version: no connection"):
        script.version()


def test_no_pace(script):
    with pytest.raises(ValueError, match="every 0 seconds"):
        script.every(0)
