"""The files of a lab: no symbolic link, no umask and no other user decides about what root writes or believes."""

import os
import stat
import subprocess
import sys

import pytest

from documents.topology import Spec
from topologies.lab import keeper, rundir
from topologies.lab.footprint import Footprint, Process, clear_remains
from topologies.lab.machine import LabError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
OTHERS = 65534


@pytest.fixture
def place(tmp_path):
    """A directory that does not exist yet."""
    return tmp_path / "run" / "howdah"


@pytest.fixture
def footprint():
    return Footprint(owner=Process.of(os.getpid()))


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("mask", [0, 0o077])
def test_modes_do_not_follow_the_umask(place, footprint, mask):
    before = os.umask(mask)
    try:
        state = place / "lab.json"
        footprint.claim(state)
        footprint.save(state)
        os.close(rundir.new_log(place / "lab.log"))
        with rundir.locked(state):
            modes = {path.name: mode(path) for path in (place.parent, place, *place.iterdir())}
    finally:
        os.umask(before)
    assert modes == {"run": 0o755, "howdah": 0o755, "lab.json": 0o644, "lab.log": 0o600, "lab.lock": 0o600}


def test_nothing_is_written_through_a_link(place, tmp_path, footprint):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place.mkdir(parents=True)
    for name in ("lab.json", "lab.log", "topology.json", "lab.lock"):
        (place / name).symlink_to(victim)
    footprint.save(place / "lab.json")
    rundir.write(place / "topology.json", "{}")
    with open(rundir.new_log(place / "lab.log"), "w") as log:
        log.write("a log")
    with pytest.raises(LabError, match=r"lab\.lock"):
        rundir.lock(place / "lab.json")
    assert victim.read_text() == "precious"
    assert not (place / "lab.json").is_symlink()


def test_a_keeper_that_fails_writes_its_log_past_a_link(place, tmp_path):
    """An empty fabric without a datapath is refused by the keeper, or without root by the lab; its log is its own."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place.mkdir(parents=True)
    (place / "lab.log").symlink_to(victim)
    with pytest.raises(LabError):
        keeper.launch(Spec({}, {}, {}), {"nonsense": 1}, document=place / "topology.json", state=place / "lab.json")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("opened", [0o775, 0o777, 0o1777])
def test_a_directory_in_which_others_can_write_is_refused(place, footprint, opened):
    place.mkdir(parents=True)
    state = place / "lab.json"
    footprint.claim(state)
    for directory in (place, *([place.parent] if opened != 0o1777 else [])):
        directory.chmod(opened)
        for attempt in (lambda: Footprint.read(state), lambda: clear_remains(state), lambda: rundir.lock(state)):
            with pytest.raises(LabError, match=f"^{directory} can be written by others"):
                attempt()
        directory.chmod(0o755)
    assert Footprint.read(state) == footprint


@as_root
def test_a_directory_or_a_file_of_another_user_is_refused(place, footprint):
    state = place / "lab.json"
    footprint.claim(state)
    os.chown(state, OTHERS, OTHERS)
    with pytest.raises(LabError, match=r"lab\.json could have been written by others"):
        Footprint.read(state)
    os.chown(place, OTHERS, OTHERS)
    with pytest.raises(LabError, match="howdah can be written by others"):
        clear_remains(state)


def test_a_state_file_that_is_a_link_is_refused(place, footprint):
    footprint.claim(place / "other.json")
    (place / "lab.json").symlink_to("other.json")
    with pytest.raises(LabError, match=r"lab\.json: is a symbolic link"):
        Footprint.read(place / "lab.json")


HOLDING = """
import sys
from pathlib import Path
from topologies.lab import rundir
rundir.lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
rundir.unlock(Path(sys.argv[1]))
"""


def test_the_kernel_says_who_holds_a_lab(place):
    state = place / "lab.json"
    assert rundir.holder(state) is None
    with rundir.locked(state):
        assert rundir.holder(state) == os.getpid()
        with pytest.raises(LabError, match=f"up already \\(process {os.getpid()}\\)"):
            rundir.lock(state)
    command = [sys.executable, "-I", "-c", HOLDING, str(state)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    assert rundir.holder(state) == process.pid
    with pytest.raises(LabError, match=f"up already \\(process {process.pid}\\)"):
        clear_remains(state)
    process.communicate()
    assert rundir.holder(state) is None
    assert list(place.iterdir()) == []


def test_a_lock_that_a_killed_process_left_is_free(place):
    state = place / "lab.json"
    command = [sys.executable, "-I", "-c", HOLDING, str(state)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.kill()
    process.communicate()
    assert [path.name for path in place.iterdir()] == ["lab.lock"]
    assert rundir.holder(state) is None
    with rundir.locked(state):
        assert rundir.holder(state) == os.getpid()
    assert list(place.iterdir()) == []


@as_root
def test_down_ends_no_process_that_only_a_file_names(place, footprint):
    from typer.testing import CliRunner  # noqa: PLC0415

    from topologies.lab.cli import lab  # noqa: PLC0415

    other = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        footprint.owner = Process.of(other.pid)
        footprint.hosts = {"h1": Process.of(other.pid)}
        footprint.claim(place / "lab.json")
        CliRunner().invoke(lab, ["down", "--state", str(place / "lab.json")])
        assert other.poll() is None
    finally:
        other.communicate()
