"""The outer headers of a sampled packet, as sflowtool sees them."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from analytics.core.printing.buffer cimport Buffer
from analytics.core.wire.extensions cimport MOST_EXTENSIONS
from analytics.core.wire.xdr cimport Window

cdef enum:
    MOST_TAGS = 8

cdef enum Transport:
    NO_PORTS, ICMP_CODES, TCP_PORTS, UDP_PORTS

cdef struct Outer:
    bint decoded                                    # a header protocol that is read here: 1, 11, 12, 15
    const uint8_t* src_mac                          # NULL when absent, as all pointers here
    const uint8_t* dst_mac
    const uint8_t* tx_mac
    const uint8_t* rx_mac
    int tags
    uint16_t tci[MOST_TAGS]
    bint typed                                      # ethernet_type is there (not in 802.2 frames without SNAP)
    uint32_t ethernet_type
    const uint8_t* oui                              # of a SNAP header that names no Ethernet type
    uint32_t version                                # of IP; 0 without an IP header
    const uint8_t* ip
    uint32_t ip_offset                              # bytes before it
    uint8_t protocol
    uint32_t tos, ttl
    uint32_t fragment                               # offset, in units of 8 bytes
    int extensions
    uint8_t extension[MOST_EXTENSIONS]
    Transport transport
    const uint8_t* ports                            # the transport header
    bint flagged                                    # TCP's flags are there too

cdef void read_outer(Outer* outer, uint32_t protocol, Window header) noexcept nogil
cdef void show_outer(Buffer* out, const Outer* outer, uint32_t protocol, uint32_t size) noexcept nogil
