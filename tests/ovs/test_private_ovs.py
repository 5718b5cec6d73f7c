"""The fixtures themselves: a private switch answers, forwards, survives its own restart and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def test_dummy_switch_traces_and_counts_packets(private_ovs, eventually):
    private_ovs.add_bridge("s1")
    private_ovs.vsctl("add-port", "s1", "p1", "--", "set", "interface", "p1", "type=dummy", "ofport_request=1")
    private_ovs.vsctl("add-port", "s1", "p2", "--", "set", "interface", "p2", "type=dummy", "ofport_request=2")
    private_ovs.ofctl("add-flow", "s1", "in_port=1,actions=output:2")
    assert "output:2" in private_ovs.appctl("ofproto/trace", "s1", "in_port=1,dl_type=0x0800")

    private_ovs.appctl("netdev-dummy/receive", "p1", "in_port(1),eth(src=00:04:00:00:01:01,dst=00:04:00:00:01:02)")
    eventually(lambda: "n_packets=1" in private_ovs.ofctl("dump-flows", "s1"))


def test_bridges_come_back_after_a_crash_of_the_switch(private_ovs):
    private_ovs.add_bridge("s1", "other_config:datapath-id=00000000000000ab")
    private_ovs.stop_daemon("ovs-vswitchd", kill=True)
    private_ovs.start_switch()
    assert private_ovs.vsctl("wait-until", "bridge", "s1", 'datapath_id="00000000000000ab"') == ""


def test_hosts_reach_the_local_port_and_each_other(netdev_ovs):
    netdev_ovs.add_bridge("br0", "fail_mode=standalone")
    netdev_ovs.address("br0", "10.0.0.1/24")
    netdev_ovs.host("h1", "br0", 1, "10.0.0.11/24")
    netdev_ovs.host("h2", "br0", 2, "10.0.0.12/24")
    assert netdev_ovs.vsctl("get", "interface", "br0-h2", "ofport") == "2"
    for host, address in ((None, "10.0.0.1"), ("h2", "10.0.0.12")):
        with netdev_ovs.socket(host, (address, 7)) as server, netdev_ovs.socket("h1") as client:
            client.sendto(b"over here", (address, 7))
            assert server.recvfrom(99)[0] == b"over here"


def test_nothing_is_left_behind(private_ovs):
    processes = [daemon.pid for daemon in private_ovs.daemons.values()]
    private_ovs.add_bridge("s1")
    private_ovs.stop()
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    machine = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert " s1:" not in machine
    assert os.listdir(private_ovs.rundir)  # its files are still there for a post-mortem until the fixture ends
