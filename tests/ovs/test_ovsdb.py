"""sFlow settings and ports through OVSDB, against a private Open vSwitch in dummy mode."""

import json
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ovs_rules import sflow_cli
from ovs_rules.ovsdb import Ovsdb, OvsdbError, Sflow, disable_command, enable_command
from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def switch(private_ovs):
    """Bridge s1 with ports p1 and p2 (numbered 7 and 3), and bridge s2 with port q1."""
    private_ovs.add_bridge("s1", "other_config:datapath-id=00000000000000a1", "external_ids:owner=test")
    private_ovs.add_bridge("s2")
    for bridge, port, number in (("s1", "p1", 7), ("s1", "p2", 3), ("s2", "q1", 1)):
        words = ["add-port", bridge, port, "--", "set", "interface", port, "type=dummy", f"ofport_request={number}"]
        private_ovs.vsctl(*words)
    return private_ovs


@pytest.fixture
def db(switch):
    with Ovsdb(switch.db) as connection:
        yield connection


def test_bridges_have_their_ports_with_numbers(db, eventually):
    bridges = db.bridges()
    assert list(bridges) == ["s1", "s2"]
    s1 = bridges["s1"]
    assert (s1.dpid, s1.datapath_type, s1.sflow) == ("00000000000000a1", "dummy", None)
    assert s1.external_ids == {"owner": "test"} and s1.controllers == {}
    assert [(port.name, port.ofport) for port in s1.ports] == [("p2", 3), ("p1", 7)]
    eventually(lambda: all(port.mac and port.up for port in db.bridges()["s1"].ports))
    assert [port.ofport for port in bridges["s2"].ports] == [1]


def test_settings_are_what_ovs_vsctl_reads_back(switch, db):
    db.enable_sflow({"s1": Sflow("127.0.0.1:16343", 16, 5, 600, "10.254.0.1"), "s2": Sflow("127.0.0.1", 64, 0, 128)})
    row = json.loads(switch.vsctl("--format=json", "--columns=targets,sampling,polling,header,agent", "list", "sflow"))
    assert sorted(map(json.dumps, row["data"])) == [
        '["127.0.0.1:16343", 16, 5, 600, "10.254.0.1"]',
        '["127.0.0.1:6343", 64, 0, 128, ["set", []]]',
    ]
    assert db.bridges()["s1"].sflow == Sflow("127.0.0.1:16343", 16, 5, 600, "10.254.0.1")
    assert db.bridges()["s2"].sflow == Sflow("127.0.0.1:6343", 64, 0, 128, None)


def test_the_printed_commands_do_the_same(switch, db):
    wanted = Sflow("[::1]:6343", 20, 3, 256, "10.254.0.9")
    (enable,) = db.enable_sflow({"s2": wanted})
    (disable,) = db.disable_sflow(["s2"])
    assert db.bridges()["s2"].sflow is None
    assert (enable, disable) == (enable_command("s2", wanted), disable_command("s2"))
    switch.vsctl(*shlex.split(enable)[1:])
    assert db.bridges()["s2"].sflow == wanted
    switch.vsctl(*shlex.split(disable)[1:])
    assert db.bridges()["s2"].sflow is None


def test_repeating_a_setting_changes_nothing(switch, db):
    db.enable_sflow({"s1": Sflow()})
    before = switch.vsctl("get", "bridge", "s1", "sflow")
    db.enable_sflow({"s1": Sflow()})
    assert switch.vsctl("get", "bridge", "s1", "sflow") == before
    db.enable_sflow({"s1": Sflow(sampling=11)})
    assert switch.vsctl("get", "bridge", "s1", "sflow") != before
    assert len(switch.vsctl("--bare", "--columns=_uuid", "list", "sflow").split()) == 1  # the old row is gone


def test_settings_of_others_are_shown_as_they_are(switch, db):
    words = ["--id=@s", "create", "sflow", 'targets="10.0.0.1:1","10.0.0.2:2"', "--", "set", "bridge", "s1", "sflow=@s"]
    switch.vsctl("--", *words)
    assert db.bridges()["s1"].sflow == Sflow("10.0.0.1:1,10.0.0.2:2", 400, 30, 128, None)


