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


@pytest.mark.parametrize("path", ["nothing", "a" * 9000])
def test_what_does_not_exist_is_refused_by_name(northbound, path):
    answer = northbound.answer("GET", path, {}, b"", 3.0)
    assert answer.status == 404
    assert path[:60] in answer.body["error"]
    assert len(answer.body["error"]) < 300


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "X" * 9000])
@pytest.mark.parametrize("path", ["links", "policy", "status"])
def test_a_method_does_what_it_says_or_nothing(northbound, method, path):
    """Finding 12: PUT, POST and DELETE were one."""
    if (method, path) == ("PUT", "policy"):
        return
    before = northbound.conductor.view().policy
    answer = northbound.answer(method, path, {}, b'{"steering": false}', 3.0)
    assert (answer.status, answer.allow) == (405, "GET, HEAD, PUT" if path == "policy" else "GET, HEAD")
    assert path in answer.body["error"]
    assert len(answer.body["error"]) < 300
    assert northbound.conductor.view().policy == before


def test_a_policy_is_put(northbound):
    answer = northbound.answer("PUT", "policy", {}, b'{"steering": false, "cap": 7}', 3.0)
    assert (answer.status, answer.body) == (204, None)
    policy = northbound.conductor.view().policy
    assert (policy.steering, policy.cap, policy.marking) == (False, 7, True)
    assert ask(northbound, "policy")["cap"] == 7
    assert northbound.answer("HEAD", "policy", {}, b"", 3.0).status == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "/v1/policy"),
        (b'{"cap": ' + b"1" * 400 + b"}", "cap"),
        (b'{"cap": 1000001}', "cap"),
        (b'{"cap": -1}', "cap"),
        (b'{"dscp": 64}', "dscp"),
        (b'{"dscp": 1e400}', "Number out of range"),
        (b'{"steering": 1}', "steering"),
        (b'{"steerng": true}', "steerng"),
        (b'{"steering": "\xff"}', "/v1/policy"),
        (b"[" * 9000, "/v1/policy"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_in_a_short_line(northbound, body, said):
    before = northbound.conductor.view().policy
    answer = northbound.answer("PUT", "policy", {}, body, 3.0)
    assert answer.status == 400
    assert said in answer.body["error"]
    assert len(answer.body["error"]) < 300
    assert northbound.conductor.view().policy == before


@pytest.mark.parametrize(
    ("resource", "query", "said"),
    [
        ("links", {"all": "true"}, "/v1/links takes no parameter 'all'"),
        ("elephants", {"al": "true"}, "/v1/elephants takes no parameter 'al'"),
        ("elephants", {"all": "maybe"}, "/v1/elephants: all 'maybe' is neither true nor false"),
        ("elephants", {"all": "1" * 400}, f"/v1/elephants: all '{'1' * 60}' is neither true nor false"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(northbound, resource, query, said):
    answer = northbound.answer("GET", resource, query, b"", 3.0)
    assert (answer.status, answer.body) == (400, {"error": said})


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
