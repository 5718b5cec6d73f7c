"""controller.messagecheck: what Open vSwitch sends passes; no message, however it lies about lengths, holds Ryu up.

MESSAGES=1000000 .venv-test/bin/pytest tests/controller/test_messagecheck.py tries more; the seed is fixed.
"""

from __future__ import annotations

import collections
import os
import random
import signal
import struct

import pytest
from ryu.ofproto import ofproto_parser, ofproto_protocol

from controller import openflow
from controller.messagecheck import MalformedMessage, is_wanted
from tests.controller.openflow_messages import (
    EXPERIMENTER_ACTION,
    MESSAGES,
    group,
    message,
    multipart,
    mutated,
    port,
    with_length,
)

PARSED_WITHIN_S = 5.0  # of a machine ten times slower; a loop without end takes for ever


class Stuck(BaseException):
    """Not an Exception, so that no parser swallows it."""


def parse(wire: bytes) -> object:
    """What Ryu makes of a message; Stuck if it is not done in time."""

    def stop(*_: object) -> None:
        raise Stuck(wire.hex())

    datapath = ofproto_protocol.ProtocolDesc(openflow.OFP_VERSION)
    version, kind, length, xid = struct.unpack_from("!BBHI", wire)
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PARSED_WITHIN_S)
    try:
        return ofproto_parser._MSG_PARSERS[version](datapath, version, kind, length, xid, wire)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", MESSAGES)
def test_what_open_vswitch_sends_passes_and_is_parsed(name):
    assert is_wanted(MESSAGES[name])
    assert parse(MESSAGES[name]) is not None


@pytest.mark.parametrize("name", MESSAGES)
def test_every_cut_is_refused_or_parsed(name):
    for cut in range(8, len(MESSAGES[name])):
        wire = with_length(MESSAGES[name][:cut])
        try:
            wanted = is_wanted(wire)
        except MalformedMessage:
            continue
        if wanted:
            parse(wire)


REFUSED = {
    "hello element of length 0": message(0, struct.pack("!HH", 1, 0) + bytes(4)),
    "bitmap without end": message(0, struct.pack("!HH", 1, 8) + bytes(5)),
    "hello of 30,000 versions": message(0, struct.pack("!HH", 1, 4000) + bytes(3996)),
    "length of another message": MESSAGES["echo reply"] + b"x",
    "features cut short": with_length(MESSAGES["features"][:20]),
    "bucket of length 0": multipart(7, group(1).replace(struct.pack("!HHI", 40, 16, 1), struct.pack("!HHI", 0, 16, 1))),
    "buckets behind their group": multipart(7, group(1)[:8] + b"\xff\xf0" + group(1)[10:]),
    "port of length 0": multipart(13, port(1)[:4] + bytes(2) + port(1)[6:]),
    "group of length 0": multipart(7, bytes(2) + group(1)[2:]),
    "output action of another size": multipart(7, group(1, struct.pack("!HHIH14x", 0, 24, 1, 0))),
    "flow without match": multipart(1, struct.pack("!H2xBxHHHHHQ", 24, 0, 0, 0, 0, 0, 0, 0)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_impossible_lengths_are_refused(name):
    with pytest.raises(MalformedMessage):
        is_wanted(REFUSED[name])


@pytest.mark.parametrize(
    "wire",
    [
        message(4, struct.pack("!II", 0x2320, 0)),
        message(10, bytes(24), version=1),
        multipart(11, bytes(16)),
        message(1, struct.pack("!HH", 0, 0) + b"\xff" * 12),
        message(99, b""),
    ],
    ids=["experimenter", "OpenFlow 1.0", "meters", "hello failed", "unknown"],
)
def test_what_is_not_needed_is_passed_over(wire):
    assert not is_wanted(wire)


def test_groups_with_properties_are_told_apart():
    """Ryu 4.34 takes the groups that follow for properties of the first."""
    groups = [openflow.group(entry) for entry in parse(MESSAGES["group descriptions"]).body]
    assert [entry.group_id for entry in groups] == [1, 2, 3]
    assert [entry.hash_basis for entry in groups] == [5, 5, 5]


def test_actions_of_experimenters_are_kept_as_they_are():
    (entry,) = parse(multipart(7, group(1, EXPERIMENTER_ACTION))).body
    assert entry.buckets[0].actions[0].data == EXPERIMENTER_ACTION[8:]


def test_mutated_messages_never_hold_the_parser_up():
    source = random.Random(1)
    seen: collections.Counter[str] = collections.Counter()
    for _ in range(int(os.environ.get("MESSAGES", "20000"))):
        wire = mutated(source)
        try:
            outcome = "wanted" if is_wanted(wire) else "passed over"
        except MalformedMessage:
            outcome = "refused"
        seen[outcome] += 1
        if outcome == "wanted":
            try:
                parse(wire)
            except Exception:
                seen["not understood"] += 1
    assert all(seen[outcome] for outcome in ("wanted", "refused", "passed over")), seen
