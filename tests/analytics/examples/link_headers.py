"""Packets built by hand for each header of the walk: link layers and MPLS. Here are also the parts of all.

Used by test_walk.py and test_cuts.py: name -> (sampled_header protocol, packet, stack, fields that must be there).
"""

from __future__ import annotations

import struct

from tests.analytics.examples.wire import ethernet, ipv4, ipv6, tcp, udp

Crafted = tuple[int, bytes, str, dict[str, str]]

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

LINK_HEADERS: dict[str, Crafted] = {
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
}
