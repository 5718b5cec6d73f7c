"""dissect/notes and recordkeys: every flow record as keys of flows, through the engine."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.dissect import recordkeys
from analytics.core.flows.flowkeys import FIELDS
from analytics.core.wire import structures
from analytics.engine import Engine
from analytics.flows import texts
from tests.analytics.examples.flow_examples import FLOWS
from tests.analytics.examples.senders import NUMBERS, keys_of
from tests.analytics.examples.wire import datagram, discard, flow_sample, opaque, record, words

README = Path(__file__).parents[3] / "analytics/README.md"

EXPECTED: dict[tuple[int, int], str] = {
    (0, 1002): "ipnexthoprouter=10.0.0.254 ipsourcemaskbits=24 ipdestinationmaskbits=16",
    (0, 1003): """bgpnexthop=2001:db8::1 bgpas=65000 bgpsourceas=65001 bgpsourcepeeras=65002
        bgpdestinationas=65011 bgpdestinationpeeras=65002
        bgpdestinationaspath=65002-65003-65010-65011 bgpcommunities=65000:100-0:7 bgplocalpref=100""",
    (0, 1004): "usersource=ä userdestination=bob",
    (0, 1005): """urldirection=destination httpurl=http://x/"y" httphost=x""",
    (0, 1006): "mplsnexthop=10.0.0.9 mplsinputlabels=100-16 mplsoutputlabels=3",
    (0, 1007): "natipsource=192.0.2.1",
    (0, 1008): "mplstunnelname=lsp1 mplstunnelid=5 mplstunnelcos=6",
    (0, 1009): "mplsvcname=vc mplsvcid=5 mplsvccos=6",
    (0, 1010): "mplsftnname=ftn mplsftnmask=32",
    (0, 1011): "mplsfecbits=1",
    (0, 1012): "vlansstripped=100-5",
    (0, 1014): """ssid=wifi bssid=0004DEADBEEF wifiversion=g wifichannel=11 wifispeed=4294967295 wifirsni=4
        wifircpi=5 wifiduration=6""",
    (0, 1015): """ssid=wifi bssid=0004DEADBEEF wifiversion=g wifitransmissions=2 wifiduration=4
        wifiretransduration=5 wifichannel=11 wifispeed=4294967295 wifipower=6""",
    (0, 1018): "fcsourcemaskbits=1 fcdestinationmaskbits=2 fcnexthop=3 fcmetric=4",
    (0, 1019): "queueindex=1 queuelength=2",
    (0, 1020): "natsourceport=1 natdestinationport=2",
    (0, 1021): "outputmacsource=0004DEADBEEF outputmacdestination=000000000002 outputethernetprotocol=3",
    (0, 1022): "inputmacsource=0004DEADBEEF inputmacdestination=000000000002 inputethernetprotocol=3",
    (0, 1023): """outputipprotocol=6 outputipsource=10.0.1.1 outputipdestination=10.0.2.2
        outputudpsourceport=40000 outputudpdestinationport=443 outputiptos=184""",
    (0, 1024): """inputipprotocol=6 inputipsource=10.0.1.1 inputipdestination=10.0.2.2
        inputudpsourceport=40000 inputudpdestinationport=443 inputiptos=184""",
    (0, 1025): """outputip6nexthdr=17 outputip6source=2001:db8::1 outputip6destination=2001:db8::2
        outputudpsourceport=53 outputudpdestinationport=40001 outputip6tos=7""",
    (0, 1026): """inputip6nexthdr=17 inputip6source=2001:db8::1 inputip6destination=2001:db8::2
        inputudpsourceport=53 inputudpdestinationport=40001 inputip6tos=7""",
    (0, 1027): "outputdecapoffset=1",
    (0, 1028): "inputdecapoffset=1",
    (0, 1029): "outputvni=1",
    (0, 1030): "inputvni=1",
    (0, 1031): """ibinputvl=1 ibinputsl=2 ibinputliddestination=3 ibinputlidsource=4 ibinputlnh=5 iboutputvl=6
        iboutputsl=7 iboutputliddestination=8 iboutputlidsource=9 iboutputlnh=10""",
    (0, 1032): "ibflowlabel=1 ibtc=2 ibgidsource=2001:db8::1 ibgiddestination=2001:db8::2 ibnexthdr=3 ibbytes=4",
    (0, 1033): "ibpkey=1 ibqpdestination=2 ibopcode=3",
    (0, 1034): "vlansinput=1",
    (0, 1035): "vlansoutput=2",
    (0, 1036): "queueindex=1",
    (0, 1037): "aclnumber=7 aclname=block-in acldirection=ingress",
    (0, 1038): "function=tcp_v4_rcv",
    (0, 1039): "transitdelay=4294967295",
    (0, 1040): "queuedepth=1",
    (0, 1041): "hwtrapgroup=l2_drops hwtrapname=vlan_tag_mismatch",
    (0, 1042): "linuxdropreason=NO_SOCKET",
    (0, 2000): """requests=1 transactiondirection=client transactionwait=2 duration=3
        transactionstatus=NOT_PERMITTED transactionbytesreceived=4294967295
        transactionbytessent=4294967295""",
    (0, 2001): r"nfspath=\x01\udcab nfsoperation=3 nfsstatus=4",
    (0, 2002): "scsilun=1 scsioperation=2 scsistatus=3",
    (0, 2003): "httpurl=u httphost=h.example httpreferrer=r httpuseragent=curl/8 httpuser=eve httpstatus=404",
    (0, 2100): """socketprotocol=6 socketlocalip=10.0.0.1 socketremoteip=10.0.0.2 socketlocalport=5000
        socketremoteport=80""",
    (0, 2101): """socketprotocol=6 socketlocalip=2001:db8::1 socketremoteip=2001:db8::2 socketlocalport=5000
        socketremoteport=80""",
    (0, 2102): """proxysocketprotocol=6 proxysocketlocalip=10.0.0.1 proxysocketremoteip=10.0.0.2
        proxysocketlocalport=5000 proxysocketremoteport=80""",
    (0, 2103): """proxysocketprotocol=6 proxysocketlocalip=2001:db8::1 proxysocketremoteip=2001:db8::2
        proxysocketlocalport=5000 proxysocketremoteport=80""",
    (0, 2200): """requests=1 memcacheprotocol=ascii memcachecommand=GET memcachekey=user:1 memcachekeys=1
        memcachevaluebytes=200 duration=30 memcachestatus=OK""",
    (0, 2201): """requests=1 httpmethod=GET httpprotocol=1001 httpurl=/a?b httphost=h.example httpreferrer=r
        httpuseragent=curl/8 httpuser=eve httpmimetype=text/html httpbytes=4294967295 duration=20
        httpstatus=200""",
    (0, 2202): """requests=1 appname=shop appoperation=buy appstatustext=fine apprequestbytes=4294967295
        appresponsebytes=6 duration=7 appstatus=UNAUTHORIZED""",
    (0, 2203): "appparentname=web appparentoperation=get",
    (0, 2204): "appinitiator=alice",
    (0, 2205): "apptarget=bob",
    (0, 2206): """requests=1 httpmethod=CONNECT httpprotocol=2000 httpurl=/a?b httphost=h.example
        httpreferrer=r httpuseragent=curl/8 httpxff=::1 httpuser=eve httpmimetype=text/html
        httprequestbytes=4294967295 httpbytes=4294967295 duration=20 httpstatus=-1""",
    (0, 2207): "proxyurl=/p proxyhost=back",
    (0, 2208): """navtype=1 navredirectcount=2 navnavigationstart=3 navunloadstart=4 navunloadend=5
        navredirectstart=6 navredirectend=7 navfetchstart=8 navdnsstart=9 navdnsend=10
        navconnectstart=11 navconnectend=12 navsecurestart=13 navrequeststart=14 navresponsestart=15
        navresponseend=16 navdomloading=17 navdominteractive=18 navdomcontentloadedstart=19
        navdomcontentloadedend=20 navdomcomplete=21 navloadstart=22 navloadend=23""",
    (0, 2209): """tcpdirection=sent tcpsendmss=1 tcpreceivemss=2 tcpunacked=3 tcplost=4 tcpretrans=5
        tcppathmtu=6 tcprtt=7 tcprttvar=8 tcpcwnd=9 tcpreordering=10 tcprttmin=11""",
    (0, 2210): "entitysourceclass=1 entitysourceindex=2 entitydestinationclass=3 entitydestinationindex=4",
    (4413, 1): "queueindex=1",
}  # fmt: skip
"""What the records of flow_examples.py make: `key=text` words."""

