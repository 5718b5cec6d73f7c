"""What is passed on to other collectors, received by real UDP sockets on loopback and decoded again."""

import socket
import struct

import pytest

from analytics.core import relay
from analytics.core.wire import sflow
from analytics.export import sender
from tests.analytics.api.application import AGENT, Client, counter_sample, flow_sample, host_sample
from tests.analytics.examples import wire
from tests.patience import PATIENCE_S

OTHER = "192.168.1.10"
V6_AGENT = "2001:db8::9"


@pytest.fixture
def client():
    made = Client()
    made.sender = made.app.state.api.sender
    made.sender.bind()
    yield made
    made.sender.stop()


@pytest.fixture
def collector():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(PATIENCE_S)
        yield made


def received(client, collector):
    """What arrives when all that waits is sent, and an empty datagram behind it."""
    client.sender.send_waiting()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.sendto(b"", collector.getsockname())
    return list(iter(lambda: collector.recv(65536), b""))


def forward(client, collector, **more):
    client.put("/forwarding/f/json", {"address": "127.0.0.1", "port": collector.getsockname()[1], **more})


def rent(client, collector, **filters):
    port = collector.getsockname()[1]
    spec = {"collectorAddress": "127.0.0.1", "collectorPort": port, "filters": filters}
    client.put("/tenant/t/json", spec)


def test_datagrams_are_passed_on_as_they_came(client, collector):
    forward(client, collector)
    sent = [wire.datagram(flow_sample(4), agent=AGENT, sequence=1), wire.datagram(counter_sample(4), agent=OTHER)]
    sent.append(wire.datagram(flow_sample(4), agent=V6_AGENT) + bytes(4))
    client.engine.feed(sent, client.now)
    assert received(client, collector) == sent
    assert client.get("/forwarding/json") == {
        "f": {"address": "127.0.0.1", "port": collector.getsockname()[1], "datagrams": 3, "lost": 0}
    }


def test_what_came_twice_or_is_no_sflow_is_not(client, collector):
    """So two programs that pass everything on to each other do it once."""
    forward(client, collector)
    once = wire.datagram(flow_sample(4), agent=AGENT)
    client.engine.feed([once, once, b"not sflow"], client.now)
    assert received(client, collector) == [once]
    client.engine.feed([once], client.now)
    assert received(client, collector) == []


def test_only_listed_agents_are_passed_on(client, collector):
    forward(client, collector, agents=[OTHER, "2001:DB8::9"])
    for agent in (AGENT, OTHER, V6_AGENT, "2001:db8::1"):
        client.feed(flow_sample(4), agent=agent)
    passed = [sflow.decode(datagram)["agent"] for datagram in received(client, collector)]
    assert passed == [socket.inet_aton(OTHER), socket.inet_pton(socket.AF_INET6, V6_AGENT)]
    assert client.get("/forwarding/f/json")["agents"] == [OTHER, V6_AGENT]


def test_a_forwarding_ends(client, collector):
    forward(client, collector)
    client.feed(flow_sample(4))
    assert client.request("DELETE", "/forwarding/f/json").status_code == 204
    client.feed(flow_sample(4))
    assert received(client, collector) == []
    assert client.get("/forwarding/json") == {}
    for method in ("GET", "DELETE"):
        assert client.refusal(method, "/forwarding/f/json") == (404, "no forwarding 'f'")


def test_counts_go_on_when_another_target_comes(client, collector):
    forward(client, collector)
    client.feed(flow_sample(4))
    rent(client, collector, ifindex=[f"{AGENT}_4"])
    client.feed(flow_sample(4))
    assert client.get("/forwarding/json")["f"]["datagrams"] == 2
    assert client.get("/tenant/json")["t"]["samples"] == 1


def test_what_does_not_fit_is_counted(client, collector):
    forward(client, collector)
    padding = wire.record(77, bytes(40_000))
    count = 4 * 1024 * 1024 // 40_000 + 10
    for _ in range(count):
        client.feed(wire.flow_sample(padding))
    sent = client.get("/forwarding/json")["f"]
    assert sent["datagrams"] + sent["lost"] == count
    assert sent["lost"] >= 10
    client.sender.send_waiting()
    client.feed(flow_sample(4))
    assert client.get("/forwarding/json")["f"]["datagrams"] == sent["datagrams"] + 1


# Tenants

FRAME = wire.ethernet(wire.ipv4(wire.tcp(), 6, "10.0.0.1", "10.0.0.3"))
FRAME6 = wire.ethernet(wire.ipv6(wire.tcp(), 6, "2001:db8::1", "2001:db8::2"), 0x86DD)


