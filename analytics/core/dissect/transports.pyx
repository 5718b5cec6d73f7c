"""What IP carries besides TCP and UDP: ICMP RFC 792, AH RFC 4302, ESP RFC 4303, SCTP, DCCP, IGMP.

A rung as ladder.pyx describes it: claim the slot, push the name, step over the header, answer the next rung.
"""

from libc.stdint cimport uint8_t, uint32_t

from analytics.core.dissect.links cimport climb_link
from analytics.core.dissect.packet cimport *
from analytics.core.dissect.nextheaders cimport *


cdef Protocol authenticated(Walk* walk) noexcept nogil:
    """AH behind IPv4."""
    cdef const uint8_t* at = walk.at
    cdef size_t length
    claim(walk.fields, AH, at, walk.end)
    push(walk.fields, P_AH)
    if room(walk) < 8:
        return END
    length = (<size_t>at[1] + 2) * 4
    if room(walk) < length:
        return END
    walk.at += length
    return <Protocol>BY_PROTOCOL[at[0]]


cdef inline void quoted(Walk* walk, int header, size_t offset) noexcept nogil:
    """A field of the packet that an ICMP message quotes."""
    if room(walk) > offset:
        claim(walk.fields, header, walk.at + offset, walk.end)


cdef Protocol control_message(Walk* walk) noexcept nogil:
    """ICMP. The packet an "unreachable" quotes is no traffic of its own, but says what could not be reached."""
    cdef const uint8_t* at = walk.at
    cdef uint32_t header
    claim(walk.fields, ICMP, at, walk.end)
    push(walk.fields, P_ICMP)
    if room(walk) <= 8 or at[0] != 3 or at[8] >> 4 != 4:
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


cdef Protocol climb_transport(Protocol rung, Walk* walk) noexcept nogil:
    """The rungs of this file; others are those of link layers."""
    if rung == P_ICMP:
        return control_message(walk)
    elif rung == P_AH:
        return authenticated(walk)
    elif rung == P_ESP:
        return last(walk, ESP, P_ESP)
    elif rung == P_SCTP:
        return last(walk, SCTP, P_SCTP)
    elif rung == P_DCCP:
        return last(walk, DCCP, P_DCCP)
    elif rung == P_IGMP:
        return last(walk, IGMP, P_IGMP)
    return climb_link(rung, walk)
