"""functions: every key function, in the engine; tables from files that the tests write; what is off is refused."""

from __future__ import annotations

import hashlib
import struct
import threading
import zlib
from itertools import count

import pytest

from analytics import resolver, topology
from analytics.engine import Engine
from analytics.flows.functions import FUNCTIONS
from analytics.flows.keys import InvalidDefinition
from analytics.geo import GeoDatabase, VendorFile
from analytics.lookups import Sources
from tests.analytics.examples.mmdb import database
from tests.analytics.examples.wire import (
    counter_sample,
    datagram,
    ethernet,
    flow_sample,
    ipv4,
    ipv6,
    opaque,
    record,
    sampled_header,
    tcp,
    words,
)
from tests.patience import PATIENCE_S

NUMBERS = count(1)
COUNTRIES = {
    "8.8.8.0/24": {"country": {"iso_code": "US", "names": {"en": "United States"}}, "continent": {"code": "NA"}},
    "192.0.2.0/24": {"registered_country": {"iso_code": "NZ", "names": {"en": "New Zealand"}}},
    "2001:db8::/32": {"country": {"iso_code": "DE", "names": {"en": "Germany"}}, "continent": {"code": "EU"}},
}
SYSTEMS = {
    "8.8.8.0/24": {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"},
    "192.0.2.0/24": {"autonomous_system_number": 64500},
}
OUI_CSV = """Registry,Assignment,Organization Name,Organization Address
MA-L,00000C,"Cisco Systems, Inc",170 West Tasman Drive
MA-L,000000,XEROX CORPORATION,M/S 105-50C
"""
OUI_TXT = """OUI/MA-L                                                    Organization
company_id                                                  Organization

00-00-0C   (hex)\t\tCisco Systems, Inc
00000C     (base 16)\t\tCisco Systems, Inc
\t\t\t\t170 WEST TASMAN DRIVE

00-00-00   (hex)\t\tXEROX CORPORATION
"""


class Names:
    """A resolver that knows one name at once."""

    def reverse_name(self, address: str) -> str | None:
        return {"8.8.8.8": "dns.google"}.get(address)

    def has_news(self) -> bool:
        return False


@pytest.fixture
def known(tmp_path):
    """An engine with all tables."""
    (tmp_path / "country.mmdb").write_bytes(database(COUNTRIES))
    (tmp_path / "asn.mmdb").write_bytes(database(SYSTEMS))
    (tmp_path / "oui.csv").write_text(OUI_CSV)
    sources = Sources(
        GeoDatabase(str(tmp_path / "country.mmdb")),
        GeoDatabase(str(tmp_path / "asn.mmdb")),
        VendorFile(str(tmp_path / "oui.csv")),
        Names(),
    )
    made = Engine(sources=sources)
    made.set_topology(
        topology.parse({"nodes": {"leaf1": {"agent": "10.9.0.1", "ports": {"swp5": {"ifindex": "5"}}}}, "links": {}})
    )
    made.set_group("site", {"lab": ["8.0.0.0/8"]})
    made.set_map("port", {"high": ["40000"]})
    yield made
    made.close()


def feed(engine, now: float, *samples: bytes) -> None:
    engine.feed([datagram(*samples, agent="10.9.0.1", sequence=next(NUMBERS))], now)


def packet(frame: bytes, *records: bytes) -> bytes:
    return flow_sample(sampled_header(frame, frame_length=100), *records, rate=1, sequence=next(NUMBERS))


FOUR = ethernet(ipv4(tcp(40000, 443, flags=0x12), 6, "8.8.8.8", "192.0.2.1"))
SIX = ethernet(ipv6(tcp(), 6, "2001:db8::8", "2001:db8::9"), 0x86DD)
URL = record(1005, words(1) + opaque(b"http://me@h.example:81/a/b/c?q=1#f") + opaque(b"h.example"))


def keys(engine, key: str, *samples: bytes, now: float = 100.0) -> set[str]:
    engine.set_flow("f", {"keys": key, "value": "frames"})
    feed(engine, now, *samples)
    return {flow.key for flow in engine.active_flows(["ALL"], "f", now)}


CASES = [
    ("or:ip6source:ipsource", "8.8.8.8"),
    ("null:ip6source", "null"),
    ("null:ip6source:none", "none"),
    ("if:ipprotocol:6:ipsource:ipdestination", "8.8.8.8"),
    ("if:macsource:00\\:00\\:00\\:00\\:00\\:01:ipsource:ipdestination", "8.8.8.8"),
    ("eq:tcpsourceport:tcpdestinationport", "false"),
    ("range:bytes:64:100", "true"),
    ("range:bytes:101", "false"),
    ("bits:tcpsourceport:4:8", "196"),  # 40000 = 0x9C40: 0xC4
    ("bits:tcpsourceport:15", "1"),
    ("prefix:stack:.:2", "eth.ip"),
    ("suffix:stack:.:1", "tcp"),
    ("first:stack:.:ip:ip6", "ip"),
    ("mask:ipsource:16", "8.8.0.0"),
    ("mask:ipsource:33", None),
    ("concat:\\::ipsource:tcpsourceport", "8.8.8.8:40000"),
    ("uri:httpurl:scheme", "http"),
    ("uri:httpurl:authority", "me@h.example:81"),
    ("uri:httpurl:userinfo", "me"),
    ("uri:httpurl:host", "h.example"),
    ("uri:httpurl:port", "81"),
    ("uri:httpurl:path", "/a/b/c"),
    ("uri:httpurl:query", "q=1"),
    ("uri:httpurl:fragment", "f"),
    ("prefix:[uri:httpurl:path]:/:2", "/a"),
    ("oid:macsource", "0.0.0.0.0.1"),
    ("oid:ipsource", "8.8.8.8"),
    ("oid:stack", "10.101.116.104.46.105.112.46.116.99.112"),
    ("oid:tcpsourceport", "40000"),
    ("md5:ipsource", hashlib.md5(b"8.8.8.8").hexdigest()),
    ("digest:ipsource", hashlib.sha256(b"8.8.8.8").hexdigest()),
    ("digest:ipsource:sha1", hashlib.sha1(b"8.8.8.8").hexdigest()),
    ("hash:ipsource", str(zlib.crc32(b"8.8.8.8"))),
    ("hash:ipsource:16", str(zlib.crc32(b"8.8.8.8") % 16)),
    ("null:[link:inputifindex]:edge", "edge"),
    ("node:inputifindex", "leaf1"),
    ("node:outputifindex", None),
    ("ifname:inputifindex", "swp5"),
    ("group:ipsource:none:site", "lab"),
    ("map:tcpsourceport:port", "high"),
    ("country:ipsource", "US"),
    ("country:ipsource:name", "United States"),
    ("country:ipsource:continent", "NA"),
    ("country:ipdestination", "NZ"),
    ("country:ipdestination:continent", None),
    ("asn:ipsource", "15169"),
    ("asn:ipsource:descr", "GOOGLE"),
    ("asn:ipsource:both", "15169 GOOGLE"),
    ("asn:ipdestination:descr", None),
    ("oui:macsource", "XEROX CORPORATION"),
    ("oui:macsource:number", "000000"),
    ("dns:ipsource", "dns.google"),
    ("dns:ipdestination", None),
    ("null:[host:macsource:host_name]", "null"),
]


@pytest.mark.parametrize(("key", "text"), CASES)
def test_keys_of_a_packet(known, key, text):
    assert keys(known, key, packet(FOUR, URL)) == ({text} if text is not None else set())


def test_every_function_is_tested_here():
    assert {name for key, _ in CASES for name in FUNCTIONS if f"{name}:" in key} == set(FUNCTIONS)


def test_nested_functions_of_both_families(known):
    key = "if:[first:stack:.:ip:ip6]:ip:[country:ipsource]:[country:ip6source]"
    assert keys(known, key, packet(FOUR), packet(SIX)) == {"US", "DE"}


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("country:ipsource", "geo_country"),
        ("asn:ipsource", "geo_asn"),
        ("oui:macsource", "oui names no file"),
        ("dns:ipsource", "dns is off"),
    ],
)
def test_what_is_not_configured_is_refused_with_its_word(engine, key, word):
    with pytest.raises(InvalidDefinition) as error:
        engine.set_flow("f", {"keys": "ipsource", "value": "bytes", "filter": f"[{key}]!=null"})
    assert key.split(":")[0] in str(error.value)
    assert word in str(error.value)
    engine.set_flow("f", {"keys": "oui:macsource:number", "value": "bytes"})  # needs no file