NO_KEYS = {
    (0, 1): "the header walk reads it",
    (0, 2): "the decoded fields of a packet: dissect/summary",
    (0, 3): "the same",
    (0, 4): "the same",
    (0, 1001): "core/packet: vlansource and its neighbours",
    (0, 1013): "encrypted",
    (0, 1016): "samples inside of a sample",
    (0, 1017): "deprecated, and of unknown layout",
    (0, 1043): "differs in each sample",
}


def of_tag(tag: tuple[int, int], body: bytes) -> bytes:
    return record(tag[0] << 12 | tag[1], body)


def test_every_record_makes_keys_or_says_why_not():
    assert set(EXPECTED) == set(recordkeys.KEYS)
    assert set(EXPECTED) | set(NO_KEYS) == set(structures.FLOW_RECORDS)


@pytest.mark.parametrize("tag", EXPECTED, ids=lambda tag: f"{tag[0]}:{tag[1]}")
def test_every_key_of_a_record(engine, tag):
    expected = dict(word.split("=", 1) for word in EXPECTED[tag].split())
    for key in recordkeys.RECORD_KEYS[tag]:
        found = keys_of(engine, f"null:{key.key}", of_tag(tag, FLOWS[tag][0]))
        assert found == {expected.get(key.key, "null"): 1}, key.key
        by_function = keys_of(engine, f"concat:+:[null:{key.key}]:[null:ipsource]", of_tag(tag, FLOWS[tag][0]))
        assert by_function == {f"{expected.get(key.key, 'null')}+null": 1}


