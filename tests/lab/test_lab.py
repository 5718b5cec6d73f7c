"""The lab on this machine's Open vSwitch: links have their rate, classes work, and nothing is left of it."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mininet")
if os.geteuid() != 0 or not shutil.which("ovs-vsctl") or not shutil.which("mnexec"):
    pytest.skip("needs root, Open vSwitch and mnexec", allow_module_level=True)

from documents.topology import Spec
from ovs_rules.ovsdb import Ovsdb, Sflow
from tests.patience import PATIENCE_S
from topologies.lab import keeper
from topologies.lab.footprint import Footprint
from topologies.lab.lab import Lab
from topologies.lab.machine import LabError, interfaces
from topologies.leafspine import leafspine
from topologies.traffic import command

ROOT = Path(__file__).resolve().parents[2]
PREFIX = f"t{os.getpid() % 256:02x}"  # of our switches' names: other labs, and other runs of these tests, may be up
MBPS = 5
LAB = [sys.executable, str(ROOT / "scripts/howdah"), "lab"]


def sh(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def traces(directory):
    """Whatever of ours is on the machine: interfaces, bridges, switch shells, keepers, and files in this directory."""
    processes = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if f"mininet:{PREFIX}".encode() in words or (b"keeper" in words and str(directory).encode() in words):
                processes.append(words)
    return {
        "interfaces": {name for name in interfaces() if name.startswith(PREFIX)},
        "bridges": {name for name in sh("ovs-vsctl", "list-br").split() if name.startswith(PREFIX)},
        "processes": processes,
        "files": list(directory.iterdir()),
    }


@pytest.fixture
def nothing_left(tmp_path, eventually):
    """The machine is the same before and after, and no file is kept."""
    before = traces(tmp_path)
    yield
    eventually(lambda: traces(tmp_path) == before)


@pytest.fixture
def paths(tmp_path):
    return {"state": tmp_path / "lab.json", "topology": tmp_path / "topology.json"}


@pytest.fixture
def howdah(paths):
    """`howdah lab ...` as a process, on our own state file."""

    def run(name, *words, check=True):
        line = [*LAB, name, "--state", str(paths["state"]), *words]
        done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def collector():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE_S)
        yield sock


@pytest.fixture(scope="module")
def fabric(tmp_path_factory, collector):
    """One spine, two leaves, two hosts each; without loops, so that the switches may simply learn addresses."""
    directory = tmp_path_factory.mktemp("lab")
    sflow = Sflow(f"127.0.0.1:{collector.getsockname()[1]}")
    spec = leafspine(1, 2, 2, MBPS, PREFIX)
    paths = {"state": directory / "lab.json", "topology": directory / "topology.json"}
    with Lab(spec, controller=None, sflow=sflow, **paths) as lab:
        for bridge in lab.spec.nodes:
            sh("ovs-ofctl", "-OOpenFlow13", "add-flow", bridge, "priority=1,actions=NORMAL")
        yield lab


def said(process):
    """The JSON lines of a traffic program that has ended."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert err == b""
    return [json.loads(line) for line in out.splitlines()]


@contextlib.contextmanager
def serving(host, *words):
    """A receiving program inside a host, ready to receive."""
    process = host.popen(command(*words))
    try:
        assert json.loads(process.stdout.readline())["event"] == "ready"
        yield process
    finally:
        process.kill()
        process.communicate()


def class_packets(interface, which):
    text = sh("tc", "-s", "class", "show", "dev", interface)
    return int(re.search(rf"class htb {which} .*?\n Sent \d+ bytes (\d+) pkt", text)[1])


def dropped(interface):
    return sum(map(int, re.findall(r"pfifo .*\n.*dropped (\d+)", sh("tc", "-s", "qdisc", "show", "dev", interface))))


def test_every_host_reaches_every_other(fabric):
    addresses = [host.ipv4 for host in fabric.spec.hosts.values()]
    hosts = [fabric.host(name) for name in fabric.spec.hosts]
    with contextlib.ExitStack() as stack:
        for host in hosts:
            stack.enter_context(serving(host, "mice-serve"))
        for host in hosts:
            (end,) = said(
                host.popen(command("probe", "--patience", PATIENCE_S, *(a for a in addresses if a != host.IP())))
            )
            assert end["lost"] == [] and len(end["reached_ms"]) == len(addresses) - 1


def test_a_transfer_gets_the_rate_of_the_links(fabric, eventually):
    def goodput():
        with serving(fabric.host("h3"), "receive", "--port", 5001) as receiver:
            sender = fabric.host("h1").popen(command("send", "10.0.2.1:5001@40001", "--bytes", 1_500_000))
            end = said(sender)[-1]
            receiver.terminate()
            counted = next(line for line in said(receiver) if line["event"] == "end" and "sport" in line)
        assert counted["bytes"] == 1_500_000 and counted["sport"] == 40001
        mbps = end["bytes"] * 8 / end["seconds"] / 1e6
        assert mbps < 0.97 * MBPS  # 1448 bytes of data in a frame of 1514: 95.6 % at best
        return mbps

    eventually(lambda: goodput() > 0.8 * MBPS)  # a busy machine may need another try


