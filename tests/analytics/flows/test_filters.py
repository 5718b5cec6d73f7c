"""filters: the filter language, from text to the test of a sample."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.flows.flowkeys import FIELDS
from analytics.flows.filters import parse_filter
from analytics.flows.functions import Sample
from analytics.flows.keys import InvalidDefinition

TEXTS = {
    "direction": "ingress",
    "ipprotocol": "6",
    "ipsource": "10.0.1.17",
    "tcpflags": "000010010",
    "stack": "eth.ip.tcp",
}
LOOKUPS = SimpleNamespace(link=lambda agent, port: None)
SAMPLE = Sample({name: TEXTS.get(name) for name in FIELDS}, "10.254.0.1", LOOKUPS)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("direction=ingress", True),
        ("direction=egress", False),
        ("direction=egress,ingress", True),
        ("direction!=egress", True),
        ("direction!=egress,ingress", False),
        ("direction=ingress&(ipprotocol=6|ipprotocol=17)", True),
        ("direction=ingress&(ipprotocol=1|ipprotocol=17)", False),
        ("ipprotocol=6|ipprotocol=17&direction=egress", True),  # & binds tighter
        ("(ipprotocol=6|ipprotocol=17)&direction=egress", False),
        (" ( ipprotocol = 6 ) & direction = ingress ", True),
        ("vlan=null", True),
        ("vlan!=null", False),
        ("ipsource=null", False),
        ("ipsource!=null", True),
        ("vlan=5", False),
        ("vlan!=5", True),
        ("vlan~.*", False),
        ("vlan!~.*", True),
        ("tcpflags~....1..1.", True),
        ("tcpflags~....1", False),  # the whole text must match
        ("tcpflags!~....1.000", True),
        ("ipsource~10\\.0\\.(1|2)\\..*", True),
        ("(ipsource~10\\.0\\.(1|2)\\..*)&ipprotocol=6", True),
        ("ipsource~'10[.]0[.]1[.]17'&ipprotocol=17", False),
        ("'ipsource'='10.0.1.17'", True),
        ('"ipsource"="10.0.1.1,10.0.1.17"', True),
        ("ipsource='10.0.1.1,10.0.1.17'", False),
        ("ipsource='a','10.0.1.17'", True),
        ("first:stack:.:ip:ip6=ip", True),
        ("prefix:stack:.:1=eth&suffix:stack:.:1!=udp", True),
        ("[null:vlan:0]=0", True),
        ("range:ipprotocol:1:10=true", True),
        ("link:inputifindex=null", True),
        ("agent=10.254.0.1", True),
        ("ipprotocol='=6',6", True),
        ("ipprotocol~'=6',6", True),
    ],
)
def test_filters(text, passes):
    assert parse_filter(text).passes(SAMPLE) is passes


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "missing key at position 1"),
        ("ipsource", "missing operator (= != ~ !~) after 'ipsource'"),
        ("ipsource<5", "missing operator"),
        ("ipsource=", "missing value at position 10"),
        ("ipsource~=10[.].*", "~= is none of = != ~ !~ (quote a value that begins so) at position 10"),
        ("ipsource=~10[.].*", "=~ is none of"),
        ("ipsource==10.0.0.1", "== is none of"),
        ("ipsource!==10.0.0.1", "== is none of"),
        ("ipsource!~~x", "~~ is none of"),
        ("ipsource=a,", "missing value"),
        ("ipsrc=1", "unknown key 'ipsrc'"),
        ("(vlan=1", "missing ')'"),
        ("vlan=1)", "unexpected ')' at position 7"),
        ("vlan=1&", "missing key at position 8"),
        ("vlan=1||vlan=2", "missing key"),
        ("vlan='1", "missing closing '"),
        ("'vlan'1", "missing operator"),
        ("vlan~[", "bad regular expression '['"),
        ("vlan!5", "missing operator"),
        ("=5", "missing key"),
        ("(" * 60 + "vlan=1" + ")" * 60, "more than 50 parentheses"),
        ("vlan=" + "1" * 10_000, "longer than"),
    ],
)
def test_wrong_filters_are_named(text, word):
    with pytest.raises(InvalidDefinition) as error:
        parse_filter(text)
    assert word in str(error.value)


def test_what_a_filter_reads():
    parsed = parse_filter("direction=ingress&(or:tcpsourceport:udpsourceport=80|direction=egress)")
    assert parsed.fields == ("direction", "tcpsourceport", "udpsourceport")
    assert not parsed.by_agent
    assert parse_filter("link:inputifindex=null").by_agent


COMPARISONS = st.sampled_from(
    [("ipprotocol=6", True), ("ipprotocol=17", False), ("vlan=null", True), ("direction~e.*", False)]
)


def trees(children):
    return st.tuples(children, st.sampled_from("&|"), children).map(
        lambda parts: (
            f"({parts[0][0]}{parts[1]}{parts[2][0]})",
            parts[0][1] and parts[2][1] if parts[1] == "&" else parts[0][1] or parts[2][1],
        )
    )


@given(st.recursive(COMPARISONS, trees, max_leaves=20))
def test_any_combination_means_what_it_says(tree):
    text, passes = tree
    assert parse_filter(text).passes(SAMPLE) is passes


WORDS = st.sampled_from(
    ["vlan", "ipsource", "=", "!", "~", "&", "|", "(", ")", "'", '"', "\\", ",", "5", "null", "[", "]", ":", " "]
)


@given(st.lists(WORDS, max_size=15).map("".join))
def test_any_text_is_parsed_or_refused(text):
    try:
        parsed = parse_filter(text)
    except InvalidDefinition:
        return
    assert parsed.passes(SAMPLE) in (True, False)
