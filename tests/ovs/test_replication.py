"""Replication on a real switch, by the datagrams that arrive: how many, from which source, with which checksum.

The bridge of collector 10.0.0.1 (its LOCAL port): port 1 a sender, ports 2 and 3 remote hosts, in a private Open
vSwitch with the userspace datapath. The test's own sockets live in those namespaces. The command line is tested on
dummy bridges.
"""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ovs_rules import cli, replication
from ovs_rules.rule import text

N = 100
COLLECTOR, REMOTE, OTHER, SENDER = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.11"
EXAMPLE = "udp_port: 6343\ningress: 1\ncollector: {address: 10.0.0.1}\ncopies:\n- port: 7343\n- host: 10.0.0.2\n"
EXAMPLES = sorted(Path(replication.__file__).parent.glob("*.yaml"))


@dataclass
class Scene:
    """The switch with its hosts; `macs` by address."""

    switch: object
    macs: dict[str, str]

    def load(self, spec: str) -> None:
        for rule in replication.rules(replication.read(spec)):
            self.switch.ofctl("add-flow", "br0", text(rule))

    def send(self, count: int = N) -> None:
        with self.switch.socket("sender", (SENDER, 5000)) as sender:
            for number in range(count):
                sender.sendto(struct.pack("!I", number) + b"x" * (number % 7), (COLLECTOR, 6343))


@pytest.fixture
def scene(netdev_ovs):
    netdev_ovs.add_bridge("br0")
    netdev_ovs.ofctl("add-flow", "br0", "priority=0,actions=normal")
    netdev_ovs.address("br0", f"{COLLECTOR}/24")
    macs = {
        SENDER: netdev_ovs.host("sender", "br0", 1, f"{SENDER}/24"),
        REMOTE: netdev_ovs.host("remote", "br0", 2, f"{REMOTE}/24"),
        OTHER: netdev_ovs.host("other", "br0", 3, f"{OTHER}/24"),
    }
    (local,) = json.loads(netdev_ovs.exec("ip", "-json", "link", "show", "br0"))
    return Scene(netdev_ovs, macs | {COLLECTOR: local["address"]})


def route_copies(scene: Scene) -> None:
    """What a host needs that routes copies on: forwarding, and its own address accepted as a source."""
    for name in ("ip_forward", "conf.br0.accept_local"):
        scene.switch.exec("sysctl", "-qw", f"net.ipv4.{name}=1")


def received(sock: socket.socket, count: int = N) -> tuple[list[int], set[str]]:
    """What arrives: the datagrams' numbers, sorted (UDP keeps no order), and sources; no more may be waiting."""
    numbers, sources = [], set()
    for _ in range(count):
        data, (source, _port) = sock.recvfrom(2048)
        numbers.append(struct.unpack_from("!I", data)[0])
        sources.add(source)
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recvfrom(2048)
    return sorted(numbers), sources


def udp_checksums(wire: socket.socket, port: int, count: int) -> list[int]:
    """RFC 768 sums over `count` datagrams to `port` as they came in on the wire; 0xFFFF where the checksum is right."""
    sums: list[int] = []
    while len(sums) < count:
        frame = wire.recv(2048)
        if frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        ip = frame[14 : 14 + int.from_bytes(frame[16:18], "big")]
        udp = ip[(ip[0] & 15) * 4 :]
        if int.from_bytes(udp[2:4], "big") != port:
            continue
        assert udp[6:8] != b"\0\0", "the checksum is in use"
        data = ip[12:20] + struct.pack("!HH", 17, len(udp)) + udp + b"\0" * (len(udp) % 2)
        total = sum(struct.unpack(f"!{len(data) // 2}H", data))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        sums.append(total)
    return sums


def test_the_example_reaches_all_three(scene):
    route_copies(scene)
    scene.load(EXAMPLE)
    ovs = scene.switch
    with (
        ovs.socket(None, (COLLECTOR, 6343)) as original,
        ovs.socket(None, (COLLECTOR, 7343)) as second,
        ovs.socket("remote", (REMOTE, 7343)) as remote,
        ovs.socket("remote", ("eth0", 3), socket.AF_PACKET, socket.SOCK_RAW) as wire,  # 3 = ETH_P_ALL
    ):
        scene.send()
        assert received(remote) == (list(range(N)), {COLLECTOR})
        assert received(second) == (list(range(N)), {SENDER})
        assert received(original) == (list(range(N)), {SENDER})
        assert set(udp_checksums(wire, 7343, N)) == {0xFFFF}


def test_a_copy_that_cannot_be_routed_costs_the_others_nothing(scene):
    scene.load(EXAMPLE)
    with (
        scene.switch.socket(None, (COLLECTOR, 6343)) as original,
        scene.switch.socket(None, (COLLECTOR, 7343)) as second,
    ):
        scene.send()
        assert received(original)[0] == received(second)[0] == list(range(N))


def test_copies_with_a_mac_cross_the_switch_with_source_kept_or_rewritten(scene):
    scene.load(
        f"""
        udp_port: 6343
        ingress: [1, 4]
        collector: {{address: {COLLECTOR}}}
        copies:
        - {{host: {OTHER}, mac: "{scene.macs[OTHER]}", port: 9995}}
        - {{host: {REMOTE}, mac: "{scene.macs[REMOTE]}", source: keep}}
        """
    )
    ovs = scene.switch
    with (
        ovs.socket(None, (COLLECTOR, 6343)) as original,
        ovs.socket("remote", (REMOTE, 6343)) as kept,
        ovs.socket("other", (OTHER, 9995)) as rewritten,
        ovs.socket("remote", ("eth0", 3), socket.AF_PACKET, socket.SOCK_RAW) as remote_wire,
        ovs.socket("other", ("eth0", 3), socket.AF_PACKET, socket.SOCK_RAW) as other_wire,
    ):
        scene.send()
        assert received(original) == (list(range(N)), {SENDER})
        assert received(kept) == (list(range(N)), {SENDER})
        assert received(rewritten) == (list(range(N)), {COLLECTOR})
        assert set(udp_checksums(remote_wire, 6343, N)) == {0xFFFF}
        assert set(udp_checksums(other_wire, 9995, N)) == {0xFFFF}


