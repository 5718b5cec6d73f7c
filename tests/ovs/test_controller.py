"""The real Ryu application against a real Open vSwitch (dummy mode): what happens to packets, and through restarts.

The fabric is 2 leaves x 2 spines x 2 hosts with patch ports for links. `ofproto/trace` shows where a packet goes, but
cannot hash; behind select groups real packets are sent and counted.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess

import pytest
import requests

from controller.topology import Fabric
from tests.patience import PATIENCE_S
from tests.processes import is_running
from tests.ryu_manager import BIN, Controller, free_ports
from topologies.leafspine import leafspine

SPEC = leafspine(2, 2, 2, 5)


def build(ovs, controller):
    """The bridges and ports of SPEC; every bridge connects to the controller."""
    words = []
    far = {}
    for link in SPEC.links.values():
        far[link.port1], far[link.port2] = link.port2, link.port1
    for node in SPEC.nodes.values():
        ovs.add_bridge(node.name, f"other_config:datapath-id={node.dpid}")
        for port in node.ports.values():
            kind = ["type=patch", f"options:peer={far[port.name]}"] if port.name in far else ["type=dummy"]
            words += ["--", "add-port", node.name, port.name, "--", "set", "interface", port.name, *kind,
                      f"ofport_request={port.ofport}"]  # fmt: skip
        words += ["--", "set-controller", node.name, f"tcp:127.0.0.1:{controller.openflow}"]
    ovs.vsctl(*words[1:])
    ovs.vsctl(*[w for n in SPEC.nodes for w in ("--", "set", "controller", n, "max_backoff=1000")][1:])


@pytest.fixture
def fabric(private_ovs, tmp_path, eventually):
    controller = Controller(tmp_path, SPEC.to_json())
    controller.start()
    try:
        build(private_ovs, controller)
        eventually(lambda: controller.connected(4))
        eventually(lambda: is_programmed(private_ovs, controller))
        yield private_ovs, controller
        assert controller.process is None or not controller.own_faults()
    finally:
        controller.stop()


def is_programmed(ovs, controller):
    """Whether every switch holds the rules and groups that the controller has told it."""
    groups = [group["switch"] for group in controller.get("ecmp")]
    return all(
        len(flows(ovs, switch["name"])) == sum(switch["rules"].values())
        and ovs.ofctl("dump-groups", switch["name"], version="OpenFlow15").count("type=select")
        == groups.count(switch["name"])
        for switch in controller.get("fabric")["switches"]
    )


def flows(ovs, bridge):
    return [line for line in ovs.ofctl("dump-flows", bridge, version="OpenFlow15").splitlines() if "cookie" in line]


def tree_rules(ovs, bridge):
    """The rules of kinds TREE and ARP_TRANSIT."""
    return [line for line in flows(ovs, bridge) if re.search("cookie=0x486f770[58]", line)]


def without_ages(lines):
    return sorted(re.sub(r"(duration|idle_age|n_packets|n_bytes)=[^,]*,? ?", "", line) for line in lines)


def age(lines):
    return min(float(re.search(r"duration=([\d.]+)s", line).group(1)) for line in lines)


def trace(ovs, port, **fields):
    """Where a packet that comes in at `port` goes: the bridges it crosses, and what ovs-vswitchd says of it."""
    bridge = port.split("-")[0]
    number = SPEC.nodes[bridge].ports[port].ofport
    flow = ",".join([f"in_port={number}", *(f"{name}={value}" for name, value in fields.items())])
    text = ovs.appctl("ofproto/trace", bridge, flow)
    return re.findall(r'bridge\("(\w+)"\)', text), text


def udp(source, destination, sport, dport, **more):
    hosts = {host.name: host for host in SPEC.hosts.values()}
    a, b = hosts[source], hosts[destination]
    return {
        "dl_src": a.mac, "dl_dst": b.mac, "dl_type": "0x0800", "nw_src": a.ipv4, "nw_dst": b.ipv4,
        "nw_proto": 17, "nw_ttl": 64, "udp_src": sport, "udp_dst": dport, **more,
    }  # fmt: skip


def send(ovs, port, source, destination, sport):
    """One UDP datagram from host to host, put in at `port`."""
    hosts = {host.name: host for host in SPEC.hosts.values()}
    a, b = hosts[source], hosts[destination]
    packet = (
        f"in_port(1),eth(src={a.mac},dst={b.mac}),eth_type(0x0800),"
        f"ipv4(src={a.ipv4},dst={b.ipv4},proto=17,tos=0,ttl=64,frag=no),udp(src={sport},dst=80)"
    )
    ovs.appctl("netdev-dummy/receive", port, packet)


def forwarded(ovs, bridge, host):
    """Packets that `bridge` forwarded to a host, by its rule's counter."""
    mac = SPEC.hosts[host].mac
    (line,) = [line for line in flows(ovs, bridge) if f"dl_dst={mac}" in line]
    return int(re.search(r"n_packets=(\d+)", line).group(1))


