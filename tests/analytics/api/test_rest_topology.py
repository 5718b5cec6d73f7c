"""The topology over HTTP: what it takes, and what it finds of documents that have names only."""

import struct

import pytest

from analytics.geo import VendorFile
from analytics.lookups import Sources
from tests.analytics.api.application import (
    AGENT,
    TOPOLOGY,
    Client,
    counter_sample,
    flow_sample,
    host_sample,
    openflow_sample,
)
from tests.analytics.examples import wire

LEAF, SPINE = "10.0.0.1", "10.0.0.2"
LINKS = {"links": {"l1": {"node1": "leaf1", "port1": "s1-eth5", "node2": "spine1", "port2": "s1-eth1"}}}
PAIR = {"keys": "link:inputifindex,ipsource", "value": "bytes"}


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


# Questions about the graph (sflow-rt-api.md 6)

FABRIC = {
    "nodes": {
        "leaf1": {"agent": LEAF, "tags": {"role": "leaf"}, "ports": {"up": {"ifindex": "5"}, "h1": {"ifindex": "4"}}},
        "spine1": {"agent": SPINE, "ports": {"down/1": {"ifindex": "1"}}},
        "leaf2": {"ports": {}},
    },
    "links": {
        "l1": {"node1": "leaf1", "port1": "up", "node2": "spine1", "port2": "down/1", "tags": {"speed": "10"}},
        "l2": {"node1": "leaf2", "port1": "up", "node2": "spine1", "port2": "down/2"},
    },
    "hosts": {"h1": {"node": "leaf1", "port": "h1", "mac": "00:04:00:00:01:01", "ipv4": "10.0.1.1"}},
}
FIRST_END = {"node": "leaf1", "port": "up", "agent": LEAF, "ifindex": "5"}


@pytest.fixture
def fabric(client):
    client.request("PUT", "/topology/json", json=FABRIC)
    return client


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("nodes/json", ["leaf1", "spine1", "leaf2"]),
        (f"nodes/json?agent={SPINE}", ["spine1"]),
        (f"nodes/json?agent={LEAF}&ifindex=4", ["leaf1"]),
        (f"nodes/json?agent={LEAF}&ifindex=9", []),
        ("links/json", ["l1", "l2"]),
        ("links/json?node=leaf2", ["l2"]),
        ("links/json?node=spine1", ["l1", "l2"]),
        (
            "node/json?node=leaf1",
            {
                "agent": LEAF,
                "tags": {"role": "leaf"},
                "ports": {"up": {"ifindex": "5"}, "h1": {"ifindex": "4"}},
                "links": ["l1"],
            },
        ),
        ("node/json?node=leaf2", {"ports": {"up": {}}, "links": ["l2"]}),
        (
            "link/json?link=l1",
            FABRIC["links"]["l1"]
            | {"interfaces": [FIRST_END, {"node": "spine1", "port": "down/1", "agent": SPINE, "ifindex": "1"}]},
        ),
        (
            "link/json?link=l2",
            FABRIC["links"]["l2"]
            | {"interfaces": [{"node": "leaf2", "port": "up"}, {"node": "spine1", "port": "down/2", "agent": SPINE}]},
        ),
        (
            f"interface/json?agent={SPINE}&ifindex=1",
            {
                "node": "spine1",
                "port": "down/1",
                "linkname": "l1",
                "localnode": "spine1",
                "localport": "down/1",
                "remotenode": "leaf1",
                "remoteport": "up",
            },
        ),
        (f"interface/json?agent={LEAF}&ifindex=4", {"node": "leaf1", "port": "h1"}),
        ("paths/json?from=leaf1&to=leaf2", [{"nodes": ["leaf1", "spine1", "leaf2"], "links": ["l1", "l2"]}]),
        ("paths/json?from=leaf1&to=leaf2&k=5&maxlen=1", []),
        ("diameter/json", 2),
        ("spanningtree/json", ["l1", "l2"]),
    ],
)
def test_questions_about_the_topology(fabric, question, answer):
    assert fabric.get(f"/v1/topology/{question}") == answer


