"""controller.listener and messagecheck in the stock ryu-manager: hostile and silent peers cost themselves alone."""

from __future__ import annotations

import contextlib
import resource
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from controller.listener import HANDSHAKE_S, MAX_HANDSHAKES, MAX_HTTP_CONNECTIONS, MAX_PORTS
from tests.controller.openflow_messages import MESSAGES, group, message, multipart, port
from tests.ovs.openflow_peer import FLOW_MOD, GROUP_DESC, GROUP_MOD, Peer
from tests.patience import PATIENCE_S
from tests.ryu_manager import Controller
from topologies.leafspine import leafspine

SPEC = leafspine(1, 2, 1)
DPID = int(SPEC.nodes["leaf1"].dpid, 16)


@contextlib.contextmanager
def running(work, extra=""):
    controller = Controller(work, SPEC.to_json(), extra)
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()


def connect_switch(ovs, controller, target="tcp:127.0.0.1"):
    ovs.add_bridge("leaf1", f"other_config:datapath-id={SPEC.nodes['leaf1'].dpid}")
    ovs.vsctl("set-controller", "leaf1", f"{target}:{controller.openflow}")


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (message(0, struct.pack("!HH", 1, 0) + bytes(4)), "hello element of length 0"),
        (
            MESSAGES["hello"] + multipart(7, group(1).replace(struct.pack("!HHI", 40, 16, 1), bytes(8))),
            "bucket of length 0",
        ),
        (struct.pack("!BBHI", 6, 2, 3, 0), "length 3 of 8 bytes"),
    ],
    ids=["hello", "group description", "header"],
)
def test_a_length_that_cannot_be_costs_its_connection_only(tmp_path, eventually, wire, said):
    with running(tmp_path) as controller:
        eventually(lambda: controller.connected(0))
        with Peer(controller.openflow) as peer:
            peer.send(wire)
            assert peer.is_closed()
        eventually(lambda: said in controller.log.read_text())
        assert controller.connected(0)


def test_silent_connections_keep_no_switch_out(private_ovs, tmp_path, eventually):
    with running(tmp_path) as controller, contextlib.ExitStack() as silent:
        eventually(lambda: controller.connected(0))
        for _ in range(3 * MAX_HANDSHAKES):
            silent.enter_context(Peer(controller.openflow))
        connect_switch(private_ovs, controller)
        eventually(lambda: controller.connected(1))


def test_running_out_of_descriptors_ends_nothing(private_ovs, tmp_path, eventually):
    with running(tmp_path) as controller, contextlib.ExitStack() as silent:
        eventually(lambda: controller.connected(0))
        eventually(controller.analytics_alive)
        used = len(list(controller.process_files()))
        resource.prlimit(controller.process.pid, resource.RLIMIT_NOFILE, (used + 24, used + 24))
        for _ in range(MAX_HANDSHAKES - 4):
            silent.enter_context(Peer(controller.openflow))
        eventually(lambda: "openflow accept: [Errno 24]" in controller.log.read_text())
        connect_switch(private_ovs, controller)
        eventually(lambda: controller.connected(1))


def test_silent_http_connections_keep_no_request_out(tmp_path, eventually):
    with running(tmp_path) as controller, contextlib.ExitStack() as silent:
        eventually(lambda: controller.connected(0))
        for _ in range(3 * MAX_HTTP_CONNECTIONS):
            stream = silent.enter_context(socket.create_connection(("127.0.0.1", controller.http), PATIENCE_S))
            stream.sendall(b"GET /v1/status HTTP/1.1\r\nHost: ")
        assert controller.get("status")["switches"]["connected"] == []
        assert stream.recv(1) == b"", "half a request is closed"


def test_a_connection_that_becomes_no_switch_is_closed(tmp_path, eventually):
    with running(tmp_path) as controller:
        eventually(lambda: controller.connected(0))
        with Peer(controller.openflow) as silent:
            assert silent.is_closed()
        eventually(lambda: f"was no switch after {HANDSHAKE_S:g} s" in controller.log.read_text())


