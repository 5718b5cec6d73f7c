"""The whole loop on a real fabric: real TCP, real sFlow, the real Ryu application; and what survives which crash."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import requests

pytest.importorskip("mininet")
if os.geteuid() != 0 or not shutil.which("ovs-vsctl") or not shutil.which("mnexec"):
    pytest.skip("needs root, Open vSwitch and mnexec", allow_module_level=True)

from ovs_rules.ovsdb import Sflow
from tests.patience import PATIENCE_S
from tests.ryu_manager import Controller
from topologies.lab.lab import Lab
from topologies.leafspine import leafspine
from topologies.traffic import command

PREFIX = f"l{os.getpid() % 256:02x}"  # of our switches' names: other runs of these tests may be up
PORT = 5001
UNTIL_STOPPED = 3600  # seconds


class Site:
    """A fabric of 2 leaves, 2 spines and 4 hosts with a controller, and programs in its hosts."""

    def __init__(self, lab, controller, work):
        self.lab, self.controller, self.work = lab, controller, work
        self.programs = []

    def run(self, host, *words):
        """Starts a traffic program, the last of `programs`; returns a function that gives its JSON lines so far."""
        path = self.work / f"{len(self.programs)}.jsonl"
        with path.open("wb") as output:
            self.programs.append(self.lab.host(host).popen(command(*words), stdout=output, stderr=subprocess.STDOUT))

        def lines():
            return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

        return lines

    def send(self, host, flow):
        """An elephant, which waits for its receiver."""
        self.run(host, "send", flow, "--seconds", UNTIL_STOPPED, "--patience", PATIENCE_S)

    def stop(self):
        for program in self.programs:
            if program.poll() is None:
                program.terminate()
        for program in self.programs:
            program.wait(PATIENCE_S)

    def elephants(self, everything=False):
        return self.controller.get("elephants?all=true" if everything else "elephants")

    def port_bytes(self, port):
        """Bytes sent out of a switch port, by the kernel's own counter."""
        shown = subprocess.run(["ip", "-json", "-s", "link", "show", port], capture_output=True, check=True).stdout
        return json.loads(shown)[0]["stats64"]["tx"]["bytes"]


@pytest.fixture
def site(tmp_path, eventually):
    spec = leafspine(2, 2, 2, 5, prefix=PREFIX)
    controller = Controller(tmp_path, spec.to_json())
    sflow = Sflow(collector=f"127.0.0.1:{controller.sflow}", sampling=10, polling=1)
    lab = Lab(
        spec,
        controller=f"tcp:127.0.0.1:{controller.openflow}",
        sflow=sflow,
        topology=tmp_path / "topology.json",
        state=tmp_path / "lab.json",
    )
    with lab:
        controller.start()
        site = Site(lab, controller, tmp_path)
        try:
            eventually(lambda: controller.connected(4))
            eventually(controller.analytics_alive)
            yield site
        finally:
            controller.stop()
            site.stop()


def collide(site, eventually):
    """Two TCP elephants from leaf 1 to leaf 2 whose source ports ECMP hashes to one spine: (their flow keys, it)."""
    site.run("h3", "receive", "--port", PORT)
    site.run("h4", "receive", "--port", PORT)
    requests.put(f"http://127.0.0.1:{site.controller.http}/v1/policy", json={"steering": False}, timeout=PATIENCE_S)
    for port in range(41000, 41012):  # 12 tries: all apart has a chance of 1 in 4096
        pair = [f"10.0.1.{n},10.0.2.{n},6,{port},{PORT}" for n in (1, 2)]
        for n, host in ((1, "h1"), (2, "h2")):
            site.send(host, f"10.0.2.{n}:{PORT}@{port}")

        def paths(pair=pair):
            found = {e["flow"]: e["path"] for e in site.elephants() if e["flow"] in pair and e["path"]}
            return [found[flow] for flow in pair] if len(found) == 2 else None

        one, two = eventually(paths)
        if one == two:
            return pair, one[1]
        for program in site.programs[-2:]:
            program.terminate()
        eventually(lambda: not site.elephants())
    raise AssertionError("no source port makes ECMP put two elephants on one spine")


