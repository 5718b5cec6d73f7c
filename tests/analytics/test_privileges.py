"""Root only until the first byte from the network: who analytics is afterwards, and that it lacks nothing then."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from analytics import privileges
from tests.analytics.program import READY, ROOT, datagram, pcap, refused
from tests.patience import PATIENCE_S
from tests.ryu_manager import Controller

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
UNPRIVILEGED = pwd.getpwnam("howdah" if any(one.pw_name == "howdah" for one in pwd.getpwall()) else "nobody")


def status(pid):
    """Of every thread: field -> value (proc(5))."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        yield dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)


def assert_unprivileged(pid, account=UNPRIVILEGED):
    threads = list(status(pid))
    assert threads
    for thread in threads:
        assert set(thread["Uid"].split()) == {str(account.pw_uid)}
        assert set(thread["Gid"].split()) == {str(account.pw_gid)}
        assert thread["Groups"].split() == []
        assert [int(thread[name], 16) for name in ("CapEff", "CapPrm", "CapAmb")] == [0, 0, 0]
        assert thread["NoNewPrivs"] == "1"


@as_root
def test_root_becomes_somebody_else_in_every_thread(start):
    program = start("--sflow-sockets", "2")
    program.http.get("/version")
    assert_unprivileged(program.process.pid)
    assert program.end() == (0, "")


@as_root
def test_another_user_can_be_named(start):
    assert_unprivileged(start("--user", "daemon").process.pid, pwd.getpwnam("daemon"))


@as_root
def test_root_stays_if_told_so_and_says_it(start):
    program = start("--user", "root")
    assert {thread["Uid"].split()[0] for thread in status(program.process.pid)} == {"0"}
    assert program.end() == (0, "howdah analytics: stays root, because 'user' says so\n")


def test_a_user_who_does_not_exist_is_named():
    assert refused("--port", "0", "--sflow-port", "0", "--user", "nosuchuser") == (
        "howdah analytics: there is no user nosuchuser; set 'user' in the section 'analytics'"
    )


def test_nobody_but_root_can_become_another_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ValueError, match=r"^user daemon: only root can become another user$"):
        privileges.drop("daemon")


def low_port(kind):
    """A free port below 1024 of loopback."""
    for port in range(1023, 600, -1):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.skip("no port below 1024 is free")


@as_root
def test_what_needs_root_is_done_before(start):
    udp, tcp = low_port(socket.SOCK_DGRAM), low_port(socket.SOCK_STREAM)
    program = start("--sflow-port", str(udp), "--port", str(tcp))
    assert program.source == f"sflow 127.0.0.1:{udp}"
    assert program.port == tcp
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as as_we_may:
        try:
            as_we_may.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), 16 << 20)
        except PermissionError:
            pytest.skip("even root may not exceed the limit here")
        granted = as_we_may.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert program.http.get("/analyzer/json").json()["sFlowReceiveBuffer"] == granted
    assert_unprivileged(program.process.pid)


@as_root
def test_a_capture_that_only_root_may_read_is_played(start, tmp_path, eventually):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    pcap(home / "x.pcap", [datagram(1)])
    (home / "x.pcap").chmod(0o600)
    program = start("--replay", str(home / "x.pcap"))
    eventually(lambda: program.http.get("/agents/json").json())
    assert_unprivileged(program.process.pid)


AUDITED = """
import os, sys
sys.path.insert(0, {tree!r})
def hook(event, arguments):
    if event in ("open", "import") and os.geteuid() != 0:
        os.write(2, f"LATE {{event}} {{arguments[0]}}\\n".encode())
sys.addaudithook(hook)
from analytics.config import Settings
from analytics.server import run
run(Settings(port=0, sflow_port=0))
"""


def questions(port):
    """Everything that openapi.yaml lists, and what no client should ask."""
    document = yaml.safe_load((ROOT / "analytics/api/openapi.yaml").read_text())
    paths = [re.sub(r"\{.*?\}", "ALL", path) for path in document["paths"]]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as http:
        for path in [*paths, "/", "/html/index.html", "/nosuch", "/html/../../etc/passwd"]:
            yield http.get(path, params={"timeout": "0.1", "eventID": "-1"}).status_code
        links = {"l1": {"node1": "a", "port1": "p", "node2": "b", "port2": "p"}}
        yield http.put("/topology/json", json={"links": links}).status_code
        for path in ("paths/json?from=a&to=b&k=3", "diameter/json", "spanningtree/json", "locate/json"):
            yield http.get(f"/v1/topology/{path}", headers={"Accept-Encoding": "zstd"}).status_code
        yield http.put("/forwarding/f/json", json={"address": "127.0.0.1", "port": 9}).status_code
        yield http.put("/group/g/json", json={"lab": ["10.0.0.0/8"] * 9000}).status_code
        for encoding in ("zstd", "gzip"):
            yield http.get("/api/swagger-ui.css", headers={"Accept-Encoding": encoding}).status_code
        for body in (b"{value:'bytes'}", b"{", b"\xff", "{keys:'ipsource',filter:'ipsource~10.*'}".encode("utf-16")):
            for kind in ("application/json", "text/plain; charset=cp1252", "text/plain; charset=utf-16"):
                for path in ("/flow/f/json", "/threshold/t/json", "/topology/json"):
                    yield http.put(path, content=body, headers={"Content-Type": kind}).status_code
    for raw in (b"GET /\xff\xfe HTTP/1.1\r\nHost: h\r\n\r\n", b"nonsense\r\n\r\n", b"\x16\x03\x01"):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            client.recv(4096)


@as_root
def test_nothing_is_opened_or_imported_afterwards(tmp_path, eventually):
    """The tree lies under a directory that the other user cannot enter, so that it also could not be."""
    tree = tmp_path / "home"
    tree.mkdir(mode=0o700)
    for package in ("analytics", "documents"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("*.c", "*.pyx", "__pycache__"))
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", AUDITED.format(tree=str(tree))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        ready = READY.fullmatch(process.stdout.readline())
        assert ready, process.stderr.read()
        host, port = ready[2].removeprefix("sflow ").split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as switch:
            for payload in (datagram(1), b"junk", datagram(2)):
                switch.sendto(payload, (host, int(port)))
        codes = list(questions(int(ready[1])))
        assert 500 not in codes
        assert codes.count(200) > 10
    finally:
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=PATIENCE_S)
    late = [
        line for line in complaints.splitlines() if line.startswith("LATE") and not line.startswith("LATE open /proc/")
    ]
    assert late == []
    assert process.returncode == 0


@as_root
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_root_controller_takes_its_analytics_with_it(tmp_path, eventually, number):
    controller = Controller(tmp_path)
    controller.start()
    try:
        eventually(controller.analytics_alive)
        assert_unprivileged(controller.analytics_pid())
    finally:
        controller.stop(number)  # asserts that analytics ends