def test_marked_packets_wait_in_the_class_below(fabric):
    """DSCP 1 set on the way in puts h1's datagrams into 5:20 of every link behind it, and no others."""
    uplink = f"{PREFIX}leaf1-eth3"
    sh("ovs-ofctl", "-OOpenFlow13", "add-flow", f"{PREFIX}leaf1",
       "priority=5,in_port=1,udp,nw_tos=0,actions=set_field:1->ip_dscp,NORMAL")  # fmt: skip
    marked, others = class_packets(uplink, "5:20"), class_packets(uplink, "5:10")
    with serving(fabric.host("h3"), "udp-receive", "--port", 6001, "--count", 180) as receiver:
        senders = [
            fabric.host(name).popen(command("udp-send", "10.0.2.1:6001", "--count", count, "--rate", 1e6))
            for name, count in (("h1", 100), ("h2", 80))
        ]
        assert [said(sender)[-1]["sent"] for sender in senders] == [100, 80]
        arrived = {line["peer"]: line["distinct"] for line in said(receiver) if line["event"] == "end"}
    sh("ovs-ofctl", "-OOpenFlow13", "del-flows", f"{PREFIX}leaf1", "udp")
    assert arrived == {"10.0.1.1": 100, "10.0.1.2": 80}
    assert class_packets(uplink, "5:20") - marked == 100
    assert class_packets(f"{PREFIX}spine1-eth2", "5:20") >= 100
    assert class_packets(uplink, "5:10") - others >= 80


def test_a_full_queue_drops_and_counts_what_it_drops(fabric, eventually):
    """With Open vSwitch's default send buffer the queue never fills, and this count stays 0 (see sendbuffer.py)."""
    uplink, each = f"{PREFIX}leaf1-eth3", 800
    before, sent = dropped(uplink), 0
    with serving(fabric.host("h3"), "udp-receive", "--port", 6002) as receiver:
        flow = ["10.0.2.1:6002", "--size", 1400, "--rate", 0.85 * MBPS * 1e6, "--count", each]

        def lost():
            nonlocal sent
            senders = [fabric.host(name).popen(command("udp-send", *flow)) for name in ("h1", "h2")]
            assert [said(sender)[-1]["failed"] for sender in senders] == [0, 0]
            sent += 2 * each
            return dropped(uplink) - before

        eventually(lambda: lost() > 20)  # where programs get too little of a busy machine, they do not send that fast
        receiver.terminate()
        arrived = sum(line["distinct"] for line in said(receiver) if line["event"] == "end")
    neighbours = 20  # packets at most of ARP and Neighbour Discovery, which pass the same queue
    assert sent / 4 < arrived <= sent - (dropped(uplink) - before) + neighbours


def test_the_document_has_the_real_interfaces(fabric):
    document = json.loads(Path(fabric.topology_file).read_text())
    assert document == fabric.topology
    with Ovsdb() as db:
        bridges = db.bridges()
    for name, node in document["nodes"].items():
        assert bridges[name].dpid == node["dpid"]
        assert {port.name: (port.ofport, str(port.ifindex)) for port in bridges[name].ports} == {
            port: (about["ofport"], about["ifindex"]) for port, about in node["ports"].items()
        }
        assert {about["speed"] for about in node["ports"].values()} == {MBPS * 1_000_000}


def test_every_bridge_exports_under_its_own_agent(fabric, collector):
    wanted = {node.agent for node in fabric.spec.nodes.values()}
    agents = set()
    while agents != wanted:  # each sends its counters every second
        agents.add(socket.inet_ntoa(collector.recv(2000)[8:12]))


def test_an_interrupted_body_leaves_nothing(paths, nothing_left):
    with pytest.raises(KeyboardInterrupt), Lab(leafspine(1, 1, 1, MBPS, PREFIX + "x"), controller=None, **paths) as lab:
        program = lab.host("h1").popen(["sleep", "1000"])
        raise KeyboardInterrupt
    program.communicate(timeout=PATIENCE_S)


def test_up_status_exec_down(howdah, paths, nothing_left):
    shape = [
        "--spines",
        "1",
        "--leaves",
        "2",
        "--hosts",
        "1",
        "--prefix",
        PREFIX + "u",
        "--controller",
        "tcp:127.0.0.1:9",
    ]
    up = howdah("up", *shape, "--topology", str(paths["topology"]))
    assert "1 spine" in up.stdout and "howdah lab down" in up.stdout
    status = json.loads(howdah("status", "--json").stdout)
    assert status["state"] == "up"
    assert status["bridges"][f"{PREFIX}uleaf2"] == {
        "ports": 2, "agent": "10.254.0.2", "controllers": {"tcp:127.0.0.1:9": False},
    }  # fmt: skip
    assert status["hosts"] == {f"h{n}": {"ipv4": f"10.0.{n}.1", "running": True} for n in (1, 2)}
    executed = howdah("exec", "h2", "sh", "-c", "ip -4 -br address show h2-eth0; exit 7", check=False)
    assert executed.returncode == 7 and "10.0.2.1/16" in executed.stdout
    unknown = howdah("exec", "h9", "true", check=False)
    assert (unknown.returncode, unknown.stderr) == (1, "howdah lab: no host 'h9'; there are: h1, h2\n")
    again = howdah("up", *shape, check=False)
    assert again.returncode == 1 and "a lab is up already" in again.stderr
    assert howdah("down").stdout == "removed 3 switches and 2 hosts\n"
    assert howdah("down").stdout == "no lab is up\n"


