"""`howdah bench`: the figures come from real runs of all programs over the same samples. Nothing hangs on the clock."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, sampled_header, tcp_frame, udp
from tests.analytics.inputs.test_capture import pcap
from tests.patience import PATIENCE_S
from tests.processes import is_running

HOWDAH = Path(sys.executable).parent / "howdah"
SFCAPD = shutil.which("sfcapd") and shutil.which("nfdump")
SFACCTD = shutil.which("sfacctd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


def capture(path: Path, datagrams: int = 50) -> Path:
    """Datagrams of two samples each."""
    packets = []
    for sequence in range(1, datagrams + 1):
        samples = [flow_sample(sampled_header(tcp_frame()), sequence=2 * sequence + n) for n in (0, 1)]
        packets.append(ethernet(ipv4(udp(40000, 6343, datagram(*samples, sequence=sequence)), 17)))
    path.write_bytes(pcap(*packets))
    return path


def run(*words: object, command: str = "decode") -> subprocess.CompletedProcess[str]:
    return subprocess.run([HOWDAH, "bench", command, *map(str, words)], capture_output=True, text=True, check=False)


def measured(*words: object) -> dict:
    """The report of a short `bench ingest`."""
    done = run("--seconds", 0.2, "--json", *words, command="ingest")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_latency_is_measured_of_every_event():
    done = run("--events", 5, "--json", command="latency")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    for figures in (report, report["first_result"]):
        assert figures["requests"] == 5
        assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"]


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


def test_every_contestant_gets_the_load_and_the_counts_are_true():
    report = measured()
    assert (report["source"], report["datagrams"]) == ("generated", 4096)
    assert [run["name"] for run in report["blast"]] == ["drain", "howdah", "sfcapd"][: 3 if SFCAPD else 2]
    for each in [*report["blast"], report["paced"]]:
        assert each["received"] + each["dropped"] == each["sent"] > 0, each["name"]
        assert each["samples"] == each["sent_samples"] or each["dropped"] or each["name"] == "sfcapd"
        assert each["seconds"] >= each["sending_s"] >= 0.2
        assert each["datagrams_per_s"] * each["seconds"] == pytest.approx(each["received"])
        assert each["loss_percent"] == pytest.approx(100 * each["dropped"] / each["sent"])
    drain, howdah, *_ = report["blast"]
    assert report["ratio"] == pytest.approx(howdah["datagrams_per_s"] / drain["datagrams_per_s"])
    assert report["pace"] == pytest.approx(0.8 * drain["datagrams_per_s"])
    assert report["paced"]["sent"] <= report["pace"] * report["paced"]["sending_s"] + 1
    rest = report["rest"]
    assert rest["requests"] == sum(each["requests"] for each in rest["paths"].values()) > 0
    assert 0 < rest["p50_ms"] <= rest["p99_ms"] <= rest["max_ms"]


def test_a_capture_is_the_load(tmp_path):
    report = measured(capture(tmp_path / "x.pcap"))
    assert (report["source"], report["datagrams"]) == (str(tmp_path / "x.pcap"), 50)
    for each in report["blast"]:
        assert each["sent_samples"] == 2 * each["sent"]
        assert each["samples"] == 2 * each["received"], each[
            "name"
        ]  # sfcapd keeps flow samples, and there are no others


def test_without_sfcapd_the_others_run(tmp_path):
    script = Path(__file__).parents[2] / "scripts/howdah"  # the installed one is found by way of PATH
    command = [sys.executable, script, "bench", "ingest", "--seconds", "0.1"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert "sfcapd is not installed" in done.stdout
    assert "howdah takes" in done.stdout


def not_sflow(path: Path) -> Path:
    path.write_bytes(pcap(ethernet(ipv4(udp(40000, 6343, b"no sflow"), 17))))
    return path


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda path: path, "No such file"),
        (lambda path: path.parent, "directory"),
        (lambda path: [path.write_bytes(b"a letter, longer than a header"), path][1], "not a pcap file"),
        (lambda path: [path.write_bytes(pcap()), path][1], "no datagrams to UDP port 6343"),
        (not_sflow, "datagram 1 is no sFlow version 5"),
    ],
)
def test_a_file_that_cannot_be_sent_is_one_line(tmp_path, make, named):
    done = run(make(tmp_path / "x.pcap"), command="ingest")
    assert (done.returncode, done.stdout) == (1, "")
    assert named in done.stderr
    assert str(tmp_path) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_in_use_is_one_line():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = run("--port", port, command="ingest")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"howdah bench: 127.0.0.1 UDP port {port}: Address already in use\n"


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_leaves_no_process_behind(sign, eventually, tmp_path):
    command = [HOWDAH, "bench", "ingest", "--seconds", "60"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as bench:
        begun = eventually(lambda: [each for each in [children(bench.pid)] if len(each) >= 3])[0]
        bench.send_signal(sign)
        _, said = bench.communicate(timeout=PATIENCE_S)
    assert (bench.returncode, said) == (128 + sign, "")
    eventually(lambda: not any(map(is_running, begun)))
    assert not list(tmp_path.iterdir())


def test_questions_are_timed_as_a_whole_and_by_step():
    words = ("--agents", 5, "--sources", 4, "--flows", 100, "--rate", 1000, "--seconds", 0.1, "--json")
    done = run(*words, command="questions")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["flows"], report["samples_per_s"] > 0) == (100, True)
    assert set(report["questions"]) == {"top 20", "top 100", "sum", "avg", "counters of 10,000 ports"}
    for times in report["questions"].values():
        assert times["answer"]["requests"] >= 1
        assert times["step"]["requests"] > times["answer"]["requests"]
        assert 0 <= times["step"]["p50_ms"] <= times["step"]["max_ms"] <= times["cpu"]["max_ms"] + 1e-6


def test_twenty_definitions_are_timed_beside_one():
    done = run("--flows", 300, "--popularity", "zipf", "--seconds", 0.1, "--json", command="definitions")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["definitions"] == 20
    (row,) = report["rows"]
    assert (row["flows"], row["popularity"]) == (300, "zipf")
    assert row["one"]["entries"] <= 300 < row["all"]["entries"]
    assert row["ratio"] > 1