def test_hosts_of_one_leaf_reach_each_other_without_a_spine(fabric):
    ovs, _ = fabric
    crossed, text = trace(ovs, "leaf1-eth1", **udp("h1", "h2", 1, 2))
    assert crossed == ["leaf1"]
    assert "output:2" in text


def test_udp_between_two_hosts_spreads_over_both_spines_by_its_ports(fabric, eventually):
    ovs, _ = fabric
    for port in range(1000, 1032):
        send(ovs, "leaf1-eth1", "h1", "h3", port)
    eventually(lambda: ovs.sent_out("leaf2", "leaf2-eth1") == 32)
    eventually(lambda: sum(forwarded(ovs, spine, "h3") for spine in ("spine1", "spine2")) == 32)
    assert min(forwarded(ovs, spine, "h3") for spine in ("spine1", "spine2")) >= 4


def test_every_leaf_hashes_on_a_basis_of_its_own(fabric):
    ovs, _ = fabric
    groups = [ovs.ofctl("dump-groups", leaf, version="OpenFlow15") for leaf in ("leaf1", "leaf2")]
    bases = [re.search(r"selection_method=dp_hash,selection_method_param=(\d+)", group).group(1) for group in groups]
    assert bases[0] != bases[1]
    assert all(0 < int(basis) < 1 << 32 for basis in bases)


def test_broadcast_reaches_every_other_host_once(fabric):
    ovs, _ = fabric
    packet = udp("h1", "h3", 1, 2, dl_dst="ff:ff:ff:ff:ff:ff", nw_dst="255.255.255.255")
    crossed, text = trace(ovs, "leaf1-eth1", **packet)
    assert len(crossed) == len(set(crossed))
    out = re.findall(r"Datapath actions: (.*)", text)[-1].split(",")
    assert len(out) == len(set(out)) == 3


def arp_reaches(ovs, source, destination):
    """Where ARP that a host sends to a MAC goes: host ports by name, and "controller" for each copy, sorted."""
    host = SPEC.hosts[source]
    _, text = trace(ovs, host.port, dl_src=host.mac, dl_dst=destination, dl_type="0x0806", arp_op=1)
    names = {number: name for name, number in re.findall(r"(\S+) \d+/(\d+): \(dummy\)", ovs.appctl("dpif/show"))}
    actions = re.findall(r"Datapath actions: (.*)", text)[-1]
    copies, out = re.findall(r"userspace\(.*?\)\)", actions), re.sub(r"userspace\(.*?\)\),?", "", actions)
    assert all("controller(" in copy for copy in copies)
    return sorted(["controller" for _ in copies] + [names[number] for number in out.split(",")])


def connected_switches(ovs):
    return ovs.vsctl("--bare", "--columns=is_connected", "list", "controller").split().count("true")


@pytest.mark.parametrize("destination", ["ff:ff:ff:ff:ff:ff", "02:00:00:00:00:99"], ids=["broadcast", "unknown MAC"])
def test_arp_reaches_every_other_host_once_and_needs_no_controller(fabric, eventually, destination):
    ovs, controller = fabric
    from_h1 = ["controller", "leaf1-eth2", "leaf2-eth1", "leaf2-eth2"]
    from_h4 = ["controller", "leaf1-eth1", "leaf1-eth2", "leaf2-eth1"]
    eventually(lambda: arp_reaches(ovs, "h1", destination) == from_h1)
    eventually(lambda: arp_reaches(ovs, "h4", destination) == from_h4)
    controller.stop(signal.SIGKILL)
    eventually(lambda: connected_switches(ovs) == 0)
    assert arp_reaches(ovs, "h1", destination) == from_h1
    assert arp_reaches(ovs, "h4", destination) == from_h4


def test_arp_to_a_known_host_on_its_leaf_goes_to_that_host_alone(fabric):
    ovs, _ = fabric
    assert arp_reaches(ovs, "h1", SPEC.hosts["h2"].mac) == ["controller", "leaf1-eth2"]


