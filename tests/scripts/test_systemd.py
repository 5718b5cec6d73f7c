"""The systemd units: what they start exists, and systemd finds them right and tight, where it is installed."""

import ast
import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "scripts/systemd").glob("*.service"))
CLONE = "/opt/howdah"
EXPOSURE = 20  # of `systemd-analyze security`, in tenths: 2.0 is "OK", 10.0 the whole system
HARDENING = {
    "DynamicUser": "yes",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateDevices": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RestrictNamespaces": "yes",
}
systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


def settings(unit):
    """(section, key) -> values of a unit file."""
    found, section = {}, ""
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found.setdefault((section, key), []).append(value)
    return found


def commands():
    """What `howdah` knows: the functions that analytics/cli.py registers, by name."""
    tree = ast.parse((ROOT / "analytics/cli.py").read_text())
    return {node.args[0].value for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args
            and ast.unparse(node.func) == "app.command" and isinstance(node.args[0], ast.Constant)}  # fmt: skip


@pytest.fixture(params=UNITS, ids=lambda unit: unit.name)
def unit(request):
    return request.param


def test_there_is_a_unit_for_each_program():
    assert [unit.name for unit in UNITS] == ["howdah-analytics.service", "howdah-controller.service"]


def test_what_a_unit_starts_exists(unit):
    (line,) = settings(unit)["Service", "ExecStart"]
    program, *words = line.split()
    assert program.startswith(f"{CLONE}/.venv/bin/")
    assert (ROOT / "scripts" / Path(program).name).exists()  # which install_commands of scripts/setup puts there
    for word in words:
        assert word in commands() or importlib.util.find_spec(word)


def test_documents_that_a_unit_names_exist(unit):
    (document,) = settings(unit)["Unit", "Documentation"]
    assert (ROOT / document.removeprefix(f"file://{CLONE}/")).exists()


def test_a_unit_has_no_privilege(unit):
    found = settings(unit)
    assert {key: found["Service", key][-1] for key in HARDENING} == HARDENING


@pytest.fixture
def here(unit, tmp_path):
    """The unit as it would be for this clone."""
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    for name in ("howdah", "ryu-manager"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(CLONE, str(tmp_path)))
    return copy


@systemd
def test_systemd_finds_nothing_wrong(here):
    done = subprocess.run(["systemd-analyze", "verify", here], check=False, capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if here.name in line] == []


@systemd
def test_systemd_finds_it_little_exposed(here):
    words = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", here]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
