"""howdah doctor from a real switch's sFlow row to the first event: it stops where the way is broken, and where it was
mended it goes on."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.analytics.conftest import start  # noqa: F401 - the fixture
from tests.ovs.test_sflow_stream import ETH, TCP, bridge, send
from tests.patience import PATIENCE_S
from tests.ryu_manager import free_ports

HOWDAH = Path(__file__).parents[2] / "scripts/howdah"


def test_from_the_switch_to_the_first_event(private_ovs, start, eventually):  # noqa: F811
    def doctor(url: str, *options: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
        """(exit code, step -> what was said there)"""
        words = ["--db", private_ovs.db, "--url", url, "--controller", "http://127.0.0.1:9", "--wait", "0.3", "--json"]
        done = subprocess.run(
            [sys.executable, HOWDAH, "doctor", *words, *options],
            check=False,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
        )
        assert done.stderr == ""
        said: dict[str, list[dict[str, Any]]] = {}
        for step in json.loads(done.stdout):
            said.setdefault(step["step"], []).append(step)
        return done.returncode, said

    program = start()
    url, port = f"http://127.0.0.1:{program.port}", int(program.source.rpartition(":")[2])
    private_ovs.add_bridge("s0")
    status, said = doctor(url)
    assert (status, said["switch"][0]["ok"], said["switch"][0]["found"]) == (1, False, "no sFlow on s0")
    assert said["arriving"][0]["found"].startswith("nothing has ever arrived")
    private_ovs.vsctl("del-br", "s0")

    (nobody,) = free_ports(1, socket.SOCK_DGRAM)
    bridge(private_ovs, nobody, polling=1)
    status, said = doctor(url)
    assert f"s1: 1 in 1 to 127.0.0.1:{nobody}, counters every 1 s, 128 bytes" in said["switch"][0]["found"]
    assert (status, said["socket"][0]["ok"]) == (1, False)
    assert said["socket"][0]["found"].startswith(f"nobody listens on UDP port {nobody}")

    private_ovs.vsctl("set", "sflow", "s1", f'targets="127.0.0.1:{port}"')
    eventually(lambda: program.http.get("/dump/ALL/ifinoctets/json").json())
    status, said = doctor(url, "--wait", "30")
    assert (said["socket"][0]["ok"], said["arriving"][0]["ok"], said["decoding"][0]["ok"]) == (True, True, True)
    assert (status, said["samples"][0]["ok"]) == (1, False)
    assert "but no packet sample" in said["samples"][0]["found"]

    assert program.http.put("/threshold/big/json", json={"metric": "mn_bytes", "value": 1}).status_code == 204
    eventually(lambda: send(private_ovs, f"{ETH},{TCP}") or program.http.get("/events/json?maxEvents=1").json())
    send(private_ovs, f"{ETH},{TCP}")
    status, said = doctor(url, "--wait", "30")
    broken = {step for step, found in said.items() if any(one["ok"] is False for one in found)}
    assert (status, broken) == (0, set())
    assert said["events"][0]["found"].startswith("last: big on ")
    assert [one["found"] for one in said["ports"]] == ["s1: counters but no packet samples of p2"]
    assert said["controller"][0]["ok"] is None
    assert program.end() == (0, "")

    status, said = doctor(url)
    assert (status, list(said)) == (1, ["switch", "socket", "analytics"])
    assert "no connection" in said["analytics"][0]["found"]