def test_the_connection_that_has_a_datapath_id_keeps_it(private_ovs, tmp_path, eventually):
    with running(tmp_path) as controller:
        connect_switch(private_ovs, controller)
        eventually(lambda: controller.connected(1))
        with Peer(controller.openflow) as second:
            seen = second.play_switch(DPID)
        assert not {FLOW_MOD, GROUP_MOD} & set(seen), "it was told rules"
        assert controller.connected(1)
        eventually(lambda: f"datapath id {DPID:016x} is connected already" in controller.log.read_text())
        eventually(lambda: private_ovs.vsctl("get", "controller", "leaf1", "is_connected") == "true")


def test_a_dead_connection_gives_its_datapath_id_up(private_ovs, tmp_path, eventually):
    """Its host is gone without a word: no echo is answered, and the switch may come back from elsewhere."""
    with running(tmp_path) as controller, contextlib.ExitStack() as stack:
        eventually(lambda: controller.connected(0))
        dead = stack.enter_context(Peer(controller.openflow))
        dead.send(MESSAGES["hello"])
        dead.send(message(6, struct.pack("!QIBB2xII", DPID, 0, 254, 0, 0x4F, 0)))
        dead.send(multipart(13, b""))
        while dead.receive()[2][:2] != struct.pack("!H", GROUP_DESC):  # what a switch is asked for once it is one
            pass
        connect_switch(private_ovs, controller)
        eventually(lambda: "priority=4000" in private_ovs.ofctl("dump-flows", "leaf1"))


def test_only_peers_and_datapaths_of_the_configuration_are_heard(tmp_path, eventually):
    with running(tmp_path, "  openflow: {peers: [127.0.0.2/31], datapaths: [7]}\n") as controller:
        eventually(lambda: controller.connected(0))
        with Peer(controller.openflow) as stranger:
            assert stranger.receive() is None
        with Peer(controller.openflow, "127.0.0.3") as unknown:
            assert unknown.play_switch(8)[0] == 0  # hello
        eventually(lambda: "datapath id 0000000000000008 is not among" in controller.log.read_text())
        assert controller.connected(0)


def test_it_listens_on_loopback_only(tmp_path, eventually):
    with running(tmp_path) as controller:
        eventually(lambda: controller.connected(0))
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
        assert [one for one in listening if one.endswith(f":{controller.openflow:04X}")] == [
            f"{struct.unpack('=I', socket.inet_aton('127.0.0.1'))[0]:08X}:{controller.openflow:04X}"
        ]


@pytest.fixture
def certificates(tmp_path):
    """A CA and a certificate each for controller and switch."""
    if shutil.which("openssl") is None:
        pytest.fail("openssl is needed to make certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca",
            "-days", "2")  # fmt: skip
    for name in ("controller", "switch"):
        openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
        )
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2")  # fmt: skip
    return tmp_path


def test_tls_admits_a_switch_with_a_certificate_and_no_other(private_ovs, certificates, eventually):
    tls = "  openflow: {tls: {key: controller.key, certificate: controller.pem, ca: ca.pem}}\n"
    with running(certificates, tls) as controller:
        eventually(lambda: controller.connected(0))
        with Peer(controller.openflow) as plain:
            plain.send(MESSAGES["hello"])
            assert plain.is_closed()
        private_ovs.vsctl("set-ssl", *(str(certificates / name) for name in ("switch.key", "switch.pem", "ca.pem")))
        connect_switch(private_ovs, controller, "ssl:127.0.0.1")
        eventually(lambda: controller.connected(1))


def test_ports_without_end_cost_the_connection(tmp_path, eventually):
    with running(tmp_path) as controller:
        eventually(lambda: controller.connected(0))
        with Peer(controller.openflow) as peer:
            peer.send(MESSAGES["hello"])
            peer.send(message(6, struct.pack("!QIBB2xII", DPID, 0, 254, 0, 0x4F, 0)))
            with contextlib.suppress(ConnectionError):
                for first in range(1, MAX_PORTS + 1000, 500):
                    peer.send(multipart(13, b"".join(map(port, range(first, first + 500))), more=True))
            assert peer.is_closed()
        eventually(lambda: f"more than {MAX_PORTS} ports" in controller.log.read_text())
        assert controller.connected(0)
