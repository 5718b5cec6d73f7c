"""The programs that run inside lab hosts; `command` says how one is started.

    receive, send            TCP elephants; the receiver's byte counters measure goodput                transfers.py
    udp-receive, udp-send    numbered datagrams; the receiver counts arrivals and copies                datagrams.py
    mice-serve, mice, probe  small requests, one at a time; `probe` finds out which hosts answer        mice.py

Each prints JSON lines {"event": ..., "time": seconds since the epoch, ...}; receivers print "ready" when their ports
are open, all print "end" with totals when done or on SIGTERM. A flow is written HOST:PORT or HOST:PORT@SOURCE_PORT.
"""

from __future__ import annotations

import os
import sys


def command(*words: object) -> list[str]:
    """The command line for a host's popen, e.g. command("send", "10.0.2.1:5001@40001", "--seconds", 10).

    The quickest way to start a program: no site-packages are searched (-S), because plain sockets need none. As with
    documents.programs, -I keeps the working directory out of the path of imports.
    """
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
    return [sys.executable, "-IS", program, *map(str, words)]
