"""What IP carries besides TCP and UDP: ICMP RFC 792, AH RFC 4302, ESP RFC 4303, SCTP, DCCP, IGMP.

Each function is a step of the header walk (walk.pyx): claim the slot, push the name, step over the header, answer the
next header.
"""

from libc.stdint cimport uint8_t, uint32_t

from analytics.core.dissect.links cimport walk_link
from analytics.core.dissect.packet cimport *
from analytics.core.dissect.nextheaders cimport *
from analytics.core.wire.extensions cimport AUTHENTICATION, extension_length


cdef Protocol authenticated(Walk* walk) noexcept nogil:
    """AH behind IPv4."""
    cdef const uint8_t* at = walk.at
    cdef size_t length
    claim(walk.fields, AH, at, walk.end)
    push(walk.fields, P_AH)
    if remaining(walk) < 8:
        return END
    length = extension_length(AUTHENTICATION, at)
    if remaining(walk) < length:
        return END
    walk.at += length
    return <Protocol>BY_PROTOCOL[at[0]]


cdef inline void quoted(Walk* walk, int header, size_t offset) noexcept nogil:
    """A field of the packet that an ICMP message quotes."""
    if remaining(walk) > offset:
        claim(walk.fields, header, walk.at + offset, walk.end)


cdef inline bint has_sequence(uint8_t kind) noexcept nogil:
    """ICMP messages with an identifier and a sequence number (RFC 792 and 950)."""
    return kind in (0, 8, 13, 14, 15, 16, 17, 18)


cdef Protocol control_message(Walk* walk) noexcept nogil:
    """ICMP. The packet an "unreachable" quotes is no traffic of its own, but says what could not be reached."""
    cdef const uint8_t* at = walk.at
    cdef uint32_t header
    claim(walk.fields, ICMP, at, walk.end if has_sequence(at[0]) or remaining(walk) < 4 else at + 4)
    push(walk.fields, P_ICMP)
    if remaining(walk) <= 8 or at[0] != 3 or at[8] >> 4 != 4:
        return END
    header = (at[8] & 0xF) * 4
    if at[1] == 0:
        quoted(walk, NO_NET, 8 + 16)
    elif at[1] == 1:
        quoted(walk, NO_HOST, 8 + 16)
    elif at[1] == 2:
        quoted(walk, NO_PROTOCOL, 8 + 9)
    elif at[1] == 3 and header >= 20:
        quoted(walk, NO_PORT, 8 + header + 2)
    return END


cdef Protocol walk_transport(Protocol next_header, Walk* walk) noexcept nogil:
    """The headers of this file; others are those of link layers."""
    if next_header == P_ICMP:
        return control_message(walk)
    elif next_header == P_AH:
        return authenticated(walk)
    elif next_header == P_ESP:
        return last(walk, ESP, P_ESP)
    elif next_header == P_SCTP:
        return last(walk, SCTP, P_SCTP)
    elif next_header == P_DCCP:
        return last(walk, DCCP, P_DCCP)
    elif next_header == P_IGMP:
        return last(walk, IGMP, P_IGMP)
    return walk_link(next_header, walk)
