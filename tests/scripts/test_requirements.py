"""What setup installs: pinned, hashed, and apart from what only tests."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("requirements.txt", "requirements-test.txt", "requirements-build.txt")
TOOLS = {"pytest", "hypothesis", "schemathesis", "mypy", "ruff", "coverage", "httpx", "cython-lint"}


def name_of(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-").replace(".", "-")


def pins(file):
    """Name -> (version, hashes) of every requirement in a file."""
    text = re.sub(r"^#.*\n", "", (ROOT / file).read_text(), flags=re.M).replace("\\\n", " ")
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        version = re.fullmatch(r"[A-Za-z0-9._-]+==([^ ]+)(?: ;[^-]*?)?((?: +--hash=sha256:[0-9a-f]{64})+)", line)
        assert version, f"{file}: {line[:80]}"
        found[name_of(line)] = version[1], version[2].split()
    return found


def wanted(section, key):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return {name_of(line) for line in config[section][key].split("\n") if line.strip()}


@pytest.mark.parametrize("file", FILES)
def test_every_package_is_pinned_and_hashed(file):
    assert all(hashes for _, hashes in pins(file).values())


def test_what_setup_cfg_asks_for_is_there():
    assert wanted("options", "install_requires") <= set(pins("requirements.txt"))
    assert wanted("options.extras_require", "test") <= set(pins("requirements-test.txt"))


def test_what_only_tests_is_not_in_the_environment_that_runs():
    running = set(pins("requirements.txt"))
    assert running & TOOLS == set()
    assert running & set(pins("requirements-test.txt")) == set()
    assert wanted("options.extras_require", "test") & running == set()


def test_setup_installs_nothing_without_its_hash():
    script = (ROOT / "scripts/setup").read_text().replace("\\\n", " ")
    installs = [line.strip() for line in script.splitlines() if re.search(r"-m pip\b.* install ", line)]
    assert len(installs) == 4
    for line in installs:
        assert "--require-hashes" in line or (
            "--no-deps --no-build-isolation" in line and line.rstrip(" &").endswith("--editable .")
        ), line
        assert "--no-build-isolation" in line or "requirements-build.txt" in line
