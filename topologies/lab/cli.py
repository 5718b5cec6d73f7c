"""`howdah lab up|status|exec|down`: the lab from the command line.

`up` describes a fabric and hands it to a keeper process; the other commands find it through its state file. Exit codes:
0 done, 1 it could not be done (one line on stderr says why), 2 wrong usage; `exec` passes on those of its command.
"""

from __future__ import annotations

import json
import os
import select
import signal
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from documents import strict
from documents.printable import complain, say
from documents.topology import Spec, SpecError
from topologies.fattree import fattree
from topologies.lab import keeper, rundir
from topologies.lab.footprint import STATE, Footprint, clear_remains
from topologies.lab.machine import LabError, require_root
from topologies.leafspine import leafspine

TOPOLOGY = Path("/run/howdah/topology.json")
CONTROLLER = "tcp:127.0.0.1:6653"

lab = typer.Typer(help="A network on this machine: Open vSwitch bridges, Mininet hosts.", no_args_is_help=True)
StateFile = Annotated[Path, typer.Option("--state", envvar="HOWDAH_LAB_STATE", help="The lab's state file.")]


def register(app: typer.Typer) -> None:
    """Add `lab` to the one app of scripts/howdah."""
    app.add_typer(lab, name="lab")


@lab.command()
def up(
    *,
    spines: Annotated[int | None, typer.Option(help="Spine switches.  [default: 4]")] = None,
    leaves: Annotated[int | None, typer.Option(help="Leaf switches.  [default: 4]")] = None,
    hosts: Annotated[int | None, typer.Option(help="Hosts per leaf.  [default: 4]")] = None,
    rate: Annotated[float | None, typer.Option(help="Rate of every link in Mbit/s.  [default: 5]")] = None,
    fat_tree: Annotated[int | None, typer.Option("--fattree", metavar="K", help="A fat-tree of K pods.")] = None,
    file: Annotated[Path | None, typer.Option(help="Build what this topology document describes.")] = None,
    prefix: Annotated[str, typer.Option(help="Put before the names of switches.")] = "",
    controller: Annotated[str, typer.Option(help="OpenFlow controller of every bridge; 'none' for none.")] = CONTROLLER,
    sflow: Annotated[bool, typer.Option(help="Let every bridge export sFlow.")] = True,
    collector: Annotated[str, typer.Option(help="Where sFlow goes, IP:PORT.")] = "127.0.0.1:6343",
    sampling: Annotated[int, typer.Option(help="Sample one in so many packets.")] = 10,
    polling: Annotated[int, typer.Option(help="Seconds between counter samples.")] = 1,
    header: Annotated[int, typer.Option(help="Bytes sent of each sampled packet.")] = 600,
    qos: Annotated[bool, typer.Option(help="Two classes on every link; without, only its rate.")] = True,
    queue: Annotated[int, typer.Option(min=1, help="Packets that wait per class.")] = 100,
    static_arp: Annotated[bool, typer.Option(help="Tell every host the others' MACs.")] = False,
    datapath: Annotated[str | None, typer.Option(help="netdev or system.  [default: system where possible]")] = None,
    topology: Annotated[Path, typer.Option(help="Where the finished topology document goes.")] = TOPOLOGY,
    state: StateFile = STATE,
) -> None:
    """Build a network and leave it running: by default 4 spines, 4 leaves, 16 hosts, links of 5 Mbit/s."""
    settings = {"collector": collector, "sampling": sampling, "polling": polling, "header": header}
    options = {
        "controller": None if controller == "none" else controller,
        "sflow": settings if sflow else None,
        "qos": qos,
        "queue": queue,
        "static_arp": static_arp,
        "datapath": datapath,
    }
    try:
        require_root()
        spec = _described(file, fat_tree, {"spines": spines, "leaves": leaves, "hosts": hosts, "rate": rate}, prefix)
        if clear_remains(state):
            complain("removed what a killed lab had left")
        with keeper.signals_raise():
            took = keeper.launch(spec, options, document=topology, state=state)
        footprint = _present(state)
    except (LabError, SpecError, strict.DocumentError) as error:
        _fail(error)
    say(*_welcome(footprint, took))


@lab.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False, state: StateFile = STATE
) -> None:
    """What is up: bridges and their controllers, hosts and their addresses. Exit code 1 if no lab is up."""
    try:
        report = _report(_present(state))
    except LabError as error:
        _fail(error)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    say(f"{report['state']}: {_shape(report)}, held by process {report['keeper']}")
    say(f"topology document: {report['topology']}")
    for name, bridge in report["bridges"].items():
        connected = [target for target, yes in bridge["controllers"].items() if yes]
        link = f"connected to {', '.join(connected)}" if connected else "no controller connected"
        say(f"{name:10} {bridge['ports']} ports, agent {bridge['agent'] or '-'}, {link}")
    for name, host in report["hosts"].items():
        say(f"{name:10} {host['ipv4']}{'' if host['running'] else '  ended'}")


