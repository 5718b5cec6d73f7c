"""The supervisor against a real analytics process that is killed, stopped, and kept from starting."""

import os
import re
import signal
import threading
import time

import pytest

from controller import supervisor as supervising
from controller.config import Analytics
from controller.feed import Feed, Unavailable
from controller.supervisor import (
    FIRST_DELAY,
    LONGEST_START_S,
    SILENT_S,
    START_S,
    STEP_S,
    TERM_S,
    AnalyticsEnded,
    AnalyticsHung,
    Supervisor,
)
from documents import programs
from tests.controller.analytics_process import analytics_process
from tests.ryu_manager import Controller


@pytest.fixture
def analytics(eventually):
    """A supervisor whose analytics answers, and its Feed."""
    with analytics_process(eventually) as running:
        yield running


def test_the_supervisor_starts_again_what_died_and_waits_longer_each_time(analytics, eventually):
    supervisor, feed = analytics
    now = time.monotonic()
    delays = []
    for _ in range(3):
        supervisor.process.send_signal(signal.SIGKILL)
        supervisor.process.wait()
        with pytest.raises(AnalyticsEnded, match="ended with status -9") as caught:
            supervisor.supervise(now)
        delays.append(float(str(caught.value).split()[-2]))
        assert supervisor.supervise(now) is None
        now += delays[-1] + 0.1
        assert "started as process" in supervisor.supervise(now)
    assert delays == [FIRST_DELAY * factor for factor in (2, 4, 8)]
    eventually(feed.alive)


def test_a_stopped_supervisor_leaves_no_process(analytics):
    supervisor, _ = analytics
    pid = supervisor.process.pid
    supervisor.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_analytics_that_is_started_wants_the_token_of_its_settings(eventually):
    with analytics_process(eventually, token="s3cret") as (supervisor, feed):
        feed.publish({})
        with pytest.raises(Unavailable, match="status 401"):
            Feed(supervisor.settings.base).publish({})


def test_the_controller_reads_from_an_analytics_that_wants_a_token_for_reading(eventually, tmp_path, monkeypatch):
    (tmp_path / "howdah.yaml").write_text("analytics: {token: s3cret, token_for_reading: true}\n")
    monkeypatch.setenv("HOWDAH_CONFIG", str(tmp_path / "howdah.yaml"))  # which analytics reads, too
    with analytics_process(eventually, token="s3cret") as (supervisor, feed):
        assert feed.ports() == []
        with pytest.raises(Unavailable, match="status 401"):
            Feed(supervisor.settings.base).ports()


class Clock:
    """Calls `supervise` every 0.2 s of a time that the test makes."""

    def __init__(self, supervisor):
        self.supervisor, self.now = supervisor, 1000.0
        supervisor.supervise(self.now)

    def pass_by(self, seconds, answering=False):
        for _ in range(round(seconds / 0.2)):
            self.now += 0.2
            if answering:
                self.supervisor.ask()
            self.supervisor.supervise(self.now)


@pytest.fixture
def stopped(analytics):
    """The clock of a supervisor whose analytics has answered and then was stopped."""
    supervisor, _ = analytics
    clock = Clock(supervisor)
    clock.pass_by(1, answering=True)
    supervisor.process.send_signal(signal.SIGSTOP)
    return clock


def test_one_that_hangs_is_ended_and_started_again(stopped, eventually):
    process = stopped.supervisor.process
    stopped.pass_by(SILENT_S - 0.6)
    assert process.poll() is None
    stopped.pass_by(1)  # SIGTERM, which a stopped process does not take
    assert process.poll() is None
    with pytest.raises(AnalyticsHung, match=r"^analytics gave no answer for 5 s and was ended; starting it again in"):
        eventually(lambda: stopped.pass_by(TERM_S))
    assert process.returncode == -signal.SIGKILL
    stopped.pass_by(1)
    assert stopped.supervisor.starts == 2
    assert stopped.supervisor.process.pid != process.pid


