"""scripts/examples/mark_large_flows.py beside a real switch: packets of a large flow leave it marked, others do not,
and when the flow has ended the rule is gone."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.client.fixtures import begin, program, url  # noqa: F401 - fixtures
from tests.ovs.test_sflow_stream import ETH, TCP, bridge

EXAMPLE = Path(__file__).parents[2] / "scripts/examples/mark_large_flows.py"
MOUSE = TCP.replace("src=10.0.1.1", "src=10.0.1.9")
ELEPHANT_IP, MOUSE_IP = bytes([10, 0, 1, 1]), bytes([10, 0, 1, 9])
LOWER_EFFORT = 1  # RFC 8622
BURST = 100  # packets of 1000 bytes at once: 200 kB/s as they arrive, with t=0.5


def send(switch, flow: str, count: int) -> None:
    """All in one command: a process for each packet would make a mouse of an elephant."""
    switch.appctl("netdev-dummy/receive", "p1", *(f"in_port(1),{flow}", "--len", "1000") * count)


def sent(path: Path, at: int = 24) -> set[tuple[bytes, int]]:
    """(source address, DSCP) of the packets that the switch put out there: a pcap of IPv4, from a packet's place on."""
    content, found = path.read_bytes(), set()
    while at + 16 <= len(content):
        (length,) = struct.unpack_from("<I", content, at + 8)
        frame = content[at + 16 : at + 16 + length]
        if len(frame) == length:  # else it is being written
            found.add((frame[26:30], frame[15] >> 2))
        at += 16 + length
    return found


def test_large_flows_are_marked_while_they_last(private_ovs, program, begin, eventually, tmp_path):  # noqa: F811
    out = tmp_path / "p2.pcap"
    bridge(private_ovs, int(program.source.rpartition(":")[2]))
    private_ovs.vsctl("set", "interface", "p2", f"options:tx_pcap={out}")
    private_ovs.ofctl("del-flows", "s1")
    private_ovs.ofctl("add-flow", "s1", "priority=0,actions=normal")  # as before any controller
    script = begin(EXAMPLE, MARK_BRIDGE="s1", OVS_RUNDIR=str(private_ovs.rundir))
    eventually(lambda: "mark_large_flows" in program.http.get("/threshold/json").json())

    def rules() -> list[str]:
        return [line for line in private_ovs.ofctl("dump-flows", "s1").splitlines() if "priority=500" in line]

    def marked() -> list[str]:
        """The rules, as soon as they have marked something; without traffic they do not last."""
        send(private_ovs, f"{ETH},{MOUSE}", 1)
        send(private_ovs, f"{ETH},{TCP}", BURST)
        return rules() if (ELEPHANT_IP, LOWER_EFFORT) in sent(out) else []

    send(private_ovs, f"{ETH},{TCP}", 1)
    eventually(lambda: sent(out) == {(ELEPHANT_IP, 0)})  # so far nobody knows that it is large
    [rule] = eventually(marked)
    for word in ("nw_src=10.0.1.1", "nw_dst=10.0.2.2", "tp_src=40000", "tp_dst=5001", "idle_timeout=2"):
        assert word in rule
    assert (MOUSE_IP, LOWER_EFFORT) not in sent(out)
    assert (MOUSE_IP, 0) in sent(out)

    eventually(lambda: not rules())
    end = len(out.read_bytes())
    send(private_ovs, f"{ETH},{TCP}", 1)
    eventually(lambda: sent(out, end) == {(ELEPHANT_IP, 0)})
    assert script.end() == 0
    assert not any("Traceback" in line for line in script.lines)
