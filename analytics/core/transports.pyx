"""What IP carries besides TCP and UDP: ICMP RFC 792, AH RFC 4302, ESP RFC 4303, SCTP, DCCP, IGMP.

A rung as ladder.pyx describes it: claim the slot, push the name, step over the header, answer the next rung.
"""

from libc.stdint cimport uint8_t, uint32_t

from analytics.core.links cimport climb_link
from analytics.core.packet cimport *
from analytics.core.rungs cimport *


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


cdef Protocol control_message(Walk* walk) noexcept nogil:
    """ICMP. The packet an "unreachable" quotes is no traffic of its own, but says what could not be reached."""
    cdef const uint8_t* at = walk.at
    cdef const uint8_t* quoted = at + 8
    cdef size_t left = room(walk)
    cdef uint32_t header
    claim(walk.fields, ICMP, at, walk.end)
    push(walk.fields, P_ICMP)
    if left < 28 or at[0] != 3 or quoted[0] >> 4 != 4:
        return END
    header = (quoted[0] & 0xF) * 4
    if at[1] == 0:
        claim(walk.fields, NO_NET, quoted + 16, quoted + 20)
    elif at[1] == 1:
        claim(walk.fields, NO_HOST, quoted + 16, quoted + 20)
    elif at[1] == 2:
        claim(walk.fields, NO_PROTOCOL, quoted + 9, quoted + 10)
    elif at[1] == 3 and header >= 20 and left >= 8 + header + 4:
        claim(walk.fields, NO_PORT, quoted + header + 2, quoted + header + 4)
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
