"""The direction of dependencies: who may import what, kept true by walking the imports of every file.

One line per rule. `.py` files are read with `ast`, so imports inside functions and under TYPE_CHECKING count too; of
`.pyx` and `.pxd` files the `import` and `cimport` lines are read. Relative imports are resolved first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("analytics", "controller", "topologies", "ovs_rules")


class Rule(NamedTuple):
    """Files matching `where` but not `but` import nothing of `never`; `open` there means the built-in function."""

    why: str
    where: tuple[str, ...]
    never: tuple[str, ...]
    but: tuple[str, ...] = ()


WORLD = ("socket", "time", "os", "threading", "asyncio", "logging", "random", "subprocess", "open", "ryu", "mininet",
         "libc.time", "posix.time")  # fmt: skip
WEB = ("starlette", "uvicorn")
ANALYTICS_WEB = ("analytics/__main__.py", "analytics/rest.py", "analytics/parameters.py")
ANALYTICS_SHELL = (*ANALYTICS_WEB, *(f"analytics/{name}.py" for name in (
    "bench/*", "cli", "collector", "config", "decode", "engine", "longpoll", "vitals")))  # fmt: skip
CONTROLLER_SHELL = tuple(f"controller/{name}.py" for name in (
    "app", "cli", "config", "feed", "openflow", "ovsdb", "rest", "supervisor"))  # fmt: skip
LAB = ("topologies/lab.py", "topologies/keeper.py", "topologies/cli.py")  # which sets up sFlow, as the controller does
RULES = (
    Rule("they meet only over HTTP", ("analytics/*",), ("controller",)),
    Rule("they meet only over HTTP", ("controller/*",), ("analytics",)),
    Rule("the shared parts stand below both", ("topologies/*", "ovs_rules/*"), PACKAGES[:2], LAB),
    Rule("Mininet is one file's business", ("*",), ("mininet",), ("topologies/lab.py",)),
    Rule("os-ken may replace Ryu one day", ("*",), ("ryu",), ("controller/app.py", "controller/openflow.py")),
    Rule("OVSDB is one file's business", ("*",), ("ovs",), ("controller/ovsdb.py",)),
    Rule("HTTP is the shell's business", ("*",), WEB, ANALYTICS_WEB),
    Rule("of the controller only the shell touches the world", ("controller/*",), WORLD, CONTROLLER_SHELL),
    Rule("of analytics only the shell touches the world", ("analytics/*",), WORLD, ANALYTICS_SHELL),
    Rule("rules and specs are values", ("ovs_rules/rule.py", "ovs_rules/replication.py"), WORLD),
    Rule("descriptions are values", ("topologies/spec.py", "topologies/leafspine.py", "topologies/fattree.py"), WORLD),
)  # fmt: skip


def imports(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """(line, full name) of everything that the file imports, and `open` for each call of it."""
    text = path.read_text(encoding="utf-8")
    package = module if path.name.startswith("__init__.") else module.rpartition(".")[0]
    if path.suffix != ".py":
        for match in re.finditer(r"^[ \t]*(?:from\s+(\S+)\s+c?import|c?import\s+([^#\n]+))|\bopen\(", text, re.M):
            names = match[1] or match[2] or "open"
            for name in names.split(","):
                yield text.count("\n", 0, match.start()) + 1, absolute(name.split()[0], package)
        return
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute("." * node.level + (node.module or ""), package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield node.lineno, "open"


def absolute(name: str, package: str) -> str:
    """`..x` as seen from `package`, in full."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parents = package.split(".")[: len(package.split(".")) - (level - 1)]
    return ".".join([*parents, *filter(None, [name[level:]])])


def violations(root: Path) -> list[str]:
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.p[yx]*")):
            if path.suffix not in (".py", ".pyx", ".pxd", ".pxi"):
                continue
            place = path.relative_to(root).as_posix()
            bound = [
                rule
                for rule in RULES
                if any(fnmatch(place, glob) for glob in rule.where)
                and not any(fnmatch(place, glob) for glob in rule.but)
            ]
            for line, name in imports(path, ".".join(path.relative_to(root).with_suffix("").parts)):
                for rule in bound:
                    if any(name == never or name.startswith(never + ".") for never in rule.never):
                        found.append(f"{place}:{line}: imports {name}: {rule.why}")
    return found


def test_imports_point_one_way():
    assert violations(ROOT) == []


def test_every_rule_speaks_of_files_that_exist():
    """A renamed file would otherwise slip out of its rule without a sound."""
    places = [path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.p*")]
    globs = {glob for rule in RULES for glob in rule.where}
    assert [glob for glob in sorted(globs) if not any(fnmatch(place, glob) for place in places)] == []


@pytest.mark.parametrize(
    ("place", "text", "name"),
    [
        ("analytics/engine.py", "from controller import rules", "controller.rules"),
        ("controller/app.py", "def f():\n    import analytics.engine", "analytics.engine"),
        ("controller/policy/marking.py", "import json, time", "time"),
        ("controller/policy/marking.py", "from ..openflow import x\nfrom ryu.lib import hub", "ryu.lib.hub"),
        ("controller/rules.py", "x = open('/etc/passwd')", "open"),
        ("controller/feed.py", "from ryu.lib import hub", "ryu.lib.hub"),
        ("topologies/spec.py", "from os.path import join", "os.path.join"),
        ("topologies/leafspine.py", "from mininet.net import Mininet", "mininet.net.Mininet"),
        ("analytics/core/xdr.pyx", "from libc.stdint cimport uint32_t\ncimport cython, time", "time"),
        ("analytics/core/xdr.pyx", "def f():\n    from socket import AF_INET", "socket"),
        ("analytics/core/__init__.py", "from . import xdr\nfrom time import monotonic", "time.monotonic"),
        ("analytics/engine.py", "import ovs.db.idl", "ovs.db.idl"),
        ("controller/rest.py", "import uvicorn", "uvicorn"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, place, text, name):
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text(text)
    found = violations(tmp_path)
    assert found, text
    assert all(
        f" imports {name}: " in line and line.startswith(f"{place}:{text.count(chr(10)) + 1}: ") for line in found
    )


def test_what_only_looks_alike_is_allowed(tmp_path):
    file = tmp_path / "controller/policy/marking.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import timeit, ovs_rules.rule\nfrom topologies import spec\nfrom . import time\nx.open('y')\n'import time'\n"
    )
    assert violations(tmp_path) == []
