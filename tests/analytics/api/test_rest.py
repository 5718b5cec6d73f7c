"""analytics.api.rest on the real engine (application.py): the published clients, and what all of it promises.

Metrics, the topology, what is passed on and the pages have test files of their own. test_server.py starts the real
program.
"""

import asyncio
import itertools
import json
import time
import warnings

import httpx
import pytest

from analytics.api import rest, serving, topologies
from analytics.api.parameters import MAX_SPEC
from analytics.events import watches
from analytics.memory import LEAST, Budget
from documents.httpguard import Access
from tests.analytics.api.application import (
    AGENT,
    FIVE_TUPLE,
    NOW,
    ONE_SAMPLE,
    TOPOLOGY,
    Client,
    counter_sample,
    flow_sample,
)
from tests.analytics.examples import wire


@pytest.fixture
def client():
    return Client()


# The published clients (sflow-rt-api.md section 11)


def test_topflows_py(client):
    assert client.refusal("GET", "/flow/flows/json") == (404, "no flow 'flows'")
    client.put("/flow/flows/json", {"keys": FIVE_TUPLE.split(","), "value": "bytes"})
    spec = client.get("/flow/flows/json")
    assert (spec["keys"], spec["value"], spec["fs"]) == (FIVE_TUPLE, "bytes", ",")
    assert client.get("/activeflows/ALL/flows/json?maxFlows=22") == []
    client.feed(flow_sample(4), flow_sample(4), flow_sample(4, source="10.0.0.2"))
    flows = client.get("/activeflows/ALL/flows/json?maxFlows=22")
    assert [(flow["key"], flow["value"]) for flow in flows] == [
        ("10.0.0.1,10.0.0.3,40000,5001", pytest.approx(2 * ONE_SAMPLE)),
        ("10.0.0.2,10.0.0.3,40000,5001", pytest.approx(ONE_SAMPLE)),
    ]
    assert len(client.get("/activeflows/ALL/flows/json?maxFlows=1")) == 1


@pytest.mark.parametrize("headers", [{"Content-Type": "application/json"}, {}])
def test_sflow_py_puts_the_topology(client, headers):
    client.put("/topology/json", TOPOLOGY, headers=headers)
    assert client.get("/topology/json") == {"version": 1, **TOPOLOGY}


def test_elephant_py_sees_flows_on_links_only(client):
    client.put("/topology/json", TOPOLOGY)
    client.put("/flow/pair/json", {"keys": "link:inputifindex,ipsource,ipdestination", "value": "bytes"})
    threshold = {"metric": "pair", "value": 125000, "byFlow": True, "timeout": 1}
    client.put("/threshold/elephant/json", threshold)
    client.feed(flow_sample(4), flow_sample(4))
    assert client.get("/events/json?thresholdID=elephant&maxEvents=10&timeout=0&eventID=-1") == []
    client.feed(flow_sample(6), flow_sample(6))
    (event,) = client.get("/events/json?thresholdID=elephant&maxEvents=10&timeout=5&eventID=-1")
    assert {name: event[name] for name in ("thresholdID", "metric", "threshold", "agent", "dataSource", "flowKey")} == {
        "thresholdID": "elephant",
        "metric": "pair",
        "threshold": 125000,
        "agent": AGENT,
        "dataSource": "6",
        "flowKey": "s1-s2,10.0.0.1,10.0.0.3",
    }
    assert event["value"] == pytest.approx(2 * ONE_SAMPLE)
    assert event["timestamp"] == int(NOW * 1000)
    assert isinstance(event["eventID"], int)


def test_largeflows_py_without_timeout_and_its_farewell(client):
    client.put("/flow/tcp/json", {"keys": FIVE_TUPLE, "value": "bytes"})
    client.put("/threshold/large-tcp/json", {"metric": "tcp", "value": 125000.0, "byFlow": True})
    for port in range(2):
        client.feed(*[flow_sample(4, sport=port)] * 2)
    events = client.get("/events/json?thresholdID=large-tcp&maxEvents=10&timeout=5&eventID=-1")
    assert [event["flowKey"] for event in events] == ["10.0.0.1,10.0.0.3,1,5001", "10.0.0.1,10.0.0.3,0,5001"]
    for path in ("/threshold/large-tcp/json", "/flow/tcp/json"):
        assert client.request("DELETE", path).status_code == 204
        assert client.refusal("GET", path)[0] == 404
        assert client.refusal("DELETE", path)[0] == 404


