"""Metrics over HTTP: who is asked, what is filtered, how rows are joined; values worked out by hand."""

import json

import pytest

from tests.analytics.api.application import (
    AGENT,
    NOW,
    ONE_SAMPLE,
    Client,
    counter_sample,
    flow_sample,
    host_sample,
)

OTHER = "192.168.1.10"


@pytest.fixture
def client():
    made = Client()
    made.put("/flow/f/json", {"value": "bytes", "keys": "ipsource"})
    made.feed(host_sample("leaf1"), counter_sample(4, speed=10), counter_sample(5, speed=20), flow_sample(4))
    made.feed(host_sample("leaf2"), counter_sample(4, speed=40), agent=OTHER)
    return made


def values(found):
    return {(cell["agent"], cell["dataSource"]): cell.get("metricValue") for cell in found}


def test_an_agent_is_also_called_by_its_host_name(client):
    assert values(client.get("/dump/leaf2/ifspeed/json")) == {(OTHER, "4"): 40}
    assert values(client.get(f"/dump/leaf1;{OTHER}/ifspeed/json")) == {
        (AGENT, "4"): 10,
        (AGENT, "5"): 20,
        (OTHER, "4"): 40,
    }
    assert client.get("/metric/leaf1/sum:ifspeed/json")[0]["metricValue"] == 30
    assert client.get("/metric/leaf1/json")["5.ifspeed"] == 20
    assert client.get("/activeflows/leaf1/f/json")[0]["key"] == "10.0.0.1"
    assert client.get("/activeflows/leaf2/f/json") == []
    assert client.get("/flowvalue/leaf1/4.f/json?key=10.0.0.1") == pytest.approx(ONE_SAMPLE)
    assert list(client.get("/agents/json?agent=leaf2")) == [OTHER]


def test_an_address_in_another_spelling_is_the_same_agent(client):
    client.feed(counter_sample(7, speed=70), agent="2001:db8::1")
    assert values(client.get("/dump/2001:DB8:0::1/ifspeed/json")) == {("2001:db8::1", "7"): 70}


@pytest.mark.parametrize("word", ["leaf9", "all", "10.0.0.300", "10.0.0"])
@pytest.mark.parametrize(
    "path",
    [
        "/metric/{}/json",
        "/metric/{}/ifspeed/json",
        "/table/{}/ifspeed/json",
        "/dump/{}/ifspeed/json",
        "/activeflows/{}/f/json",
        "/flowvalue/{}/4.f/json?key=10.0.0.1",
        "/flowlocations/{}/f/json?key=10.0.0.1",
        "/prometheus/metrics/{}/ifspeed/txt",
        "/agents/json?agent={}",
    ],
)
def test_a_mistyped_agent_is_named(client, word, path):
    says = f"no agent '{word}': neither an address nor a known host_name, nor ALL, TOPOLOGY, EDGE or CORE"
    assert client.refusal("GET", path.format(word)) == (404, says)


def test_an_address_that_has_not_sent_yet_is_no_mistake(client):
    """Scripts that start before the agent does must not end."""
    assert client.get("/dump/10.9.9.9/ifspeed/json") == []
    assert client.get("/metric/10.9.9.9/ifspeed/json") == [{"metricName": "ifspeed", "metricN": 0}]


def test_the_values_of_a_filter_may_be_a_list(client):
    found = client.get("/dump/ALL/ifspeed/json?host_name=leaf1,leaf2")
    assert values(found) == {(AGENT, "4"): 10, (AGENT, "5"): 20, (OTHER, "4"): 40}
    assert values(client.get("/dump/ALL/ifspeed/json?host_name=leaf9,leaf2")) == {(OTHER, "4"): 40}
    assert values(client.get("/dump/ALL/ifspeed/json?ifspeed=20,40&host_name=leaf*")) == {
        (AGENT, "5"): 20,
        (OTHER, "4"): 40,
    }


@pytest.mark.parametrize("path", ["/metric/ALL/ifspeed/json", "/table/ALL/ifspeed/json", "/dump/ALL/ifspeed/json"])
def test_a_parameter_that_names_no_metric_is_refused(client, path):
    assert client.refusal("GET", f"{path}?maxFlows=5") == (400, "filter 'maxFlows': no counter makes such a metric")
    assert client.refusal("GET", f"{path}?ifnane=eth1") == (400, "filter 'ifnane': no counter makes such a metric")
    client.get(f"{path}?vir_host_name=none")  # known, though nobody has sent it


def table(client, path):
    return [[cell.get("metricValue") for cell in row] for row in client.get(path)]


def test_what_describes_the_agent_joins_every_row_of_a_table(client):
    expected = [["leaf1", "s1-eth4", 4], ["leaf1", "s1-eth5", 5], ["leaf2", "s1-eth4", 4]]
    assert table(client, "/table/ALL/host_name,ifname,ifindex/json") == expected
    assert table(client, "/table/ALL/ifname,host_name,ifindex/json") == [[port, host, n] for host, port, n in expected]
    assert table(client, "/table/ALL/host_name/json") == [["leaf1"], ["leaf2"]]
    assert table(client, "/table/leaf1/2.1.host_name,ifname/json") == [["leaf1", "s1-eth4"], ["leaf1", "s1-eth5"]]


