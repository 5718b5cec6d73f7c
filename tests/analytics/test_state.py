"""state: what clients set is there again after a restart, whatever ended the program; what cannot be read is named."""

import json
import os
import pwd
import signal
import socket
import stat
from pathlib import Path

import pytest

from analytics.api.kept import documents
from analytics.core.wire import sflow
from analytics.engine import Engine
from analytics.export.sender import Sender
from analytics.state import State, open_folder
from tests.analytics.program import AGENT, refused
from tests.patience import PATIENCE_S

FLOW = {"keys": "ipsource,group:ipsource:site", "value": "bytes", "filter": "ipprotocol=6", "t": 3, "n": 7}
THRESHOLD = {"metric": "f", "value": 1000, "byFlow": True, "timeout": 5, "filter": {"ifspeed": ["1000000000"]}}
GROUP = {"inside": ["10.0.0.0/8"], "outside": ["0.0.0.0/0"]}
TOPOLOGY = {"nodes": {"s1": {"agent": "10.1.2.3", "ports": {"s1-eth1": {"ifindex": "4"}}}}, "links": {}}
FORWARDING = {"address": "192.0.2.1", "port": 6344, "agents": ["10.0.0.1", "2001:db8::1"]}
TENANT = {
    "collectorAddress": "192.0.2.2",
    "collectorPort": 6345,
    "filters": {"ifname": ["10.0.0.1_s1_eth1"], "cidr": ["10.0.0.0/8"], "mac": ["D8D385B2DD2B"]},
}
DOCUMENTS = ("flow", "threshold", "topology", "forwarding", "tenant")
FILLED = {"flows.json", "thresholds.json", "groups.json", "maps.json"}


def put(program, path, body):
    assert program.http.put(path, json=body).status_code == 204


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_set_is_there_after_a_restart(sign, start, tmp_path):
    folder = tmp_path / "state"
    tmp_path.chmod(0o755)
    program = start("--state", str(folder))
    put(program, "/topology/json", TOPOLOGY)
    put(program, "/flow/f/json", {**FLOW, "keys": "ipsource"})
    put(program, "/flow/f/json", {**FLOW, "keys": "ipsource,macsource"})
    put(program, "/flow/gone/json", FLOW | {"keys": "ipsource"})
    put(program, "/threshold/t/json", THRESHOLD)
    for name in ("f", "gone"):
        put(program, f"/forwarding/{name}/json", FORWARDING)
        put(program, f"/tenant/{name}/json", TENANT)
    for path in ("/flow/gone/json", "/flow/mn_bytes/json", "/forwarding/gone/json", "/tenant/gone/json"):
        assert program.http.delete(path).status_code == 204
    before = {path: program.http.get(path).json() for path in (f"/{word}/json" for word in DOCUMENTS)}
    program.end(sign)

    again = start("--state", str(folder))
    assert before["/flow/json"].keys() == {"f", "mn_flow"}
    assert again.http.get("/forwarding/f/json").json() == FORWARDING
    assert again.http.get("/tenant/f/json").json() == TENANT
    for path, known in before.items():
        found = again.http.get(path).json()
        assert {**found, "version": 0} == {**known, "version": 0} if path == "/topology/json" else found == known
    assert again.end() == (0, "")


def test_without_a_directory_nothing_is_kept(start):
    program = start()
    put(program, "/flow/f/json", {"keys": "ipsource", "value": "bytes"})
    program.end(signal.SIGKILL)
    assert "f" not in start().http.get("/flow/json").json()


@pytest.fixture
def kept(tmp_path):
    """Engines that share a directory, one after the other: (engine, sender, state)."""
    made = []

    def make():
        engine = Engine()
        folder = open_folder(str(tmp_path / "state"), lambda descriptor: None)
        made.append((engine, folder))
        sender = Sender(engine)
        state = State(folder, "DIR", documents(engine, sender))
        state.restore()
        return engine, sender, state

    yield make
    for engine, folder in made:
        engine.close()
        os.close(folder)


def fill(engine):
    engine.set_group("site", GROUP)
    engine.set_map("ports", {"web": ["80", "443"]})
    engine.set_flow("f", FLOW)
    engine.set_threshold("t", THRESHOLD)


def test_flows_that_are_there_for_a_while_are_not_kept():
    engine = Engine()
    engine.set_flow("f", {"value": "bytes"})
    engine.set_flow("prometheus_1", {"value": "bytes"})
    [flows] = [each for each in documents(engine, Sender(engine), lambda: {"prometheus_1"}) if each.name == "flows"]
    assert flows.words(flows.current()).keys() == {"f"}
    engine.close()


def test_groups_and_maps_are_kept_and_come_before_the_flows_that_name_them(kept):
    engine, _, state = kept()
    fill(engine)
    state.save()
    again, *_ = kept()
    assert again.groups() == engine.groups()
    assert again.maps() == engine.maps()
    assert again.flows() == engine.flows()
    assert again.thresholds() == engine.thresholds()


