"""analytics.api.rest on the real engine (application.py): what the interface promises.

Metrics, the topology, what is passed on, pages, refusals, access and long answers have test files of their own.
test_server.py starts the real program.
"""

import json
import time
import warnings

import pytest

from tests.analytics.api.application import (
    AGENT,
    ONE_SAMPLE,
    TOPOLOGY,
    counter_sample,
    flow_sample,
)


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
