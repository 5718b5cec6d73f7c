"""The flow definitions that sFlow-RT's apps, articles and examples use (sflow-rt-api.md 5 to 8, 11): accepted as they
are, and counted right where a packet here fits them.

What a sample counts for is worked out by hand: each is 1000 bytes at 1-in-10, with t = 1 that reads as 10,000 bytes/s.
"""

from __future__ import annotations

from itertools import count

import pytest

from analytics import topology
from tests.analytics.examples.wire import datagram, ethernet, flow_sample, ipv4, ipv6, sampled_header, tcp, udp

NUMBERS = count(1)
TUPLE4 = "ipsource,ipdestination,ipprotocol"
PORTS = "or:tcpsourceport:udpsourceport:icmptype,or:tcpdestinationport:udpdestinationport:icmpcode"
UNDERLAY = "first:stack:.:ip:ip6=ip"
UNDERLAY6 = "first:stack:.:ip:ip6=ip6"


def ddos(third: str, extra: str = "", six: bool = False) -> dict[str, object]:
    """A flow of ddos-protect: target, its group, and what makes the attack."""
    source, target = ("ip6source", "ip6destination") if six else ("ipsource", "ipdestination")
    base = f"{UNDERLAY6 if six else UNDERLAY}&group:{source}:ddos_protect=external"
    base += f"&group:{target}:ddos_protect!=external,private,multicast,exclude"
    return {
        "keys": f"{target},group:{target}:ddos_protect,{third}",
        "value": "frames",
        "values": f"count:{source},avg:{'ip6bytes' if six else 'ipbytes'}",
        "filter": base + (f"&{extra}" if extra else ""),
        "aggMode": "AGENT",
        "n": 5,
        "t": 2,
    }


