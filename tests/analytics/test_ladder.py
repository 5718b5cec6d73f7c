"""core/ladder and core/tunnels: every rung with a packet built by hand, its fields and its place on the stack.

RUNGS is one table: name -> (sampled_header protocol, packet, stack, fields that must be there). The same table feeds
the test of values, the cuts at every byte, and the canaries around the buffer.
"""

from __future__ import annotations

import struct

import pytest
from analytics.core.flowkeys import fields_inside, fields_of
from hypothesis import given
from hypothesis import strategies as st

from analytics.engine import Engine
from tests.analytics.test_packet import texts
from tests.analytics.wire import datagram, ethernet, flow_sample, ipv4, ipv6, sampled_header, tcp, tcp_frame, udp

OUTER = ethernet(b"", 0)[:12]
TCP = ipv4(tcp(1111, 2222), 6, "192.168.0.1", "192.168.0.2")
TCP6 = ipv6(tcp(1111, 2222), 6, "fd00::1", "fd00::2")
FRAME = bytes.fromhex("0000000000bb0000000000aa0800") + TCP
INNER = {"tcpsourceport": "1111", "tcpdestinationport": "2222"}
DEEP = INNER | {"ipsource.1": "192.168.0.1", "ipdestination.1": "192.168.0.2", "ipsource": "10.0.1.1"}
DEEP6 = INNER | {"ip6source": "fd00::1", "ip6destination": "fd00::2", "ipsource": "10.0.1.1"}
BRIDGED = DEEP | {"macsource.1": "0000000000AA", "macdestination.1": "0000000000BB", "ethernetprotocol.1": "2048"}


def label(value: int, bottom: bool = False, tc: int = 0, ttl: int = 64) -> bytes:
    return struct.pack(">I", value << 12 | tc << 9 | bottom << 8 | ttl)


def over_udp(port: int, payload: bytes) -> bytes:
    return ethernet(ipv4(udp(50000, port, payload), 17))


def over_gre(flags: int, kind: int, payload: bytes) -> bytes:
    return ethernet(ipv4(struct.pack(">HH", flags, kind) + payload, 47))


def vxlan(vni: int, flags: int = 8, following: int = 0) -> bytes:
    return struct.pack(">BHBI", flags, 0, following, vni << 8)


def nsh(following: int, context: int = 16) -> bytes:
    words = 2 + context // 4
    return struct.pack(">HBBI", 63 << 6 | words, 1 if context else 2, following, 77 << 8 | 254) + bytes(context)


def routing(following: int) -> bytes:
    """A segment routing header with two segments, the second active."""
    segments = bytes.fromhex("20010db8000000000000000000000099") + bytes.fromhex("20010db8000000000000000000000098")
    return struct.pack(">BBBBBBH", following, 4, 4, 1, 1, 0, 0) + segments


def wifi(ways: int, quality: bool, *addresses: str) -> bytes:
    first = struct.pack(">BBH", 0x88 if quality else 0x08, ways, 0)
    one, two, three, *four = (bytes.fromhex(each) for each in addresses)
    return first + one + two + three + bytes(2) + b"".join(four) + bytes(2 * quality)


