"""Packets built by hand for each header of the walk: IP in IP, extension headers, what IP carries, GRE.

Used by test_walk.py and test_cuts.py: name -> (sampled_header protocol, packet, stack, fields that must be there).
"""

from __future__ import annotations

import struct

from tests.analytics.examples.link_headers import (
    BRIDGED,
    DEEP,
    DEEP6,
    FRAME,
    INNER,
    TCP,
    TCP6,
    Crafted,
    label,
    over_gre,
    routing,
)
from tests.analytics.examples.wire import ethernet, ipv4, ipv6, tcp, udp

NETWORK_HEADERS: dict[str, Crafted] = {
    # IP in IP, extension headers, what IP carries
    "4in4": (1, ethernet(ipv4(TCP, 4)), "eth.ip.ip.tcp", DEEP | {"ipprotocol": "4", "ipprotocol.1": "6"}),
    "6in4": (1, ethernet(ipv4(TCP6, 41)), "eth.ip.ip6.tcp", DEEP6),
    "4in6": (1, ethernet(ipv6(TCP, 4), 0x86DD), "eth.ip6.ip.tcp", INNER | {"ipsource": "192.168.0.1"}),
    "6in6": (
        1,
        ethernet(ipv6(TCP6, 41), 0x86DD),
        "eth.ip6.ip6.tcp",
        INNER | {"ip6source": "2001:db8::1", "ip6source.1": "fd00::1", "ip6nexthdr": "41", "ip6nexthdr.1": "6"},
    ),
    "three deep": (
        1,
        ethernet(ipv4(ipv4(TCP, 4, "10.9.0.1", "10.9.0.2"), 4)),
        "eth.ip.ip.ip.tcp",
        INNER | {"ipsource": "10.0.1.1", "ipsource.1": "10.9.0.1", "ipsource.2": "192.168.0.1"},
    ),
    "segment routing": (
        1,
        ethernet(ipv6(routing(41) + TCP6, 43), 0x86DD),
        "eth.ip6.srh.ip6.tcp",
        INNER | {"srhsegmentsleft": "1", "srhfinal": "2001:db8::99", "ip6source.1": "fd00::1"},
    ),
    "segment routing, Ethernet": (
        1,
        ethernet(ipv6(routing(143) + FRAME, 43), 0x86DD),
        "eth.ip6.srh.eth.ip.tcp",
        INNER | {"macsource.1": "0000000000AA", "ip6nexthdr": "143"},
    ),
    "segment routing, then another header": (
        1,
        ethernet(ipv6(routing(60) + bytes([6, 0]) + bytes(6) + tcp(1111, 2222), 43), 0x86DD),
        "eth.ip6.srh.tcp",
        INNER | {"ip6nexthdr": "6"},
    ),
    "jumbogram": (
        1,
        ethernet(TCP6[:4] + bytes(2) + TCP6[6:], 0x86DD),
        "eth.ip6.tcp",
        INNER | {"ip6flowlabel": "0", "ip6hoplimit": "64"},
    ),
    "ESP": (1, ethernet(ipv4(struct.pack(">II", 0xABCD, 1) + bytes(24), 50)), "eth.ip.esp", {"espspi": "43981"}),
    "SCTP": (
        1,
        ethernet(ipv4(struct.pack(">HHII", 2905, 36412, 1, 2), 132)),
        "eth.ip.sctp",
        {"sctpsourceport": "2905", "sctpdestinationport": "36412"},
    ),
    "DCCP": (
        1,
        ethernet(ipv6(struct.pack(">HH", 5, 6) + bytes(12), 33), 0x86DD),
        "eth.ip6.dccp",
        {"dccpsourceport": "5", "dccpdestinationport": "6"},
    ),
    "UDP-Lite": (1, ethernet(ipv4(udp(7, 8), 136)), "eth.ip.udplite", {"udpsourceport": "7"}),
    "IGMP": (
        1,
        ethernet(ipv4(bytes([0x16, 0, 0, 0, 239, 1, 2, 3]), 2)),
        "eth.ip.igmp",
        {"igmptype": "22", "igmpgroup": "239.1.2.3"},
    ),
    "OSPF": (1, ethernet(ipv4(bytes(24), 89)), "eth.ip.ospf", {"ipprotocol": "89"}),
    "PIM": (1, ethernet(ipv4(bytes(24), 103)), "eth.ip.pim", {"ipprotocol": "103"}),
    "VRRP": (1, ethernet(ipv4(bytes(24), 112)), "eth.ip.vrrp", {"ipprotocol": "112"}),
    "net unreachable": (
        1,
        ethernet(ipv4(bytes([3, 0]) + bytes(6) + TCP, 1)),
        "eth.ip.icmp",
        {"icmptype": "3", "icmpcode": "0", "icmpunreachablenet": "192.168.0.2"},
    ),
    "host unreachable": (
        1,
        ethernet(ipv4(bytes([3, 1]) + bytes(6) + TCP, 1)),
        "eth.ip.icmp",
        {"icmpunreachablehost": "192.168.0.2"},
    ),
    "protocol unreachable": (
        1,
        ethernet(ipv4(bytes([3, 2]) + bytes(6) + TCP, 1)),
        "eth.ip.icmp",
        {"icmpunreachableprotocol": "6"},
    ),
    "port unreachable": (
        1,
        ethernet(ipv4(bytes([3, 3]) + bytes(6) + ipv4(udp(9, 33434), 17, options=bytes(4)), 1)),
        "eth.ip.icmp",
        {"icmpunreachableport": "33434"},
    ),
    # GRE
    "GRE": (1, over_gre(0, 0x0800, TCP), "eth.ip.gre.ip.tcp", DEEP | {"greprotocol": "2048"}),
    "GRE with every flag": (
        1,
        over_gre(0xB000, 0x86DD, bytes(4) + struct.pack(">II", 77, 88) + TCP6),
        "eth.ip.gre.ip6.tcp",
        DEEP6 | {"grekey": "77", "gresequence": "88"},
    ),
    "GRE with MPLS": (
        1,
        over_gre(0, 0x8847, label(5, True) + TCP),
        "eth.ip.gre.mpls.ip.tcp",
        DEEP | {"mplslabel": "5"},
    ),
    "GRE with Ethernet": (1, over_gre(0, 0x6558, FRAME), "eth.ip.gre.eth.ip.tcp", BRIDGED),
    "NVGRE": (
        1,
        over_gre(0x2000, 0x6558, struct.pack(">I", 5001 << 8 | 3) + FRAME),
        "eth.ip.gre.eth.ip.tcp",
        BRIDGED | {"grevsid": "5001", "vni": "5001", "grekey": str(5001 << 8 | 3)},
    ),
    "PPTP": (
        1,
        over_gre(0x3081, 0x880B, struct.pack(">HHII", len(TCP) + 4, 7, 1, 2) + b"\xff\x03\x00\x21" + TCP),
        "eth.ip.gre.ppp.ip.tcp",
        DEEP | {"gresequence": "1", "pppprotocol": "33"},
    ),
    "WCCP": (1, over_gre(0, 0x883E, bytes(4) + TCP), "eth.ip.gre.wccp.ip.tcp", DEEP),
    "ERSPAN I": (1, over_gre(0, 0x88BE, FRAME), "eth.ip.gre.erspan.eth.ip.tcp", BRIDGED),
    "ERSPAN II": (
        1,
        over_gre(0x1000, 0x88BE, struct.pack(">IHHI", 9, 0x1064, 0x0801, 3) + FRAME),
        "eth.ip.gre.erspan.eth.ip.tcp",
        BRIDGED | {"erspanvlan": "100", "erspansession": "1", "gresequence": "9"},
    ),
    "ERSPAN III": (
        1,
        over_gre(0x1000, 0x22EB, struct.pack(">IHHIHH", 9, 0x2064, 0x0802, 3, 0, 1) + bytes(8) + FRAME),
        "eth.ip.gre.erspan.eth.ip.tcp",
        BRIDGED | {"erspanvlan": "100", "erspansession": "2"},
    ),
    "ERSPAN III with IP": (
        1,
        over_gre(0x1000, 0x22EB, struct.pack(">IHHIHH", 9, 0x2064, 0x0802, 3, 0, 2 << 10) + TCP),
        "eth.ip.gre.erspan.ip.tcp",
        DEEP,
    ),
    "EoIP": (
        1,
        over_gre(0x2001, 0x6400, struct.pack(">H", len(FRAME)) + struct.pack("<H", 77) + FRAME + bytes(2)),
        "eth.ip.gre.eth.ip.tcp",
        BRIDGED | {"greprotocol": "25600"},
    ),
    "EoIP keep-alive": (
        1,
        over_gre(0x2001, 0x6400, bytes(2) + struct.pack("<H", 77) + FRAME),
        "eth.ip.gre",
        {"greprotocol": "25600"},
    ),
    "EtherIP": (1, ethernet(ipv4(b"\x30\x00" + FRAME, 97)), "eth.ip.etherip.eth.ip.tcp", BRIDGED),
}
