"""analytics.api.feeds and stream on the real engine: flow records, elephants and the stream, as clients read them."""

from __future__ import annotations

import json

import pytest

from analytics.api import rest, stream
from analytics.engine import Engine, EngineSettings
from tests.analytics.api.application import AGENT, FIVE_TUPLE, LENGTH, NOW, ONE_SAMPLE, RATE, Client, flow_sample

KEY = "10.0.0.1,10.0.0.3,40000,5001"
LARGE = {"metric": "tcp", "value": 100_000, "byFlow": True, "timeout": 1}


@pytest.fixture
def client():
    made = Client()
    yield made
    made.engine.close()


def log_tcp(client, **more):
    client.put("/flow/tcp/json", {"keys": FIVE_TUPLE, "value": "bytes", "activeTimeout": 10, "log": True, **more})


def record(client, **flow):
    """One sample, and the end of its record."""
    client.feed(flow_sample(4, **flow))
    client.now += 16
    client.engine.tick(client.now)


def streamed(client, query="", last=None):
    """What a stream that ends at once has: (event, data), and the last id."""
    answer = client.request("GET", f"/v1/events?timeout=0&{query}", headers={"Last-Event-ID": last} if last else {})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    events, last = [], None
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        last = fields.get("id", last)
        if "data" in fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events, last


# Flow records, as sflow-rt-api.md 11.3 and 11.5 read them


def test_logflows_py(client):
    """Defines a flow, polls with the id of element 0, prints whole records, deletes the flow."""
    log_tcp(client)
    client.now = NOW + 0.25
    client.feed(flow_sample(4), flow_sample(4))
    client.now = NOW + 2
    client.feed(flow_sample(4))
    client.now = NOW + 17
    client.engine.tick(client.now)
    assert client.get("/flows/json?name=tcp&maxFlows=10&timeout=60&flowID=-1") == [
        {
            "flowID": 1,
            "name": "tcp",
            "flowKeys": KEY,
            "value": 3 * LENGTH * RATE,
            "start": int(NOW * 1000) + 250,
            "end": int(NOW * 1000) + 2000,
            "agent": AGENT,
            "dataSource": "4",
            "samples": 3,
        }
    ]
    assert client.request("DELETE", "/flow/tcp/json").status_code == 204


def test_tail_flows_py(client):
    """Newest first; the id of element 0 is the next cursor; the list is reversed and printed, all of it as text."""
    log_tcp(client, fs="_SEP_")
    for sport in (1, 2, 3):
        record(client, sport=sport)
    flow_id, lines = -1, []
    for _ in range(2):
        flows = client.get(f"/flows/json?maxFlows=2&timeout=0.05&flowID={flow_id}")
        if not flows:
            break
        flow_id = flows[0]["flowID"]
        flows.reverse()
        for each in flows:
            numbers = f"{int(each['value'])},{each['start']},{each['end']}"
            lines.append(
                each["name"] + "," + each["flowKeys"] + "," + each["agent"] + "," + each["dataSource"] + numbers
            )
    assert flow_id == 3
    assert [line.split(",")[1] for line in lines] == [f"10.0.0.1_SEP_10.0.0.3_SEP_{sport}_SEP_5001" for sport in (2, 3)]


def test_a_name_that_never_comes_and_a_cursor_from_before_a_restart_do_not_hang(client):
    log_tcp(client)
    record(client)
    assert client.get("/flows/json?flowID=-1&timeout=0.05&name=other") == []
    assert client.get("/flows/json?flowID=1&timeout=0.05") == []
    assert [each["flowID"] for each in client.get("/flows/json?flowID=999&timeout=60")] == [1]


@pytest.mark.parametrize("query", ["flowID=-2", "flowID=x", "maxFlows=-1", "timeout=-1", "timeout=3601"])
def test_what_is_no_number_is_refused_by_name(client, query):
    status, text = client.refusal("GET", f"/flows/json?{query}")
    assert (status, text.split()[0]) == (400, query.partition("=")[0])


def test_the_numbers_of_flow_records(client):
    log_tcp(client)
    record(client)
    numbers = client.get("/analyzer/json")
    assert (numbers["flowsGenerated"], numbers["flowsLost"]) == (1, 0)


# Elephants