def sample(frame=FRAME, source=4, ports=(4, 9), sequence=1):
    return wire.flow_sample(wire.sampled_header(frame), sequence=sequence, source=(0, source), ports=ports)


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        ({"ifindex": [f"{AGENT}_4"]}, [0]),
        ({"ifindex": [f"{AGENT}_9"]}, [0, 3]),
        ({"ifindex": [f"{AGENT}_7"]}, [1, 3]),
        ({"ifindex": [f"{OTHER}_4"]}, []),
        ({"ifindex": [f"{AGENT}_5"]}, [2]),
        ({"ifindex": [f"{AGENT}_4", f"{AGENT}_5"]}, [0, 2]),
        ({"cidr": ["10.0.0.0/24"]}, [0, 3]),
        ({"cidr": ["10.0.0.3"]}, [0, 3]),
        ({"cidr": ["10.0.0.2/31"]}, [0, 3]),
        ({"cidr": ["10.0.0.2"]}, []),
        ({"cidr": ["2001:db8::2/128"]}, [1]),
        ({"cidr": ["::/0"]}, [0, 1, 3]),
        ({"cidr": ["0.0.0.0/0"]}, [0, 3]),
        ({"mac": ["000000000001"]}, [0, 1, 3]),
        ({"mac": ["00:00:00:00:00:02"]}, [0, 1, 3]),
        ({"mac": ["000000000003"]}, []),
        ({"mac": ["000000000003"], "cidr": ["2001:db8::/32"], "ifindex": [f"{AGENT}_5"]}, [1, 2]),
    ],
)
def test_a_tenant_gets_what_matches_one_filter(client, collector, filters, chosen):
    rent(client, collector, **filters)
    samples = [sample(), sample(FRAME6, 6, (6, 7)), counter_sample(5), sample(source=7, ports=(8, 9), sequence=2)]
    client.feed(*samples, host_sample("leaf1"))
    expected = [wire.datagram(*(samples[number] for number in chosen), agent=AGENT, sequence=1)] if chosen else []
    assert received(client, collector) == expected
    counts = client.get("/tenant/json")["t"]
    assert (counts["samples"], counts["datagrams"], counts["lost"]) == (len(chosen), len(expected), 0)


def test_a_packet_in_a_tunnel_is_its_tenants_too(client, collector):
    rent(client, collector, cidr=["10.9.9.0/24"])
    inner = wire.ethernet(wire.ipv4(wire.tcp(), 6, "10.9.9.1", "10.9.9.2"))
    vxlan = struct.pack(">II", 0x08000000, 5 << 8) + inner
    client.feed(sample(wire.ethernet(wire.ipv4(wire.udp(1234, 4789, vxlan), 17, "10.0.0.1", "10.0.0.2"))))
    assert len(received(client, collector)) == 1


def test_a_tenants_datagrams_are_numbered_without_gaps(client, collector):
    rent(client, collector, cidr=["10.0.0.0/24"])
    for number in range(6):
        client.feed(sample() if number % 2 else sample(FRAME6, 6, (6, 7)))
        client.feed(sample(), agent=V6_AGENT)
    decoded = [sflow.decode(datagram) for datagram in received(client, collector)]
    by_agent = {}
    for datagram in decoded:
        assert len(datagram["samples"]) == 1
        by_agent.setdefault(datagram["agent"], []).append(datagram["sequence"])
    assert by_agent == {
        socket.inet_aton(AGENT): [1, 2, 3],
        socket.inet_pton(socket.AF_INET6, V6_AGENT): [1, 2, 3, 4, 5, 6],
    }


def test_a_port_by_name_is_found_when_the_switch_says_it(client, collector):
    rent(client, collector, ifname=[f"{AGENT}_s1-eth4"])
    client.feed(sample())
    assert received(client, collector) == []
    client.feed(counter_sample(4))
    for _ in client.sender.look_up_names():
        pass
    client.feed(sample())
    assert len(received(client, collector)) == 1


def test_what_a_tenant_was_put_is_answered(client, collector):
    spec = (
        "{collectorAddress:'127.0.0.1',filters:{mac:['D8D385B2DD2B'],ifindex:['10.0.0.1_2'],ifname:['10.0.0.1_a_b']}}"
    )
    client.put("/tenant/t/json", spec)
    assert client.get("/tenant/t/json") == {
        "collectorAddress": "127.0.0.1",
        "collectorPort": 6343,
        "filters": {"mac": ["D8D385B2DD2B"], "ifindex": ["10.0.0.1_2"], "ifname": ["10.0.0.1_a_b"]},
    }
    assert client.request("DELETE", "/tenant/t/json").status_code == 204
    assert client.refusal("GET", "/tenant/t/json") == (404, "no tenant 't'")


