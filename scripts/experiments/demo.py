"""Howdah in two minutes: a leaf-spine fabric whose elephants collide, and how sFlow and OpenFlow resolve that.

The phases: reachability, an idle fabric, ECMP alone, the same flows steered, mice with and without marking, datagrams
replicated. The same flows means the same 5-tuples, so that ECMP makes the same choice both times and the difference is
the controller's. Every number is measured in this run; --report FILE writes them all to a file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from documents.printable import complain
from documents.topology import Host
from scripts.experiments.patterns import stride
from scripts.experiments.screen import Screen
from scripts.experiments.stage import BIN, Stage, StageError, until
from scripts.experiments.workload import (
    Elephant,
    Mice,
    Run,
    bound,
    listen,
    mice_behind,
    reach,
    run_elephants,
    run_mice,
    run_replication,
    summary,
)
from topologies.lab import keeper
from topologies.lab.machine import LabError
from topologies.leafspine import leafspine

SHAPE = {"spines": 4, "leaves": 4, "hosts_per_leaf": 4, "link_mbps": 5.0}
IDLE_S = 5.0
ELEPHANTS_S, WINDOW = 21.0, (6.0, 20.0)
MICE_S, MICE_GAP_S = 8.0, 0.04
DATAGRAMS = 500
UDP_PORTS = (6343, 7343)
FIRST_SOURCE_PORT = 40001


class Demo:
    """The phases in order; each adds its numbers to `report`."""

    def __init__(self, stage: Stage, screen: Screen) -> None:
        self.stage = stage
        self.screen = screen
        self.report: dict[str, Any] = {}
        hosts = list(stage.spec.hosts.values())
        per_leaf = int(SHAPE["hosts_per_leaf"])
        self.leaves = [hosts[i : i + per_leaf] for i in range(0, len(hosts), per_leaf)]
        self.elephants = [Elephant(hosts[a], hosts[b], FIRST_SOURCE_PORT + a) for a, b in stride(len(hosts), per_leaf)]
        self.elephants_on: dict[str, int] = {}  # by link, while ECMP alone placed them
        self.behind_elephants: dict[str, Mice] = {}  # unmarked and marked ones

    def run(self) -> None:
        phases = (self.build_fabric, self.reachability, self.idle, self.ecmp, self.steered, self.mice, self.replication)
        for number, phase in enumerate(phases, 1):
            assert phase.__doc__
            self.screen.title(f"{number}/{len(phases)}  {phase.__doc__}")
            phase()
        self.sflow()

    # The phases

    def build_fabric(self) -> None:
        """The fabric: Open vSwitch leaves and spines, sFlow on all, one controller"""
        took = self.stage.build_fabric({"sflow": {"collector": "127.0.0.1:6343", "sampling": 10, "polling": 1}})
        footprint = self.stage.footprint
        assert footprint is not None
        version = subprocess.run(
            ["ovs-vsctl", "get", "Open_vSwitch", ".", "ovs_version"], capture_output=True, text=True, check=True
        ).stdout.strip().strip('"')  # fmt: skip
        self.report["fabric"] = {**SHAPE, "datapath": footprint.about.datapath, "ovs": version}
        self.screen.say(
            f"{SHAPE['leaves']} leaves x {SHAPE['spines']} spines, {len(self.stage.spec.hosts)} hosts, links of "
            f"{SHAPE['link_mbps']:g} Mb/s: up in {took:.1f} s (Open vSwitch {version}, "
            f"{footprint.about.datapath} datapath)"
        )
        self.stage.start_controller()
        until(self.stage.ready, 60, "controller, analytics and sFlow of all switches")
        self.screen.say("ryu-manager controller.app has programmed all switches; analytics receives sFlow from each")

    def reachability(self) -> None:
        """Reachability: every host sends a request to every other"""
        self.receivers = listen(self.stage)
        pairs, lost = reach(self.stage)
        self.report["reachability"] = {"pairs": pairs, "lost": len(lost)}
        self.screen.say(
            f"{pairs - len(lost)} of {pairs} requests answered" + (f"; not: {', '.join(lost[:5])}" if lost else "")
        )
        if lost:
            raise StageError(f"{len(lost)} of {pairs} host pairs cannot reach each other")

    def idle(self) -> None:
        """An idle fabric: small requests only, nothing that should be called an elephant"""
        mice = run_mice(self.stage, self.leaves[0][0], self.leaves[-1][0], IDLE_S, MICE_GAP_S)
        links = self.stage.ask("links")
        self.screen.say(
            f"{mice}; busiest link {max(link['utilisation'] for link in links):.0%}, "
            f"elephants: {self.stage.ask('status')['elephants']['total']}"
        )

    def ecmp(self) -> None:
        """ECMP alone: one elephant from every host, steering off"""
        self.stage.set_policy(steering=False)
        self.before = self._elephants(self._watch_links)
        shared = [f"{name}: {n}" for name, n in self.elephants_on.items() if n > 1]
        empty = sum(n == 0 for n in self.elephants_on.values())
        self.screen.say(
            f"{len(shared)} links between switches carry more than one elephant, {empty} none; for example "
            f"{', '.join(shared[:3])}"
        )
        limit = bound(self.stage.spec, self.elephants)
        self.report["goodput"] = {"ecmp_mbps": mbps(self.before.total), "bound_mbps": mbps(limit)}
        self.screen.say(
            f"goodput {mbps(self.before.total)} Mb/s, {self.before.total / limit:.0%} of the {mbps(limit)} Mb/s that "
            f"the links could carry"
        )

    def steered(self) -> None:
        """The same flows, now steered: sFlow detects, OpenFlow marks and moves"""
        self._wait_for_the_end_of_elephants()
        self.stage.set_policy(steering=True)
        started = time.time()
        after: Run = self.screen.watch(lambda: self.stage.ask("elephants"), self._elephants)
        records = {r["flow"]: r for r in self.stage.ask("elephants?all=true") if r["detected_at"] >= started}
        rows = [self._row(elephant, records.get(elephant.key), after) for elephant in self.elephants]
        self.report["elephants"] = rows
        self.screen.elephants(rows)
        goodput = self.report["goodput"]
        goodput["controlled_mbps"] = mbps(after.total)
        moved = [row for row in rows if row["moved_ms"] is not None]
        self.screen.say(
            f"{sum(row['detected_ms'] is not None for row in rows)} of {len(rows)} elephants detected, {len(moved)} "
            f"seen on a new path; after their first byte (medians): detected {median(rows, 'detected_ms')}, marked "
            f"{median(rows, 'marked_ms')}, seen on the new path {median(rows, 'moved_ms')}"
        )
        self.screen.say(
            f"goodput {goodput['controlled_mbps']} Mb/s: {after.total / self.before.total:.2f} x ECMP alone, "
            f"{after.total / 1e6 / goodput['bound_mbps']:.0%} of what the links could carry"
        )
        idle = min(self.before.idle, after.idle)
        if idle < 0.2:
            self.screen.say(f"the processors were idle only {idle:.0%} of the time: the figures may be low")

    def mice(self) -> None:
        """Mice: small requests to a host whose link four elephants fill, unmarked and then marked Lower Effort"""
        for number, (name, marking) in enumerate((("unmarked", False), ("marked", True))):
            self._wait_for_the_end_of_elephants()
            self.stage.set_policy(marking=marking)
            self.behind_elephants[name] = self._mice_behind_elephants(number)
            self.screen.say(f"elephants {name}: {self.behind_elephants[name]}")
        self.report["mice"] = {name: mice.report() for name, mice in self.behind_elephants.items()}

    def replication(self) -> None:
        """Replication: UDP datagrams copied by the switch of their collector"""
        sender, collector, remote = self._replication_hosts()
        result = run_replication(self.stage, sender, collector, remote, UDP_PORTS, DATAGRAMS)
        self.report["replication"] = result
        got = result["received"]
        self.screen.say(
            f"{sender.name} sent {result['sent']} datagrams to port {UDP_PORTS[0]} of {collector.name}; arrived: "
            f"{got['original']} there, {got['second_port']} at its port {UDP_PORTS[1]}, {got['remote_host']} at "
            f"{remote.name}"
        )

    def sflow(self) -> None:
        agents = self.stage.ask_analytics("agents/json").values()
        keys = {
            "datagrams": "sFlowDatagramsReceived", "flow_samples": "sFlowFlowSamples",
            "counter_samples": "sFlowCounterSamples", "lost": "sFlowDatagramsLost",
        }  # fmt: skip
        self.report["sflow"] = {
            "agents": len(agents),
            **{name: sum(agent[key] for agent in agents) for name, key in keys.items()},
        }

    def close(self) -> None:
        """The results in a few sentences."""
        goodput, sflow = self.report["goodput"], self.report["sflow"]
        self.screen.title("What you have seen")
        self.screen.console.print(
            f"- {sflow['agents']} switches sent {sflow['datagrams']} sFlow datagrams with {sflow['flow_samples']} "
            f"packet samples; {sflow['lost']} datagrams were lost.\n"
            f"- ECMP put several elephants on one link and left others idle: {goodput['ecmp_mbps']} Mb/s.\n"
            f"- Moving {sum(row['moved_ms'] is not None for row in self.report['elephants'])} of them by one rule each "
            f"gave {goodput['controlled_mbps']} of {goodput['bound_mbps']} Mb/s.\n"
            "- Small requests behind four elephants:\n"
            f"    elephants unmarked: {self.behind_elephants['unmarked']}\n"
            f"    elephants marked Lower Effort: {self.behind_elephants['marked']}\n"
            "- One datagram became three inside a switch, without any program that copies.\n"
            "Next: sudo ./scripts/demo --keep leaves all of it running; README.md says how to use your own switches.",
            highlight=False,
        )

    # What the phases share

    def _elephants(self, watch: Callable[[float], None]) -> Run:
        return run_elephants(self.stage, self.receivers, self.elephants, ELEPHANTS_S, WINDOW, watch)

    def _wait_for_the_end_of_elephants(self) -> None:
        """Until the controller knows of none of the last phase's any more."""
        until(lambda: self.stage.ask("status")["elephants"]["live"] == 0, 30, "the end of the last elephants")

    def _watch_links(self, passed: float) -> None:
        """Remembers how many elephants were on each link once the measured part of the run had begun."""
        if passed > WINDOW[0]:
            self.elephants_on = {
                f"{link['from']} > {link['to']}": len(link["elephants"]) for link in self.stage.ask("links")
            }

    def _row(self, elephant: Elephant, record: dict[str, Any] | None, after: Run) -> dict[str, Any]:
        first = after.first_byte[elephant.key]
        record = record or {}

        def since(name: str) -> float | None:
            return round((record[name] - first) * 1000, 1) if record.get(name) else None

        return {
            "flow": elephant.key,
            "detected_ms": since("detected_at"),
            "marked_ms": since("marked_at"),
            "moved_ms": since("seen_moved_at") if record.get("moves") else None,
            "path_before": record.get("first_path"),
            "path_after": record.get("path"),
            "goodput_before_mbps": mbps(self.before.goodput[elephant.key]),
            "goodput_after_mbps": mbps(after.goodput[elephant.key]),
        }

    def _mice_behind_elephants(self, number: int) -> Mice:
        """Elephants from two leaves to one host, then mice from a third leaf to the same host."""
        target = self.leaves[2][0]
        port = FIRST_SOURCE_PORT + 1000 + 10 * number
        senders = (*self.leaves[0][:2], *self.leaves[1][:2])
        elephants = [Elephant(host, target, port) for host in senders]
        return mice_behind(self.stage, self.receivers, elephants, self.leaves[3][0], MICE_S, MICE_GAP_S).mice

    def _replication_hosts(self) -> tuple[Host, Host, Host]:
        return self.leaves[0][0], self.leaves[-1][-1], self.leaves[-2][-1]


