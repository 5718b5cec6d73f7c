"""The headers found in a sampled packet. Dissecting only finds them; fields are read later, by the rows of `ROWS`."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    DEPTH = 3                                       # a field's plain name, .1 and .2
    STACK_ROOM = 16                                 # protocols remembered of a packet, outermost first

cdef enum:                                          # headers: one bit of Fields.present each, times DEPTH
    ETH
    TYPE                                            # the two bytes that name what follows Ethernet and its tags
    VLAN                                            # one tag's TCI
    IP
    IP6
    NEXT6                                           # the byte that names the upper layer, behind all extension headers
    FRAG6                                           # the fragment header, or eight zeros
    TCP
    UDP
    ICMP
    ICMP6
    ARP
    LAYER                                           # number of headers that can repeat
    FRAME = 36                                      # LAYER * DEPTH; from here on: once per sample
    SWITCH
    INPUT
    OUTPUT
    DIRECTION
    STACK
    REASON                                          # from here on: flow records beside the header, see records.pyx
    ROUTER
    GATEWAY
    ASPATH
    COMMUNITIES
    IN4                                             # the tunnel a packet came in by, over IPv4 and over IPv6
    IN6
    INVNI
    OUT4                                            # the tunnel it leaves by
    OUT6
    OUTVNI
    QUEUE
    BACKLOG
    TRANSIT
    SLOTS

cdef enum Direction:
    UNKNOWN
    INGRESS
    EGRESS

cdef struct Fields:
    uint64_t present                                # bit per slot: header + depth * LAYER
    const uint8_t* at[56]                           # valid where the bit is set
    const uint8_t* end[56]                          # no field reads beyond
    uint8_t words[48]                               # what comes from the sample itself, in network order
    uint8_t stack[16]
    uint8_t notes[320]                              # what records.pyx lays out anew
    uint32_t height                                 # protocols in stack


cdef inline void mark(Fields* fields, int slot, const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Note where a header or record lies; its fields are there as far as they end before `end`."""
    fields.at[slot] = at
    fields.end[slot] = end
    fields.present |= <uint64_t>1 << slot


cdef void describe(Fields* fields, uint32_t frame_length, uint32_t stripped, uint32_t in_format, uint32_t in_value,
                   uint32_t out_format, uint32_t out_value, Direction direction) noexcept nogil
cdef void describe_switch(Fields* fields, uint32_t src_vlan, uint32_t src_priority, uint32_t dst_vlan,
                          uint32_t dst_priority) noexcept nogil
cdef void dissect(Fields* fields, uint32_t protocol, const uint8_t* header, uint32_t length) noexcept nogil
