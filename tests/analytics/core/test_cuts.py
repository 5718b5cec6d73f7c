"""A sampled header that is cut keeps every field whose bytes are there, and changes none.

For every header built for the walk, recorded in our lab, or generated: cut at every length, and
  - every field whose bytes lie whole inside the cut has the value it has uncut; READ_AHEAD are the exceptions,
  - no field has a value that it does not have uncut; SO_FAR are the exceptions,
  - what stands around the cut header in memory makes no difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from analytics.core.flows.flowkeys import fields_inside, fields_of, spans_of
from analytics.core.wire.sflow import decode
from analytics.inputs.capture import datagrams
from tests.analytics.core.test_packet import texts
from tests.analytics.core.test_walk import HEADERS as CRAFTED
from tests.analytics.examples.generator import Generator

CAPTURES = Path(__file__).parents[1] / "examples/captures"
GENERATED = 150
FIRST_BYTES = 18  # Ethernet and a label: here nothing is read ahead
READ_AHEAD = {"mpls.eth": 11, "l2tp.eth": 11, "udp.teredo": 2, "udp.lisp": 0}
"""On the stack -> bytes behind a field that must be there too. What these carry they do not say: it is recognised by
its own first bytes, of a frame by the 14 bytes of its header and 4 more."""
SO_FAR = {"ethernetprotocol": "llc", "ip6nexthdr": "ip6", "ip6fragm": "ip6", "ip6fragoffset": "ip6"}
"""Field -> on the stack. Of 802.2 frames first the length is read, then SNAP's type; of IPv6 the fixed header, then
its extension headers. The stack itself grows."""


def recorded() -> list[tuple[int, bytes]]:
    """The sampled headers of our captures, one of each stack and length."""
    found: dict[tuple[str, int], tuple[int, bytes]] = {}
    for path in sorted(CAPTURES.glob("*.pcap")):
        for _, _, payload in datagrams(path, 6343):
            for sample in (decode(payload) or {"samples": []})["samples"]:
                if "header" in sample:
                    header = sample["header"]
                    stack = texts(header, sample["protocol"]).get("stack", "")
                    found.setdefault((stack, len(header)), (sample["protocol"], header))
    return list(found.values())


def generated() -> list[tuple[int, bytes]]:
    made = Generator(9, lies=0)
    headers = (made.header() for _ in range(GENERATED))
    return [(1, header[4 : 4 + int.from_bytes(header[:4], "big")]) for header in headers]


HEADERS = {name: crafted[:2] for name, crafted in CRAFTED.items()}
HEADERS |= {f"recorded {number}": each for number, each in enumerate(recorded())}
HEADERS |= {f"generated {number}": each for number, each in enumerate(generated())}


@pytest.mark.parametrize("name", HEADERS)
def test_cut_at_every_length(name):
    protocol, header = HEADERS[name]
    whole, spans = fields_of(header, protocol), spans_of(header, protocol)
    stack = texts(header, protocol).get("stack", "")
    ahead = max((more for word, more in READ_AHEAD.items() if word in stack), default=-1)
    for cut in range(len(header) + 1):
        found = fields_of(header[:cut], protocol)
        assert found.keys() <= whole.keys(), cut
        for field in found:
            if field != "stack" and found[field] != whole[field]:
                plain = field.partition(".")[0]
                assert SO_FAR.get(plain, "?") in stack, (cut, field)
                assert plain != "ethernetprotocol" or spans[field][1] > cut, (cut, field)
        assert stack.startswith(texts(header[:cut], protocol).get("stack", "")), cut
        for field, (start, end) in spans.items():
            allowed = ahead if start >= FIRST_BYTES else -1
            assert field in found or cut - end <= allowed or cut < end, (cut, field)


@pytest.mark.parametrize("name", HEADERS)
def test_nothing_beyond_a_cut_is_read(name):
    """The same header between two different surroundings, and alone: the same fields."""
    protocol, header = HEADERS[name]
    for cut in range(len(header) + 1):
        part = header[:cut]
        alone = fields_of(part, protocol)
        canary = (b"\x00", b"\x45", b"\xff")[cut % 3] * 64
        assert fields_inside(canary + part + canary, 64, cut, protocol) == alone
        assert fields_inside(header, 0, cut, protocol) == alone
