"""Which elephants get which DSCP: by flow key, by rate, and none where the packets carry one already."""

import json
import logging

import pytest

from controller.conductor import Conductor
from controller.control import ElephantControl, Policy
from controller.elephants import Elephant, Limits
from controller.feed import Feed
from controller.flow import FlowKey, FlowObservation
from controller.hosts import Hosts
from controller.load import Meter
from controller.policy.marking import LOWER_EFFORT, Mark, code_point
from controller.records import Counts
from controller.rest import Health, Northbound
from controller.topology import Fabric
from documents.faults import Faults
from tests.controller.answering import Answering, event
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(2, 2, 2, 5).with_ifindexes({"leaf1-eth1": 11, "leaf1-eth2": 12}))
HOSTS = Hosts(FABRIC.hosts)
AGENT = FABRIC.switches["leaf1"].agent
WEB = FlowKey("10.0.1.1", "10.0.2.1", 6, 5001, 80)
COPY = FlowKey("10.0.1.2", "10.0.2.1", 17, 5001, 53)
SIX = FlowKey("2001:db8::1", "2001:db8::2", 6, 5001, 80)


@pytest.fixture
def northbound():
    return Northbound(Conductor(Policy(), FABRIC), Meter(), Health(), Faults(logging.getLogger("test")))


def elephant(flow=WEB, peak=1e6):
    return Elephant(flow, FABRIC.switches["leaf1"].ports[1], peak, 1.0, 1.0, peak=peak)


def seen(flow, rate):
    return FlowObservation(flow, AGENT, "11", rate, 1.0)


@pytest.mark.parametrize(
    ("mark", "fits"),
    [
        (Mark(8), (WEB, COPY, SIX)),
        (Mark(8, protocol="udp"), (COPY,)),
        (Mark(8, source="10.0.1.0/31"), (WEB,)),
        (Mark(8, destination="10.0.2.1"), (WEB, COPY)),
        (Mark(8, source="2001:db8::/64"), (SIX,)),
        (Mark(8, destination_port=80), (WEB, SIX)),
        (Mark(8, source_port=5002), ()),
        (Mark(8, protocol="tcp", destination="10.0.0.0/8", destination_port=80), (WEB,)),
    ],
)
def test_a_mark_is_for_the_flows_that_fit_all_of_it(mark, fits):
    assert tuple(flow for flow in (WEB, COPY, SIX) if code_point(elephant(flow), [mark], 1) == 8) == fits


@pytest.mark.parametrize(
    ("mark", "reached"),
    [(Mark(8, share=0.2), 1e6), (Mark(8, rate=2.5e6), 2.5e6)],  # the port's speed is 5 Mb/s
)
def test_a_mark_is_for_flows_that_have_reached_a_share_of_the_speed_or_a_rate(mark, reached):
    assert code_point(elephant(peak=reached), [mark], 1) == 8
    assert code_point(elephant(peak=reached - 1), [mark], 1) is None


def test_the_first_mark_that_fits_decides_and_zero_is_none():
    marks = [Mark(0, destination_port=80), Mark(10, protocol="tcp"), Mark(8)]
    assert [code_point(elephant(flow), marks, 1) for flow in (WEB, COPY)] == [None, 8]
    assert code_point(elephant(WEB._replace(destination_port=81)), marks, 1) == 10
    assert code_point(elephant(), [], LOWER_EFFORT) == LOWER_EFFORT


def test_a_mark_stays_when_the_rate_falls_and_follows_a_new_policy():
    control = ElephantControl(Policy(marks=(Mark(8, rate=2e6),)), Counts())
    for rate, dscp in ((1e6, None), (2e6, 8), (1e6, 8)):
        control.observed(FABRIC, HOSTS, [seen(WEB, rate)], 1.0, complete=False)
        assert control.controls[WEB].dscp == dscp
    control.set_policy(Policy(marks=(Mark(10),)), FABRIC, HOSTS, 2.0)
    assert control.controls[WEB].dscp == 10


def test_elephants_may_be_defined_by_bits_per_second():
    limits = Limits(rate=1e6)
    assert [limits.threshold(speed) for speed in (5e6, 1e10, 0)] == [1e6, 1e6, 1e6]
    assert [Limits(share=0.1).threshold(speed) for speed in (5e6, 0)] == [5e5, float("inf")]


def test_addresses_of_both_versions_are_read_from_the_key():
    keys = {f"{WEB}": WEB, f"{SIX}": SIX, f"{WEB},0": None, "10.0.1.1,2001:db8::2,6,1,2": None}
    for key, expected in keys.items():
        with Answering({"/events": event(flowKey=key)}) as server:
            found = [one.flow for one in Feed(server.base).events()]
            assert found == ([expected] if expected else []), key


def test_marks_are_put_by_rest_and_shown(northbound):
    body = {"marks": [{"dscp": 8, "protocol": "udp", "rate": 2e6}]}
    assert northbound.answer("PUT", "policy", {}, json.dumps(body).encode(), 3.0).status == 204
    assert northbound.conductor.view().policy.marks == (Mark(8, protocol="udp", rate=2e6),)
    shown = northbound.answer("GET", "policy", {}, b"", 3.0).body
    assert json.loads(json.dumps(shown))["marks"] == body["marks"]


@pytest.mark.parametrize(
    ("mark", "named"),
    [
        ({"dscp": 8, "sorce": "10.0.0.0/8"}, "unknown field `sorce` - at `$.marks[0]`"),
        ({"dscp": 64}, "$.marks[0].dscp"),
        ({"dscp": 8, "source": "10.0"}, "source '10.0' is neither an address nor a prefix - at `$.marks[0]`"),
    ],
)
def test_a_mark_that_cannot_be_is_refused_by_rest(northbound, mark, named):
    answer = northbound.answer("PUT", "policy", {}, json.dumps({"marks": [mark]}).encode(), 3.0)
    assert answer.status == 400
    assert named in answer.body["error"]
    assert northbound.conductor.view().policy.marks == ()
