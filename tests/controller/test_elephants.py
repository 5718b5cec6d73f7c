"""The tracker: when a flow is an elephant, which path it takes, when it ends."""

import pytest

from controller.elephants import EVIDENCE_AGE, GRACE, Limits, Tracker
from controller.flow import FlowKey, FlowObservation
from controller.hosts import Hosts
from controller.topology import Fabric, switches_of
from topologies.leafspine import leafspine

SPEC = leafspine(2, 2, 2, 5)
IFINDEX = {port.name: 10 * node_number + port.ofport for node_number, node in enumerate(SPEC.nodes.values(), 1)
           for port in node.ports.values()}  # fmt: skip
FABRIC = Fabric.from_spec(SPEC.with_ifindexes(IFINDEX))
HOSTS = Hosts(FABRIC.hosts)
ONE = FlowKey("10.0.1.1", "10.0.2.1", 6, 5001, 80)
LOCAL = FlowKey("10.0.1.1", "10.0.1.2", 6, 5001, 80)
AWAY = FlowKey("10.0.1.1", "192.0.2.1", 6, 5001, 80)
THRESHOLD = 0.5  # Mb/s: a tenth of the edge ports' 5 Mb/s


def seen(flow, port, mbps, at, found=None, *, ended=False):
    switch = FABRIC.switches[port.split("-")[0]]
    return FlowObservation(flow, switch.agent, str(IFINDEX[port]), mbps * 1e6, at, found and found * 1e6, ended)


@pytest.fixture
def tracker():
    return Tracker(Limits(share=0.1, release=0.5, quiet=2.0))


def started(tracker, flow=ONE, at=1.0):
    (elephant,), _ = tracker.observe(FABRIC, HOSTS, [seen(flow, "leaf1-eth1", 1.0, at)])
    elephant.locate(FABRIC, Hosts(FABRIC.hosts))
    return elephant


def path(elephant):
    elephant.locate(FABRIC, Hosts(FABRIC.hosts))
    found = elephant.path(FABRIC)
    return None if found is None else switches_of(found, elephant.entry.switch)


@pytest.mark.parametrize("mbps, starts", [(THRESHOLD, True), (THRESHOLD - 0.001, False)])
def test_an_elephant_starts_at_the_threshold_of_its_edge_port(tracker, mbps, starts):
    new, _ = tracker.observe(FABRIC, HOSTS, [seen(ONE, "leaf1-eth1", mbps, 1.0)])
    assert [(elephant.flow, elephant.entry.name, elephant.detected_at) for elephant in new] == (
        [(ONE, "leaf1-eth1", 1.0)] if starts else []
    )


def test_a_port_of_unknown_speed_starts_none(tracker):
    port = FABRIC.switches["leaf1"].ports[1]
    assert tracker.threshold(port) == 500_000
    assert tracker.threshold(type(port)("leaf1", 1, "leaf1-eth1")) == float("inf")


@pytest.mark.parametrize("other", [seen(ONE, "spine1-eth1", 5.0, 1.0), FlowObservation(ONE, "10.9.9.9", "1", 5e6, 1.0)])
def test_inside_the_fabric_and_outside_it_none_starts(tracker, other):
    assert tracker.observe(FABRIC, HOSTS, [other]) == ([], {})
    assert tracker.live == {}


def test_an_elephant_starts_once_and_keeps_the_latest_rate(tracker):
    elephant = started(tracker)
    assert tracker.observe(FABRIC, HOSTS, [seen(ONE, "leaf1-eth1", 4.0, 2.0)]) == ([], {ONE: None})
    assert (elephant.rate, elephant.detected_at, elephant.last_above_release) == (4e6, 1.0, 2.0)


def test_a_batch_may_bring_the_link_before_the_edge(tracker):
    batch = [seen(ONE, "spine2-eth1", 1.0, 1.0), seen(ONE, "leaf1-eth1", 1.0, 1.0)]
    (elephant,), _ = tracker.observe(FABRIC, HOSTS, batch)
    assert path(elephant) == ["leaf1", "spine2", "leaf2"]


def test_without_evidence_the_path_is_unknown_unless_there_is_one_only(tracker):
    assert path(started(tracker)) is None
    assert path(started(tracker, LOCAL)) == ["leaf1"]
    assert path(started(tracker, AWAY)) is None


def test_the_path_is_where_most_was_seen_lately(tracker):
    elephant = started(tracker)
    tracker.observe(FABRIC, HOSTS, [seen(ONE, "spine1-eth1", 3.0, 2.0), seen(ONE, "spine2-eth1", 1.0, 2.0)])
    assert path(elephant) == ["leaf1", "spine1", "leaf2"]
    tracker.observe(FABRIC, HOSTS, [seen(ONE, "spine2-eth1", 1.0, 2.0 + EVIDENCE_AGE)])
    assert path(elephant) == ["leaf1", "spine2", "leaf2"]