def test_vendors_from_the_older_file(tmp_path):
    (tmp_path / "oui.txt").write_text(OUI_TXT)
    vendors = VendorFile(str(tmp_path / "oui.txt"))
    assert [vendors.vendor(mac) for mac in ("00000C123456", "000000000001", "FFFFFF000000")] == [
        "Cisco Systems, Inc",
        "XEROX CORPORATION",
        None,
    ]


@pytest.mark.parametrize("make", [GeoDatabase, VendorFile])
def test_files_that_are_something_else_are_refused(tmp_path, make):
    (tmp_path / "noise").write_bytes(b"noise" * 100)
    with pytest.raises(ValueError, match="noise"):
        make(str(tmp_path / "noise"))
    with pytest.raises((OSError, ValueError), match="missing"):
        make(str(tmp_path / "missing"))


def host(name: str, mac: str) -> bytes:
    """Records 0:2000 and 0:2001 of a host with one adapter."""
    described = opaque(name.encode()) + bytes(16) + words(3, 2) + opaque(b"6.1")
    adapters = words(1, 1, 1) + bytes.fromhex(mac) + bytes(2)
    return counter_sample(record(2000, described), record(2001, adapters), source=(2, 1), sequence=next(NUMBERS))


def test_a_host_is_known_by_its_adapters(engine):
    key = "null:[host:macsource:host_name]"
    assert keys(engine, key, packet(FOUR)) == {"null"}
    feed(engine, 101.0, host("h1", "000000000001"))
    engine.tick(102.0)
    feed(engine, 103.0, packet(FOUR))
    assert {flow.key for flow in engine.active_flows(["ALL"], "f", 103.0)} == {"null", "h1"}