def test_tail_log_py_follows_the_log(client):
    client.put("/flow/tcp/json", {"keys": "tcpsourceport", "value": "frames"})
    client.put("/threshold/any/json", {"metric": "tcp", "value": 1, "byFlow": True})
    seen, cursor = [], -1
    for burst in ([1, 2, 3], [4]):
        client.feed(*(flow_sample(4, sport=port) for port in burst))
        events = client.get(f"/events/json?maxEvents=10&timeout=5&eventID={cursor}")
        cursor = events[0]["eventID"]
        seen += [event["flowKey"] for event in reversed(events)]
    assert seen == ["1", "2", "3", "4"]
    assert [event["flowKey"] for event in client.get("/events/json?maxEvents=2&eventID=-1")] == ["4", "3"]


def test_curl_recipes(client):
    client.put("/flow/incoming/json", "{keys:'ipsource,ipdestination',value:'bytes'}")
    client.put("/flow/h1/json", "{value:'bytes',filter:'ipsource=10.0.0.1'}")
    client.put("/threshold/incoming/json", "{metric:'incoming',value:1000}")
    client.put("/topology/json", TOPOLOGY)
    client.feed(counter_sample(4), counter_sample(5), flow_sample(4), flow_sample(6))
    assert client.text("/version") == "0.1.0 (core test)"
    assert list(client.get("/agents/json")) == [AGENT]
    (pinned,) = client.get(f"/metric/{AGENT}/4.incoming/json")
    assert pinned["metricValue"] == pytest.approx(ONE_SAMPLE)
    assert [(flow["key"], flow["value"]) for flow in client.get("/activeflows/ALL/h1/json")] == [
        ("", pytest.approx(ONE_SAMPLE))
    ]
    names = client.get("/dump/ALL/ifname/json")
    assert {cell["dataSource"]: cell["metricValue"] for cell in names} == {"4": "s1-eth4", "5": "s1-eth5"}
    cells = client.get("/dump/ALL/ifspeed;ifindex,ifoperstatus/json")
    assert {(cell["dataSource"], cell["metricName"]) for cell in cells} == {
        (port, name) for port in "45" for name in ("ifspeed", "ifindex", "ifoperstatus")
    }
    edge = client.get("/activeflows/TOPOLOGY/incoming/json?aggMode=edge")
    assert [(flow["key"], flow["dataSource"]) for flow in edge] == [("10.0.0.1,10.0.0.3", "4")]
    (event, _) = client.get("/events/json?eventID=-1&timeout=5")
    assert (event["thresholdID"], event["threshold"]) == ("incoming", 1000)
    assert client.get("/topology/json")["version"] == 1


def test_browse_metrics(client):
    client.feed(counter_sample(4), counter_sample(5))
    assert "ifinoctets" in client.get("/metrics/json") or "ifspeed" in client.get("/metrics/json")
    assert client.get(f"/metric/{AGENT}/json")["4.ifname"] == "s1-eth4"
    (unknown,) = client.get("/metric/ALL/undefined/json")
    assert unknown["metricName"] == "undefined"
    assert "metricValue" not in unknown
    (speed,) = client.get(f"/metric/{AGENT}/max:ifspeed/json")
    assert (speed["metricName"], speed["metricValue"], speed["metricN"]) == ("max:ifspeed", 10_000_000, 2)
    (pinned,) = client.get(f"/metric/{AGENT}/sum:4.ifspeed/json")
    assert (pinned["metricValue"], pinned["dataSource"]) == (10_000_000, "4")
    filtered = client.get("/metric/ALL/sum:ifspeed,ifindex/json?ifname=*eth5")
    assert [(cell["metricValue"], cell["metricN"]) for cell in filtered] == [(10_000_000, 1), (5, 1)]


