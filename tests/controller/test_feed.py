"""The feed against a real analytics, and against a server whose answers are wrong in several ways."""

import json
import socket
import struct
import time

import pytest

from controller.feed import Feed, Unavailable, WrongAnswer
from controller.flow import FlowKey, FlowObservation
from tests.analytics.examples.wire import counter_sample, datagram, flow_sample, record, sampled_header, tcp_frame
from tests.controller.analytics_process import analytics_process
from tests.controller.answering import Answering, event
from topologies.leafspine import leafspine

SPEC = leafspine(2, 2, 2, 5).with_ifindexes({"leaf1-eth1": 11, "leaf1-eth2": 12, "spine1-eth1": 21})
FLOW = FlowKey("10.0.1.1", "10.0.2.1", 6, 5001, 80)


@pytest.fixture(scope="module")
def analytics(eventually):
    """A real analytics process; its Feed and its sFlow address."""
    with analytics_process(eventually) as (supervisor, feed):
        yield feed, ("127.0.0.1", supervisor.settings.sflow_port)


def sampled(agent, sequence, frames, ifindex=11, rate=10):
    """A datagram of `frames` samples of FLOW as a switch sends it."""
    frame = tcp_frame(FLOW.source, FLOW.destination, FLOW.source_port, FLOW.destination_port)
    samples = [
        flow_sample(sampled_header(frame), sequence=sequence * 10 + n, source=(2, 1001), rate=rate, ports=(ifindex, 99))
        for n in range(frames)
    ]
    return datagram(*samples, agent=agent, sequence=sequence)


def send(address, *datagrams):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for each in datagrams:
            sender.sendto(each, address)


def test_an_elephant_comes_as_an_event_and_in_every_poll(analytics, eventually):
    feed, address = analytics
    feed.publish(SPEC.to_json())
    feed.define({5_000_000: 500_000.0}, 1.0, 2.0, 3)
    send(address, *(sampled("10.254.0.1", sequence, 5) for sequence in range(1, 4)))
    (event,) = feed.events()
    assert (event.flow, event.agent, event.ifindex) == (FLOW, "10.254.0.1", "11")
    assert (event.found, event.ended) == (500_000, False)
    assert 500_000 < event.rate <= 5_000_000
    assert abs(event.at - time.time()) < 30
    (polled,) = eventually(lambda: [seen for seen in feed.flows(123.0) if seen.agent == event.agent])
    assert (polled.flow, polled.agent, polled.ifindex, polled.at) == (FLOW, "10.254.0.1", "11", 123.0)


def test_events_from_before_the_definition_are_not_given_again(analytics):
    feed, address = analytics
    feed.publish(SPEC.to_json())
    feed.define({5_000_000: 500_000.0}, 1.0, 2.0, 3)
    send(address, sampled("10.254.0.2", 1, 8))
    assert len(feed.events()) == 1
    feed.define({5_000_000: 500_000.0}, 1.0, 2.0, 3)
    send(address, sampled("10.254.0.2", 2, 8, ifindex=12))
    assert [event.ifindex for event in feed.events()] == ["12"]


def test_ports_are_named_by_what_open_vswitch_adds_to_its_counters(analytics, eventually):
    """Structure 0:1004, openflow_port: datapath id and port number."""
    feed, address = analytics
    openflow_port = record(1004, struct.pack(">QI", 0x1_0000_00FF, 3))
    send(address, datagram(counter_sample(openflow_port, source=(0, 77)), agent="10.254.0.3"))
    assert eventually(feed.ports) == [("10.254.0.3", "77", 0x1_0000_00FF, 3)]


def test_right_answers_become_values():
    keys = [{"key": str(FLOW), "value": 2}, {"key": "x", "value": 1}]
    flows = [{"agent": "a", "dataSource": "1", "topKeys": keys},
             {"agent": "a", "dataSource": "2"}]  # fmt: skip
    ports = [{"agent": "a", "dataSource": "1", "metricName": name, "metricValue": value}
             for name, value in (("of_dpid", "00000000000000ff"), ("of_port", 3))]  # fmt: skip
    lone = {"agent": "a", "dataSource": "2", "metricName": "of_port", "metricValue": 4}
    answers = {"/events": event(), "/dump/ALL/howdah_flow": json.dumps(flows).encode(),
               "/dump/ALL/of_dpid": json.dumps([*ports, lone]).encode()}  # fmt: skip
    with Answering(answers) as server:
        feed = Feed(server.base)
        assert feed.events() == [FlowObservation(FLOW, "10.254.0.1", "11", 800_000.0, 1.0)]
        assert feed.flows(5.0) == [FlowObservation(FLOW, "a", "1", 16.0, 5.0)]
        assert feed.ports() == [("a", "1", 255, 3)]


def test_events_of_other_thresholds_and_other_keys_are_passed_over():
    for other in (event(thresholdID="mine"), event(flowKey=None), event(flowKey="10.0.1.1")):
        with Answering({"/events": other}) as server:
            assert Feed(server.base).events() == []


