"""Programs started in a directory of someone else's import nothing of it, and run no file of it.

The directory has a module for everything that a program may import, and files called as the applications that Ryu is
told to load. Each of them writes its name into a file beside it, if it is ever run. PYTHONPATH begins with an empty
entry, which means the working directory to Python: `PYTHONPATH=$PYTHONPATH:/elsewhere` makes such a one.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from documents import programs
from tests.analytics.inputs.test_capture import pcap
from tests.bench.test_bench import capture
from tests.patience import PATIENCE_S
from tests.ryu_manager import BIN, Controller
from topologies import traffic

ROOT = Path(__file__).parents[1]
OURS = ("analytics", "client", "controller", "documents", "ovs_rules", "scripts", "topologies")
STANDARD = (
    "argparse", "asyncio", "collections", "contextlib", "copy", "ctypes", "dataclasses", "enum", "functools", "inspect",
    "ipaddress", "json", "logging", "pathlib", "random", "re", "select", "signal", "socket", "ssl", "string", "struct",
    "subprocess", "tempfile", "threading", "time", "traceback", "types", "typing", "uuid", "warnings", "weakref",
)  # fmt: skip
OTHERS = (
    "click", "eventlet", "greenlet", "httptools", "mininet", "msgspec", "networkx", "oslo_config", "ovs",
    "pkg_resources", "pytricia", "re2", "requests", "rich", "ryu", "setuptools", "six", "starlette", "typer", "uvicorn",
    "uvloop", "webob", "yaml", "sitecustomize", "usercustomize",
)  # fmt: skip
FILES = ("controller.app", "ryu.controller.ofp_handler", "ryu.app.ofctl_rest")
TRAP = "with open({taken!r}, 'a') as taken:\n    taken.write(__name__ + chr(10))\n"  # needs no import itself


@pytest.fixture
def taken(tmp_path, monkeypatch):
    """Where the names of modules appear that were taken from the working directory."""
    here = tmp_path / "foreign"
    here.mkdir()
    taken = tmp_path / "taken"
    trap = TRAP.format(taken=str(taken))
    for name in (*STANDARD, *OTHERS, *OURS):
        (here / f"{name}.py").write_text(trap)
    for name in FILES:
        (here / name).write_text(trap)
    for name in ("ryu", "yaml", "analytics"):  # a package comes before a module of its name
        (here / name).mkdir()
        (here / name / "__init__.py").write_text(trap)
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    return taken


def names(taken):
    return taken.read_text().split() if taken.exists() else []


def test_the_trap_works(taken):
    subprocess.run([sys.executable, "-m", "analytics"], check=False, capture_output=True, timeout=PATIENCE_S)
    assert names(taken)


@pytest.mark.parametrize(
    "command",
    [
        [BIN / "howdah", "--version"],
        [BIN / "howdah", "analytics", "--port", "0", "--replay", "{empty}"],
        [BIN / "howdah", "decode", "{capture}"],
        [BIN / "howdah", "bench", "decode", "{capture}", "--samples", "100"],
        [BIN / "howdah", "bench", "ingest", "--seconds", "0.1", "--json"],
        [BIN / "howdah", "top", "--url", "http://127.0.0.1:1"],
        [BIN / "howdah", "sflow", "show", "--db", "unix:/nowhere"],
        [BIN / "howdah", "lab", "status", "--state", "/nowhere/lab.json"],
        [BIN / "howdah", "replicate", "show", "/nowhere.yaml"],
        [BIN / "ryu-manager", "--version"],
        programs.command("analytics", "--port", 0, "--replay", "{empty}"),
        programs.command("topologies.lab.keeper", "/nowhere/lab.json"),
        traffic.command("--help"),
        [ROOT / "scripts/demo", "--help"],
    ],
    ids=lambda command: " ".join(Path(word).name for word in map(str, command[:5])),
)
def test_nothing_of_the_working_directory_is_imported(taken, tmp_path, command):
    (tmp_path / "empty.pcap").write_bytes(pcap())
    paths = {"{capture}": capture(tmp_path / "x.pcap"), "{empty}": tmp_path / "empty.pcap"}
    words = [paths.get(word, word) for word in command]
    done = subprocess.run(
        words, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert names(taken) == [], done.stderr
    assert done.returncode == 0 or "No module" not in done.stderr


def test_the_controller_and_its_analytics_import_nothing_of_it(taken, tmp_path, eventually):
    controller = Controller(tmp_path)
    controller.start()
    try:
        eventually(controller.analytics_alive)
    finally:
        controller.stop()
    assert names(taken) == []


def started(tree):
    """Lines of command lines that begin with sys.executable."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "sys.executable":
            yield node.lineno


def test_there_is_one_way_to_start_a_program_of_ours():
    found = {
        str(path.relative_to(ROOT))
        for package in OURS
        for path in (ROOT / package).rglob("*.py")
        if list(started(ast.parse(path.read_text())))
    }
    assert found == {"documents/programs.py", "topologies/traffic/__init__.py"}
