"""howdah flows, metrics, events, agents and define against a running analytics that plays a capture."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from client.commands.asking import names_at
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    ethernet,
    flow_sample,
    if_counters,
    ipv4,
    sampled_header,
    tcp_frame,
    udp,
)
from tests.client.commands.conftest import HOWDAH
from tests.controller.answering import Answering
from tests.patience import PATIENCE_S

KEY = "10.1.1.1,10.0.2.2,6,40000,5001"


@pytest.fixture(scope="module")
def steady(tmp_path_factory) -> Path:
    """1,000 bytes ten times a second, 5,000 octets/s: so long that no test sees its end."""
    made = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for number in range(10_000):
        samples = [flow_sample(sampled_header(tcp_frame("10.1.1.1"), 1000), sequence=number, rate=1)]
        if number % 10 == 0:
            samples.append(counter_sample(if_counters(5, octets=(500 * number, 0)), sequence=number // 10))
        data = datagram(*samples, sequence=number, uptime=100 * number)
        frame = ethernet(ipv4(udp(50000, 6343, data), 17))
        head = struct.pack("<IIII", number // 10, number % 10 * 100_000, len(frame), len(frame))
        made.append(head + frame)
    path = tmp_path_factory.mktemp("steady") / "steady.pcap"
    path.write_bytes(b"".join(made))
    return path


@pytest.fixture
def url(start, steady, eventually, monkeypatch) -> str:
    program = start("--replay", str(steady), "--speed", "5")
    eventually(lambda: program.http.get("/dump/ALL/ifinoctets/json").json())
    address = f"http://127.0.0.1:{program.port}"
    monkeypatch.setenv("HOWDAH_ANALYTICS_URL", address)
    return address


def test_what_analytics_knows_is_shown(howdah, url, eventually):
    [flow] = json.loads(howdah("flows", "mn_flow", "--json").stdout)
    assert (flow["key"], flow["agent"], flow["dataSource"]) == (KEY, "10.0.0.1", "5")
    eventually(
        lambda: json.loads(howdah("flows", "mn_flow", "--json").stdout)[0]["value"] == pytest.approx(1e4, rel=0.2)
    )
    shown = howdah("flows", "mn_flow").stdout
    assert KEY in shown
    assert "Mb/s" in shown
    assert json.loads(howdah("flows", "mn_flow", "--min-value", "1e9", "--json").stdout) == []
    [cell] = json.loads(howdah("metrics", "ifinoctets", "--json").stdout)
    assert (cell["dataSource"], cell["metricValue"]) == ("5", pytest.approx(5000, rel=0.1))
    [summary] = json.loads(howdah("metrics", "sum:ifspeed", "--agent", "10.0.0.1", "--json").stdout)
    assert (summary["metricName"], summary["metricValue"]) == ("sum:ifspeed", 10_000_000)
    assert "ifinoctets" in howdah("metrics").stdout
    assert "10.0.0.1" in howdah("agents").stdout
    assert json.loads(howdah("agents", "--json").stdout)["10.0.0.1"]["sFlowDatagramsLost"] == 0


def test_a_definition_for_the_occasion_goes_again(howdah, url):
    words = ("flows", "--keys", "ipsource,stack", "--value", "frames", "-t", "1", "--filter", "ipprotocol=6", "--json")
    [flow] = json.loads(howdah(*words).stdout)
    assert flow["key"] == "10.1.1.1,eth.ip.tcp"
    assert 0 < flow["value"] < 15, "ten frames a second, as they come"
    assert set(json.loads(howdah("define", "list", "flow", "--json").stdout)["flow"]) == {"mn_bytes", "mn_flow"}
    refused = howdah("flows", "--keys", "nonsense")
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert refused.stderr.startswith("howdah flows: PUT ")
    assert "nonsense" in refused.stderr
    assert howdah("flows").exit_code == howdah("flows", "mn_flow", "--keys", "stack").exit_code == 2


def test_definitions_and_events(howdah, url, eventually):
    assert (
        howdah("define", "flow", "pair", "--keys", "ipsource,ipdestination", "--filter", "ipprotocol=6").exit_code == 0
    )
    found = json.loads(howdah("define", "show", "flow", "pair", "--json").stdout)
    assert (found["keys"], found["value"], found["filter"]) == ("ipsource,ipdestination", "bytes", "ipprotocol=6")
    words = (
        "define",
        "threshold",
        "big",
        "--metric",
        "pair",
        "--value",
        "1",
        "--by-flow",
        "--filter",
        "ifspeed=10000000",
    )
    assert howdah(*words).exit_code == 0
    assert json.loads(howdah("define", "show", "threshold", "big", "--json").stdout)["filter"] == {
        "ifspeed": [10_000_000]
    }
    eventually(lambda: howdah("events", "--json").stdout)
    event = json.loads(howdah("events", "--threshold", "big", "--json").stdout.splitlines()[0])
    assert (event["thresholdID"], event["flowKey"]) == ("big", "10.1.1.1,10.0.2.2")
    assert " big 10.0.0.1 5 pair " in howdah("events").stdout
    assert howdah("events", "--threshold", "other").stdout == ""
    eventually(lambda: names_at("/flow/json")(Context(url), "p") == ["pair"])  # it gives up soon
    for kind, name in (("flow", "pair"), ("threshold", "big")):
        assert howdah("define", "delete", kind, name).exit_code == 0
        gone = howdah("define", "delete", kind, name)
        assert (gone.exit_code, gone.stderr.count("\n")) == (1, 1)
        assert name in gone.stderr
    assert howdah("define", "group", "g", "nonsense").exit_code == 2


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_followed_until_it_is_ended(howdah, url, ending):
    words = [sys.executable, str(HOWDAH)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    flows = [*words, "flows", "--keys", "stack", "--follow", "--period", "0.1", "--json"]
    with (
        subprocess.Popen(flows, **options) as looking,
        subprocess.Popen([*words, "events", "--follow", "--json"], **options) as waiting,
    ):
        seen = [json.loads(looking.stdout.readline()) for _ in range(2)]
        assert all(isinstance(one, list) for one in seen)
        defined = set(json.loads(howdah("define", "list", "flow", "--json").stdout)["flow"])
        [made] = defined - {"mn_bytes", "mn_flow"}
        assert made.startswith("howdah_flows_")
        assert howdah("define", "threshold", "any", "--metric", "mn_bytes", "--value", "1").exit_code == 0
        assert json.loads(waiting.stdout.readline())["thresholdID"] == "any"
        for process in (looking, waiting):
            process.send_signal(ending)
            _, complaints = process.communicate(timeout=PATIENCE_S)
            assert (process.returncode, complaints) == (0, "")
    assert set(json.loads(howdah("define", "list", "flow", "--json").stdout)["flow"]) == {"mn_bytes", "mn_flow"}


class Context:
    """What completion has of a command line."""

    def __init__(self, url: str) -> None:
        self.params = {"url": url}


EVENT = {"eventID": 1, "timestamp": 1000, "thresholdID": "\x1b[2J", "agent": "a\n", "dataSource": "1", "metric": "m",
         "value": 2, "threshold": 1}  # fmt: skip


def test_names_from_the_network_drive_no_terminal(howdah):
    answers = {
        "/events/json?maxEvents=20": json.dumps([EVENT]).encode(),
        "/metrics/json": json.dumps({"\x1b[31m[red]x": 1}).encode(),
    }
    with Answering(answers) as server:
        shown = [howdah(*words, "--url", server.base).stdout for words in (("events",), ("metrics",))]
    assert "\\x1b[2J a\\n 1 m 2 > 1" in shown[0]
    assert "\\x1b[31m[red]x" in shown[1]
    assert "\x1b" not in "".join(shown)


@pytest.mark.parametrize("answer", [None, (500, b"x"), b"no json", b"[1]", b"{}", b'[{"timestamp": 1e300}]', b"null"])
def test_wrong_answers_are_one_line(howdah, answer):
    with Answering({"/events/json?maxEvents=20": answer, "/events/json": answer}) as server:
        done = howdah("events", "--url", server.base)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("howdah events: ")
    assert done.stderr.count("\n") == 1
    assert names_at("/flow/json")(Context(server.base), "") == []
