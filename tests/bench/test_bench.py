"""`howdah bench decode`: the figures come from real runs of both programs over the same samples."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.analytics.test_capture import pcap
from tests.analytics.wire import datagram, ethernet, flow_sample, ipv4, sampled_header, tcp_frame, udp

HOWDAH = Path(sys.executable).parent / "howdah"
SFACCTD = shutil.which("sfacctd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


def capture(path: Path, datagrams: int = 50) -> Path:
    """Datagrams of two samples each."""
    packets = []
    for sequence in range(1, datagrams + 1):
        samples = [flow_sample(sampled_header(tcp_frame()), sequence=2 * sequence + n) for n in (0, 1)]
        packets.append(ethernet(ipv4(udp(40000, 6343, datagram(*samples, sequence=sequence)), 17)))
    path.write_bytes(pcap(*packets))
    return path


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HOWDAH, "bench", "decode", *map(str, words)], capture_output=True, text=True, check=False)


def test_the_capture_is_repeated_and_both_programs_read_it(tmp_path):
    done = run(capture(tmp_path / "x.pcap"), "--samples", 1000, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["samples"] == 1000
    assert [row["name"] for row in report["results"]] == ["howdah", "sfacctd"][: 2 if SFACCTD else 1]
    assert all(row["cpu_s"] > 0 for row in report["results"])
    assert ("ratio" in report) == bool(SFACCTD)


@pytest.mark.parametrize(
    ("content", "named"),
    [(b"a letter, longer than a header", "not a pcap file"), (pcap(), "no flow samples")],
)
def test_a_file_that_cannot_be_measured_is_one_line(tmp_path, content, named):
    path = tmp_path / "x.pcap"
    path.write_bytes(content)
    done = run(path)
    assert done.returncode == 1
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1
