"""Whatever a person names on a command line, a program ends soon with one line that names it, and exit code 1."""

import os
import socket
import subprocess
import threading

import pytest

from tests.analytics.inputs.test_capture import pcap
from tests.analytics.test_decode import FIRST, carried
from tests.client.commands.conftest import app, howdah  # noqa: F401 - fixtures
from tests.controller.answering import Answering
from tests.patience import PATIENCE_S
from tests.ryu_manager import BIN

ENDLESS = "/dev/zero"


@pytest.fixture
def places(tmp_path):
    """Names for the command lines below."""
    (tmp_path / "capture.pcap").write_bytes(pcap(carried(FIRST)))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 10 << 30)
    (tmp_path / "binary").write_bytes(os.urandom(4096) + b"\xff")
    (tmp_path / "ports.yaml").write_text("controller:\n  analytics:\n    port: 99999\n")
    return {name: str(tmp_path / name) for name in ("capture.pcap", "folder", "fifo", "huge", "binary", "ports.yaml")}


def run(words, environment=None):
    return subprocess.run(
        list(map(str, words)), check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=PATIENCE_S, env={**os.environ, **(environment or {})},
    )  # fmt: skip


def one_line(done):
    """The line with which a program ended; ryu-manager says other things before."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("decode --pcap /dev/full capture.pcap", "No space left on device"),
        ("decode --pcap folder capture.pcap", "Is a directory"),
        ("decode folder", "Is a directory"),
        (f"decode {ENDLESS}", "not a pcap file"),
        ("decode binary", "not a pcap file"),
        ("sflow show --db tcp:nosuch", "tcp:nosuch"),
        ("sflow show --db tcp:127.0.0.1:99999", "99999"),
        ("sflow show --db ssl:127.0.0.1:6640", "ssl:127.0.0.1:6640"),
        ("sflow show --db folder", "folder"),
        ("sflow enable --db tcp:nosuch", "tcp:nosuch"),
        *((f"lab status --state {file}", file) for file in ("folder", "fifo", "huge", "binary", ENDLESS)),
        *((f"lab up --file {file}", file) for file in ("folder", "fifo", "huge", "binary", ENDLESS)),
        *((f"analytics --config {file}", file) for file in ("folder", "fifo", "huge", "binary", ENDLESS)),
        *((f"analytics --port 0 --replay {file}", file) for file in ("folder", "fifo", "binary", ENDLESS)),
        *((f"replicate show {file}", file) for file in ("folder", "fifo", "huge", "binary", ENDLESS)),
        *((f"bench decode {file}", file) for file in ("folder", "fifo", "binary", ENDLESS)),
    ],
)
def test_odd_names_are_one_line(places, line, named):
    done = run([BIN / "howdah", *(places.get(word, word) for word in line.split())])
    assert places.get(named, named) in one_line(done)
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("file", ["folder", "fifo", "huge", "binary", ENDLESS])
@pytest.mark.parametrize("variable", ["HOWDAH_CONFIG", "HOWDAH_TOPOLOGY"])
def test_the_controller_too(places, variable, file):
    done = run([BIN / "ryu-manager", "controller.app"], {variable: places.get(file, file)})
    assert one_line(done).startswith(f"howdah: {places.get(file, file)}")


def test_a_port_that_cannot_be_is_refused(places):
    done = run([BIN / "ryu-manager", "controller.app"], {"HOWDAH_CONFIG": places["ports.yaml"]})
    assert one_line(done) == (
        f"howdah: {places['ports.yaml']}:3: 'controller.analytics': port 99999 is not between 1 and 65535"
    )


def test_a_full_disk_is_one_line_wherever_the_output_goes(places):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [BIN / "howdah", "decode", places["capture.pcap"]], check=False, stdout=full, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (1, b"howdah decode: No space left on device\n")


def test_a_database_that_says_nothing_is_given_up(monkeypatch):
    ovsdb = pytest.importorskip("ovs_rules.ovsdb")
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ovsdb.OvsdbError, match="timed out"):
        ovsdb.Ovsdb(f"tcp:127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)


@pytest.mark.parametrize("reply", [b"nonsense", b"{}", b'{"id":0,"result":{"name":3},"error":null}', b"[" * 9000])
def test_a_database_that_is_none_is_named(reply):
    ovsdb = pytest.importorskip("ovs_rules.ovsdb")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(reply)

        threading.Thread(target=serve, daemon=True).start()
        remote = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ovsdb.OvsdbError) as refused:
            ovsdb.Ovsdb(remote, timeout=PATIENCE_S)
    assert remote in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'[{"from": 1}]', b"null", b"[" * 100_000, b'"' + b"x" * 99])
@pytest.mark.parametrize("command", ["top", "links", "elephants", "ecmp"])
def test_answers_that_no_controller_gives_are_one_line(howdah, command, body):  # noqa: F811
    with Answering({"/v1/": body}) as server:
        done = howdah(command, "--url", server.base)
    assert done.exit_code == 1
    assert server.base in done.stderr
    assert done.stderr.count("\n") == 1
