"""`howdah run`: analytics and scripts as processes, kept and ended together."""

import os
import re
import signal
import sys

import httpx
import pytest

from client import run as crew
from tests.analytics.program import Program
from tests.client.process import ROOT, Process
from tests.patience import PATIENCE_S
from tests.processes import is_running

OWN = ["--analytics", "--port 0 --sflow-port 0"]
READY = re.compile(r"analytics: howdah analytics .* ready: (http://\S+) ")
KEPT = """
from client import Script
script = Script()
script.set_flow("kept", value="bytes")

@script.every(0.05)
def running(now):
    print("runs", flush=True)

script.run()
"""


class Run(Process):
    """`howdah run` in a directory of its own."""

    def __init__(self, folder, scripts, options):
        for name, text in scripts.items():
            (folder / name).write_text(text)
        super().__init__(sys.executable, "-I", ROOT / "scripts" / "howdah", "run", *scripts, *options, folder=folder)

    def url(self):
        return next((found[1] for found in map(READY.match, self.lines) if found), None)


@pytest.fixture
def run(tmp_path):
    running = []

    def starter(scripts, *options):
        running.append(Run(tmp_path, scripts, options))
        return running[-1]

    yield starter
    for each in running:
        each.close()


def flows(url):
    try:
        return set(httpx.get(f"{url}/flow/json", timeout=PATIENCE_S).json()) - {"mn_bytes", "mn_flow"}
    except httpx.TransportError:
        return None


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_scripts_beside_an_analytics_of_their_own(run, eventually, sign):
    running = run({"one.py": KEPT, "two.py": "import os; print(os.environ['HOWDAH_ANALYTICS_URL'])"}, *OWN)
    url = eventually(running.url)
    eventually(lambda: {"one: runs", f"two: {url}"} <= set(running.lines))
    assert flows(url) == {"kept"}
    assert running.end(sign) == 0
    assert flows(url) is None
    assert not any("Traceback" in line or "may stay" in line for line in running.lines)  # scripts end before analytics


def test_scripts_beside_one_that_runs_already_remove_what_they_defined(run, eventually):
    program = Program()
    try:
        url = f"http://127.0.0.1:{program.port}"
        running = run({"one.py": KEPT}, "--url", url)
        eventually(lambda: "one: runs" in running.lines)
        assert flows(url) == {"kept"}
        assert running.end() == 0
        assert flows(url) == set()
    finally:
        program.end()


def test_one_that_fails_is_started_again_and_one_that_is_done_is_not(run, eventually):
    failing = "import os; print(open('/proc/self/stat').read().split()[0]); os._exit(3)"
    running = run({"bad.py": failing, "good.py": "print('done')"}, *OWN)
    eventually(lambda: sum(line.startswith("bad: ") for line in running.lines) >= 3 and "good: done" in running.lines)
    said = [line for line in running.lines if line.startswith("howdah run: ")]
    assert said[:2] == [
        "howdah run: bad ended with status 3; starting it again in 1 s",
        "howdah run: bad ended with status 3; starting it again in 2 s",
    ]
    assert running.end() == 0
    assert running.lines.count("good: done") == 1


def test_it_ends_when_all_scripts_are_done(run):
    running = run({"good.py": "print('done', end='')"}, *OWN)
    assert running.wait() == 0
    assert "good: done" in running.lines


def test_it_ends_with_analytics(run, eventually):
    running = run({"one.py": KEPT}, *OWN)
    eventually(lambda: "one: runs" in running.lines)
    os.kill(children(running.process.pid)["analytics"], signal.SIGKILL)
    assert running.wait() == 1
    assert "howdah run: analytics ended with status -9" in running.lines


def test_nothing_outlives_a_keeper_that_is_killed(run, eventually):
    running = run({"one.py": KEPT}, *OWN)
    eventually(lambda: "one: runs" in running.lines)
    found = children(running.process.pid)
    running.process.kill()
    running.process.wait(PATIENCE_S)
    eventually(lambda: not any(map(is_running, found.values())))


def children(pid):
    """analytics or the script's file -> process."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listed:
        found = {}
        for child in map(int, listed.read().split()):
            with open(f"/proc/{child}/cmdline", encoding="utf-8") as line:
                words = line.read().split("\0")
            found["analytics" if "analytics" in words else words[2]] = child
    return found


@pytest.mark.parametrize(
    ("scripts", "options", "said"),
    [
        ({}, [], "Missing argument"),
        ({"x.py": ""}, ["missing.py"], "howdah run: missing.py is no file"),
        ({"x.py": ""}, ["--analytics", "'"], "howdah run: No closing quotation"),
        ({"x.py": ""}, ["--analytics", "--port 0 --sflow-port 70000"], "analytics: howdah analytics: "),
    ],
)
def test_what_cannot_be_run(run, eventually, scripts, options, said):
    running = run(scripts, *options)
    assert running.wait() in (1, 2)
    assert any(said in line for line in running.lines)
    assert not any("Traceback" in line for line in running.lines)


def test_each_line_has_the_name_of_its_script():
    names = [
        name for name, _ in crew._named([crew.Path(path) for path in ("a/x.py", "b/x.py", "analytics.py", "y.py")])
    ]
    assert names == ["x", "x-2", "analytics-2", "y"]