def test_a_copy_goes_back_where_it_came_from_without_moving_the_sender(scene):
    beside = "10.0.0.12"  # a host behind port 1 as well: here a second address of the sender's
    scene.switch.exec("ip", "address", "add", f"{beside}/24", "dev", "eth0", host="sender")
    scene.load(
        f"""
        udp_port: 6343
        ingress: 1
        collector: {{address: {COLLECTOR}, mac: "{scene.macs[COLLECTOR]}"}}
        copies:
        - {{host: {beside}, mac: "{scene.macs[SENDER]}", out: 1}}
        - port: 7343
        """
    )
    with (
        scene.switch.socket(None, (COLLECTOR, 6343)) as original,
        scene.switch.socket(None, (COLLECTOR, 7343)) as second,
        scene.switch.socket("sender", (beside, 7343)) as back,
    ):
        scene.send()
        assert received(back) == (list(range(N)), {COLLECTOR})
        assert received(second)[0] == received(original)[0] == list(range(N))
    learned = [line.split() for line in scene.switch.appctl("fdb/show", "br0").splitlines()]
    assert ["1", "0", scene.macs[SENDER]] in [row[:3] for row in learned]
    assert [row[0] for row in learned if scene.macs[COLLECTOR] in row] == ["LOCAL"]


@pytest.fixture
def howdah(private_ovs, monkeypatch):
    """Run `howdah replicate ...` against a dummy bridge br0; returns (exit code, stdout, stderr)."""
    for name, value in private_ovs.env.items():
        monkeypatch.setenv(name, value)
    private_ovs.add_bridge("br0")
    app = typer.Typer()
    app.callback()(lambda: None)
    cli.register(app)

    def run(*words: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["replicate", *map(str, words)])
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def spec(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(EXAMPLE)
    return file


def flows(ovs) -> list[str]:
    return [line.strip() for line in ovs.ofctl("--no-stats", "dump-flows", "br0").splitlines() if "actions" in line]


def test_apply_and_remove_touch_only_their_own_rules(howdah, private_ovs, spec):
    private_ovs.ofctl("add-flow", "br0", "cookie=0x7,priority=1,udp,tp_dst=6343,actions=drop")
    before = flows(private_ovs)

    code, out, _ = howdah("apply", spec, "--bridge", "br0")
    assert code == 0
    assert "10.0.0.2:7343 receives a copy with source 10.0.0.1" in out
    assert len(flows(private_ovs)) == 2

    spec.write_text(EXAMPLE + "- host: 10.0.0.3\n")  # edited and applied again: replaced, not added
    assert howdah("apply", spec, "--bridge", "br0")[0] == 0
    (loaded,) = set(flows(private_ovs)) - set(before)
    assert "10.0.0.3" in loaded

    assert howdah("remove", spec, "--bridge", "br0") == (0, "br0: 1 rule removed\n", "")
    assert flows(private_ovs) == before
    assert howdah("remove", spec, "--bridge", "br0") == (0, "br0: 0 rules removed\n", "")


def test_rules_of_others_are_not_shadowed(howdah, private_ovs, spec):
    private_ovs.ofctl("add-flow", "br0", "cookie=0x7,udp,actions=drop")
    before = flows(private_ovs)
    code, _, complaint = howdah("apply", spec, "--bridge", "br0")
    assert code == 1
    assert complaint == (
        "howdah replicate: br0 has other rules of priority 32768 for these datagrams: give --priority another value\n"
    )
    assert flows(private_ovs) == before
    assert howdah("apply", spec, "--bridge", "br0", "--priority", "40000")[0] == 0
    assert len(flows(private_ovs)) == len(before) + 1


def test_what_is_wrong_is_said_in_one_line(howdah, spec):
    code, _, complaint = howdah("apply", spec, "--bridge", "br-none")
    assert code == 1
    assert "br-none is not a bridge" in complaint
    assert complaint.count("\n") == 1
    spec.write_text("udp_prt: 1")
    assert howdah("show", spec) == (
        1,
        "",
        f"howdah replicate: {spec}:1: unknown key 'udp_prt'; did you mean 'udp_port'?\n",
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_loads_and_delivers_the_original(howdah, private_ovs, example):
    spec = replication.read(example)
    for port in range(1, 5):
        private_ovs.vsctl(
            "add-port", "br0", f"p{port}", "--", "set", "interface", f"p{port}", "type=dummy", f"ofport_request={port}"
        )
    assert howdah("apply", example, "--bridge", "br0")[0] == 0
    assert len(flows(private_ovs)) == len(replication.rules(spec))
    for port in spec.ingress_ports or (1,):
        packet = f"in_port={port},udp,nw_dst={spec.collector.address},udp_dst={spec.udp_port}"
        trace = private_ovs.appctl("ofproto/trace", "br0", f"{packet},dl_dst=00:04:00:00:01:09,nw_ttl=64")
        for copy in spec.copies:
            assert f"set_field:{spec.port_of(copy)}->udp_dst" in trace or spec.port_of(copy) == spec.udp_port
            assert copy.host is None or f"set_field:{copy.host}->ip_dst" in trace
        first = trace.partition("Datapath actions: ")[2].split(",")[0]
        assert first == ("100" if spec.collector.port == "LOCAL" else str(spec.collector.port))
