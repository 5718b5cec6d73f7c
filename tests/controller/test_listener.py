"""A connection's queue, without a network: sending never waits for what a switch does not read."""

import eventlet
import pytest

from controller import listener
from tests.patience import PATIENCE_S


class Deaf:
    """A socket whose peer reads nothing."""

    def setsockopt(self, *words):
        pass

    def settimeout(self, seconds):
        pass

    def shutdown(self, how):
        pass


@pytest.fixture
def connection(monkeypatch):
    class Brick:
        def send_event_to_observers(self, *words):
            pass

    monkeypatch.setattr(listener.ryu_controller.ryu.base.app_manager, "lookup_service_brick", lambda name: Brick())
    monkeypatch.setattr(listener, "MAX_QUEUED", 1000)
    return listener.Connection(Deaf(), ("192.0.2.1", 1), lambda: None)


def test_sending_never_waits_and_a_full_queue_ends_the_connection(connection):
    with eventlet.Timeout(PATIENCE_S):
        assert all(connection.send(b"message") for _ in range(1000))
        assert not connection.send(b"message")
    assert connection.state == listener.ryu_controller.DEAD_DISPATCHER