def test_prometheus_scrapes(client):
    client.feed(counter_sample(4, in_octets=0))
    client.now += 10
    client.feed(counter_sample(4, in_octets=50_000, sequence=2), counter_sample(5))
    lines = client.text("/prometheus/metrics/ALL/ifinoctets,ifspeed,ifname/txt").splitlines()
    assert lines == [
        "# HELP sflow_ifinoctets ifinoctets per second",
        "# TYPE sflow_ifinoctets gauge",
        f'sflow_ifinoctets{{agent="{AGENT}",datasource="4",ifname="s1-eth4"}} 5000.0',
        "# HELP sflow_ifspeed ifspeed",
        "# TYPE sflow_ifspeed gauge",
        f'sflow_ifspeed{{agent="{AGENT}",datasource="4",ifname="s1-eth4"}} 10000000',
        f'sflow_ifspeed{{agent="{AGENT}",datasource="5",ifname="s1-eth5"}} 10000000',
    ]
    everything = client.text("/prometheus/metrics/ALL/ALL/txt").splitlines()
    assert set(lines) <= set(everything)
    analyzer = client.text("/prometheus/analyzer/txt").splitlines()
    assert {"sflow_analyzer_agents 1", "sflow_analyzer_agent_count 1", "sflow_analyzer_received_datagrams 2"} <= set(
        analyzer
    )


# What else the interface promises


def test_a_cursor_from_before_a_restart_gets_what_there_is(client):
    client.put("/flow/f/json", {"value": "frames"})
    client.put("/threshold/t/json", {"metric": "f", "value": 1})
    assert client.get("/events/json?eventID=500&timeout=0") == []
    client.feed(flow_sample(4))
    assert len(client.get("/events/json?eventID=500&timeout=5")) == 1


def test_an_idle_poll_gets_an_empty_list_after_the_full_time(client):
    started = time.monotonic()
    assert client.get("/events/json?eventID=-1&timeout=0.3") == []
    assert time.monotonic() - started >= 0.3


def test_the_topology_version_counts_changes(client):
    assert client.get("/topology/json")["version"] == 0
    client.put("/topology/json", TOPOLOGY)
    client.put("/topology/json", client.get("/topology/json"))
    assert client.get("/topology/json")["version"] == 1
    client.put("/topology/json", {"nodes": {}, "links": {}, "hosts": {"h1": {"node": "s1"}}})
    assert client.get("/topology/json") == {"version": 2, "nodes": {}, "links": {}, "hosts": {"h1": {"node": "s1"}}}


def test_a_refused_topology_leaves_the_old_one(client):
    client.put("/topology/json", TOPOLOGY)
    refusal = client.refusal("PUT", "/topology/json", content='{"links":{"l1":{"node1":"s1"}}}')
    assert refusal == (400, "link 'l1': port1 is missing")
    assert client.get("/topology/json") == {"version": 1, **TOPOLOGY}


def test_the_speed_of_the_topology_wins_over_the_agents(client):
    document = json.loads(json.dumps(TOPOLOGY))
    document["nodes"]["s1"]["ports"]["s1-eth1"]["speed"] = 5_000_000
    client.put("/topology/json", document)
    client.feed(counter_sample(4, speed=10_000_000_000))
    assert client.get(f"/metric/{AGENT}/json")["4.ifspeed"] == 5_000_000


def test_flow_value_and_locations(client):
    client.put("/flow/pair/json", {"keys": "ipsource,ipdestination", "value": "bytes"})
    client.feed(flow_sample(4), flow_sample(6))
    key = "key=10.0.0.1,10.0.0.3"
    assert client.get(f"/flowvalue/{AGENT}/4.pair/json?{key}") == pytest.approx(ONE_SAMPLE)
    places = client.get(f"/flowlocations/ALL/pair/json?{key}")
    assert sorted((place["agent"], place["dataSource"]) for place in places) == [(AGENT, "4"), (AGENT, "6")]
    for path, refusal in {
        f"/flowvalue/{AGENT}/9.pair/json?{key}": (
            404,
            "data source '9' has no flow 'pair' with key '10.0.0.1,10.0.0.3'",
        ),
        f"/flowvalue/{AGENT}/4.none/json?{key}": (404, "no flow 'none'"),
        f"/flowvalue/{AGENT}/pair/json?{key}": (400, "'pair' is not <dataSource>.<flow>"),
        "/flowlocations/ALL/pair/json": (400, "query parameter 'key' is missing"),
        f"/flowlocations/ALL/none/json?{key}": (404, "no flow 'none'"),
    }.items():
        assert client.refusal("GET", path) == refusal