def dns(name: str, kind: int, flags: int = 0x0100) -> bytes:
    """A message with one question."""
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    return struct.pack(">HHHHHH", 77, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


SNAP = b"\xaa\xaa\x03\x00\x00\x00\x08\x00"
CLIENT, SERVER, POINT = "0000000000aa", "0000000000bb", "0000000000cc"
STATIONS = INNER | {"macsource": CLIENT.upper(), "macdestination": SERVER.upper()}
VNI = {"vni": "5001", "vxlanvni": "5001", "udpdestinationport": "4789"}

RUNGS: dict[str, tuple[int, bytes, str, dict[str, str]]] = {
    # link layers
    "priority tag": (1, ethernet(TCP, tags=((0x8100, 0xA000),)), "eth.q.ip.tcp", {"vlan": "0", "priority": "5"}),
    "802.1ad": (
        1,
        ethernet(TCP6, 0x86DD, ((0x88A8, 100), (0x8100, 200), (0x9100, 300))),
        "eth.q.q.q.ip6.tcp",
        INNER | {"vlan": "100", "vlan.1": "200", "vlan.2": "300", "ethernetprotocol": "34525"},
    ),
    "SNAP": (
        1,
        ethernet(SNAP + TCP, len(SNAP + TCP)),
        "eth.llc.ip.tcp",
        INNER | {"llcdsap": "170", "llcssap": "170", "ethernetprotocol": "2048"},
    ),
    "CDP": (1, ethernet(b"\xaa\xaa\x03\x00\x00\x0c\x20\x00" + bytes(38), 46), "eth.llc.snap", {"llcdsap": "170"}),
    "IS-IS": (1, ethernet(b"\xfe\xfe\x03\x83" + bytes(42), 46), "eth.llc.isis", {"llcdsap": "254"}),
    "LLDP": (1, ethernet(bytes(46), 0x88CC), "eth.lldp", {"ethernetprotocol": "35020"}),
    "LACP": (1, ethernet(bytes(46), 0x8809), "eth.slow", {"ethernetprotocol": "34825"}),
    "EAPOL": (1, ethernet(bytes(46), 0x888E), "eth.eapol", {"ethernetprotocol": "34958"}),
    "FCoE": (1, ethernet(bytes(46), 0x8906), "eth.fcoe", {"ethernetprotocol": "35078"}),
    "PTP": (1, ethernet(bytes(46), 0x88F7), "eth.ptp", {"ethernetprotocol": "35063"}),
    "RARP": (
        1,
        ethernet(struct.pack(">HHBBH", 1, 0x0800, 6, 4, 3) + bytes(20), 0x8035),
        "eth.rarp",
        {"arpoperation": "3", "arpipsender": "0.0.0.0"},
    ),
    "MACsec": (
        1,
        ethernet(bytes([0x2E, 0]) + struct.pack(">I", 4711) + bytes(40), 0x88E5),
        "eth.macsec",
        {"macsecan": "2", "macsecpn": "4711"},
    ),
    "PBB": (
        1,
        ethernet(struct.pack(">I", 0x60ABCDEF) + FRAME, 0x88E7, ((0x88A8, 9),)),
        "eth.q.pbb.eth.ip.tcp",
        INNER | {"pbbisid": str(0xABCDEF), "vlan": "9", "macsource.1": "0000000000AA", "ethernetprotocol.1": "2048"},
    ),
    "TRILL": (
        1,
        ethernet(struct.pack(">HHH", 1 << 6 | 20, 0x1234, 0x5678) + bytes(4) + FRAME, 0x22F3),
        "eth.trill.eth.ip.tcp",
        INNER | {"trillegress": str(0x1234), "trillingress": str(0x5678), "macsource.1": "0000000000AA"},
    ),
    "PPPoE": (
        1,
        ethernet(struct.pack(">BBHHH", 0x11, 0, 99, len(TCP) + 2, 0x21) + TCP, 0x8864),
        "eth.pppoe.ppp.ip.tcp",
        INNER | {"pppoesession": "99", "pppoecode": "0", "pppprotocol": "33"},
    ),
    "PPPoE discovery": (
        1,
        ethernet(struct.pack(">BBHH", 0x11, 9, 0, 4) + bytes(40), 0x8863),
        "eth.pppoe",
        {"pppoesession": "0", "pppoecode": "9"},
    ),
    "PPP": (7, b"\xff\x03\x00\x57" + TCP6, "ppp.ip6.tcp", INNER | {"pppprotocol": "87"}),
    "PPP, compressed": (7, b"\x21" + TCP, "ppp.ip.tcp", INNER),
    "PPP with MPLS": (7, b"\x02\x81" + label(5, True) + TCP, "ppp.mpls.ip.tcp", INNER | {"mplslabel": "5"}),
    "IPv4": (11, TCP, "ip.tcp", INNER | {"ipsource": "192.168.0.1"}),
    "IPv6": (12, TCP6, "ip6.tcp", INNER | {"ip6source": "fd00::1"}),
    "MPLS": (13, label(16) + label(17, True) + TCP, "mpls.mpls.ip.tcp", INNER | {"mplslabel.1": "17"}),
    "POS": (14, b"\xff\x03\x00\x21" + TCP, "ppp.ip.tcp", INNER | {"pppprotocol": "33"}),
    "POS, Cisco's HDLC": (14, b"\x0f\x00\x08\x00" + TCP, "hdlc.ip.tcp", INNER | {"ethernetprotocol": "2048"}),
    "802.11 ad hoc": (15, wifi(0, False, SERVER, CLIENT, POINT) + SNAP + TCP, "wlan.llc.ip.tcp", STATIONS),
    "802.11 to the point": (15, wifi(1, True, POINT, CLIENT, SERVER) + SNAP + TCP, "wlan.llc.ip.tcp", STATIONS),
    "802.11 from the point": (15, wifi(2, True, SERVER, POINT, CLIENT) + SNAP + TCP, "wlan.llc.ip.tcp", STATIONS),
    "802.11 bridge": (15, wifi(3, True, POINT, POINT, SERVER, CLIENT) + SNAP + TCP, "wlan.llc.ip.tcp", STATIONS),
    "802.11 encrypted": (
        15,
        wifi(0x42, False, SERVER, POINT, CLIENT) + bytes(40),
        "wlan",
        {"macsource": CLIENT.upper(), "macdestination": SERVER.upper()},
    ),
    "802.11 beacon": (15, b"\x80" + bytes(60), "wlan", {}),
    # MPLS
    "MPLS in Ethernet": (
        1,
        ethernet(label(100, tc=5, ttl=9) + label(200) + label(300, True) + TCP, 0x8847),
        "eth.mpls.mpls.mpls.ip.tcp",
        INNER | {"mplslabel": "100", "mplstc": "5", "mplsttl": "9", "mplslabel.1": "200", "mplslabel.2": "300"},
    ),
    "explicit null": (1, ethernet(label(2, True) + TCP6, 0x8848), "eth.mpls.ip6.tcp", INNER | {"mplslabel": "2"}),
    "entropy label": (
        1,
        ethernet(label(100) + label(7) + label(54321, True) + TCP, 0x8847),
        "eth.mpls.mpls.ip.tcp",
        INNER | {"mplslabel": "100", "mplslabel.1": "7", "mplsentropy": "54321"},
    ),
    "pseudowire with control word": (
        1,
        ethernet(label(100, True) + bytes(4) + FRAME, 0x8847),
        "eth.mpls.eth.ip.tcp",
        INNER | {"macsource.1": "0000000000AA", "ethernetprotocol.1": "2048", "ipsource": "192.168.0.1"},
    ),
    "pseudowire without": (
        1,
        ethernet(label(100, True) + FRAME, 0x8847),
        "eth.mpls.eth.ip.tcp",
        INNER | {"macsource.1": "0000000000AA", "macdestination.1": "0000000000BB"},
    ),
    "associated channel": (1, ethernet(label(13, True) + b"\x10\x00\x00\x07" + bytes(40), 0x8847), "eth.mpls.ach", {}),
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
    "ERSPAN I": (1, over_gre(0, 0x88BE, FRAME), "eth.ip.gre.eth.ip.tcp", BRIDGED),
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
    "EtherIP": (1, ethernet(ipv4(b"\x30\x00" + FRAME, 97)), "eth.ip.etherip.eth.ip.tcp", BRIDGED),
    # UDP
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
# what a longer header may say otherwise: the stack grows, a later header says the upper layer or the fragment
GROWING = {"stack", "ethernetprotocol", *(f"ip6{name}{depth}" for name in ("nexthdr", "fragm", "fragoffset")
                                          for depth in ("", ".1", ".2"))}  # fmt: skip


@pytest.mark.parametrize("name", RUNGS)
def test_rung(name):
    protocol, packet, stack, fields = RUNGS[name]
    found = texts(packet, protocol)
    assert found["stack"] == stack
    assert {each: found.get(each) for each in fields} == fields


@pytest.mark.parametrize("name", RUNGS)
def test_every_cut_of_a_rung_leaves_the_outer_fields_intact(name):
    protocol, packet, stack, _ = RUNGS[name]
    grown: dict[str, str] = {}
    for cut in range(len(packet) + 1):
        found = texts(packet[:cut], protocol)
        assert grown.keys() <= found.keys(), cut
        assert {each for each in grown if grown[each] != found[each]} <= GROWING, cut
        assert stack.startswith(found.get("stack", "")), cut
        grown = found


def test_sampled_sflow_is_never_dissected():
    inside = struct.pack(">IIIIIII", 5, 1, 0x0A000001, 0, 1, 1, 0) + FRAME
    assert texts(over_udp(6343, inside))["stack"] == "eth.ip.udp"


@pytest.mark.parametrize(
    ("port", "payload"),
    [
        (4789, bytes(8) + FRAME),  # the flag that makes the VNI valid is not set
        (6081, b"\x40" + bytes(7) + FRAME),  # version 1
        (2152, b"\x48\x20" + bytes(20)),  # GTP-C, version 2
        (3544, bytes(20)),
        (1701, bytes(20)),
    ],
)
def test_a_port_alone_makes_no_tunnel(port, payload):
    assert texts(over_udp(port, payload))["stack"] == "eth.ip.udp"


@pytest.mark.parametrize(("flags", "kind"), [(0x4000, 0x0800), (2, 0x0800), (0, 0x9999)])
def test_gre_that_is_not_followed(flags, kind):
    found = texts(over_gre(flags, kind, TCP))
    assert (found["stack"], found["greprotocol"]) == ("eth.ip.gre", str(kind))
    assert "ipsource.1" not in found


BOMBS = {
    "IP in IP": (11, ipv4(b"", 4)[:2] + bytes(7) + b"\x04" + bytes(10), "ip"),
    "IPv6 in IPv6": (12, ipv6(b"", 41), "ip6"),
    "VLAN tags": (1, b"", "eth.q"),
    "MPLS labels": (13, label(5), "mpls"),
    "EtherIP": (1, b"", "eth.ip.etherip"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_at_the_bound(name):
    protocol, layer, prefix = BOMBS[name]
    if name == "VLAN tags":
        packet = ethernet(b"", 0x8100, ((0x8100, 5),) * 100)
    elif name == "EtherIP":
        packet = FRAME
        for _ in range(64):
            packet = ethernet(ipv4(b"\x30\x00" + packet, 97))
    elif name == "IP in IP":
        packet = TCP
        for _ in range(64):
            packet = ipv4(packet, 4)
    else:
        packet = layer * 64
    found = texts(packet, protocol)
    assert found["stack"].count(".") == 15  # packet.STACK_ROOM headers
    assert found["stack"].startswith(prefix)


def test_an_ipv6_packet_of_nothing_but_extension_headers():
    assert texts(ethernet(ipv6(bytes(8) * 100, 0), 0x86DD))["stack"] == "eth.ip6"


@pytest.mark.parametrize("name", RUNGS)
def test_nothing_outside_of_the_header_is_read(name):
    """The same header between two different surroundings, and alone: the same fields."""
    protocol, packet, _, _ = RUNGS[name]
    for cut in range(0, len(packet) + 1, 3):
        part = packet[:cut]
        alone = fields_of(part, protocol)
        for canary in (b"\x00", b"\x45", b"\xff"):
            assert fields_inside(canary * 64 + part + canary * 64, 64, cut, protocol) == alone


@given(st.binary(max_size=160), st.sampled_from([1, 7, 11, 12, 13, 14, 15]), st.binary(min_size=64, max_size=64))
def test_no_bytes_read_outside(noise, protocol, around):
    assert fields_inside(around + noise + around, 64, len(noise), protocol) == fields_of(noise, protocol)


@given(st.sampled_from(sorted(RUNGS)), st.data())
def test_mutated_rungs(name, data):
    protocol, packet, _, _ = RUNGS[name]
    wire = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    found = fields_inside(b"\xff" * 64 + wire + b"\xff" * 64, 64, len(wire), protocol)
    assert found == fields_of(wire, protocol)
    texts(bytes(wire), protocol)


PORTS = "or:tcpsourceport:udpsourceport,or:tcpdestinationport:udpdestinationport"


@pytest.mark.parametrize(
    ("keys", "packet", "found"),
    [
        (f"ipsource,ipdestination,{PORTS}", tcp_frame(), ["10.0.1.1,10.0.2.2,40000,5001"]),
        (PORTS, ethernet(ipv4(udp(7, 8), 17)), ["7,8"]),
        (PORTS, tcp_frame()[:38], ["40000,5001"]),
        (PORTS, tcp_frame()[:37], []),  # the second port is cut: no key
        ("ipdestination,ipsource", tcp_frame(), ["10.0.2.2,10.0.1.1"]),
        ("ipsource,ipdestination", tcp_frame()[:33], []),
        ("ipsource,ipdestination,ipsource.1,ipdestination.1", ethernet(ipv4(TCP, 4)),
         ["10.0.1.1,10.0.2.2,192.168.0.1,192.168.0.2"]),
        ("tcpsourceport,tcpdestinationport,or:vlan:ipttl,stack", tcp_frame(), ["40000,5001,64,eth.ip.tcp"]),
        ("or:ipsource:ip6source,or:ipdestination:ip6destination", ethernet(TCP6, 0x86DD), ["fd00::1,fd00::2"]),
    ],
)  # fmt: skip
def test_keys_whose_fields_are_read_together(keys, packet, found):
    engine = Engine()
    try:
        engine.set_flow("any", {"keys": keys, "value": "frames"})
        engine.feed([datagram(flow_sample(sampled_header(packet)))], 1000.0)
        assert [flow["key"] for flow in engine.active_flows(["ALL"], "any", 1000.0)] == found
    finally:
        engine.close()