@pytest.mark.parametrize("tag", EXPECTED, ids=lambda tag: f"{tag[0]}:{tag[1]}")
def test_a_record_that_is_cut_has_the_keys_that_are_there(engine, tag):
    """Cut anywhere: a key is what it was, or absent; and none comes back once it is gone."""
    body = FLOWS[tag][0]
    names = [key.key for key in recordkeys.RECORD_KEYS[tag]][:12]
    keys = ["uripath" if name == "httpurl" else name for name in names]
    wide = [name for name in names if FIELDS[name][3] > 20]
    keys = [name for name in keys if FIELDS[name][3] <= 20] + wide[:1]
    all_of_them = ",".join(f"null:{name}" for name in keys)
    engine.set_flow("cut", {"keys": all_of_them, "value": "frames", "fs": "|", "t": 600})
    whole = next(iter(seen(engine, of_tag(tag, body)))).split("|")
    before = ["null"] * len(keys)
    for end in range(0, len(body) + 1):
        found = next(iter(seen(engine, of_tag(tag, body[:end])))).split("|")
        for was, now, final in zip(before, found, whole, strict=True):
            assert now in ("null", final), end
            assert was in ("null", now), end
        before = found
    assert before == whole


def seen(engine: Engine, body: bytes) -> list[str]:
    """Keys of the flow `cut` that one sample makes, at a time of its own."""
    number = next(NUMBERS)
    now = 1000.0 + number * 20_000  # what was before has decayed to nothing
    engine.tick(now)
    engine.feed([datagram(flow_sample(body, sequence=number), sequence=number)], now)
    return [flow.key for flow in engine.active_flows(["ALL"], "cut", now)]


