"""Packets built by hand for each header of the walk: tunnels in UDP, messages, and what was added to them.

Used by test_walk.py and test_cuts.py: name -> (sampled_header protocol, packet, stack, fields that must be there).
"""

from __future__ import annotations

import struct

from tests.analytics.examples.link_headers import (
    BRIDGED,
    CLIENT,
    DEEP,
    DEEP6,
    FRAME,
    INNER,
    POINT,
    SERVER,
    SNAP,
    TCP,
    TCP6,
    VNI,
    Crafted,
    dns,
    label,
    nsh,
    over_udp,
    vxlan,
    wifi,
)
from tests.analytics.examples.wire import ethernet, ipv4, ipv6, udp


def swapped(frame: bytes) -> bytes:
    """A frame of 802.11 with the two bytes of its frame control the wrong way round."""
    return bytes((frame[1], frame[0])) + frame[2:]


UDP_HEADERS: dict[str, Crafted] = {
    "VXLAN": (1, over_udp(4789, vxlan(5001) + FRAME), "eth.ip.udp.vxlan.eth.ip.tcp", BRIDGED | VNI),
    "VXLAN, old port": (1, over_udp(8472, vxlan(1) + FRAME), "eth.ip.udp.vxlan.eth.ip.tcp", BRIDGED | {"vni": "1"}),
    "VXLAN in VXLAN": (
        1,
        over_udp(4789, vxlan(1) + over_udp(4789, vxlan(2) + FRAME)),
        "eth.ip.udp.vxlan.eth.ip.udp.vxlan.eth.ip.tcp",
        INNER | {"vni": "1", "vni.1": "2", "vxlanvni.1": "2", "ipsource.2": "192.168.0.1", "udpsourceport.1": "50000"},
    ),
    "VXLAN-GPE with IPv6": (
        1,
        over_udp(4790, vxlan(7, 0x0C, 2) + TCP6),
        "eth.ip.udp.gpe.ip6.tcp",
        DEEP6 | {"vni": "7", "vxlanvni": "7"},
    ),
    "VXLAN-GPE with NSH": (
        1,
        over_udp(4790, vxlan(7, 0x0C, 4) + nsh(3) + FRAME),
        "eth.ip.udp.gpe.nsh.eth.ip.tcp",
        BRIDGED | {"nshpath": "77", "nshindex": "254"},
    ),
    "NSH": (1, ethernet(nsh(1, 0) + TCP, 0x894F), "eth.nsh.ip.tcp", INNER | {"nshpath": "77"}),
    "Geneve": (
        1,
        over_udp(6081, struct.pack(">BBHI", 0, 0, 0x6558, 5001 << 8) + FRAME),
        "eth.ip.udp.geneve.eth.ip.tcp",
        BRIDGED | {"vni": "5001", "genevevni": "5001", "geneveprotocol": "25944", "geneveoptionwords": "0"},
    ),
    "Geneve with options": (
        1,
        over_udp(6081, struct.pack(">BBHI", 3, 0, 0x86DD, 9 << 8) + bytes(12) + TCP6),
        "eth.ip.udp.geneve.ip6.tcp",
        DEEP6 | {"genevevni": "9", "geneveoptionwords": "3"},
    ),
    "GTP-U": (
        1,
        over_udp(2152, struct.pack(">BBHI", 0x30, 0xFF, len(TCP), 0xBEEF) + TCP),
        "eth.ip.udp.gtp.ip.tcp",
        DEEP | {"gtpteid": "48879", "gtptype": "255"},
    ),
    "GTP-U with extensions": (
        1,
        over_udp(
            2152,
            struct.pack(">BBHIHBB", 0x36, 0xFF, 16 + len(TCP6), 1, 5, 0, 0x85)
            + b"\x01\x00\x09\xc0"
            + b"\x02"
            + bytes(7)
            + TCP6,
        ),
        "eth.ip.udp.gtp.ip6.tcp",
        DEEP6 | {"gtpteid": "1"},
    ),
    "GTP-U echo": (1, over_udp(2152, struct.pack(">BBHI", 0x30, 1, 0, 0)), "eth.ip.udp.gtp", {"gtptype": "1"}),
    "MPLS over UDP": (
        1,
        over_udp(6635, label(33, True) + TCP),
        "eth.ip.udp.mpls.ip.tcp",
        DEEP | {"mplslabel": "33"},
    ),
    "Teredo": (1, over_udp(3544, TCP6), "eth.ip.udp.teredo.ip6.tcp", DEEP6),
    "Teredo with authentication and origin": (
        1,
        over_udp(3544, b"\x00\x01\x02\x01" + bytes(3 + 9) + bytes(8) + TCP6),
        "eth.ip.udp.teredo.ip6.tcp",
        DEEP6,
    ),
    "L2TP": (
        1,
        over_udp(
            1701, struct.pack(">HHHHHHH", 0x4A02, 20 + len(TCP), 11, 22, 1, 2, 2) + bytes(2) + b"\xff\x03\x00\x21" + TCP
        ),
        "eth.ip.udp.l2tp.ppp.ip.tcp",
        DEEP | {"l2tptunnel": "11", "l2tpsession": "22"},
    ),
    "L2TP control": (
        1,
        over_udp(1701, struct.pack(">HHHHHH", 0xC802, 12, 11, 0, 1, 2)),
        "eth.ip.udp.l2tp",
        {"l2tptunnel": "11", "l2tpsession": "0"},
    ),
    "L2TPv3 over UDP": (
        1,
        over_udp(1701, struct.pack(">HHI", 3, 0, 4711) + FRAME),
        "eth.ip.udp.l2tp.eth.ip.tcp",
        BRIDGED | {"l2tpv3session": "4711"},
    ),
    "L2TPv3 over IP": (
        1,
        ethernet(ipv4(struct.pack(">I", 4711) + FRAME, 115)),
        "eth.ip.l2tp.eth.ip.tcp",
        BRIDGED | {"l2tpv3session": "4711"},
    ),
    "L2TPv3 with cookie and sublayer": (
        1,
        ethernet(ipv4(struct.pack(">IQI", 4711, 0xFEEDFACECAFEBEEF, 1 << 30) + FRAME, 115)),
        "eth.ip.l2tp.eth.ip.tcp",
        BRIDGED | {"l2tpv3session": "4711"},
    ),
    "L2TPv3 with VLAN": (
        1,
        ethernet(ipv4(struct.pack(">II", 4711, 99) + ethernet(TCP6, 0x86DD, ((0x8100, 7),)), 115)),
        "eth.ip.l2tp.eth.q.ip6.tcp",
        DEEP6 | {"vlan": "7"},
    ),
    "L2TPv3 with what is no Ethernet": (
        1,
        ethernet(ipv4(struct.pack(">I", 4711) + b"\xff\x03\x00\x21" + TCP, 115)),
        "eth.ip.l2tp",
        {"l2tpv3session": "4711"},
    ),
    "L2TPv3 control": (1, ethernet(ipv4(bytes(4) + FRAME, 115)), "eth.ip.l2tp", {"l2tpv3session": "0"}),
    "LISP": (
        1,
        over_udp(4341, struct.pack(">II", 0x88000001, 5001 << 8 | 7) + TCP),
        "eth.ip.udp.lisp.ip.tcp",
        DEEP | {"lispinstance": "5001"},
    ),
    "LISP without instance": (1, over_udp(4341, bytes(8) + TCP6), "eth.ip.udp.lisp.ip6.tcp", DEEP6),
    "CAPWAP": (
        1,
        over_udp(5247, struct.pack(">IHH", 2 << 19 | 3 << 14 | 1 << 9, 0, 0) + FRAME),
        "eth.ip.udp.capwap.eth.ip.tcp",
        BRIDGED | {"capwapradio": "3", "capwapbinding": "1"},
    ),
    "CAPWAP with 802.11": (
        1,
        over_udp(
            5247,
            struct.pack(">IHH", 4 << 19 | 1 << 9 | 0x110, 0, 0)
            + bytes(8)
            + wifi(1, True, POINT, CLIENT, SERVER)
            + SNAP
            + TCP,
        ),
        "eth.ip.udp.capwap.wlan.llc.ip.tcp",
        DEEP | {"macsource": "000000000001", "macsource.1": CLIENT.upper(), "macdestination.1": SERVER.upper()},
    ),
    "CAPWAP with 802.11, frame control swapped": (
        1,
        over_udp(
            5247,
            struct.pack(">IHH", 2 << 19 | 1 << 9 | 0x100, 0, 0)
            + swapped(wifi(1, True, POINT, CLIENT, SERVER))
            + SNAP
            + TCP,
        ),
        "eth.ip.udp.capwap.wlan.llc.ip.tcp",
        DEEP | {"macsource.1": CLIENT.upper(), "macdestination.1": SERVER.upper()},
    ),
    "CAPWAP with 802.11 from the point, swapped": (
        1,
        over_udp(
            5247,
            struct.pack(">IHH", 2 << 19 | 1 << 9 | 0x100, 0, 0)
            + swapped(wifi(2, False, CLIENT, POINT, SERVER))
            + SNAP
            + TCP,
        ),
        "eth.ip.udp.capwap.wlan.llc.ip.tcp",
        DEEP | {"macsource.1": SERVER.upper(), "macdestination.1": CLIENT.upper()},
    ),
    "ESP in UDP": (
        1,
        over_udp(4500, struct.pack(">II", 0xABCD, 1) + bytes(24)),
        "eth.ip.udp.esp",
        {"espspi": "43981", "udpdestinationport": "4500"},
    ),
    "ESP in UDP, the answer": (
        1,
        ethernet(ipv4(udp(4500, 50000, struct.pack(">II", 0xABCE, 1) + bytes(24)), 17)),
        "eth.ip.udp.esp",
        {"espspi": "43982"},
    ),
    "IKE in UDP 4500": (1, over_udp(4500, bytes(4) + bytes(range(1, 29))), "eth.ip.udp", {}),
    "NAT keep-alive": (1, over_udp(4500, b"\xff"), "eth.ip.udp", {}),
    "CAPWAP, a later fragment": (
        1,
        over_udp(5247, struct.pack(">IHH", 2 << 19 | 1 << 9 | 0x80, 5, 100 << 3) + FRAME),
        "eth.ip.udp.capwap",
        {"capwapradio": "0"},
    ),
    "CAPWAP keep-alive": (1, over_udp(5247, struct.pack(">IHH", 2 << 19 | 8, 0, 0) + FRAME), "eth.ip.udp.capwap", {}),
    "CAPWAP in DTLS": (1, over_udp(5247, b"\x01\x00\x00\x00" + bytes(60)), "eth.ip.udp.capwap", {}),
    # messages
    "DNS": (
        1,
        over_udp(53, dns("www.example.com", 28)),
        "eth.ip.udp",
        {"dnsqname": "www.example.com.", "dnsqr": "false", "dnsqtypename": "AAAA"},
    ),
    "DNS answer": (
        1,
        ethernet(ipv6(udp(53, 40000, dns("example.org", 65280, flags=0x8180) + bytes(20)), 17), 0x86DD),
        "eth.ip6.udp",
        {"dnsqname": "example.org.", "dnsqr": "true", "dnsqtypename": "TYPE65280"},
    ),
    "DNS in VXLAN": (
        1,
        over_udp(4789, vxlan(1) + over_udp(53, dns("a.b", 16))),
        "eth.ip.udp.vxlan.eth.ip.udp",
        {"dnsqname": "a.b.", "dnsqtypename": "TXT", "udpdestinationport.1": "53"},
    ),
    "RoCEv2 write": (
        1,
        over_udp(4791, struct.pack(">BBHII", 10, 0xC0, 0xFFFF, 7, 1) + struct.pack(">QII", 1, 2, 65536) + bytes(64)),
        "eth.ip.udp.ibbt",
        {
            "ibbtopcode": "10",
            "ibbtopname": "RDMA_WRITE_ONLY",
            "ibbtoptransport": "RC",
            "ibbtse": "true",
            "ibbtm": "true",
            "ibbtrdmalen": "65536",
            "ibbt_offset": "42",
        },
    ),
    "RoCEv2 acknowledgement": (
        1,
        over_udp(4791, struct.pack(">BBHII", 17, 0, 0xFFFF, 7, 1) + struct.pack(">BBH", 0x1F, 0, 9)),
        "eth.ip.udp.ibbt",
        {"ibbtopname": "ACKNOWLEDGE", "ibbtaethack": "31", "ibbtse": "false"},
    ),
    "RoCEv2 congestion": (
        1,
        over_udp(4791, struct.pack(">BBHII", 0x81, 0, 0xFFFF, 7, 0) + bytes(16)),
        "eth.ip.udp.ibbt",
        {"ibbtopcode": "129", "ibbtopname": "CNP", "ibbtoptransport": "CNP"},
    ),
    "PPP with a bridged LAN": (
        7,
        b"\xff\x03\x00\x31" + struct.pack(">BBI", 0x40, 1, 77) + FRAME,
        "ppp.eth.ip.tcp",
        INNER | {"macsource": "0000000000AA", "pppprotocol": "49"},
    ),
    "PPP with a bridged token ring": (7, b"\x00\x31\x00\x02" + FRAME, "ppp", {"pppprotocol": "49"}),
}