def test_an_elephant_from_its_start_to_its_end(client):
    client.put("/flow/tcp/json", {"keys": FIVE_TUPLE, "value": "bytes"})
    client.put("/threshold/large/json", LARGE)
    _, last = streamed(client)
    client.feed(flow_sample(4))
    assert client.get("/v1/elephants") == []
    for second in (0.5, 1.0, 1.5, 2.0):  # the first of these crosses: 75,000 * exp(-0.25) + 75,000
        client.now = NOW + second
        client.feed(flow_sample(4))
    found = client.get("/v1/elephants")
    rate = sum(ONE_SAMPLE * 2.718281828459045 ** (-age / 2) for age in (0, 0.5, 1.0, 1.5, 2.0))
    [elephant] = found
    [at_port] = elephant.pop("locations")
    assert elephant == at_port == {
        "thresholdID": "large",
        "metric": "tcp",
        "flowKey": KEY,
        "agent": AGENT,
        "dataSource": "4",
        "start": int(NOW * 1000) + 500,
        "duration": 1.5,
        "value": 4 * LENGTH * RATE,
        "rate": pytest.approx(rate),
        "meanRate": pytest.approx(3 * LENGTH * RATE / 1.5),
        "peakRate": pytest.approx(rate),
        "samples": 4,
        "confidence": pytest.approx(98.0),  # 196 / sqrt(4)
    }  # fmt: skip
    client.now = NOW + 10
    client.engine.tick(client.now)
    assert client.get("/v1/elephants") == []
    events, _ = streamed(client, last=last)
    assert [name for name, _ in events] == ["threshold", "elephant-start", "elephant-end"]
    assert [event["thresholdID"] for _, event in events] == ["large"] * 3
    start, end = events[1][1], events[2][1]
    assert (start["value"], start["samples"], start["duration"], start["confidence"]) == (LENGTH * RATE, 1, 0.0, 196.0)
    assert start["rate"] == start["meanRate"] == events[0][1]["value"]
    assert end == elephant | {"rate": 0.0}


def test_samples_below_the_value_count_until_the_timeout_and_then_it_is_another_elephant(client):
    client.put("/flow/tcp/json", {"keys": FIVE_TUPLE, "value": "bytes"})
    client.put("/threshold/large/json", LARGE | {"value": 140_000, "timeout": 1})
    _, last = streamed(client)
    client.feed(flow_sample(4), flow_sample(4))  # 150,000
    client.now = NOW + 1  # 150,000 * exp(-0.5) + 75,000 = 165,980
    client.feed(flow_sample(4))
    client.now = NOW + 2.2  # 165,980 * exp(-0.6) + 75,000 = 166,091
    client.feed(flow_sample(4))
    client.now = NOW + 3.5  # ... * exp(-0.65) + 75,000 = 161,708, it fell below 1.0 s ago at 2.54 + 1 > 3.5: one still
    client.feed(flow_sample(4))
    [elephant] = client.get("/v1/elephants")
    assert elephant["samples"] == 4
    client.now = NOW + 9
    client.feed(flow_sample(4))  # below the value, nothing is under way
    assert client.get("/v1/elephants") == []
    client.feed(flow_sample(4))
    [elephant] = client.get("/v1/elephants")
    assert (elephant["start"], elephant["samples"]) == (int(NOW * 1000) + 9000, 1)
    events, _ = streamed(client, "topic=elephants", last=last)
    assert [name for name, _ in events] == ["elephant-start", "elephant-end", "elephant-start"]
    assert [event["samples"] for _, event in events] == [1, 4, 1]


def test_one_elephant_on_two_ports(client):
    client.put("/flow/tcp/json", {"keys": FIVE_TUPLE, "value": "bytes"})
    client.put("/threshold/large/json", LARGE)
    client.feed(flow_sample(4), flow_sample(4), flow_sample(7), flow_sample(7), flow_sample(7))
    [elephant] = client.get("/v1/elephants")
    assert (elephant["dataSource"], elephant["samples"]) == ("7", 2)
    assert sorted((each["dataSource"], each["samples"]) for each in elephant["locations"]) == [("4", 1), ("7", 2)]
    assert client.get("/v1/elephants?thresholdID=other") == client.get("/v1/elephants?maxElephants=0") == []


def test_the_largest_rate_comes_first(client):
    client.put("/flow/tcp/json", {"keys": FIVE_TUPLE, "value": "bytes"})
    client.put("/threshold/large/json", LARGE)
    for sport in (1, 2, 3):
        client.feed(*[flow_sample(4, sport=sport)] * (sport + 1))
    found = client.get("/v1/elephants")
    assert [each["flowKey"].split(",")[2] for each in found] == ["3", "2", "1"]
    assert client.get("/v1/elephants?maxElephants=2") == found[:2]


