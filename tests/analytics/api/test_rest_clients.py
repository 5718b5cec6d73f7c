"""The published clients and recipes (sflow-rt-api.md section 11), request by request. They themselves: unmodified/."""

import pytest

from tests.analytics.api.application import (
    AGENT,
    FIVE_TUPLE,
    NOW,
    ONE_SAMPLE,
    TOPOLOGY,
    counter_sample,
    flow_sample,
)


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
