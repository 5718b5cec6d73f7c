"""The signals of a keeper: the first one raises, later ones do not disturb the cleaning up, nohup keeps its meaning."""

import os
import signal

import pytest

from topologies.lab import keeper


@pytest.fixture
def default_hangup():
    """SIGHUP ends the process, also where nohup started it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_raises_and_no_other(default_hangup, number):
    with keeper.signals_raise() as check:
        with pytest.raises(SystemExit) as ended:
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        with pytest.raises(SystemExit):
            check()
    assert ended.value.code == 128 + number


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    with keeper.signals_raise():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


def test_an_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with keeper.signals_raise() as check:
            os.kill(os.getpid(), signal.SIGHUP)
            check()
    finally:
        signal.signal(signal.SIGHUP, before)
