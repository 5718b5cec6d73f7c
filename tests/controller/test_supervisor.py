"""The supervisor against a real analytics process that is killed, and kept from starting."""

import os
import signal
import time

import pytest

from controller.feed import Feed, Unavailable
from controller.supervisor import FIRST_DELAY, AnalyticsEnded
from tests.controller.analytics_process import analytics_process


@pytest.fixture
def analytics(eventually):
    """A supervisor whose analytics answers, and its Feed."""
    with analytics_process(eventually) as running:
        yield running


def test_the_supervisor_starts_again_what_died_and_waits_longer_each_time(analytics, eventually):
    supervisor, feed = analytics
    now = time.time()
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
