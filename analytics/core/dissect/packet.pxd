"""The headers found in a sampled packet. Dissecting only finds them; fields are read later, by the rows of `ROWS`.

A slot is (occurrence << 6) + header: the first TCP header of a packet is slot TCP, the second TCP + 64. What a sample
says itself, outside of the packet, has slots from FRAME on; the keys of flow records take what is free (recordkeys.py).
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from analytics.core.wire.xdr cimport swap32

cdef enum:
    DEPTH = 3                                       # a field's plain name, .1 and .2
    STACK_DEPTH = 16                                # headers followed in a packet, outermost first
    LAYER = 64                                      # slots per occurrence, a bit each in a word of Fields.present
    SLOT_WORDS = DEPTH + 1                          # the last one is of slots that occur once
    SLOTS = LAYER * SLOT_WORDS
    NAME_BYTES = 128                                # bytes of a name in a key
    LIST_BYTES = 64                                 # of a list in a key: AS numbers, labels, communities
    NOTES_BYTES = 6144
    SUMMARY_BYTES = 80
    NEVER = LAYER * DEPTH - 1                       # a slot that no sample has: of derived fields
    MAC_PAIR = 12                                   # bytes of Ethernet's addresses

cdef enum:                                          # headers that can repeat
    ETH
    TYPE                                            # the two bytes that name what follows Ethernet and its tags
    VLAN                                            # one tag's TCI
    PBB
    TRILL
    MACSEC
    LLC
    PPPOE
    PPP                                             # its protocol field
    MPLS                                            # one label
    ENTROPY                                         # the label behind an entropy label indicator
    IP
    IP6
    NEXT6                                           # the byte that names the upper layer, behind all extension headers
    FRAG6                                           # the fragment header, or eight zeros
    SEGMENTS                                        # an IPv6 segment routing header
    AH
    ESP
    TCP
    UDP
    SCTP
    DCCP
    ICMP
    ICMP6
    IGMP
    NO_NET                                          # in an ICMP "unreachable": the address, protocol or port meant
    NO_HOST
    NO_PROTOCOL
    NO_PORT
    ARP
    GRE
    GREKEY
    GRESEQUENCE
    GREVSID
    ERSPAN
    VNI                                             # any virtual network identifier
    VXLAN
    GENEVE
    NSH
    GTP
    L2TP                                            # tunnel and session of version 2
    L2TP3                                           # session of version 3
    LISP                                            # its instance
    CAPWAP
    DNS
    DNSNAME                                         # of the first question, as text
    DNSTYPE
    IBBT                                            # InfiniBand's base transport header
    IBRETH                                          # what follows it in RDMA requests
    IBAETH                                          # and in acknowledgements
    HEADERS                                         # at most LAYER

cdef enum:                                          # once per sample
    FRAME = LAYER * DEPTH
    SWITCH
    INPUT
    OUTPUT
    DIRECTION
    STACK
    REASON
    FREE                                            # from here on: the keys of flow records, see recordkeys.py

cdef enum:                                          # indexes in Fields.words; those before are describe's
    REASON_WORD = 11
    WORDS

cdef enum Protocol:                                 # a header: its name is in packet.pyx
    END
    P_ETH
    P_Q
    P_IP
    P_IP6
    P_TCP
    P_UDP
    P_ICMP
    P_ICMP6
    P_ARP
    P_PBB
    P_TRILL
    P_MACSEC
    P_LLC
    P_PPPOE
    P_PPP
    P_HDLC
    P_WLAN
    P_MPLS
    P_MPLS_PAYLOAD                                  # unnamed: its first nibble says what it is
    P_ACH
    P_SRH
    P_AH
    P_ESP
    P_UDPLITE
    P_SCTP
    P_DCCP
    P_IGMP
    P_OSPF
    P_PIM
    P_VRRP
    P_ETHERIP
    P_GRE
    P_ERSPAN1
    P_ERSPAN2
    P_ERSPAN3
    P_WCCP
    P_VXLAN
    P_GPE
    P_GENEVE
    P_NSH
    P_GTP
    P_TEREDO
    P_L2TP
    P_L2TP3
    P_LISP
    P_CAPWAP
    P_DNS
    P_IBBT
    P_RARP
    P_LLDP
    P_SLOW
    P_EAPOL
    P_FCOE
    P_PTP
    P_STP
    P_ISIS
    P_SNAP
    P_UDPENCAP                                      # unnamed: ESP in UDP, or IKE
    PROTOCOLS

cdef enum Direction:
    UNKNOWN
    INGRESS
    EGRESS

cdef struct Fields:
    uint64_t present[SLOT_WORDS]                    # bit per slot
    const uint8_t* at[SLOTS]                        # valid where the bit is set
    const uint8_t* end[SLOTS]                       # no field reads beyond
    const uint8_t* start                            # of the sampled header
    uint8_t words[4 * WORDS]                        # what comes from the sample itself, in network order
    uint64_t stack[STACK_DEPTH / 8]                 # a byte per header, the lowest is the outermost
    uint32_t height                                 # protocols in stack
    uint8_t addresses[MAC_PAIR * DEPTH]             # of 802.11 frames, in the order of Ethernet, per occurrence
    uint8_t calls[4 * DEPTH]                        # of GRE version 1, as wide as the keys of version 0
    uint8_t summary[SUMMARY_BYTES]                  # a packet that summary.pyx wrote
    uint8_t names[NAME_BYTES * DEPTH]               # of DNS questions, NAME_BYTES per occurrence
    uint8_t notes[NOTES_BYTES]                      # keys of flow records, at fixed offsets


cdef inline void set_slot(Fields* fields, int slot, const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Note where a header or record is; its fields are there as far as they end before `end`."""
    fields.at[slot] = at
    fields.end[slot] = end
    fields.present[slot >> 6] |= <uint64_t>1 << (slot & 63)