def url(text: bytes, host: bytes = b"h") -> bytes:
    return record(1005, words(1) + opaque(text) + opaque(host))


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"h" * 64, "h" * 64),
        (b"h" * 65, "h" * 64),
        (b"h" * 5000, "h" * 64),
        ("é".encode() * 32 + b"x", "é" * 32),
        (b"x" + "é".encode() * 32, "x" + "é" * 31),
        ("x€".encode() * 20, "x€" * 16),
        ("\U0001f600".encode() * 17, "\U0001f600" * 16),
        (b"x" * 62 + "\U0001f600".encode(), "x" * 62),
        (b"a\nb\x1b[2J", "a\\nb\\x1b[2J"),
        (b"a\\x0a", "a\\\\x0a"),
        (b"\xff\xc2\x9b\xed\xa0\x80", "\\udcff\\x9b\\udced\\udca0\\udc80"),
        ("\u2028\u202e".encode(), "\\u2028\\u202e"),
        (b"a\0b\0\0", "a\\x00b"),
        (b"\0\0", "null"),
        (b"", "null"),
        (b"\x80" * 100, "\\udc80" * 60),
    ],
)
def test_texts_are_bounded_and_safe(engine, sent, shown):
    assert keys_of(engine, "null:httphost", url(b"u", sent)) == {shown: 1}


def test_a_url_is_kept_longer(engine):
    assert keys_of(engine, "httpurl", url(b"u" * 200)) == {"u" * 128: 1}


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (b"/a/b?c=d", "/a/b"),
        (b"http://h.example/a/b?c#d", "/a/b"),
        (b"https://h.example", "/"),
        (b"/x#y", "/x"),
        (b"*", "*"),
        (b"/go?to=http://x/y", "/go"),
    ],
)
def test_the_path_of_a_url(engine, sent, path):
    assert keys_of(engine, "uripath", url(sent)) == {path: 1}


@given(st.binary(min_size=1, max_size=64), st.binary(min_size=1, max_size=64))
def test_different_bytes_are_different_texts(one, other):
    if one.rstrip(b"\0") != other.rstrip(b"\0"):
        assert texts.text(one) != texts.text(other)
    assert texts.text(one).isprintable()


def test_a_field_without_content_leaves_its_neighbours(engine):
    """An address of the unknown type and an empty text make no key; those beside them are there."""
    nat = record(1007, words(0) + words(1, 0x0A000001))
    assert keys_of(engine, "null:natipsource,natipdestination", nat) == {"null,10.0.0.1": 1}
    user = record(1004, words(3) + opaque(b"") + words(3) + opaque(b"bob"))
    assert keys_of(engine, "null:usersource,userdestination", user) == {"null,bob": 1}
    hop = record(1002, words(0, 24, 16))
    assert keys_of(engine, "null:ipnexthoprouter,ipsourcemaskbits", hop) == {"null,24": 1}


def test_stacks(engine):
    labels = record(1006, words(0) + words(20, *(n << 12 for n in range(20))) + words(0))
    found = keys_of(engine, "mplsinputlabels,null:mplsoutputlabels,null:mplsnexthop", labels)
    assert found == {"-".join(map(str, range(16))) + ",null,null": 1}
    tags = record(1034, words(2, 0x88A8E000, 0x81000FFF))
    assert keys_of(engine, "vlansinput", tags) == {"0-4095": 1}


@pytest.mark.parametrize("count", [3, 0x40000000, 0xFFFFFFFF])
def test_a_stack_whose_count_lies_is_none(engine, count):
    assert keys_of(engine, "null:vlansinput", record(1034, words(count, 1, 2))) == {"null": 1}


