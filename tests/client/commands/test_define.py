"""howdah define: every attribute that analytics knows has an option, and reaches it."""

from __future__ import annotations

import json

import pytest

from analytics.events import thresholds
from analytics.export import targets
from analytics.flows import definitions

FLOW = [
    "--value", "bytes", "--values", "frames,avg:ipttl", "--keys", "ipsource", "--filter", "ipprotocol=6", "-t", "0.5",
    "-n", "7", "--fs", "_SEP_", "--agg-mode", "edge", "--flow-start", "--active-timeout", "2.5", "--dropped", "--log",
    "--ipfix-collector", "192.0.2.1",
]  # fmt: skip
FLOW_SPEC = {
    "keys": "ipsource", "n": 7, "t": 0.5, "fs": "_SEP_", "log": True, "flowStart": True, "activeTimeout": 2.5,
    "dropped": True, "value": "bytes", "values": "frames,avg:ipttl", "filter": "ipprotocol=6", "aggMode": "edge",
    "ipfixCollectors": ["192.0.2.1"],
}  # fmt: skip
TEST = {"alpha": 0.02, "beta": 0.05, "separation": 4, "fastest": 1000, "switches": 3}
THRESHOLD = [
    "--metric", "f", "--value", "10", "--by-flow", "--timeout", "0.2", "--filter", "ifspeed=10,100",
    *(word for name, value in TEST.items() for word in ("--test", f"{name}={value}")),
]  # fmt: skip
THRESHOLD_SPEC = {
    "metric": "f", "value": 10.0, "byFlow": True, "timeout": 0.2, "filter": {"ifspeed": [10, 100]}, "test": TEST,
}  # fmt: skip
FORWARDING = ["192.0.2.7", "--port", "6344", "--agent", "10.0.0.1", "--agent", "10.0.0.2"]
FORWARDING_SPEC = {"address": "192.0.2.7", "port": 6344, "agents": ["10.0.0.1", "10.0.0.2"]}
TENANT = ["192.0.2.8", "--port", "6345", "--ifindex", "10.0.0.1_4", "--ifname", "10.0.0.1_s1-eth4",
          "--cidr", "10.0.0.0/8", "--cidr", "2001:db8::/32", "--mac", "D8D385B2DD2B"]  # fmt: skip
TENANT_SPEC = {
    "collectorAddress": "192.0.2.8",
    "collectorPort": 6345,
    "filters": {
        "ifindex": ["10.0.0.1_4"],
        "ifname": ["10.0.0.1_s1-eth4"],
        "cidr": ["10.0.0.0/8", "2001:db8::/32"],
        "mac": ["D8D385B2DD2B"],
    },
}


def test_these_are_all_attributes():
    """A new one belongs here, and into the command."""
    assert FLOW_SPEC.keys() == definitions.ATTRIBUTES.keys()
    assert THRESHOLD_SPEC.keys() == thresholds.ATTRIBUTES
    assert FORWARDING_SPEC.keys() == set(targets.FORWARDING)
    assert TENANT_SPEC.keys() == set(targets.TENANT)
    assert TENANT_SPEC["filters"].keys() == set(targets.FILTERS)


@pytest.fixture
def url(start) -> str:
    return f"http://127.0.0.1:{start().port}"


def test_every_attribute_reaches_analytics(howdah, url):
    cases = {
        "flow": (FLOW, FLOW_SPEC),
        "threshold": (THRESHOLD, THRESHOLD_SPEC),
        "forwarding": (FORWARDING, FORWARDING_SPEC),
        "tenant": (TENANT, TENANT_SPEC),
    }
    for kind, (options, spec) in cases.items():
        done = howdah("define", kind, "f", *options, "--url", url)
        assert done.exit_code == 0, done.stderr
        assert json.loads(howdah("define", "show", kind, "f", "--json", "--url", url).stdout) == spec
        assert howdah("define", "delete", kind, "f", "--url", url).exit_code == 0
    assert "f" not in howdah("define", "list", "--url", url).stdout.split()


def test_what_is_taken_and_not_served_is_said(howdah, url):
    done = howdah("define", "flow", "f", "--ipfix-collector", "192.0.2.1", "--url", url)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("howdah define flow: ipfixCollectors: ")
    assert done.stderr.count("\n") == 1
    assert howdah("define", "flow", "f", "--url", url).stderr == ""


def test_what_analytics_refuses_is_one_line(howdah, url):
    for words in (
        ("flow", "f", "--agg-mode", "nonsense"),
        ("tenant", "t", "192.0.2.1"),
        ("forwarding", "f", "nonsense"),
    ):
        done = howdah("define", *words, "--url", url)
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "'nonsense'" in done.stderr