def test_active_flows_can_be_limited_and_filtered(client):
    client.put("/flow/f/json", {"keys": "tcpsourceport", "value": "bytes"})
    client.feed(*(flow_sample(4, sport=port) for port in (10, 10, 10, 11, 11, 20)))

    def keys(query):
        return [flow["key"] for flow in client.get(f"/activeflows/ALL/f/json?{query}")]

    assert keys("") == ["10", "11", "20"]
    assert keys(f"minValue={2 * ONE_SAMPLE - 1}") == ["10", "11"]
    assert keys("filter=1.") == ["10", "11"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert keys("filter=[[1]0") == ["10"]  # Python warns of it: "Possible nested set"
    assert keys("n=1&timeout=10") == ["10", "11", "20"]
    assert client.get(f"/activeflows/{AGENT};10.9.9.9/f/json?maxFlows=1")[0]["value"] == pytest.approx(3 * ONE_SAMPLE)
    assert client.get("/activeflows/10.9.9.9/f/json") == []


def test_values_and_the_definitions_own_mode(client):
    spec = {
        "keys": "ipsource",
        "value": "bytes",
        "values": ["avg:ipbytes", "max:queuedepth"],
        "aggMode": "sum",
        "n": "7",
    }
    client.put("/flow/f/json", spec)
    known = client.get("/flow/f/json")
    assert (known["values"], known["aggMode"], known["n"]) == ("avg:ipbytes,max:queuedepth", "sum", 7)
    client.put("/threshold/t.1/json", {"metric": "f", "value": "1", "byFlow": "true"})
    client.feed(flow_sample(4), flow_sample(5))
    [flow] = client.get("/activeflows/ALL/f/json")
    assert (flow["value"], flow["flowN"]) == (pytest.approx(2 * ONE_SAMPLE), 2)
    assert (type(flow["values"][0]), flow["values"][1]) == (float, None)
    [largest] = client.get("/activeflows/ALL/f/json?aggMode=max")
    assert largest["value"] == pytest.approx(ONE_SAMPLE)
    assert client.get("/events/json?timeout=0")[0]["values"] == flow["values"]


def test_what_of_a_definition_is_not_served_is_said(client):
    spec = {"value": "bytes", "ipfixCollectors": ["10.0.0.9"]}
    answer = client.request("PUT", "/flow/f/json", content=json.dumps(spec))
    assert answer.status_code == 200
    assert [note.partition(":")[0] for note in answer.json()["notes"]] == ["ipfixCollectors"]
    assert client.get("/flow/f/json")["ipfixCollectors"] == ["10.0.0.9"]


def test_an_error_has_its_position(client):
    status, text = client.refusal(
        "PUT", "/flow/f/json", json={"value": "bytes", "keys": "ipsource,null:[maskk:ipsource:8]"}
    )
    assert status == 400
    assert "unknown key function 'maskk', did you mean 'mask'? at position 16 of " in text


def test_lists_of_definitions(client):
    client.put("/flow/f/json", {"value": "bytes"})
    client.put("/threshold/t-1/json", {"metric": "f", "value": 1.5})
    assert client.get("/flow/json")["f"]["value"] == "bytes"
    assert client.get("/threshold/json")["t-1"] == client.get("/threshold/t-1/json")
    assert client.get("/threshold/t-1/json")["value"] == 1.5


def test_agents_by_address(client):
    client.feed(flow_sample(4))
    assert client.get("/agents/json")[AGENT]["sFlowFlowSamples"] == 1
    assert list(client.get(f"/agents/json?agent=10.9.9.9&agent={AGENT}")) == [AGENT]
    assert client.get("/agents/json?agent=10.9.9.9") == {}
    assert client.refusal("GET", "/metric/10.9.9.9/json") == (404, "no agent '10.9.9.9'")


def test_analyzer_counts_datagrams_and_http(client):
    client.feed(flow_sample(4))
    statistics = client.get("/analyzer/json")
    assert (statistics["sFlowDatagramsReceived"], statistics["sFlowAgents"]) == (1, 1)
    assert (statistics["httpMessagesReceived"], statistics["httpMessagesSent"]) == (1, 0)
    assert client.get("/analyzer/json")["httpBytesSent"] > 0
    assert statistics["version"] == "0.1.0 (core test)"


def test_the_landing_page_and_the_description(client):
    redirect = client.request("GET", "/")
    assert (redirect.status_code, redirect.headers["location"]) == (302, "html/index.html")
    assert "<title>Howdah analytics</title>" in client.text("/html/index.html")
    assert client.text("/openapi.yaml").startswith("# Kept by hand")


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        ("GET", "/flow/nosuch/json", "", (404, "no flow 'nosuch'")),
        ("GET", "/threshold/nosuch/json", "", (404, "no threshold 'nosuch'")),
        ("GET", "/activeflows/ALL/nosuch/json", "", (404, "no flow 'nosuch'")),
        ("GET", "/activeflows/;/f/json", "", (400, "';' names no agent")),
        (
            "GET",
            "/activeflows/ALL/f/json?maxFlows=ten",
            "",
            (400, "maxFlows 'ten' is not an integer of at least 0 and at most 50000"),
        ),
        ("GET", "/activeflows/ALL/f/json?minValue=nan", "", (400, "minValue 'nan' is not a number")),
        (
            "GET",
            "/activeflows/ALL/f/json?aggMode=most",
            "",
            (400, "aggMode 'most' is none of max, sum, avg, edge, core"),
        ),
        (
            "GET",
            "/activeflows/ALL/f/json?filter=[",
            "",
            (400, "filter '[' is not a pattern: missing ]: ["),
        ),
        (
            "GET",
            "/events/json?eventID=abc",
            "",
            (400, f"eventID 'abc' is not an integer of at least -1 and at most {2**53}"),
        ),
        ("GET", "/events/json?timeout=-1", "", (400, "timeout '-1' is not a number of at least 0 and at most 3600")),
        (
            "PUT",
            "/flow/a.b/json",
            "{}",
            (400, "flow name 'a.b': character '.' is not allowed"),
        ),
        ("PUT", "/flow/f/json", "", (400, "body is empty; a JSON object is expected")),
        ("PUT", "/flow/f/json", "[1]", (400, "flow 'f': the body must be a JSON object")),
        ("PUT", "/threshold/t/json", "7", (400, "threshold 't': the body must be a JSON object")),
        ("PUT", "/flow/f/json", "{keys:=}", (400, "body is not JSON: unexpected '=}' at offset 6")),
        ("PUT", "/topology/json", '{"nodes":[]}', (400, "nodes must be an object, not an array")),
    ],
)
def test_refusals_quote_the_offending_word(client, method, path, body, refusal):
    client.put("/flow/f/json", {"value": "bytes"})
    assert client.refusal(method, path, content=body) == refusal


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/flow/f/json", "{keys:'ipsauce',value:'bytes'}", "ipsauce"),
        ("/flow/f/json", "{keys:'ipsource',value:'bites'}", "bites"),
        ("/flow/f/json", "{keys:'ipsource'}", "value"),
        ("/flow/f/json", "{value:'bytes',filter:'ipsource<10.0.0.1'}", "<"),
        ("/flow/f/json", "{value:'bytes',n:'many'}", "many"),
        ("/threshold/t/json", "{value:1}", "metric"),
        ("/threshold/t/json", "{metric:'f',value:'lots'}", "lots"),
        ("/threshold/t/json", "{metric:'f',value:1,timeout:'soon'}", "soon"),
    ],
)
def test_the_engines_refusals_become_400(client, path, body, word):
    status, complaint = client.refusal("PUT", path, content=body)
    assert status == 400
    assert word in complaint
    assert client.refusal("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("path", "most", "what"),
    [
        ("/topology/json", topologies.MAX_TOPOLOGY, "topology"),
        ("/flow/f/json", MAX_SPEC, "flow 'f'"),
        ("/threshold/t/json", MAX_SPEC, "threshold 't'"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused(client, path, most, what, chunked):
    async def chunks():
        yield b" " * most
        yield b" "

    body = chunks() if chunked else b" " * (most + 1)
    assert client.refusal("PUT", path, content=body) == (413, f"{what}: the body has more than {most} bytes")


LONG = "1" * 400


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", f"/activeflows/ALL/f/json?maxFlows={LONG}", "", f"maxFlows '{LONG[:60]}...' is not an integer"),
        ("GET", f"/activeflows/ALL/f/json?minValue={LONG}", "", f"minValue '{LONG[:60]}...' is not a number"),
        ("GET", f"/activeflows/ALL/f/json?aggMode={LONG}", "", f"aggMode '{LONG[:60]}...' is none of"),
        ("GET", "/activeflows/ALL/f/json?maxFlows=2147483648", "", "maxFlows '2147483648' is not an integer"),
        ("GET", f"/events/json?eventID={LONG}", "", f"eventID '{LONG[:60]}...' is not an integer"),
        ("GET", f"/events/json?maxEvents={LONG * 20}", "", f"maxEvents '{LONG[:60]}...' is not an integer"),
        ("GET", f"/events/json?timeout={LONG}", "", f"timeout '{LONG[:60]}...' is not a number"),
        ("GET", "/events/json?timeout=3601", "", "timeout '3601' is not a number"),
        ("GET", f"/dump/{','.join(['a'] * 257)}/ALL/json", "", "257 names of agent in one list, at most 256"),
        ("GET", f"/metric/ALL/{','.join(['a'] * 257)}/json", "", "257 names of metric in one list, at most 256"),
        ("GET", f"/flow/{'a' * 9000}/json", "", "no flow 'aaaa"),
        ("PUT", "/flow/f/json", f"{{value:'bytes',t:{LONG}}}", f"'t': the number {LONG[:30]}... does not fit"),
        ("PUT", "/flow/f/json", f"{{value:'bytes',n:-{LONG}}}", f"'n': the number -{LONG[:29]}... does not fit"),
        ("PUT", "/flow/f/json", f"{{value:'bytes',activeTimeout:{LONG}}}", "'activeTimeout': the number 1111"),
        ("PUT", "/flow/f/json", f"{{value:'bytes',keys:{LONG * 20}}}", "body is not JSON"),
        ("PUT", "/flow/f/json", "{value:'bytes',t:1e400}", "body is not JSON"),
        ("PUT", "/flow/f/json", LONG, "body: the number 1111"),
        ("PUT", "/flow/f/json", "[" * 5000, "body is nested too deeply"),
        ("PUT", "/flow/f/json", f"{{value:'bytes',filter:'{'(' * 9000}'}}", ""),
        ("PUT", "/flow/f/json", f"{{value:'bytes',keys:'{'or:[' * 9000}'}}", ""),
        ("PUT", "/flow/f/json", f"{{value:'{'a' * 9000}'}}", "unknown value 'aaa"),
        ("PUT", f"/flow/{'a' * 129}/json", "{value:'bytes'}", f"flow name '{'a' * 40}'... has more than 128"),
        ("PUT", f"/threshold/{'a' * 129}/json", "{metric:'f',value:1}", f"threshold name '{'a' * 40}'... has more"),
        ("PUT", "/threshold/t/json", f"{{metric:'f',value:{LONG}}}", "'value': the number 1111"),
        ("PUT", "/threshold/t/json", f"{{metric:'f',value:1,timeout:{LONG}}}", "'timeout': the number 1111"),
        ("PUT", "/threshold/t/json", f"{{metric:'f',value:1,filter:{{ifspeed:[{LONG}]}}}}", "'ifspeed': the number"),
        ("PUT", "/topology/json", f'{{"nodes":{{"s":{{"ports":{{"p":{{"speed":{LONG}}}}}}}}}}}', "'speed': the number"),
        ("PUT", "/topology/json", f'{{"anything":[[{LONG}]]}}', "'anything': the number 1111"),
        ("PUT", "/topology/json", "{a:" + " " * 20_000 + "1}", "relaxed JSON has at most 16384 bytes"),
    ],
)  # fmt: skip
def test_the_absurd_is_refused_in_a_short_line(client, method, path, body, said):
    client.put("/flow/f/json", {"value": "bytes"})
    status, line = client.refusal(method, path, content=body)
    assert status == (404 if said.startswith("no flow") else 400)
    assert said in line
    assert len(line) <= serving.MAX_REFUSAL + len("...")
    for known in ("/flow/json", "/threshold/json", "/topology/json"):
        client.get(known)


def test_thresholds_are_bounded_in_number(client, monkeypatch):
    monkeypatch.setattr(watches, "MAX_THRESHOLDS", 2)
    for name in "ab":
        client.put(f"/threshold/{name}/json", {"metric": "ifinoctets", "value": 1})
    refusal = (400, "threshold 'c': more than 2 thresholds")
    assert client.refusal("PUT", "/threshold/c/json", content="{metric:'f',value:1}") == refusal
    client.put("/threshold/b/json", {"metric": "ifinoctets", "value": 2})  # one that exists may change


def test_flows_are_bounded_in_number(client):
    put = [client.request("PUT", f"/flow/f{n}/json", content="{value:'bytes'}") for n in range(200)]
    accepted = [answer for answer in put if answer.status_code == 204]
    assert 0 < len(accepted) < 200
    assert {answer.status_code for answer in put[len(accepted) :]} == {400}
    assert len(client.get("/flow/json")) == len(accepted)


def test_a_topology_full_of_mistakes_writes_few_lines(client, caplog):
    link = {"node1": "x", "port1": "p", "node2": "y", "port2": "p"}
    ports = {f"p{n}": {"ifindex": "4"} for n in range(2000)}
    client.put("/topology/json", {"nodes": {"x": {"agent": AGENT, "ports": ports}}})
    assert len(caplog.records) == topologies.MAX_NOTES + 1
    assert "1989 more like these" in caplog.text
    answer = client.request("PUT", "/topology/json", json={"links": {f"l{n}": link for n in range(1000)}})
    assert answer.status_code == 200
    assert answer.text.endswith(", and 1999 more; GET shows all")


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/flow/%ff/json", {}),
        ("GET", "/activeflows/ALL/f/json?filter=%ff", {}),
        ("GET", "/flow/json", {"headers": {"x-name": b"\xff"}}),
        ("PUT", "/flow/f/json", {"content": b"{value:'\xff'}"}),
    ],
)
def test_what_is_not_utf8_is_refused_without_a_traceback(client, caplog, method, path, options):
    status, line = client.refusal(method, path, **options)
    assert (status, "not UTF-8" in line) == (400, True)
    assert caplog.text == ""