def test_a_table_is_sorted_with_and_without_a_number_of_rows(client):
    assert table(client, "/table/ALL/sort:ifspeed:-,ifindex/json") == [[40, 4], [20, 5], [10, 4]]
    assert table(client, "/table/ALL/sort:ifspeed:-2,ifindex/json") == [[40, 4], [20, 5]]
    assert table(client, "/table/ALL/sort:ifspeed,ifindex/json") == [[10, 4], [20, 5], [40, 4]]
    assert table(client, "/table/ALL/sort:ifspeed:1,ifindex/json") == [[10, 4]]
    assert client.refusal("GET", "/table/ALL/sort:ifspeed:-x,ifindex/json") == (
        400,
        "table: '-x' in 'sort:ifspeed:-x' is not a number of rows",
    )


@pytest.mark.parametrize("path", ["/table/ALL/sum:ifspeed/json", "/dump/ALL/ifindex,sum:ifspeed/json"])
def test_values_one_by_one_have_no_statistic(client, path):
    assert client.refusal("GET", path) == (
        400,
        "'sum:ifspeed': values are listed one by one here, so there is no 'sum:' of them",
    )


def test_prometheus_serves_statistics_too(client):
    text = client.text("/prometheus/metrics/ALL/max:ifspeed,sum:ifspeed,avg:ifspeed,min:ifname/txt")
    assert {line for line in text.splitlines() if not line.startswith("#")} == {
        'sflow_max_ifspeed{agent="ALL"} 40',
        'sflow_sum_ifspeed{agent="ALL"} 70',
        f'sflow_avg_ifspeed{{agent="ALL"}} {70 / 3}',
    }


def test_the_largest_flows_say_when_a_sample_last_counted(client):
    client.now = NOW + 1.5
    client.feed(flow_sample(4, source="10.0.0.2"))
    client.now = NOW + 2
    (cell,) = client.get("/dump/ALL/f/json")
    assert {flow["key"]: flow["lastUpdate"] for flow in cell["topKeys"]} == {"10.0.0.1": 2000, "10.0.0.2": 500}
    (found,) = client.get("/metric/ALL/avg:f/json")
    assert {flow["key"]: flow["lastUpdate"] for flow in found["topKeys"]} == {"10.0.0.1": 2000, "10.0.0.2": 500}


def test_a_flow_that_nobody_sees_has_no_place(client):
    says = (404, "no data source has flow 'f' with key '10.9.9.9'")
    assert client.refusal("GET", "/flowlocations/ALL/f/json?key=10.9.9.9") == says


def test_agents_and_the_flows_that_are_always_there_age_out(client):
    client.put("/flow/mn_bytes/json", {"value": "bytes"})
    client.feed(flow_sample(4), flow_sample(5))
    assert "mn_bytes" in client.get("/metrics/json")
    for _ in range(60):
        client.now += 15
        client.engine.tick(client.now)
    assert client.get("/agents/json") == {}
    assert client.get("/metrics/json") == {}
    assert client.get("/dump/ALL/ALL/json") == []
    assert client.get("/activeflows/ALL/mn_bytes/json") == []


@pytest.mark.parametrize("number", ["125000", "125000.0", "1.25e5"])
def test_a_threshold_may_have_numbers_as_text_and_dots_in_its_name(client, number):
    spec = {"metric": "f", "value": number, "timeout": "2", "byFlow": "true"}
    client.put("/threshold/elephant.10.0.0.1/json", spec)
    expected = {"metric": "f", "value": 125000, "byFlow": True, "timeout": 2}
    assert client.get("/threshold/elephant.10.0.0.1/json") == expected
    client.feed(flow_sample(4), flow_sample(4))
    (event,) = client.get("/events/json?thresholdID=elephant.10.0.0.1")
    assert event["flowKey"] == "10.0.0.1"


def test_null_in_a_threshold_is_the_default(client):
    spec = {"metric": "f", "value": 5, "byFlow": None, "timeout": None, "filter": None}
    client.put("/threshold/t/json", spec)
    assert client.get("/threshold/t/json") == {"metric": "f", "value": 5, "byFlow": False, "timeout": 1.0}


@pytest.mark.parametrize(
    ("spec", "noted"),
    [
        ({"metric": "f"}, []),
        ({"metric": "4.f"}, []),
        ({"metric": "ifinoctets", "filter": {"ifspeed": [10]}}, []),
        ({"metric": "nonsense"}, ["metric 'nonsense'"]),
        ({"metric": "f", "filter": {"ifspead": [10], "ifname": ["x"]}}, ["filter 'ifspead'"]),
    ],
)
def test_why_a_threshold_may_never_fire_is_said(client, caplog, spec, noted):
    """It is taken: a flow of that name may come."""
    answer = client.request("PUT", "/threshold/t/json", content=json.dumps({"value": 1, **spec}))
    assert answer.status_code == (200 if noted else 204)
    assert [note.partition(":")[0] for note in (answer.json()["notes"] if noted else [])] == noted
    assert [message.split(": ")[1] for message in caplog.messages] == noted
    assert client.get("/threshold/t/json")["metric"] == spec["metric"]


def test_a_threshold_on_a_statistic_is_refused(client):
    status, line = client.refusal("PUT", "/threshold/t/json", json={"metric": "sum:f", "value": 1})
    assert status == 400
    assert line == ("threshold 't': metric 'sum:f': a threshold watches every data source by itself, not a statistic")