def test_a_restarted_controller_adopts_and_changes_nothing(fabric, eventually):
    ovs, controller = fabric
    before = {name: flows(ovs, name) for name in SPEC.nodes}
    controller.stop(signal.SIGKILL)
    controller.start()
    eventually(lambda: controller.connected(4))
    after = {name: flows(ovs, name) for name in SPEC.nodes}
    assert {name: without_ages(lines) for name, lines in after.items()} == {
        name: without_ages(lines) for name, lines in before.items()
    }
    assert all(age(after[name]) > age(before[name]) for name in SPEC.nodes)
    assert "add-flow" not in controller.log.read_text().rpartition("loading app controller.app")[2]


def test_a_restarted_switch_is_programmed_again(fabric, eventually):
    ovs, controller = fabric
    before = without_ages(flows(ovs, "leaf1"))
    ovs.stop_daemon("ovs-vswitchd", kill=True)
    eventually(lambda: controller.connected(0))
    ovs.start_switch()
    eventually(lambda: controller.connected(4))
    eventually(lambda: without_ages(flows(ovs, "leaf1")) == before)


def test_foreign_rules_survive(fabric, eventually):
    ovs, controller = fabric
    ovs.ofctl("add-flow", "leaf1", "cookie=0x77,table=0,priority=9,in_port=9,actions=drop", version="OpenFlow15")
    controller.stop(signal.SIGKILL)
    controller.start()
    eventually(lambda: controller.connected(4))
    assert any("cookie=0x77" in line for line in flows(ovs, "leaf1"))


def test_a_killed_analytics_comes_back(fabric, eventually):
    _, controller = fabric
    eventually(controller.analytics_alive)
    pid = controller.analytics_pid()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: controller.get("status")["analytics"]["starts"] == 2)

    def is_defined():
        with contextlib.suppress(requests.ConnectionError):
            url = f"http://127.0.0.1:{controller.analytics}/flow/howdah_flow/json"
            answer = requests.get(url, timeout=PATIENCE_S)
            return answer.ok and answer.json()["value"] == "bytes"

    eventually(is_defined)
    eventually(controller.analytics_alive)


def test_analytics_ends_with_a_killed_controller(fabric, eventually):
    _, controller = fabric
    eventually(controller.analytics_alive)
    pid = controller.analytics_pid()
    controller.stop(signal.SIGKILL)
    eventually(lambda: not is_running(pid))


def test_a_link_down_is_routed_around_and_comes_back(fabric, eventually):
    ovs, _ = fabric

    def members():
        return ovs.ofctl("dump-groups", "leaf1", version="OpenFlow15").count("bucket=")

    assert members() == 2
    ovs.vsctl("del-port", "spine1", "spine1-eth2")
    eventually(lambda: members() == 0)
    for port in range(2000, 2016):
        send(ovs, "leaf1-eth1", "h1", "h3", port)
    eventually(lambda: ovs.sent_out("leaf2", "leaf2-eth1") == 16)
    eventually(lambda: forwarded(ovs, "spine2", "h3") == 16)
    ovs.vsctl("add-port", "spine1", "spine1-eth2", "--", "set", "interface", "spine1-eth2", "type=patch",
              "options:peer=leaf2-eth3", "ofport_request=2")  # fmt: skip
    eventually(lambda: members() == 2)


def test_policy_is_validated_and_names_what_is_wrong(fabric):
    _, controller = fabric
    url = f"http://127.0.0.1:{controller.http}/v1/policy"
    for body, named in (('{"markin": true}', "markin"), ('{"dscp": 64}', "dscp"), ("nonsense", "/v1/policy")):
        answer = requests.put(url, data=body, timeout=PATIENCE_S)
        assert answer.status_code == 400
        assert named in answer.json()["error"]
    assert requests.put(url, data='{"steering": false}', timeout=PATIENCE_S).status_code == 204
    assert controller.get("policy")["steering"] is False
    assert requests.get(f"http://127.0.0.1:{controller.http}/v1/nothing", timeout=PATIENCE_S).status_code == 404


@pytest.mark.parametrize(
    "text, named",
    [
        ("controller:\n  toplogy: x\n", ":2: unknown key 'toplogy'"),
        ("controller:\n  topology: missing.json\n", "missing.json: cannot be read"),
        ("controller:\n  elephants: {share: 2}\n", "share 2"),
        ("controller:\n  listen: 0.0.0.0\n", "token"),
    ],
)
def test_a_bad_configuration_ends_the_start_with_one_line(tmp_path, text, named):
    path = tmp_path / "howdah.yaml"
    path.write_text(text)
    env = {**os.environ, "HOWDAH_CONFIG": str(path)}
    ports = [str(port) for port in free_ports(2)]
    done = subprocess.run(
        [BIN / "ryu-manager", "--ofp-tcp-listen-port", ports[0], "--wsapi-port", ports[1], "controller.app"],
        env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("howdah: ")]
    assert len(lines) == 1
    assert named in lines[0]
    assert "Traceback" not in done.stderr