def test_a_controller_that_was_away_blames_nobody(stopped):
    stopped.now += 3600
    stopped.pass_by(SILENT_S - STEP_S - 0.6)
    assert stopped.supervisor.process.poll() is None
    stopped.supervisor.process.send_signal(signal.SIGCONT)
    stopped.pass_by(3 * SILENT_S, answering=True)
    assert stopped.supervisor.starts == 1


def test_one_that_is_slow_is_left_alone(analytics, monkeypatch, eventually):
    """Every answer takes most of the time that it has."""
    supervisor, _ = analytics
    clock = Clock(supervisor)
    for _ in range(20):
        clock.pass_by(SILENT_S - 0.4)
        supervisor.ask()
        clock.pass_by(0.2)
    assert supervisor.starts == 1
    assert supervisor.process.poll() is None


def sleeping(monkeypatch):
    """A supervisor whose process never answers."""
    monkeypatch.setattr(
        Supervisor, "_command", lambda self: [*programs.command("timeit")[:2], "-c", "import time; time.sleep(600)"]
    )
    supervisor = Supervisor(Analytics(url="http://127.0.0.1:1"))
    return supervisor, Clock(supervisor)


def test_the_time_to_start_is_not_counted_as_silence_up_to_a_limit(monkeypatch, eventually):
    supervisor, clock = sleeping(monkeypatch)
    try:
        clock.pass_by(START_S - 0.6, answering=True)
        assert supervisor.process.poll() is None
        with pytest.raises(AnalyticsHung, match="for 20 s"):
            eventually(lambda: clock.pass_by(1))
    finally:
        supervisor.stop()


def test_one_that_hangs_from_every_start_is_started_ever_later_and_waited_for_longer(monkeypatch, eventually):
    supervisor, clock = sleeping(monkeypatch)
    said = []
    try:
        for _ in range(5):
            with pytest.raises(AnalyticsHung) as caught:
                eventually(lambda: clock.pass_by(5))
            said.append([float(word) for word in str(caught.value).split() if word[0].isdigit()])
            clock.pass_by(said[-1][1] + 0.4)
    finally:
        supervisor.stop()
    waits = (START_S, 2 * START_S, 4 * START_S, LONGEST_START_S, LONGEST_START_S)
    assert said == [[wait, FIRST_DELAY * factor] for wait, factor in zip(waits, (2, 4, 8, 16, 32), strict=True)]


def test_an_answer_of_any_kind_is_a_sign_of_life(analytics, monkeypatch):
    supervisor, _ = analytics
    clock = Clock(supervisor)
    monkeypatch.setattr(Analytics, "base", property(lambda self: f"http://{self.host}:{self.port}/no/such/page?"))
    clock.pass_by(2 * SILENT_S, answering=True)
    assert supervisor.starts == 1


def test_asking_never_delays_supervising(stopped):
    """`ask` waits for the stopped process in its own thread, `supervise` returns at once."""
    asking = threading.Thread(target=stopped.supervisor.ask, daemon=True)
    asking.start()
    began = time.monotonic()
    stopped.pass_by(SILENT_S - 0.6)
    assert time.monotonic() - began < supervising.SILENT_S
    stopped.supervisor.process.send_signal(signal.SIGCONT)
    asking.join()


def test_the_controller_replaces_an_analytics_that_hangs(tmp_path, eventually):
    controller = Controller(tmp_path)
    controller.start()
    try:
        eventually(lambda: '"GET /version HTTP/1.1" 200' in controller.log.read_text())  # until then it may be starting
        first = controller.analytics_pid()
        os.kill(first, signal.SIGSTOP)
        eventually(lambda: controller.analytics_pid() != first)
        eventually(controller.analytics_alive)
        status = controller.get("status")
        assert status["analytics"]["starts"] == 1 + status["faults"]["analytics hung"]  # once, if it starts within 20 s
        assert re.search(
            r"analytics hung: analytics gave no answer for \d+ s and was ended", controller.log.read_text()
        )
    finally:
        controller.stop()