@lab.command("exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def execute(context: typer.Context, host: str, state: StateFile = STATE) -> None:
    """Run a command inside a host: `howdah lab exec h1 ip address`. Its exit code is ours."""
    try:
        if not context.args:
            raise LabError(f"no command for host {host!r}; for example: howdah lab exec {host} sh")
        require_root()
        footprint = _present(state)
        words = footprint.command(host, context.args)
        os.execvpe(words[0], words, footprint.environment())
    except FileNotFoundError:
        _fail("mnexec is not installed (run scripts/setup)")
    except LabError as error:
        _fail(error)


@lab.command()
def down(state: StateFile = STATE) -> None:
    """Remove the lab: exactly what `up` made, also after its keeper was killed."""
    try:
        require_root()
        footprint = Footprint.read(state)
        if footprint is None:
            say("no lab is up")
            return
        _end_holder(state)
        clear_remains(state)
        keeper.log_beside(state).unlink(missing_ok=True)
    except LabError as error:
        _fail(error)
    say(f"removed {len(footprint.bridges)} switches and {len(footprint.about.addresses)} hosts")


def _described(file: Path | None, pods: int | None, counts: dict[str, Any], prefix: str) -> Spec:
    """The one network that the options describe; LabError if they describe two."""
    given = {name: value for name, value in counts.items() if value is not None}
    if file is not None:
        if given or pods is not None or prefix:
            raise LabError(f"{file} says what to build; leave away --{next(iter(given), 'fattree or --prefix')}")
        return Spec.from_json(strict.read(file, dict))
    rate = given.pop("rate", 5)
    if pods is not None:
        if given:
            raise LabError(f"--fattree {pods} says what to build; leave away --{next(iter(given))}")
        return fattree(pods, rate, prefix)
    return leafspine(given.get("spines", 4), given.get("leaves", 4), given.get("hosts", 4), rate, prefix)


def _present(state: Path) -> Footprint:
    footprint = Footprint.read(state)
    if footprint is None:
        raise LabError("no lab is up; `howdah lab up` builds one")
    return footprint


def _end_holder(state: Path) -> None:
    """End the process that holds the lab by SIGTERM, and if need be by SIGKILL; what it does not remove, clear_remains
    will."""
    pid = rundir.holder(state)
    if pid is None:
        return
    try:
        process = os.pidfd_open(pid)
    except (
        OSError,
        ValueError,
    ):  # it has just ended; or it is in a PID namespace of which we see nothing (0)
        process = -1
    if process < 0 or rundir.holder(state) != pid:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, number)
            if select.select([process], [], [], keeper.ENDED_WITHIN)[0]:
                return
    finally:
        os.close(process)
    raise LabError(f"process {pid}, which holds the lab, does not end")


def _report(footprint: Footprint) -> dict[str, Any]:
    from ovs_rules.ovsdb import Ovsdb, OvsdbError  # noqa: PLC0415  takes 0.2 s, which other commands need not spend

    try:
        with Ovsdb() as db:
            bridges = db.bridges()
    except OvsdbError as error:
        raise LabError(str(error)) from None
    held = footprint.owner.alive()
    about = footprint.about
    return {
        "state": "up" if held and footprint.ready else "starting" if held else "killed (`howdah lab down` clears it)",
        "keeper": footprint.owner.pid,
        "topology": footprint.topology,
        **{key: value for key, value in asdict(about).items() if key != "addresses"},
        "bridges": {
            name: {
                "ports": len(bridge.ports),
                "agent": bridge.sflow.agent if bridge.sflow else None,
                "controllers": dict(bridge.controllers),
            }
            for name, bridge in bridges.items()
            if name in footprint.bridges
        },
        "hosts": {
            name: {"ipv4": address, "running": name in footprint.hosts and footprint.hosts[name].alive()}
            for name, address in about.addresses.items()
        },
    }


def _shape(about: dict[str, Any]) -> str:
    switches = ", ".join(f"{count} {role}" for role, count in about["roles"].items())
    rates = ", ".join(f"{bps / 1e6:g}" for bps in about["link_bps"])
    hosts = len(about.get("addresses") or about.get("hosts") or ())
    return f"{switches} switches, {hosts} hosts, links of {rates} Mbit/s, {about['datapath']} datapath"


def _welcome(footprint: Footprint, took: float) -> list[str]:
    about = footprint.about
    sflow = about.sflow
    host = next(iter(about.addresses), "HOST")
    return [
        f"up in {took:.1f} s: {_shape(asdict(about))}",
        f"sFlow: 1 in {sflow['sampling']} to {sflow['collector']}" if sflow else "sFlow: off",
        f"topology document: {footprint.topology}",
        "next:",
        f"  HOWDAH_TOPOLOGY={footprint.topology} ryu-manager controller.app",
        "                                         the switches forward nothing before a controller programs them",
        "  howdah lab status                      which switches it has",
        f"  {f'howdah lab exec {host} ip address':37}  a command inside a host",
        "  howdah lab down                        remove all of it",
    ]


def _fail(error: object) -> NoReturn:
    complain(f"howdah lab: {error}")
    raise typer.Exit(1)