def test_elephants_are_detected_marked_and_moved_off_a_congested_spine(site, eventually):
    pair, crowded = collide(site, eventually)
    other = {f"{PREFIX}spine1": f"{PREFIX}spine2", f"{PREFIX}spine2": f"{PREFIX}spine1"}[crowded]
    eventually(lambda: {e["flow"] for e in site.elephants() if e["marked_at"]} == set(pair))
    uplink = f"{PREFIX}leaf1-eth{3 if other.endswith('1') else 4}"
    before = site.port_bytes(uplink)

    requests.put(f"http://127.0.0.1:{site.controller.http}/v1/policy", json={"steering": True}, timeout=PATIENCE_S)
    (moved,) = eventually(lambda: [e for e in site.elephants() if e["seen_moved_at"]])
    assert moved["flow"] in pair
    assert moved["first_path"][1] == crowded
    eventually(lambda: [e["path"][1] for e in site.elephants() if e["flow"] == moved["flow"] and e["path"]] == [other])
    eventually(lambda: site.port_bytes(uplink) - before > 1_000_000)  # the new spine really carries it
    eventually(lambda: lower_effort_bytes(uplink) > 500_000)  # and in the class of Lower Effort
    eventually(lambda: {e["flow"] for e in site.elephants() if e["rate"] > 3.5e6} == set(pair))  # a link for each


def lower_effort_bytes(port):
    classes = subprocess.run(["tc", "-s", "class", "show", "dev", port], capture_output=True, text=True, check=True)
    return int(re.search("class htb 5:20.*?Sent (\\d+) bytes", classes.stdout, re.S).group(1))


def test_a_killed_controller_loses_no_packet_and_adopts_its_rules(site, eventually):
    arrivals = site.run("h3", "udp-receive", "--port", "7000")
    eventually(arrivals)
    sending = site.run("h1", "udp-send", "10.0.2.1:7000", "--rate", "1e6", "--size", 1000, "--seconds", UNTIL_STOPPED)
    sender = site.programs[-1]
    (elephant,) = eventually(lambda: [e for e in site.elephants() if e["marked_at"]])
    rules = elephant_rules()
    site.controller.stop(signal.SIGKILL)
    site.controller.start()
    eventually(lambda: site.controller.connected(4))
    assert site.controller.get("status")["counts"]["adopted"] == 1
    assert elephant_rules() == rules
    eventually(lambda: [e for e in site.elephants() if e["flow"] == elephant["flow"] and e["rate"] > 5e5])
    assert elephant_rules() == rules  # one rule still, the same one
    sender.terminate()
    sent = eventually(lambda: [line for line in sending() if line["event"] == "end"])[0]["sent"]
    eventually(lambda: arrivals()[-1].get("distinct") == sent)


def test_hosts_find_each_other_while_the_controller_is_dead(site, eventually):
    """Without their neighbour entries, which is what a refresh after half a minute amounts to."""
    eventually(lambda: reaches(site, "h1", "10.0.2.1"))
    site.controller.stop(signal.SIGKILL)
    for name in ("h1", "h3"):
        site.lab.host(name).pexec("ip", "neigh", "flush", "all")
    eventually(lambda: reaches(site, "h1", "10.0.2.1"))
    eventually(lambda: reaches(site, "h2", "10.0.2.2"))  # these two have never heard of each other


def reaches(site, host, address):
    _, _, status = site.lab.host(host).pexec("ping", "-c", "1", "-W", "1", address)
    return status == 0


def elephant_rules():
    """The elephants' rules on leaf 1, without their counters and ages."""
    shown = subprocess.run(
        ["ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "dump-flows", f"{PREFIX}leaf1", "table=0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(line for line in shown.stdout.splitlines() if "0x486f7706" in line)


def test_a_killed_analytics_is_started_again_and_elephants_are_still_found(site, eventually):
    os.kill(site.controller.analytics_pid(), signal.SIGKILL)
    eventually(lambda: site.controller.get("status")["analytics"]["starts"] == 2)
    eventually(site.controller.analytics_alive)
    site.run("h3", "receive", "--port", PORT)
    began = time.time()
    site.send("h1", f"10.0.2.1:{PORT}@42000")
    (elephant,) = eventually(lambda: [e for e in site.elephants() if e["marked_at"]])
    assert elephant["flow"] == f"10.0.1.1,10.0.2.1,6,42000,{PORT}"
    assert elephant["detected_at"] > began


def test_an_elephant_that_stops_is_forgotten_with_its_rule(site, eventually):
    site.run("h3", "receive", "--port", PORT)
    site.send("h1", f"10.0.2.1:{PORT}@43000")
    eventually(lambda: [e for e in site.elephants() if e["marked_at"]])
    site.programs[-1].terminate()
    eventually(lambda: not site.elephants())
    eventually(lambda: elephant_rules() == [])
    (ended,) = site.elephants(everything=True)
    assert ended["state"] == "ended"