def test_a_port_has_the_name_that_its_agent_says(engine):
    engine.set_topology(
        topology.parse({"nodes": {"leaf1": {"agent": "10.9.0.1", "ports": {"swp5": {"ifindex": "5"}}}}, "links": {}})
    )
    feed(engine, 1.0, counter_sample(record(1005, opaque(b"Ethernet5")), sequence=next(NUMBERS)))
    assert keys(engine, "ifname:inputifindex", packet(FOUR), now=2.0) == {"Ethernet5"}


def test_a_resolver_answers_at_once_and_knows_more_later(monkeypatch, eventually):
    asked, release = [], threading.Event()

    def look_up(address: str) -> str | None:
        asked.append(address)
        if address != "127.0.0.1":
            release.wait(PATIENCE_S)
        return "h.example" if address == "192.0.2.7" else None

    monkeypatch.setattr(resolver, "look_up", look_up)
    names = resolver.Resolver()
    engine = Engine(sources=Sources(names=names))
    try:
        names.start()
        assert keys(engine, "null:[dns:ipdestination]", packet(ethernet(ipv4(tcp(), 6, dst="192.0.2.7")))) == {"null"}
        engine.tick(101.0)
        release.set()
        eventually(lambda: names.reverse_name("192.0.2.7") == "h.example")
        engine.tick(102.0)
        feed(engine, 102.0, packet(ethernet(ipv4(tcp(), 6, dst="192.0.2.7"))))
        assert "h.example" in {flow.key for flow in engine.active_flows(["ALL"], "f", 102.0)}
        assert asked.count("192.0.2.7") == 1
    finally:
        release.set()
        names.stop()
        engine.close()


def test_functions_run_once_per_new_raw_key(known, monkeypatch):
    asked = []
    monkeypatch.setattr(Names, "reverse_name", lambda self, address: asked.append(address) or "n")
    known.set_flow("f", {"keys": "dns:ipsource", "value": "bytes"})
    for _ in range(50):
        feed(known, 1.0, packet(FOUR), packet(FOUR))
    assert asked == ["8.8.8.8"]


def test_offsets_of_tunnels_count_by_depth(engine):
    inner = ethernet(ipv4(tcp(), 6))
    vxlan = struct.pack(">HHHH", 1, 4789, 16 + len(inner), 0) + struct.pack(">II", 0x08000000, 7 << 8) + inner
    frame = ethernet(ipv4(vxlan, 17))
    assert keys(engine, "ip_offset,ip_offset.1,tcp_offset,vni", packet(frame)) == {"14,64,84,7"}