@pytest.mark.parametrize("path", ["/threshold/large/json", "/flow/tcp/json"])
def test_when_threshold_or_flow_is_deleted_its_elephants_are_dropped(client, path):
    client.put("/flow/tcp/json", {"keys": FIVE_TUPLE, "value": "bytes"})
    client.put("/threshold/large/json", LARGE)
    client.feed(flow_sample(4), flow_sample(4))
    _, last = streamed(client)
    assert client.request("DELETE", path).status_code == 204
    assert client.get("/v1/elephants") == []
    assert streamed(client, last=last)[0] == [("elephants-dropped", {"thresholdID": "large"})]


def test_updates_are_told_while_a_stream_is_open(client):
    client.put("/flow/tcp/json", {"keys": FIVE_TUPLE, "value": "bytes"})
    client.put("/threshold/large/json", LARGE | {"timeout": 60})
    client.feed(flow_sample(4), flow_sample(4))
    _, last = streamed(client)
    client.engine.tick(client.now)
    assert streamed(client, last=last)[0] == []
    client.engine.streams = 1
    for second in range(1, 11):
        client.engine.tick(client.now + second)
    events, _ = streamed(client, last=last)
    assert [name for name, _ in events] == ["elephant-update", "elephant-update"]
    assert events[0][1]["rate"] == pytest.approx(2 * ONE_SAMPLE * 2.718281828459045**-0.5)


# The stream


def test_a_stream_resumes_and_has_what_is_asked_for(client):
    log_tcp(client)
    client.put("/flow/pair/json", {"keys": "ipsource", "value": "bytes", "log": True})
    client.put("/threshold/large/json", LARGE | {"value": 1000})
    client.put("/threshold/any/json", {"metric": "tcp", "value": 1})
    _, beginning = streamed(client)
    record(client)
    everything, end = streamed(client, last=beginning)
    kinds = ["threshold", "threshold", "flow", "flow", "elephant-start", "elephant-end"]
    assert sorted(name for name, _ in everything) == sorted(kinds)
    assert streamed(client, last=end)[0] == streamed(client)[0] == []
    assert [name for name, _ in streamed(client, "topic=flows&name=pair", last=beginning)[0]] == ["flow"]
    only = streamed(client, "topic=thresholds,elephants&thresholdID=any", last=beginning)[0]
    assert [(name, event["thresholdID"]) for name, event in only] == [("threshold", "any")]
    by_query, _ = streamed(client, f"topic=thresholds&lastEventID={beginning}")
    assert len(by_query) == 2


def test_who_was_away_for_long_is_told_how_much_is_lost(client):
    client.engine.close()
    client.engine = Engine(EngineSettings(max_flows=3))
    client.app = rest.build(client.engine, version="test", clock=lambda: client.now)
    log_tcp(client)
    _, beginning = streamed(client)
    for sport in range(1, 9):
        record(client, sport=sport)
    events, _ = streamed(client, last=beginning)
    assert [name for name, _ in events] == ["lost", "flow", "flow", "flow"]
    assert events[0][1] == {"flows": 5}
    assert [event["flowID"] for _, event in events[1:]] == [6, 7, 8]


def test_the_cursor_of_another_run_counts_as_none(client):
    log_tcp(client)
    record(client)
    _, last = streamed(client)
    other = ("000000" if not last.startswith("000000") else "000001") + last[6:]
    assert [event["flowID"] for _, event in streamed(client, last=other)[0]] == [1]
    assert [event["flowID"] for _, event in streamed(client, last=last[:7] + "0.99.0")[0]] == [1]


@pytest.mark.parametrize(
    "query, word",
    [("topic=flows,nothing", "nothing"), ("lastEventID=7", "7"), ("timeout=x", "x"), ("timeout=-1", "-1")],
)
def test_what_a_stream_does_not_know_is_refused_by_name(client, query, word):
    status, text = client.refusal("GET", f"/v1/events?{query}")
    assert (status, f"'{word}'" in text) == (400, True)


def test_more_than_a_piece_arrives_in_order(client):
    log_tcp(client)
    _, beginning = streamed(client)
    for sport in range(2 * stream.PIECE + 10):
        client.feed(flow_sample(4, sport=1000 + sport))
    client.now += 16
    client.engine.tick(client.now)
    events, _ = streamed(client, last=beginning)
    assert [event["flowID"] for _, event in events] == list(range(1, 2 * stream.PIECE + 11))
