"""howdah decode as a command: every form, every source, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    ethernet,
    extended_switch,
    flow_sample,
    if_counters,
    ipv4,
    opaque,
    record,
    sampled_header,
    tcp,
    tcp_frame,
    udp,
    words,
)
from tests.analytics.inputs.test_capture import enhanced, interface, option, pcap, section
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "scripts/howdah"), "decode"]
FRAME = tcp_frame()
FLOW = flow_sample(extended_switch(7, 0, 8, 0), sampled_header(FRAME, 1518), ports=(5, 0x40000102), rate=400)
FIRST = datagram(FLOW, counter_sample(if_counters(5, octets=(1, 1 << 40))))
OTHER = datagram(FLOW, agent="2001:db8::5", sequence=2)


def carried(payload: bytes, port: int = 6343) -> bytes:
    return ethernet(ipv4(udp(40000, port, payload), 17, "192.0.2.1"))


@pytest.fixture
def recording(tmp_path) -> str:
    """Two datagrams of ours, one that is cut, one to another port."""
    path = tmp_path / "recording.pcap"
    path.write_bytes(pcap(carried(FIRST), carried(words(4, 1, 2)), carried(OTHER), carried(FIRST, 7000)))
    return str(path)


def run(*arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *arguments], input=data, capture_output=True, timeout=PATIENCE_S, check=False)


def objects(done: subprocess.CompletedProcess[bytes]) -> list[dict]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_json(recording):
    done = run(recording, "--json")
    first, other = objects(done)
    assert [first["agent"], other["agent"]] == ["10.0.0.1", "2001:0db8:0000:0000:0000:0000:0000:0005"]
    assert first["datagramSourceIP"] == "192.0.2.1"
    assert (first["unixSecondsUTC"], first["unixSecondsUTC_uS"], first["pcapTimestamp_uS"]) == (
        "100",
        "500000",
        "500000",
    )
    assert first["datagramSize"] == str(len(FIRST))
    assert [sample["sampleType"] for sample in first["samples"]] == ["FLOWSAMPLE", "COUNTERSSAMPLE"]
    assert first["samples"][1]["elements"][0]["ifOutOctets"] == str(1 << 40)
    assert done.stderr.decode() == "howdah decode: 192.0.2.1: 12 bytes that are not sFlow\n"


def test_agent_port_and_count(recording):
    assert [one["packetSequenceNo"] for one in objects(run(recording, "--json", "--agent", "2001:db8::5"))] == ["2"]
    assert len(objects(run(recording, "--json", "--port", "7000"))) == 1
    assert len(objects(run(recording, "--json", "--count", "1"))) == 1
    assert run(recording, "--agent", "nonsense").returncode == 2
    assert b"one of --json, --csv and --pcap" in run(recording, "--csv", "--json").stderr


def test_standard_input(recording):
    assert len(objects(run("-", "--json", data=Path(recording).read_bytes()))) == 2
    done = run("-", data=b"nonsense, nonsense, nonsense")
    assert (done.returncode, done.stderr) == (1, b"howdah decode: standard input: offset 0: not a pcap file\n")


def test_text(recording):
    lines = run(recording).stdout.decode().splitlines()
    assert lines[0] == "startDatagram ================================="
    assert lines.count("endSample   ----------------------") == 3
    assert "outputPort dropCode 258" in lines
    assert "TCPDstPort 5001" in lines


UNKNOWN = 0xFFFFFFFF
FLOW_COLUMNS = "5,258,000000000001,000000000002,0x0800,7,8,10.0.1.1,10.0.2.2,6,0x00,64,40000,5001,0x10,1518,1500,400"


def test_csv(recording):
    assert run(recording, "--csv").stdout.decode().splitlines() == [
        f"FLOW,10.0.0.1,{FLOW_COLUMNS}",
        f"CNTR,10.0.0.1,5,6,10000000,1,3,1,0,{UNKNOWN},{UNKNOWN},0,0,{UNKNOWN},{1 << 40},0,{UNKNOWN},{UNKNOWN},0,0,0",
        f"FLOW,2001:0db8:0000:0000:0000:0000:0000:0005,{FLOW_COLUMNS}",
    ]


def test_csv_of_samples_without_headers(tmp_path):
    flat = record(3, words(1500, 17) + bytes([10, 0, 0, 1, 10, 0, 0, 2]) + words(53, 54, 0, 0xB8))
    icmp = sampled_header(ethernet(ipv4(bytes([3, 1]) + bytes(6), 1), tags=((0x8100, 9),)), 100)
    path = tmp_path / "x.pcap"
    discard = record(5, words(1, 0, 5, 2, 5, 6, 258, 0))
    path.write_bytes(pcap(carried(datagram(
        flow_sample(flat, expanded=True), flow_sample(extended_switch(7, 0, 8, 0), icmp), flow_sample(), discard,
        counter_sample(), b"\0" * 8))))  # fmt: skip
    assert run(str(path), "--csv").stdout.decode().splitlines() == [
        "FLOW,10.0.0.1,5,6,-,-,0x0000,0,0,10.0.0.1,10.0.0.2,17,0xb8,0,53,54,0x00,1500,1500,100",
        "FLOW,10.0.0.1,5,6,000000000001,000000000002,0x0800,9,8,10.0.1.1,10.0.2.2,1,0x00,64,3,1,0x00,100,78,100",
        "FLOW,10.0.0.1,5,6,-,-,0x0000,0,0,-,-,0,0x00,0,0,0,0x00,0,0,100",
        "CNTR,10.0.0.1" + ",0" * 19,
    ]


def test_csv_of_sampled_ethernet(tmp_path):
    link = record(2, words(1518) + bytes.fromhex("00000000000a000000000000000b0000") + words(0x86DD))
    flat = record(3, words(1500, 17) + bytes([10, 0, 0, 1, 10, 0, 0, 2]) + words(53, 54, 0, 0xB8))
    samples = flow_sample(link), flow_sample(flat, link), flow_sample(link, sampled_header(FRAME, 99))
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(carried(datagram(*samples))))
    assert run(str(path), "--csv").stdout.decode().splitlines() == [
        "FLOW,10.0.0.1,5,6,00000000000a,00000000000b,0x86dd,0,0,-,-,0,0x00,0,0,0,0x00,1518,0,100",
        "FLOW,10.0.0.1,5,6,00000000000a,00000000000b,0x86dd,0,0,10.0.0.1,10.0.0.2,17,0xb8,0,53,54,0x00,1518,1500,100",
        "FLOW,10.0.0.1,5,6,000000000001,000000000002,0x0800,0,0,10.0.1.1,10.0.2.2,6,0x00,64,40000,5001,0x10,99,81,100",
    ]


@pytest.mark.parametrize("link", [1, 101])
def test_sflow_to_another_port_is_named(tmp_path, link):
    packets = [carried(FIRST, 7000), carried(OTHER, 7000), carried(FIRST, 9999), carried(b"DNS, say", 53), tcp_frame()]
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(*(packet[0 if link == 1 else 14 :] for packet in packets), link=link))
    found = "no sFlow to UDP port 6343 in it, but 2 datagrams to port 7000, 1 to port 9999: choose one with --port"
    done = run(str(path))
    assert (done.returncode, done.stdout, done.stderr.decode()) == (1, b"", f"howdah decode: {path}: {found}\n")
    done = run("-", "--json", data=path.read_bytes())
    assert (done.returncode, done.stderr.decode()) == (1, f"howdah decode: standard input: {found}\n")
    assert len(objects(run(str(path), "--json", "--port", "7000"))) == 2
    done = run(str(path), "--json", "--port", "any")
    assert [one["packetSequenceNo"] for one in objects(done)] == ["1", "2", "1"]
    assert done.stderr == b"", "what is no sFlow is none of our business there"


def test_a_capture_without_sflow_says_so(tmp_path):
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(carried(b"DNS, say", 53), tcp_frame()))
    for port, where in (("6343", "to UDP port 6343 in it, nor to another"), ("any", "in it")):
        done = run(str(path), "--port", port)
        assert (done.returncode, done.stderr.decode()) == (1, f"howdah decode: {path}: no sFlow {where}\n")


@pytest.mark.parametrize("port", ["nonsense", "65536", "-1", ""])
def test_an_impossible_port_is_refused(port):
    done = run("-", "--port", port, data=b"")
    assert done.returncode == 2
    assert b"--port" in done.stderr


def test_older_versions(tmp_path):
    path = tmp_path / "x.pcap"
    flow = words(1, 7, 5, 100, 700, 3, 5, 6, 1, 1, 1518) + opaque(FRAME) + words(0)
    path.write_bytes(pcap(carried(words(4, 1, 0x0A000001, 9, 17000, 1) + flow)))
    [found] = objects(run(str(path), "--json"))
    assert (found["datagramVersion"], found["agent"], found["samplesInPacket"]) == ("4", "10.0.0.1", "1")
    assert found["samples"][0]["elements"][0]["TCPDstPort"] == "5001"


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """pcapng blocks: (type, body); both lengths are checked."""
    while data:
        kind, length = struct.unpack("=II", data[:8])
        assert data[length - 4 : length] == data[4:8]
        yield kind, data[8 : length - 4]
        data = data[length:]


def test_pcap_of_sampled_packets(tmp_path):
    dropped = record(5, words(1, 0, 5, 2, 5, 6, 258, 1) + sampled_header(FRAME[:-1], 99))
    plain = flow_sample(sampled_header(ipv4(tcp(), 6), 44, protocol=11))
    path, out = tmp_path / "x.pcap", tmp_path / "out.pcapng"
    path.write_bytes(pcap(carried(FIRST), carried(datagram(dropped, plain))))
    assert run(str(path), "--pcap", str(out)).returncode == 0
    section, ethernet_block, first, second, raw_block, third = blocks(out.read_bytes())
    assert (section[0], ethernet_block[0], first[0], second[0], raw_block[0], third[0]) == (0x0A0D0D0A, 1, 6, 6, 1, 6)
    assert (ethernet_block[1][:2], raw_block[1][:2]) == (struct.pack("=H", 1), struct.pack("=H", 228))
    heads = [struct.unpack("=IIIII", body[:20]) for _, body in (first, second, third)]
    assert [(head[0], head[3], head[4]) for head in heads] == [
        (0, len(FRAME), 1518), (0, len(FRAME) - 1, 99), (1, 40, 44)]  # fmt: skip
    assert [(head[1] << 32 | head[2]) / 1e6 for head in heads] == [100.5, 101.0, 101.0]
    assert first[1][20:] == FRAME + bytes(-len(FRAME) % 4)
    assert run(str(path), "--pcap", "-").stdout == out.read_bytes()


def test_a_broken_file_prints_what_came_before(tmp_path):
    path = tmp_path / "cut.pcap"
    data = pcap(carried(FIRST), carried(OTHER))
    path.write_bytes(data[:-1])
    done = run(str(path), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["agent"] == "10.0.0.1"
    offset = 24 + 16 + len(carried(FIRST))
    assert done.stderr.decode() == f"howdah decode: {path}: offset {offset}: ends within a packet\n"
    done = run(str(tmp_path / "none.pcap"))
    assert (done.returncode, done.stderr.decode()) == (
        1, f"howdah decode: {tmp_path / 'none.pcap'}: No such file or directory\n")  # fmt: skip


@pytest.mark.parametrize("form", ["--json", "--csv", "--pcap=-"])
def test_a_clock_beyond_all_calendars(form):
    data = section() + interface(options=option(9, b"\0")) + enhanced(carried(FIRST), (1 << 64) - 1)
    done = run("-", form, data=data)
    assert (done.returncode, done.stderr) == (0, b"")
    if form == "--json":
        assert (objects(done)[0]["unixSecondsUTC"], objects(done)[0]["localtime"]) == ("0", str(1 << 64))


def test_a_closed_pipe_ends_quietly(tmp_path):
    path = tmp_path / "long.pcap"
    path.write_bytes(pcap() + pcap(carried(FIRST))[24:] * 2000)
    process = subprocess.Popen([*COMMAND, str(path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b'{"datagramSourceIP"')
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(PATIENCE_S) == 0
    process.stderr.close()


MEASURED = """
import sys
from analytics import decode
from analytics.inputs import capture
decode.run(capture.datagrams(sys.argv[1], 6343), open("/dev/null", "wb"), "json")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for many in (2000, 40000):
        path = tmp_path / f"{many}.pcap"
        path.write_bytes(pcap() + pcap(carried(FIRST))[24:] * many)
        done = subprocess.run([sys.executable, "-c", MEASURED, path], cwd=ROOT, capture_output=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 2048, "KiB"


@pytest.fixture
def live():
    """A live decoder on a free port: (process, its port)."""
    process = subprocess.Popen(
        [*COMMAND, "--json", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stderr is not None
    ready = process.stderr.readline().decode()
    assert ready.startswith("howdah decode: listening on 127.0.0.1 port ")
    yield process, int(ready.split()[-1])
    process.kill()
    process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_live(live, ending):
    process, port = live
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in (b"junk", b"more junk", FIRST, OTHER):
            sender.sendto(data, ("127.0.0.1", port))
        found = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert [one["packetSequenceNo"] for one in found] == ["1", "2"]
    assert found[0]["datagramSourceIP"] == "127.0.0.1"
    assert "pcapTimestamp" not in found[0]
    os.kill(process.pid, ending)
    out, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert out == b""
    first, second = complaints.decode().splitlines()
    assert first == "howdah decode: 127.0.0.1: 4 bytes that are not sFlow"
    assert second in (  # the latter when the two were more than a second apart
        "howdah decode: 2 datagrams in all were not sFlow",
        "howdah decode: 127.0.0.1: 9 bytes that are not sFlow",
    )


def test_a_port_in_use_is_named(live):
    done = run("--port", str(live[1]))
    assert done.returncode == 1
    assert done.stderr.decode() == f"howdah decode: 127.0.0.1 port {live[1]}: Address already in use\n"