def test_pages_of_other_sites_can_neither_read_nor_write(client):
    """The reproductions of issue 8, finding 12: a cross-site write, a rebound name."""
    body, page = "{value:'bytes'}", {"Origin": "http://evil.example"}
    for method in ("PUT", "POST", "DELETE"):
        assert client.refusal(method, "/flow/f/json", content=body, headers=page)[0] == 403
    assert client.refusal("PUT", "/flow/f/json", content=body, headers={"Content-Type": "text/plain"})[0] == 415
    assert client.refusal("GET", "/flow/json", headers={"Host": "evil.example:8008"})[0] == 421
    assert client.get("/flow/json") == {}
    for method in ("POST", "PATCH", "OPTIONS"):
        answer = client.request(method, "/flow/f/json")
        assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD", "PUT", "DELETE"})


def test_every_answer_carries_the_headers_that_bind_a_browser(client):
    for path in ("/html/index.html", "/version", "/flow/none/json", "/nowhere"):
        answer = client.request("GET", path)
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    page = client.text("/html/index.html")
    assert "<script>" not in page, "the policy would not run it"
    assert "<style>" not in page
    assert "default-src" not in client.text("/html/index.js") + client.text("/html/index.css")


def test_a_bug_in_a_handler_is_counted_and_logged_once(client, caplog, monkeypatch):
    def flows():
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(client.engine, "flows", flows)
    for _ in range(3):
        assert client.refusal("GET", "/flow/json") == (500, "internal error")
    assert client.get("/analyzer/json")["faults"] == {"http": 3}
    assert 'sflow_analyzer_faults{kind="http"} 3\n' in client.text("/prometheus/analyzer/txt")
    assert caplog.text.count("Traceback") == caplog.text.count("http: a bug") == 1