detached = pytest.mark.filterwarnings("ignore:subprocess .* is still running")  # keeper.launch lets go of its keeper


@pytest.fixture
def killed(paths, eventually):
    """A lab whose keeper was killed with -9 while a program ran inside a host."""
    keeper.launch(leafspine(1, 2, 1, MBPS, PREFIX + "k"), {}, document=paths["topology"], state=paths["state"])
    footprint = Footprint.read(paths["state"])
    program = footprint.popen("h1", ["sleep", "1000"])
    try:
        os.kill(footprint.owner.pid, signal.SIGKILL)
        eventually(lambda: not footprint.owner.alive())
        yield footprint
    finally:
        footprint.remove()
        program.wait()


@detached
def test_down_after_kill_leaves_nothing(nothing_left, killed, howdah):
    assert json.loads(howdah("status", "--json").stdout)["state"].startswith("killed")
    assert howdah("down").returncode == 0
    assert list(killed.processes()) == []
    assert sh("ovs-vsctl", "--bare", "find", "qos", f"external_ids:howdah-lab={killed.lab}") == ""


@detached
def test_up_clears_what_a_killed_lab_left(nothing_left, killed, howdah, paths):
    shape = ["--spines", "1", "--leaves", "1", "--hosts", "1", "--prefix", PREFIX + "k"]
    assert "removed what a killed lab had left" in howdah("up", *shape, "--topology", str(paths["topology"])).stderr
    howdah("down")


@detached
def test_down_spares_what_others_made_under_the_same_name(nothing_left, killed, howdah, tmp_path):
    bridge = f"{PREFIX}kspine1"
    sh("ovs-vsctl", "del-br", bridge, "--", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev")
    try:
        howdah("down")
        assert traces(tmp_path)["bridges"] >= {bridge}
    finally:
        sh("ovs-vsctl", "del-br", bridge)


@pytest.mark.parametrize("kind", ["bridge", "interface"])
def test_a_name_in_use_is_refused_and_kept(kind, howdah, nothing_left, tmp_path):
    name = f"{PREFIX}cleaf1" if kind == "bridge" else f"{PREFIX}cleaf1-eth1"
    make, remove = {
        "bridge": (["ovs-vsctl", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev"],
                   ["ovs-vsctl", "del-br", name]),
        "interface": (["ip", "link", "add", name, "type", "veth", "peer", "name", f"{PREFIX}peer"],
                      ["ip", "link", "delete", name]),
    }[kind]  # fmt: skip
    sh(*make)
    try:
        before = traces(tmp_path)
        done = howdah("up", "--spines", "1", "--leaves", "1", "--hosts", "1", "--prefix", PREFIX + "c", check=False)
        assert (done.returncode, done.stderr) == (
            1, f"howdah lab: {'a bridge' if kind == 'bridge' else 'an interface'} {name!r} exists already and is not "
            "the lab's; nothing was changed\n",
        )  # fmt: skip
        assert traces(tmp_path) == before
    finally:
        sh(*remove)


@pytest.mark.parametrize("delay", [0.2, 0.4, 0.6])
def test_up_interrupted_leaves_nothing(delay, paths, nothing_left, howdah):
    line = [*LAB, "up", "--state", str(paths["state"]), "--prefix", PREFIX + "i"]
    process = subprocess.Popen([*line, "--topology", str(paths["topology"])], stdout=subprocess.PIPE)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    if paths["state"].exists():  # it was up before the signal came
        howdah("down")


def test_a_second_lab_in_one_state_file_is_refused(fabric):
    with pytest.raises(LabError, match="nothing was changed"):
        Lab(fabric.spec, controller=None, state=fabric.state.with_name("other.json")).start()


@pytest.mark.parametrize(
    "change, refusal",
    [
        ({"node": "leaf1", "port": "leaf1-eth1"}, "host 'h2': port 'leaf1-eth1' has host 'h1'; here a port has one"),
        ({"addresses": ["10.0.2.1", "2001:db8::1"]}, "host 'h2' needs one IPv4 address and no other here"),
    ],
)
def test_a_description_that_a_laboratory_cannot_build_is_refused_by_name(change, refusal):
    document = leafspine(1, 2, 1).to_json()
    document["hosts"]["h2"] |= change
    with pytest.raises(LabError, match=re.escape(refusal)):
        Lab(Spec.from_json(document))
