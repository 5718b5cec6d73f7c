"""The direction of dependencies: who may import what, kept true by walking the imports of every file.

One line per rule. `.py` files are read with `ast`, so imports inside functions and under TYPE_CHECKING count too; of
`.pyx` and `.pxd` files the `import` and `cimport` lines are read, and the headers that they include, whether by
`cdef extern from` or by `#include` in a piece of C. Relative imports are resolved first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("analytics", "client", "controller", "documents", "ovs_rules", "topologies")
PROGRAMS = ("analytics", "client", "controller")


class Rule(NamedTuple):
    """Files matching `where` but not `but` import nothing of `never`; `open` there means the built-in function."""

    why: str
    where: tuple[str, ...]
    never: tuple[str, ...]
    but: tuple[str, ...] = ()


def modules(folder: str, names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names.split())


WORLD = ("socket", "time", "os", "threading", "asyncio", "logging", "random", "subprocess", "open", "ryu", "mininet",
         "libc.time", "posix.time", "time.h", "sys/socket.h", "poll.h", "unistd.h")  # fmt: skip
WEB = ("starlette", "uvicorn")
ANALYTICS_PARTS = ("api", "bench", "cli", "config", "decode", "engine", "events", "export", "flows", "geo", "graph",
                   "inputs", "lookups", "machine", "memory", "metrics", "news", "privileges", "queries", "resolver",
                   "server", "state",
                   "topology", "turns", "__main__")  # fmt: skip
ABOVE_CORE = tuple(f"analytics.{part}" for part in ANALYTICS_PARTS)
ANALYTICS_WEB = (
    "analytics/server.py",
    *modules(
        "analytics/api",
        "compression connections elsewhere exports feeds middleware pages parameters rest serving stream topologies",
    ),
)
ANALYTICS_SHELL = (
    *modules("analytics", "decode engine machine news privileges resolver server state"),
    *modules(
        "analytics/api", "compression connections longpoll middleware parameters rest serving stream topologies vitals"
    ),
    *modules("analytics/inputs", "collector playback"),
    *modules("analytics/export", "sender"),
    *modules("analytics/bench", "client contestants decode definitions ingest latency load questions"),
    *(f"analytics/core/{name}.pyx" for name in ("receive", "sender")),
)
CONTROLLER_SHELL = modules("controller", "acceptor app cli listener openflow supervisor")
OVS_RULES_SHELL = modules("ovs_rules", "cli ovsdb")
RULES = (
    Rule("they meet only over HTTP", ("analytics/*",), ("controller",)),
    Rule("they meet only over HTTP", ("controller/*",), ("analytics",)),
    Rule("clients meet both only over HTTP", ("client/*",), ("analytics", "controller", "topologies")),
    Rule("scripts know no switch", ("client/*",), ("ovs_rules",), ("client/commands/facts.py",)),
    Rule("scripts know no commands", ("client/*",), ("client.commands",), ("client/commands/*",)),
    Rule("both know no scripts", ("analytics/*", "controller/*"), ("client",)),
    Rule("a script needs requests and nothing more", ("client/*",), ("typer", "rich", "msgspec", "networkx", "yaml"),
         ("client/cli.py", "client/commands/*")),
    Rule("of scripts only the shell touches the world", ("client/*",), WORLD,
         (*modules("client", "connection outputs requesthandler run script store"),
          *modules("client/commands", "asking doctor facts look"))),
    Rule("the shared parts stand below both", ("topologies/*", "ovs_rules/*", "documents/*"), PROGRAMS),
    Rule("what all share imports nothing of ours", ("documents/*",), ("ovs_rules", "topologies")),
    Rule("rules know no laboratory", ("ovs_rules/*", "controller/*", "analytics/*"), ("topologies",)),
    Rule("the core stands below the rest of analytics", ("analytics/core/*",), ABOVE_CORE),
    Rule("analytics knows no switch", ("analytics/*",), ("ovs_rules",)),
    *(
        Rule("the packages of the core stand on each other", (f"analytics/core/{package}/*",),
             tuple(f"analytics.core.{name}" for name in above.split()))
        for package, above in {
            "wire": "dissect flows printing table seenonce pipeline ledger counterstore fairqueue receive capfile "
            "sender",
            "dissect": "flows printing table seenonce pipeline ledger counterstore fairqueue receive capfile sender",
            "flows": "printing pipeline counterstore fairqueue receive capfile sender",
            "printing": "dissect flows table seenonce pipeline ledger counterstore fairqueue receive capfile sender",
        }.items()
    ),
    Rule("Mininet is one file's business", ("*",), ("mininet",), ("topologies/lab/lab.py",)),
    Rule("os-ken may replace Ryu one day", ("*",), ("ryu",), modules("controller", "acceptor app listener openflow")),
    Rule("OVSDB is one file's business", ("*",), ("ovs",), ("ovs_rules/ovsdb.py",)),
    Rule("HTTP is the shell's business", ("*",), WEB, ANALYTICS_WEB),
    Rule("of the controller only the shell touches the world", ("controller/*",), WORLD, CONTROLLER_SHELL),
    Rule("of analytics only the shell touches the world", ("analytics/*",), WORLD, ANALYTICS_SHELL),
    Rule("rules and specs are values", ("ovs_rules/*",), WORLD, OVS_RULES_SHELL),
    Rule("descriptions are values", ("documents/topology.py", *modules("topologies", "leafspine fattree")), WORLD),
)  # fmt: skip


NATIVE = re.compile(
    r"""^[ \t]*from\s+(?P<base>[\w.]+)\s+c?import\s+(?P<names>\([^)]*\)|[^#\n]+)
      | ^[ \t]*c?import\s+(?P<modules>[^#\n]+)
      | ^[ \t]*(?:cdef\s+extern\s+from\s+["']<?|\#[ \t]*include\s*[<"])(?P<header>[\w./]+)
      | (?<![\w.])open\(""",
    re.M | re.X,
)


@cache
def imports(path: Path, module: str) -> tuple[tuple[int, str], ...]:
    """(line, full name) of everything that the file imports, and `open` for each call of it."""
    return tuple(found_imports(path, module))


def found_imports(path: Path, module: str) -> Iterator[tuple[int, str]]:
    text = path.read_text(encoding="utf-8")
    package = module if path.name.startswith("__init__.") else module.rpartition(".")[0]
    if path.suffix != ".py":
        for match in NATIVE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if match["header"]:
                yield line, match["header"]
            elif match["base"]:  # the names too, because `from analytics import topology` is an import of a module
                names = match["names"].strip("() \n").replace("\n", " ").split(",")
                yield from (
                    (line, absolute(f"{match['base']}.{name.split()[0]}", package)) for name in names if name.strip()
                )
            else:
                for name in (match["modules"] or "open").split(","):
                    yield line, absolute(name.split()[0], package)
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


def violations(root: Path, rules: Sequence[Rule] = RULES) -> list[str]:
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.p[yx]*")):
            if path.suffix not in (".py", ".pyi", ".pyx", ".pxd", ".pxi"):
                continue
            place = path.relative_to(root).as_posix()
            bound = [rule for rule in rules if matches(place, rule.where) and not matches(place, rule.but)]
            for line, name in imports(path, ".".join(path.relative_to(root).with_suffix("").parts)):
                for rule in bound:
                    if any(name == never or name.startswith(never + ".") for never in rule.never):
                        found.append(f"{place}:{line}: imports {name}: {rule.why}")
    return found


def matches(place: str, globs: Iterable[str]) -> bool:
    return any(fnmatch(place, glob) for glob in globs)


def test_imports_point_one_way():
    assert violations(ROOT) == []


def test_every_rule_names_files_that_exist():
    """A renamed file would otherwise leave its rule unnoticed."""
    places = [path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.p*")]
    globs = {glob for rule in RULES for glob in rule.where}
    assert [glob for glob in sorted(globs) if not any(fnmatch(place, glob) for place in places)] == []


def test_every_part_of_analytics_is_known_to_the_rules():
    parts = {path.stem for path in (ROOT / "analytics").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert parts - set(ANALYTICS_PARTS) - {"core", "__init__", "__pycache__"} == set()


@pytest.mark.parametrize(("rule", "exception"), [(rule, glob) for rule in RULES for glob in rule.but])
def test_every_exception_is_needed(rule, exception):
    """One that no file needs any more would let the next violation in."""
    others = tuple(glob for glob in rule.but if glob != exception)
    assert violations(ROOT, [rule._replace(but=others)]), f"{rule.why}: {exception} needs no exception"


@pytest.mark.parametrize(
    ("place", "text", "name"),
    [
        ("analytics/engine.py", "from controller import rules", "controller.rules"),
        ("controller/app.py", "def f():\n    import analytics.engine", "analytics.engine"),
        ("controller/policy/marking.py", "import json, time", "time"),
        ("controller/policy/marking.py", "from ..openflow import x\nfrom ryu.lib import hub", "ryu.lib.hub"),
        ("controller/rules.py", "x = open('/etc/passwd')", "open"),
        ("controller/feed.py", "from ryu.lib import hub", "ryu.lib.hub"),
        ("documents/topology.py", "from os.path import join", "os.path.join"),
        ("topologies/leafspine.py", "from mininet.net import Mininet", "mininet.net.Mininet"),
        ("analytics/core/wire/xdr.pyx", "from libc.stdint cimport uint32_t\ncimport cython, time", "time"),
        ("analytics/core/wire/xdr.pyx", "def f():\n    from socket import AF_INET", "socket.AF_INET"),
        ("analytics/core/wire/rows.pyx", "import json\nfrom analytics.flows import keys", "analytics.flows.keys"),
        ("analytics/core/wire/rows.pyx", "from analytics cimport engine", "analytics.engine"),
        (
            "analytics/core/dissect/walk.pyx",
            "from analytics.core.table cimport find",
            "analytics.core.table.find",
        ),
        ("analytics/core/pipeline.pyx", "cdef extern from *:\n    #include <time.h>", "time.h"),
        ("analytics/core/pipeline.pyx", 'cdef extern from "<poll.h>":', "poll.h"),
        ("documents/strict.py", "from ovs_rules import rule", "ovs_rules.rule"),
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
    file.write_text("import timeit\nfrom documents import topology\nfrom . import time\nx.open('y')\n'import time'\n")
    assert violations(tmp_path) == []
