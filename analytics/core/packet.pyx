"""Dissect a sampled header: find where each protocol's header starts, cheaply, and leave the fields where they are.

A field is one row of ROWS: (name, header, offset, bytes, shift, mask, add, kind). So a new field of a known header
is one row, and a new header is one branch in the ladder below. Fields of repeated headers carry their depth: plain,
`.1`, `.2`. A header that is cut keeps every field that is there whole; whatever the wire says, nothing is read
beyond its end. Ladder: sflow-wire.md section 5. IPv4 RFC 791, IPv6 RFC 8200, 802.1Q, ARP RFC 826.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from analytics.core.xdr cimport be16, swap32

cdef enum:
    MOST_TAGS = 8                                   # longer chains of VLAN tags are not followed
    MOST_EXTENSIONS = 8                             # longer chains of IPv6 extension headers are not followed

cdef enum Protocol:                                 # values in Fields.stack
    P_ETH = 1
    P_Q
    P_IP
    P_IP6
    P_TCP
    P_UDP
    P_ICMP
    P_ICMP6
    P_ARP

STACK_NAMES = ("", "eth", "q", "ip", "ip6", "tcp", "udp", "icmp", "icmp6", "arp")

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
    ("ip6tos", IP6, 0, 2, 4, 0xFF, 0, "number"),
    ("ip6dscp", IP6, 0, 2, 6, 0x3F, 0, "number"),
    ("ip6dscpname", IP6, 0, 2, 6, 0x3F, 0, "dscpname"),
    ("ip6ecn", IP6, 0, 2, 4, 0x3, 0, "bits2"),
    ("ip6bytes", IP6, 4, 2, 0, 0xFFFF, 40, "number"),   # whole packet, as ipbytes: payload length + fixed header
    ("ip6source", IP6, 8, 16, 0, 0, 0, "ip6"),
    ("ip6destination", IP6, 24, 16, 0, 0, 0, "ip6"),
    ("ip6nexthdr", NEXT6, 0, 1, 0, 0xFF, 0, "number"),
    ("ip6fragm", FRAG6, 2, 2, 0, 0xFFF9, 0, "yesno"),
    ("ip6fragoffset", FRAG6, 2, 2, 3, 0x1FFF, 0, "number"),
    ("tcpsourceport", TCP, 0, 2, 0, 0xFFFF, 0, "number"),
    ("tcpdestinationport", TCP, 2, 2, 0, 0xFFFF, 0, "number"),
    ("tcpflags", TCP, 12, 2, 0, 0x1FF, 0, "bits9"),
    ("udpsourceport", UDP, 0, 2, 0, 0xFFFF, 0, "number"),
    ("udpdestinationport", UDP, 2, 2, 0, 0xFFFF, 0, "number"),
    ("icmptype", ICMP, 0, 1, 0, 0xFF, 0, "number"),
    ("icmpcode", ICMP, 1, 1, 0, 0xFF, 0, "number"),
    ("icmpseqno", ICMP, 6, 2, 0, 0xFFFF, 0, "number"),
    ("icmp6type", ICMP6, 0, 1, 0, 0xFF, 0, "number"),
    ("icmp6code", ICMP6, 1, 1, 0, 0xFF, 0, "number"),
    ("arpoperation", ARP, 6, 2, 0, 0xFFFF, 0, "number"),
    ("arpipsender", ARP, 14, 4, 0, 0, 0, "ip"),
    ("arpiptarget", ARP, 24, 4, 0, 0, 0, "ip"),
    ("bytes", FRAME, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("stripped", FRAME, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("vlansource", SWITCH, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("prioritysource", SWITCH, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("vlandestination", SWITCH, 8, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("prioritydestination", SWITCH, 12, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("inputifindex", INPUT, 0, 8, 0, 0, 0, "port"),
    ("outputifindex", OUTPUT, 0, 8, 0, 0, 0, "port"),
    ("direction", DIRECTION, 0, 4, 0, 0xFFFFFFFF, 0, "direction"),
    ("stack", STACK, 0, STACK_ROOM, 0, 0, 0, "stack"),
    ("reason", REASON, 0, 4, 0, 0xFFFFFFFF, 0, "reason"),
    ("ipnexthoprouter", ROUTER, 0, 20, 0, 0, 0, "address"),
    ("ipsourcemaskbits", ROUTER, 20, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("ipdestinationmaskbits", ROUTER, 24, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("bgpnexthop", GATEWAY, 0, 20, 0, 0, 0, "address"),
    ("bgpas", GATEWAY, 20, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("bgpsourceas", GATEWAY, 24, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("bgpsourcepeeras", GATEWAY, 28, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("bgplocalpref", GATEWAY, 32, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("bgpdestinationas", ASPATH, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("bgpdestinationpeeras", ASPATH, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("bgpdestinationaspath", ASPATH, 8, 64, 0, 0, 0, "aspath"),
    ("bgpcommunities", COMMUNITIES, 0, 64, 0, 0, 0, "communities"),
    ("inputipprotocol", IN4, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("inputipsource", IN4, 8, 4, 0, 0, 0, "ip"),
    ("inputipdestination", IN4, 12, 4, 0, 0, 0, "ip"),
    ("inputudpsourceport", IN4, 16, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("inputudpdestinationport", IN4, 20, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("inputip6source", IN6, 8, 16, 0, 0, 0, "ip6"),
    ("inputip6destination", IN6, 24, 16, 0, 0, 0, "ip6"),
    ("inputvni", INVNI, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("outputipprotocol", OUT4, 4, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("outputipsource", OUT4, 8, 4, 0, 0, 0, "ip"),
    ("outputipdestination", OUT4, 12, 4, 0, 0, 0, "ip"),
    ("outputudpsourceport", OUT4, 16, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("outputudpdestinationport", OUT4, 20, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("outputip6source", OUT6, 8, 16, 0, 0, 0, "ip6"),
    ("outputip6destination", OUT6, 24, 16, 0, 0, 0, "ip6"),
    ("outputvni", OUTVNI, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("queueindex", QUEUE, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("queuedepth", BACKLOG, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
    ("transitdelay", TRANSIT, 0, 4, 0, 0xFFFFFFFF, 0, "number"),
)
ROOMS = {"mac": 8, "isbroadcast": 8, "ismulticast": 8, "isunicast": 8, "ip": 4, "ip6": 16, "port": 8, "stack": 16}
ROOMS |= {"address": 24, "aspath": 64, "communities": 64}
REPEATING = LAYER                                   # rows of headers below this number exist at every depth
DEPTHS = DEPTH

cdef uint8_t NOT_A_FRAGMENT[8]
memset(NOT_A_FRAGMENT, 0, 8)


cdef inline uint64_t bit(int slot) noexcept nogil:
    return <uint64_t>1 << slot


cdef inline void push(Fields* fields, Protocol protocol) noexcept nogil:
    if fields.height < STACK_ROOM:
        fields.stack[fields.height] = protocol
        fields.height += 1


cdef inline uint8_t* word(Fields* fields, int index, uint32_t value) noexcept nogil:
    cdef uint32_t wire = swap32(value)
    memcpy(&fields.words[4 * index], &wire, 4)
    return &fields.words[4 * index]


cdef void describe(Fields* fields, uint32_t frame_length, uint32_t stripped, uint32_t in_format, uint32_t in_value,
                   uint32_t out_format, uint32_t out_value, Direction direction) noexcept nogil:
    """Start a sample: forget the last one and note what the sample says itself. Interface 0 means unknown: no field."""
    fields.height = 0
    memset(fields.stack, 0, STACK_ROOM)
    fields.end[FRAME] = word(fields, 1, stripped) + 4
    fields.at[FRAME] = word(fields, 0, frame_length)
    fields.end[INPUT] = word(fields, 3, in_value) + 4
    fields.at[INPUT] = word(fields, 2, in_format)
    fields.end[OUTPUT] = word(fields, 5, out_value) + 4
    fields.at[OUTPUT] = word(fields, 4, out_format)
    fields.at[DIRECTION] = word(fields, 6, direction)
    fields.end[DIRECTION] = fields.at[DIRECTION] + 4
    fields.present = (bit(FRAME)
                      | (bit(INPUT) if in_format | in_value else 0)
                      | (bit(OUTPUT) if out_format | out_value else 0)
                      | (bit(DIRECTION) if direction != UNKNOWN else 0))


cdef void describe_switch(Fields* fields, uint32_t src_vlan, uint32_t src_priority, uint32_t dst_vlan,
                          uint32_t dst_priority) noexcept nogil:
    """Note the extended_switch record of the sample."""
    cdef uint8_t* at = word(fields, 7, src_vlan)
    word(fields, 8, src_priority)
    word(fields, 9, dst_vlan)
    word(fields, 10, dst_priority)
    mark(fields, SWITCH, at, at + 16)


cdef void upper(Fields* fields, uint32_t protocol, const uint8_t* at, const uint8_t* end) noexcept nogil:
    """The transport header, if even one byte of it was sampled."""
    if at >= end:
        return
    if protocol == 6:
        mark(fields, TCP, at, end)
        push(fields, P_TCP)
    elif protocol == 17:
        mark(fields, UDP, at, end)
        push(fields, P_UDP)
    elif protocol == 1:
        mark(fields, ICMP, at, end)
        push(fields, P_ICMP)
    elif protocol == 58:
        mark(fields, ICMP6, at, end)
        push(fields, P_ICMP6)


cdef void ip4(Fields* fields, const uint8_t* at, const uint8_t* end) noexcept nogil:
    """IPv4. Later fragments have no transport header; a total length of 0 is a segmentation-offload frame."""
    cdef uint32_t header, total
    if at >= end or at[0] >> 4 != 4:
        return
    mark(fields, IP, at, end)
    push(fields, P_IP)
    header = (at[0] & 0xF) * 4
    if header < 20 or end - at < header:
        return
    total = be16(at + 2)
    if total >= header and end - at > total:        # what follows is Ethernet's padding
        end = at + total
        fields.end[IP] = end
    if be16(at + 6) & 0x1FFF == 0:
        upper(fields, at[9], at + header, end)


cdef void ip6(Fields* fields, const uint8_t* at, const uint8_t* end) noexcept nogil:
    """IPv6 and its extension headers: hop-by-hop 0, routing 43, fragment 44, AH 51, destination 60, mobility 135."""
    cdef uint32_t length, protocol, i
    if at >= end or at[0] >> 4 != 6:
        return
    mark(fields, IP6, at, end)
    push(fields, P_IP6)
    if end - at < 40:
        return
    mark(fields, FRAG6, NOT_A_FRAGMENT, NOT_A_FRAGMENT + 8)
    mark(fields, NEXT6, at + 6, at + 7)
    length = be16(at + 4)
    if length != 0 and end - at > 40 + length:      # 0: a jumbogram
        end = at + 40 + length
        fields.end[IP6] = end
    protocol = at[6]
    at += 40
    for i in range(MOST_EXTENSIONS):
        if protocol not in (0, 43, 44, 51, 60, 135):
            upper(fields, protocol, at, end)
            return
        if end - at < 8:
            return
        if protocol == 44:
            mark(fields, FRAG6, at, at + 8)
            length = 8
        elif protocol == 51:
            length = (<uint32_t>at[1] + 2) * 4
        else:
            length = (<uint32_t>at[1] + 1) * 8
        mark(fields, NEXT6, at, at + 1)
        if protocol == 44 and be16(at + 2) & 0xFFF8 != 0:
            return                                  # a later fragment: the transport header is elsewhere
        protocol = at[0]
        if end - at < length:
            return
        at += length


cdef void ethernet(Fields* fields, const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Ethernet, its chain of VLAN tags (the n-th tag is at depth n), LLC/SNAP, then what the type says."""
    cdef uint32_t kind, tags = 0
    mark(fields, ETH, at, end if end - at < 12 else at + 12)
    push(fields, P_ETH)
    if end - at < 14:
        return
    at += 12
    kind = be16(at)
    while kind in (0x8100, 0x88A8, 0x9100, 0x9200) and tags < MOST_TAGS:
        if end - at < 6:                            # the tag or the type behind it is cut
            if end - at >= 4 and tags < DEPTH:
                mark(fields, VLAN + tags * LAYER, at + 2, at + 4)
                push(fields, P_Q)
            return
        if tags < DEPTH:
            mark(fields, VLAN + tags * LAYER, at + 2, at + 4)
        push(fields, P_Q)
        tags += 1
        at += 4
        kind = be16(at)
    if kind < 1536 and end - at >= 10 and be16(at + 2) == 0xAAAA and at[4] == 3 and be16(at + 5) == 0 and at[7] == 0:
        at += 8                                     # SNAP with Ethernet's own numbers
        kind = be16(at)
    mark(fields, TYPE, at, at + 2)
    at += 2
    if kind == 0x0800:
        ip4(fields, at, end)
    elif kind == 0x86DD:
        ip6(fields, at, end)
    elif kind == 0x0806:
        push(fields, P_ARP)
        if end - at >= 8 and be16(at + 2) == 0x0800 and at[4] == 6 and at[5] == 4:
            mark(fields, ARP, at, end)              # any other address lengths would shift the fields


cdef void dissect(Fields* fields, uint32_t protocol, const uint8_t* header, uint32_t length) noexcept nogil:
    """Find the headers of a sampled packet; `protocol` is the sampled_header's (1 Ethernet, 11 IPv4, 12 IPv6)."""
    if length == 0:
        return
    if protocol == 1:
        ethernet(fields, header, header + length)
    elif protocol == 11:
        ip4(fields, header, header + length)
    elif protocol == 12:
        ip6(fields, header, header + length)
    if fields.height:
        mark(fields, STACK, fields.stack, fields.stack + STACK_ROOM)
