"""The northbound JSON, from the controller's state as values."""

import json
import logging

import pytest

from controller.conductor import Conductor, Report
from controller.control import Policy
from controller.flow import FlowKey, FlowObservation
from controller.load import Meter, PortCounters
from controller.policy.replication import Replication
from controller.rest import Health, Northbound
from controller.topology import Fabric
from documents.faults import Faults
from ovs_rules.replication import read
from topologies.leafspine import leafspine

FABRIC = Fabric.from_spec(leafspine(2, 2, 2, 5).with_ifindexes({"leaf1-eth1": 11, "leaf1-eth2": 12, "spine1-eth1": 21}))
FLOW = FlowKey("10.0.1.1", "10.0.2.1", 6, 5001, 80)


@pytest.fixture
def northbound():
    conductor = Conductor(Policy(), FABRIC)
    ports = FABRIC.switches["leaf1"].ports
    conductor.switch_up(1, Report(None, ports, dict.fromkeys(ports, True)), 0.0)
    meter = Meter()
    for at, size in ((1.0, 0), (2.0, 560_000)):
        meter.ports(1, {3: PortCounters(tx_bytes=size)}, at)
    observations = [
        FlowObservation(FLOW, "10.254.0.1", "11", 4e6, 2.0),
        FlowObservation(FLOW, FABRIC.switches["spine1"].agent, "21", 4e6, 2.0),
    ]
    conductor.observed(observations, 2.0, complete=True)
    return Northbound(conductor, meter, Health("http://x", True, 1), Faults(logging.getLogger("test")))


def ask(northbound, resource, **query):
    answer = northbound.answer("GET", resource, query, b"", 3.0)
    assert answer.status == 200
    return json.loads(json.dumps(answer.body))


def test_a_busy_link_names_its_elephants(northbound):
    (link,) = [link for link in ask(northbound, "links") if (link["from"], link["to"]) == ("leaf1", "spine1")]
    assert (link["load_bps"], link["utilisation"], link["state"]) == (4_480_000, 0.896, "elephant")
    assert (link["elephants"], link["flows_seen"]) == ([str(FLOW)], 1)


def test_ecmp_members_have_port_load_flows_and_elephants(northbound):
    (group,) = ask(northbound, "ecmp")
    assert (group["switch"], group["destination"]) == ("leaf1", "leaf2")
    first = group["members"][0]
    assert (first["to"], first["load_bps"], first["flows_seen"], first["elephants"]) == ("spine1", 4_480_000, 1, 1)


def test_elephants_and_controls_agree(northbound):
    (elephant,) = ask(northbound, "elephants")
    assert (elephant["flow"], elephant["path"]) == (str(FLOW), ["leaf1", "spine1", "leaf2"])
    (control,) = ask(northbound, "controls")
    assert control["flow"] == elephant["flow"]
    assert "nw_src=10.0.1.1" in control["rules"]["leaf1"]


@pytest.mark.parametrize("resource", ["status", "fabric", "topology", "policy"])
def test_every_resource_is_json(northbound, resource):
    assert ask(northbound, resource)


@pytest.mark.parametrize(
    "method, path, status", [("GET", "nothing", 404), ("PUT", "links", 405), ("DELETE", "policy", 400)]
)
def test_what_is_not_possible_is_refused_by_name(northbound, method, path, status):
    answer = northbound.answer(method, path, {}, b"", 3.0)
    assert answer.status == status
    assert path in answer.body["error"]


def test_status_counts_what_went_wrong(northbound):
    assert ask(northbound, "status")["faults"] == {}
    for _ in range(3):
        northbound.faults.note("flow poll", ValueError("wrong"), 1.0)
    assert ask(northbound, "status")["faults"] == {"flow poll": 3}
    assert ask(northbound, "status")["problems"] == []


def test_a_replication_that_cannot_be_placed_is_a_problem_in_the_status(northbound):
    spec = read("udp_port: 1\ncollector: {address: 10.9.9.9}\ncopies: [{port: 2}]")
    conductor = Conductor(Policy(), FABRIC, more=(Replication([spec]),))
    conductor.tick(0.0)
    again = Northbound(conductor, Meter(), Health(), northbound.faults)
    (problem,) = ask(again, "status")["problems"]
    assert "10.9.9.9" in problem