FRAGMENT = "(ipflags=001|range:ipfragoffset:1=true)"
FRAGMENT6 = "(ip6fragm=yes|range:ip6fragoffset:1=true)"
SYN_ACK = "tcpflags~....1..1."
PUBLISHED: dict[str, dict[str, object]] = {
    # fabric-view, fabric-metrics
    "fv-bytes": {"value": "bytes", "t": 1, "fs": "_SEP_"},
    "fv-flow": {
        "keys": f"{TUPLE4},{PORTS}",
        "value": "bytes",
        "filter": f"direction=ingress&link:inputifindex=null&{UNDERLAY}",
        "n": "10",
        "t": "2",
        "fs": "_SEP_",
    },
    "fv-stack": {"keys": "stack", "value": "bytes", "n": 10, "filter": "link:inputifindex=null"},
    "fv-src": {"keys": "or:ipsource:ip6source", "value": "bytes", "n": 10},
    "fv-dst": {"keys": "or:ipdestination:ip6destination", "value": "bytes", "n": 10},
    "fv-pair": {"keys": "ipsource,ipdestination", "value": "bytes", "n": 10, "fs": "_SEP_"},
    "fv-grp": {"keys": "group:ipsource:fv,group:ipdestination:fv", "value": "bytes", "filter": "direction=ingress"},
    "fv-tcp": {"keys": "ipsource,ipdestination,tcpsourceport,tcpdestinationport", "value": "bytes", "n": 20},
    "fv-udp": {"keys": "ipsource,ipdestination,udpsourceport,udpdestinationport", "value": "bytes", "n": 20},
    # mininet-dashboard
    "mn_bytes": {"value": "bytes"},
    "mn_flow": {"keys": f"{TUPLE4},{PORTS}", "value": "bytes", "t": 2},
    # ddos-protect, 7 attacks of both families
    "ddos_protect_ip_flood": ddos("ipprotocol"),
    "ddos_protect_ip_fragmentation": ddos("ipprotocol", FRAGMENT),
    "ddos_protect_icmp_flood": ddos("icmptype", "ipprotocol=1"),
    "ddos_protect_udp_flood": ddos("udpdestinationport", "ipprotocol=17"),
    "ddos_protect_udp_amplification": ddos("udpsourceport", "ipprotocol=17"),
    "ddos_protect_tcp_flood": ddos("tcpdestinationport", "ipprotocol=6"),
    "ddos_protect_tcp_amplification": ddos("tcpsourceport", f"ipprotocol=6&{SYN_ACK}"),
    "ddos_protect_ip6_flood": ddos("ip6nexthdr", six=True),
    "ddos_protect_ip6_fragmentation": ddos("ip6nexthdr", FRAGMENT6, six=True),
    "ddos_protect_icmp6_flood": ddos("icmp6type", "ip6nexthdr=58", six=True),
    "ddos_protect_udp6_flood": ddos("udpdestinationport", "ip6nexthdr=17", six=True),
    "ddos_protect_udp6_amplification": ddos("udpsourceport", "ip6nexthdr=17", six=True),
    "ddos_protect_tcp6_flood": ddos("tcpdestinationport", "ip6nexthdr=6", six=True),
    "ddos_protect_tcp6_amplification": ddos("tcpsourceport", f"ip6nexthdr=6&{SYN_ACK}", six=True),
    # older scripts against floods
    "attack": {
        "keys": "ipsource",
        "value": "frames",
        "filter": "outputifindex!=discard&direction=ingress&group:ipsource:fv=lab",
    },
    "ping": {"keys": "inputifindex,ipsource", "value": "frames", "filter": "icmptype=8"},
    # browse-flows, browse-drops, topflows, large flows
    "browse": {
        "keys": ["ipsource", "null:vlan"],
        "value": "bytes",
        "filter": "'ipprotocol'='6'",
        "fs": "_SEP_",
        "t": 2,
    },
    "browse-agent": {"keys": "ipsource", "value": "frames", "aggMode": "AGENT", "n": "10", "fs": "_SEP_"},
    "drops": {"keys": "reason,or:ipsource:ip6source", "value": "frames", "dropped": True, "fs": "_SEP_"},
    "flows": {"keys": "ipsource,ipdestination,stack", "value": "bytes"},
    "pair": {"keys": "ipsource,ipdestination", "value": "bytes", "filter": "outputifindex!=discard&direction=ingress"},
    "detail": {
        "keys": "ipsource,ipdestination,tcpsourceport,tcpdestinationport",
        "value": "bytes",
        "n": 10,
        "t": 2,
        "filter": "outputifindex!=discard&direction=ingress",
    },
    "elephant": {"keys": "link:inputifindex,ipsource,ipdestination", "value": "bytes"},
    "mark": {
        "keys": "ipsource,ipdestination,tcpsourceport,tcpdestinationport",
        "value": "bytes",
        "filter": "direction=ingress",
        "t": "0.2",
    },
    # ixp-metrics
    "ixp_bytes": {
        "keys": "map:macsource:ixp_member,map:macdestination:ixp_member,ethernetprotocol",
        "value": "bytes",
        "n": 10,
        "t": 15,
        "fs": "_SEP_",
        "filter": "map:macsource:ixp_member!=null",
    },
    "ixp_new": {"keys": "macsource,oui:macsource:number", "value": "frames", "filter": "map:macsource:ixp_member=null"},
    # ai-metrics
    "ai_bytes": {"value": "bytes", "filter": "ibbtopcode!=null", "aggMode": "edge", "t": 0.1},
    "ai_ops": {"keys": "ibbtoptransport,ibbtopname", "value": "frames", "aggMode": "edge", "n": 20, "t": 1},
    "ai_credit": {"value": "min:ibbtaethack", "filter": "ibbtaethack!=null", "t": 1},
    # trace-flow, active-routes, world-map, articles
    "trace": {"keys": "inputifindex,outputifindex", "value": "bytes", "t": 10},
    "routes": {"keys": "bgpdestinationaspath,ipnexthoprouter", "value": "bytes", "n": 20},
    "delay": {"keys": "ipsource,ipdestination", "value": "max:transitdelay", "values": "avg:queuedepth"},
    "dns": {"keys": "suffix:dnsqname:.:2,dnsqtypename", "value": "frames", "filter": "dnsqr=false"},
    "vxlan": {"keys": "vni,ipsource.1,ipdestination.1,null:macsource.1", "value": "bytes"},
    "web": {
        "keys": "prefix:[uri:httpurl:path]:/:2,or:httphost:httpmethod",
        "value": "requests",
        "values": "avg:duration",
    },
    "missed": {"keys": "memcachekey", "value": "requests", "filter": "memcachestatus=NOT_FOUND"},
    "window": {"keys": "ipsource,tcpwindow,ip_offset", "value": "frames", "values": "avg:tcpcwndsnd"},
    "udp": {"keys": "udp_offset,concat:\\::ipsource:udpsourceport", "value": "frames"},
    "multi": {"keys": "isbroadcast,ismulticast,isunicast", "value": "frames", "log": False, "ipfixCollectors": []},
}

HOST, UPLINK = 1, 2
FABRIC = {
    "nodes": {
        "leaf1": {"agent": "10.9.0.1", "ports": {"up": {"ifindex": "2"}}},
        "spine1": {"agent": "10.9.0.2", "ports": {"down": {"ifindex": "7"}}},
    },
    "links": {"L1": {"node1": "leaf1", "port1": "up", "node2": "spine1", "port2": "down"}},
}
GROUPS = {
    "fv": {"lab": ["10.0.0.0/8"], "web": ["192.0.2.0/24"]},
    "ddos_protect": {
        "external": ["0.0.0.0/0", "::/0"],
        "private": ["10.0.0.0/8", "fc00::/7"],
        "multicast": ["224.0.0.0/4", "ff00::/8"],
        "customer": ["192.0.2.0/24", "2001:db8:7::/48"],
    },
}
MEMBERS = {"AS65001": ["00:00:00:00:00:01"], "AS65002": ["00-00-00-00-00-02"]}


@pytest.fixture
def fabric(engine):
    """An engine that knows the topology, groups and members."""
    engine.set_topology(topology.parse(FABRIC))
    for name, spec in GROUPS.items():
        engine.set_group(name, spec)
    engine.set_map("ixp_member", MEMBERS)
    return engine


