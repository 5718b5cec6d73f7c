"""What a sample holds: the table of its fields, and the names of the protocols on its stack.

A field is one row of ROWS: (name, header, offset, bytes, shift, mask, add, kind). So a new field of a known header
is one row, and a new header is one step of the header walk (walk.pyx and its neighbours) that claims a slot. Fields of
repeated headers have their depth as a suffix: plain, `.1`, `.2`. Keys of flow records are in recordkeys.py; they have
the slots that are FREE_SLOTS here.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from analytics.core.staticassert cimport static_assert

static_assert(LAYER == 64)                          # a word of Fields.present
static_assert(HEADERS <= LAYER)
static_assert(FREE <= SLOTS)
static_assert(SLOTS <= 256)                         # flowkeys.Pick.slot
static_assert(STACK_DEPTH % 8 == 0)
static_assert(PROTOCOLS <= 256)                     # a byte in Fields.stack
static_assert(NAME_BYTES <= 255)                    # flowkeys.Pick.size

# as Wireshark's "protocols in frame" would read, outermost first; a protocol of the enum without a name is not shown
STACK_NAMES = {
    P_ETH: "eth", P_Q: "q", P_IP: "ip", P_IP6: "ip6", P_TCP: "tcp", P_UDP: "udp", P_ICMP: "icmp", P_ICMP6: "icmp6",
    P_ARP: "arp", P_PBB: "pbb", P_TRILL: "trill", P_MACSEC: "macsec", P_LLC: "llc", P_PPPOE: "pppoe", P_PPP: "ppp",
    P_HDLC: "hdlc", P_WLAN: "wlan", P_MPLS: "mpls", P_ACH: "ach", P_SRH: "srh", P_AH: "ah", P_ESP: "esp",
    P_UDPLITE: "udplite", P_SCTP: "sctp", P_DCCP: "dccp", P_IGMP: "igmp", P_OSPF: "ospf", P_PIM: "pim",
    P_VRRP: "vrrp", P_ETHERIP: "etherip", P_GRE: "gre", P_ERSPAN2: "erspan",
    P_WCCP: "wccp", P_VXLAN: "vxlan", P_GPE: "gpe", P_GENEVE: "geneve", P_NSH: "nsh",
    P_GTP: "gtp", P_TEREDO: "teredo", P_L2TP: "l2tp", P_LISP: "lisp",
    P_CAPWAP: "capwap", P_IBBT: "ibbt", P_RARP: "rarp", P_LLDP: "lldp",
    P_SLOW: "slow", P_EAPOL: "eapol", P_FCOE: "fcoe", P_PTP: "ptp", P_STP: "stp", P_ISIS: "isis",
    P_SNAP: "snap",
}

# name, header, offset, bytes on the wire, shift, mask, add, kind (how definitions.py turns it into text)
ROWS = (
    ("macdestination", ETH, 0, 6, 0, 0, 0, "mac"),
    ("macsource", ETH, 6, 6, 0, 0, 0, "mac"),
    ("isbroadcast", ETH, 0, 6, 0, 0, 0, "isbroadcast"),
    ("ismulticast", ETH, 0, 6, 0, 0, 0, "ismulticast"),
    ("isunicast", ETH, 0, 6, 0, 0, 0, "isunicast"),
    ("ethernetprotocol", TYPE, 0, 2, 0, 0xFFFF, 0, "number"),
    ("vlan", VLAN, 0, 2, 0, 0xFFF, 0, "number"),
    ("priority", VLAN, 0, 2, 13, 0x7, 0, "number"),
    ("pbbisid", PBB, 0, 4, 0, 0xFFFFFF, 0, "number"),
    ("trillegress", TRILL, 2, 2, 0, 0xFFFF, 0, "number"),
    ("trillingress", TRILL, 4, 2, 0, 0xFFFF, 0, "number"),
    ("macsecan", MACSEC, 0, 1, 0, 0x3, 0, "number"),
    ("macsecpn", MACSEC, 2, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("llcdsap", LLC, 0, 1, 0, 0xFF, 0, "number"),
    ("llcssap", LLC, 1, 1, 0, 0xFF, 0, "number"),
    ("pppoecode", PPPOE, 1, 1, 0, 0xFF, 0, "number"),
    ("pppoesession", PPPOE, 2, 2, 0, 0xFFFF, 0, "number"),
    ("pppprotocol", PPP, 0, 2, 0, 0xFFFF, 0, "number"),
    ("mplslabel", MPLS, 0, 4, 12, 0xFFFFF, 0, "number"),
    ("mplstc", MPLS, 2, 1, 1, 0x7, 0, "number"),
    ("mplsttl", MPLS, 3, 1, 0, 0xFF, 0, "number"),
    ("mplsentropy", ENTROPY, 0, 4, 12, 0xFFFFF, 0, "number"),
    ("ipversion", IP, 0, 1, 4, 0xF, 0, "number"),
    ("ipheaderbytes", IP, 0, 2, 6, 0x3C, 0, "number"),  # its low four bits of the first byte, times four
    ("ipid", IP, 4, 2, 0, 0xFFFF, 0, "number"),
    ("ipchecksum", IP, 10, 2, 0, 0xFFFF, 0, "number"),
    ("iptos", IP, 1, 1, 0, 0xFF, 0, "number"),
    ("ipdscp", IP, 1, 1, 2, 0x3F, 0, "number"),
    ("ipdscpname", IP, 1, 1, 2, 0x3F, 0, "dscpname"),
    ("ipecn", IP, 1, 1, 0, 0x3, 0, "bits2"),
    ("ipbytes", IP, 2, 2, 0, 0xFFFF, 0, "number"),
    ("ipflags", IP, 6, 2, 13, 0x7, 0, "bits3"),
    ("ipfragoffset", IP, 6, 2, 0, 0x1FFF, 0, "number"),
    ("ipttl", IP, 8, 1, 0, 0xFF, 0, "number"),
    ("ipprotocol", IP, 9, 1, 0, 0xFF, 0, "number"),
    ("ipsource", IP, 12, 4, 0, 0, 0, "ip"),
    ("ipdestination", IP, 16, 4, 0, 0, 0, "ip"),
    ("ip6version", IP6, 0, 1, 4, 0xF, 0, "number"),
    ("ip6tos", IP6, 0, 2, 4, 0xFF, 0, "number"),
    ("ip6dscp", IP6, 0, 2, 6, 0x3F, 0, "number"),
    ("ip6dscpname", IP6, 0, 2, 6, 0x3F, 0, "dscpname"),
    ("ip6ecn", IP6, 0, 2, 4, 0x3, 0, "bits2"),
    ("ip6bytes", IP6, 4, 2, 0, 0xFFFF, 40, "number"),   # whole packet, as ipbytes: payload length + fixed header
    ("ip6flowlabel", IP6, 0, 4, 0, 0xFFFFF, 0, "number"),
    ("ip6hoplimit", IP6, 7, 1, 0, 0xFF, 0, "number"),
    ("ip6source", IP6, 8, 16, 0, 0, 0, "ip6"),
    ("ip6destination", IP6, 24, 16, 0, 0, 0, "ip6"),
    ("ip6nexthdr", NEXT6, 0, 1, 0, 0xFF, 0, "number"),
    ("ip6fragm", FRAG6, 2, 2, 0, 0xFFF9, 0, "yesno"),
    ("ip6fragoffset", FRAG6, 2, 2, 3, 0x1FFF, 0, "number"),
    ("srhsegmentsleft", SEGMENTS, 3, 1, 0, 0xFF, 0, "number"),
    ("srhfinal", SEGMENTS, 8, 16, 0, 0, 0, "ip6"),      # the last segment is first on the wire
    ("ahspi", AH, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("espspi", ESP, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("tcpsourceport", TCP, 0, 2, 0, 0xFFFF, 0, "number"),
    ("tcpdestinationport", TCP, 2, 2, 0, 0xFFFF, 0, "number"),
    ("tcpflags", TCP, 12, 2, 0, 0x1FF, 0, "bits9"),
    ("tcpsequenceno", TCP, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("tcpackno", TCP, 8, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("tcpheaderbytes", TCP, 12, 1, 2, 0x3C, 0, "number"),
    ("tcpwindow", TCP, 14, 2, 0, 0xFFFF, 0, "number"),
    ("tcpchecksum", TCP, 16, 2, 0, 0xFFFF, 0, "number"),
    ("tcpurgent", TCP, 18, 2, 0, 0xFFFF, 0, "number"),
    ("udpsourceport", UDP, 0, 2, 0, 0xFFFF, 0, "number"),
    ("udpdestinationport", UDP, 2, 2, 0, 0xFFFF, 0, "number"),
    ("udpbytes", UDP, 4, 2, 0, 0xFFFF, 0, "number"),
    ("udpchecksum", UDP, 6, 2, 0, 0xFFFF, 0, "number"),
    ("sctpsourceport", SCTP, 0, 2, 0, 0xFFFF, 0, "number"),
    ("sctpdestinationport", SCTP, 2, 2, 0, 0xFFFF, 0, "number"),
    ("sctptag", SCTP, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("dccpsourceport", DCCP, 0, 2, 0, 0xFFFF, 0, "number"),
    ("dccpdestinationport", DCCP, 2, 2, 0, 0xFFFF, 0, "number"),
    ("icmptype", ICMP, 0, 1, 0, 0xFF, 0, "number"),
    ("icmpcode", ICMP, 1, 1, 0, 0xFF, 0, "number"),
    ("icmpchecksum", ICMP, 2, 2, 0, 0xFFFF, 0, "number"),
    ("icmpid", ICMP, 4, 2, 0, 0xFFFF, 0, "number"),     # as icmpseqno: of messages that have one
    ("icmpseqno", ICMP, 6, 2, 0, 0xFFFF, 0, "number"),
    ("icmpunreachablenet", NO_NET, 0, 4, 0, 0, 0, "ip"),
    ("icmpunreachablehost", NO_HOST, 0, 4, 0, 0, 0, "ip"),
    ("icmpunreachableprotocol", NO_PROTOCOL, 0, 1, 0, 0xFF, 0, "number"),
    ("icmpunreachableport", NO_PORT, 0, 2, 0, 0xFFFF, 0, "number"),
    ("icmp6type", ICMP6, 0, 1, 0, 0xFF, 0, "number"),
    ("icmp6code", ICMP6, 1, 1, 0, 0xFF, 0, "number"),
    ("icmp6checksum", ICMP6, 2, 2, 0, 0xFFFF, 0, "number"),
    ("igmptype", IGMP, 0, 1, 0, 0xFF, 0, "number"),
    ("igmpgroup", IGMP, 4, 4, 0, 0, 0, "ip"),
    ("arpoperation", ARP, 6, 2, 0, 0xFFFF, 0, "number"),
    ("arpmacsender", ARP, 8, 6, 0, 0, 0, "mac"),
    ("arpipsender", ARP, 14, 4, 0, 0, 0, "ip"),
    ("arpmactarget", ARP, 18, 6, 0, 0, 0, "mac"),
    ("arpiptarget", ARP, 24, 4, 0, 0, 0, "ip"),
    ("greprotocol", GRE, 2, 2, 0, 0xFFFF, 0, "number"),
    ("grekey", GREKEY, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("gresequence", GRESEQUENCE, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("grevsid", GREVSID, 0, 4, 8, 0xFFFFFF, 0, "number"),
    ("erspanvlan", ERSPAN, 0, 2, 0, 0xFFF, 0, "number"),
    ("erspansession", ERSPAN, 2, 2, 0, 0x3FF, 0, "number"),
    ("vni", VNI, 0, 4, 8, 0xFFFFFF, 0, "number"),
    ("vxlanvni", VXLAN, 4, 4, 8, 0xFFFFFF, 0, "number"),
    ("genevevni", GENEVE, 4, 4, 8, 0xFFFFFF, 0, "number"),
    ("geneveprotocol", GENEVE, 2, 2, 0, 0xFFFF, 0, "number"),
    ("geneveoptionwords", GENEVE, 0, 1, 0, 0x3F, 0, "number"),
    ("nshpath", NSH, 4, 4, 8, 0xFFFFFF, 0, "number"),
    ("nshindex", NSH, 7, 1, 0, 0xFF, 0, "number"),
    ("gtptype", GTP, 1, 1, 0, 0xFF, 0, "number"),
    ("gtpteid", GTP, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("l2tptunnel", L2TP, 0, 2, 0, 0xFFFF, 0, "number"),
    ("l2tpsession", L2TP, 2, 2, 0, 0xFFFF, 0, "number"),
    ("l2tpv3session", L2TP3, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("lispinstance", LISP, 0, 4, 8, 0xFFFFFF, 0, "number"),
    ("capwapradio", CAPWAP, 1, 2, 6, 0x1F, 0, "number"),
    ("capwapbinding", CAPWAP, 1, 2, 1, 0x1F, 0, "number"),
    ("dnsid", DNS, 0, 2, 0, 0xFFFF, 0, "number"),
    ("dnsopcode", DNS, 2, 1, 3, 0xF, 0, "number"),
    ("dnsrcode", DNS, 3, 1, 0, 0xF, 0, "number"),
    ("dnsqr", DNS, 2, 1, 7, 0x1, 0, "truth"),
    ("dnsqname", DNSNAME, 0, NAME_BYTES, 0, 0, 0, "dnsname"),
    ("dnsqtypename", DNSTYPE, 0, 2, 0, 0xFFFF, 0, "dnstype"),
    ("ibbtopcode", IBBT, 0, 1, 0, 0xFF, 0, "number"),
    ("ibbtopname", IBBT, 0, 1, 0, 0xFF, 0, "ibbtopname"),
    ("ibbtoptransport", IBBT, 0, 1, 0, 0xFF, 0, "ibbttransport"),
    ("ibbtse", IBBT, 1, 1, 7, 0x1, 0, "truth"),
    ("ibbtm", IBBT, 1, 1, 6, 0x1, 0, "truth"),
    ("ibbtpkey", IBBT, 2, 2, 0, 0xFFFF, 0, "number"),
    ("ibbtqpdestination", IBBT, 4, 4, 0, 0xFFFFFF, 0, "number"),
    ("ibbtpsn", IBBT, 8, 4, 0, 0xFFFFFF, 0, "number"),
    ("ibbtrdmalen", IBRETH, 12, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("ibbtaethack", IBAETH, 0, 1, 0, 0x1F, 0, "number"),
    ("bytes", FRAME, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("stripped", FRAME, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("vlansource", SWITCH, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("prioritysource", SWITCH, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("vlandestination", SWITCH, 8, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("prioritydestination", SWITCH, 12, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("inputifindex", INPUT, 0, 8, 0, 0, 0, "port"),
    ("outputifindex", OUTPUT, 0, 8, 0, 0, 0, "port"),
    ("direction", DIRECTION, 0, 4, 0, 0xFFFFFFFF, 0, "direction"),
    ("stack", STACK, 0, STACK_DEPTH, 0, 0, 0, "stack"),
    ("reason", REASON, 0, 4, 0, 0xFFFFFFFF, 0, "reason"),
)
# name, header, kind: what is no bytes of a header but follows from them, so that only flowkeys.gather_derived reads it
DERIVED = (
    ("ip_offset", IP, "place"),                         # bytes before the header
    ("ip6_offset", IP6, "place"),
    ("tcp_offset", TCP, "place"),
    ("udp_offset", UDP, "place"),
    ("icmp_offset", ICMP, "place"),
    ("icmp6_offset", ICMP6, "place"),
    ("sctp_offset", SCTP, "place"),
    ("arp_offset", ARP, "place"),
    ("ibbt_offset", IBBT, "place"),
    ("ipoptions", IP, "ipoptions"),
    ("tcpoptions", TCP, "tcpoptions"),
)
# bytes in a key, of kinds that are no number of 4 bytes
KEY_SIZES = {"mac": 8, "isbroadcast": 8, "ismulticast": 8, "isunicast": 8, "ip": 4, "ip6": 16, "port": 8}
KEY_SIZES |= {"address": 24, "aspath": LIST_BYTES, "communities": LIST_BYTES, "labels": LIST_BYTES, "text": 64}
KEY_SIZES |= {"url": 128, "uripath": 128, "dnsname": NAME_BYTES, "stack": STACK_DEPTH}
KEY_SIZES |= {"ipoptions": 48, "tcpoptions": 48}

NOTES = NOTES_BYTES
FREE_SLOTS = (*range(FREE, SLOTS), *(LAYER * depth + slot for depth in range(DEPTH) for slot in range(HEADERS, LAYER)
                                     if LAYER * depth + slot != NEVER))


cdef void prepare(Fields* fields) noexcept nogil:
    """Note once where the fields are that every sample has; nothing is present yet."""
    memset(fields, 0, sizeof(Fields))
    fields.at[FRAME] = fields.words
    fields.end[FRAME] = fields.words + 8
    fields.at[INPUT] = fields.words + 8
    fields.end[INPUT] = fields.words + 16
    fields.at[OUTPUT] = fields.words + 16
    fields.end[OUTPUT] = fields.words + 24
    fields.at[DIRECTION] = fields.words + 24
    fields.end[DIRECTION] = fields.words + 28


cdef void describe_switch(Fields* fields, uint32_t src_vlan, uint32_t src_priority, uint32_t dst_vlan,
                          uint32_t dst_priority) noexcept nogil:
    """Note the extended_switch record of the sample."""
    put_word(fields, 7, src_vlan)
    put_word(fields, 8, src_priority)
    put_word(fields, 9, dst_vlan)
    put_word(fields, 10, dst_priority)
    set_slot(fields, SWITCH, fields.words + 28, fields.words + 44)