@pytest.mark.parametrize(
    ("question", "refusal"),
    [
        ("node/json?node=x", (404, "no node 'x' in the topology")),
        ("node/json", (400, "query parameter 'node' is missing")),
        ("link/json?link=x", (404, "no link 'x' in the topology")),
        ("linkmetric/json?link=x&metric=ifspeed", (404, "no link 'x' in the topology")),
        ("linkmetric/json?link=l1&metric=,", (400, "',' names no metric")),
        (
            f"interface/json?agent={LEAF}&ifindex=9",
            (404, f"the topology has no port of agent '{LEAF}' with ifindex '9'"),
        ),
        ("paths/json?from=leaf1&to=x", (404, "no node 'x' in the topology")),
        ("paths/json?from=leaf1&to=leaf2&k=65", (400, "k '65' is not an integer of at least 1 and at most 64")),
    ],
)
def test_questions_that_have_no_answer(fabric, question, refusal):
    assert fabric.refusal("GET", f"/v1/topology/{question}") == refusal


def test_metrics_at_the_ends_of_a_link(fabric):
    fabric.feed(counter_sample(5, speed=50), agent=LEAF)
    fabric.feed(counter_sample(1, speed=10), agent=SPINE)

    def cells(query):
        found = fabric.get(f"/v1/topology/linkmetric/json?{query}")
        return [(cell["agent"], cell["dataSource"], cell["metricName"], cell.get("metricValue")) for cell in found]

    both = [
        (LEAF, "5", "ifspeed", 50),
        (LEAF, "5", "ifindex", 5),
        (SPINE, "1", "ifspeed", 10),
        (SPINE, "1", "ifindex", 1),
    ]
    assert cells("link=l1&metric=ifspeed,ifindex") == both
    assert cells("link=l1&metric=ifspeed&node=spine1") == [both[2]]
    assert cells("link=l1&metric=nothing") == [(LEAF, "5", "nothing", None), (SPINE, "1", "nothing", None)]


HOST = {"node": "leaf1", "port": "h1", "agent": LEAF, "ifindex": "4"}
SAID = HOST | {"mac": "000400000101", "name": "h1", "ipaddress": "10.0.1.1"}
LEARNT = HOST | {"mac": "000000000001", "ipaddress": "10.0.0.1"}


def test_hosts_are_found_where_their_packets_come_in(fabric):
    assert fabric.get("/v1/topology/locate/json") == [SAID]
    fabric.feed(flow_sample(4), flow_sample(5, source="10.7.7.7"), agent=LEAF)
    fabric.feed(flow_sample(1), agent=SPINE)
    assert fabric.get("/v1/topology/locate/json") == [SAID, LEARNT]
    for address in ("10.0.0.1", "000000000001", "00:00:00:00:00:01", "0000.0000.0001"):
        assert fabric.get(f"/v1/topology/locate/json?address={address}") == [LEARNT], address
    for address in ("h1", "00:04:00:00:01:01", "10.0.1.1"):
        assert fabric.get(f"/v1/topology/locate/json?address={address}") == [SAID], address
    for nobody in ("10.0.0.11", "h2", "10.7.7.7", "ff:ff:ff:ff:ff:ff"):
        assert fabric.get(f"/v1/topology/locate/json?address={nobody}") == [], nobody
    assert fabric.get(f"/v1/topology/locate/json?agent={LEAF}&ifindex=4") == [SAID, LEARNT]
    assert fabric.get(f"/v1/topology/locate/json?agent={SPINE}") == []
    assert fabric.get("/app/topology/scripts/topology.js/locate/json?address=10.0.0.1") == [LEARNT]


@pytest.mark.parametrize(
    ("tag", "said", "vlan"), [(7, 0, "7"), (7, 9, "7"), (None, 9, "9"), (None, 0, None), (None, None, None)]
)
def test_hosts_have_the_vlan_of_their_tag_or_else_the_one_the_switch_says(fabric, tag, said, vlan):
    fabric.get("/v1/topology/locate/json")
    packet = wire.ipv4(wire.tcp(), 6, "10.0.0.1", "10.0.0.3")
    tagged = wire.ethernet(struct.pack(">HH", tag or 0, 0x0800) + packet, 0x8100)
    frame = wire.ethernet(packet) if tag is None else tagged
    switch = [] if said is None else [wire.record(1001, wire.words(said, 0, 12, 0))]
    fabric.feed(wire.flow_sample(wire.sampled_header(frame), *switch, source=(0, 4), ports=(4, 9)), agent=LEAF)
    found = [row.get("vlan") for row in fabric.get("/v1/topology/locate/json?address=10.0.0.1")]
    assert found == [vlan]