def test_evidence_begins_anew_after_a_gap(tracker):
    elephant = started(tracker)
    spine1 = next(p for p in elephant.paths(FABRIC) if p[0].target.switch == "spine1")
    assert elephant.first_seen_on(spine1) is None
    for at in (2.0, 3.0):
        tracker.observe(FABRIC, HOSTS, [seen(ONE, "spine1-eth1", 3.0, at)])
    assert elephant.first_seen_on(spine1) == 2.0
    late = 3.0 + EVIDENCE_AGE + 1
    tracker.observe(FABRIC, HOSTS, [seen(ONE, "spine1-eth1", 3.0, late)])
    assert elephant.first_seen_on(spine1) == late
    elephant.forget(spine1)
    assert elephant.first_seen_on(spine1) is None


def test_an_elephant_ends_when_it_was_quiet_for_long_enough(tracker):
    started(tracker)
    for at in (2.0, 3.0):
        tracker.observe(FABRIC, HOSTS, [seen(ONE, "leaf1-eth1", 0.25, at)])  # at half the threshold it is kept
    assert tracker.ended(5.0) == []
    tracker.observe(FABRIC, HOSTS, [seen(ONE, "leaf1-eth1", 0.24, 5.0)])
    assert tracker.ended(5.0) == []
    assert [elephant.flow for elephant in tracker.ended(5.1)] == [ONE]
    assert tracker.live == {}


def test_adopted_elephants_and_those_of_a_gap_get_time_to_be_seen_again(tracker):
    tracker.adopt(ONE, FABRIC.switches["leaf1"].ports[1], 10.0)
    assert tracker.ended(10.0 + GRACE + 2.0) == []
    tracker.grace(20.0)
    assert tracker.ended(20.0 + GRACE + 2.0) == []
    assert [elephant.flow for elephant in tracker.ended(20.0 + GRACE + 2.1)] == [ONE]


def test_a_flow_that_enters_elsewhere_has_the_new_entry(tracker):
    elephant = started(tracker)
    tracker.observe(FABRIC, HOSTS, [seen(ONE, "leaf1-eth2", 2.0, 2.0)])
    assert elephant.entry.name == "leaf1-eth2"


def test_where_tests_decide_a_measured_rate_starts_nothing(tracker):
    tracker.tested = True
    assert tracker.observe(FABRIC, HOSTS, [seen(ONE, "leaf1-eth1", 5.0, 1.0)]) == ([], {})
    new, _ = tracker.observe(FABRIC, HOSTS, [seen(ONE, "leaf1-eth1", 0.5, 2.0, THRESHOLD)])
    assert [elephant.flow for elephant in new] == [ONE]
    tracker.observe(FABRIC, HOSTS, [seen(ONE, "leaf1-eth1", 3.0, 3.0)])
    assert tracker.live[ONE].rate == 3e6


def test_a_test_of_a_lower_threshold_says_nothing_of_a_faster_port(tracker):
    assert tracker.observe(FABRIC, HOSTS, [seen(ONE, "leaf1-eth1", 5.0, 1.0, THRESHOLD / 2)]) == ([], {})
    started(tracker)
    assert tracker.found_ended([seen(ONE, "leaf1-eth1", 0.0, 2.0, 2 * THRESHOLD, ended=True)]) == []
    assert tracker.found_ended([seen(ONE, "leaf1-eth1", 0.0, 2.0, THRESHOLD, ended=True)]) == [ONE]


def test_a_flow_that_a_test_found_before_its_edge_port_sampled_it_enters_where_its_source_is(tracker):
    places = [seen(ONE, "spine2-eth1", 2.0, 1.0, THRESHOLD), seen(ONE, "leaf2-eth4", 2.0, 1.0, THRESHOLD)]
    (elephant,), observed = tracker.observe(FABRIC, HOSTS, places)
    assert (elephant.entry.name, elephant.rate, observed) == ("leaf1-eth1", 2e6, {ONE: None})
    assert path(elephant) == ["leaf1", "spine2", "leaf2"]


def test_the_latest_word_of_a_test_counts(tracker):
    started(tracker)
    end = seen(ONE, "leaf1-eth1", 0.0, 2.0, THRESHOLD, ended=True)
    again = seen(ONE, "leaf1-eth1", 1.0, 2.1, THRESHOLD)
    assert tracker.found_ended([end, again]) == []
    assert tracker.found_ended([again, end]) == [ONE]


def test_an_elephant_whose_end_was_not_told_ends_by_its_silence(tracker):
    tracker.tested = True
    tracker.observe(FABRIC, HOSTS, [seen(ONE, "leaf1-eth1", 1.0, 1.0, THRESHOLD)])
    assert tracker.ended(1.0 + 2.0 + GRACE) == []
    assert [elephant.flow for elephant in tracker.ended(1.1 + 2.0 + GRACE)] == [ONE]
