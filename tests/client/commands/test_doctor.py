"""client.commands.walk: what each step says of what was gathered. Real switches: tests/ovs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from client.commands.facts import Export, Facts, Switch, sockets_here
from client.commands.walk import Step, walk

NUMBERS = {"sFlowDatagramsReceived": 100, "sFlowSourcesRefused": 0, "sFlowKernelDrops": 0, "sFlowParseErrors": 0,
           "sFlowUnsupportedVersion": 0, "sFlowDatagramsShed": 0, "sFlowAgentsRefused": 0}  # fmt: skip
AGENT = {"lastSeen": 1500, "sFlowDatagramsLost": 0, "sFlowFaults": 0, "sFlowFlowSamples": 7, "sFlowCounterSamples": 9}
EXPORT = Export("br0", ("127.0.0.1:6343",), 400, 10, 128, "10.0.0.1", {"p1": 5, "p2": 6})
WELL = Facts(
    url="http://127.0.0.1:8008",
    switch=Switch((EXPORT,)),
    sockets={6343: 0, 53: 0},
    own=frozenset({"127.0.0.1"}),
    before=NUMBERS,
    after=NUMBERS | {"sFlowDatagramsReceived": 103},
    waited=2.0,
    agents={"10.0.0.1": AGENT},
    counted=frozenset({"5", "6"}),
    sampled=frozenset({"5", "6"}),
    flows={"tcp": {"keys": "ipsource,tcpsourceport", "value": "bytes"}},
    largest={"tcp": 12.0},
    seen=frozenset({"ipsource", "tcpsourceport"}),
    metrics=frozenset({"ifinoctets"}),
    thresholds={"big": {"metric": "tcp", "value": 1000.0}},
    events=({"thresholdID": "big", "agent": "10.0.0.1", "dataSource": "5"},),
    controller={"switches": {"connected": ["br0"], "known": 1}, "analytics": {"url": "http://x", "alive": True}},
)


def steps(**changed: Any) -> list[Step]:
    return list(walk(replace(WELL, **changed)))


def only(found: list[Step], step: str) -> Step:
    """The step of that name that is not ok, or a note."""
    [one] = [each for each in found if each.step == step and not each.ok]
    return one


def test_all_is_well():
    found = steps()
    assert all(step.ok for step in found)
    assert [step.step for step in found] == [
        "switch", "socket", "analytics", "arriving", "decoding", "agents", "samples", "ports", "flows", "thresholds",
        "events", "controller",
    ]  # fmt: skip
    assert not any(step.advice for step in found)


@pytest.mark.parametrize(
    ("changed", "step", "ok", "found", "advice"),
    [
        ({"switch": Switch(unknown="no Open vSwitch: x")}, "switch", None, "no Open vSwitch: x", "--db"),
        ({"switch": Switch((), ("br1",))}, "switch", False, "no sFlow on br1", "howdah sflow enable br1"),
        ({"switch": Switch((EXPORT,), ("br1",))}, "switch", None, "no sFlow on br1", ""),
        ({"switch": Switch((replace(EXPORT, targets=()),))}, "switch", False, "to nobody", "no target"),
        ({"switch": Switch((replace(EXPORT, polling=0),))}, "switch", False, "every 0 s", "polling=10"),
        ({"switch": Switch((replace(EXPORT, header=1000),))}, "switch", False, "1000 bytes", "612"),
        ({"sockets": {7000: 0}}, "socket", False, "nobody listens on UDP port 6343 (ports in use: 7000)", "analytics"),
        ({"sockets": {6343: 9}}, "socket", False, "9 datagrams dropped", "rmem_max"),
        ({"own": frozenset()}, "socket", None, "127.0.0.1:6343 is another machine", "--url 127.0.0.1"),
        ({"after": NUMBERS | {"sFlowDatagramsReceived": 101, "sFlowParseErrors": 3}}, "decoding", False,
         "3 datagrams that are no sFlow", "howdah decode"),
        ({"agents": {"10.0.0.1": AGENT | {"sFlowFaults": 2, "sFlowDatagramsLost": 4}}}, "decoding", False,
         "4 datagrams lost on the way, 2 structures that did not fit", "howdah agents"),
        ({"agents": {"10.9.9.9": AGENT}}, "agents", False, "br0 calls itself 10.0.0.1", "target"),
        ({"agents": {"10.0.0.1": AGENT | {"sFlowFlowSamples": 0}}}, "samples", False,
         "9 counter samples, but no packet sample", "at 1 in 400 so many packets must pass before one is sampled: send "
         "some; try sampling=40"),
        ({"agents": {"10.0.0.1": AGENT | {"sFlowCounterSamples": 0}}}, "samples", False, "no counters", "polling=10"),
        ({"counted": frozenset({"5"}), "sampled": frozenset({"5"})}, "ports", False, "br0: nothing of p2", "10 s"),
        ({"sampled": frozenset({"5"})}, "ports", None, "no packet samples of p2", "400"),
        ({"flows": {}, "largest": {}, "thresholds": {}}, "flows", False, "no flow is defined", "howdah define flow"),
        ({"largest": {"tcp": None}, "seen": frozenset({"ipsource"})}, "flows", None,
         "tcp: no packet counts for it, none has tcpsourceport", "stack"),
        ({"thresholds": {}}, "thresholds", None, "no events", "howdah define threshold"),
        ({"thresholds": {"big": {"metric": "max:tpc", "value": 1.0}}, "events": WELL.events}, "thresholds", False,
         "big: there is no metric tpc", "howdah metrics"),
        ({"events": ()}, "events", None, "big begins at 1000, tcp is 12 at most", "howdah flows"),
        ({"controller": None}, "controller", None, "no controller answers", ""),
        ({"controller": WELL.controller | {"analytics": {"url": "http://x", "alive": False}}}, "controller", False,  # type: ignore[operator]
         "analytics at http://x does not answer", "analytics.url"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(changed, step, ok, found, advice):
    one = only(steps(**changed), step)
    assert one.ok is ok
    assert found in one.found
    assert advice in one.advice


@pytest.mark.parametrize(
    ("changed", "last", "found"),
    [
        ({"failure": "GET http://127.0.0.1:8008/analyzer/json: no connection"}, "analytics", "no connection"),
        ({"before": NUMBERS | {"sFlowDatagramsReceived": 0}, "after": NUMBERS | {"sFlowDatagramsReceived": 0}},
         "arriving", "nothing has ever arrived (looked for 2.0 s)"),
        ({"after": NUMBERS | {"sFlowSourcesRefused": 8}}, "arriving", "8 datagrams of senders that may not send"),
        ({"agents": {}}, "agents", "none"),
    ],
)  # fmt: skip
def test_behind_what_lets_nothing_through_nothing_is_looked_at(changed, last, found):
    one = steps(**changed)[-1]
    assert (one.step, one.ok, one.ends) == (last, False, True)
    assert found in one.found


def test_silence_after_traffic_is_no_end():
    found = steps(after=NUMBERS)
    assert only(found, "arriving").found == "nothing in 2.0 s, 100 datagrams before that"
    assert found[-1].step == "controller"


def test_open_ports_are_seen():
    import socket  # noqa: PLC0415

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        assert sockets_here()[one.getsockname()[1]] == 0
