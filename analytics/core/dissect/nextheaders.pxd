"""The state of the header walk, and which header is next."""

from libc.stdint cimport uint8_t, uint32_t

from analytics.core.dissect.packet cimport *

cdef struct Walk:                                   # all state but which header is next
    Fields* fields
    const uint8_t* at                               # where the next header starts
    const uint8_t* end                              # of what was sampled, or of the packet if it is shorter
    int typed                                       # slot of the latest Ethernet type


cdef inline size_t remaining(const Walk* walk) noexcept nogil:
    """Bytes that may be read from walk.at on."""
    return <size_t>(walk.end - walk.at)


cdef inline bint step(Walk* walk, size_t length) noexcept nogil:
    """Step over a header; 0 when it is cut."""
    if remaining(walk) < length:
        return 0
    walk.at += length
    return 1


cdef inline void trim(Walk* walk, size_t length) noexcept nogil:
    """What starts at walk.at is only so long: what follows is padding."""
    if remaining(walk) > length:
        walk.end = walk.at + length


cdef inline Protocol last(Walk* walk, int header, Protocol name) noexcept nogil:
    """A header nothing of ours follows."""
    claim(walk.fields, header, walk.at, walk.end)
    push(walk.fields, name)
    return END


cdef inline Protocol by_type(uint32_t kind) noexcept nogil:
    """The header that an Ethernet type names."""
    if kind == 0x0800:
        return P_IP
    if kind == 0x86DD:
        return P_IP6
    if kind == 0x0806:
        return P_ARP
    if kind in (0x8100, 0x88A8, 0x9100, 0x9200):
        return P_Q
    if kind in (0x8847, 0x8848):
        return P_MPLS
    if kind in (0x8863, 0x8864):
        return P_PPPOE
    return by_rare_type(kind)


cdef uint8_t BY_PROTOCOL[256]                       # IP protocol number -> header

cdef Protocol by_rare_type(uint32_t kind) noexcept nogil
cdef Protocol by_udp_port(uint32_t source, uint32_t destination) noexcept nogil
cdef Protocol by_next(uint32_t number) noexcept nogil
cdef Protocol first(uint32_t protocol) noexcept nogil
