"""A real controller with a real fabric under attack: from its hosts, from forged sFlow, and on its own two ports."""

from __future__ import annotations

import os
import shutil
import time

import pytest

pytest.importorskip("mininet")
if os.geteuid() != 0 or not shutil.which("ovs-vsctl") or not shutil.which("mnexec"):
    pytest.skip("needs root, Open vSwitch and mnexec", allow_module_level=True)

from controller.control import Policy
from ovs_rules.ovsdb import Sflow
from tests.attack.floods import Flood
from tests.patience import PATIENCE_S
from tests.ryu_manager import Controller
from topologies.lab.lab import Lab
from topologies.leafspine import leafspine

pytestmark = pytest.mark.lab
PREFIX = f"a{os.getpid() % 256:02x}"  # of our switches' names: other labs may be up
ARP_RATE = 10_000  # a second
SAMPLES = "20"  # of each forged elephant: one makes none


class Site:
    """One leaf, one spine and four hosts with 100 Mb/s each, and their controller."""

    def __init__(self, lab, controller):
        self.lab, self.controller = lab, controller

    def run(self, host, *words):
        """What a command in a host says; it has to succeed."""
        program = self.lab.host(host).popen(list(words))
        said, _ = program.communicate(timeout=PATIENCE_S)
        assert program.returncode == 0, said.decode()
        return said.decode()

    def reaches(self, host, address):
        """One ping, after the neighbour table was emptied."""
        self.run(host, "ip", "neigh", "flush", "all")
        self.run(host, "ping", "-c1", "-W2", address)
        return True

    def rules(self, kind):
        """Rules of a kind that the leaf holds."""
        (leaf,) = [switch for switch in self.controller.get("fabric")["switches"] if switch["role"] == "leaf"]
        return leaf["rules"].get(kind, 0)

    def flood(self, kind, *words, host=None):
        prefix = ("mnexec", "-a", str(self.lab.host(host).pid)) if host else ()
        return Flood(kind, *words, prefix=prefix)


@pytest.fixture
def site(tmp_path, eventually):
    controller = Controller(tmp_path, leafspine(1, 1, 4, 100, prefix=PREFIX).to_json())
    lab = Lab(
        leafspine(1, 1, 4, 100, prefix=PREFIX),
        controller=f"tcp:127.0.0.1:{controller.openflow}",
        sflow=Sflow(collector=f"127.0.0.1:{controller.sflow}", sampling=100, polling=1),
        topology=tmp_path / "topology.json",
        state=tmp_path / "lab.json",
    )
    with lab:
        controller.start()
        try:
            eventually(lambda: controller.connected(2))
            eventually(controller.analytics_alive)
            process, starts = controller.process, controller.get("status")["analytics"]["starts"]
            yield Site(lab, controller)
            assert controller.process is process
            assert process.poll() is None
            assert controller.get("status")["analytics"]["starts"] == starts
        finally:
            controller.stop()


def test_a_flood_of_arp_from_new_macs(site, attack_s, eventually, report):
    """Known hosts reach each other, a new one elsewhere is learnt, and the switch is no longer asked to copy."""
    pings = 0

    def ping():
        nonlocal pings
        eventually(lambda: site.reaches("h1", "10.0.1.2"))
        pings += 1

    with site.flood("arp", "h4-eth0", ARP_RATE, host="h4") as flood:
        eventually(lambda: site.rules("muted_arp"))
        figures = asked(site, attack_s, ping)
        eventually(lambda: ["port 4" in problem for problem in site.controller.get("status")["problems"]] == [True])
        site.run("h3", "ip", "address", "add", "10.0.1.77/24", "dev", "h3-eth0")
        ping_from = ("ping", "-c1", "-W2", "-I", "10.0.1.77", "10.0.1.1")
        eventually(lambda: site.run("h3", *ping_from))  # asks who has 10.0.1.1, by ARP
        eventually(lambda: "10.0.1.77" in str(site.controller.get("fabric")["hosts"]))
    hosts = len(site.controller.get("fabric")["hosts"])
    report({**flood.counts, **figures, "pings": pings, "hosts": hosts})
    eventually(lambda: site.rules("muted_arp") == 0, 2 * PATIENCE_S)


def test_forged_elephants(site, attack_s, eventually, report):
    """Rules for flows that do not exist: no more than the budget, and what is over it is counted."""
    (leaf,) = [switch for switch in site.controller.get("fabric")["switches"] if switch["role"] == "leaf"]
    port = next(port for port in leaf["ports"] if port["number"] == 1)
    began, most = time.monotonic(), 0

    def count():
        nonlocal most
        most = max(most, site.rules("elephant"))
        assert most <= Policy.controls_per_second * (1 + time.monotonic() - began)

    where = (leaf["agent"], port["ifindex"], SAMPLES)
    with site.flood("elephants", "127.0.0.1", site.controller.sflow, "inf", *where) as flood:
        figures = asked(site, attack_s, count)
        # They were believed, so the budget was needed.
        eventually(lambda: site.controller.get("status")["counts"]["elephants"] > Policy.controls_per_second)
    counts = site.controller.get("status")["counts"]
    report({**flood.counts, **figures, **counts, "most_rules": most})
    assert counts["deferred"] + counts["refused_by_cap"] + counts["untracked"] > 0


@pytest.mark.parametrize("kind", ["openflow", "connections", "bodies"])
def test_its_own_ports(kind, site, attack_s, report):
    """Malformed OpenFlow, silent and half-said requests, endless bodies: switches stay, questions are answered."""
    port = site.controller.openflow if kind == "openflow" else site.controller.http
    with site.flood(kind, "127.0.0.1", port) as flood:
        figures = asked(site, attack_s)
    report({**flood.counts, **figures})


def asked(site, seconds, between=lambda: None):
    """Asks for the status all the time, and does something between; how soon the answers came. Both switches stay."""
    took = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline or not took:
        began = time.monotonic()
        assert len(site.controller.get("status")["switches"]["connected"]) == 2
        took.append(time.monotonic() - began)
        between()
    took.sort()
    p50, p99 = (round(took[int(share * len(took))] * 1000, 1) for share in (0.5, 0.99))
    return {"asked": len(took), "rest_p50_ms": p50, "rest_p99_ms": p99}
