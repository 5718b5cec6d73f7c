"""How long from a sample that makes an elephant to the rule that marks it, on the wire at both ends.

    python tests/bench/event_to_rule.py [--events 200] TREE [TREE]

The stock ryu-manager of each clone TREE (set up, with a .venv) runs with one switch that this program plays: it sends
sFlow, and reads flow mods. With two trees their turns alternate, so that a noisy machine is noisy for both. Prints
milliseconds, p50 and p95, one JSON object a tree.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

HELLO, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 2, 3, 5, 6
FLOW_MOD, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 14, 18, 19, 20, 21
ELEPHANT = 0x486F7706  # the upper half of its rules' cookies
DPID, AGENT, IFINDEX, SPEED = 1, "127.0.0.1", 7, 10_000_000
START_S, ANSWER_S, TRY_S = 60.0, 10.0, 0.5
HOSTS = (("h1", "00:04:00:00:01:01", "10.0.1.1"), ("h2", "00:04:00:00:01:02", "10.0.1.2"))


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def datagram(sequence: int, port: int) -> bytes:
    """A sample of a new flow from h1 to h2, whose rate alone is twice the threshold."""
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 1500, 7, 0x4000, 64, 6, 0) + bytes([10, 0, 1, 1, 10, 0, 1, 2])
    frame = bytes(12) + b"\x08\0" + ip + struct.pack(">HHIIHHHH", port, 80, 1, 1, 0x5010, 8192, 0, 0) + bytes(2)
    rate = SPEED // 5 // 8 // 1518 * 2
    header = words(1, 16 + len(frame), 1, 1518, 4, 54) + frame
    sample = words(1, 32 + len(header), sequence, IFINDEX, rate, rate * sequence, 0, IFINDEX, 8, 1) + header
    return words(5, 1) + socket.inet_aton(AGENT) + words(0, sequence, sequence * 10, 1) + sample


class Tree:
    """A controller of that clone with its analytics, and the switch that it programs."""

    def __init__(self, root: Path, work: Path) -> None:
        self._sequence = 0
        self._marked: dict[int, float] = {}
        self._came = threading.Condition()
        openflow, http, analytics = (_free(socket.SOCK_STREAM) for _ in range(3))
        self._sflow = _free(socket.SOCK_DGRAM)
        ports = {
            name: {"ifindex": str(IFINDEX + n), "ofport": n + 1, "speed": SPEED} for n, name in enumerate(("p1", "p2"))
        }
        node = {"agent": AGENT, "dpid": f"{DPID:016x}", "ports": ports}
        hosts = {
            name: {"node": "s1", "port": f"p{n}", "mac": mac, "ipv4": address}
            for n, (name, mac, address) in enumerate(HOSTS, 1)
        }
        (work / "topology.json").write_text(json.dumps({"nodes": {"s1": node}, "links": {}, "hosts": hosts}))
        (work / "howdah.yaml").write_text(
            "controller:\n  topology: topology.json\n"
            f"  analytics:\n    port: {analytics}\n    sflow_port: {self._sflow}\n"
        )
        options = ["--ofp-tcp-listen-port", str(openflow), "--wsapi-port", str(http)]
        self._process = subprocess.Popen(
            [root / ".venv/bin/ryu-manager", *options, "controller.app"],
            cwd=work, env={**os.environ, "HOWDAH_CONFIG": str(work / "howdah.yaml")},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(work / "log").open("w"),
        )  # fmt: skip
        self._stream = _connected(openflow)
        threading.Thread(target=self._be_a_switch, daemon=True).start()

    def warm_up(self) -> None:
        """Until a rule has come, flows are not defined yet."""
        for port in range(1024, 1024 + int(START_S / TRY_S)):
            try:
                self.milliseconds(port, TRY_S)
            except TimeoutError:
                continue
            return
        raise TimeoutError("the controller is not ready")

    def milliseconds(self, port: int, patience_s: float = ANSWER_S) -> float:
        """From the sample of the flow of this source port to its rule."""
        self._sequence += 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            began = time.monotonic()
            out.sendto(datagram(self._sequence, port), ("127.0.0.1", self._sflow))
        with self._came:
            if not self._came.wait_for(lambda: port in self._marked, patience_s):
                raise TimeoutError("no rule came")
            return (self._marked.pop(port) - began) * 1000

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _be_a_switch(self) -> None:
        self._stream.sendall(struct.pack("!BBHI", 6, HELLO, 8, 1))
        while header := self._stream.recv(8, socket.MSG_WAITALL):
            _, kind, length, xid = struct.unpack("!BBHI", header)
            body = self._stream.recv(length - 8, socket.MSG_WAITALL) if length > 8 else b""
            if kind == FLOW_MOD and int.from_bytes(body[:4], "big") == ELEPHANT:
                with self._came:
                    self._marked[_source_port(body)] = time.monotonic()
                    self._came.notify()
            answer = {
                ECHO_REQUEST: (ECHO_REPLY, body),
                FEATURES_REQUEST: (FEATURES_REPLY, struct.pack("!QIBB2xII", DPID, 0, 254, 0, 0x4F, 0)),
                MULTIPART_REQUEST: (MULTIPART_REPLY, body[:2] + bytes(6)),
                BARRIER_REQUEST: (BARRIER_REPLY, b""),
            }.get(kind)
            if answer:
                self._stream.sendall(struct.pack("!BBHI", 6, answer[0], 8 + len(answer[1]), xid) + answer[1])


def _source_port(flow_mod: bytes) -> int:
    """The TCP source port that a flow mod matches: OXM class 0x8000, field 13, 2 bytes."""
    at = flow_mod.index(b"\x80\x00\x1a\x02")
    return int.from_bytes(flow_mod[at + 4 : at + 6], "big")


def _connected(port: int) -> socket.socket:
    deadline = time.monotonic() + START_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _free(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tree", type=Path, nargs="+")
    parser.add_argument("--events", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        trees = []
        for number, root in enumerate(options.tree):
            (Path(work) / str(number)).mkdir()
            trees.append(Tree(root.resolve(), Path(work) / str(number)))
        try:
            for tree in trees:
                tree.warm_up()
            times: list[list[float]] = [[] for _ in trees]
            for event in range(options.events):
                for tree, found in zip(trees, times, strict=True):
                    found.append(tree.milliseconds(10_000 + event))
                    time.sleep(0.02)
        finally:
            for tree in trees:
                tree.stop()
    for root, found in zip(options.tree, times, strict=True):
        found.sort()
        row = {"events": len(found), "p50_ms": statistics.median(found), "p95_ms": found[int(0.95 * len(found))]}
        print(json.dumps({"tree": str(root)} | {name: round(value, 2) for name, value in row.items()}))


if __name__ == "__main__":
    main()
