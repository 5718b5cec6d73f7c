"""A real analytics process, as the controller starts one."""

from __future__ import annotations

import contextlib
import socket
import time

from controller.config import Analytics
from controller.feed import Feed
from controller.supervisor import Supervisor
from tests.ryu_manager import free_ports


@contextlib.contextmanager
def analytics_process(eventually, token=None):
    """(its supervisor, a feed that it answers), on ports of its own; ended on leaving."""
    (port,) = free_ports(1)
    (sflow,) = free_ports(1, socket.SOCK_DGRAM)
    supervisor = Supervisor(Analytics(port=port, sflow_port=sflow, token=token))
    supervisor.supervise(time.time())
    feed = Feed(supervisor.settings.base, token)
    try:
        eventually(feed.alive)
        yield supervisor, feed
    finally:
        supervisor.stop()