def test_a_host_of_the_document_gets_its_vlan_and_stays_one_row(fabric):
    fabric.get("/v1/topology/locate/json")
    head = bytes.fromhex("000000000002000400000101810000070800")
    frame = head + wire.ipv4(wire.tcp(), 6, "10.0.1.1", "10.0.0.3")
    fabric.feed(wire.flow_sample(wire.sampled_header(frame), source=(0, 4), ports=(4, 9)), agent=LEAF)
    assert fabric.get("/v1/topology/locate/json") == [SAID | {"vlan": "7"}]


def test_hosts_have_their_vendor_where_there_is_a_file_of_them(tmp_path):
    file = tmp_path / "oui.csv"
    file.write_text('Registry,Assignment,Organization Name,Organization Address\nMA-L,000400,"Lexmark, Inc.",x\n')
    fabric = Client(sources=Sources(vendors=VendorFile(str(file))))
    fabric.request("PUT", "/topology/json", json=FABRIC)
    fabric.get("/v1/topology/locate/json")
    fabric.feed(flow_sample(4), agent=LEAF)
    assert fabric.get("/v1/topology/locate/json") == [SAID | {"ouiname": "Lexmark, Inc."}, LEARNT]


def test_hosts_that_are_silent_are_forgotten(fabric):
    fabric.get("/v1/topology/locate/json")
    fabric.feed(flow_sample(4), agent=LEAF)
    for minute in range(14):
        if minute == 10:
            assert fabric.get("/v1/topology/locate/json") == [SAID, LEARNT]
        fabric.now += 60
        fabric.feed(counter_sample(4, sequence=minute + 1), agent=LEAF)
        fabric.engine.tick(fabric.now)
    assert fabric.get("/v1/topology/locate/json") == [SAID]


def test_hosts_are_learnt_no_longer_than_somebody_asks(fabric):
    fabric.get("/v1/topology/locate/json")
    fabric.app.state.api.topologies._unlearn()
    assert fabric.get("/flow/json") == {}


# The topology app (sflow-rt-api.md 5.5)

APP = "/app/topology/scripts/topology.js"


def test_the_apps_status(fabric):
    fabric.feed(counter_sample(5, in_octets=0), counter_sample(4, in_octets=0), flow_sample(4), agent=LEAF)
    fabric.feed(counter_sample(1), agent=SPINE)
    fabric.now += 10
    fabric.feed(counter_sample(4, in_octets=5000, sequence=2), agent=LEAF)
    status = fabric.get(f"{APP}/status/json")
    assert status["links"] == {
        "total": 2,
        "monitored": 1,
        "up": 1,
        "down": 0,
        "details": {"unmonitored": ["l2"], "down": []},
    }
    assert status["nodes"] == {
        "total": 3,
        "monitored": 2,
        "flows": 1,
        "noflows": 1,
        "details": {"unmonitored": ["leaf2"], "noflows": ["spine1"]},
    }
    assert status["traffic"] == {"speed": 10_000_000, "bps": 4000, "pps": 0, "discards": 0, "errors": 0}
    lines = fabric.text(f"{APP}/prometheus/txt").splitlines()
    assert {'topology_links{status="up"} 1', 'topology_nodes{status="total"} 3', "topology_traffic_bps 4000.0"} <= set(
        lines
    )


def test_a_link_with_a_port_down_is_down(fabric):
    down = openflow_sample(1, 1, 1).replace(b"\x00\x00\x00\x03", b"\x00\x00\x00\x01", 1)
    fabric.feed(counter_sample(5), agent=LEAF)
    fabric.feed(down, agent=SPINE)
    assert fabric.get(f"{APP}/status/json")["links"]["details"] == {"unmonitored": ["l2"], "down": ["l1"]}


def test_the_apps_agents_and_document(client):
    client.feed(counter_sample(4), agent="10.9.9.9")
    for method in ("PUT", "POST"):
        answer = client.request(method, f"{APP}/topology/json", json=FABRIC | {"from": method})
        assert answer.status_code == 200
        assert client.get(f"{APP}/topology/json")["from"] == method
    assert client.get("/topology/json")["version"] == 2
    assert client.get(f"{APP}/agents/json") == {"leaf1": LEAF, "spine1": SPINE}
    assert client.get(f"{APP}/unknown/json") == ["10.9.9.9"]
