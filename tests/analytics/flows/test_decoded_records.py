"""Flow records of captures against a second, slow computation: a dictionary over what `howdah decode --json` prints."""

from __future__ import annotations

import ipaddress
import json
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics.engine import Engine, EngineSettings
from analytics.inputs.replay import replay
from tests.analytics.examples import wire

ROOT = Path(__file__).parents[3]
CAPTURES = ROOT / "tests/analytics/examples/captures"
KEYS = "or:ipsource:ip6source,or:ipdestination:ip6destination,or:tcpsourceport:udpsourceport"
KEYS += ",or:tcpdestinationport:udpdestinationport"
ACTIVE, IDLE = 20, 15
FIN_OR_RST = 0x05


def made(path: Path) -> Path:
    """Two agents, forty flows that come, rest and go in four minutes; everything follows from the seed."""
    chance, now, sent = random.Random(9), 1_700_000_000_000, 0
    capture = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]  # pcap 2.4, Ethernet
    rates = {"10.254.0.1": 10, "10.254.0.2": 1000}
    while now < 1_700_000_240_000:
        now += chance.choice([1, 20, 50, 150, 400])
        flow, agent = chance.randrange(40), chance.choice(list(rates))
        if (now // 7000 + flow) % 4 == 0:
            continue  # it rests
        sent += 1
        flags = chance.choice([0x10] * 30 + [0x18] * 10 + [0x11, 0x04])
        layer4, protocol = (wire.tcp(flow, 80, flags), 6) if flow % 3 else (wire.udp(flow, 53), 17)
        header = wire.ethernet(wire.ipv4(layer4, protocol, f"10.1.0.{flow % 5}", "10.2.0.1"))
        port = chance.randrange(1, 3)
        sample = wire.flow_sample(wire.sampled_header(header, chance.randrange(64, 1519)), sequence=sent,
                                  source=(0, port), rate=rates[agent], ports=(port, 9))  # fmt: skip
        payload = wire.datagram(sample, agent=agent, sequence=sent, uptime=now % 2**31)
        packet = wire.ethernet(wire.ipv4(wire.udp(50000, 6343, payload), 17))
        capture.append(struct.pack("<IIII", now // 1000, now % 1000 * 1000, len(packet), len(packet)) + packet)
    path.write_bytes(b"".join(capture))
    return path


def decoded(path: Path) -> Iterator[tuple[float, tuple[str, str, str], int, bool]]:
    """Of each sample with ports: time, (agent, data source, key), bytes, whether its connection ends."""
    command = [sys.executable, "scripts/howdah", "decode", str(path), "--json"]
    for line in subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout.splitlines():
        datagram = json.loads(line)
        now = int(datagram["pcapTimestamp_uS"]) / 1e6 + int(datagram["unixSecondsUTC"])
        for sample in datagram["samples"]:
            if "FLOWSAMPLE" not in sample["sampleType"]:
                continue
            fields = {name: value for element in sample["elements"] for name, value in element.items()}
            source, destination = (fields.get(f"{end}IP") or fields.get(f"{end}IP6") for end in ("src", "dst"))
            layer4 = "TCP" if "TCPSrcPort" in fields else "UDP"
            if source is None or f"{layer4}SrcPort" not in fields:
                continue
            key = ",".join([text(source), text(destination), fields[f"{layer4}SrcPort"], fields[f"{layer4}DstPort"]])
            kind, index = sample["sourceId"].split(":")
            port = index if kind == "0" else sample["inputPort"]
            size = int(fields["sampledPacketSize"]) * int(sample["meanSkipCount"])
            yield now, (datagram["agent"], port, key), size, bool(int(fields.get("TCPFlags", "0")) & FIN_OR_RST)


def text(address: str) -> str:
    return str(ipaddress.ip_address(address))


def expected(path: Path) -> list[tuple[tuple[str, str, str], int, float, float, int]]:
    """(place, value, start, end, samples) of all records."""
    live: dict[tuple[str, str, str], tuple[int, float, float, int]] = {}
    ended = []
    for now, place, size, last in decoded(path):
        if place in live and (now - live[place][1] >= ACTIVE or now - live[place][2] >= IDLE):
            ended.append((place, *live.pop(place)))
        value, start, _, samples = live.get(place, (0, now, now, 0))
        live[place] = (value + size, start, now, samples + 1)
        if last:
            ended.append((place, *live.pop(place)))
    return sorted([*ended, *((place, *record) for place, record in live.items())])


@pytest.mark.parametrize("name", ["made", "ovs_flows.pcap", "ovs_vlan6.pcap"])
def test_records_equal_those_of_a_dictionary_over_the_decoded_samples(tmp_path, name):
    path = made(tmp_path / "made.pcap") if name == "made" else CAPTURES / name
    engine = Engine(EngineSettings(max_flows=100_000))
    engine.set_flow("f", {"keys": KEYS, "value": "bytes", "log": True, "activeTimeout": ACTIVE})
    replay(path, engine)
    end = max(now for now, *_ in decoded(path))
    for second in range(1, ACTIVE + 2):
        engine.tick(end + second)
    found = [
        ((each.agent, each.source, each.key), each.value, each.start, each.end, each.samples)
        for each in engine.flow_records(None, 100_000)
    ]
    wanted = expected(path)
    assert len(wanted) > (500 if name == "made" else 1)
    assert [(row[0], row[1], row[4]) for row in sorted(found)] == [(row[0], row[1], row[4]) for row in wanted]
    for ours, theirs in zip(sorted(found), wanted, strict=True):
        assert ours[2:4] == pytest.approx(theirs[2:4], abs=1e-3)
    engine.close()
