"""State files and process identities: what is read back is what was written, and no process is mistaken for another."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

from topologies.lab.footprint import LAB_VARIABLE, Footprint, Process
from topologies.lab.machine import LabError


@pytest.fixture
def footprint():
    one = Footprint(owner=Process.of(os.getpid()), bridges=["leaf1"], hosts={"h1": Process(1, 2)})
    one.interfaces = {"leaf1-eth1": one.mac(1)}
    return one


def test_a_file_is_read_as_it_was_written(footprint, tmp_path):
    path = tmp_path / "run" / "lab.json"
    assert Footprint.read(path) is None
    footprint.claim(path)
    assert Footprint.read(path) == footprint
    footprint.ready = True
    footprint.save(path)
    assert Footprint.read(path) == footprint
    assert list(path.parent.iterdir()) == [path]


def test_a_file_can_be_claimed_once(footprint, tmp_path):
    footprint.claim(tmp_path / "lab.json")
    with pytest.raises(FileExistsError):
        Footprint(owner=footprint.owner).claim(tmp_path / "lab.json")
    assert Footprint.read(tmp_path / "lab.json") == footprint


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"interfaces": {"eth0": "52:54:00:12:34:56"}}, "eth0"),
        ({"interfaces": {"eth0\nlink delete eth1": "0a:00:00:00:00:01"}}, "interfaces"),
        ({"bridges": ["-t", "s1"]}, "bridges"),
        ({"bridges": ["s1 -- del-br br0"]}, "bridges"),
        ({"lab": ""}, "lab"),
        ({"lab": "abcdef -- emer-reset"}, "lab"),
        ({"owner": {"pid": "1", "started": 1}}, "owner"),
        ({"hosts": {"h1": 1}}, "hosts"),
        ({"about": {"roles": 3}}, "about"),
    ],
)
def test_a_file_that_names_what_no_lab_made_is_refused(footprint, tmp_path, change, named):
    path = tmp_path / "lab.json"
    footprint.claim(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LabError, match=rf"lab\.json is not the state file of a lab: .*{named}"):
        Footprint.read(path)


def test_only_a_document_of_the_lab_is_removed(footprint, tmp_path):
    ours, other, link = tmp_path / "ours.json", tmp_path / "other.json", tmp_path / "link.json"
    ours.write_text('{"nodes": {"leaf1": {"ports": {}}}, "links": {}}')
    other.write_text('{"nodes": {"leaf2": {"ports": {}}}, "links": {}}')
    link.symlink_to(ours)
    (tmp_path / "secret").write_text("root:x:0:0")
    for path in (other, link, tmp_path / "secret", tmp_path, tmp_path / "absent"):
        footprint.topology = str(path)
        footprint.remove_document()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "other.json", "ours.json", "secret"]
    footprint.topology = str(ours)
    footprint.remove_document()
    assert not ours.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"owner": 3, "hosts": {}}', '{"owner": {}, "hosts": {}}'])
def test_a_file_of_something_else_is_refused_by_name(content, tmp_path):
    path = tmp_path / "lab.json"
    path.write_text(content)
    with pytest.raises(LabError, match=r"lab\.json is not the state file of a lab"):
        Footprint.read(path)


def test_macs_are_local_unicast_distinct_and_carry_the_id(footprint):
    macs = [footprint.mac(number) for number in (1, 2, 255, 256, 65535)]
    assert len(set(macs)) == 5
    assert all(mac.replace(":", "").startswith("0a" + footprint.lab) and len(mac) == 17 for mac in macs)


def test_a_process_of_the_same_number_is_another():
    me = Process.of(os.getpid())
    assert me.alive() and not Process(me.pid, me.started - 1).alive()


def test_an_ended_process_is_not_alive_even_as_a_zombie():
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    identity = Process.of(child.pid)
    assert identity.alive()
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet reaped
    assert not identity.alive()
    child.wait()
    with pytest.raises(ProcessLookupError):
        Process.of(child.pid)


@contextlib.contextmanager
def running(environment):
    """A process with this environment."""
    program = [sys.executable, "-S", "-c", "print(flush=True); input()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(program, env=environment, **pipes)
    process.stdout.readline()  # it has its environment now
    try:
        yield process
    finally:
        process.communicate(b"\n")


def test_processes_of_the_lab_are_found_and_others_are_not(footprint):
    other = {**os.environ, LAB_VARIABLE: footprint.lab + "0"}
    with running(footprint.environment()) as ours, running(other):
        assert list(footprint.processes()) == [ours.pid]
    assert list(footprint.processes()) == []


def test_a_host_is_named_if_there_is_none_or_it_has_ended(footprint):
    with pytest.raises(LabError, match="no host 'h7'; there are: h1"):
        footprint.command("h7", ["true"])
    with pytest.raises(LabError, match="host 'h1' has ended"):
        footprint.command("h1", ["true"])
    footprint.hosts["h1"] = Process.of(os.getpid())
    with pytest.raises(LabError, match=f"process {os.getpid()} is not host 'h1' of this lab"):
        footprint.command("h1", ["true"])
    with running(footprint.environment()) as shell:
        footprint.hosts["h1"] = Process.of(shell.pid)
        assert footprint.command("h1", ["ip", "link"]) == ["mnexec", "-a", str(shell.pid), "ip", "link"]
