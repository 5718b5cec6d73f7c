"""Analytics as a program: started on ports that the kernel chooses, asked, sent sFlow, and ended."""

import re
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import httpx

from tests.analytics.examples import wire
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "analytics", "--port", "0", "--sflow-port", "0"]
READY = re.compile(r"howdah analytics .+ \(core \S+\) ready: http://127\.0\.0\.1:(\d+) (.+)\n")
AGENT = "10.1.2.3"


def datagram(sequence):
    """One sampled frame, 1-in-1, that came in on port 4."""
    sample = wire.flow_sample(
        wire.sampled_header(bytes(60), 64), sequence=sequence, source=(0, 4), rate=1, ports=(4, 5)
    )
    return wire.datagram(sample, agent=AGENT, sequence=sequence)


class Program:
    """A running `python -m analytics`; `http` asks it, `send` is a switch."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [*COMMAND, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        ready = self.process.stdout.readline()
        found = READY.fullmatch(ready)
        assert found, ready + self.process.stderr.read()
        self.port, self.source = int(found[1]), found[2]
        self.asked = 0
        hooks = {"request": [self.count]}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE_S, event_hooks=hooks)
        self.sequence = 0

    def count(self, request):
        self.asked += 1

    def asked_by_others(self):
        """Requests that did not come through `http`: the polls that have arrived."""
        return self.http.get("/analyzer/json").json()["httpMessagesReceived"] - self.asked

    def send(self):
        self.sequence += 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as switch:
            host, port = self.source.removeprefix("sflow ").split(":")
            switch.sendto(datagram(self.sequence), (host, int(port)))

    def watch_frames(self):
        """A flow without keys and a threshold that every sample exceeds."""
        assert self.http.put("/flow/f/json", content="{value:'frames'}").status_code == 204
        assert self.http.put("/threshold/t/json", content="{metric:'f',value:0.1}").status_code == 204

    def end(self, sign=signal.SIGTERM):
        """Ends it and returns (exit code, stderr)."""
        self.http.close()
        self.process.send_signal(sign)
        _, complaints = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, complaints


def refused(*options):
    """The one line of a program that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "analytics", *options],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.rstrip()


def pcap(path, payloads, port=6343):
    """A capture of UDP datagrams (little-endian pcap 2.4, Ethernet), a millisecond apart."""
    records = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for at, payload in enumerate(payloads):
        frame = wire.ethernet(wire.ipv4(struct.pack(">HHHH", 50000, port, 8 + len(payload), 0) + payload, 17))
        records.append(struct.pack("<IIII", 1_700_000_000, at * 1000, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(records))