@pytest.mark.parametrize("length", [5, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF])
def test_a_text_whose_length_lies_is_none(engine, length):
    lies = record(1037, words(7, length) + b"abcd")
    assert keys_of(engine, "aclnumber,null:aclname,null:acldirection", lies) == {"7,null,null": 1}


def test_numbers_beyond_a_word_are_clipped(engine):
    names = b"".join(map(opaque, (b"shop", b"buy", b"", b"")))
    app = record(2202, names + struct.pack(">QQII", 0xFFFFFFFF, 1 << 32, 7, 99))
    assert keys_of(engine, "apprequestbytes,appresponsebytes,appstatus", app) == {"4294967295,4294967295,99": 1}


def test_values_of_applications(engine):
    example = record(2206, FLOWS[0, 2206][0])
    assert keys_of(engine, "httphost", example, value="rate:duration") == {"h.example": 20}
    engine.set_flow("keys", {"keys": "httphost", "value": "requests", "filter": "httpmethod=CONNECT", "t": 600})
    assert keys_of(engine, "httphost", example, value="requests") == {"h.example": 1}
    assert keys_of(engine, "httphost", url(b"u"), value="requests") == {}


@pytest.mark.parametrize(("tag", "body", "found"), [(1036, words(5), "5,null"), (1019, words(5, 9), "5,9")])
def test_records_that_make_the_same_key(engine, tag, body, found):
    assert keys_of(engine, "queueindex,null:queuelength", record(tag, body)) == {found: 1}


def test_of_two_equal_records_the_last_counts(engine):
    found = keys_of(engine, "tcprtt,tcpsendmss", record(2209, words(*range(12))), record(2209, words(*range(20, 32))))
    assert found == {"27,21": 1}


def test_more_records_than_are_kept(engine):
    unknown = [record(9999, words(1))] * 31
    assert keys_of(engine, "null:queueindex", *unknown, record(1036, words(3))) == {"3": 1}
    assert keys_of(engine, "null:queueindex", *unknown, record(9999, words(1)), record(1036, words(3))) == {"null": 1}


def test_nested_aggregation_is_passed_over(engine):
    """What is inside of 0:1016 are other samples; however deep, this sample's own records count."""
    body = words(0)
    for _ in range(100):
        body = words(1) + words(1) + record(1016, body)
    assert keys_of(engine, "queueindex", record(1016, body), record(1036, words(3))) == {"3": 1}


def test_records_of_a_discard(engine):
    engine.set_flow("why", {"keys": "reason,linuxdropreason,function,hwtrapname", "value": "frames", "dropped": True})
    records = [record(tag, FLOWS[0, tag][0]) for tag in (1042, 1038, 1041)]
    engine.feed([datagram(discard(*records))], 1000)
    [found] = engine.active_flows(["ALL"], "why", 1000)
    assert found.key == "acl,NO_SOCKET,tcp_v4_rcv,vlan_tag_mismatch"


def test_flow_keys_tells_the_keys_of_records(engine):
    keys_of(engine, "", record(2209, FLOWS[0, 2209][0]), url(b"u", b""))
    found = set(engine.flow_keys(1000))
    assert {"tcprtt", "httpurl", "uripath", "urldirection"} <= found
    assert not {"httphost", "queueindex", "bgpas", "rtt"} & found


def test_every_key_is_documented():
    """In the README: by its name, or as `the same with` ip6, sctp or dccp."""
    named = set(re.findall(r"[\w]+", README.read_text(encoding="utf-8")))
    for name in {each.partition(".")[0] for each in FIELDS}:
        assert name in named or re.sub("^ip6", "ip", re.sub("^(sctp|dccp)", "udp", name)) in named, name


def test_every_key_has_bytes_of_its_own():
    taken: set[tuple[int, int]] = set()
    for key in {one.key: one for keys in recordkeys.RECORD_KEYS.values() for one in keys}.values():
        own = {(key.slot, key.offset + byte) for byte in range(key.wire)}
        assert not own & taken, key.key
        taken |= own