def test_datagrams_carry_the_agent_of_their_bridge(switch, db):
    """The switch itself answers for the settings: sFlow v5 puts the agent's IPv4 address at bytes 8..12."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(PATIENCE_S)
        here = f"127.0.0.1:{collector.getsockname()[1]}"
        db.enable_sflow({"s1": Sflow(here, 1, 1, agent="10.254.0.1"), "s2": Sflow(here, 1, 1, agent="10.254.0.2")})
        for port in ("p1", "q1"):
            switch.appctl("netdev-dummy/receive", port, "in_port(1),eth(src=00:04:00:00:01:01,dst=00:04:00:00:01:02)")
        agents = set()
        while len(agents) < 2:
            datagram = collector.recv(2000)
            assert datagram[:8] == bytes.fromhex("00000005 00000001")
            agents.add(socket.inet_ntoa(datagram[8:12]))
    assert agents == {"10.254.0.1", "10.254.0.2"}


def test_tcp_remotes_work_too(switch, eventually):
    switch.appctl("ovsdb-server/add-remote", "ptcp:0:127.0.0.1", target="ovsdb-server")
    log = switch.rundir / "ovsdb-server.log"
    (number,) = eventually(lambda: re.findall(r"listening on port (\d+)\b", log.read_text()))
    with Ovsdb(f"tcp:127.0.0.1:{number}") as db:
        assert "s1" in db.bridges()


def test_an_unknown_bridge_is_named_and_nothing_changes(db):
    with pytest.raises(OvsdbError, match=r"no bridge 'leaf9'; there are: s1, s2"):
        db.enable_sflow({"s1": Sflow(), "leaf9": Sflow()})
    with pytest.raises(OvsdbError, match="no bridge 'leaf9'"):
        db.disable_sflow(["leaf9"])
    assert db.bridges()["s1"].sflow is None


@pytest.mark.parametrize("remote", ["/nowhere/db.sock", "unix:/nowhere/db.sock", "tcp:127.0.0.1:1"])
def test_an_unreachable_server_is_named(remote):
    with pytest.raises(OvsdbError) as refusal:
        Ovsdb(remote)
    assert remote in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (Sflow(collector="collector"), "collector: 'collector' is not IP:PORT"),
        (Sflow(collector="10.0.0.1:x"), "collector: '10.0.0.1:x' is not IP:PORT"),
        (Sflow(collector="10.0.0.1:70000"), "collector: port 70000 of '10.0.0.1:70000' is not within 1..65535"),
        (Sflow(sampling=0), "sampling: 0 is not 1 or more"),
        (Sflow(polling=-1), "polling: -1 is not 0 or more seconds"),
        (Sflow(header=700), "header: 700 is not within 14..612"),
    ],
)
def test_settings_that_cannot_work_are_refused(db, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        db.enable_sflow({"s1": settings})
    assert db.bridges()["s1"].sflow is None


def test_it_works_in_a_process_that_eventlet_has_patched(switch):
    program = (
        "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch();"
        "from ovs_rules.ovsdb import Ovsdb, Sflow\n"
        f"with Ovsdb({switch.db!r}) as db:\n"
        " db.enable_sflow({'s1': Sflow(sampling=77)}); print(db.bridges()['s1'].sflow.sampling)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("77", 0), done.stderr


class TestCommandLine:
    @pytest.fixture
    def howdah(self, switch):
        app = typer.Typer()
        sflow_cli.register(app)
        app.command("other")(lambda: None)
        return lambda *words: CliRunner().invoke(app, ["sflow", *words, "--db", switch.db])

    def test_enable_show_disable(self, howdah, db):
        enabled = howdah("enable", "--sampling", "32", "--agent", "10.254.0.7")
        assert enabled.exit_code == 0
        assert enabled.stdout.splitlines() == [
            enable_command(name, Sflow(sampling=32, agent="10.254.0.7")) for name in ("s1", "s2")
        ]
        assert db.bridges()["s2"].sflow == Sflow(sampling=32, agent="10.254.0.7")
        shown = json.loads(howdah("show", "s1", "--json").stdout)
        assert shown == {
            "s1": {"collector": "127.0.0.1:6343", "sampling": 32, "polling": 1, "header": 600, "agent": "10.254.0.7"}
        }
        assert howdah("disable", "s2").stdout.strip() == "ovs-vsctl clear bridge s2 sflow"
        assert [line.split()[:2] for line in howdah("show").stdout.splitlines()] == [["s1", "1"], ["s2", "off"]]

    def test_errors_are_one_line(self, howdah):
        for words, complaint in (
            (["enable", "s9"], "howdah sflow: no bridge 's9'; there are: s1, s2"),
            (["show", "s9"], "howdah sflow: no bridge 's9'; there are: s1, s2"),
            (["disable", "s9"], "howdah sflow: no bridge 's9'; there are: s1, s2"),
            (["enable", "--collector", "nowhere"], "howdah sflow: collector: 'nowhere' is not IP:PORT"),
        ):
            done = howdah(*words)
            assert (done.exit_code, done.stderr.strip()) == (1, complaint)
