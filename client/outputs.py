"""Where a script sends what it found: a syslog collector, a Graphite server. One call, one connection at most."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

SYSLOG_PORT, GRAPHITE_PORT = 514, 2003
LOCAL0, NOTICE = 16, 5  # RFC 5424, tables 1 and 2; sFlow-RT's defaults
SEND_S = 5.0


def syslog(
    host: str, message: object, *, port: int = SYSLOG_PORT, facility: int = LOCAL0, severity: int = NOTICE
) -> None:
    """Send a message (RFC 5424 over UDP); what is no text is sent as JSON. OSError: the host has no address.

    ValueError: facility is 0 to 23, severity 0 to 7."""
    if not (0 <= facility <= 23 and 0 <= severity <= 7):
        raise ValueError(f"facility {facility} or severity {severity} does not exist (RFC 5424)")
    when = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    text = message if isinstance(message, str) else json.dumps(message)
    name = Path(sys.argv[0]).stem or "-"
    line = f"<{8 * facility + severity}>1 {when} {socket.gethostname()} {name} {os.getpid()} - - {text}"
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as sender:
        sender.sendto(line.encode(), address)


def graphite(host: str, values: Mapping[str, float], *, port: int = GRAPHITE_PORT) -> None:
    """Send values by name, as of now (Graphite's plaintext protocol over TCP). OSError: nobody takes them.

    ValueError names what is no name of a metric there."""
    for name in values:
        if not name or not name.isprintable() or " " in name:
            raise ValueError(f"{name!r} is no name for Graphite")
    now = int(time.time())
    lines = "".join(f"{name} {value} {now}\n" for name, value in values.items())
    with socket.create_connection((host, port), timeout=SEND_S) as stream:
        stream.sendall(lines.encode())
