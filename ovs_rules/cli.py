"""The command line of replication specs: show what one means, load it into a bridge, take exactly that away again.

Rules loaded here carry a cookie made from what they match, so `remove` finds them whatever was edited in the copies
since. They are for bridges that no controller programs; a Howdah controller takes specs from its configuration.
"""

from __future__ import annotations

import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from documents.printable import complain, say
from documents.strict import DocumentError
from ovs_rules import replication
from ovs_rules.rule import DEFAULT_PRIORITY, Rule, text

COOKIE = 0x48775250 << 32  # "HwRP", replication rules that no controller of ours made; the match's CRC below it
VERSIONS = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"  # whichever of them the bridge supports

replicate = typer.Typer(help="Copy UDP datagrams inside the switch.", no_args_is_help=True)

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="The replication spec, a YAML file.")]
Bridge = Annotated[str, typer.Option(help="The bridge, by name.")]


def register(app: typer.Typer) -> None:
    """Add `replicate` to the one app of scripts/howdah."""
    app.add_typer(replicate, name="replicate")


@replicate.command()
def show(spec_file: SpecFile) -> None:
    """Print the spec as ovs-ofctl flows (stdout), and which receiver gets what (stderr)."""
    spec = _read(spec_file)
    for line in replication.receivers(spec):
        complain(f"# {line}")
    for rule in replication.rules(spec):
        say(text(rule))


@replicate.command()
def apply(
    spec_file: SpecFile,
    bridge: Bridge,
    priority: Annotated[int, typer.Option(min=1, max=65535, help="Priority of the rules.")] = DEFAULT_PRIORITY,
) -> None:
    """Load the spec's rules into a bridge; applied again after an edit, they replace what they were."""
    spec = _read(spec_file)
    rules = [replace(rule, cookie=_cookie(spec), priority=priority) for rule in replication.rules(spec)]
    _remove(spec, bridge)
    try:
        for rule in rules:  # the switch refuses to let them shadow rules of others
            _ofctl("add-flow", bridge, text(rule).replace(" actions=", " check_overlap actions="))
    except SwitchRefused as fault:
        _remove(spec, bridge)
        if "OVERLAP" in str(fault):
            _fail(f"{bridge} has other rules of priority {priority} for these datagrams: give --priority another value")
        _fail(str(fault))
    for line in replication.receivers(spec):
        say(line)
    for line in _missing_settings(spec, bridge):
        complain(f"note: {line}")


@replicate.command()
def remove(spec_file: SpecFile, bridge: Bridge) -> None:
    """Take away from a bridge exactly what `apply` loaded for this spec."""
    spec = _read(spec_file)
    count = _remove(spec, bridge)
    say(f"{bridge}: {count} rule{'s' * (count != 1)} removed")


class SwitchRefused(Exception):
    """ovs-ofctl failed; the message is its own, in one line."""


def _read(path: Path) -> replication.Spec:
    try:
        return replication.read(path)
    except DocumentError as fault:
        _fail(str(fault))


def _cookie(spec: replication.Spec) -> int:
    matches = [text(Rule(rule.match)) for rule in replication.rules(spec)]
    return COOKIE | zlib.crc32("\n".join(matches).encode())


def _remove(spec: replication.Spec, bridge: str) -> int:
    ours = f"cookie={_cookie(spec):#x}/-1"
    try:
        count = _ofctl("--no-names", "dump-flows", bridge, ours).count("cookie=")
        _ofctl("del-flows", bridge, ours)
    except SwitchRefused as fault:
        _fail(str(fault))
    return count


def _ofctl(*words: str) -> str:
    try:
        done = subprocess.run(
            ["ovs-ofctl", f"--protocols={VERSIONS}", *words], check=False, capture_output=True, text=True, timeout=30
        )
    except FileNotFoundError:
        _fail("ovs-ofctl is not installed (Debian: openvswitch-switch)")
    except subprocess.TimeoutExpired:
        raise SwitchRefused("ovs-ofctl: the switch did not answer within 30 s") from None
    if done.returncode:
        raise SwitchRefused(" ".join((done.stderr or done.stdout).split()))
    return done.stdout


def _missing_settings(spec: replication.Spec, bridge: str) -> list[str]:
    """What this host lacks to route copies on that name no MAC (see README.md)."""
    routed = [copy for copy in spec.copies if copy.host and not copy.mac]
    if not routed or spec.collector.port != "LOCAL":
        return []
    needed = ["net/ipv4/ip_forward"]
    if any(copy.source == "rewrite" for copy in routed):
        needed.append(f"net/ipv4/conf/{bridge}/accept_local")
    missing = [
        name for name in needed if (path := Path("/proc/sys", name)).exists() and path.read_text().strip() == "0"
    ]
    return [
        f"copies without 'mac' are routed by this host; it needs: sysctl -w {name.replace('/', '.')}=1"
        for name in missing
    ]


def _fail(what: str) -> NoReturn:
    complain(f"howdah replicate: {what}")
    raise typer.Exit(1)