def feed(engine, *frames: bytes, port: int = HOST) -> None:
    samples = [
        flow_sample(
            sampled_header(frame, frame_length=1000),
            rate=10,
            source=(0, port),
            ports=(port, UPLINK if port == HOST else HOST),
            sequence=next(NUMBERS),
        )
        for frame in frames
    ]
    engine.feed([datagram(*samples, agent="10.9.0.1", sequence=next(NUMBERS))], 100.0)


def test_there_are_as_many_as_apps_use():
    assert len(PUBLISHED) >= 46


@pytest.mark.parametrize("name", PUBLISHED)
def test_accepted_as_published(fabric, name):
    fabric.set_flow(name, PUBLISHED[name])
    assert fabric.flow(name).value == PUBLISHED[name]["value"]


SCAN = ethernet(ipv4(tcp(443, 5001, flags=0x12), 6, "198.51.100.1", "192.0.2.9"))
QUERY = ethernet(ipv4(udp(53, 4000), 17, "198.51.100.2", "192.0.2.9"))
LOCAL = ethernet(ipv4(tcp(40000, 80), 6, "10.0.0.1", "10.0.0.2"))
SIX = ethernet(ipv6(udp(53, 4000), 17, "2001:db8:8::1", "2001:db8:7::9"), 0x86DD)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("fv-bytes", {"": 40_000}),
        ("fv-flow", {"198.51.100.1_SEP_192.0.2.9_SEP_6_SEP_443_SEP_5001": 10_000,
                     "198.51.100.2_SEP_192.0.2.9_SEP_17_SEP_53_SEP_4000": 10_000,
                     "10.0.0.1_SEP_10.0.0.2_SEP_6_SEP_40000_SEP_80": 10_000}),
        ("fv-stack", {"eth.ip.tcp": 20_000, "eth.ip.udp": 10_000, "eth.ip6.udp": 10_000}),
        ("fv-src", {"198.51.100.1": 10_000, "198.51.100.2": 10_000, "10.0.0.1": 10_000, "2001:db8:8::1": 10_000}),
        ("fv-grp", {"lab,lab": 10_000}),
        ("fv-udp", {"198.51.100.2,192.0.2.9,53,4000": 10_000, }),
        ("ddos_protect_ip_flood", {"192.0.2.9,customer,6": 10, "192.0.2.9,customer,17": 10}),
        ("ddos_protect_ip_fragmentation", {}),
        ("ddos_protect_udp_amplification", {"192.0.2.9,customer,53": 10}),
        ("ddos_protect_tcp_amplification", {"192.0.2.9,customer,443": 10}),
        ("ddos_protect_udp6_flood", {"2001:db8:7::9,customer,4000": 10}),
        ("attack", {"10.0.0.1": 10}),
        ("browse", {"198.51.100.1_SEP_null": 10_000, "10.0.0.1_SEP_null": 10_000}),
        ("elephant", {}),  # at an edge port
        ("ixp_bytes", {"AS65001_SEP_AS65002_SEP_2048": 30_000, "AS65001_SEP_AS65002_SEP_34525": 10_000}),
        ("ixp_new", {}),
        ("trace", {"1,2": 40_000}),
        ("window", {"198.51.100.1,65535,14": 10, "10.0.0.1,65535,14": 10}),
        ("udp", {"34,198.51.100.2:53": 10}),
        ("multi", {"false,false,true": 40}),
    ],
)  # fmt: skip
def test_counted_as_published(fabric, name, keys):
    fabric.set_flow(name, PUBLISHED[name] | {"t": 1})
    feed(fabric, SCAN, QUERY, LOCAL, SIX)
    assert {flow.key: flow.value for flow in fabric.active_flows(["ALL"], name, 100.0)} == keys


def test_an_elephant_on_a_link_has_the_links_name(fabric):
    fabric.set_flow("elephant", PUBLISHED["elephant"] | {"t": 1})
    feed(fabric, LOCAL, port=UPLINK)
    assert [flow.key for flow in fabric.active_flows(["ALL"], "elephant", 100.0)] == ["L1,10.0.0.1,10.0.0.2"]


def test_a_flood_has_its_number_of_sources_and_packet_size(fabric):
    fabric.set_flow("flood", PUBLISHED["ddos_protect_udp_flood"])
    fabric.set_threshold("flood", {"metric": "flood", "value": "500", "byFlow": True, "timeout": "60"})
    for attacker in range(200):
        source = f"198.51.{100 + attacker // 100}.{attacker % 100}"
        feed(fabric, ethernet(ipv4(udp(53, 4000, bytes(472)), 17, source, "192.0.2.9")))
    [flow] = fabric.active_flows(["ALL"], "flood", 100.0)
    assert (flow.key, flow.value) == ("192.0.2.9,customer,4000", 200 * 10 / 2)
    assert flow.values == (pytest.approx(200, rel=0.45), 500.0)
    [event] = fabric.events(None, 10)
    assert (event.agent, event.key, event.values[1]) == ("10.9.0.1", "192.0.2.9,customer,4000", 500.0)