def mbps(rate: float) -> float:
    return round(rate / 1e6, 2)


def median(rows: list[dict[str, Any]], name: str) -> str:
    times = [row[name] for row in rows if row[name] is not None]
    return f"{summary(times)[0]:.0f} ms" if times else "never"


def settings(stage_hosts: list[Host], per_leaf: int, work: Path) -> str:
    """The controller's configuration: one replication, defaults for the rest."""
    collector, remote = stage_hosts[-1], stage_hosts[-1 - per_leaf]
    (work / "copies.yaml").write_text(
        f"udp_port: {UDP_PORTS[0]}\ncollector:\n  address: {collector.ipv4}\ncopies:\n"
        f"- port: {UDP_PORTS[1]}\n- host: {remote.ipv4}\n  port: {UDP_PORTS[0]}\n  source: keep\n"
    )
    return "controller:\n  replication:\n  - copies.yaml\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--report", metavar="FILE", type=Path, help="write every number measured as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the fabric and the programs running at the end")
    options = parser.parse_args()
    spec = leafspine(**SHAPE)  # type: ignore[arg-type]
    work = Path(tempfile.mkdtemp(prefix="howdah-demo-"))
    hosts = list(spec.hosts.values())
    stage = Stage(spec, work, settings(hosts, int(SHAPE["hosts_per_leaf"]), work))
    screen = Screen({address: host.name for host in hosts for address in host.addresses})
    ended = "failed"
    with keeper.signals_raise():
        try:
            Stage.check_ports()
            demo = Demo(stage, screen)
            demo.run()
            demo.close()
            if options.report:
                options.report.write_text(json.dumps(demo.report, indent=1) + "\n")
            ended = "kept" if options.keep else "done"
        except SystemExit:
            ended = "interrupted"
            complain("demo: interrupted; taking everything away")
            raise
        except (StageError, LabError, RuntimeError, requests.RequestException, OSError) as error:
            complain(f"demo: {error}", f"demo: the programs' logs are in {work}")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half a fabric behind
            stage.stop_programs()
            if ended != "kept":
                stage.close()
            if ended in ("done", "interrupted"):
                shutil.rmtree(work)
    if ended == "kept" and stage.controller is not None:
        screen.kept(stage.controller.pid, work, BIN)
    return 1 if ended == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