def test_a_bug_while_a_poll_waits_is_an_answer(client, monkeypatch):
    def events(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(client.engine, "events", events)
    assert client.refusal("GET", "/events/json?timeout=5") == (500, "internal error")


def test_a_token_guards_writing_only():
    client = Client(Access(token="s3cret"))
    body = json.dumps({"value": "bytes"})
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
        answer = client.request("PUT", "/flow/f/json", content=body, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert client.request("DELETE", "/flow/f/json", headers=headers).status_code == 401
    assert client.get("/flow/json") == {}
    client.put("/flow/f/json", body, headers={"Authorization": "Bearer s3cret"})
    assert "f" in client.get("/flow/json")


def test_a_token_guards_reading_too_if_wanted():
    client = Client(Access(token="s3cret", token_for_reading=True))
    for path in ("/version", "/html/index.html", "/prometheus/metrics/ALL/ALL/txt", "/events/json"):
        assert client.request("GET", path).status_code == 401
        assert client.request("GET", path, headers={"Authorization": "Bearer s3cret"}).status_code == 200


# Long answers


def many_flows(engine, count):
    engine.set_flow("f", {"keys": "ipsource,tcpsourceport", "value": "bytes", "t": 600})
    for first in range(0, count, 20):
        samples = [flow_sample(4, source=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(first, first + 20)]
        engine.feed([wire.datagram(*samples, agent=AGENT, sequence=first)], NOW)


def test_a_long_answer_is_the_same_in_pieces(client, monkeypatch):
    many_flows(client.engine, 200)
    for path in ("/activeflows/ALL/f/json?maxFlows=1000", f"/metric/{AGENT}/json", "/dump/ALL/ALL/json"):
        whole = client.text(path)
        with monkeypatch.context() as changed:
            changed.setattr(serving, "PIECE", 1)
            assert client.text(path) == whole


def test_others_are_served_between_the_turns_of_a_long_answer(client):
    """And nothing goes on when the client has left."""
    turns, served = [], []

    def long():
        while True:
            turns.append(len(served))
            yield

    async def exchange():
        api = client.app.state.api
        gone = asyncio.Event()

        class Waiting:
            async def is_disconnected(self):
                return gone.is_set()

        asked = [asyncio.ensure_future(api.asked(Waiting(), long())) for _ in range(3)]
        for _ in range(50):
            await asyncio.sleep(0)
            served.append(len(turns))
        gone.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    ended = asyncio.run(exchange())
    assert [type(each) for each in ended] == [rest.ClientDisconnect] * 3
    rounds = [after - before for before, after in itertools.pairwise(served)]
    assert sum(rounds) > 0
    assert max(rounds) <= 3, "of all long answers few turns are taken while a short one waits"
    taken = len(turns)
    assert taken < 100


def test_two_topologies_at_once_leave_the_same_one_everywhere(client):
    """The one that is answered is the one that the engine uses."""
    documents = [{"nodes": {f"s{n}": {"agent": AGENT, "ports": {}}}, "links": {}} for n in range(6)]

    async def exchange():
        transport = httpx.ASGITransport(app=client.app)
        async with (
            client.app.router.lifespan_context(client.app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
        ):
            answers = await asyncio.gather(*(http.put("/topology/json", json=each) for each in documents))
            assert {answer.status_code for answer in answers} == {204}
            return (await http.get("/topology/json")).json()

    found = asyncio.run(exchange())
    assert found["version"] == 6
    assert found["nodes"] == client.engine._topology.document["nodes"]


def test_a_topology_beyond_its_memory_is_refused(client):
    client.engine.budget = Budget(LEAST)
    document = {"nodes": {"s" * 400_000: {"agent": AGENT, "ports": {}}}, "links": {}}
    status, text = client.refusal("PUT", "/topology/json", json=document)
    assert status == 400
    assert "bytes of memory, more than its" in text
    assert client.get("/topology/json")["version"] == 0