def test_a_port_in_use_ends_the_start_with_one_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        for options in (("--wsapi-port", str(taken)), ("--ofp-tcp-listen-port", str(taken), "--wsapi-port", "0")):
            done = subprocess.run(
                [BIN / "ryu-manager", *options, "controller.app"],
                capture_output=True, text=True, timeout=PATIENCE_S, check=False,
            )  # fmt: skip
            assert done.returncode == 1
            assert f"port {taken} ({options[0]})" in done.stderr
            assert "Traceback" not in done.stderr


def test_a_switch_that_refuses_a_rule_is_named_and_the_rest_goes_on(private_ovs, tmp_path, eventually):
    """A full table refuses further rules; each is named, counted, and not sent again."""
    controller = Controller(tmp_path, SPEC.to_json())
    controller.start()
    try:
        private_ovs.add_bridge("leaf1", f"other_config:datapath-id={SPEC.nodes['leaf1'].dpid}")
        private_ovs.vsctl("--", "--id=@full", "create", "Flow_Table", "flow_limit=3", "overflow_policy=refuse",
                          "--", "set", "bridge", "leaf1", "flow_tables:1=@full",
                          "--", "set-controller", "leaf1", f"tcp:127.0.0.1:{controller.openflow}")  # fmt: skip
        eventually(lambda: controller.connected(1))
        refused = 6 - 3  # of the rules of table 1
        eventually(lambda: controller.get("status")["counts"]["refused_by_switch"] == refused)
        assert "switch 0000000000000001 refused add-flow cookie=0x486f77" in controller.log.read_text()
        eventually(lambda: len(flows(private_ovs, "leaf1")) == 3 + 12)
        eventually(controller.analytics_alive)
        assert controller.get("status")["counts"]["refused_by_switch"] == refused
    finally:
        controller.stop()


def test_the_topology_put_to_analytics_is_the_fabric(fabric, eventually):
    _, controller = fabric
    eventually(controller.analytics_alive)
    document = requests.get(f"http://127.0.0.1:{controller.analytics}/topology/json", timeout=PATIENCE_S).json()
    document.pop("version")
    assert Fabric.from_spec(type(SPEC).from_json(document)).switches == Fabric.from_spec(SPEC).switches


def test_without_a_topology_switches_links_and_the_names_of_ports_are_found(private_ovs, tmp_path, eventually):
    controller = Controller(tmp_path)
    controller.start()
    try:
        build(private_ovs, controller)
        eventually(lambda: controller.connected(4))
        eventually(lambda: len(controller.get("fabric")["links"]) == 4)
        eventually(lambda: all(any("cookie=0x486f7705" in line for line in flows(private_ovs, name))
                               for name in SPEC.nodes))  # fmt: skip
        private_ovs.vsctl("--id=@s", "create", "sflow", "agent=lo", f'target="127.0.0.1:{controller.sflow}"',
                          "polling=1", "--", "set", "bridge", "leaf1", "sflow=@s",
                          "--", "set", "interface", "leaf1-eth1", "options:ifindex=1001")  # fmt: skip

        def identified():
            (leaf,) = [switch for switch in controller.get("fabric")["switches"] if switch["name"] == "leaf1"]
            named = {port["name"]: port["ifindex"] for port in leaf["ports"]}
            return leaf["agent"] == "127.0.0.1" and named["leaf1-eth1"] == "1001"

        eventually(identified)
        assert not controller.own_faults()
        eventually(lambda: is_programmed(private_ovs, controller))
        before = {name: tree_rules(private_ovs, name) for name in SPEC.nodes}
        controller.stop(signal.SIGKILL)
        controller.start()
        eventually(lambda: controller.connected(4))
        eventually(lambda: len(controller.get("fabric")["links"]) == 4)
        after = {name: tree_rules(private_ovs, name) for name in SPEC.nodes}
        assert all(without_ages(after[name]) == without_ages(before[name]) for name in SPEC.nodes)
        assert all(age(after[name]) > age(before[name]) for name in SPEC.nodes)  # none was taken away and put again
    finally:
        controller.stop()
