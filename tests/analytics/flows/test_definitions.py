"""definitions: what is filled in, what is refused, what is carried and what is computed."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from analytics.flows.definitions import FlowDefinition, compile_flow
from analytics.flows.keys import InvalidDefinition

TUPLE = "ipsource,ipdestination,ipprotocol,or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport"
FILTER = "direction=ingress&(ipprotocol=6|ipprotocol=17)"


def test_defaults_are_filled_in():
    assert compile_flow("f", {"value": "bytes"}).definition == FlowDefinition(
        "f",
        "bytes",
        keys="",
        filter=None,
        n=5,
        t=2,
        fs=",",
        log=False,
        flow_start=False,
        active_timeout=60,
        dropped=False,
    )
    empty = {"value": "bytes", "keys": None, "filter": None, "fs": "", "n": None, "aggMode": None, "values": None}
    assert compile_flow("f", empty).definition == FlowDefinition("f", "bytes")


def test_what_was_given_is_kept():
    spec = {"keys": ["ipsource", "null:vlan"], "value": "frames", "filter": "vlan!=null", "fs": "_SEP_", "log": True}
    kept = compile_flow("f", spec).definition
    assert kept.keys == "ipsource,null:vlan"
    assert (kept.filter, kept.fs, kept.log, kept.value) == ("vlan!=null", "_SEP_", True, "frames")


@pytest.mark.parametrize(("given", "n"), [(1, 5), (5, 5), (10, 10), (1000, 20), (7.9, 7)])
def test_n_is_clamped(given, n):
    assert compile_flow("f", {"value": "bytes", "n": given}).n == n


@pytest.mark.parametrize(("given", "t"), [(0.1, 0.2), (0, 0.2), (3.5, 3.5), (1e9, 600)])
def test_t_is_clamped(given, t):
    assert compile_flow("f", {"value": "bytes", "t": given}).t == t


def test_plain_keys_are_carried_and_filters_computed():
    program = compile_flow("howdah_flow", {"keys": TUPLE, "value": "bytes", "filter": FILTER})
    assert program.computed == ("direction", "ipprotocol")
    assert program.carried == (
        (("ipsource",), False),
        (("ipdestination",), False),
        (("ipprotocol",), False),
        (("tcpsourceport", "udpsourceport"), False),
        (("tcpdestinationport", "udpdestinationport"), False),
    )
    assert not program.by_agent


@pytest.mark.parametrize(
    ("key", "carried", "computed"),
    [
        ("or:ipsource:ip6source", ((("ipsource", "ip6source"), True),), ()),
        ("or:vlan:ipsource", (), ("vlan", "ipsource")),  # "5" could be either's text: one entry for both
        ("isbroadcast", (), ("isbroadcast",)),  # many addresses, one text
        ("inputifindex", (), ("inputifindex",)),  # many drop reasons, one "discard"
        ("null:vlan", (), ("vlan",)),
        ("stack", ((("stack",), False),), ()),
        ("agent", (), ()),
    ],
)
def test_what_is_carried(key, carried, computed):
    program = compile_flow("f", {"keys": key, "value": "bytes"})
    assert (program.carried, program.computed) == (carried, computed)
    assert program.by_agent is (key == "agent")


@pytest.mark.parametrize(
    ("name", "spec", "word"),
    [
        ("f", {}, "'value' is missing"),
        ("f", {"value": ""}, "'value' is missing"),
        ("f", {"value": "octets"}, "unknown value 'octets'"),
        ("f", {"value": "ipsource"}, "value 'ipsource' is not a number"),
        ("f", {"value": "mean:bytes"}, "value prefix 'mean'"),
        ("f", {"value": "bytes", "key": "ipsource"}, "unknown attribute 'key'"),
        ("f", {"value": "bytes", "keys": "ipsource,,vlan"}, "unknown key ''"),
        ("f", {"value": "bytes", "keys": "ipsource,ipdst"}, "'ipdst'"),
        ("f", {"value": "bytes", "keys": 5}, "'keys' is not text: 5"),
        ("f", {"value": "bytes", "keys": ["vlan", 5]}, "'keys' is not text"),
        ("f", {"value": "bytes", "filter": "vlan"}, "missing operator"),
        ("f", {"value": "bytes", "n": "many"}, "'n' is not a number: 'many'"),
        ("f", {"value": "bytes", "t": float("nan")}, "'t' is not a number"),
        ("f", {"value": "bytes", "n": True}, "'n' is not a number"),
        ("f", {"value": "bytes", "keys": ",".join(["stack"] * 140)}, "too many keys"),
        ("f", {"value": "bytes", "keys": ",".join(["ip6source", "ip6destination"] * 32)}, "too many keys"),
        ("f", ["value"], "a definition is a JSON object"),
        ("a/b", {"value": "bytes"}, "character '/'"),
        ("a.b", {"value": "bytes"}, "character '.'"),
        ("", {"value": "bytes"}, "is empty"),
    ],
)
def test_wrong_definitions_are_named(name, spec, word):
    with pytest.raises(InvalidDefinition) as error:
        compile_flow(name, spec)
    assert word in str(error.value)


def test_rate_prefix_is_the_default():
    assert compile_flow("f", {"value": "rate:bytes"}).value == "bytes"


def test_texts_of_no_live_entry_are_forgotten():
    program = compile_flow("f", {"keys": "null:vlan", "value": "bytes"})
    word = bytes(4)

    def compute(vlan: int) -> int:
        raw = (1).to_bytes(4, sys.byteorder) + vlan.to_bytes(4, sys.byteorder)
        return program.compute(raw, "10.0.0.1", SimpleNamespace(link=lambda agent, port: None))

    one, two = compute(1), compute(2)
    assert (one, compute(1)) == (1, 1)
    program.forget([one, 77])
    assert (program.text(one, word), program.text(two, word)) == (None, "2")
    assert compute(1) not in (one, two)
    assert compute(2) == two


def test_computed_keys_beyond_the_memory_for_texts_are_refused_until_others_go():
    program = compile_flow("f", {"keys": "null:vlan", "value": "bytes"})

    def compute(vlan: int) -> int | None:
        raw = (1).to_bytes(4, sys.byteorder) + vlan.to_bytes(4, sys.byteorder)
        return program.compute(raw, "10.0.0.1", SimpleNamespace(link=lambda agent, port: None))

    program.most_text_bytes = 1000
    found = [compute(vlan) for vlan in range(4)]
    assert found == [1, 2, 3, None]
    program.forget([1, 2, 3])
    assert program.text_bytes == 0
    assert compute(9) == 4


def test_key_ids_begin_again_after_the_last_one():
    program = compile_flow("f", {"keys": "null:vlan", "value": "bytes"})

    def compute(vlan: int) -> int | None:
        raw = (1).to_bytes(4, sys.byteorder) + vlan.to_bytes(4, sys.byteorder)
        return program.compute(raw, "10.0.0.1", SimpleNamespace(link=lambda agent, port: None))

    assert compute(1) == 1
    program.last_key_id = (1 << 32) - 1
    assert compute(2) == 2
