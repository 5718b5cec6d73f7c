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
    SLOTS

cdef enum Direction:
    UNKNOWN
    INGRESS
    EGRESS

cdef struct Fields:
    uint64_t present                                # bit per slot: header + depth * LAYER
    const uint8_t* at[42]                           # valid where the bit is set
    const uint8_t* end[42]                          # no field reads beyond
    uint8_t words[48]                               # what comes from the sample itself, in network order
    uint8_t stack[16]
    uint32_t height                                 # protocols in stack

cdef void describe(Fields* fields, uint32_t frame_length, uint32_t stripped, uint32_t in_format, uint32_t in_value,
                   uint32_t out_format, uint32_t out_value, Direction direction) noexcept nogil
cdef void describe_switch(Fields* fields, uint32_t src_vlan, uint32_t src_priority, uint32_t dst_vlan,
                          uint32_t dst_priority) noexcept nogil
cdef void dissect(Fields* fields, uint32_t protocol, const uint8_t* header, uint32_t length) noexcept nogil
