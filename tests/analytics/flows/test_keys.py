"""keys: the key language, from text to values of a sample."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.flows.flowkeys import FIELDS
from analytics.flows.functions import Sample
from analytics.flows.keys import Expression, InvalidDefinition, Span, unescape
from analytics.flows.keys import parse as parse_span


def parse(text: str) -> Expression:
    return parse_span(Span.of(text))


TEXTS = {
    "ipsource": "10.0.1.17",
    "stack": "eth.q.ip.tcp",
    "tcpsourceport": "443",
    "vlan": "5",
    "inputifindex": "12",
    "bytes": "64",
    "tcpflags": "000010010",
}
LINKS = {("10.254.0.1", "12"): "leaf1-spine1"}
LOOKUPS = SimpleNamespace(link=lambda agent, port: LINKS.get((agent, port)))
SAMPLE = Sample({name: TEXTS.get(name) for name in FIELDS}, "10.254.0.1", LOOKUPS)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("ipsource", "10.0.1.17"),
        (" ipsource ", "10.0.1.17"),
        ("ip6source", None),
        ("vlan.1", None),
        ("agent", "10.254.0.1"),
        ("or:ip6source:ipsource", "10.0.1.17"),
        ("or:ip6source:ip6destination", None),
        ("or:[prefix:stack:.:1]:vlan", "eth"),
        ("null:ip6source", "null"),
        ("null:ip6source:none", "none"),
        ("null:ipsource:none", "10.0.1.17"),
        ("if:vlan:5:ipsource:stack", "10.0.1.17"),
        ("if:[first:stack:.:ip:ip6]:ip6:ip6source:ipsource", "10.0.1.17"),
        ("if:ip6source:x:ipsource:vlan", "5"),
        ("eq:vlan:vlan", "true"),
        ("eq:vlan:tcpsourceport", "false"),
        ("eq:vlan:ip6source", None),
        ("range:tcpsourceport:0:1023", "true"),
        ("range:tcpsourceport:443:443", "true"),
        ("range:tcpsourceport:444", "false"),
        ("range:tcpsourceport:1", "true"),
        ("range:ip6nexthdr:1", None),
        ("range:ipsource:1", None),
        ("prefix:stack:.:2", "eth.q"),
        ("prefix:stack:.:9", "eth.q.ip.tcp"),
        ("suffix:stack:.:2", "ip.tcp"),
        ("first:stack:.:ip6:ip", "ip"),
        ("first:stack:.:udp", None),
        ("mask:ipsource:24", "10.0.1.0"),
        ("mask:ip6source:64", None),
        ("concat:-:ipsource:vlan", "10.0.1.17-5"),
        ("concat:\\::ipsource:vlan", "10.0.1.17:5"),
        ("concat:,:ipsource:ip6source", None),
        ("link:inputifindex", "leaf1-spine1"),
        ("link:outputifindex", None),
        ("null:[link:outputifindex]:edge", "edge"),
        ("[ipsource]", "10.0.1.17"),
    ],
)
def test_keys(key, text):
    assert parse(key).evaluate(SAMPLE) == text


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("ipsrc", "'ipsrc', did you mean 'ipsource'"),
        ("", "unknown key ''"),
        ("vlan.3", "'vlan.3'"),
        ("bytes.1", "'bytes.1'"),
        ("orr:vlan", "unknown key function 'orr', did you mean 'or'"),
        ("or:vlan:nix", "'nix'"),
        ("country:ipsource:city", "'country' knows code, name, continent, not 'city'"),
        ("mask:ipsource", "'mask' takes 2 arguments, got 1"),
        ("mask:ipsource:x", "needs a number, not 'x'"),
        ("null:vlan:a:b", "'null' takes 1 or 2 arguments, got 3"),
        ("first:stack:.", "'first' takes at least 3"),
        ("or:[vlan", "unbalanced '['"),
        ("or:vlan]:x", "unbalanced ']'"),
        ("[" * 600 + "]" * 600, "longer than"),
    ],
)
def test_wrong_keys_are_named(key, word):
    with pytest.raises(InvalidDefinition) as error:
        parse(key)
    assert word in str(error.value)


def test_what_a_key_reads():
    key = parse("concat:-:[or:tcpsourceport:udpsourceport]:vlan:vlan")
    assert key.fields == ("tcpsourceport", "udpsourceport", "vlan")
    assert not key.by_agent
    assert parse("null:[link:inputifindex]").by_agent
    assert parse("or:tcpsourceport:udpsourceport").choice == ("tcpsourceport", "udpsourceport")
    assert parse("or:tcpsourceport:[null:vlan]").choice == ()


def test_suffix_of_a_name_with_a_trailing_dot():
    sample = Sample({"stack": "www.example.com."}, "", LOOKUPS)
    assert parse("suffix:stack:.:2").evaluate(sample) == "example.com."


@given(st.text(alphabet="ab\\:,[]", max_size=20))
def test_splitting_loses_nothing(text):
    try:
        assert ":".join(span.text for span in Span.of(text).split(":")) == text
    except InvalidDefinition as error:
        assert "unbalanced" in str(error)


@given(st.text(max_size=20))
def test_escaping_is_undone(text):
    assert unescape("".join("\\" + char for char in text)) == text


WORDS = st.sampled_from(
    ["or", "null", "prefix", "mask", "ipsource", "vlan", "stack", ".", "2", "[", "]", ":", ",", "\\", "x"]
)


@given(st.lists(WORDS, max_size=15).map("".join))
def test_any_key_is_parsed_or_refused(text):
    try:
        key = parse(text)
    except InvalidDefinition:
        return
    assert key.evaluate(SAMPLE) is None or isinstance(key.evaluate(SAMPLE), str)