@pytest.mark.parametrize(
    "body, named",
    [
        (b"<html>welcome</html>", "malformed"),
        (b"", "truncated"),
        (b"\xff\xfe[]", "malformed"),
        (b'{"events": []}', "Expected `array`, got `object`"),
        (b"[[]]", "$[0]"),
        (event(eventID=None), "missing required field `eventID` - at `$[0]`"),
        (event(eventID="seven"), "Expected `int`, got `str` - at `$[0].eventID`"),
        (event(agent=None), "missing required field `agent`"),
        (event(value="much"), "$[0].value"),
        (event(flowKey=5), "$[0].flowKey"),
        (event(timestamp="now"), "$[0].timestamp"),
    ],
)
def test_a_wrong_event_is_one_line_with_the_address_and_the_field(body, named):
    with Answering({"/events": body}) as server, pytest.raises(WrongAnswer) as caught:
        Feed(server.base).events()
    assert str(caught.value).startswith(f"GET {server.base}/events/json?eventID=-1&maxEvents=1000&timeout=10: ")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "method, path, body, named",
    [
        ("flows", "/dump/ALL/howdah_flow/json", b'[{"agent": "a"}]', "`dataSource`"),
        ("flows", "/dump/ALL/howdah_flow/json", b'[{"agent": "a", "dataSource": "1", "topKeys": 7}]', "$[0].topKeys"),
        ("flows", "/dump/ALL/howdah_flow/json",
         b'[{"agent": "a", "dataSource": "1", "topKeys": [{"key": 1, "value": 2}]}]', "$[0].topKeys[0].key"),
        ("ports", "/dump/ALL/of_dpid,of_port/json",
         b'[{"agent": "a", "dataSource": "1", "metricName": "of_port", "metricValue": []}]', "$[0].metricValue"),
        ("ports", "/dump/ALL/of_dpid,of_port/json",
         b'[{"agent": "a", "dataSource": "1", "metricName": "of_port", "metricValue": 1},'
         b' {"agent": "a", "dataSource": "1", "metricName": "of_dpid", "metricValue": "leaf"}]', "leaf"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_one_line_with_the_address_and_the_field(method, path, body, named):
    with Answering({path: body}) as server, pytest.raises(WrongAnswer) as caught:
        getattr(Feed(server.base), method)(*([1.0] if method == "flows" else []))
    assert str(caught.value).startswith(f"GET {server.base}{path}: ")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_newest_event_is_found_when_the_flow_is_defined():
    with Answering({"/events": event(eventID=1.5)}) as server, pytest.raises(WrongAnswer, match=r"\$\[0\].eventID"):
        Feed(server.base).define({}, 1.0, 2.0, 3)


def test_after_a_wrong_answer_the_next_right_one_is_taken():
    with Answering({"/events": event(eventID=None)}) as server:
        feed = Feed(server.base)
        with pytest.raises(WrongAnswer):
            feed.events()
        server.answers["/events"] = event()
        assert [seen.flow for seen in feed.events()] == [FLOW]


@pytest.mark.parametrize("answer, named", [((500, b"out\nof order"), "status 500 out of order"), (None, "no connecti")])
def test_no_answer_and_a_status_that_says_no_are_unavailable(answer, named):
    with Answering({"/": answer}) as server:
        feed = Feed(server.base)
        for ask in (feed.events, feed.ports, lambda: feed.publish({}), lambda: feed.define({}, 1.0, 2.0, 3)):
            with pytest.raises(Unavailable) as caught:
                ask()
            assert f" {server.base}/" in str(caught.value)
            assert named in str(caught.value)
    with pytest.raises(Unavailable, match="no connection"):
        feed.flows(1.0)
    assert not feed.alive()


def test_thresholds_are_put_in_bytes_for_every_speed():
    with Answering({"/threshold": b"{}"}) as server:
        feed = Feed(server.base)
        feed.define({10_000_000: 1e6, 5_000_000: 5e5}, 1.0, 2.0, 3)
        assert not feed.makes_tests
        assert server.put == [
            "/flow/howdah_flow/json",
            "/threshold/howdah_elephant_10000000/json",
            "/threshold/howdah_elephant_5000000/json",
        ]


def test_a_threshold_is_put_without_its_test_where_tests_are_unknown():
    class Older(Answering):
        def answer(self, method, path):
            first = method == "PUT" and path.startswith("/threshold") and path not in self.put
            answer = super().answer(method, path)
            return (400, b"unknown attribute 'test'") if first else answer

    with Older({"/threshold": b'{"value": 62500}'}) as server:
        feed = Feed(server.base)
        feed.define({5_000_000: 5e5}, 1.0, 2.0, 3)
        assert server.put[1:] == ["/threshold/howdah_elephant_5000000/json"] * 2
        assert not feed.makes_tests
    with Answering({"/threshold": b'{"value": 62500, "test": {"alpha": 0.01}}'}) as server:
        feed = Feed(server.base)
        feed.define({5_000_000: 5e5}, 1.0, 2.0, 3)
        assert feed.makes_tests


def test_an_event_of_a_test_says_where_the_flow_is_and_that_it_has_ended():
    path = [{"agent": "10.254.0.1", "dataSource": "11", "samples": 2}, {"agent": "10.254.0.9", "dataSource": "21"}]
    with Answering({"/events": event(threshold=62_500, state="start", path=path, confidence=0.99)}) as server:
        assert Feed(server.base).events() == [
            FlowObservation(FLOW, "10.254.0.1", "11", 800_000.0, 1.0, found=500_000.0),
            FlowObservation(FLOW, "10.254.0.9", "21", 800_000.0, 1.0, found=500_000.0),
        ]
    with Answering({"/events": event(threshold=62_500, state="end", path=path[:1], value=0)}) as server:
        assert Feed(server.base).events() == [
            FlowObservation(FLOW, "10.254.0.1", "11", 0.0, 1.0, found=500_000.0, ended=True)
        ]