cdef inline void note(Fields* fields, int slot, int word, uint32_t value) noexcept nogil:
    """Note a number that is no bytes of the packet, in a word of its own."""
    cdef uint8_t* at = &fields.words[4 * word]
    cdef uint32_t wire = swap32(value)
    memcpy(at, &wire, 4)
    set_slot(fields, slot, at, at + 4)


cdef inline int claim(Fields* fields, int header, const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Note the next occurrence of a header; answers its slot, -1 when deeper than fields have names."""
    cdef int depth
    for depth in range(DEPTH):
        if not (fields.present[depth] >> header) & 1:
            set_slot(fields, header + (depth << 6), at, end)
            return header + (depth << 6)
    return -1


cdef inline int depth_of(const Fields* fields, int header) noexcept nogil:
    """How often a header was claimed: the depth of the next one, DEPTH when that would be too deep."""
    cdef int depth = 0
    while depth < DEPTH and (fields.present[depth] >> header) & 1:
        depth += 1
    return depth


cdef inline void push(Fields* fields, Protocol protocol) noexcept nogil:
    if fields.height < STACK_DEPTH:
        fields.stack[fields.height >> 3] |= <uint64_t>protocol << (8 * (fields.height & 7))
        fields.height += 1


cdef inline uint64_t bit(int slot) noexcept nogil:
    return <uint64_t>1 << (slot & 63)


cdef inline void put_word(Fields* fields, int index, uint32_t value) noexcept nogil:
    cdef uint32_t wire = swap32(value)
    memcpy(&fields.words[4 * index], &wire, 4)


cdef inline void describe(Fields* fields, uint32_t frame_length, uint32_t stripped, uint32_t in_format,
                          uint32_t in_value, uint32_t out_format, uint32_t out_value,
                          Direction direction) noexcept nogil:
    """Start a sample: forget the last one and note what the sample says itself. Interface 0 means unknown: no field."""
    fields.height = 0
    fields.stack[0] = fields.stack[1] = 0
    fields.present[0] = fields.present[1] = fields.present[2] = 0
    put_word(fields, 0, frame_length)
    put_word(fields, 1, stripped)
    put_word(fields, 2, in_format)
    put_word(fields, 3, in_value)
    put_word(fields, 4, out_format)
    put_word(fields, 5, out_value)
    put_word(fields, 6, direction)
    fields.present[DEPTH] = (bit(FRAME)
                             | (bit(INPUT) if in_format | in_value else 0)
                             | (bit(OUTPUT) if out_format | out_value else 0)
                             | (bit(DIRECTION) if direction != UNKNOWN else 0))


cdef void prepare(Fields* fields) noexcept nogil
cdef void describe_switch(Fields* fields, uint32_t src_vlan, uint32_t src_priority, uint32_t dst_vlan,
                          uint32_t dst_priority) noexcept nogil