@pytest.mark.parametrize(
    ("path", "spec", "said"),
    [
        ("/forwarding/f/json", {}, "address is missing or not the address of a machine: 'None'"),
        ("/forwarding/f/json", {"address": "collector.example"}, "'collector.example'"),
        ("/forwarding/f/json", {"address": "224.0.0.1"}, "'224.0.0.1'"),
        ("/forwarding/f/json", {"address": "10.0.0.1", "port": 0}, "port is not a port from 1 to 65535: '0'"),
        ("/forwarding/f/json", {"address": "10.0.0.1", "port": 70000}, "'70000'"),
        ("/forwarding/f/json", {"address": "10.0.0.1", "agents": "ALL"}, "agents is not a list"),
        ("/forwarding/f/json", {"address": "10.0.0.1", "agents": ["x"]}, "agents is missing or not the address"),
        ("/forwarding/f/json", {"address": "10.0.0.1", "agent": "x"}, "unknown attribute 'agent'"),
        ("/forwarding/a:b/json", {"address": "10.0.0.1"}, "character ':' is not allowed"),
        ("/tenant/t/json", {"collectorAddress": "10.0.0.1"}, "filters is missing or chooses nothing"),
        ("/tenant/t/json", {"collectorAddress": "10.0.0.1", "filters": {"mac": []}}, "chooses nothing"),
        ("/tenant/t/json", {"filters": {"mac": ["000000000001"]}}, "collectorAddress is missing"),
        ("/tenant/t/json", {"collectorAddress": "10.0.0.1", "filters": {"vlan": ["5"]}}, "unknown attribute 'vlan'"),
        ("/tenant/t/json", {"collectorAddress": "10.0.0.1", "filters": {"mac": ["0001"]}}, "'0001' is not a MAC"),
        ("/tenant/t/json", {"collectorAddress": "10.0.0.1", "filters": {"mac": "x"}}, "filter 'mac' is not a list"),
        ("/tenant/t/json", {"collectorAddress": "10.0.0.1", "filters": {"cidr": ["10/99"]}}, "'10/99' is not an"),
        ("/tenant/t/json", {"collectorAddress": "10.0.0.1", "filters": {"cidr": [5]}}, "'5' is not text"),
        (
            "/tenant/t/json",
            {"collectorAddress": "10.0.0.1", "filters": {"ifindex": ["4"]}},
            "'4' is not <agent>_",
        ),
        ("/tenant/t/json", {"collectorAddress": "10.0.0.1", "filters": {"ifindex": ["10.0.0.1_x"]}}, "<ifIndex>"),
        ("/tenant/t/json", {"collectorAddress": "10.0.0.1", "filters": {"ifname": ["leaf1_x"]}}, "'leaf1_x' is not"),
    ],
)
def test_wrong_targets_are_named(client, path, spec, said):
    status, line = client.refusal("PUT", path, json=spec)
    assert (status, said in line) == (400, True), line


def test_targets_are_bounded_in_number(client):
    for number in range(sender.MOST_TARGETS):
        client.put(f"/forwarding/f{number}/json", {"address": "127.0.0.1"})
    status, line = client.refusal("PUT", "/forwarding/more/json", json={"address": "127.0.0.1"})
    assert (status, line) == (400, "'more': more than 32 forwardings and tenants")
    client.put("/forwarding/f0/json", {"address": "127.0.0.2"})  # one that exists may change


def test_nothing_is_sent_to_our_own_port(client):
    client.sender.own_port = 6343
    refusal = (400, "forwarding 'f': 127.0.0.1 port 6343 is where this program itself receives")
    assert client.refusal("PUT", "/forwarding/f/json", json={"address": "127.0.0.1"}) == refusal
    client.put("/forwarding/f/json", {"address": "192.0.2.1"})  # another machine's
    client.put("/forwarding/g/json", {"address": "127.0.0.1", "port": 6344})


def test_the_program_passes_on(start, collector, eventually):
    """With its thread, after root became somebody else."""
    program = start()
    body = {"address": "127.0.0.1", "port": collector.getsockname()[1]}
    assert program.http.put("/forwarding/f/json", json=body).status_code == 204
    program.send()
    assert sflow.decode(collector.recv(65536))["sequence"] == 1
    own = {"address": "127.0.0.1", "port": int(program.source.rpartition(":")[2])}
    assert program.http.put("/forwarding/own/json", json=own).status_code == 400
    assert eventually(lambda: program.http.get("/forwarding/json").json()["f"]["datagrams"]) == 1
    assert program.end() == (0, "")


def test_the_core_takes_no_more_targets_than_it_has_room_for():
    with pytest.raises(ValueError, match="more than 32 targets"):
        relay.Relay().set_targets([((),)] * 33)
