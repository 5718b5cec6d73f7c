"""The topology over HTTP: what it takes, and what it finds of documents that have names only."""

import pytest

from tests.analytics.api.application import (
    AGENT,
    TOPOLOGY,
    Client,
    counter_sample,
    flow_sample,
    host_sample,
    openflow_sample,
)

LEAF, SPINE = "10.0.0.1", "10.0.0.2"
LINKS = {"links": {"l1": {"node1": "leaf1", "port1": "s1-eth5", "node2": "spine1", "port2": "s1-eth1"}}}
PAIR = {"keys": "link:inputifindex,ipsource", "value": "bytes"}


@pytest.fixture
def client():
    return Client()


def link_of(client, agent, port):
    """What a sample that came in on a port is counted for."""
    client.put("/flow/seen/json", PAIR)
    client.feed(flow_sample(port), agent=agent)
    return [flow["key"].split(",")[0] for flow in client.get("/activeflows/ALL/seen/json")]


def test_links_alone_are_found_by_what_the_switches_say(client):
    answer = client.request("PUT", "/topology/json", json=LINKS)
    assert (answer.status_code, answer.text) == (
        200,
        "in use; not found so far: link 'l1': node 'leaf1' port 's1-eth5' is not in nodes, no agent has host_name "
        "'leaf1', not just one has this ifname, and 1 more; GET shows all",
    )
    client.feed(host_sample("leaf1"), counter_sample(4), counter_sample(5), agent=LEAF)
    client.feed(host_sample("spine1"), counter_sample(1), agent=SPINE)
    client.now += 6
    client.engine.tick(client.now)
    assert client.get("/topology/json") == {
        "version": 1,
        **LINKS,
        "found": {
            "links": {"l1": [{"agent": LEAF, "ifindex": "5"}, {"agent": SPINE, "ifindex": "1"}]},
            "missing": [],
        },
    }
    assert link_of(client, LEAF, 5) == ["l1"]
    core = client.get("/dump/CORE/ifindex/json")
    assert {(cell["agent"], cell["dataSource"]) for cell in core} == {(LEAF, "5"), (SPINE, "1")}
    edge = client.get("/dump/EDGE/ifname/json")
    assert {(cell["agent"], cell["dataSource"]) for cell in edge} == {(LEAF, "4")}


def test_names_that_are_known_already_count_at_once(client):
    client.feed(host_sample("leaf1"), counter_sample(5), agent=LEAF)
    client.feed(host_sample("spine1"), counter_sample(1), agent=SPINE)
    client.put("/topology/json", LINKS)
    assert link_of(client, SPINE, 1) == ["l1"]


def test_what_is_still_missing_is_said(client):
    client.feed(host_sample("leaf1"), counter_sample(5), agent=LEAF)
    client.feed(host_sample("spine1"), counter_sample(2), agent=SPINE)
    why = f"link 'l1': node 'spine1' port 's1-eth1' is not in nodes, and agent {SPINE} has no ifname 's1-eth1'"
    answer = client.request("PUT", "/topology/json", json=LINKS)
    assert (answer.status_code, answer.text) == (200, f"in use; not found so far: {why}")
    assert client.get("/topology/json")["found"] == {"links": {}, "missing": [why]}


def test_what_was_got_can_be_put_again(client):
    client.request("PUT", "/topology/json", json=LINKS)
    answer = client.request("PUT", "/topology/json", json=client.get("/topology/json"))
    assert answer.status_code == 200
    assert client.get("/topology/json")["version"] == 1


def test_nodes_without_ports_are_found_by_name_and_agents_by_host_name(client):
    client.feed(host_sample("leaf1.lab"), counter_sample(5), agent=LEAF)
    client.feed(counter_sample(1), agent=SPINE)
    client.put("/topology/json", {**LINKS, "nodes": {"leaf1": {"agent": "leaf1.lab"}, "spine1": {"agent": SPINE}}})
    assert link_of(client, LEAF, 5) == ["l1"]


def test_ports_of_bridges_that_share_an_agent_are_found_by_their_names(client):
    """As Mininet names them: no agent, no host_name, but one ifname each."""
    client.feed(counter_sample(4), counter_sample(6), agent=AGENT)
    names = {"links": {"s1-s2": {"node1": "s1", "port1": "s1-eth4", "node2": "s2", "port2": "s1-eth6"}}}
    client.put("/topology/json", names)
    assert link_of(client, AGENT, 6) == ["s1-s2"]
    assert client.get("/topology/json")["found"]["links"] == {
        "s1-s2": [{"agent": AGENT, "ifindex": "4"}, {"agent": AGENT, "ifindex": "6"}]
    }


def test_a_name_that_several_agents_have_is_nobodys(client):
    for agent in (LEAF, SPINE):
        client.feed(counter_sample(4), counter_sample(6), agent=agent)
    names = {"links": {"s1-s2": {"node1": "s1", "port1": "s1-eth4", "node2": "s2", "port2": "s1-eth6"}}}
    assert client.request("PUT", "/topology/json", json=names).status_code == 200
    assert client.get("/topology/json")["found"]["links"] == {}


def test_ports_are_found_by_their_openflow_numbers(client):
    client.feed(openflow_sample(31, 0x1, 2), agent=LEAF)
    client.feed(openflow_sample(32, 0x2, 1), agent=SPINE)
    document = {
        "nodes": {
            "s1": {"dpid": "0000000000000001", "ports": {"a": {"ofport": 2}}},
            "s2": {"ports": {"b": {"dpid": "2", "ofport": 1}}},
        },
        "links": {"s1-s2": {"node1": "s1", "port1": "a", "node2": "s2", "port2": "b"}},
    }
    client.put("/topology/json", document)
    assert client.get("/topology/json")["found"]["links"] == {
        "s1-s2": [{"agent": LEAF, "ifindex": "31"}, {"agent": SPINE, "ifindex": "32"}]
    }


def test_a_port_that_moved_is_found_again(client):
    """After a restart a switch may have numbered its ports anew."""
    client.feed(host_sample("leaf1"), counter_sample(5), agent=LEAF)
    client.feed(host_sample("spine1"), counter_sample(1), agent=SPINE)
    client.put("/topology/json", LINKS)
    for minute in range(15):
        client.now += 60
        client.feed(host_sample("leaf1", sequence=minute + 2), counter_sample(5, sequence=minute + 2), agent=LEAF)
        client.feed(host_sample("spine1", sequence=minute + 2), agent=SPINE)
        client.engine.tick(client.now)
    assert client.get("/topology/json")["found"]["links"] == {}
    renamed = counter_sample(9).replace(b"s1-eth9", b"s1-eth1")
    client.feed(renamed, agent=SPINE)
    client.now += 6
    client.engine.tick(client.now)
    assert client.get("/topology/json")["found"]["links"]["l1"][1] == {"agent": SPINE, "ifindex": "9"}


def test_a_document_that_says_all_is_answered_as_it_was_put(client):
    client.put("/topology/json", TOPOLOGY)
    assert client.get("/topology/json") == {"version": 1, **TOPOLOGY}