def test_only_what_changed_is_written_and_never_is_a_file_there_in_part(kept, tmp_path):
    engine, _, state = kept()
    state.save()
    assert list((tmp_path / "state").iterdir()) == []
    fill(engine)
    state.save()
    assert {path.name for path in (tmp_path / "state").iterdir()} == FILLED
    before = {path.name: path.stat().st_ino for path in (tmp_path / "state").iterdir()}
    engine.clear_threshold("t")
    state.save()
    after = {path.name: path.stat().st_ino for path in (tmp_path / "state").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"thresholds.json"}
    assert json.loads((tmp_path / "state/thresholds.json").read_text()) == {}


def test_what_is_passed_on_is_sent_after_a_restart(start, tmp_path):
    """kill -9 between two datagrams: the collector behind gets the second too, from a program that nobody told."""
    tmp_path.chmod(0o755)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(PATIENCE_S)
        for sign in (signal.SIGKILL, signal.SIGTERM):
            program = start("--state", str(tmp_path / "state"))
            if sign == signal.SIGKILL:
                put(program, "/forwarding/f/json", {"address": "127.0.0.1", "port": collector.getsockname()[1]})
            program.send()
            assert sflow.decode(collector.recv(65536))["agent"] == socket.inet_aton(AGENT)
            program.end(sign)


def test_one_bad_forwarding_costs_no_other(kept, tmp_path, caplog):
    folder = tmp_path / "state"
    folder.mkdir()
    known = {"f": FORWARDING, "g": {"address": "nonsense"}, "h": 5}
    (folder / "forwardings.json").write_text(json.dumps(known))
    _, sender, _ = kept()
    [line] = caplog.messages
    assert "forwarding 'g': address is missing or not the address of a machine: 'nonsense'" in line
    assert "forwarding 'h': not a JSON object: '5'" in line
    assert sender.forwardings().keys() == {"f"}
    assert json.loads((folder / "forwardings.json").read_text()) == {"f": FORWARDING}
    assert json.loads((folder / "forwardings.json.bad").read_text()) == known


@pytest.mark.parametrize(
    "content, why",
    [
        (b"{", "flows.json: Input data was truncated; the file is kept as flows.json.bad"),
        (b"[]", "Expected `object`, got `array`"),
        (b"\xff", "flows.json: "),
        (b"[" * 100_000, "flows.json: "),
        (b'{"f": {"value": "bytes"}, "g": {"keys": "nonsense", "value": "bytes"}}', "'nonsense'"),
    ],
)
def test_a_bad_file_is_named_in_one_line_and_kept(content, why, kept, tmp_path, caplog):
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "flows.json").write_bytes(content)
    (folder / "groups.json").write_text(json.dumps({"site": GROUP}))
    engine, *_ = kept()
    [line] = caplog.messages
    assert line.startswith("state DIR/flows.json: ")
    assert why in line
    assert (folder / "flows.json.bad").read_bytes() == content
    assert engine.groups()["site"].keys() == GROUP.keys()
    assert set(engine.flows()) == ({"f"} if b"nonsense" in content else set())
    assert json.loads((folder / "flows.json").read_text()).keys() == engine.flows().keys()


def test_a_link_in_the_directory_is_not_followed(kept, tmp_path, caplog):
    folder = tmp_path / "state"
    folder.mkdir()
    (tmp_path / "secret").write_text('{"f": {"value": "bytes"}}')
    (folder / "flows.json").symlink_to(tmp_path / "secret")
    engine, _, state = kept()
    assert "is a symbolic link" in caplog.text
    assert engine.flows() == {}
    engine.set_flow("g", {"value": "bytes"})
    state.save()
    assert (tmp_path / "secret").read_text() == '{"f": {"value": "bytes"}}'


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_directory_belongs_to_whom_root_becomes(start, tmp_path):
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o700)  # out of reach for that user
    folder = tmp_path / "state"
    program = start("--state", str(folder), "--user", "daemon")
    put(program, "/flow/f/json", {"value": "bytes"})
    found = (folder / "flows.json").stat()
    assert found.st_uid == folder.stat().st_uid == pwd.getpwnam("daemon").pw_uid
    assert (stat.S_IMODE(found.st_mode), stat.S_IMODE(folder.stat().st_mode)) == (0o600, 0o700)
    program.end(signal.SIGKILL)
    assert "f" in start("--state", str(folder), "--user", "daemon").http.get("/flow/json").json()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_of_another_user_is_not_taken(tmp_path):
    said = refused("--port", "0", "--sflow-port", "0", "--user", "daemon", "--state", str(tmp_path))
    assert str(tmp_path) in said
    assert "cannot write" in said
    assert tmp_path.stat().st_uid == 0


def test_a_file_instead_of_a_directory_is_one_line(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert str(file) in refused("--port", "0", "--sflow-port", "0", "--state", str(file))


def test_a_change_that_cannot_be_kept_is_in_force_and_a_fault(start, tmp_path):
    folder = tmp_path / "state"
    program = start("--state", str(folder), "--user", "root") if os.geteuid() == 0 else start("--state", str(folder))
    for file in folder.iterdir():
        file.unlink()
    Path(folder).rmdir()
    put(program, "/flow/f/json", {"value": "bytes"})
    assert "f" in program.http.get("/flow/json").json()
    assert program.http.get("/analyzer/json").json()["faults"] == {"state": 1}
