"""client.outputs, as a collector and a Graphite server receive it (the line of syslog: tests/scripts/test_examples)."""

import socket
import time

import pytest

from client import graphite, syslog
from tests.patience import PATIENCE_S


def test_graphite():
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = int(time.time())
        graphite("127.0.0.1", {"leaf1.load_one": 1.5, "leaf1.octets": 12}, port=server.getsockname()[1])
        stream, _ = server.accept()
        with stream, stream.makefile() as lines:
            found = [line.split() for line in lines]
    assert [(name, value) for name, value, _ in found] == [("leaf1.load_one", "1.5"), ("leaf1.octets", "12")]
    assert all(before <= int(when) <= time.time() for _, _, when in found)


@pytest.mark.parametrize("name", ["", "two words", "line\nbreak"])
def test_no_name_for_graphite(name):
    with pytest.raises(ValueError, match="no name for Graphite"):
        graphite("127.0.0.1", {name: 1}, port=1)


def test_syslog_takes_text_as_it_is():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(PATIENCE_S)
        syslog("127.0.0.1", "port down", port=collector.getsockname()[1], facility=23, severity=0)
        text = collector.recv(4096).decode()
    assert text.startswith("<184>1 ")
    assert text.endswith(" - - port down")


@pytest.mark.parametrize("wrong", [{"facility": 24}, {"severity": 8}, {"facility": -1}])
def test_no_such_facility_or_severity(wrong):
    with pytest.raises(ValueError, match="does not exist"):
        syslog("127.0.0.1", "x", **wrong)
